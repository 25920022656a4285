//! Spans as OpenTelemetry's SDK has them: the types of their attributes, their kind and their status.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use opentelemetry::{
    Value,
    trace::{SpanKind, Status, TracerProvider},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use tower::{Layer, ServiceExt};
use tower_completions::{
    Dialect,
    mock::{Fault, Script, Upstream},
    parse::ParseLayer,
    provider::{Provider, openai::OpenAi},
    reframe::ReframeLayer,
    router::{Candidate, Model, Router, Table},
    telemetry::{TelemetryLayer, Trace, names},
    validate::ValidateLayer,
};
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
    let kept = Kept::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(kept.clone())
        .build();
    let subscriber = tracing_subscriber::registry()
        .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")));
    let upstream = Upstream::new().with_default(script);
    let translate = OpenAi::new("http://upstream/v1").expect("a URI");
    let acme = Provider::new("acme", upstream, translate).with_keys(["sk-up"]);
    let model = Model::new("m").target(Candidate::new("acme", "m-1"));
    let router = Router::builder(Table::new([model]).expect("a table"))
        .provider("acme", acme.boxed())
        .attempts(1.try_into().expect("not 0"))
        .build()
        .expect("sound");
    let reframed = ReframeLayer::new(Dialect::openai()).layer(router);
    let service = TelemetryLayer::new(Trace::new())
        .layer(ParseLayer::new().layer(ValidateLayer::new(Dialect::openai()).layer(reframed)));
    let status = tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let request = Request::post("/v1/chat/completions")
                .body(Full::new(Bytes::from(body)))
                .expect("a request");
            let response = service.oneshot(request).await.expect("infallible");
            let status = response.status();
            let _ = response.into_body().collect().await;
            status
        })
    });
    let mut spans = std::mem::take(&mut *kept.0.lock().expect("unpoisoned"));
    spans.sort_by_key(|span| span.name != "attempt");
    (status, spans)
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
