use super::*;

#[test]
fn a_whole_answer() {
    let body = json!({"candidates": [
        {"index": 0, "finishReason": "MAX_TOKENS", "content": {"parts": [
            {"text": "th", "thought": true}, {"text": "Hi "}, {"text": "you"},
            {"executableCode": {"code": "1"}},
            {"inlineData": {"mimeType": "image/png", "data": "AA=="}}]},
         "logprobsResult": {"chosenCandidates": [{"token": "Hi", "tokenId": 1, "logProbability": -0.5}],
            "topCandidates": [{"candidates": [{"token": "Ho", "logProbability": -1.5}]}]}},
        {"index": 1, "finishReason": "STOP", "content": {"parts": [{"functionCall": {"name": "f", "args": {"z": 1, "a": 2}}}]}}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 5, "thoughtsTokenCount": 2, "totalTokenCount": 6},
        "responseId": "r"});
    let answer = response::answer(format!("{body:#}").as_bytes(), &asked()).expect("reads");
    let usage = answer.usage.expect("counted");
    assert_eq!(
        (usage.input, usage.output, usage.reasoning),
        (1, 5, 2),
        "thoughts are among them"
    );
    let out: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(
        (&out["model"], &out["created"], &out["id"]),
        (&json!("gemini-2.5-flash"), &json!(7), &json!("r"))
    );
    let said = &out["choices"][0];
    assert_eq!(said["message"]["content"], "Hi you");
    assert_eq!(said["message"]["reasoning_content"], "th");
    assert_eq!(
        said["message"]["images"][0]["image_url"]["url"],
        "data:image/png;base64,AA=="
    );
    assert_eq!(said["finish_reason"], "length");
    assert_eq!(
        said["logprobs"]["content"][0],
        json!({"token": "Hi", "logprob": -0.5, "bytes": [72, 105],
        "top_logprobs": [{"token": "Ho", "logprob": -1.5, "bytes": [72, 111]}]})
    );
    let called = &out["choices"][1];
    assert_eq!(called["finish_reason"], "tool_calls");
    assert_eq!(called["message"]["content"], Value::Null);
    let call = &called["message"]["tool_calls"][0];
    assert_eq!(call["function"]["arguments"], r#"{"a":2,"z":1}"#);
    assert_eq!(call["id"], "call_r_1_0");
}

/// What was answered, sent back as the next turn, is what the provider had said.
#[test]
fn an_answer_survives_the_round_trip() {
    let parts = json!([
        {"text": "So: "},
        {"text": "", "thoughtSignature": "s0"},
        {"functionCall": {"id": "own", "name": "f", "args": {"a": [1, 2.50]}}, "thoughtSignature": "s1"},
        {"functionCall": {"id": "two", "name": "g", "args": {}}}]);
    let body = json!({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}], "responseId": "r"});
    let answer = response::answer(body.to_string().as_bytes(), &asked()).expect("reads");
    let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let back = with("messages", json!([answer["choices"][0]["message"]]));
    let (out, notes) = translate(&back, "gemini-3-pro");
    assert_eq!(
        out.expect("translates")["contents"][1],
        json!({"role": "model", "parts": parts})
    );
    assert!(notes.dropped().is_empty(), "{notes:?}");
}

#[test]
fn files_that_it_made_go_back_to_it() {
    let parts = json!([
        {"text": "So: "},
        {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/v.mp4"}},
        {"text": "and "},
        {"fileData": {"fileUri": "https://h/a.png", "mimeType": "image/png"}}]);
    let body = json!({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}], "responseId": "r"});
    let answer = response::answer(body.to_string().as_bytes(), &asked()).expect("reads");
    let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let back = with("messages", json!([answer["choices"][0]["message"]]));
    let (out, notes) = translate(&back, "gemini-2.5-flash");
    let sent = &out.expect("translates")["contents"][0]["parts"];
    assert_eq!(sent, &parts);
    assert!(notes.dropped().is_empty(), "{notes:?}");
}

#[test]
fn a_name_that_the_provider_does_not_take_goes_there_and_comes_back() {
    let name = "3d-render";
    let named = json!({"type": "function", "function": {"name": name}});
    let call =
        json!({"id": "own", "type": "function", "function": {"name": name, "arguments": "{}"}});
    let mut body = with(
        "messages",
        json!([{"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "own", "content": "1"}]),
    );
    body["tools"] = json!([named]);
    body["tool_choice"] = named.clone();
    let out = translated(&body, "gemini-2.5-flash");
    for place in [
        "/tools/0/functionDeclarations/0/name",
        "/toolConfig/functionCallingConfig/allowedFunctionNames/0",
        "/contents/1/parts/0/functionCall/name",
        "/contents/2/parts/0/functionResponse/name",
    ] {
        let sent = out.pointer(place).and_then(Value::as_str);
        assert_eq!(sent, Some("_.3d-render"), "{place}");
    }
    let parts = json!([{"functionCall": {"name": "_.3d-render", "args": {}}}]);
    let event =
        json!({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}).to_string();
    let answer = response::answer(event.as_bytes(), &asked()).expect("reads");
    let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let back = &answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"];
    assert_eq!(back, name);
    let (_, text, _) = run(
        Streaming::Events,
        &[format!("data: {event}\n\n").as_bytes()],
    );
    assert!(text.contains(r#""name":"3d-render""#), "{text}");
}

#[test]
fn speech_in_pieces_is_one() {
    for (pieces, whole) in [
        (["AAEC", "AwQF"], "AAECAwQF"),
        // Each padded for itself: joined by its bytes.
        (["AAE=", "AgM="], "AAECAw=="),
        ([r"AAE\u003d", "AgMEBQ=="], "AAECAwQF"),
    ] {
        let part = |data: &str| {
            format!(r#"{{"inlineData":{{"mimeType":"audio/L16;rate=24000","data":"{data}"}}}}"#)
        };
        let body = format!(
            r#"{{"candidates":[{{"content":{{"parts":[{},{}]}},"finishReason":"STOP"}}],"responseId":"r"}}"#,
            part(pieces[0]),
            part(pieces[1]),
        );
        let answer = response::answer(body.as_bytes(), &asked()).expect("reads");
        let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let audio = &answer["choices"][0]["message"]["audio"];
        assert_eq!((&audio["id"], &audio["data"]), (&json!("r"), &json!(whole)));
    }
}

/// Some that stand in for the API answer with the list that they would have streamed.
#[test]
fn an_answer_in_a_list_is_one() {
    let part = |part: Value| json!({"content": {"parts": [part]}, "index": 0});
    let mut last = part(json!({"functionCall": {"id": "a", "name": "f", "args": {}}}));
    last["finishReason"] = "STOP".into();
    let list = json!([
        {"candidates": [part(json!({"text": "hm", "thought": true}))], "responseId": "r"},
        {"candidates": [part(json!({"text": "Hi "}))], "responseId": "r"},
        {"candidates": [part(json!({"text": "you"}))], "responseId": "r"},
        {"candidates": [last], "responseId": "r",
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7}}]);
    let answer = response::answer(format!(" {list:#}").as_bytes(), &asked()).expect("reads");
    assert_eq!(
        answer.usage.map(|usage| (usage.input, usage.output)),
        Some((3, 4))
    );
    let out: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(
        (&out["id"], &out["object"]),
        (&json!("r"), &json!("chat.completion"))
    );
    assert_eq!(out["usage"]["total_tokens"], 7);
    let choice = &out["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    let message = &choice["message"];
    assert_eq!(
        (&message["content"], &message["reasoning_content"]),
        (&json!("Hi you"), &json!("hm"))
    );
    assert_eq!(message["tool_calls"][0]["function"]["name"], "f");
    for (list, class) in [
        (
            json!([list[0], {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "x"}}]),
            Class::RateLimit,
        ),
        (json!([list[0]]), Class::Transient),
        (json!([]), Class::Transient),
    ] {
        let error = response::answer(list.to_string().as_bytes(), &asked()).expect_err("none");
        assert_eq!(error.class(), Some(class), "{list}");
    }
}

#[test]
fn a_list_tells_all_that_one_answer_does() {
    let inline = |kind: &str, data: &str| json!({"inlineData": {"mimeType": kind, "data": data}});
    let answer = |parts: Value, finish: Value| json!({"responseId": "r", "modelVersion": "v", "candidates": [{"index": 0, "content": {"parts": parts}, "finishReason": finish}]});
    let first = json!([{"text": "hm", "thought": true}, {"text": "Look:"}, inline("image/png", "AAAA"), inline("audio/L16", "QQ==")]);
    let last = json!([inline("image/png", "BBBB"), inline("audio/L16", "QkM="), {"text": "!", "thoughtSignature": "s"},
        {"functionCall": {"id": "a", "name": "f", "args": {}}, "thoughtSignature": "t"}]);
    let all: Vec<Value> = [&first, &last]
        .into_iter()
        .flat_map(|it| it.as_array().expect("parts").clone())
        .collect();
    let whole = answer(all.into(), "STOP".into());
    let list = json!([answer(first, Value::Null), answer(last, "STOP".into())]);
    let told = |body: &Value| {
        let answer = response::answer(body.to_string().as_bytes(), &asked()).expect("reads");
        let out: Value = serde_json::from_slice(&answer.body).expect("JSON");
        out["choices"].clone()
    };
    assert_eq!(told(&list), told(&whole));
}

/// The parts that its own tools wrote, as the API sends them.
fn with_tools_of_its_own() -> Value {
    json!([
        {"toolCall": {"id": "t1", "toolType": "GOOGLE_SEARCH_WEB", "args": {"queries": ["x"]}}, "thoughtSignature": "s1"},
        {"toolResponse": {"id": "t1", "toolType": "GOOGLE_SEARCH_WEB", "response": {"a": 1}}, "thoughtSignature": "s2"},
        {"text": "H\u{e9} "},
        {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"text": "you"},
        {"functionCall": {"id": "own", "name": "f", "args": {}}, "thoughtSignature": "s3"}])
}

#[test]
fn what_its_own_tools_did_goes_back_to_its_place() {
    let parts = with_tools_of_its_own();
    let whole = json!({"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]});
    let answer = response::answer(whole.to_string().as_bytes(), &asked()).expect("an answer");
    let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let said = &answer["choices"][0]["message"];
    assert_eq!(said["content"], "H\u{e9} you");
    assert_eq!(said["tool_calls"].as_array().map(Vec::len), Some(1));

    let events: String = parts
        .as_array()
        .expect("parts")
        .iter()
        .map(|part| {
            let event = json!({"candidates": [{"content": {"parts": [part]}}]});
            format!("data: {event}\n\n")
        })
        .collect();
    let end = json!({"candidates": [{"finishReason": "STOP"}]});
    let (ended, text, _) = run(
        Streaming::Events,
        &[format!("{events}data: {end}\n\n").as_bytes()],
    );
    ended.expect("whole");
    let streamed = crate::reframe::fold(text.as_bytes()).expect("whole");
    let streamed: Value = serde_json::from_slice(&streamed).expect("JSON");
    let streamed = &streamed["choices"][0]["message"];

    let messages = |said: &Value| {
        json!([{"role": "user", "content": "Hi"}, said,
            {"role": "tool", "tool_call_id": "own", "content": "1"}])
    };
    for said in [said, streamed] {
        let (out, notes) = translate(&with("messages", messages(said)), "gemini-3-pro");
        assert_eq!(out.expect("translates")["contents"][1]["parts"], parts);
        assert!(notes.dropped().is_empty(), "{notes:?}");
    }
    // Elsewhere calls of its own are not known.
    let dropped = |model: &str, door: Door| {
        let mut notes = Notes::default();
        let body = with("messages", messages(said));
        let out = request::body(&chat(&body), model, door, &mut notes).expect("translates");
        let out: Value = serde_json::from_slice(&out.body).expect("JSON");
        assert!(!out.to_string().contains("toolCall") && out.to_string().contains("print(1)"));
        notes.dropped().to_vec()
    };
    let told = ["messages[].reasoning_details"];
    assert_eq!(dropped("gemini-2.5-pro", Door::Api), told);
    assert_eq!(dropped("gemini-3-pro", Door::Vertex), told);
}

#[test]
fn a_call_of_no_name_is_no_answer() {
    for call in [json!({"args": {"a": 1}}), json!({"name": "", "args": {}})] {
        let part = json!({"functionCall": call});
        let whole = json!({"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]});
        let text = whole.to_string();
        response::answer(text.as_bytes(), &asked()).expect_err("no answer");
        let (ended, out, _) = run(Streaming::Events, &[format!("data: {text}\n\n").as_bytes()]);
        ended.expect_err("no answer");
        assert!(!out.contains("[DONE]"), "{out}");
    }
}
