use super::{super::Anthropic, *};
use crate::{ext::Target, provider::Translate};

fn spoken(messages: Value) -> Result<(Value, Notes), crate::error::Error> {
    let mut notes = Notes::default();
    let chat = chat(&with("messages", messages));
    let out = request::body(&chat, "claude-sonnet-4-5", request::Door::Own, &mut notes)?;
    let out: Value = serde_json::from_slice(&out).expect("JSON");
    Ok((out["messages"].clone(), notes))
}

#[test]
fn what_the_assistant_said_last_does_not_end_in_blanks() {
    let user = json!({"role": "user", "content": "Hi"});
    for (content, kept, changed) in [
        (json!("{ \n\t\u{a0}"), "{", true),
        (
            json!([{"type": "text", "text": "a "}, {"type": "text", "text": "b "}, {"type": "text", "text": "  "}]),
            "b",
            true,
        ),
        (json!(" b"), " b", false),
    ] {
        let last = json!({"role": "assistant", "content": content});
        let (turns, notes) = spoken(json!([user, last])).expect("translates");
        let blocks = turns[1]["content"].as_array().expect("blocks");
        assert_eq!(blocks.last().expect("a block")["text"], kept);
        let told = notes.mapped().contains(&"messages[].content".into());
        assert_eq!(told, changed, "{content}");
        // Only the last turn is continued.
        let (turns, notes) = spoken(json!([user, last, user])).expect("translates");
        let text = turns[1]["content"].as_array().and_then(|all| all.last());
        assert_eq!(
            text.expect("a block")["text"].as_str().map(str::trim),
            Some(kept.trim())
        );
        assert!(notes.mapped().is_empty(), "{content}");
    }
}

#[test]
fn thinking_stands_before_what_it_was_thought_for_or_goes() {
    let user = json!({"role": "user", "content": "Hi"});
    let thinking = |it: &str| json!({"type": "thinking", "thinking": it, "signature": "s"});
    let thought = |content: &str, it: &str| json!({"role": "assistant", "content": content, "reasoning_details": [thinking(it)]});
    let said = json!({"role": "assistant", "content": "One."});
    let tool = json!({"role": "tool", "tool_call_id": "a", "content": "1"});
    let calls =
        json!([{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let call = json!({"role": "assistant", "content": null, "tool_calls": calls});
    let mut calling = thought("Two.", "for the call");
    calling["tool_calls"] = calls.clone();
    for (name, messages, kinds, lost) in [
        (
            "nothing is said",
            json!([user, thought(" \n", "t"), user]),
            json!(null),
            true,
        ),
        (
            "nothing, and then a call",
            json!([user, thought("", "for the call"), call, tool]),
            json!(["thinking", "tool_use"]),
            false,
        ),
        (
            "nothing, and then a text",
            json!([user, thought("", "t"), said, user]),
            json!(["thinking", "text"]),
            false,
        ),
        (
            "one after another",
            json!([user, said, thought("Two.", "t"), user]),
            json!(["text", "text"]),
            true,
        ),
        (
            "two that think",
            json!([user, thought("One.", "t"), thought("Two.", "u"), user]),
            json!(["thinking", "text", "text"]),
            true,
        ),
        (
            "then a call",
            json!([user, thought("One.", "t"), calling, tool]),
            json!(["thinking", "text", "text", "tool_use"]),
            true,
        ),
        (
            "a call alone",
            json!([user, said, calling, tool]),
            json!(["thinking", "text", "text", "tool_use"]),
            false,
        ),
        (
            "a call before",
            json!([user, calling, call, tool]),
            json!(["thinking", "text", "tool_use", "tool_use"]),
            false,
        ),
        (
            "behind a call",
            json!([user, calling, thought("Three.", "u"), tool]),
            json!(["thinking", "text", "tool_use", "text"]),
            true,
        ),
    ] {
        let (turns, notes) = spoken(messages).expect("translates");
        let blocks = turns[1]["content"].as_array();
        let found = blocks.map(|all| all.iter().map(|it| it["type"].clone()).collect::<Value>());
        assert_eq!(found.unwrap_or_default(), kinds, "{name}");
        let told = notes
            .dropped()
            .contains(&"messages[].reasoning_details".into());
        assert_eq!(told, lost, "{name}");
        if kinds
            .as_array()
            .is_some_and(|kinds| kinds.contains(&"tool_use".into()))
        {
            assert_eq!(turns[1]["content"][0]["thinking"], "for the call", "{name}");
        }
    }
}

#[test]
fn a_conversation_that_says_nothing_is_refused() {
    let blank = json!({"role": "user", "content": " \n"});
    let parts = json!({"role": "user", "content": [{"type": "text", "text": ""}]});
    let system = json!({"role": "system", "content": " "});
    for (messages, param) in [
        (json!([blank]), "messages[0].content"),
        (
            json!([system, parts, {"role": "assistant", "content": ""}]),
            "messages[1].content",
        ),
        (json!([system]), "messages[0].content"),
    ] {
        let error = spoken(messages)
            .map(|(turns, _)| turns)
            .expect_err("refused");
        assert_eq!(
            (error.param(), error.code()),
            (Some(param), Some("invalid_value"))
        );
    }
}

#[test]
fn files_are_asked_for_where_there_are_some() {
    let file = r#"[{"role":"user","content":[{"type":"file","file":{"file\u005fid":"f"}}]}]"#;
    let call = r#"[{"role":"user","content":"Hi"},{"role":"assistant","content":null,
        "tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}],
        "annotations":[{"file_id":"f"}]},{"role":"tool","tool_call_id":"a","content":"x"}]"#;
    let anthropic = Anthropic::new("https://api.anthropic.com").expect("a URL");
    for (messages, asked) in [(file, true), (call, false)] {
        let body = format!(r#"{{"model":"m","messages":{messages}}}"#);
        let chat = Chat::parse(body.into()).expect("a request");
        let target = Target::new("anthropic", "claude-sonnet-4-5");
        let sent = anthropic.request(&chat, &target, &mut Notes::default());
        let headers = sent.expect("translates").into_parts().0.headers;
        assert_eq!(headers.contains_key("anthropic-beta"), asked, "{messages}");
    }
}

#[test]
fn four_marks_of_what_is_to_be_cached_at_most() {
    let mark = json!({"type": "ephemeral"});
    let part = |text: &str| json!({"type": "text", "text": text, "cache_control": mark});
    let mut body = json!({"model": "m",
        "tools": [{"type": "function", "function": {"name": "f"}, "cache_control": mark}],
        "messages": [{"role": "system", "content": [part("s")]},
            {"role": "user", "content": [part("a"), part("b")]}]});
    let marks = |body: &Value, door: request::Door| {
        let mut notes = Notes::default();
        let out = request::body(&chat(body), "claude-sonnet-4-5", door, &mut notes);
        let out: Value = serde_json::from_slice(&out.expect("translates")).expect("JSON");
        let is_marked = |it: &Value| it.get("cache_control").is_some();
        let places = [
            &out["tools"],
            &out["system"],
            &out["messages"][0]["content"],
        ];
        let each = places.map(|list| {
            let list = list.as_array().expect("a list").iter();
            list.map(is_marked).collect::<Vec<_>>()
        });
        (each.concat(), is_marked(&out), notes.dropped().len())
    };
    let own = request::Door::Own;
    assert_eq!(marks(&body, own), (vec![true; 4], false, 0));
    // That of the request takes a place of its own; Vertex AI has none, so that the last part is marked.
    body["cache_control"] = mark.clone();
    assert_eq!(marks(&body, own), (vec![false, true, true, true], true, 1));
    assert_eq!(
        marks(&body, request::Door::Vertex),
        (vec![true; 4], false, 0)
    );
    body["messages"][1]["content"] = json!([part("a"), part("b"), {"type": "text", "text": "c"}]);
    assert_eq!(
        marks(&body, request::Door::Vertex),
        (vec![false, true, true, true, true], false, 1)
    );
}

/// Vertex AI has no mark of the request; most loops of calls end with what a tool gave.
#[test]
fn the_mark_of_a_request_stands_at_what_a_tool_gave() {
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    for (content, marked) in [
        (json!("1"), true),
        (json!([{"type": "text", "text": "1"}]), true),
        (json!(" "), false),
    ] {
        let body = json!({"model": "m", "cache_control": {"type": "ephemeral"}, "messages": [
            {"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "a", "content": content}]});
        let mut notes = Notes::default();
        let door = request::Door::Vertex;
        let out = request::body(&chat(&body), "claude-sonnet-4-5", door, &mut notes);
        let out: Value = serde_json::from_slice(&out.expect("translates")).expect("JSON");
        let given = &out["messages"][2]["content"][0]["content"];
        let expected =
            json!([{"type": "text", "text": "1", "cache_control": {"type": "ephemeral"}}]);
        assert_eq!(*given == expected, marked, "{out}");
        assert_eq!(notes.dropped().is_empty(), marked, "{content}");
    }
}

/// Without it the assistant's text would be one that the model is to go on with.
#[test]
fn a_last_word_of_blanks_behind_the_assistants_is_refused() {
    let said = |role: &str, content: &str| json!({"role": role, "content": content});
    for blank in ["", " \n"] {
        let last = json!([
            said("user", "Hi"),
            said("assistant", "Well"),
            said("user", blank)
        ]);
        let error = spoken(last).map(|_| ()).expect_err("refused");
        assert_eq!(error.param(), Some("messages[2].content"));
        assert_eq!(error.code(), Some("invalid_value"));
    }
    for fine in [
        json!([said("user", "Hi"), said("user", " ")]),
        json!([
            said("user", "Hi"),
            said("assistant", " "),
            said("user", " ")
        ]),
        json!([
            said("user", "Hi"),
            said("assistant", "Well"),
            said("user", " "),
            said("user", "So?")
        ]),
        json!([
            said("user", "Hi"),
            said("assistant", "Well"),
            said("user", " "),
            said("assistant", "and")
        ]),
        json!([
            said("user", "Hi"),
            said("assistant", "Well"),
            said("assistant", " ")
        ]),
    ] {
        spoken(fine).expect("translates");
    }
}

/// Source: the API's own message, `a ttl='1h' cache_control block must not come after a ttl='5m'
/// cache_control block`; tools come before instructions, and those before messages.
#[test]
fn a_mark_does_not_last_longer_than_one_before_it() {
    let [short, long] = ["5m", "1h"].map(|ttl| json!({"type": "ephemeral", "ttl": ttl}));
    let part = |mark: &Value| json!({"type": "text", "text": "x", "cache_control": mark});
    let body = |tool: &Value, system: &Value, user: &Value| {
        json!({"model": "m",
            "tools": [{"type": "function", "function": {"name": "f"}, "cache_control": tool}],
            "messages": [{"role": "user", "content": [part(user)]}, {"role": "system", "content": [part(system)]}]})
    };
    let marks = |body: &Value, door: request::Door| {
        let mut notes = Notes::default();
        let out = request::body(&chat(body), "claude-sonnet-4-5", door, &mut notes);
        let out: Value = serde_json::from_slice(&out.expect("translates")).expect("JSON");
        let ttl = |mark: Option<&Value>| match mark {
            Some(mark) if mark["ttl"] == "1h" => 'l',
            Some(_) => 's',
            None => '-',
        };
        let places = ["/tools/0", "/system/0", "/messages/0/content/0"];
        let mut told: String = places
            .map(|at| ttl(out.pointer(&format!("{at}/cache_control"))))
            .into_iter()
            .collect();
        told.push(ttl(out.get("cache_control")));
        (told, notes.mapped().to_vec())
    };
    let told = ["messages[].content[].cache_control"];
    for door in [request::Door::Own, request::Door::Vertex] {
        for (tool, system, user, wanted, changed) in [
            (&long, &long, &long, "lll-", false),
            (&long, &short, &short, "lss-", false),
            (&short, &long, &short, "sss-", true),
            (&long, &short, &long, "lss-", true),
        ] {
            let (marks, mapped) = marks(&body(tool, system, user), door);
            assert_eq!(marks, wanted);
            assert_eq!(mapped, told[..usize::from(changed)]);
        }
    }
    let mut whole = body(&short, &Value::Null, &Value::Null);
    whole["cache_control"] = long.clone();
    let mapped = vec!["cache_control".into()];
    assert_eq!(marks(&whole, request::Door::Own), ("s--s".into(), mapped));
    let mapped = vec![told[0].into()];
    assert_eq!(
        marks(&whole, request::Door::Vertex),
        ("s-s-".into(), mapped)
    );
    let mut whole = body(&long, &Value::Null, &Value::Null);
    whole["cache_control"] = long.clone();
    assert_eq!(
        marks(&whole, request::Door::Vertex),
        ("l-l-".into(), vec![])
    );
}

/// Reasoning of another model is told to clients of the Messages API so, and comes back so.
#[test]
fn what_nobody_signed_does_not_go_back() {
    for entry in [
        json!({"type": "thinking", "thinking": "hm"}),
        json!({"type": "thinking", "thinking": "hm", "signature": ""}),
        json!({"type": "redacted_thinking"}),
    ] {
        let said = json!({"role": "assistant", "content": "x", "reasoning_details": [entry]});
        let user = json!({"role": "user", "content": "Hi"});
        let (turns, notes) = spoken(json!([user, said, user])).expect("translates");
        assert_eq!(turns[1]["content"], json!([{"type": "text", "text": "x"}]));
        assert_eq!(notes.dropped(), ["messages[].reasoning_details"]);
    }
}
