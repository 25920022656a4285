//! Spans and metrics of whole requests, and that nothing private is among them.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::{Layer, ServiceExt, service_fn};
use tower_completions::{
    Error, Principal, Served, Target,
    auth::{AuthLayer, Keys},
    cost::{MemoryLedger, Price, Prices},
    error::Kind,
    limit::Limits,
    meter::Tally,
    mock::{self, Script, Upstream},
    observe::{Breaker, Event, Gate, Observe, Watch},
    parse::ParseLayer,
    provider::{Provider, openai::OpenAi},
    router::{Candidate, Hedge, Model, Router, Table},
    stack::Gateway,
    telemetry::{Meter, TelemetryLayer, Trace, names},
    wire::Usage,
};
use tracing_subscriber::fmt::{MakeWriter, format::FmtSpan};

/// Everything that is logged, as text.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("unpoisoned").clone()).expect("UTF-8")
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("unpoisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn ask(model: &str, stream: bool) -> Request<Full<Bytes>> {
    let body = format!(
        r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"canary-prompt one two"}}]}}"#
    );
    Request::post("/v1/chat/completions")
        .header("authorization", "Bearer sk-canary-key")
        .body(Full::new(body.into()))
        .expect("a request")
}

/// Plays the layers inside: tells what a router and an account would, and leaves what they leave.
async fn inside(
    upstream: Upstream,
    request: Request<Full<Bytes>>,
) -> Result<Response<mock::Body>, mock::Broken> {
    let target = Target::new("acme", "m-1");
    let watch = request
        .extensions()
        .get::<Watch>()
        .expect("watched")
        .clone();
    watch.on(&Event::Admitted {
        gate: Gate::Balance,
    });
    watch.on(&Event::Routed {
        model: "acme/m",
        targets: 2,
    });
    let failed = Error::new(Kind::Overloaded, "busy");
    for (number, error) in [(1, Some(&failed)), (2, None)] {
        watch.on(&Event::Attempting {
            number,
            target: &target,
        });
        let took = Duration::from_millis(3);
        watch.on(&Event::Attempt {
            number,
            target: &target,
            error,
            took,
        });
    }
    watch.on(&Event::Breaker {
        target: &target,
        state: Breaker::Open,
    });
    let mut response = upstream.oneshot(request).await?;
    let tally = Tally::new();
    tally.record_usage(Usage::new(7, 3));
    tally.record_model("m-1-snapshot");
    if response.status() != StatusCode::OK {
        response
            .extensions_mut()
            .insert(Error::new(Kind::RateLimit, "slow down"));
    }
    response.extensions_mut().insert(tally);
    response
        .extensions_mut()
        .insert(Served::new(&target, "acme/m").with_attempts(2));
    Ok(response)
}

async fn play(observer: impl Observe) {
    let upstream = Upstream::new().with_model(
        "slow",
        Script::echo().with_event_delay(Duration::from_secs(1)),
    );
    let layer = TelemetryLayer::new(observer);
    for (model, stream) in [("m", false), ("slow", true), ("mock/rate-limited", true)] {
        let upstream = upstream.clone();
        let service = layer.layer(service_fn(move |request| inside(upstream.clone(), request)));
        let response = service
            .oneshot(ask(model, stream))
            .await
            .expect("an answer");
        response.into_body().collect().await.expect("whole");
    }
    // And one that the caller leaves after its first event.
    let service = layer.layer(service_fn(move |request| inside(upstream.clone(), request)));
    let mut left = service
        .oneshot(ask("slow", true))
        .await
        .expect("an answer")
        .into_body();
    left.frame().await.expect("an event").expect("no error");
}

fn current_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime")
}

#[test]
fn spans_last_to_the_end_of_the_stream_and_hold_nothing_private() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_ansi(false)
        .with_writer(lines.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        current_thread().block_on(play(Trace::new()));
    });
    let text = lines.text();
    let closed: Vec<&str> = text.lines().filter(|line| line.contains("close")).collect();
    let requests: Vec<&&str> = closed
        .iter()
        .filter(|line| !line.contains("attempt"))
        .collect();
    assert_eq!(requests.len(), 4, "{text}");
    for part in [
        "gen_ai.request.model=\"acme/m\"",
        "gen_ai.response.model=\"m-1-snapshot\"",
        "gen_ai.provider.name=\"acme\"",
        "gen_ai.usage.input_tokens=7",
        "gen_ai.usage.output_tokens=3",
        "http.response.status_code=200",
    ] {
        assert!(requests[0].contains(part), "{part} in {}", requests[0]);
    }
    assert!(
        requests[2].contains("error.type=\"rate_limit\""),
        "{}",
        requests[2]
    );
    assert!(
        requests[3].contains("error.type=\"cancelled\""),
        "{}",
        requests[3]
    );
    assert_eq!(closed.len() - requests.len(), 8, "two attempts a request");
    // The one that the client did not wait for, within its request's.
    let last = closed.iter().rfind(|line| line.contains("attempt"));
    let cancelled = last.map(|line| line.matches("error.type=\"cancelled\"").count());
    assert_eq!(cancelled, Some(2), "{last:?}");
    assert!(text.contains("error.type=\"overloaded\""));
    for private in ["canary-prompt", "sk-canary", "one two"] {
        assert!(!text.contains(private), "{private}");
    }
}

#[test]
fn metrics_count_everything_once_and_gauges_come_back() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        current_thread().block_on(play((Meter::new(), |_: &http::request::Parts| {
            Watch::new(|event: &Event<'_>| assert!(!format!("{event:?}").contains("canary")))
        })));
    });
    let text = handle.render();
    for line in [
        r#"tower_completions_requests{provider="acme",model="acme/m",outcome="ok"} 2"#,
        r#"tower_completions_requests{provider="acme",model="acme/m",outcome="error"} 1"#,
        r#"tower_completions_requests{provider="acme",model="acme/m",outcome="cancelled"} 1"#,
        r#"tower_completions_errors{kind="rate_limit"} 1"#,
        r#"tower_completions_tokens{model="acme/m",class="input"} 28"#,
        r#"tower_completions_attempts{provider="acme",outcome="overloaded"} 4"#,
        r#"tower_completions_breaker{provider="acme",model="m-1"} 2"#,
        "tower_completions_holds 0",
        "tower_completions_streams 0",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert!(!text.contains("canary"));
}

#[test]
fn every_metric_has_its_own_name() {
    let mut all = names::METRICS.to_vec();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), names::METRICS.len());
}

#[test]
fn no_key_or_prompt_is_logged_by_the_layers_at_trace() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_ansi(false)
        .with_writer(lines.clone())
        .finish();
    let keys = Keys::new();
    keys.insert("sk-canary-key", Principal::new("caller"));
    tracing::subscriber::with_default(subscriber, || {
        current_thread().block_on(async {
            let translate = OpenAi::new("http://upstream/v1").expect("a URI");
            let provider =
                Provider::new("mock", Upstream::new(), translate).with_keys(["sk-canary-upstream"]);
            let parsed = ParseLayer::new().layer(provider);
            let service =
                TelemetryLayer::new(Trace::new()).layer(AuthLayer::new(keys).layer(parsed));
            let sound = |model: &&mock::Model| model.id != "mock/panic";
            for model in mock::MODELS.iter().filter(sound) {
                for stream in [false, true] {
                    let call = service.clone().oneshot(ask(model.id, stream));
                    // Endless answers are left to end with the time.
                    let _ = tokio::time::timeout(Duration::from_secs(90), async {
                        let response = call.await.expect("an answer");
                        let mut body = response.into_body();
                        for _ in 0..64 {
                            if body.frame().await.is_none() {
                                break;
                            }
                        }
                    })
                    .await;
                }
            }
        });
    });
    let text = lines.text();
    assert!(text.contains("chat"), "something is logged");
    for private in ["canary", "one two"] {
        assert!(!text.contains(private), "{private} in\n{text}");
    }
}

/// What is beneath a 502 is in the spans, of the request and of each attempt; what an upstream says is
/// not, which may quote the prompt.
#[test]
fn the_cause_of_a_failure_is_in_the_spans() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(lines.clone())
        .finish();
    let unreachable = service_fn(async |_: Request<tower_completions::body::Full>| {
        Err::<Response<mock::Body>, _>(io::Error::other("connect 10.0.0.1:443 refused"))
    });
    let echoes = Upstream::new().with_default(Script::error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "server_error",
        "internal_error",
        "cannot answer canary-prompt one two",
    ));
    let translate = OpenAi::new("http://upstream/v1").expect("a URI");
    let dead = Provider::new("dead", unreachable, translate.clone()).with_keys(["sk-canary-up"]);
    let ill = Provider::new("ill", echoes, translate).with_keys(["sk-canary-up"]);
    let model = Model::new("m")
        .target(Candidate::new("dead", "m"))
        .target(Candidate::new("ill", "m").priority(1));
    let router = Router::builder(Table::new([model]).expect("a table"))
        .provider("dead", dead.clone().boxed())
        .provider("ill", ill.boxed())
        .attempts(2.try_into().expect("not 0"))
        .build()
        .expect("sound");
    tracing::subscriber::with_default(subscriber, || {
        current_thread().block_on(async {
            let layer = TelemetryLayer::new(Trace::new());
            let routed = layer.layer(ParseLayer::new().layer(router));
            let response = routed.oneshot(ask("m", false)).await.expect("infallible");
            assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
            drop(response);
            let alone = layer.layer(ParseLayer::new().layer(dead));
            drop(alone.oneshot(ask("m", false)).await.expect("infallible"));
        });
    });
    let text = lines.text();
    let count = |part: &str| text.lines().filter(|line| line.contains(part)).count();
    // The first attempt, and the request that had no router.
    let refused = "tower_completions.error.cause=connect 10.0.0.1:443 refused";
    assert_eq!(count(refused), 2, "{text}");
    let answered = "tower_completions.error.cause=upstream answered 500 Internal Server Error";
    assert_eq!(count(answered), 2, "{text}");
    for private in ["canary", "one two"] {
        assert!(!text.contains(private), "{private} in\n{text}");
    }
}

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let dashboard = include_str!("../examples/gateway/dashboard.json");
    serde_json::from_str::<serde::de::IgnoredAny>(dashboard).expect("JSON");
    let exported: Vec<String> = names::METRICS.iter().map(|m| m.replace('.', "_")).collect();
    for name in &exported {
        assert!(dashboard.contains(name), "{name} is not shown");
    }
    for expression in dashboard.lines().filter(|line| line.contains("\"expr\"")) {
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|w| w.starts_with("tower_completions") || w.starts_with("gen_ai"))
        {
            let name = word.strip_suffix("_bucket").unwrap_or(word);
            assert!(
                exported.iter().any(|known| known == name),
                "{word} is no metric"
            );
            let is_histogram = names::BUCKETS
                .iter()
                .any(|(known, _)| known.replace('.', "_") == name);
            assert_eq!(is_histogram, name != word, "{word} is of another kind");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_router_tells_its_plan_and_each_attempt() {
    let table = Table::new([
        Model::new("first")
            .target(Candidate::new("acme", "mock/overloaded"))
            .fallback("second"),
        Model::new("second").target(Candidate::new("acme", "mock/echo")),
    ])
    .expect("a table");
    let translate = OpenAi::new("http://upstream/v1").expect("a URI");
    let provider = Provider::new("acme", Upstream::new(), translate);
    let router = Router::builder(table)
        .provider("acme", provider)
        .build()
        .expect("sound");
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&told);
    let layer = TelemetryLayer::new(move |_: &http::request::Parts| {
        let notes = Arc::clone(&notes);
        Watch::new(move |event: &Event<'_>| {
            let line = match event {
                Event::Routed { model, targets } => format!("{model} of {targets}"),
                Event::Attempting { number, target } => format!("{number} {}", target.model),
                Event::Attempt { number, error, .. } => {
                    format!("{number} failed: {}", error.is_some())
                }
                Event::Finished(end) => format!("{}", end.served.expect("served").id),
                _ => return,
            };
            notes.lock().expect("unpoisoned").push(line);
        })
    });
    let service = layer.layer(ParseLayer::new().layer(router));
    let response = service
        .oneshot(ask("first", false))
        .await
        .expect("an answer");
    response.into_body().collect().await.expect("whole");
    assert_eq!(
        *told.lock().expect("unpoisoned"),
        [
            "first of 2",
            "1 mock/overloaded",
            "1 failed: true",
            "2 mock/echo",
            "2 failed: false",
            "second",
        ]
    );
}

/// The span of an attempt that lost ends then, and not with the stream of the one that won.
#[test]
fn an_attempt_that_lost_is_told_and_counted() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(lines.clone())
        .finish();
    let recorder = PrometheusBuilder::new().build_recorder();
    let model = Model::new("m").target(Candidate::new("acme", "late"));
    let soon = Candidate::new("acme", "soon").priority(1);
    let table = Table::new([model.target(soon)]).expect("a table");
    let translate = OpenAi::new("http://upstream/v1").expect("a URI");
    let upstream = Upstream::new().with_model("late", Script::silent());
    let router = Router::builder(table)
        .provider("acme", Provider::new("acme", upstream, translate))
        .hedge(Hedge::after(Duration::from_secs(1)))
        .build()
        .expect("sound");
    let layer = TelemetryLayer::new((Trace::new(), Meter::new()));
    let service = layer.layer(ParseLayer::new().layer(router));
    let play = async {
        let response = service.oneshot(ask("m", true)).await.expect("an answer");
        // Before anything of the stream was read.
        let seen = lines.text();
        response.into_body().collect().await.expect("whole");
        seen
    };
    let seen = tracing::subscriber::with_default(subscriber, || {
        metrics::with_local_recorder(&recorder, || current_thread().block_on(play))
    });
    let closed: Vec<_> = seen.lines().filter(|line| line.contains("close")).collect();
    assert!(
        matches!(closed[..], [lost] if lost.contains("late") && lost.contains("cancelled")),
        "{seen}"
    );
    let text = recorder.handle().render();
    for outcome in ["lost", "ok"] {
        let series = format!(r#"attempts{{provider="acme",outcome="{outcome}"}} 1"#);
        assert!(text.contains(&series), "{text}");
    }
}

#[tokio::test]
async fn a_panic_and_a_transports_error_are_errors() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&told);
    let layer = TelemetryLayer::new(move |_: &http::request::Parts| {
        let notes = Arc::clone(&notes);
        Watch::new(move |event: &Event<'_>| {
            if let Event::Finished(end) = event {
                let kind = end.error.map(Error::kind);
                notes
                    .lock()
                    .expect("unpoisoned")
                    .push((kind, end.cancelled));
            }
        })
    });
    let panicking = layer.layer(service_fn(async |_: Request<Full<Bytes>>| {
        if true {
            panic!("a handler's fault");
        }
        Ok::<_, io::Error>(Response::new(Full::<Bytes>::default()))
    }));
    let task = tokio::spawn(panicking.oneshot(ask("m", false)));
    assert!(task.await.expect_err("it panics").is_panic());
    let failing = layer.layer(service_fn(async |_: Request<Full<Bytes>>| {
        Err::<Response<Full<Bytes>>, _>(io::Error::other("reset"))
    }));
    assert!(failing.oneshot(ask("m", false)).await.is_err());
    let told = told.lock().expect("unpoisoned").clone();
    assert_eq!(told, [(Some(Kind::Internal), false); 2]);
}

/// What the layers themselves tell, in a whole gateway.
#[tokio::test(start_paused = true)]
async fn every_layer_tells_what_it_has_done() {
    let table = Table::new([Model::new("m").target(Candidate::new("acme", "mock/echo"))]);
    let translate = OpenAi::new("http://upstream/v1").expect("a URI");
    let provider = Provider::new("acme", Upstream::new(), translate);
    let router = Router::builder(table.expect("a table"))
        .provider("acme", provider)
        .build()
        .expect("sound");
    let limits = Limits::new()
        .requests_per_minute(2)
        .tokens_per_minute(100_000);
    let keys = Keys::new();
    keys.insert("sk-canary-key", Principal::new("demo").attach(limits));
    let ledger = MemoryLedger::new();
    ledger.grant("demo", "1".parse().expect("an amount"));
    let prices = Prices::new().with("m", Price::new("1", "2").expect("a price"));
    let gateway = Gateway::builder(keys).cost(prices, ledger).build(router);
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&told);
    let layer = TelemetryLayer::new(move |_: &http::request::Parts| {
        let notes = Arc::clone(&notes);
        Watch::new(move |event: &Event<'_>| {
            let line = match event {
                Event::Admitted { gate } => format!("{gate:?}"),
                Event::Routed { model, .. } => format!("routed {model}"),
                Event::Attempting { number, .. } => format!("attempting {number}"),
                Event::Calling { host, port, .. } => format!("calling {host}:{port}"),
                Event::Answered { status, .. } => format!("answered {status}"),
                Event::Attempt { error, .. } => format!("attempt ok: {}", error.is_none()),
                Event::FirstEvent { .. } => "first event".to_owned(),
                Event::Settled { estimated, .. } => format!("settled, estimated: {estimated}"),
                Event::Finished(end) => format!("finished {:?}", end.error.map(Error::kind)),
                other => panic!("{other:?}"),
            };
            notes.lock().expect("unpoisoned").push(line);
        })
    });
    let service = layer.layer(gateway);
    let admitted = ["Key", "Requests", "Request", "Tokens", "Balance"];
    let sent = [
        "routed m",
        "attempting 1",
        "calling upstream:80",
        "answered 200 OK",
        "attempt ok: true",
    ];
    let settled = "settled, estimated: false";
    for (body, expected) in [
        (
            ask("m", false),
            [&admitted[..], &sent, &[settled, "finished None"]].concat(),
        ),
        (
            ask("m", true),
            [
                &admitted[..],
                &sent,
                &["first event", settled, "finished None"],
            ]
            .concat(),
        ),
        (ask("m", true), vec!["Key", "finished Some(RateLimit)"]),
        (
            Request::post("/v1/chat/completions")
                .body(Full::default())
                .expect("a request"),
            vec!["finished Some(Authentication)"],
        ),
    ] {
        let response = service.clone().oneshot(body).await.expect("infallible");
        let _ = response.into_body().collect().await;
        let told = std::mem::take(&mut *told.lock().expect("unpoisoned"));
        assert_eq!(told, expected);
    }
}
