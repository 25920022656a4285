//! Limits seen from outside: what they cost in memory, what a cancelled request leaves, how they
//! stand in a whole gateway.

#[path = "support/books.rs"]
mod books;

use std::{convert::Infallible, future::poll_fn, pin::pin, task::Poll, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tower::{Layer as _, ServiceBuilder, ServiceExt as _, service_fn};
use tower_completions::{
    Principal, Served, Target,
    auth::Keys,
    body::Full,
    cost::{Amount, MemoryLedger, Price, Prices, Terms, When},
    limit::{
        Ask, ByTeam, Decision, Demand, Hold as _, Key, KeyExtractor, Limiter, Limits, Memory, Mode,
        Queue, Rate, RateLimitLayer, Report, Rule, TokenLimitLayer, Unit, Weights, Window, Zone,
    },
    mock::Upstream,
    parse::ChatBody,
    provider::{Provider, openai::OpenAi},
    stack::Gateway,
    wire::ServiceTier,
};

/// How many random keys are tried; `LIMIT_KEYS` asks for more.
fn keys() -> u64 {
    let asked = std::env::var("LIMIT_KEYS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(200_000)
}

#[test]
fn random_keys_are_bounded_in_memory() {
    let limits = Limits::new()
        .requests_per_minute(60)
        .tokens_per_minute(100_000)
        .max_concurrent(8);
    let weights = Weights::new()
        .with(Unit::Requests, 1)
        .with(Unit::Tokens, 100)
        .with_slot();
    let store = Memory::new();
    let rule: std::sync::Arc<str> = "key".into();
    let used = allocation_counter::measure(|| {
        for at in 0..keys() {
            // Looks random, and is as long as a key may be.
            let key = format!(
                "{:032x}",
                u128::from(at).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c)
            );
            let demand = Demand {
                rule: rule.clone(),
                key: Key::new(key.clone() + &key),
                limits: limits.clone(),
            };
            match store.decide(&Ask::new([demand], weights)) {
                Decision::Admitted(hold, _) => hold.settle(&weights),
                Decision::Refused(_) => {}
            }
        }
    });
    assert!(store.len() <= 65_537, "{}", store.len());
    assert!(used.bytes_max <= 64 << 20, "{} bytes", used.bytes_max);
    println!(
        "{} keys: at most {} bytes, {} kept",
        keys(),
        used.bytes_max,
        store.len()
    );
}

/// Its own limits, those of its team and everybody's, settled or refused.
#[test]
fn a_decision_for_a_known_key_allocates_nothing() {
    let plenty = || Limits::new().requests_per_minute(u64::from(u32::MAX));
    let all = Limits::new().tokens(Rate::per_second(1 << 50).burst(1 << 40));
    let caller = Principal::new("acme").with_team("research");
    let mut request = Request::new(());
    request
        .extensions_mut()
        .insert(caller.attach(plenty().max_concurrent(8)));
    let (parts, ()) = request.into_parts();
    let weights = Weights::new()
        .with(Unit::Requests, 1)
        .with(Unit::Tokens, 1000)
        .with_slot();
    let rules = [
        Rule::per_principal(),
        Rule::new("team", ByTeam, plenty().tokens(Rate::per_second(1 << 50))),
        Rule::global(all),
    ];
    for count in 1..=rules.len() {
        let limiter = Limiter::new().rules(rules[..count].to_vec());
        let decide = |weights| limiter.store().decide(&limiter.ask(&parts, weights));
        let both = || {
            match decide(weights) {
                Decision::Admitted(hold, _) => hold.settle(&Weights::new().with(Unit::Tokens, 700)),
                Decision::Refused(_) => panic!("there is plenty"),
            }
            let more = weights.with(Unit::Tokens, 1 << 45);
            // Only everybody together have less.
            let refused = matches!(decide(more), Decision::Refused(_));
            assert_eq!(refused, count == rules.len());
        };
        both();
        let used = allocation_counter::measure(|| {
            for _ in 0..100 {
                both();
            }
        });
        assert_eq!(used.count_total, 0, "{count} rules");
    }
}

/// A body that is pending before each of three frames.
struct Slow(u8);

impl http_body::Body for Slow {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0 += 1;
        if self.0 > 6 {
            return Poll::Ready(None);
        }
        if self.0 % 2 == 1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
    }
}

async fn slowly(_: Request<Full>) -> Result<Response<Slow>, Infallible> {
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    Ok(Response::new(Slow(0)))
}

/// Sends a request and drops it after so many polls of its future and body; whether it was over.
async fn polled(
    app: &mut (
             impl tower::Service<
        Request<Full>,
        Response = Response<impl http_body::Body<Data = Bytes, Error = Infallible>>,
        Error = Infallible,
    > + Clone
         ),
    request: Request<Full>,
    polls: usize,
) -> bool {
    let mut left = polls;
    let mut future = pin!(app.call(request));
    let response = loop {
        if left == 0 {
            return false;
        }
        left -= 1;
        let ready = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(response) = ready {
            break response.expect("infallible");
        }
    };
    let mut body = pin!(response.into_body());
    while left > 0 {
        left -= 1;
        let ready = poll_fn(|cx| Poll::Ready(body.as_mut().poll_frame(cx))).await;
        if matches!(ready, Poll::Ready(None)) {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn cancelled_at_every_poll_every_slot_is_returned() {
    let limiter = Limiter::new();
    let limits = Limits::new().max_concurrent(3).tokens_per_minute(1_000_000);
    let caller = Principal::new("acme").attach(limits);
    let request = || {
        let body = r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}"#;
        let mut request = Request::post("/").body(Full::new(body)).expect("a request");
        request.extensions_mut().insert(caller.clone());
        request
    };
    let inner = service_fn(|request: Request<tower_completions::parse::ChatBody>| {
        let (parts, _) = request.into_parts();
        slowly(Request::from_parts(parts, Full::new("")))
    });
    let tokens = TokenLimitLayer::new(limiter.clone()).layer(inner);
    let mut app = RateLimitLayer::new(limiter.clone()).layer(tokens);
    let mut polls = 0;
    loop {
        let over = polled(&mut app, request(), polls).await;
        let report = limiter.standing(&caller).await.expect("memory");
        let slots = report.concurrent.expect("slots");
        assert_eq!(slots.in_use, 0, "dropped after {polls} polls");
        if over {
            break;
        }
        polls += 1;
    }
    assert!(polls > 8, "{polls}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_returns_the_slot_too() {
    let limiter = Limiter::new();
    let caller = Principal::new("acme").attach(Limits::new().max_concurrent(1));
    let app = ServiceBuilder::new()
        .layer(RateLimitLayer::new(limiter.clone()))
        .service(service_fn(|_: Request<Full>| async {
            if true {
                panic!("a bug of the application");
            }
            Ok::<_, Infallible>(Response::new(Full::new("")))
        }));
    let mut request = Request::new(Full::new(""));
    request.extensions_mut().insert(caller.clone());
    assert!(tokio::spawn(app.oneshot(request)).await.is_err());
    let report = limiter.standing(&caller).await.expect("memory");
    assert_eq!(report.concurrent.expect("slots").in_use, 0);
}

/// 480 000 tokens a minute against 500 000, and requests limited too, for ten minutes: through both
/// layers, each answer taking a while and using less than it had reserved.
#[tokio::test(start_paused = true)]
async fn steady_load_below_the_limit_is_never_refused() {
    let limiter = Limiter::new();
    let limits = Limits::new()
        .tokens_per_minute(500_000)
        .requests_per_minute(630)
        .max_concurrent(40);
    let caller = Principal::new("acme").attach(limits);
    let inner = service_fn(|_: Request<tower_completions::parse::ChatBody>| async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let tally = tower_completions::meter::Tally::new();
        tally.record_usage(tower_completions::wire::Usage::new(300, 500));
        let mut response = Response::new(Full::new("{}"));
        response.extensions_mut().insert(tally);
        Ok::<_, Infallible>(response)
    });
    let tokens = TokenLimitLayer::new(limiter.clone()).layer(inner);
    let app = RateLimitLayer::new(limiter.clone()).layer(tokens);
    let mut open = tokio::task::JoinSet::new();
    for _ in 0..6000 {
        let body = r#"{"model":"m","max_tokens":1000,"messages":[{"role":"user","content":"hi"}]}"#;
        let mut request = Request::post("/").body(Full::new(body)).expect("a request");
        request.extensions_mut().insert(caller.clone());
        let app = app.clone();
        open.spawn(async move {
            let response = app.oneshot(request).await.expect("infallible");
            assert_eq!(response.status(), StatusCode::OK);
            response.into_body().collect().await.expect("whole");
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        while let Some(done) = open.try_join_next() {
            done.expect("admitted");
        }
    }
    while let Some(done) = open.join_next().await {
        done.expect("admitted");
    }
    assert_eq!(limiter.stats().refused, 0);
}

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

#[tokio::test]
async fn limits_hold_for_any_combination_of_keys() {
    let by = |rule: Rule| RateLimitLayer::new(Limiter::new().rules([rule]));
    let one = || Limits::new().requests(Rate::per_day(1));
    let user = || tower_completions::limit::ByHeader(http::HeaderName::from_static("x-user"));
    let ask = async |layer: &RateLimitLayer, ip: [u8; 4], name: &'static str| {
        let ok = service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new(Full::new("")))
        });
        let mut request = Request::builder()
            .header("x-user", name)
            .body(())
            .expect("one");
        request.extensions_mut().insert(std::net::IpAddr::from(ip));
        let response = layer.layer(ok).oneshot(request).await.expect("infallible");
        response.status() == 200
    };
    let (a, b) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let ip = by(Rule::new("ip", tower_completions::limit::ByIp, one()));
    assert!(ask(&ip, a, "u").await && !ask(&ip, a, "v").await && ask(&ip, b, "u").await);
    let header = by(Rule::new("user", user(), one()));
    assert!(ask(&header, a, "u").await && ask(&header, a, "v").await);
    assert!(!ask(&header, b, "u").await);
    let both = by(Rule::new(
        "both",
        (tower_completions::limit::ByIp, user()),
        one(),
    ));
    assert!(ask(&both, a, "u").await && ask(&both, a, "v").await && ask(&both, b, "u").await);
    assert!(!ask(&both, a, "u").await);
    let own = |parts: &http::request::Parts| Some(Key::new(parts.method.as_str()));
    let _: &dyn KeyExtractor = &own;
    let method = by(Rule::new("method", own, one()));
    assert!(ask(&method, a, "u").await && !ask(&method, b, "v").await);
}

#[tokio::test]
async fn every_window_counts_and_the_most_constrained_is_told() {
    for (window, reset) in [
        (Window::from(Rate::per_second(2)), 1),
        (Rate::per_minute(2).into(), 60),
        (Rate::per_hour(2).into(), 3600),
        (Rate::per_day(2).into(), 86_400),
        (
            Window::Daily {
                amount: 2,
                zone: Zone::fixed(3600),
            },
            86_400,
        ),
    ] {
        let limits = Limits::new()
            .requests(Rate::per_second(1000))
            .limit(Unit::Requests, window);
        let limiter = Limiter::new();
        let caller = Principal::new("acme").attach(limits);
        let app = RateLimitLayer::new(limiter.clone()).layer(service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new(Full::new("")))
        }));
        let ask = async || {
            let mut request = Request::new(());
            request.extensions_mut().insert(caller.clone());
            app.clone().oneshot(request).await.expect("infallible")
        };
        assert_eq!(ask().await.headers()["x-ratelimit-remaining-requests"], "1");
        assert_eq!(ask().await.headers()["x-ratelimit-limit-requests"], "2");
        assert_eq!(ask().await.status(), 429);
        let Report { requests, .. } = limiter.standing(&caller).await.expect("memory");
        let told = requests.expect("a limit").reset;
        assert!(
            told <= Duration::from_secs(reset) && !told.is_zero(),
            "{told:?}"
        );
    }
}

#[tokio::test]
async fn shadow_mode_lets_even_tokens_pass_and_says_so() {
    let limiter = Limiter::new();
    let inner = service_fn(|_: Request<tower_completions::parse::ChatBody>| async {
        Ok::<_, Infallible>(Response::new(Full::new("{}")))
    });
    let app = TokenLimitLayer::new(limiter.clone())
        .mode(Mode::Shadow)
        .layer(inner);
    let caller = Principal::new("acme").attach(Limits::new().tokens_per_minute(20));
    let mut announced = 0;
    for _ in 0..3 {
        let body = r#"{"model":"m","max_tokens":12,"messages":[{"role":"user","content":"hi"}]}"#;
        let mut request = Request::post("/").body(Full::new(body)).expect("a request");
        request.extensions_mut().insert(caller.clone());
        let response = app.clone().oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), 200);
        announced += u64::from(response.headers().contains_key("x-ratelimit-shadow"));
    }
    assert_eq!(announced, 2);
    assert_eq!(limiter.stats().shadowed, 2);
}
