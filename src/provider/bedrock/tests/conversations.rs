use super::*;

#[test]
fn a_conversation_with_everything_in_it() {
    let body = json!({"model": "m",
        "tools": [{"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "g"}}],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]}},
        "messages": [
        {"role": "developer", "content": [{"type": "text", "text": "Be brief.", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}]},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [
            {"type": "text", "text": " "},
            {"type": "text", "text": "Look"},
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,QUJD"}, "cache_control": {"type": "ephemeral"}},
            {"type": "file", "file": {"filename": "my_notes  v2.pdf", "file_data": "data:application/pdf;base64,UERG"}},
            {"type": "file", "file": {"filename": "a.csv", "file_data": "QUJD"}},
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}]},
        {"role": "user", "content": "please"},
        {"role": "assistant", "content": "Well", "reasoning_details": [
            {"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "redacted_thinking", "data": "b3BhcXVl"}, {"type": "other"}],
         "tool_calls": [{"id": "call 1", "type": "function", "function": {"name": "f", "arguments": "{\"z\":1,\"a\":2}"}},
                        {"id": "x".repeat(80), "type": "custom", "custom": {"name": "g", "input": "free"}}]},
        {"role": "user", "content": "And?"},
        {"role": "tool", "tool_call_id": "x".repeat(80), "content": [{"type": "text", "text": "2"}]},
        {"role": "tool", "tool_call_id": "call 1", "content": ""}]});
    let (out, notes) = noted(&body, CLAUDE).expect("translates");
    // That of another kind is not its own.
    assert_eq!(notes.dropped(), ["messages[].reasoning_details"]);
    assert!(notes.mapped().is_empty());
    assert_eq!(
        out["system"],
        json!([{"text": "Be brief."}, {"cachePoint": {"type": "default", "ttl": "1h"}}, {"text": "Be kind."}])
    );
    assert_eq!(
        out["messages"][0],
        json!({"role": "user", "content": [
            {"text": "Look"},
            {"image": {"format": "jpeg", "source": {"bytes": "QUJD"}}},
            {"cachePoint": {"type": "default"}},
            {"document": {"format": "pdf", "name": "my notes v2", "source": {"bytes": "UERG"}}},
            {"document": {"format": "csv", "name": "a", "source": {"bytes": "QUJD"}}},
            {"audio": {"format": "wav", "source": {"bytes": "QUJD"}}},
            {"text": "please"}]})
    );
    let spoken = &out["messages"][1]["content"];
    assert_eq!(
        spoken[0],
        json!({"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}})
    );
    assert_eq!(
        spoken[1],
        json!({"reasoningContent": {"redactedContent": "b3BhcXVl"}})
    );
    assert_eq!(spoken[2], json!({"text": "Well"}));
    let ids: Vec<&str> = [3, 4]
        .map(|at: usize| spoken[at]["toolUse"]["toolUseId"].as_str().expect("an id"))
        .into();
    for id in &ids {
        let fits = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
        assert!((1..=64).contains(&id.len()) && id.chars().all(fits), "{id}");
    }
    assert_eq!(spoken[3]["toolUse"]["input"], json!({"z": 1, "a": 2}));
    assert_eq!(spoken[4]["toolUse"]["input"], json!({"input": "free"}));
    let back = &out["messages"][2]["content"];
    assert_eq!(
        back[0],
        json!({"toolResult": {"toolUseId": ids[1], "content": [{"text": "2"}]}})
    );
    assert_eq!(
        back[1],
        json!({"toolResult": {"toolUseId": ids[0], "content": [{"text": "(no output)"}]}})
    );
    assert_eq!(back[2], json!({"text": "And?"}));
    assert_eq!(out["toolConfig"]["tools"].as_array().map(Vec::len), Some(1));
    assert_eq!(out["toolConfig"]["toolChoice"], json!({"any": {}}));
}

#[test]
fn a_conversation_with_calls_keeps_its_tools() {
    let history = json!([
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"role": "tool", "tool_call_id": "a", "content": "1"}]);
    let tools = json!([{"type": "function", "function": {"name": "f", "description": "d"}}]);
    let mut body = json!({"model": "m", "messages": history});
    let out = sent(&body, CLAUDE);
    assert_eq!(out["toolConfig"]["tools"][0]["toolSpec"]["name"], "f");
    assert_eq!(
        out["additionalModelRequestFields"]["tool_choice"]["type"],
        "none"
    );
    assert_eq!(
        sent(&body, NOVA)["toolConfig"]["tools"][0]["toolSpec"]["name"],
        "f"
    );
    body["tools"] = tools;
    body["tool_choice"] = "none".into();
    let out = sent(&body, CLAUDE);
    assert_eq!(
        out["toolConfig"]["tools"][0]["toolSpec"]["description"],
        "d"
    );
    assert_eq!(
        out["additionalModelRequestFields"]["tool_choice"]["type"],
        "none"
    );
    assert_eq!(refused(&body, NOVA).0, "tool_choice");
}

#[test]
fn a_conversation_starts_with_the_user() {
    let dot = json!({"role": "user", "content": [{"text": "."}]});
    let system = json!({"role": "system", "content": "Be brief."});
    let greeting = json!({"role": "assistant", "content": "How can I help?"});
    let asked = json!({"role": "user", "content": "Hi"});
    let said = json!({"role": "assistant", "content": [{"text": "How can I help?"}]});
    let hi = json!({"role": "user", "content": [{"text": "Hi"}]});
    for (given, turns, mapped) in [
        (
            json!([&system, &greeting, &asked]),
            json!([&dot, said, hi]),
            &["messages"][..],
        ),
        (json!([&system, &asked]), json!([hi]), &[]),
    ] {
        let (out, notes) = noted(&json!({"model": "m", "messages": given}), NOVA).expect("sent");
        assert_eq!(out["messages"], turns);
        assert_eq!(out["system"], json!([{"text": "Be brief."}]));
        assert_eq!(notes.mapped(), mapped);
    }
    let out = sent(&json!({"model": "m", "messages": [system]}), NOVA);
    let alone = json!([{"role": "user", "content": [{"text": "Be brief."}]}]);
    assert_eq!(out["messages"], alone);
    assert_eq!(out.get("system"), None);
}

#[test]
fn what_claude_said_last_does_not_end_in_blanks() {
    let body = with(json!({"messages": [{"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "{ \n"}]}));
    for (model, text, changed) in [(CLAUDE, "{", true), (NOVA, "{ \n", false)] {
        let (out, notes) = noted(&body, model).expect("sent");
        assert_eq!(out["messages"][1]["content"], json!([{"text": text}]));
        assert_eq!(
            notes.mapped().contains(&"messages[].content".into()),
            changed
        );
    }
    let text = json!([{"type": "text", "text": "{ ", "cache_control": {"type": "ephemeral"}}]);
    let body = with(json!({"messages": [{"role": "user", "content": "Hi"},
        {"role": "assistant", "content": text}]}));
    let (out, _) = noted(&body, CLAUDE).expect("sent");
    let marked = json!([{"text": "{"}, {"cachePoint": {"type": "default"}}]);
    assert_eq!(out["messages"][1]["content"], marked);
}

#[test]
fn thinking_stands_before_what_it_was_thought_for_or_goes() {
    let user = json!({"role": "user", "content": "Hi"});
    let said = json!({"role": "assistant", "content": "One."});
    let details = json!([{"type": "thinking", "thinking": "t", "signature": "s"}]);
    let thought = |content: &str| json!({"role": "assistant", "content": content, "reasoning_details": details});
    let mut calling = thought("Two.");
    calling["tool_calls"] =
        json!([{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let call = json!({"role": "assistant", "tool_calls": calling["tool_calls"]});
    for (messages, kinds, lost) in [
        (
            json!([user, thought(" "), user]),
            vec!["text", "text"],
            true,
        ),
        (
            json!([user, said, thought("Two."), user]),
            vec!["text", "text"],
            true,
        ),
        (
            json!([user, thought(""), call, {"role": "tool", "tool_call_id": "a", "content": "1"}]),
            vec!["reasoningContent", "toolUse"],
            false,
        ),
        (
            json!([user, said, calling, {"role": "tool", "tool_call_id": "a", "content": "1"}]),
            vec!["reasoningContent", "text", "text", "toolUse"],
            false,
        ),
    ] {
        let (out, notes) = noted(&with(json!({"messages": messages})), CLAUDE).expect("sent");
        let turns = out["messages"].as_array().expect("turns");
        let blocks = turns[turns.len().min(2) - 1]["content"].as_array();
        let kind = |block: &Value| block.as_object().and_then(|it| it.keys().next().cloned());
        let found: Vec<String> = blocks.expect("blocks").iter().filter_map(kind).collect();
        assert_eq!(found, kinds, "{messages}");
        let told = notes
            .dropped()
            .contains(&"messages[].reasoning_details".into());
        assert_eq!(told, lost, "{messages}");
    }
}

#[test]
fn a_conversation_that_says_nothing_is_refused() {
    let body = with(json!({"messages": [{"role": "user", "content": " "}]}));
    let param = "messages[0].content".to_owned();
    assert_eq!(refused(&body, CLAUDE), (param, "invalid_value".to_owned()));
}

/// Where marks stand: in the tools, the instructions and each turn, as `.` for what is none.
fn marks(body: &Value) -> (Vec<String>, Notes) {
    let (out, notes) = noted(body, CLAUDE).expect("sent");
    let told = |list: &Value| -> String {
        let each = list.as_array().into_iter().flatten();
        each.map(|block| match block["cachePoint"]["ttl"].as_str() {
            Some(_) => 'L',
            None if block.get("cachePoint").is_some() => 'm',
            None => '.',
        })
        .collect()
    };
    let turns = out["messages"].as_array().expect("turns").iter();
    let mut all = vec![told(&out["toolConfig"]["tools"]), told(&out["system"])];
    all.extend(turns.map(|turn| told(&turn["content"])));
    (all, notes)
}

#[test]
fn marks_are_apart_and_four_at_most() {
    let mark = json!({"type": "ephemeral"});
    let part = |text: &str| json!({"type": "text", "text": text, "cache_control": mark});
    let calls: Vec<Value> = ["a", "b"]
        .map(|id| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}))
        .into();
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": [part("1")]});
    // That of the request lasts for an hour, which none may that comes behind one of minutes.
    let long = json!({"type": "ephemeral", "ttl": "1h"});
    let tool = json!({"type": "function", "function": {"name": "f"}, "cache_control": long});
    let mut body = json!({"model": "m", "tools": [tool],
        "cache_control": long,
        "messages": [{"role": "user", "content": "Hi"},
            {"role": "assistant", "content": null, "tool_calls": calls},
            result("a"), result("b")]});
    let (found, notes) = marks(&body);
    // The results come first, and behind them the mark of each, and that of the request.
    assert_eq!(found, [".L", "", ".", "..", "..L"]);
    assert!(notes.dropped().is_empty(), "{notes:?}");
    body["messages"][0] = json!({"role": "user", "content": [part("a"), part("b"), part("c")]});
    let (found, notes) = marks(&body);
    assert_eq!(found, [".", "", ".m.m.m", "..", "..m"]);
    assert_eq!(notes.dropped(), ["messages[].content[].cache_control"]);
}

#[test]
fn documents_come_with_a_text() {
    let file = json!({"type": "file", "file": {"file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"}});
    let blank = json!({"type": "text", "text": " "});
    let text = json!({"type": "text", "text": "Read."});
    let document = json!({"document": {"format": "pdf", "name": "a", "source": {"bytes": "AA"}}});
    for (content, blocks, added) in [
        (json!([file, blank]), json!([document, {"text": "."}]), true),
        (
            json!([file, text]),
            json!([document, {"text": "Read."}]),
            false,
        ),
        (json!([text]), json!([{"text": "Read."}]), false),
    ] {
        let body = with(json!({"messages": [{"role": "user", "content": content}]}));
        let (out, notes) = noted(&body, CLAUDE).expect("sent");
        assert_eq!(out["messages"][0]["content"], blocks);
        assert_eq!(
            notes.mapped().contains(&"messages".into()),
            added,
            "{content}"
        );
    }
    // What a tool gave needs none.
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let body = with(json!({"messages": [{"role": "user", "content": "Hi"},
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": [file]}]}));
    let (out, notes) = noted(&body, CLAUDE).expect("sent");
    assert_eq!(
        out["messages"][2]["content"].as_array().map(Vec::len),
        Some(1)
    );
    assert!(notes.mapped().is_empty());
}

#[test]
fn a_last_word_of_blanks_behind_the_assistants_is_refused() {
    let said = |role: &str, content: &str| json!({"role": role, "content": content});
    let turns = [
        said("user", "Hi"),
        said("assistant", "Well"),
        said("user", " "),
    ];
    let body = with(json!({"messages": turns}));
    for model in [CLAUDE, NOVA] {
        let why = ("messages[2].content".to_owned(), "invalid_value".to_owned());
        assert_eq!(refused(&body, model), why);
    }
}

#[test]
fn a_mark_does_not_last_longer_than_one_before_it() {
    let [short, long] = ["5m", "1h"].map(|ttl| json!({"type": "ephemeral", "ttl": ttl}));
    let part = |mark: &Value| json!({"type": "text", "text": "x", "cache_control": mark});
    for (tool, system, user, wanted, changed) in [
        (&long, &long, &long, [".L", ".L", ".L"], false),
        (&long, &short, &short, [".L", ".m", ".m"], false),
        (&short, &long, &short, [".m", ".m", ".m"], true),
        (&long, &short, &long, [".L", ".m", ".m"], true),
    ] {
        let body = json!({"model": "m",
            "tools": [{"type": "function", "function": {"name": "f"}, "cache_control": tool}],
            "messages": [{"role": "user", "content": [part(user)]}, {"role": "system", "content": [part(system)]}]});
        let (found, notes) = marks(&body);
        assert_eq!(found, wanted);
        let told = ["messages[].content[].cache_control"];
        assert_eq!(notes.mapped(), &told[..usize::from(changed)]);
    }
}

#[test]
fn what_nobody_signed_does_not_go_back() {
    for entry in [
        json!({"type": "thinking", "thinking": "hm"}),
        json!({"type": "thinking", "thinking": "hm", "signature": ""}),
    ] {
        let said = json!({"role": "assistant", "content": "x", "reasoning_details": [entry]});
        let user = json!({"role": "user", "content": "Hi"});
        let body = with(json!({"messages": [user, said, user]}));
        let (out, notes) = noted(&body, CLAUDE).expect("translates");
        assert_eq!(out["messages"][1]["content"], json!([{"text": "x"}]));
        assert_eq!(notes.dropped(), ["messages[].reasoning_details"]);
    }
}

#[test]
fn names_that_a_model_made_up_go_back_as_names() {
    let long = "x".repeat(200);
    for (name, goes) in [
        ("f-1_x", "f-1_x".to_owned()),
        ("$READ.file", "_READ_file".to_owned()),
        (&long, "x".repeat(64)),
    ] {
        let call =
            json!({"id": "a", "type": "function", "function": {"name": name, "arguments": "{}"}});
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "a", "content": "no such tool"}]});
        let out = sent(&body, "anthropic.claude-sonnet-4-5");
        assert_eq!(out["messages"][1]["content"][0]["toolUse"]["name"], goes);
        assert_eq!(out["toolConfig"]["tools"][0]["toolSpec"]["name"], goes);
    }
}

/// As many as fit into a request: each is looked for once, whatever was called before it.
#[test]
fn a_history_of_many_calls_names_each_tool_once() {
    let call = |at: usize| {
        json!({"id": at.to_string(), "type": "function",
            "function": {"name": format!("f{}", at % 20_000), "arguments": "{}"}})
    };
    let calls: Vec<_> = (0..20_001).map(call).collect();
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": calls},
        {"role": "user", "content": "On"}]});
    let out = sent(&body, "anthropic.claude-sonnet-4-5");
    let tools = out["toolConfig"]["tools"].as_array().expect("a list");
    assert_eq!(tools.len(), 20_000);
    for at in [0, 1, 19_999] {
        assert_eq!(tools[at]["toolSpec"]["name"], format!("f{at}"));
    }
}
