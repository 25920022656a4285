//! Spans as OpenTelemetry's SDK has them: the types of their attributes, their kind and their status.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, request::Parts};
use http_body_util::{BodyExt, Full};
use opentelemetry::{
    Value,
    propagation::TextMapPropagator,
    trace::{SpanId, SpanKind, Status, TraceContextExt, TracerProvider},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    propagation::TraceContextPropagator,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use tower::{Layer, ServiceExt};
use tower_completions::{
    Dialect, TraceContext,
    mock::{Fault, Script, Seen, Upstream},
    parse::ParseLayer,
    provider::{Provider, openai::OpenAi},
    reframe::ReframeLayer,
    router::{Candidate, Model, Router, Table},
    telemetry::{
        Propagate, TelemetryLayer, Trace,
        names::{self, Version},
    },
    validate::ValidateLayer,
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;

/// Keeps every span that ended.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().expect("unpoisoned").append(&mut batch);
        Ok(())
    }
}

/// What is exported of one completion: the span of each attempt, then that of the request.
fn exported(script: Script, body: &'static str) -> (StatusCode, Vec<SpanData>) {
    let (status, spans, _) = traced(Trace::new(), script, body, &[]);
    (status, spans)
}

/// The same of a request with these headers, and what the upstream has seen.
fn traced<P: Propagate + Clone>(
    trace: Trace<P>,
    script: Script,
    body: &'static str,
    headers: &[(&'static str, &'static str)],
) -> (StatusCode, Vec<SpanData>, Vec<Seen>) {
    traced_at("http://upstream/v1", trace, script, body, headers)
}

/// The same where the upstream has this address.
fn traced_at<P: Propagate + Clone>(
    upstream_is: &str,
    trace: Trace<P>,
    script: Script,
    body: &'static str,
    headers: &[(&'static str, &'static str)],
) -> (StatusCode, Vec<SpanData>, Vec<Seen>) {
    let kept = Kept::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(kept.clone())
        .build();
    let subscriber = tracing_subscriber::registry()
        .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")));
    let upstream = Upstream::new().with_default(script);
    let log = upstream.log().clone();
    let translate = OpenAi::new(upstream_is).expect("a URI");
    let acme = Provider::new("acme", upstream, translate).with_keys(["sk-up"]);
    let model = Model::new("m").target(Candidate::new("acme", "m-1"));
    let router = Router::builder(Table::new([model]).expect("a table"))
        .provider("acme", acme.boxed())
        .attempts(1.try_into().expect("not 0"))
        .build()
        .expect("sound");
    let reframed = ReframeLayer::new(Dialect::openai()).layer(router);
    let service = TelemetryLayer::new(trace)
        .layer(ParseLayer::new().layer(ValidateLayer::new(Dialect::openai()).layer(reframed)));
    let status = tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut request = Request::post("/v1/chat/completions")
                .body(Full::new(Bytes::from(body)))
                .expect("a request");
            for (name, value) in headers {
                let value = HeaderValue::from_static(value);
                request.headers_mut().append(*name, value);
            }
            let response = service.oneshot(request).await.expect("infallible");
            let status = response.status();
            let _ = response.into_body().collect().await;
            status
        })
    });
    let mut spans = std::mem::take(&mut *kept.0.lock().expect("unpoisoned"));
    spans.sort_by_key(|span| span.span_kind != SpanKind::Client);
    (status, spans, log.requests())
}

fn attribute<'a>(span: &'a SpanData, name: &str) -> Option<&'a Value> {
    let found = span.attributes.iter().find(|it| it.key.as_str() == name);
    found.map(|it| &it.value)
}

const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;

fn is_error(span: &SpanData) -> bool {
    matches!(span.status, Status::Error { .. })
}

#[test]
fn counts_and_statuses_are_numbers() {
    let (_, spans) = exported(Script::echo(), ASK);
    let [attempt, request] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(attribute(request, names::STATUS), Some(&Value::I64(200)));
    for name in [names::INPUT_TOKENS, names::OUTPUT_TOKENS] {
        let value = attribute(request, name);
        assert!(
            matches!(value, Some(Value::I64(1..))),
            "{name} is {value:?}"
        );
    }
    assert_eq!(attribute(attempt, "number"), Some(&Value::I64(1)));
}

#[test]
fn the_provider_is_called_as_the_version_says() {
    let versions = [
        (Version::V1_36, "gen_ai.system", "gen_ai.provider.name"),
        (Version::V1_37, "gen_ai.provider.name", "gen_ai.system"),
    ];
    for (version, name, other) in versions {
        let trace = Trace::new().with_version(version);
        let (_, spans, _) = traced(trace, Script::echo(), ASK, &[]);
        assert_eq!(spans.len(), 2);
        for span in &spans {
            assert_eq!(attribute(span, name), Some(&Value::from("acme")));
            assert_eq!(attribute(span, other), None);
        }
    }
}

#[test]
fn an_attempt_says_where_it_went() {
    for (address, host, port) in [
        ("http://upstream/v1", "upstream", 80),
        ("https://api.example.com/v1", "api.example.com", 443),
        ("https://api.example.com:8443", "api.example.com", 8443),
        ("http://[::1]:8080/v1", "::1", 8080),
    ] {
        for script in [Script::echo(), Script::reset()] {
            let (_, spans, _) = traced_at(address, Trace::new(), script, ASK, &[]);
            let [attempt, request] = &spans[..] else {
                panic!("{spans:?}");
            };
            let told = ["server.address", "server.port"].map(|name| attribute(attempt, name));
            let expected = [Value::from(host), Value::I64(port)];
            assert_eq!(told, expected.each_ref().map(Some));
            assert_eq!(attribute(request, "server.address"), None, "that is us");
        }
    }
}

#[test]
fn an_attempt_says_how_the_upstream_answered_and_a_request_what_the_client_was_told() {
    let refused = Script::error(StatusCode::UNAUTHORIZED, "error", "invalid_api_key", "no");
    for (script, upstreams, ours, why) in [
        (Script::echo(), Some(200), 200, None),
        (refused, Some(401), 502, Some("bad_upstream")),
        (Script::failed(), Some(500), 502, Some("bad_upstream")),
        // An answer that is none: the upstream has called it one.
        (Script::garbage(), Some(200), 502, Some("bad_upstream")),
        (Script::reset(), None, 502, Some("bad_upstream")),
        (Script::silent(), None, 504, Some("upstream_timeout")),
    ] {
        let (_, spans) = exported(script, ASK);
        let [attempt, request] = &spans[..] else {
            panic!("{spans:?}");
        };
        let status = |span| attribute(span, "http.response.status_code");
        let upstreams = upstreams.map(Value::I64);
        assert_eq!(status(attempt), upstreams.as_ref(), "{attempt:?}");
        assert_eq!(status(request), Some(&Value::I64(ours)));
        for span in &spans {
            let why = why.map(Value::from);
            assert_eq!(attribute(span, "error.type"), why.as_ref(), "{span:?}");
        }
    }
}

#[test]
fn a_request_is_served_and_an_attempt_is_made() {
    let (_, spans) = exported(Script::echo(), ASK);
    let kinds: Vec<_> = spans.iter().map(|span| span.span_kind.clone()).collect();
    assert_eq!(kinds, [SpanKind::Client, SpanKind::Server]);
    assert!(spans.iter().all(|span| span.status == Status::Unset));
}

#[test]
fn what_failed_is_marked_as_failed() {
    let (status, spans) = exported(Script::overloaded(), ASK);
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(spans.len(), 2, "{spans:?}");
    assert!(spans.iter().all(is_error), "{spans:?}");
}

/// As the conventions for HTTP have it: 4xx is an error to who asked, not to who answered.
#[test]
fn a_fault_of_the_client_is_no_failure_of_the_server() {
    let body = r#"{"model":"m","temperature":9,"messages":[{"role":"user","content":"hi"}]}"#;
    let (status, spans) = exported(Script::echo(), body);
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let [request] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(request.status, Status::Unset);
    assert!(attribute(request, names::ERROR_TYPE).is_some());

    let (status, spans) = exported(Script::rate_limited("2"), ASK);
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let failed: Vec<_> = spans.iter().map(is_error).collect();
    assert_eq!(failed, [true, false], "{spans:?}");
}

#[test]
fn a_stream_that_breaks_is_marked_as_failed() {
    let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"a b c d e"}]}"#;
    let script = Script::echo().with_fault(3, Fault::Cut);
    let (status, spans) = exported(script, body);
    assert_eq!(status, StatusCode::OK);
    // The attempt's as well, for it was the upstream that broke off.
    assert_eq!(spans.len(), 2, "{spans:?}");
    assert!(spans.iter().all(is_error), "{spans:?}");
    let why = |span| attribute(span, names::ERROR_TYPE);
    assert_eq!(why(&spans[0]), why(&spans[1]));
}

/// By W3C's Trace Context.
#[derive(Clone, Copy)]
struct W3c;

impl Propagate for W3c {
    fn join(&self, head: &Parts, span: &Span) {
        if let Some(context) = TraceContext::of(&head.headers) {
            let state = context.state().unwrap_or_default();
            let sent = HashMap::from([
                ("traceparent".to_owned(), context.parent().to_owned()),
                ("tracestate".to_owned(), state.into_owned()),
            ]);
            let parent = TraceContextPropagator::new().extract(&sent);
            span.set_parent(parent).expect("not begun");
        }
    }

    fn pass_on(&self, span: &Span, headers: &mut HeaderMap) {
        let mut told = HashMap::new();
        TraceContextPropagator::new().inject_context(&span.context(), &mut told);
        for (name, value) in told.into_iter().filter(|(_, value)| !value.is_empty()) {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.insert(name, value.parse().expect("a value"));
        }
    }

    fn name(&self, span: &Span, name: fmt::Arguments<'_>) {
        span.context().span().update_name(name.to_string());
    }
}

#[test]
fn spans_are_called_by_operation_and_model() {
    let names = |spans: &[SpanData]| -> Vec<String> {
        spans.iter().map(|span| span.name.to_string()).collect()
    };
    let (_, spans, _) = traced(Trace::new().with_propagation(W3c), Script::echo(), ASK, &[]);
    assert_eq!(names(&spans), ["chat m-1", "chat m"]);
    for span in &spans {
        let operation = attribute(span, "gen_ai.operation.name");
        assert_eq!(operation, Some(&Value::from("chat")));
    }
    // Whatever a client calls a model that nobody has: no name of a span.
    let unknown = r#"{"model":"other","messages":[{"role":"user","content":"hi"}]}"#;
    let (status, spans, _) = traced(
        Trace::new().with_propagation(W3c),
        Script::echo(),
        unknown,
        &[],
    );
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(names(&spans), ["chat"]);
    let (_, spans) = exported(Script::echo(), ASK);
    assert_eq!(
        names(&spans),
        ["chat m-1", "chat"],
        "a request's is named by whoever exports it"
    );
}

const PARENT: (&str, &str) = (
    "traceparent",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[test]
fn spans_join_the_trace_of_the_client_and_the_upstream_joins_theirs() {
    let headers = [PARENT, ("tracestate", "a=1"), ("tracestate", "b=2")];
    let trace = Trace::new().with_propagation(W3c);
    let (_, spans, seen) = traced(trace, Script::echo(), ASK, &headers);
    let [attempt, request] = &spans[..] else {
        panic!("{spans:?}");
    };
    let id = |span: &SpanData| span.span_context.span_id();
    assert_eq!(request.parent_span_id.to_string(), "b7ad6b7169203331");
    assert_eq!(attempt.parent_span_id, id(request));
    for span in &spans {
        assert_eq!(span.span_context.trace_id().to_string(), TRACE);
    }
    let [seen] = &seen[..] else {
        panic!("{seen:?}");
    };
    let expected = format!("00-{TRACE}-{}-01", id(attempt));
    assert_eq!(seen.header("traceparent"), Some(&*expected));
    assert_eq!(seen.header("tracestate"), Some("a=1,b=2"));
}

#[test]
fn a_context_that_is_none_begins_no_trace_and_goes_no_further() {
    let wrong = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-1-01");
    for headers in [
        &[][..],
        &[wrong, ("tracestate", "secret=1")],
        &[PARENT, PARENT, ("tracestate", "secret=1")],
        &[("tracestate", "secret=1")],
    ] {
        let trace = Trace::new().with_propagation(W3c);
        let (status, spans, seen) = traced(trace, Script::echo(), ASK, headers);
        assert_eq!((status, spans.len()), (StatusCode::OK, 2), "{headers:?}");
        assert_eq!(spans[1].parent_span_id, SpanId::INVALID, "{headers:?}");
        assert_eq!(attribute(&spans[1], names::TRACE_ID), None);
        let own = spans[0].span_context.trace_id().to_string();
        assert_ne!(own, TRACE);
        let told = seen[0].header("traceparent").expect("our own");
        assert!(told.contains(&own), "{told}");
        assert_eq!(seen[0].header("tracestate"), None, "{headers:?}");
        // Without it nothing is told of a trace that is none.
        let (_, _, seen) = traced(Trace::new(), Script::echo(), ASK, headers);
        for name in ["traceparent", "tracestate"] {
            assert_eq!(seen[0].header(name), None, "{headers:?}");
        }
    }
}

#[test]
fn without_propagation_the_clients_context_travels_on() {
    let headers = [PARENT, ("tracestate", "a=1")];
    let (_, spans, seen) = traced(Trace::new(), Script::echo(), ASK, &headers);
    assert_eq!(seen[0].header("traceparent"), Some(PARENT.1));
    assert_eq!(seen[0].header("tracestate"), Some("a=1"));
    assert_eq!(spans[1].parent_span_id, SpanId::INVALID);
    let told = attribute(&spans[1], names::TRACE_ID);
    assert_eq!(told, Some(&Value::from(TRACE)), "for the logs");
}
