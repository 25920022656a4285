//! One layer tested alone: a file to copy for a layer of one's own.
//!
//! The handler is a closure that notes what it was given, so each test can say what came out and
//! what went in, or that nothing did.

use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
};

use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};
use tower_completions::{
    Dialect, Principal,
    body::Full,
    cost::{CostLayer, MemoryLedger, Price, Prices},
    mock::assert_settled,
    parse::ChatBody,
    validate::ValidateLayer,
};

/// Sends one body through the layer: the status, the answer, and the body the handler saw.
async fn ask(dialect: Dialect, body: &Value) -> (StatusCode, Value, Option<Value>) {
    let seen = Arc::new(Mutex::new(None));
    let note = Arc::clone(&seen);
    let handler = service_fn(move |request: Request<ChatBody>| {
        let chat = request.into_body().chat().clone();
        *note.lock().expect("not poisoned") = serde_json::from_slice(&chat.bytes()).ok();
        async { Ok::<_, Infallible>(Response::new(Full::new(r#"{"handled":true}"#))) }
    });
    let service = ValidateLayer::new(dialect).layer(handler);

    let request = Request::post("/v1/chat/completions").body(Full::new(body.to_string()));
    let response = service.oneshot(request.expect("a request")).await;
    let (head, body) = response.expect("a refusal is an answer").into_parts();
    let bytes = body.collect().await.expect("a whole body").to_bytes();
    let answer = serde_json::from_slice(&bytes).expect("JSON");
    let seen = seen.lock().expect("not poisoned").take();
    (head.status, answer, seen)
}

/// Sent through `Cost` over a handler that answers so: what it cost.
async fn charged(answer: Response<Full>) -> String {
    let ledger = MemoryLedger::new();
    ledger.grant("demo", "1.00".parse().expect("an amount"));
    let handler =
        service_fn(move |_: Request<ChatBody>| ready(Ok::<_, Infallible>(answer.clone())));
    let prices = Prices::new().with("any", Price::new("1", "2").expect("decimal"));
    let service = CostLayer::new(prices, ledger.clone()).layer(handler);

    let request = Request::post("/v1/chat/completions").extension(Principal::new("demo"));
    let request = request.body(Full::new(hello(0.5).to_string()));
    let response = service.oneshot(request.expect("a request")).await;
    let (head, body) = response.expect("an answer").into_parts();
    body.collect().await.expect("a whole body");
    let spent = assert_settled(&ledger, "demo").spent.to_string();
    assert_eq!(head.headers["x-completion-cost"], spent.as_str());
    spent
}

#[tokio::test]
async fn an_answer_is_charged_by_its_usage_where_its_type_says_that_it_is_json() {
    let usage = r#"{"usage":{"prompt_tokens":1000,"completion_tokens":1000}}"#;
    let untyped = Response::new(Full::new(usage));
    let mut typed = untyped.clone();
    let json = HeaderValue::from_static("application/json");
    typed.headers_mut().insert(header::CONTENT_TYPE, json);
    assert_eq!(charged(typed).await, "0.003");
    assert_ne!(charged(untyped).await, "0.003", "an estimate");
}

fn hello(temperature: f64) -> Value {
    json!({
        "model": "any",
        "messages": [{ "role": "user", "content": "Merhaba" }],
        "temperature": temperature,
    })
}

#[tokio::test]
async fn a_good_request_reaches_the_handler_as_it_came() {
    let (status, answer, seen) = ask(Dialect::openai(), &hello(0.5)).await;
    assert_eq!(status, 200);
    assert_eq!(answer, json!({ "handled": true }));
    assert_eq!(seen, Some(hello(0.5)));
}

#[tokio::test]
async fn a_bad_value_is_refused_by_name_before_the_handler() {
    for (dialect, expected) in [(Dialect::openai(), 400), (Dialect::strict(), 422)] {
        let (status, answer, seen) = ask(dialect, &hello(3.5)).await;
        assert_eq!(status, expected);
        let error = json!({
            "message": "`temperature` must be a number between 0 and 2, got 3.5",
            "type": "invalid_request_error",
            "param": "temperature",
            "code": "invalid_value",
        });
        assert_eq!(answer, json!({ "error": error }));
        assert_eq!(seen, None);
    }
}

#[tokio::test]
async fn a_dialect_fills_in_what_it_promises() {
    let mut body = hello(0.5);
    body.as_object_mut()
        .expect("an object")
        .remove("temperature");
    let (status, _, seen) = ask(Dialect::onysoft(), &body).await;
    assert_eq!(status, 200);
    let seen = seen.expect("handled");
    assert_eq!(
        (&seen["temperature"], &seen["top_p"]),
        (&json!(0.7), &json!(1))
    );
}
