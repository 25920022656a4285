//! Where logs and spans go: to standard error, and to an OTLP collector when there is one.

use std::{collections::HashMap, fmt, io::IsTerminal, sync::mpsc, thread, time::Duration};

use http::{HeaderMap, HeaderName, request::Parts};
use opentelemetry::{
    propagation::{Injector, TextMapPropagator},
    trace::{TraceContextExt, TracerProvider as _},
};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tower_completions::{TraceContext, telemetry::Propagate};
use tracing::Span;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    EnvFilter, Layer, filter::Targets, fmt::format::FmtSpan, layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Sends and writes what is left when the program ends.
pub struct Telemetry {
    spans: Option<SdkTracerProvider>,
    /// What is left is written when it is dropped.
    log: Option<WorkerGuard>,
}

/// So many lines wait for whoever reads the log; more are lost.
const LINES: usize = 10_000;

/// How long the last of them may take at the end.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Starts to log, and to export the spans of completions to `collector`, whose base URL it is:
/// `http://localhost:4318`.
pub fn start(collector: Option<&str>) -> Result<Telemetry, ExporterBuildError> {
    // With tower_completions=info every completion is a line, and a span for what is logged in it.
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,tower_completions=warn"));
    // On a thread of its own: a reader that has stopped costs lines, never a request.
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(LINES)
        .thread_name("log")
        .finish(std::io::stderr());
    let log = tracing_subscriber::fmt::layer()
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(writer)
        .with_filter(filter);
    let registry = tracing_subscriber::registry().with(log);
    // Not an optional layer: one that is not there would be asked about every span all the same, and
    // the registry would keep each, which is 6 000 instructions a request.
    let Some(collector) = collector else {
        registry.init();
        return Ok(Telemetry {
            spans: None,
            log: Some(guard),
        });
    };
    let provider = provider(collector)?;
    let only = Targets::new().with_target("tower_completions", tracing::Level::INFO);
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("tower-completions"))
        .with_filter(only);
    registry.with(spans).init();
    Ok(Telemetry {
        spans: Some(provider),
        log: Some(guard),
    })
}

/// Batches on a thread of its own: a slow collector costs spans, never a request.
fn provider(collector: &str) -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", collector.trim_end_matches('/')))
        .build()?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(
            Resource::builder()
                .with_service_name("tower-completions")
                .build(),
        )
        .build())
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = &self.spans {
            if let Err(error) = provider.shutdown() {
                tracing::warn!(%error, "not every span was exported");
            }
        }
        // Where lines were lost it says so on the standard output, which may be the pipe that nobody reads.
        let (ended, end) = mpsc::channel::<()>();
        let log = self.log.take();
        let last = thread::Builder::new().spawn(move || {
            drop(log);
            drop(ended);
        });
        let _ = last.map(|_| end.recv_timeout(LAST_LINES));
    }
}

/// A client's `traceparent` is the parent of its request's span, and each attempt's span that of what the
/// upstream does. Without a collector there is nothing to join: what the client sent travels on.
#[derive(Clone, Copy)]
pub struct W3c;

impl Propagate for W3c {
    fn join(&self, head: &Parts, span: &Span) {
        if let Some(context) = TraceContext::of(&head.headers) {
            let sent = HashMap::from([
                ("traceparent".to_owned(), context.parent().to_owned()),
                (
                    "tracestate".to_owned(),
                    context.state().unwrap_or_default().into_owned(),
                ),
            ]);
            let parent = TraceContextPropagator::new().extract(&sent);
            let _ = span.set_parent(parent);
        }
    }

    fn pass_on(&self, span: &Span, headers: &mut HeaderMap) {
        TraceContextPropagator::new().inject_context(&span.context(), &mut Sending(headers));
    }

    fn name(&self, span: &Span, name: fmt::Arguments<'_>) {
        span.context().span().update_name(name.to_string());
    }
}

struct Sending<'a>(&'a mut HeaderMap);

impl Injector for Sending<'_> {
    fn set(&mut self, key: &str, value: String) {
        let name = HeaderName::from_bytes(key.as_bytes());
        // An empty state is none.
        if let (Ok(name), Ok(value), false) = (name, value.parse(), value.is_empty()) {
            self.0.insert(name, value);
        }
    }
}
