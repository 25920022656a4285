//! What upstreams do to their streams is the same to one answer and to several.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};
use tower_completions::{
    Dialect,
    body::Full,
    meter::{Outcome, Tally},
    parse::ParseLayer,
    provider::{ParallelLayer, Provider, openai::OpenAi},
    reframe::ReframeLayer,
};

const ROLE: &str = r#"{"id":"up","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"a"},"finish_reason":null}]}"#;
const FINISH: &str = r#"{"id":"up","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"id":"up","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}"#;
const DONE: &str = "data: [DONE]\n\n";

/// What `n` such answers come to: the code of the error or how it ended, and the usage.
async fn ask(body: &'static str, kind: &'static str, n: u64) -> (String, Option<(u64, u64)>) {
    let client = tower::service_fn(move |_: Request<Full>| async move {
        let response = Response::builder().header("content-type", kind);
        Ok::<_, Infallible>(response.body(Full::new(body)).expect("a response"))
    });
    let translate = OpenAi::new("https://api.groq.com/openai/v1").expect("a URL");
    let provider = Provider::new("p", client, translate);
    let service = ReframeLayer::new(Dialect::openai()).layer(ParallelLayer::new().layer(provider));
    let stream = kind != "application/json";
    let request = json!({"model": "m", "n": n, "stream": stream,
        "stream_options": stream.then(|| json!({"include_usage": true})),
        "messages": [{"role": "user", "content": "Hi"}]});
    let request = Request::post("/").body(Full::new(request.to_string()));
    let response = service.oneshot(request.expect("a request")).await;
    let (head, body) = response.expect("infallible").into_parts();
    let text = body.collect().await.expect("whole").to_bytes();
    let text = String::from_utf8(text.to_vec()).expect("UTF-8");
    let tally = head.extensions.get::<Tally>();
    let usage = tally.and_then(Tally::usage).map(|it| (it.input, it.output));
    let code = |value: &Value| value["error"]["code"].as_str().map(str::to_owned);
    if !stream {
        let value: Value = serde_json::from_str(&text).expect("JSON");
        return (code(&value).unwrap_or_else(|| "whole".to_owned()), usage);
    }
    let data = text.split("\n\n").filter(|it| !it.is_empty());
    let data: Vec<&str> = data.map(|it| &it["data: ".len()..]).collect();
    let last = data.last().copied().unwrap_or_default();
    let failed = tally.and_then(Tally::outcome);
    if last == "[DONE]" {
        assert!(matches!(failed, Some(Outcome::Complete)), "{text}");
        let first: Value = serde_json::from_str(data[0]).expect("JSON");
        assert_eq!(first["id"], "up", "{text}");
        let finishes = text.matches(r#""finish_reason":"stop""#).count() as u64;
        return (format!("{} finished", finishes / n), usage);
    }
    assert!(matches!(failed, Some(Outcome::Failed(_))), "{text}");
    let last: Value = serde_json::from_str(last).expect("JSON");
    (code(&last).expect("an error"), usage)
}

#[tokio::test]
async fn several_streams_end_as_one_does() {
    let event = |data: &str| format!("data: {data}\n\n");
    let (role, finish, usage) = (event(ROLE), event(FINISH), event(USAGE));
    let all = format!("{role}{finish}{usage}");
    let finished = "1 finished";
    let bad = "bad_upstream_response";
    for (stream, want) in [
        (format!("{all}{DONE}"), finished),
        (all.clone(), finished),
        (format!("{role}{finish}"), finished),
        (format!("{all}data: [DONE]"), finished),
        (format!("{role}{}", finish.trim_end()), finished),
        (format!("data:\n\ndata: \n\n{all}{DONE}"), finished),
        (format!("event: ping\ndata: {{}}\n\n{all}{DONE}"), finished),
        (
            format!(
                "{}{all}{DONE}",
                event(r#"{"id":"","created":0,"model":"","choices":[]}"#)
            ),
            finished,
        ),
        (format!("{all}{DONE}").replace('\n', "\r\n"), finished),
        (format!("{role}{DONE}"), "0 finished"),
        (role.clone(), bad),
        (
            format!("{role}{}{DONE}", finish.replace("stop", "abort")),
            bad,
        ),
        (format!("{role}{}", &finish[..40]), bad),
        (DONE.to_owned(), bad),
        (String::new(), bad),
        (format!("{role}data: nonsense\n\n"), bad),
        (
            format!("{role}event: error\ndata: {{\"message\":\"x\",\"code\":429}}\n\n"),
            "upstream_rate_limited",
        ),
        (
            format!(
                "{role}event: error\ndata: {{\"error\":{{\"message\":\"x\",\"code\":503}}}}\n\n"
            ),
            "upstream_overloaded",
        ),
        (
            format!(
                "{role}{}",
                event(r#"{"object":"error","message":"x","code":429}"#)
            ),
            "upstream_rate_limited",
        ),
        (
            format!(
                "{role}{}",
                event(r#"[{"error":{"code":429,"message":"x"}}]"#)
            ),
            "upstream_rate_limited",
        ),
        (
            format!(
                "{role}{}",
                event(r#"{"choices":[{"index":0,"delta":{},"error":{"code":503,"message":"x"}}]}"#)
            ),
            "upstream_overloaded",
        ),
        (
            format!(
                "{role}{finish}{}",
                event(r#"{"error":{"message":"late","code":500}}"#)
            ),
            bad,
        ),
    ] {
        let stream: &str = Box::leak(stream.into_boxed_str());
        let (one, used) = ask(stream, "text/event-stream", 1).await;
        assert_eq!(one, want, "{stream}");
        let (two, sum) = ask(stream, "text/event-stream", 2).await;
        assert_eq!(two, want, "{stream}");
        let stated = stream.contains("\"usage\"") && want == finished;
        if stated {
            assert_eq!((used, sum), (Some((10, 5)), Some((20, 10))), "{stream}");
        } else if let (Some((prompt, _)), Some((prompts, _))) = (used, sum) {
            assert_eq!(prompts, 2 * prompt, "{stream}");
        }
    }
}

#[tokio::test]
async fn several_whole_answers_fail_as_one_does() {
    for (body, want) in [
        (
            r#"{"id":"up","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}]}"#,
            "whole",
        ),
        (r#"{"id":"up","choices":[]}"#, "bad_upstream_response"),
        (
            r#"{"error":{"message":"x","code":429}}"#,
            "upstream_rate_limited",
        ),
        (r#"{"message":"x","code":429}"#, "upstream_rate_limited"),
    ] {
        for n in [1, 2] {
            let (ended, _) = ask(body, "application/json", n).await;
            assert_eq!(ended, want, "{n} {body}");
        }
    }
}

#[tokio::test]
async fn several_answers_of_one_seed_differ_and_are_the_same_again() {
    for (seed, wanted) in [
        (json!(7), vec![json!(7), json!(8), json!(9)]),
        (Value::Null, vec![Value::Null; 3]),
    ] {
        let seeds = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&seeds);
        let client = tower::service_fn(move |request: Request<Full>| {
            let seen = Arc::clone(&seen);
            async move {
                let body = request.into_body().collect().await.expect("whole");
                let body: Value = serde_json::from_slice(&body.to_bytes()).expect("JSON");
                seen.lock()
                    .expect("not poisoned")
                    .push(body["seed"].clone());
                let answer = r#"{"id":"a","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}]}"#;
                let response = Response::builder().header("content-type", "application/json");
                Ok::<_, Infallible>(response.body(Full::new(answer)).expect("a response"))
            }
        });
        let translate = OpenAi::new("https://api.groq.com/openai/v1").expect("a URL");
        let provider = Provider::new("p", client, translate);
        let service = ParseLayer::new().layer(ParallelLayer::new().layer(provider));
        let request = json!({"model": "m", "n": 3, "seed": seed,
            "messages": [{"role": "user", "content": "Hi"}]});
        let request = Request::post("/").body(Full::new(request.to_string()));
        let response = service.oneshot(request.expect("a request")).await;
        let body = response.expect("infallible").into_body().collect().await;
        body.expect("whole");
        let mut seeds = seeds.lock().expect("not poisoned").clone();
        seeds.sort_by_key(|seed| seed.as_i64());
        assert_eq!(seeds, wanted);
    }
}
