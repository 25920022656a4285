//! What is moved for each request: the sizes of the layers' futures and bodies.
//!
//! A future is moved into the one around it and an answer through all layers, so a byte more inside is
//! copied as often as there are layers. What few requests need belongs into a box.

use std::convert::Infallible;

use futures_util::FutureExt as _;
use http::{Request, Response};
use tower::{Layer as _, Service, service_fn};
use tower_completions::{
    Dialect, Principal,
    auth::Keys,
    body::Full,
    cost::{CostLayer, MemoryLedger, Price, Prices},
    parse::{Chat, ChatBody, ParseLayer},
    provider::{Provider, openai::OpenAi},
    reframe::ReframeLayer,
    router::{Candidate, CommitLayer, Model, Router, Table},
    stack::Gateway,
    validate::ValidateLayer,
};

const BODY: &str = r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;

/// The sizes of the future and of the body that one call gives, in bytes.
fn sizes<S, Q, B>(mut service: S, request: Request<Q>) -> (usize, usize)
where
    S: Service<Request<Q>, Response = Response<B>, Error = Infallible>,
{
    let call = service.call(request);
    let future = size_of_val(&call);
    let response = call.now_or_never().expect("ready");
    let response = response.unwrap_or_else(|never| match never {});
    assert_eq!(response.status(), 200);
    (future, size_of::<B>())
}

fn plain() -> Request<Full> {
    let request = Request::post("/v1/chat/completions").header("authorization", "Bearer sk-1");
    request.body(Full::new(BODY)).expect("a request")
}

fn parsed() -> Request<ChatBody> {
    let chat = Chat::parse(BODY.into()).expect("a request");
    let mut request = Request::new(ChatBody::new(chat));
    request.extensions_mut().insert(Principal::new("acme"));
    request
}

#[track_caller]
fn at_most((future, body): (usize, usize), most: (usize, usize)) {
    println!("a future of {future} bytes, a body of {body}");
    assert!(future <= most.0, "a future of {future} bytes");
    assert!(body <= most.1, "a body of {body} bytes");
}

#[tokio::test]
async fn what_is_moved_is_small() {
    let answer = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}]}"#;
    let upstream = service_fn(move |_: Request<Full>| {
        let mut response = Response::new(Full::new(answer));
        let json = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert("content-type", json);
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let translate = OpenAi::new("http://upstream/v1").expect("an address");
    let provider = Provider::new("upstream", upstream, translate).with_keys(["sk-2"]);
    at_most(sizes(provider.clone(), parsed()), (440, 112));
    let commit = CommitLayer::new().layer(provider.clone());
    at_most(sizes(commit, parsed()), (528, 128));
    let model = Model::new("m").target(Candidate::new("upstream", "m"));
    let router = Router::builder(Table::new([model]).expect("a table"))
        .provider("upstream", provider)
        .build()
        .expect("sound");
    at_most(sizes(router.clone(), parsed()), (8, 232));
    let reframe = ReframeLayer::new(Dialect::openai()).layer(router.clone());
    let reframe = reframe.into_inner();

    let prices = Prices::new().with("m", Price::new("0.15", "0.60").expect("amounts"));
    let ledger = MemoryLedger::new();
    ledger.grant("acme", "100".parse().expect("an amount"));
    let cost = CostLayer::new(prices.clone(), ledger.clone()).layer(reframe);
    // In the gateway it is in a box: of a size that an allocator has at hand.
    at_most(sizes(cost.into_inner(), parsed()), (1024, 40));

    let validate = ValidateLayer::new(Dialect::openai()).layer(router.clone());
    at_most(sizes(validate.into_inner(), parsed()), (160, 232));
    let parse = ParseLayer::new().layer(router.clone());
    at_most(sizes(parse.clone(), parsed()), (640, 232));
    at_most(sizes(parse, plain()), (640, 232));

    let keys = Keys::new();
    keys.insert("sk-1", Principal::new("acme"));
    let gateway = Gateway::builder(keys).cost(prices, ledger).build(router);
    at_most(sizes(gateway.clone(), plain()), (16, 16));
    // In a box too, of such a size.
    at_most(sizes(gateway.into_completions(), plain()), (1024, 160));
}
