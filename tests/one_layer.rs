//! One layer tested alone: a file to copy for a layer of one's own.
//!
//! The handler is a closure that notes what it was given, so each test can say what came out and
//! what went in, or that nothing did.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};
use tower_completions::{Dialect, body::Full, parse::ChatBody, validate::ValidateLayer};

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
