//! The small examples as processes: each starts, answers and refuses.

mod support;

use http::Method;
use support::Program;

const PATH: &str = "/v1/chat/completions";

#[tokio::test]
async fn layers_in_an_axum_application() {
    let app = Program::start("axum_app");
    let mut client = app.connect().await;
    assert!(client.get("/").await.body.contains("routes of its own"));

    assert_eq!(client.get("/nope").await.status, 404);
    let answer = client.get(PATH).await;
    assert_eq!(answer.status, 405, "{}", answer.body);
    assert_eq!(answer.header("allow"), "POST");

    let ask = r#"{"model":"parrot","messages":[{"role":"user","content":"Merhaba"}]}"#;
    let answer = client.post(ask).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let content = &answer.json()["choices"][0]["message"]["content"];
    assert_eq!(content, "demo says: Merhaba");
    assert_eq!(answer.header("x-completion-cost"), "0.000007");
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), "2");

    let answer = client
        .post(&ask.replacen('{', r#"{"stream":true,"#, 1))
        .await;
    assert_eq!(answer.events().last().map(String::as_str), Some("[DONE]"));
    let answer = client.post(&ask.replacen('{', r#"{"top_p":7,"#, 1)).await;
    assert_eq!(answer.json()["error"]["param"], "top_p");
    assert_eq!(client.post(ask).await.status, 429, "three a minute");
    assert_eq!(
        client.get("/").await.status,
        200,
        "no limit on other routes"
    );
    let answer = app.connect().await.with_key("sk-wrong").post(ask).await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn a_gateway_by_hand_on_hyper() {
    let gateway = Program::start("hyper_gateway");
    let mut client = gateway.connect().await.with_key("acme:open-sesame");
    let ask = r#"{"model":"mock/echo","messages":[{"role":"user","content":"Merhaba"}]}"#;
    let answer = client.post(ask).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("x-tenant"), "acme");
    assert!(answer.body.contains("Merhaba"));
    let streamed = ask.replacen('{', r#"{"stream":true,"#, 1);
    let request = client.request(Method::POST, PATH, &streamed);
    let answer = client.send(request).await;
    assert_eq!(answer.header("x-tenant"), "acme");
    assert_eq!(answer.events().last().map(String::as_str), Some("[DONE]"));
    let answer = gateway
        .connect()
        .await
        .with_key("acme:guess")
        .post(ask)
        .await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("x-tenant"), "");
}

#[tokio::test]
async fn a_provider_of_ones_own() {
    let gateway = Program::start("custom_provider");
    let mut client = gateway.connect().await;
    let ask =
        r#"{"model":"parrot","seed":1,"messages":[{"role":"user","content":"hello to you"}]}"#;
    let answer = client.post(ask).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("x-params-dropped"), "seed");
    let body = answer.json();
    assert_eq!(body["choices"][0]["message"]["content"], "hello to you");
    assert_eq!(body["usage"]["completion_tokens"], 3);

    let streamed = r#"{"stream":true,"stream_options":{"include_usage":true},"#;
    let answer = client.post(&ask.replacen('{', streamed, 1)).await;
    let events = answer.events();
    assert_eq!(events.len(), 3 + 1 + 1 + 1, "{events:?}");
    assert!(events[4].contains("\"completion_tokens\":3"), "{events:?}");
    assert_eq!(events[5], "[DONE]");

    let two = ask.replacen('{', r#"{"n":2,"#, 1);
    assert_eq!(client.post(&two).await.code(), "unsupported_parameter");
}

#[test]
fn a_provider_of_ones_own_is_short() {
    let text = include_str!("../examples/custom_provider.rs");
    assert!(text.lines().count() < 150);
}
