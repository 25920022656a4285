//! How limits stand in a whole gateway, and what is refused before a body is read.

#[path = "support/books.rs"]
mod books;

use std::{convert::Infallible, task::Poll, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::timeout,
};
use tower::{Layer as _, ServiceBuilder, ServiceExt as _, service_fn};
use tower_completions::{
    Principal, Served, Target,
    auth::Keys,
    body::Full,
    cache::CacheLayer,
    cost::{Amount, MemoryLedger, Price, Prices, Terms, When},
    limit::{
        Ask, Cached, Decision, Demand, Fields, Hold as _, Key, Limiter, Limits, Memory, Mode,
        Queue, Rate, RateLimitLayer, TokenLimitLayer, Unit, Weights, Window, Zone,
    },
    mock::{self, Script, Upstream},
    parse::ChatBody,
    provider::{Provider, openai::OpenAi},
    stack::Gateway,
    wire::ServiceTier,
};

fn gateway(
    limits: Limits,
    limiter: Limiter<Queue<Memory>>,
    ledger: MemoryLedger,
) -> impl tower::Service<
    Request<Full>,
    Response = Response<tower_completions::body::BoxBody>,
    Error = Infallible,
    Future: Send,
> + Clone {
    let keys = Keys::new();
    keys.insert("sk-demo", Principal::new("demo").attach(limits));
    let prices = Prices::new().with("mock/echo", Price::new("1", "2").expect("amounts"));
    let openai = OpenAi::new("http://upstream/v1").expect("a URL");
    Gateway::builder(keys)
        .cost(prices, ledger)
        .limiter(limiter)
        .build(Provider::new("mock", Upstream::new(), openai))
}

fn hello(stream: bool) -> Request<Full> {
    let body = format!(
        r#"{{"model":"mock/echo","stream":{stream},"max_tokens":8,"messages":[{{"role":"user","content":"hello"}}]}}"#
    );
    Request::post("/v1/chat/completions")
        .header("authorization", "Bearer sk-demo")
        .body(Full::new(body))
        .expect("a request")
}

#[tokio::test(start_paused = true)]
async fn every_answer_has_the_headers_and_money_is_limited_by_the_gateways_prices() {
    // A hundred and twenty picodollars more than one request reserves at USD 1 and 2 a million.
    let limits = Limits::new()
        .requests_per_minute(600)
        .tokens_per_minute(10_000)
        .money(Rate::per_minute(60_000_000));
    let limiter = Limiter::with_store(Queue::new(Memory::new()).timeout(Duration::ZERO));
    let ledger = MemoryLedger::new();
    let app = gateway(limits, limiter, ledger.clone());
    let (mut refused, mut answered) = (0, 0);
    for at in 0..10 {
        let response = app
            .clone()
            .oneshot(hello(at % 2 == 1))
            .await
            .expect("infallible");
        let status = response.status();
        let headers = response.headers().clone();
        let body = response.into_body().collect().await.expect("whole");
        for name in ["limit", "remaining", "reset"] {
            for what in ["requests", "tokens"] {
                let name = format!("x-ratelimit-{name}-{what}");
                assert!(headers.contains_key(&name), "{status} {name}");
            }
        }
        if status == 429 {
            refused += 1;
            assert!(headers.contains_key("retry-after"));
            let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
            assert!(body.contains("cost"), "{body}");
        } else {
            answered += 1;
        }
    }
    assert!((1..10).contains(&refused), "{refused}");
    // Each answer was charged the same, and no refusal anything.
    let spent = books::settled(&ledger, "demo").spent.pico();
    assert!(spent > 0 && spent % answered == 0, "{spent} of {answered}");
}

/// The limit counts what is charged: at the caller's terms, at the tier that was asked for, at the
/// price of the model that answered.
#[tokio::test(start_paused = true)]
async fn money_is_counted_as_it_is_charged() {
    let list = Price::new("1", "2").expect("amounts");
    let dear = Price::new("3", "6").expect("amounts");
    let priority = When::new().tier(ServiceTier::Priority);
    let prices = Prices::new()
        .with("mock/echo", list.when(priority, &dear))
        .with("mock/other", dear);
    let limits = Limits::new().money(Rate::per_day(1_000_000_000));
    let used = async |terms: &str, tier: &str, answers: &str| {
        let keys = Keys::new();
        let caller = Principal::new("demo")
            .attach(limits.clone())
            .attach(Terms::times(terms).expect("a factor"));
        keys.insert("sk-demo", caller.clone());
        let limiter = Limiter::new();
        let served = Served::new(&Target::new("mock", answers), answers);
        let openai = OpenAi::new("http://upstream/v1").expect("a URL");
        let app = Gateway::builder(keys)
            .cost(prices.clone(), MemoryLedger::new())
            .limiter(limiter.clone())
            .build(Provider::new("mock", Upstream::new(), openai).map_response(
                move |mut response: Response<_>| {
                    response.extensions_mut().insert(served.clone());
                    response
                },
            ));
        let body = format!(
            r#"{{"model":"mock/echo","service_tier":"{tier}","max_tokens":8,"messages":[{{"role":"user","content":"hello"}}]}}"#
        );
        let request = Request::post("/v1/chat/completions")
            .header("authorization", "Bearer sk-demo")
            .body(Full::new(body))
            .expect("a request");
        let response = app.oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), StatusCode::OK);
        let charged = response.headers()["x-completion-cost"].clone();
        response.into_body().collect().await.expect("whole");
        let money = limiter.standing(&caller).await.expect("memory").money;
        let used = 1_000_000_000 - money.expect("a limit").remaining;
        let charged: Amount = charged.to_str().expect("text").parse().expect("an amount");
        assert_eq!(i128::from(used), charged.pico(), "what is charged");
        used
    };
    let list = used("1", "default", "mock/echo").await;
    assert!(list > 0);
    assert_eq!(used("2.5", "default", "mock/echo").await, list * 5 / 2);
    assert_eq!(used("1", "priority", "mock/echo").await, list * 3);
    assert_eq!(used("0.5", "priority", "mock/echo").await, list * 3 / 2);
    assert_eq!(used("1", "default", "mock/other").await, list * 3);
}

/// What is charged and what the limit counts, of so many requests alike.
async fn charged_and_counted(body: &str, header: &'static str, times: usize) -> (i128, i128) {
    let limit = 1_000_000_000_000;
    let limits = Limits::new()
        .money(Rate::per_day(limit))
        .tokens(Rate::per_day(100_000));
    let keys = Keys::new();
    let caller = Principal::new("demo").attach(limits);
    keys.insert("sk-demo", caller.clone());
    let price = Price::new("1", "2").and_then(|it| it.request("0.01")?.image("0.02"));
    let price = price.expect("amounts");
    let prices = Prices::new()
        .with("mock/echo", price.clone())
        .with("mock/overloaded", price);
    let (limiter, ledger) = (Limiter::new(), MemoryLedger::new());
    let openai = OpenAi::new("http://upstream/v1").expect("a URL");
    let upstream = Provider::new("mock", Upstream::new(), openai);
    let app = Gateway::builder(keys)
        .cost(prices, ledger.clone())
        .limiter(limiter.clone())
        .build(CacheLayer::new(Duration::from_secs(60)).layer(upstream));
    for _ in 0..times {
        let request = Request::post("/v1/chat/completions")
            .header("authorization", "Bearer sk-demo")
            .header(header, "1")
            .body(Full::new(body.to_owned()))
            .expect("a request");
        let response = app.clone().oneshot(request).await.expect("infallible");
        response.into_body().collect().await.expect("whole");
    }
    let standing = limiter.standing(&caller).await.expect("memory");
    let counted = limit - standing.money.expect("a limit").remaining;
    let charged = books::settled(&ledger, "demo").spent.pico();
    let tokens = 100_000 - standing.tokens.expect("a limit").remaining;
    assert_eq!(tokens > 0, charged > 0, "{tokens}");
    (charged, counted.into())
}

/// Images have a price that no token tells; what came out of a cache, failed, or was only asked for its
/// estimate, costs nothing at whatever price a request has.
#[tokio::test(start_paused = true)]
async fn money_is_counted_where_it_is_charged_and_nowhere_else() {
    let body = |model: &str, content: &str| {
        format!(
            r#"{{"model":"{model}","max_tokens":8,"messages":[{{"role":"user","content":{content}}}]}}"#
        )
    };
    let plain = body("mock/echo", r#""hello""#);
    let shown = body(
        "mock/echo",
        r#"[{"type":"text","text":"what?"},{"type":"image_url","image_url":{"url":"https://a/b"}}]"#,
    );
    let failing = body("mock/overloaded", r#""hello""#);
    let (once, counted) = charged_and_counted(&plain, "x-other", 1).await;
    assert!(once > 10_000_000_000);
    assert_eq!(counted, once);
    assert_eq!(
        charged_and_counted(&plain, "x-other", 3).await,
        (once, once),
        "cached"
    );
    let (with_image, counted) = charged_and_counted(&shown, "x-other", 1).await;
    assert!(with_image > 30_000_000_000);
    assert_eq!(counted, with_image);
    for (body, header) in [(&failing, "x-other"), (&plain, "x-dry-run")] {
        assert_eq!(
            charged_and_counted(body, header, 2).await,
            (0, 0),
            "{header}"
        );
    }
}

/// One request, of which so many frames are read: what is charged and what the limit counts.
async fn ended(model: &str, stream: bool, frames: usize) -> (i128, i128) {
    let amount = 1_000_000_000_000;
    // Of a day nothing flows off while an answer takes its time.
    let zone = Zone::utc();
    let limits = Limits::new().limit(Unit::Money, Window::Daily { amount, zone });
    let keys = Keys::new();
    let caller = Principal::new("demo").attach(limits);
    keys.insert("sk-demo", caller.clone());
    let (limiter, ledger) = (Limiter::new(), MemoryLedger::new());
    ledger.grant("demo", Amount::from_pico(amount.into()));
    let price = Price::new("1", "2").and_then(|it| it.request("0.001"));
    let prices = Prices::new().with(model, price.expect("amounts"));
    let openai = OpenAi::new("http://upstream/v1").expect("a URL");
    let app = Gateway::builder(keys)
        .cost(prices, ledger.clone())
        .limiter(limiter.clone())
        .build(Provider::new("mock", Upstream::new(), openai));
    let body = format!(
        r#"{{"model":"{model}","stream":{stream},"max_tokens":50,"messages":[{{"role":"user","content":"hello there, all of you"}}]}}"#
    );
    let request = Request::post("/v1/chat/completions")
        .header("authorization", "Bearer sk-demo")
        .body(Full::new(body))
        .expect("a request");
    let read = async move {
        let mut body = app.oneshot(request).await.expect("infallible").into_body();
        for _ in 0..frames {
            if !matches!(body.frame().await, Some(Ok(_))) {
                break;
            }
        }
    };
    // Some never answer, and some panic.
    let patience = Duration::from_secs(if frames == 0 { 1 } else { 2000 });
    let _ = tokio::spawn(timeout(patience, read)).await;
    let standing = limiter.standing(&caller).await.expect("memory");
    let counted = amount - standing.money.expect("a limit").remaining;
    let charged = books::settled(&ledger, "demo").spent.pico();
    (charged, counted.into())
}

#[tokio::test(start_paused = true)]
async fn however_an_answer_ends_money_is_counted_as_it_is_charged() {
    let (mut free, mut paid) = (0, 0);
    for model in mock::MODELS {
        for stream in [false, true] {
            for frames in [0, 1, 2, 3, 1000] {
                let (charged, counted) = ended(model.id, stream, frames).await;
                assert_eq!(counted, charged, "{} {stream} {frames}", model.id);
                *if charged == 0 { &mut free } else { &mut paid } += 1;
            }
        }
    }
    assert!(free > 20 && paid > 20, "{free} {paid}");
}

/// Answers that never come as far as the layer that counts tokens tell of them too.
#[tokio::test(start_paused = true)]
async fn a_refusal_of_requests_and_an_invalid_request_tell_how_the_tokens_stand() {
    let limits = Limits::new()
        .requests_per_minute(1)
        .tokens_per_minute(10_000);
    let limiter = Limiter::with_store(Queue::new(Memory::new()).timeout(Duration::ZERO));
    let app = gateway(limits, limiter, MemoryLedger::new());
    let told = |response: &Response<tower_completions::body::BoxBody>| {
        let number = |name: &str| -> u64 {
            let value = response.headers()[name].to_str().expect("text");
            value.parse().expect("a number")
        };
        assert_eq!(number("x-ratelimit-limit-tokens"), 10_000);
        assert_eq!(number("x-ratelimit-limit-requests"), 1);
        let tokens = response.headers().get_all("x-ratelimit-remaining-tokens");
        assert_eq!(tokens.iter().count(), 1);
        number("x-ratelimit-remaining-tokens")
    };
    let admitted = app.clone().oneshot(hello(false)).await.expect("infallible");
    assert_eq!(admitted.status(), StatusCode::OK);
    assert!(
        told(&admitted) < 10_000,
        "as it stands after the reservation"
    );
    admitted.into_body().collect().await.expect("whole");
    let refused = app.oneshot(hello(false)).await.expect("infallible");
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(told(&refused) < 10_000, "as it stands after the answer");

    let limits = Limits::new()
        .requests_per_minute(1)
        .tokens_per_minute(10_000);
    let limiter = Limiter::with_store(Queue::new(Memory::new()).timeout(Duration::ZERO));
    let mut invalid = hello(false);
    *invalid.body_mut() = Full::new("{}");
    let invalid = gateway(limits, limiter, MemoryLedger::new())
        .oneshot(invalid)
        .await;
    let invalid = invalid.expect("infallible");
    assert_eq!(invalid.status(), StatusCode::BAD_REQUEST);
    assert_eq!(told(&invalid), 10_000);
}

/// What the layers can be told a whole gateway can be told.
#[tokio::test(start_paused = true)]
async fn a_gateway_limits_as_it_is_told() {
    let keys = Keys::new();
    let limits = Limits::new()
        .requests_per_minute(1)
        .tokens_per_minute(10_000);
    let caller = Principal::new("demo").attach(limits);
    keys.insert("sk-demo", caller.clone());
    let limiter = Limiter::new();
    let script = Script::echo().with_usage(100, 7, 90);
    let upstream = Upstream::new().with_model("mock/echo", script);
    let openai = OpenAi::new("http://upstream/v1").expect("a URL");
    let app = Gateway::builder(keys)
        .limit_mode(Mode::Shadow)
        .limit_fields(Fields::WithIetf)
        .limit_cached(Cached::Free)
        .limit_expected(50)
        .limiter(limiter.clone())
        .build(Provider::new("mock", upstream, openai));
    let ask = async || {
        let body = r#"{"model":"mock/echo","messages":[{"role":"user","content":"hello"}]}"#;
        let request = Request::post("/v1/chat/completions")
            .header("authorization", "Bearer sk-demo")
            .body(Full::new(body))
            .expect("a request");
        let response = app.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        body.collect().await.expect("whole");
        assert_eq!(parts.status, StatusCode::OK);
        parts.headers
    };
    let first = ask().await;
    assert!(!first.contains_key("x-ratelimit-shadow"));
    assert_eq!(first.get_all("ratelimit").iter().count(), 2);
    let left = first["x-ratelimit-remaining-tokens"].to_str();
    let left: u64 = left.expect("text").parse().expect("a number");
    assert!((9_900..9_950).contains(&left), "{left}");
    let standing = limiter.standing(&caller).await.expect("memory");
    // A hundred and seven, of which ninety came out of the provider's cache.
    assert_eq!(standing.tokens.expect("a limit").remaining, 10_000 - 17);
    assert!(ask().await.contains_key("x-ratelimit-shadow"));
    assert_eq!(limiter.stats().shadowed, 1);
}

/// A body that must not be read.
struct Unread;

impl http_body::Body for Unread {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("read")
    }
}

#[tokio::test]
async fn debt_is_refused_before_the_body_is_read() {
    let limiter = Limiter::new();
    let limits = Limits::new().tokens(Rate::per_day(100));
    let caller = Principal::new("acme").attach(limits.clone());
    let demand = Demand {
        rule: "key".into(),
        key: Key::new("acme"),
        limits,
    };
    let reserved = Weights::new().with(Unit::Tokens, 50);
    match limiter.store().decide(&Ask::new([demand], reserved)) {
        Decision::Admitted(hold, _) => hold.settle(&Weights::new().with(Unit::Tokens, 500)),
        Decision::Refused(_) => panic!("nothing is used"),
    }
    let app =
        RateLimitLayer::new(limiter)
            .with_tokens()
            .layer(service_fn(|_: Request<Unread>| async {
                Ok::<_, Infallible>(Response::new(Full::new("")))
            }));
    let mut request = Request::new(Unread);
    request.extensions_mut().insert(caller);
    let refused = app.oneshot(request).await.expect("infallible");
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["x-ratelimit-remaining-tokens"], "0");
    // Four hundred are owed, at a hundred a day.
    assert_eq!(refused.headers()["retry-after"], "345600");
}

/// What a short request needs itself is part of what it is told to wait, debt or not.
#[tokio::test(start_paused = true)]
async fn who_waits_in_debt_as_told_is_admitted() {
    let limits = Limits::new()
        .requests_per_minute(600)
        .tokens_per_minute(6_000);
    let keys = Keys::new();
    let caller = Principal::new("demo").attach(limits);
    keys.insert("sk-demo", caller.clone());
    let limiter = Limiter::new();
    let openai = OpenAi::new("http://upstream/v1").expect("a URL");
    let upstream = Upstream::new().with_model("mock/echo", Script::echo().with_usage(10, 7_000, 0));
    let app = Gateway::builder(keys)
        .limiter(limiter.clone())
        .build(Provider::new("mock", upstream, openai));
    let ask = async || {
        let body = r#"{"model":"mock/echo","max_tokens":3000,"messages":[{"role":"user","content":"hello"}]}"#;
        let request = Request::post("/v1/chat/completions")
            .header("authorization", "Bearer sk-demo")
            .header("content-length", body.len())
            .body(Full::new(body))
            .expect("a request");
        let response = app.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        body.collect().await.expect("whole");
        parts
    };
    let mut waited = Duration::ZERO;
    for round in 0..4 {
        let answer = ask().await;
        assert_eq!(answer.status, StatusCode::OK, "{round}: after {waited:?}");
        let refused = ask().await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        let headers = &refused.headers;
        assert_eq!(headers["x-ratelimit-remaining-tokens"], "0");
        // The refused one took no request: one of 600 a minute is back in a tenth of a second.
        let standing = limiter.standing(&caller).await.expect("memory");
        assert_eq!(standing.requests.expect("a limit").remaining, 599);
        let wait = headers["retry-after-ms"].to_str().expect("digits");
        waited = Duration::from_millis(wait.parse().expect("digits"));
        // At a hundred a second: three thousand are wanted, and a thousand owed by who had a whole
        // minute's, four by who had just what it reserved.
        let seconds = if round == 0 { 40 } else { 70 };
        assert_eq!(waited.as_secs(), seconds, "{waited:?}");
        tokio::time::advance(waited).await;
    }
}

/// Tells when it is read.
struct Told(Option<Bytes>, UnboundedSender<&'static str>);

impl http_body::Body for Told {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.0.take();
        if data.is_some() {
            self.1.send("read").expect("somebody listens");
        }
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }
}

/// A caller in debt waits in the outer line, with its body unread and no slot taken; then in the
/// inner one, for what its request reserves.
#[tokio::test(start_paused = true)]
async fn with_a_queue_a_caller_in_debt_waits_before_its_body_is_read() {
    let store = Queue::new(Memory::new()).timeout(Duration::from_secs(10));
    let limiter = Limiter::with_store(store.clone());
    let limits = Limits::new()
        .tokens(Rate::per_second(100))
        .max_concurrent(1);
    let caller = Principal::new("acme").attach(limits.clone());
    let demand = Demand {
        rule: "key".into(),
        key: Key::new("acme"),
        limits,
    };
    let owe = |amount: u64| {
        let ask = Ask::new([demand.clone()], Weights::new().with(Unit::Tokens, 0));
        match store.store().decide(&ask) {
            Decision::Admitted(hold, _) => hold.settle(&Weights::new().with(Unit::Tokens, amount)),
            Decision::Refused(_) => panic!("nothing is owed"),
        }
    };
    // A hundred may be had at once, so four hundred are owed: four seconds.
    owe(500);
    let (tell, mut told) = unbounded_channel();
    let called = tell.clone();
    let app = ServiceBuilder::new()
        .layer(RateLimitLayer::new(limiter.clone()).with_tokens())
        .layer(TokenLimitLayer::new(limiter.clone()))
        .service(service_fn(move |_: Request<ChatBody>| {
            called.send("called").expect("somebody listens");
            async { Ok::<_, Infallible>(Response::new(Full::new(""))) }
        }));
    let hello = r#"{"model":"m","max_tokens":50,"messages":[{"role":"user","content":"hello"}]}"#;
    let request = || {
        let mut request = Request::new(Told(Some(hello.into()), tell.clone()));
        request.extensions_mut().insert(caller.clone());
        request
    };
    let begin = tokio::time::Instant::now();
    let running = tokio::spawn(app.clone().oneshot(request()));
    tokio::task::yield_now().await;
    tokio::time::advance(Duration::from_millis(3990)).await;
    assert!(told.try_recv().is_err(), "the body is not read in debt");
    assert_eq!(store.stats().waiting, 1);
    let report = limiter.standing(&caller).await.expect("memory");
    assert_eq!(report.concurrent.expect("a limit").in_use, 0);
    assert_eq!(told.recv().await, Some("read"));
    assert_eq!(begin.elapsed().as_secs(), 4);
    assert!(begin.elapsed() < Duration::from_millis(4100));
    assert_eq!(told.recv().await, Some("called"));
    // Its fifty and a few for its words have flowed back since.
    assert!(begin.elapsed() > Duration::from_millis(4500));
    let answer = running.await.expect("no panic").expect("infallible");
    assert_eq!(answer.status(), StatusCode::OK);
    drop(answer);
    assert_eq!(store.stats().waited, 2, "once in each line");

    // Debt beyond the deadline is refused there and then, unread.
    owe(5000);
    let begin = tokio::time::Instant::now();
    let refused = app.oneshot(request()).await.expect("infallible");
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert!(told.try_recv().is_err());
}

/// Counts what would be logged at INFO or above.
struct Loud(std::sync::Arc<std::sync::atomic::AtomicU64>);

impl tracing::Subscriber for Loud {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::INFO
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn a_refusal_writes_no_line_into_the_log() {
    let count = std::sync::Arc::<std::sync::atomic::AtomicU64>::default();
    let _on = tracing::subscriber::set_default(Loud(count.clone()));
    let limits = Limits::new()
        .requests_per_minute(2)
        .tokens_per_minute(30)
        .max_concurrent(1);
    let limiter = Limiter::with_store(Queue::new(Memory::new()).timeout(Duration::ZERO));
    let app = gateway(limits, limiter.clone(), MemoryLedger::new());
    for _ in 0..5 {
        let _ = app.clone().oneshot(hello(false)).await.expect("infallible");
    }
    assert!(limiter.stats().refused >= 3, "{:?}", limiter.stats());
    assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 0);
    // It would have been seen.
    tracing::info!("a line");
    assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_with_a_queue_waits_instead() {
    let limits = Limits::new()
        .requests(Rate::per_second(2).burst(1))
        .max_concurrent(1);
    let store = Queue::new(Memory::new()).timeout(Duration::from_secs(30));
    let app = gateway(
        limits,
        Limiter::with_store(store.clone()),
        MemoryLedger::new(),
    );
    let begin = tokio::time::Instant::now();
    let mut open = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let app = app.clone();
        open.spawn(async move {
            let response = app.oneshot(hello(true)).await.expect("infallible");
            assert_eq!(response.status(), StatusCode::OK);
            response.into_body().collect().await.expect("whole");
        });
    }
    while let Some(done) = open.join_next().await {
        done.expect("admitted");
    }
    assert!(begin.elapsed() >= Duration::from_millis(3500));
    assert_eq!(store.stats().waited, 7);
}
