//! Layers in an axum application, as the README puts them there: its other routes, its 404, its 405
//! and what a browser asks before a request stay what they were.

use axum::{
    Router,
    body::Body,
    routing::{get, post},
};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tower_completions::{
    Dialect,
    limit::{Limiter, Limits, RateLimitLayer, Rule},
    validate::ValidateLayer,
};

const PATH: &str = "/v1/chat/completions";
const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;

/// The README's application, with a limit of two a minute.
fn app() -> Router {
    async fn complete(body: String) -> String {
        body
    }

    let limit = Limits::new().requests_per_minute(2);
    let limiter = Limiter::new().rules([Rule::global(limit)]);
    let completions = post(complete)
        .route_layer(ValidateLayer::new(Dialect::strict()))
        .route_layer(RateLimitLayer::new(limiter));
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route(PATH, completions)
}

async fn ask(app: &Router, method: Method, path: &str) -> (StatusCode, HeaderMap, String) {
    let body = match method {
        Method::POST => Body::from(ASK),
        _ => Body::empty(),
    };
    let request = Request::builder().method(method).uri(path).body(body);
    let response = app.clone().oneshot(request.expect("a request")).await;
    let (head, body) = response.expect("infallible").into_parts();
    let body = body.collect().await.expect("whole").to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    (head.status, head.headers, text)
}

#[tokio::test]
async fn other_paths_and_methods_are_the_applications_own() {
    let app = app();
    for (method, path, expected) in [
        (Method::GET, "/", 200),
        (Method::GET, "/nope", 404),
        (Method::POST, "/nope", 404),
        (Method::POST, "/v1/chat/completions/", 404),
        (Method::OPTIONS, "/nope", 404),
        (Method::GET, PATH, 405),
        (Method::OPTIONS, PATH, 405),
    ] {
        let (status, headers, body) = ask(&app, method.clone(), path).await;
        assert_eq!(status, expected, "{method} {path}: {body}");
        assert!(!body.contains("error"), "{method} {path}: {body}");
        let allow = headers.get(header::ALLOW).map(http::HeaderValue::as_bytes);
        let own = (expected == 405).then_some(&b"POST"[..]);
        assert_eq!(allow, own, "{method} {path}");
    }
    // None of them has used up what the completions may.
    for expected in [200, 200, 429] {
        assert_eq!(ask(&app, Method::POST, PATH).await.0, expected);
    }
}
