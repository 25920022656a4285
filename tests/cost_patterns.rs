//! What a pattern in the router's table serves is charged at the price of the name that fits it.

#![cfg(feature = "mock")]

use http::Request;
use tower::{Layer as _, ServiceExt as _};
use tower_completions::{
    Principal,
    body::Full,
    cost::{CostLayer, MemoryLedger, Price, Prices},
    mock::Upstream,
    provider::{Provider, openai::OpenAi},
    router::{Candidate, Model, Router, Table},
};

#[tokio::test]
async fn a_name_with_a_price_of_its_own_is_charged_at_that_behind_a_pattern() {
    let price = |input: &str| Price::new(input, "0").expect("decimals");
    let prices = Prices::new()
        .with("a/*", price("5"))
        .with("a/own", price("6"))
        .with("a/b/*", price("7"));
    let translate = OpenAi::new("http://upstream/v1").expect("a URL");
    let provider = Provider::new("p", Upstream::new(), translate);
    let model = Model::new("a/*").target(Candidate::new("p", "*"));
    let router = Router::builder(Table::new([model]).expect("sound"))
        .provider("p", provider)
        .build()
        .expect("sound");
    for (name, micros) in [("a/x", 5), ("a/own", 6), ("a/b/x", 7)] {
        let ledger = MemoryLedger::new();
        ledger.grant("demo", "1".parse().expect("an amount"));
        let service = CostLayer::new(prices.clone(), ledger.clone()).layer(router.clone());
        let body = format!(
            r#"{{"model":"{name}","messages":[{{"role":"user","content":"one two three"}}]}}"#
        );
        let request = Request::post("/v1/chat/completions").extension(Principal::new("demo"));
        let request = request.body(Full::new(body)).expect("a request");
        let answer = service.oneshot(request).await.expect("infallible");
        assert_eq!(answer.status(), 200, "{name}");
        let receipt = answer
            .extensions()
            .get::<tower_completions::cost::Receipt>();
        let receipt = receipt.expect("charged");
        let wanted = i128::from(receipt.usage.input) * micros * 1_000_000;
        assert_eq!(receipt.charged.pico(), wanted, "{name}");
    }
}
