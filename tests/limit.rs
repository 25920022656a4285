//! Limits seen from outside: what they cost in memory, what a cancelled request leaves, and that they
//! hold.

use std::{convert::Infallible, future::poll_fn, pin::pin, task::Poll, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt as _;

use tower::{Layer as _, ServiceBuilder, ServiceExt as _, service_fn};
use tower_completions::{
    Principal,
    body::Full,
    limit::{
        Ask, ByTeam, Decision, Demand, Hold as _, Key, KeyExtractor, Limiter, Limits, Memory, Mode,
        Rate, RateLimitLayer, Report, Rule, TokenLimitLayer, Unit, Weights, Window, Zone,
    },
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
