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
