//! The parameter contract end to end: nothing that a client sent is lost without a word.

use std::convert::Infallible;

use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_completions::{
    Dialect, Error,
    body::Full,
    parse::ParseLayer,
    provider::{Contract, Provider, Unsupported, anthropic::Anthropic},
    reframe::ReframeLayer,
    router::{Candidate, Model, Router, Table},
    validate::{Policy, UnknownMembers, ValidateLayer},
};

const STREAM: &str = "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"usage\":{\"input_tokens\":1}}}\n\n\
data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n\
data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n\
data: {\"type\":\"message_stop\"}\n\n";

const WHOLE: &str = r#"{"id":"msg_1","type":"message","model":"c","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2}}"#;

/// An upstream that answers in kind, or with an error of this status.
fn provider(
    status: u16,
    contract: Contract,
) -> Provider<
    impl tower::Service<Request<Full>, Response = Response<Full>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static,
    Anthropic,
> {
    let upstream = tower::service_fn(move |request: Request<Full>| async move {
        let body = request
            .into_body()
            .collect()
            .await
            .expect("whole")
            .to_bytes();
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let (kind, text) = match (status, body["stream"] == true) {
            (200, true) => ("text/event-stream", STREAM),
            (200, false) => ("application/json", WHOLE),
            _ => ("application/json", "{}"),
        };
        let mut response = Response::new(Full::new(text));
        *response.status_mut() = status.try_into().expect("a status");
        let kind = http::HeaderValue::from_static(kind);
        response.headers_mut().insert("content-type", kind);
        Ok::<_, Infallible>(response)
    });
    let translate = Anthropic::new("https://upstream").expect("a URL");
    Provider::new("anthropic", upstream, translate).with_contract(contract)
}

fn question(stream: bool) -> Value {
    json!({"model": "m", "stream": stream, "temperature": 1.5, "seed": 7, "verbosity": "low",
        "mine": 1, "messages": [{"role": "user", "name": "ann", "content": "Hi"}]})
}

fn request(body: &Value) -> Request<Full> {
    Request::post("/")
        .header("content-type", "application/json")
        .body(Full::new(body.to_string()))
        .expect("a request")
}

#[tokio::test]
async fn every_layer_adds_to_one_header() {
    for stream in [false, true] {
        let models = [Model::new("m").target(Candidate::new("anthropic", "claude-sonnet-4-5"))];
        let router = Router::builder(Table::new(models).expect("a table"))
            .provider("anthropic", provider(200, Contract::default()).boxed())
            .build();
        let mut policy = Policy::default();
        policy.unknown = UnknownMembers::Drop;
        let dialect = Dialect::openai();
        let service = ServiceBuilder::new()
            .layer(ParseLayer::new())
            .layer(ValidateLayer::new(dialect.clone()).policy(policy))
            .layer(ReframeLayer::new(dialect))
            .service(router.expect("sound"));
        let response = service.oneshot(request(&question(stream))).await;
        let (head, body) = response.expect("infallible").into_parts();
        assert_eq!(head.status, 200);
        let all: Vec<_> = head.headers.get_all("x-params-dropped").iter().collect();
        assert_eq!(all, ["mine, seed, verbosity, messages[].name"], "{stream}");
        assert_eq!(head.headers["x-params-mapped"], "temperature");
        let text = body.collect().await.expect("whole").to_bytes();
        assert!(String::from_utf8_lossy(&text).contains("Hi"));
    }
}

#[tokio::test]
async fn a_contract_may_refuse_what_is_harmless_and_drop_what_is_not() {
    let ask = async |contract, body: &Value| {
        let service = ParseLayer::new().layer(provider(200, contract));
        let response = service.oneshot(request(body)).await.expect("infallible");
        let error = response.extensions().get::<Error>().cloned();
        let dropped = response.headers().get("x-params-dropped").cloned();
        let param = error.and_then(|error| error.param().map(str::to_owned));
        (response.status().as_u16(), param, dropped)
    };
    let strict = Contract::new(Unsupported::Refuse);
    let (status, param, _) = ask(strict, &question(false)).await;
    assert_eq!((status, param.as_deref()), (400, Some("seed")));

    let two = json!({"model": "m", "logit_bias": {"1": 1}, "messages": [{"role": "user", "content": "Hi"}]});
    let (status, param, _) = ask(Contract::default(), &two).await;
    assert_eq!((status, param.as_deref()), (400, Some("logit_bias")));
    let loose = Contract::default().with("logit_bias", Unsupported::Drop);
    let (status, _, dropped) = ask(loose, &two).await;
    assert_eq!(
        (status, dropped.expect("announced")),
        (200, "logit_bias".parse().expect("text"))
    );
}

#[tokio::test]
async fn a_refusal_of_the_upstream_is_announced_too() {
    let service = ParseLayer::new().layer(provider(503, Contract::default()));
    let response = service
        .oneshot(request(&question(true)))
        .await
        .expect("infallible");
    assert_eq!(response.status(), 503);
    assert_eq!(
        response.headers()["x-params-dropped"],
        "seed, verbosity, mine, messages[].name"
    );
}
