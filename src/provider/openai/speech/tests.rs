use serde_json::{Value, json};

use super::{ids::short, *};
use crate::provider::{Contract, Unsupported};

fn fitted(messages: &Value, speech: Speech) -> Result<Value, Error> {
    let mut notes = Notes::default();
    let fitted = noted(messages, speech, &mut notes);
    assert!(notes.dropped().is_empty());
    fitted
}

fn noted(messages: &Value, speech: Speech, notes: &mut Notes) -> Result<Value, Error> {
    let body = json!({"model": "m", "messages": messages}).to_string();
    let mut chat = Chat::parse(body.into()).expect("a request");
    fit(&mut chat, speech, notes)?;
    Ok(serde_json::from_str(chat.member("messages").expect("there")).expect("JSON"))
}

#[test]
fn developers_are_the_system() {
    let speech = Speech {
        no_developer: true,
        ..Speech::default()
    };
    let said =
        json!([{"role": "developer", "content": "developer"}, {"content": "x", "role": "user"}]);
    let wanted =
        json!([{"role": "system", "content": "developer"}, {"content": "x", "role": "user"}]);
    assert_eq!(fitted(&said, speech).expect("fits"), wanted);
    assert_eq!(fitted(&said, Speech::default()).expect("fits"), said);
}

#[test]
fn parts_must_be_of_a_type_that_is_read() {
    let speech = Speech {
        parts: Some(&["text"]),
        ..Speech::default()
    };
    let text = json!({"type": "text", "text": "x"});
    let image = json!({"type": "image_url", "image_url": {"url": "https://x"}});
    let fits = json!([{"role": "user", "content": [text, text]}]);
    assert_eq!(fitted(&fits, speech).expect("fits"), fits);
    let refused =
        json!([{"role": "system", "content": "x"}, {"role": "user", "content": [text, image]}]);
    let error = fitted(&refused, speech).expect_err("refused");
    assert_eq!(error.param(), Some("messages[1].content[1]"));
    assert_eq!(error.code(), Some("unsupported_parameter"));

    let drop = || Notes::new(Contract::new(Unsupported::Drop));
    let mut notes = drop();
    let said = json!([{"role": "user", "content": [image, text, image, text]},
        {"role": "user", "content": "x"}, {"role": "user", "content": [text, image]}]);
    let left = json!([{"role": "user", "content": [text, text]},
        {"role": "user", "content": "x"}, {"role": "user", "content": [text]}]);
    assert_eq!(noted(&said, speech, &mut notes).expect("fits"), left);
    assert_eq!(notes.dropped(), ["messages[].content[]"]);
    let alone = json!([{"role": "user", "content": [image]}]);
    let error = noted(&alone, speech, &mut drop()).expect_err("nothing is left");
    assert_eq!(error.param(), Some("messages[0].content"));
}

#[test]
fn texts_are_of_one_piece_where_nothing_else_is_left() {
    let speech = Speech {
        parts: Some(&["text", "image_url"]),
        flat: Flat::Always,
        ..Speech::default()
    };
    let text = |text: &str| json!({"type": "text", "text": text});
    let image = json!({"type": "image_url", "image_url": {"url": "https://x"}});
    let sound = json!({"type": "input_audio", "input_audio": {}});
    for (content, wanted) in [
        (
            json!([text("a\"\\\u{1f600}"), text("b")]),
            json!("a\"\\\u{1f600}b"),
        ),
        (json!([text("a"), image]), json!([text("a"), image])),
        (json!([text("a"), sound, text("b")]), json!("ab")),
        (json!([text("a"), sound, image]), json!([text("a"), image])),
        (json!([text(""), text("a"), text(""), text("")]), json!("a")),
        (json!([text("")]), json!("")),
        (json!([]), json!("")),
        (json!([{"type": "text"}]), json!([{"type": "text"}])),
    ] {
        let said = json!([{"role": "user", "content": content}]);
        let mut notes = Notes::new(Contract::new(Unsupported::Drop));
        let fits = noted(&said, speech, &mut notes).expect("fits");
        assert_eq!(fits[0]["content"], wanted);
    }
}

#[test]
fn ids_are_nine_letters_and_the_same_in_call_and_result() {
    let speech = Speech {
        short_ids: true,
        ..Speech::default()
    };
    let said = |ids: [&str; 2]| {
        json!([
            {"role": "assistant", "tool_calls": [
                {"id": ids[0], "function": {"name": "f", "arguments": "{\"id\":\"x\"}"}},
                {"id": ids[1], "function": {"name": "g", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": ids[1], "content": "1"},
            {"role": "tool", "tool_call_id": ids[0], "content": "2"}])
    };
    let ids = ["call_with_a_long_name", "D681PevKs"];
    let brief = short(ids[0]);
    assert!(brief.len() == 9 && brief.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_ne!(brief, short("call_with_a_long_nam"));
    assert_eq!(
        fitted(&said(ids), speech).expect("fits"),
        said([&brief, ids[1]])
    );
}

#[test]
fn a_refusal_that_is_all_that_is_said_becomes_the_content() {
    let speech = Speech {
        members: Some(&["role", "content", "tool_calls"]),
        ..Speech::default()
    };
    let call = json!([{"id": "a", "function": {"name": "f", "arguments": "{}"}}]);
    let no = json!({"role": "assistant", "content": "no"});
    for (said, wanted, dropped) in [
        (
            json!({"role": "assistant", "content": null, "refusal": "no"}),
            &no,
            false,
        ),
        (json!({"refusal": "no", "role": "assistant"}), &no, false),
        (
            json!({"role": "assistant", "refusal": null, "content": "no"}),
            &no,
            false,
        ),
        (
            json!({"role": "assistant", "content": "no", "refusal": "x"}),
            &no,
            true,
        ),
        (
            json!({"role": "assistant", "content": null, "tool_calls": call, "refusal": "x"}),
            &json!({"role": "assistant", "content": null, "tool_calls": call}),
            true,
        ),
    ] {
        let mut notes = Notes::default();
        let fitted = noted(&json!([said]), speech, &mut notes).expect("fits");
        assert_eq!(fitted, json!([wanted]));
        assert_eq!(notes.dropped() == ["messages[].refusal"], dropped, "{said}");
        let became = said["refusal"] == "no";
        assert_eq!(notes.mapped() == ["messages[].refusal"], became, "{said}");
    }
}

#[test]
fn members_that_are_refused_are_left_out() {
    let speech = Speech {
        members: Some(&["role", "content"]),
        ..Speech::default()
    };
    for (said, wanted, dropped) in [
        (
            r#"{"role":"user","content":"x"}"#,
            r#"{"role":"user","content":"x"}"#,
            &[][..],
        ),
        (
            r#"{"a":1,"b":null , "role":"user"}"#,
            r#"{"role":"user"}"#,
            &["messages[].a"],
        ),
        (
            r#"{"role":"user", "a":1,"b":[2],"content":"x"}"#,
            r#"{"role":"user","content":"x"}"#,
            &["messages[].a", "messages[].b"],
        ),
        (
            r#"{"role":"user","content":"x", "a" : {"c":1} }"#,
            r#"{"role":"user","content":"x" }"#,
            &["messages[].a"],
        ),
        (
            r#"{"a":1,"role":"user","b":2}"#,
            r#"{"role":"user"}"#,
            &["messages[].a", "messages[].b"],
        ),
        (r#"{"a":null}"#, "{}", &[]),
    ] {
        let body = format!("{{\"model\":\"m\",\"messages\":[{said},{said}]}}");
        let mut chat = Chat::parse(body.into()).expect("a request");
        let mut notes = Notes::default();
        fit(&mut chat, speech, &mut notes).expect("fits");
        let wanted = format!("[{wanted},{wanted}]");
        assert_eq!(chat.member("messages"), Some(&*wanted));
        assert_eq!(notes.dropped(), dropped, "{said}");
    }
}
