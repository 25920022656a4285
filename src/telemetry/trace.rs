use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use http::{HeaderMap, request::Parts};
use tracing::{Span, field::Empty};

use super::names::{self, Version};
use crate::{
    error::{Error, Origin},
    ext::TraceContext,
    observe::{Event, Observe, Watch, Watcher},
};

/// Joins spans to the traces of those who ask and of those who are asked, in the terms of whatever the spans
/// are exported by. This crate knows of no exporter.
///
/// ```
/// use std::{collections::HashMap, fmt};
/// use http::{HeaderMap, request::Parts};
/// use opentelemetry::propagation::{Injector, TextMapPropagator};
/// use opentelemetry_sdk::propagation::TraceContextPropagator;
/// use opentelemetry::trace::TraceContextExt;
/// use tower_completions::{TraceContext, telemetry::{Propagate, Trace}};
/// use tracing::Span;
/// use tracing_opentelemetry::OpenTelemetrySpanExt;
///
/// /// By W3C's Trace Context, in spans of OpenTelemetry.
/// #[derive(Clone, Copy)]
/// struct W3c;
///
/// struct Sending<'a>(&'a mut HeaderMap);
///
/// impl Injector for Sending<'_> {
///     fn set(&mut self, key: &str, value: String) {
///         let name = http::HeaderName::from_bytes(key.as_bytes());
///         if let (Ok(name), Ok(value), false) = (name, value.parse(), value.is_empty()) {
///             self.0.insert(name, value);
///         }
///     }
/// }
///
/// impl Propagate for W3c {
///     fn join(&self, head: &Parts, span: &Span) {
///         if let Some(context) = TraceContext::of(&head.headers) {
///             // Only what is valid and short.
///             let sent = HashMap::from([
///                 ("traceparent".to_owned(), context.parent().to_owned()),
///                 ("tracestate".to_owned(), context.state().unwrap_or_default().into_owned()),
///             ]);
///             let parent = TraceContextPropagator::new().extract(&sent);
///             // Without a layer of OpenTelemetry there is nothing to join.
///             let _ = span.set_parent(parent);
///         }
///     }
///     fn pass_on(&self, span: &Span, headers: &mut HeaderMap) {
///         TraceContextPropagator::new().inject_context(&span.context(), &mut Sending(headers));
///     }
///     fn name(&self, span: &Span, name: fmt::Arguments<'_>) {
///         span.context().span().update_name(name.to_string());
///     }
/// }
///
/// let trace = Trace::new().with_propagation(W3c);
/// ```
pub trait Propagate: Send + Sync + 'static {
    /// The span of a request has been made, and not been entered: its parent may be what the head says.
    fn join(&self, head: &Parts, span: &Span);

    /// An attempt goes upstream: puts its span into the headers. Those travel that the router
    /// [forwards](crate::router::Builder::forward).
    fn pass_on(&self, span: &Span, headers: &mut HeaderMap);

    /// It is known which model a request is for, and so what the conventions call its span: `chat MODEL`. To
    /// `tracing` a span is called `chat`, before its request has been read and to its end, and those that have been
    /// entered take no `otel.name`. By default that is its name.
    fn name(&self, _span: &Span, _name: fmt::Arguments<'_>) {}
}

/// Traces of nobody else: what a client sent of its own travels on.
impl Propagate for () {
    fn join(&self, _: &Parts, _: &Span) {}

    fn pass_on(&self, _: &Span, _: &mut HeaderMap) {}
}

/// A span a request, to the end of its stream, and within it a span an attempt. They are called `chat` and `attempt`;
/// to OpenTelemetry an attempt's is `chat MODEL`, by the model's name upstream, and so is a request's, by the name asked
/// for, where [`Propagate::name`] sees to it.
///
/// Attributes are those of [`names`]; there is none for a prompt, an answer or a key. Where an upstream
/// failed its span says why, as far as that quotes nothing ([`Error::cause`]).
///
/// An attempt's says where it went and how the upstream answered, where a [`Provider`](crate::provider::Provider)
/// made it; of another service the router knows neither.
///
/// To OpenTelemetry the span of a request is a server's and that of an attempt a client's. One that failed has
/// the status of an error, but for requests that were answered with 4xx: those have `error.type` alone.
///
/// Where the request has a valid `traceparent`, `trace_id` names the trace that it is a part of. That the spans
/// are a part of it too is up to [`with_propagation`](Self::with_propagation).
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Trace<P = ()> {
    version: Version,
    propagate: P,
}

impl Trace {
    /// Spans in the newest conventions known here.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<P> Trace<P> {
    /// Joins the spans to the traces of others. Default: they are traces by themselves.
    pub fn with_propagation<Q: Propagate + Clone>(self, propagate: Q) -> Trace<Q> {
        Trace {
            version: self.version,
            propagate,
        }
    }

    /// The version of the conventions. Default: the newest.
    pub const fn with_version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }
}

impl<P: Propagate + Clone> Observe for Trace<P> {
    fn begin(&self, head: &Parts) -> Watch {
        let span = tracing::info_span!(
            target: "tower_completions",
            "chat",
            "otel.kind" = "server",
            "otel.status_code" = Empty,
            "trace_id" = Empty,
            "gen_ai.operation.name" = "chat",
            "gen_ai.request.model" = Empty,
            "gen_ai.response.model" = Empty,
            "gen_ai.system" = Empty,
            "gen_ai.provider.name" = Empty,
            "gen_ai.usage.input_tokens" = Empty,
            "gen_ai.usage.output_tokens" = Empty,
            "http.response.status_code" = Empty,
            "error.type" = Empty,
            "tower_completions.error.cause" = Empty,
        );
        if span.is_disabled() {
            return Watch::nobody();
        }
        if let Some(context) = TraceContext::of(&head.headers) {
            span.record(names::TRACE_ID, context.trace_id());
        }
        self.propagate.join(head, &span);
        Watch::new(One {
            span,
            propagate: self.propagate.clone(),
            attempts: Mutex::new(Vec::new()),
            version: self.version,
        })
    }
}

fn failed(span: &Span, error: &Error) {
    span.record(names::ERROR_TYPE, names::error_type(error.kind()));
    if let Some(cause) = error.cause() {
        span.record(names::CAUSE, tracing::field::display(cause));
    }
}

/// OpenTelemetry's integers are signed: what exports spans to it writes any other as text.
fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

struct One<P> {
    span: Span,
    propagate: P,
    /// The spans of attempts that have not ended: that of the answer, and of others at the same time.
    attempts: Mutex<Vec<(u32, Span)>>,
    version: Version,
}

impl<P> One<P> {
    fn attempts<T>(&self, change: impl FnOnce(&mut Vec<(u32, Span)>) -> T) -> T {
        change(&mut self.attempts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells the span of one that has not ended.
    fn of_attempt(&self, number: u32, tell: impl FnOnce(&Span)) {
        let span = self.attempts(|open| {
            let known = open.iter().find(|(one, _)| *one == number);
            known.map(|(_, span)| span.clone())
        });
        if let Some(span) = span {
            tell(&span);
        }
    }
}

impl<P: Propagate> Watcher for One<P> {
    fn on(&self, event: &Event<'_>) {
        match event {
            Event::Routed { model, .. } => {
                self.span.record(names::REQUEST_MODEL, *model);
                self.propagate
                    .name(&self.span, format_args!("chat {model}"));
            }
            Event::Attempting { number, target } => {
                let span = tracing::info_span!(
                    target: "tower_completions",
                    parent: &self.span,
                    "attempt",
                    "otel.name" = tracing::field::display(format_args!("chat {}", target.model)),
                    "otel.kind" = "client",
                    "otel.status_code" = Empty,
                    number = i64::from(*number),
                    "gen_ai.operation.name" = "chat",
                    "gen_ai.request.model" = &*target.model,
                    "gen_ai.system" = Empty,
                    "gen_ai.provider.name" = Empty,
                    "server.address" = Empty,
                    "server.port" = Empty,
                    "http.response.status_code" = Empty,
                    "error.type" = Empty,
                    "tower_completions.error.cause" = Empty,
                );
                span.record(self.version.provider(), &*target.provider);
                self.attempts(|open| open.push((*number, span)));
            }
            Event::Calling { number, host, port } => self.of_attempt(*number, |span| {
                span.record(names::SERVER_ADDRESS, *host);
                span.record(names::SERVER_PORT, i64::from(*port));
            }),
            Event::Answered { number, status } => self.of_attempt(*number, |span| {
                span.record(names::STATUS, i64::from(status.as_u16()));
            }),
            Event::Attempt {
                number,
                error: Some(error),
                ..
            } => self.attempts(|open| {
                if let Some(at) = open.iter().position(|(one, _)| one == number) {
                    let (_, span) = open.swap_remove(at);
                    span.record(names::SPAN_STATUS, "ERROR");
                    failed(&span, error);
                }
            }),
            Event::Lost { number, .. } => self.attempts(|open| {
                if let Some(at) = open.iter().position(|(one, _)| one == number) {
                    let (_, span) = open.swap_remove(at);
                    span.record(names::ERROR_TYPE, "cancelled");
                }
            }),
            Event::FirstEvent { .. } => {
                tracing::debug!(target: "tower_completions", parent: &self.span, "first event");
            }
            Event::Finished(end) => {
                if let Some(status) = end.status {
                    self.span.record(names::STATUS, i64::from(status.as_u16()));
                }
                if let Some(served) = end.served {
                    self.span.record(self.version.provider(), &*served.provider);
                }
                if let Some(model) = end.model {
                    self.span.record(names::RESPONSE_MODEL, model);
                }
                if let Some(usage) = end.usage {
                    self.span.record(names::INPUT_TOKENS, number(usage.input));
                    self.span.record(names::OUTPUT_TOKENS, number(usage.output));
                }
                if let Some(error) = end.error {
                    // The conventions for HTTP: 4xx is an error to who asked, and none to who answered.
                    if !end.status.is_some_and(|status| status.is_client_error()) {
                        self.span.record(names::SPAN_STATUS, "ERROR");
                    }
                    failed(&self.span, error);
                } else if end.cancelled {
                    self.span.record(names::ERROR_TYPE, "cancelled");
                }
                // What is left is the attempt that answered, which failed where its stream did, and any that the
                // client did not wait for.
                let error = end.error.filter(|it| it.origin() == Origin::Upstream);
                self.attempts(|open| {
                    for (_, span) in open.drain(..) {
                        if let Some(error) = error {
                            span.record(names::SPAN_STATUS, "ERROR");
                            failed(&span, error);
                        } else if end.cancelled {
                            span.record(names::ERROR_TYPE, "cancelled");
                        }
                    }
                });
            }
            _ => {}
        }
    }

    fn enter(&self) {
        self.span
            .with_subscriber(|(id, dispatch)| dispatch.enter(id));
    }

    fn exit(&self) {
        self.span
            .with_subscriber(|(id, dispatch)| dispatch.exit(id));
    }

    fn wants_calls(&self, number: u32) -> bool {
        self.attempts(|open| {
            open.iter()
                .any(|(one, span)| *one == number && !span.is_disabled())
        })
    }

    fn pass_on(&self, number: u32, headers: &mut HeaderMap) {
        self.of_attempt(number, |span| self.propagate.pass_on(span, headers));
    }
}
