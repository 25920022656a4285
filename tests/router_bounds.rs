//! What bounds the router: its times, what travels through it, and what it costs.

#![cfg(feature = "mock")]

#[path = "support/books.rs"]
mod books;
#[path = "support/routes.rs"]
mod routes;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use routes::{attempts, builder, chat, code, pair, provider};
use tokio::time::Instant;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};
use tower_completions::{
    Cached, Dialect, Error, KeyPool, Principal, Target,
    auth::Keys,
    body::Full,
    cache::CacheLayer,
    cost::{CostLayer, MemoryLedger, Price, Prices},
    error::TimeOut,
    mock::{Fault, Script, Upstream},
    observe::{Event, Watch, Watcher},
    parse::ChatBody,
    provider::{Provider, openai::OpenAi},
    router::{Balance, Candidate, Model, Router, Sticky, Table},
    stack::Gateway,
    time::NoTimer,
};

#[tokio::test(start_paused = true)]
async fn all_attempts_end_with_the_total_time() {
    let (a, b, builder) = builder(pair());
    let router = builder
        .attempt_timeout(Duration::from_secs(20))
        .total_timeout(Duration::from_secs(30))
        .build()
        .expect("sound");
    for _ in 0..3 {
        a.queue(Script::silent());
        b.queue(Script::silent());
    }
    let start = Instant::now();
    let response = router.clone().oneshot(chat("")).await.expect("infallible");
    assert_eq!(
        (response.status().as_u16(), code(&response)),
        (504, "upstream_timeout".into())
    );
    assert_eq!((start.elapsed().as_secs(), attempts(&response)), (30, 2));
    let error = response.extensions().get::<Error>().expect("refused");
    assert_eq!(error.time_out(), Some(TimeOut::Total));
}

#[tokio::test(start_paused = true)]
async fn what_no_time_is_left_for_is_not_begun() {
    // A pause that ends behind the total time: the answer is there at once, and says when to come again.
    let (a, b, builder) = builder([Model::new("m").target(Candidate::new("a", "x"))]);
    let router = builder
        .total_timeout(Duration::from_secs(2))
        .build()
        .expect("sound");
    let after = HeaderName::from_static("retry-after");
    let later = |seconds| {
        Script::overloaded().with_header(after.clone(), HeaderValue::from_static(seconds))
    };
    a.queue(later("3"));
    let start = Instant::now();
    let response = router.clone().oneshot(chat("")).await.expect("infallible");
    assert_eq!(
        (response.status().as_u16(), code(&response)),
        (503, "upstream_overloaded".into())
    );
    assert_eq!(response.headers()["retry-after"], "3");
    assert_eq!((start.elapsed().as_secs(), attempts(&response)), (0, 1));
    assert_eq!(b.log().counts().calls, 0);
    // A target that nobody has time to ask is none that was asked.
    let (a, b, builder) = routes::builder(pair());
    let router = builder
        .total_timeout(Duration::from_secs(2))
        .build()
        .expect("sound");
    a.queue(Script::silent());
    let response = router.clone().oneshot(chat("")).await.expect("infallible");
    let error = response.extensions().get::<Error>().expect("refused");
    assert_eq!(error.time_out(), Some(TimeOut::Total));
    assert_eq!((attempts(&response), b.log().counts().calls), (1, 0));
}

/// Without a timer no pause would end: nothing is waited for.
#[tokio::test(start_paused = true)]
async fn without_a_timer_no_request_waits_for_ever() {
    for script in [Script::overloaded(), Script::failed()] {
        let (a, _, builder) = builder([Model::new("m").target(Candidate::new("a", "x"))]);
        let router = builder.timer(NoTimer).build().expect("sound");
        for _ in 0..2 {
            a.queue(script.clone());
        }
        let call = router.oneshot(chat(""));
        let answer = tokio::time::timeout(Duration::from_secs(3_600), call).await;
        let response = answer.expect("an answer").expect("infallible");
        assert_eq!(attempts(&response), 1);
        assert!(response.status().is_server_error());
    }
}

#[tokio::test]
async fn a_header_that_comes_alone_is_not_let_through() {
    let service = service_fn(async |_: Request<ChatBody>| {
        let response = Response::builder().header("openai-organization", "ours");
        Ok::<_, std::convert::Infallible>(response.body(Full::new("{}")).expect("valid"))
    });
    let table = Table::new([Model::new("m").target(Candidate::new("a", "x"))]);
    let router = Router::builder(table.expect("sound"))
        .service("a", service, 0)
        .build()
        .expect("sound");
    let response = router.oneshot(chat("")).await.expect("infallible");
    let names: Vec<_> = response.headers().keys().collect();
    assert_eq!(names, ["x-attempts"]);
}

#[tokio::test(start_paused = true)]
async fn only_allowed_headers_travel_either_way_and_bodies_are_not_copied() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let service = service_fn(move |request: Request<ChatBody>| {
        let names: Vec<_> = request
            .headers()
            .keys()
            .map(|name| name.as_str().to_owned())
            .collect();
        let bytes = request.body().chat().bytes();
        log.lock()
            .expect("sound")
            .push((names, bytes.as_ptr() as usize));
        let fails = log.lock().expect("sound").len() == 1;
        async move {
            let response = Response::builder()
                .status(if fails { 500 } else { 200 })
                .header("content-type", "application/json")
                .header("set-cookie", "a=b")
                .header("openai-organization", "ours")
                .header("x-own", "1");
            Ok::<_, std::convert::Infallible>(response.body(Full::new("{}")).expect("valid"))
        }
    });
    let router = Router::builder(Table::new(pair()).expect("sound"))
        .service("a", service.clone(), 0)
        .service("b", service, 0)
        .forward(http::HeaderName::from_static("x-tag"))
        .backward(http::HeaderName::from_static("x-own"))
        .build()
        .expect("sound");
    let mut request = chat("");
    let original = request.body().chat().bytes().as_ptr() as usize;
    for name in [
        "authorization",
        "cookie",
        "x-api-key",
        "connection",
        "te",
        "transfer-encoding",
        "upgrade",
        "proxy-authorization",
        "accept-encoding",
        "host",
        "x-tag",
        "traceparent",
        "x-other",
    ] {
        let value = match name {
            "traceparent" => PARENT,
            _ => "secret",
        };
        let name = http::HeaderName::from_static(name);
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    let response = router.oneshot(request).await.expect("infallible");
    let mut back: Vec<_> = response
        .headers()
        .keys()
        .map(http::HeaderName::as_str)
        .collect();
    back.sort_unstable();
    assert_eq!(back, ["content-type", "x-attempts", "x-own"]);
    let seen = seen.lock().expect("sound");
    assert_eq!(seen.len(), 2);
    for (names, bytes) in &*seen {
        let mut names = names.clone();
        names.sort_unstable();
        assert_eq!(names, ["traceparent", "x-tag"]);
        assert_eq!(*bytes, original, "the very bytes that came, each time");
    }
}

/// A service under test that says itself whether it reads the head.
#[derive(Clone)]
struct Looks {
    reads_head: bool,
    seen: Arc<Mutex<Vec<String>>>,
}

impl KeyPool for Looks {
    fn keys(&self) -> usize {
        1
    }

    fn reads_head(&self) -> bool {
        self.reads_head
    }
}

impl Service<Request<ChatBody>> for Looks {
    type Response = Response<Full>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ChatBody>) -> Self::Future {
        let extensions = request.extensions();
        let target = extensions.get::<Target>().expect("put in by the router");
        let caller = extensions.get::<Principal>().map(Principal::id);
        let seen = format!(
            "{} {:?} {} {} {caller:?}",
            target.provider,
            request.body().chat().model(),
            request.uri(),
            request.headers().contains_key("traceparent"),
        );
        self.seen.lock().expect("sound").push(seen);
        ready(Ok(Response::new(Full::new("{}"))))
    }
}

#[tokio::test]
async fn a_service_that_does_not_read_the_head_is_given_the_body_and_the_target() {
    let seen = Arc::default();
    for reads_head in [true, false] {
        let looks = Looks {
            reads_head,
            seen: Arc::clone(&seen),
        };
        let router = Router::builder(Table::new(pair()).expect("sound"))
            .provider("a", looks.clone())
            .provider("b", looks)
            .build()
            .expect("sound");
        let mut request = chat("");
        *request.uri_mut() = http::Uri::from_static("/v1/chat/completions");
        let value = HeaderValue::from_static(PARENT);
        request.headers_mut().insert("traceparent", value);
        request.extensions_mut().insert(Principal::new("acme"));
        let response = router.oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), 200);
    }
    let seen: Vec<String> = seen.lock().expect("sound").clone();
    let [all, least] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(all, r#"a "m" /v1/chat/completions true Some("acme")"#);
    assert_eq!(least, r#"a "m" / false None"#);
}

/// What the router forwards leaves the process, with every value; what a provider says itself, and what
/// is of the client's connection, is never the client's to say.
#[tokio::test(start_paused = true)]
async fn what_is_forwarded_leaves_through_a_provider() {
    let (a, _, builder) = builder(pair());
    let router = [
        "x-tag",
        "authorization",
        "accept-encoding",
        "host",
        "content-encoding",
    ]
    .into_iter()
    .map(http::HeaderName::from_static)
    .fold(builder, |builder, name| builder.forward(name))
    .build()
    .expect("sound");
    let mut request = chat("");
    for (name, value) in [
        ("traceparent", PARENT),
        ("tracestate", "a=1"),
        ("tracestate", "b=2"),
        ("x-tag", "one"),
        ("x-tag", "two"),
        ("x-other", "secret"),
        ("cookie", "secret"),
        ("authorization", "Bearer secret"),
        ("accept-encoding", "secret"),
        ("host", "secret"),
        ("content-encoding", "secret"),
        ("content-type", "text/secret"),
    ] {
        let value = HeaderValue::from_static(value);
        request.headers_mut().append(name, value);
    }
    let response = router.oneshot(request).await.expect("infallible");
    assert_eq!(response.status(), 200);
    let seen = a.log().last().expect("asked");
    let all = |name: &str| -> Vec<_> { seen.headers().get_all(name).iter().cloned().collect() };
    assert_eq!(all("traceparent"), [PARENT]);
    assert_eq!(all("tracestate"), ["a=1", "b=2"]);
    assert_eq!(all("x-tag"), ["one", "two"]);
    assert_eq!(all("authorization"), ["Bearer sk-a"]);
    assert_eq!(all("content-type"), ["application/json"]);
    let text = format!("{:?}", seen.headers());
    assert!(!text.contains("secret"), "{text}");

    // Without a router there is nobody who has said what may travel.
    let mut request = chat("");
    let value = HeaderValue::from_static(PARENT);
    request.headers_mut().insert("traceparent", value);
    let alone = provider("a", &a)
        .oneshot(request)
        .await
        .expect("infallible");
    assert_eq!(alone.status(), 200);
    assert!(
        a.log()
            .last()
            .expect("asked")
            .header("traceparent")
            .is_none()
    );
}

/// An upstream may refuse a request for a header that is too long or is none, and that would be held against
/// the upstream.
#[tokio::test(start_paused = true)]
async fn of_a_trace_only_what_is_valid_and_short_travels() {
    let (a, _, builder) = builder(pair());
    let router = builder.build().expect("sound");
    let long = "a=".to_owned() + &"x".repeat(511);
    for (parent, state, travels) in [
        (PARENT, "a=1", [true, true]),
        (PARENT, &*long, [true, false]),
        ("00-1-2-01", "a=1", [false, false]),
        ("secret", "a=1", [false, false]),
    ] {
        let mut request = chat("");
        for (name, value) in [("traceparent", parent), ("tracestate", state)] {
            let value = HeaderValue::from_str(value).expect("a value");
            request.headers_mut().insert(name, value);
        }
        let response = router.clone().oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), 200);
        let seen = a.log().last().expect("asked");
        let got = ["traceparent", "tracestate"].map(|name| seen.header(name).is_some());
        assert_eq!(got, travels, "{parent} {}", state.len());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_back_does_not_travel() {
    let (a, _, builder) = builder(pair());
    let name = http::HeaderName::from_static("traceparent");
    let router = builder.keep_back(&name).build().expect("sound");
    for watched in [false, true] {
        let mut request = chat("");
        for (name, value) in [("traceparent", PARENT), ("tracestate", "session=1")] {
            let value = HeaderValue::from_static(value);
            request.headers_mut().insert(name, value);
        }
        if watched {
            // Nor what a watch would put in its place.
            request.extensions_mut().insert(Watch::new(Passes));
        }
        let response = router.clone().oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), 200);
        let seen = a.log().last().expect("asked");
        for name in ["traceparent", "tracestate", "x-mine"] {
            assert_eq!(seen.header(name), None, "{watched}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_watch_passes_on_travels_where_it_is_forwarded() {
    let (a, _, builder) = builder(pair());
    let router = builder.build().expect("sound");
    let mut request = chat("");
    request.extensions_mut().insert(Watch::new(Passes));
    let response = router.oneshot(request).await.expect("infallible");
    assert_eq!(response.status(), 200);
    let seen = a.log().last().expect("asked");
    assert_eq!(seen.header("traceparent"), Some(PARENT));
    assert_eq!(seen.header("tracestate"), Some("mine=1"));
    assert_eq!(seen.header("x-mine"), None, "not forwarded");
}

struct Passes;

impl Watcher for Passes {
    fn on(&self, _: &Event<'_>) {}

    fn pass_on(&self, number: u32, headers: &mut HeaderMap) {
        assert_eq!(number, 1);
        for (name, value) in [
            ("traceparent", PARENT),
            ("tracestate", "mine=1"),
            ("x-mine", "1"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test(start_paused = true)]
async fn a_redirect_is_not_followed() {
    let (a, b, builder) = builder(pair());
    let to = HeaderValue::from_static("http://elsewhere/");
    for upstream in [&a, &b] {
        let script = Script::bytes(http::StatusCode::FOUND, "moved");
        upstream.queue(script.with_header(http::header::LOCATION, to.clone()));
        upstream.queue(Script::bytes(http::StatusCode::FOUND, "moved"));
    }
    let response = builder
        .build()
        .expect("sound")
        .oneshot(chat(""))
        .await
        .expect("infallible");
    assert_eq!(
        (response.status().as_u16(), code(&response)),
        (502, "bad_upstream_response".into())
    );
    assert!(response.headers().get("location").is_none());
}

/// The same over sockets, with the client that ships: who is pointed to gets no call.
#[cfg(feature = "client")]
#[tokio::test]
async fn the_client_does_not_follow_a_redirect() {
    use tower_completions::{mock::Server, provider::client::Client};

    let elsewhere = Server::start(Upstream::new()).await.expect("a port");
    let from = Server::start(Upstream::new()).await.expect("a port");
    let location = format!("{}/chat/completions", elsewhere.base_url());
    let location = HeaderValue::from_str(&location).expect("a URL");
    for status in [301, 302, 303, 307, 308] {
        let status = http::StatusCode::from_u16(status).expect("valid");
        let script = Script::bytes(status, "moved");
        let script = script.with_header(http::header::LOCATION, location.clone());
        from.upstream().queue(script);
        let translate = OpenAi::new(&from.base_url()).expect("a URL");
        let provider = Provider::new("a", Client::default(), translate).with_keys(["sk-a"]);
        let table = Table::new([Model::new("m").target(Candidate::new("a", "x"))]);
        let response = Router::builder(table.expect("sound"))
            .provider("a", provider)
            .attempts(NonZeroU32::MIN)
            .build()
            .expect("sound")
            .oneshot(chat(""))
            .await
            .expect("infallible");
        assert_eq!(
            (response.status().as_u16(), code(&response)),
            (502, "bad_upstream_response".into()),
            "{status}"
        );
        assert!(response.headers().get("location").is_none());
        let text = response.into_body().collect().await.expect("whole");
        let text = String::from_utf8_lossy(&text.to_bytes()).into_owned();
        assert!(
            !text.contains(&elsewhere.addr().port().to_string()),
            "{text}"
        );
    }
    assert_eq!(from.upstream().log().counts().calls, 5);
    assert_eq!(elsewhere.upstream().log().counts().calls, 0);
    // And it would have answered.
    let translate = OpenAi::new(&elsewhere.base_url()).expect("a URL");
    let provider = Provider::new("a", Client::default(), translate).with_keys(["sk-a"]);
    let mut request = chat("");
    request.extensions_mut().insert(Target::new("a", "x"));
    let response = provider.oneshot(request).await.expect("answered");
    assert_eq!(response.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn each_time_that_runs_out_is_an_error_of_its_own() {
    // Connecting: said by the client below the provider, and kept on the way.
    let service = service_fn(async |_: Request<Full>| {
        let error = Error::timed_out(TimeOut::Connect);
        Err::<Response<Full>, tower::BoxError>(error.into())
    });
    let translate = OpenAi::new("http://upstream/v1").expect("a URL");
    let connecting = Provider::new("a", service, translate);
    let table = || Table::new([Model::new("m").target(Candidate::new("a", "x"))]).expect("sound");
    let of = |response: &Response<_>| {
        let error = response.extensions().get::<Error>().expect("refused");
        assert_eq!(error.code(), Some("upstream_timeout"));
        (error.time_out().expect("ours"), error.message().to_owned())
    };
    let response = Router::builder(table())
        .service("a", connecting, 0)
        .build()
        .expect("sound")
        .oneshot(chat(""))
        .await
        .expect("infallible");
    let mut seen = vec![of(&response.map(drop))];
    // An attempt, the first event and all of it. The time between two events is the re-framer's.
    for (script, stream) in [
        (Script::silent(), ""),
        (
            Script::echo().with_fault(0, Fault::Stall),
            r#","stream":true"#,
        ),
    ] {
        let upstream = Upstream::new().with_default(script);
        let response = Router::builder(table())
            .provider("a", provider("a", &upstream))
            .attempts(NonZeroU32::MIN)
            .build()
            .expect("sound")
            .oneshot(chat(stream))
            .await
            .expect("infallible");
        seen.push(of(&response.map(drop)));
    }
    let upstream = Upstream::new().with_default(Script::silent());
    let response = Router::builder(table())
        .provider("a", provider("a", &upstream))
        .attempt_timeout(Duration::from_secs(20))
        .total_timeout(Duration::from_secs(30))
        .build()
        .expect("sound")
        .oneshot(chat(""))
        .await
        .expect("infallible");
    seen.push(of(&response.map(drop)));
    let (which, messages): (Vec<_>, std::collections::BTreeSet<_>) = seen.into_iter().unzip();
    let want = [
        TimeOut::Connect,
        TimeOut::Attempt,
        TimeOut::FirstEvent,
        TimeOut::Total,
    ];
    assert_eq!((which, messages.len()), (want.to_vec(), 4));
}

#[tokio::test(start_paused = true)]
async fn a_target_is_asked_no_more_often_than_it_may_from_many_threads() {
    // Real threads over one router: a place that two want goes to one of them.
    let limit = NonZeroU32::new(3).expect("not 0");
    let model = Model::new("m").target(Candidate::new("a", "x").max_concurrent(limit));
    let inside = Arc::new(AtomicU32::new(0));
    let most = Arc::new(AtomicU32::new(0));
    let (now, peak) = (Arc::clone(&inside), Arc::clone(&most));
    let service = service_fn(move |_: Request<ChatBody>| {
        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let now = Arc::clone(&now);
        async move {
            std::thread::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, std::convert::Infallible>(Response::new(Full::new("{}")))
        }
    });
    let router = Router::builder(Table::new([model]).expect("sound"))
        .service("a", service, 0)
        .build()
        .expect("sound");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let router = router.clone();
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build();
                runtime.expect("a runtime").block_on(async {
                    for _ in 0..500 {
                        let response = router.clone().oneshot(chat("")).await.expect("infallible");
                        assert!([200, 503].contains(&response.status().as_u16()));
                    }
                });
            });
        }
    });
    assert!(most.load(Ordering::SeqCst) <= 3, "{most:?}");
    assert_eq!(router.health()[0].in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn choosing_among_a_hundred_allocates_nothing() {
    // What a call allocates does not depend on how many targets there are or how they are chosen.
    let service = service_fn(async |_: Request<ChatBody>| {
        Ok::<_, std::convert::Infallible>(Response::new(Full::new("{}")))
    });
    let allocations = |targets: usize, balance: Balance| {
        let mut model = Model::new("m").balance(balance);
        for nth in 0..targets {
            model = model.target(Candidate::new("a", format!("x{nth}")).price(nth as u64, 1));
        }
        let router = Router::builder(Table::new([model]).expect("sound"));
        let mut router = router.service("a", service, 3).build().expect("sound");
        let mut ask = || {
            let request = chat("");
            let mut info = None;
            let counted = allocation_counter::measure(|| {
                info = Some(tokio_test::task::spawn(router.call(request)));
                assert!(info.as_mut().expect("just made").poll().is_ready());
            });
            counted.count_total
        };
        ask();
        ask()
    };
    let one = allocations(1, Balance::Weighted);
    for balance in [
        Balance::Weighted,
        Balance::LeastLoad,
        Balance::Cheapest,
        Balance::Fastest,
        Balance::Sticky(Sticky::Conversation),
    ] {
        assert_eq!(allocations(100, balance), one, "{balance:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_answer_costs_nothing_wherever_the_cache_is() {
    let (a, _, builder) = builder(pair());
    let router = builder.build().expect("sound");
    let ledger = MemoryLedger::new();
    ledger.grant("demo", "5.00".parse().expect("an amount"));
    let prices = || Prices::new().with("m", Price::new("1", "2").expect("decimals"));
    let keys = Keys::new();
    keys.insert("sk-demo", Principal::new("demo"));
    let cache = || CacheLayer::new(Duration::from_secs(60));
    let ask = |stream: bool| {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"one two three"}}],"stream":{stream}}}"#
        );
        let request = Request::post("/v1/chat/completions");
        let request = request.header("authorization", "Bearer sk-demo");
        let request = request.header("content-type", "application/json");
        request
            .extension(Principal::new("demo"))
            .body(Full::new(body))
            .expect("a request")
    };
    // Inside: what is given is made canonical, and the layer that charges sees the mark.
    let inside = Gateway::builder(keys)
        .cost(prices(), ledger.clone())
        .build(cache().layer(router.clone()));
    for stream in [false, true] {
        let mut texts = Vec::new();
        for (how, spent) in [("miss", true), ("hit", false), ("hit", false)] {
            let before = ledger.statement("demo").spent;
            let response = inside
                .clone()
                .oneshot(ask(stream))
                .await
                .expect("infallible");
            assert_eq!(response.headers()["x-cache"], how);
            assert_eq!(response.extensions().get::<Cached>().is_some(), !spent);
            assert_eq!(
                response.headers().contains_key("x-completion-cost"),
                spent && !stream
            );
            let text = response
                .into_body()
                .collect()
                .await
                .expect("whole")
                .to_bytes();
            texts.push(String::from_utf8_lossy(&text).into_owned());
            let after = books::settled(&ledger, "demo");
            assert_eq!(after.spent > before, spent);
        }
        assert_eq!(texts[0], texts[1]);
        assert!(texts[1].contains("three"));
    }
    assert_eq!(a.log().counts().calls, 2);
    // Outside: it is not even asked for.
    let cost = CostLayer::new(prices(), ledger.clone()).dialect(&Dialect::openai());
    let outside = cache().layer(cost.layer(router));
    for how in ["miss", "hit"] {
        let before = ledger.statement("demo").spent;
        let response = outside
            .clone()
            .oneshot(ask(false))
            .await
            .expect("infallible");
        assert_eq!(response.headers()["x-cache"], how);
        assert_eq!(
            response.headers().contains_key("x-completion-cost"),
            how == "miss"
        );
        drop(response.into_body().collect().await);
        let after = books::settled(&ledger, "demo");
        assert_eq!(after.spent > before, how == "miss");
    }
}
