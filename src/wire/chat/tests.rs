use super::*;

#[test]
fn every_member_is_borrowed() {
    let body = r#"{"model":"m","messages":[
        {"role":"system","content":"be\nbrief"},
        {"role":"user","content":[{"type":"text","text":"Hi"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}},
          {"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}},
          {"type":"file","file":{"file_data":"AA==","filename":"a.txt"},"prompt_cache_breakpoint":{"mode":"explicit","ttl":"12h"}},
          {"type":"other","what":1}]},
        {"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":""}},{"id":"d","type":"custom","custom":{"name":"g","input":"x\"y"}}]},
        {"role":"tool","tool_call_id":"c","content":"42"}],
        "temperature":1,"max_tokens":1e2,"stop":"END","tool_choice":{"type":"function","function":{"name":"f"}},
        "response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}},
        "user":null,"top_k":5,"x":null}"#;
    let request = Request::parse(body.as_bytes()).expect("parses");
    assert_eq!(request.max_output(), Some(100));
    assert_eq!(&*request.stop.expect("given").0[0], "END");
    assert!(request.user.is_none());
    assert_eq!(request.rest.len(), 1);
    let Some(Content::Parts(parts)) = &request.messages[1].content else {
        panic!("parts");
    };
    assert!(matches!(
        parts[0].text.clone().expect("text").into_cow(),
        std::borrow::Cow::Borrowed("Hi")
    ));
    let image = parts[1].image_url.as_ref().expect("image");
    assert_eq!(image.data(), Some(("image/png", "AAAA")));
    let file = parts[3].file.as_ref().expect("file");
    assert_eq!(file.data(), Some(("text/plain", "AA==")));
    assert!(parts[3].breakpoint().expect("marked").is_long());
    let calls = request.messages[2].calls();
    assert_eq!((calls[0].name(), &*calls[0].arguments()), ("f", "{}"));
    assert_eq!(&*calls[1].arguments(), r#"{"input":"x\"y"}"#);
    assert!(matches!(request.tool_choice, Some(ToolChoice::Named(name)) if &*name == "f"));
}

#[test]
fn tool_choices() {
    for (text, shape) in [
        (r#""none""#, "None"),
        (r#""auto""#, "Auto"),
        (r#""required""#, "Required"),
        (
            r#"{"type":"custom","custom":{"name":"c"}}"#,
            "Named(Text(1 bytes))",
        ),
        (
            r#"{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}}]}}"#,
            "Allowed(Required, [Text(1 bytes)])",
        ),
    ] {
        let choice: ToolChoice<'_> = serde_json::from_str(text).expect("parses");
        assert_eq!(format!("{choice:?}"), shape);
    }
    assert!(serde_json::from_str::<ToolChoice<'_>>(r#""always""#).is_err());
    assert!(serde_json::from_str::<ToolChoice<'_>>("{}").is_err());
}

#[test]
fn nothing_said_is_shown() {
    let body = br#"{"model":"m","messages":[{"role":"user","content":"secret"}],"metadata":{"k":"secret"}}"#;
    let request = Request::parse(body).expect("parses");
    assert!(!format!("{request:?}").contains("secret"));
}

#[test]
fn what_is_wrong_fails() {
    for body in [
        r#"{"model":"m"}"#,
        r#"{"messages":[]}"#,
        r#"{"model":1,"messages":[]}"#,
        r#"{"model":"m","messages":[{"role":"king"}]}"#,
        r#"{"model":"m","messages":[],"max_tokens":1.5}"#,
        "[]",
    ] {
        assert!(Request::parse(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn a_text_is_written_as_it_was_spelled() {
    for spelled in [
        r#""""#,
        r#""plain""#,
        r#""a\"b\n\/""#,
        r#""\u00e9 \ud83d\ude00""#,
        r#""é""#,
    ] {
        let text: Text<'_> = serde_json::from_str(spelled).expect("a string");
        assert_eq!(serde_json::to_string(&text).expect("writes"), spelled);
        let meant: String = serde_json::from_str(spelled).expect("a string");
        assert_eq!(
            (text.as_str(), text.is_empty()),
            (&*meant, meant.is_empty())
        );
        assert_eq!(text, Text::from(meant.clone()));
        assert_eq!(serde_json::to_value(&text).expect("writes"), meant);
        assert_eq!(text.into_cow(), meant);
    }
    for broken in [
        "1",
        "null",
        r#""\ud83d""#,
        r#""\ud83dx""#,
        r#""\x""#,
        "\"\n\"",
        "[]",
    ] {
        assert!(
            serde_json::from_str::<Text<'_>>(broken).is_err(),
            "{broken}"
        );
    }
    let owned = Text::from("q\"\n".to_owned());
    assert_eq!(serde_json::to_string(&owned).expect("writes"), r#""q\"\n""#);
}
