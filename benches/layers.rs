//! The whole gateway, and each of its layers by itself, in one thread over an upstream that costs
//! nothing.
//!
//! Nothing here waits, so a call is polled once and what is counted is the stack alone. What a layer
//! adds is its case less `bare`; what an event adds is `stream_200` less `stream_100`, by a hundred.

mod support;

use std::{
    convert::Infallible,
    fmt::Debug,
    future::{Ready, ready},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body::{Body, Frame};
use support::Bench;
use tower::{Layer as _, Service, service_fn};
use tower_completions::{
    Dialect, Principal, Served, Target,
    auth::{AuthLayer, Keys},
    body::{BoxBody, Full},
    cost::{CostLayer, MemoryLedger, Price, Prices},
    idempotency::IdempotencyLayer,
    limit::{Limiter, Limits, Rate, RateLimitLayer, TokenLimitLayer},
    meter::Tally,
    parse::{Chat, ChatBody, ParseLayer},
    provider::{Provider, openai::OpenAi},
    reframe::ReframeLayer,
    router::{Candidate, CommitLayer, Model, Router, Table},
    stack::{Gateway, RequestIdLayer},
    validate::ValidateLayer,
    wire::Usage,
};

const ANSWER: &str = r#"{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion","created":1755000000,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Paris.","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":29,"completion_tokens":3,"total_tokens":32}}"#;
const UNARY: &str = r#"{"model":"m","messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"What is the capital of France? Answer in one word."}],"temperature":0.7,"max_tokens":64}"#;
const STREAMED: &str = r#"{"model":"m","messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"What is the capital of France? Answer in one word."}],"temperature":0.7,"max_tokens":640,"stream":true}"#;

/// Frames that are all there already.
#[derive(Clone)]
struct Frames {
    all: Arc<[Bytes]>,
    at: usize,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = self.all.get(self.at).cloned();
        self.at += 1;
        Poll::Ready(frame.map(|data| Ok(Frame::data(data))))
    }
}

type Answer = Result<Response<Frames>, Infallible>;

fn answer(content_type: &'static str, all: &Arc<[Bytes]>) -> Ready<Answer> {
    let frames = Frames {
        all: Arc::clone(all),
        at: 0,
    };
    let response = Response::builder().header("content-type", content_type);
    ready(Ok(response.body(frames).expect("a response")))
}

/// A stream of so many events of content, one a frame.
fn events(number: usize) -> Arc<[Bytes]> {
    let chunk = |rest: &str| {
        Bytes::from(format!(
            "data: {{\"id\":\"chatcmpl-BqXk2v9P\",\"object\":\"chat.completion.chunk\",\"created\":1755000000,\"model\":\"m\",{rest}}}\n\n"
        ))
    };
    let delta = |at: usize| {
        let role = if at == 0 {
            r#""role":"assistant","#
        } else {
            ""
        };
        chunk(&format!(
            r#""choices":[{{"index":0,"delta":{{{role}"content":" word{at:04}"}},"logprobs":null,"finish_reason":null}}]"#
        ))
    };
    let finish =
        chunk(r#""choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]"#);
    let usage = chunk(
        r#""choices":[],"usage":{"prompt_tokens":29,"completion_tokens":100,"total_tokens":129}"#,
    );
    let done = Bytes::from_static(b"data: [DONE]\n\n");
    (0..number)
        .map(delta)
        .chain([finish, usage, done])
        .collect()
}

/// One exchange to the last frame; the bytes of the answer.
fn exchange<S, Q, B>(service: &mut S, request: Request<Q>) -> usize
where
    S: Service<Request<Q>, Response = Response<B>, Error: Debug>,
    B: Body<Data = Bytes, Error: Debug>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready(), "always ready");
    let response = service.call(request).now_or_never().expect("ready");
    let response = response.expect("no layer fails");
    assert_eq!(response.status(), 200);
    let mut body = pin!(response.into_body());
    let mut bytes = 0;
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut cx) {
        bytes += frame.expect("a frame").into_data().map_or(0, |d| d.len());
    }
    bytes
}

fn principal() -> Principal {
    let limits = Limits::new()
        .requests(Rate::per_second(u64::from(u32::MAX)))
        .tokens(Rate::per_second(1 << 50))
        .max_concurrent(1000);
    Principal::new("acme").attach(limits)
}

fn keys() -> Keys {
    let keys = Keys::new();
    keys.insert("sk-bench", principal());
    keys
}

fn prices() -> Prices {
    Prices::new().with("m", Price::new("0.15", "0.60").expect("amounts"))
}

fn ledger() -> MemoryLedger {
    let ledger = MemoryLedger::new();
    ledger.grant("acme", "1000000000".parse().expect("an amount"));
    ledger
}

fn request(body: &'static str) -> Request<Full> {
    let request = Request::post("/v1/chat/completions")
        .header("authorization", "Bearer sk-bench")
        .header("content-type", "application/json")
        .body(Full::new(body));
    request.expect("a request")
}

fn table() -> Table {
    let model = Model::new("m").target(Candidate::new("upstream", "m"));
    Table::new([model]).expect("a table")
}

fn whole(bench: &mut Bench, name: &str, body: &'static str, kind: &'static str, all: Arc<[Bytes]>) {
    let upstream = service_fn(move |_: Request<Full>| answer(kind, &all));
    let translate = OpenAi::new("http://upstream/v1").expect("an address");
    let provider = Provider::new("upstream", upstream, translate).with_keys(["sk-upstream"]);
    let router = Router::builder(table())
        .provider("upstream", provider)
        .build()
        .expect("sound");
    let mut gateway = Gateway::builder(keys())
        .cost(prices(), ledger())
        .build(router);
    bench.case(name, || exchange(&mut gateway, request(body)));
}

/// Each layer over the same answer, and nothing.
fn alone(bench: &mut Bench) {
    let all: Arc<[Bytes]> = [Bytes::from_static(ANSWER.as_bytes())].into();
    let all = || {
        let all = Arc::clone(&all);
        move || answer("application/json", &all)
    };
    let over = || {
        let reply = all();
        service_fn(move |_: Request<ChatBody>| reply())
    };
    let chat = Chat::parse(UNARY.into()).expect("a request");
    let caller = principal();
    let parsed = || {
        let mut request = Request::new(ChatBody::new(chat.clone()));
        request.extensions_mut().insert(caller.clone());
        request
    };
    let plain = || {
        let mut request = request(UNARY);
        request.extensions_mut().insert(caller.clone());
        request
    };

    let reply = all();
    let mut bare = service_fn(move |_: Request<Full>| reply());
    bench.case("bare", || exchange(&mut bare, plain()));
    let reply = all();
    let mut auth = AuthLayer::new(keys()).layer(service_fn(move |_: Request<Full>| reply()));
    bench.case("auth", || exchange(&mut auth, plain()));
    let reply = all();
    let mut limit =
        RateLimitLayer::new(Limiter::new()).layer(service_fn(move |_: Request<Full>| reply()));
    bench.case("limit", || exchange(&mut limit, plain()));
    // As in the gateway, where it tells of the tokens too.
    let reply = all();
    let mut limit = RateLimitLayer::new(Limiter::new())
        .with_tokens()
        .layer(service_fn(move |_: Request<Full>| reply()));
    bench.case("limit_with_tokens", || exchange(&mut limit, plain()));
    let reply = all();
    let mut request_id = RequestIdLayer::new().layer(service_fn(move |_: Request<Full>| reply()));
    bench.case("request_id", || exchange(&mut request_id, plain()));
    // What is around all layers: future and body in a box each, which is how a gateway answers.
    let reply = all();
    let mut boxed = service_fn(move |_: Request<Full>| {
        let call = reply();
        let call = async move { call.await.map(|response| response.map(BoxBody::new)) };
        Box::pin(call) as Pin<Box<dyn Future<Output = _> + Send>>
    });
    bench.case("boxed", || exchange::<_, _, BoxBody>(&mut boxed, plain()));
    let mut parse = ParseLayer::new().layer(over());
    bench.case("parse", || exchange(&mut parse, plain()));

    let mut bare = over();
    bench.case("bare_parsed", || exchange(&mut bare, parsed()));
    let mut validate = ValidateLayer::new(Dialect::openai()).layer(over());
    bench.case("validate", || exchange(&mut validate, parsed()));
    let mut tokens = TokenLimitLayer::new(Limiter::new()).layer(over());
    bench.case("tokens", || exchange(&mut tokens, parsed()));
    let mut cost = CostLayer::new(prices(), ledger()).layer(over());
    bench.case("cost", || exchange(&mut cost, parsed()));
    // As in the gateway, where a layer inside has told what was used, and one outside has left what
    // it parsed in the extensions.
    let left = || {
        let mut request = parsed();
        request.extensions_mut().insert(chat.clone());
        request
    };
    let told = |kind: &'static str, all: Arc<[Bytes]>| {
        service_fn(move |_: Request<ChatBody>| {
            let tally = Tally::new();
            tally.record_usage(Usage::new(29, 3));
            let reply = answer(kind, &all).into_inner();
            ready(reply.map(|mut response| {
                response.extensions_mut().insert(tally);
                response
            }))
        })
    };
    let whole: Arc<[Bytes]> = [Bytes::from_static(ANSWER.as_bytes())].into();
    let mut bare = told("application/json", Arc::clone(&whole));
    bench.case("bare_told", || exchange(&mut bare, left()));
    let mut cost = CostLayer::new(prices(), ledger()).layer(told("application/json", whole));
    bench.case("cost_told", || exchange(&mut cost, left()));
    // And who has answered, by whom the price is found.
    let reply = all();
    let served = move || {
        let reply = reply.clone();
        service_fn(move |_: Request<ChatBody>| {
            let tally = Tally::new();
            tally.record_usage(Usage::new(29, 3));
            let by = Served::new(&Target::new("upstream", "m"), "m");
            let reply = reply().into_inner();
            ready(reply.map(|mut response| {
                response.extensions_mut().insert(tally);
                response.extensions_mut().insert(by);
                response
            }))
        })
    };
    let mut bare = served();
    bench.case("bare_served", || exchange(&mut bare, parsed()));
    let mut cost = CostLayer::new(prices(), ledger()).layer(served());
    bench.case("cost_served", || exchange(&mut cost, parsed()));
    let mut tokens = TokenLimitLayer::new(Limiter::new()).layer(served());
    bench.case("tokens_served", || exchange(&mut tokens, parsed()));
    for number in [100, 200] {
        let stream = told("text/event-stream", events(number));
        let mut cost = CostLayer::new(prices(), ledger()).layer(stream);
        let name = format!("cost_stream_{number}");
        bench.case(&name, || exchange(&mut cost, left()));
    }
    let mut once = IdempotencyLayer::new().layer(over());
    bench.case("idempotency_off", || exchange(&mut once, parsed()));
    let mut reframe = ReframeLayer::new(Dialect::openai()).layer(over());
    bench.case("reframe", || exchange(&mut reframe, parsed()));
    let mut commit = CommitLayer::new().layer(over());
    bench.case("commit", || exchange(&mut commit, parsed()));
    let mut router = Router::builder(table())
        .service("upstream", over(), 1)
        // The layer's own share is measured above.
        .without_commit()
        .build()
        .expect("sound");
    bench.case("router", || exchange(&mut router, parsed()));
    let reply = all();
    let client = service_fn(move |_: Request<Full>| reply());
    let translate = OpenAi::new("http://upstream/v1").expect("an address");
    let mut provider = Provider::new("upstream", client, translate).with_keys(["sk-upstream"]);
    bench.case("provider", || exchange(&mut provider, parsed()));
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let _entered = runtime.enter();
    support::main(|bench| {
        let unary = [Bytes::from_static(ANSWER.as_bytes())].into();
        whole(bench, "unary", UNARY, "application/json", unary);
        for number in [100, 200] {
            let name = format!("stream_{number}");
            whole(bench, &name, STREAMED, "text/event-stream", events(number));
        }
        alone(bench);
    });
}
