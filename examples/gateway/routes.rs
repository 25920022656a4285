//! The gateway's own routes beside the completions endpoint.

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body::Body as _;
use hyper::service::Service;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use tower::{Service as _, ServiceExt, util::BoxCloneSyncService};
use tower_completions::{
    Dialect, Error, Principal,
    auth::{Keys, credential},
    body::{BoxBody, Full},
    cost::{Currency, Ledger as _, Statement},
    error::Kind,
    limit::{Limiter, Limits, Report, Standing},
    provider::BoxProvider,
    router::{Router, Table},
};

use crate::{app::Counts, connection::Body, ledger::Books, routing};

pub type Completions = BoxCloneSyncService<Request<Body>, Response<BoxBody>, Infallible>;

type Answering = Pin<Box<dyn Future<Output = Result<Response<BoxBody>, Infallible>> + Send>>;

const PAGE: &str = include_str!("page.html");

pub struct Routes {
    /// Called where it is: to clone a whole stack for each request is much.
    completions: Mutex<Completions>,
    own: Own,
}

/// What the routes beside the endpoint are answered from.
#[derive(Clone)]
pub struct Own {
    pub keys: Keys,
    pub ledger: Books,
    pub limiter: Limiter<Counts>,
    pub metrics: PrometheusHandle,
    pub router: Router<BoxProvider, Table>,
}

impl Own {
    /// `GET /v1/key`: what the calling key has, and what is left of it.
    async fn key(&self, headers: &HeaderMap) -> Response<BoxBody> {
        let caller = credential(headers).and_then(|key| self.keys.find(key));
        let Some(caller) = caller else {
            let mut response = refuse(Error::new(
                Kind::Authentication,
                "Incorrect API key provided. Send it as `Authorization: Bearer <key>`.",
            ));
            let bearer = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, bearer);
            return response;
        };
        let report = match self.limiter.standing(&caller).await {
            Ok(report) => report,
            Err(error) => return refuse(error),
        };
        let statement = match self.ledger.statement(caller.id()).await {
            Ok(statement) => statement,
            Err(error) => {
                tracing::warn!(%error, "no statement");
                let message = "The ledger cannot be reached.";
                let error = Error::new(Kind::Overloaded, message);
                return refuse(error.with_code("ledger_unavailable"));
            }
        };
        answer(
            "application/json",
            describe(&caller, self.ledger.currency(), &statement, &report).to_string(),
        )
    }
}

impl Routes {
    pub fn new(completions: Completions, own: Own) -> Self {
        Self {
            completions: Mutex::new(completions),
            own,
        }
    }

    fn route(&self, request: Request<Body>) -> Answering {
        let path = request.uri().path();
        if !matches!(path, "/" | "/healthz" | "/metrics" | "/v1/key") {
            return self.complete(request);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Box::pin(ready(Ok(not_allowed())));
        }
        let response = match path {
            "/" => answer("text/html; charset=utf-8", PAGE),
            "/healthz" if request.uri().query() == Some("verbose") => {
                let health = routing::health(&self.own.router).to_string();
                answer("application/json", health)
            }
            "/healthz" => answer("text/plain; charset=utf-8", "ok"),
            "/metrics" => answer(
                "text/plain; version=0.0.4; charset=utf-8",
                self.own.metrics.render(),
            ),
            _ => {
                let own = self.own.clone();
                return Box::pin(async move { Ok(own.key(request.headers()).await) });
            }
        };
        Box::pin(ready(Ok(response)))
    }

    /// The gateway's own answer to a completion's request.
    fn complete(&self, request: Request<Body>) -> Answering {
        // Held for no longer than the call; a panic in it has left nothing half done.
        let mut completions = self
            .completions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match completions.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => completions.call(request),
            // Another waits for it, for this one is polled by all.
            _ => Box::pin(completions.clone().oneshot(request)),
        }
    }
}

fn describe(
    caller: &Principal,
    currency: Currency,
    statement: &Statement,
    report: &Report,
) -> Value {
    let slots = report
        .concurrent
        .map(|slots| json!({ "limit": slots.limit, "in_use": slots.in_use }));
    // Nobody counts where there is no limit.
    let unlimited = json!({ "limit": null, "in_use": null });
    let concurrent = caller
        .get::<Limits>()
        .and_then(Limits::concurrent)
        .and(slots);
    json!({ "data": {
        "name": caller.id(),
        "currency": currency.code(),
        "balance": statement.balance().map(|balance| balance.to_string()),
        "held": statement.held.to_string(),
        "spent": statement.spent.to_string(),
        "requests": window(report.requests),
        "tokens": window(report.tokens),
        "concurrent": concurrent.unwrap_or(unlimited),
    } })
}

fn window(standing: Option<Standing>) -> Value {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    match standing {
        Some(it) => {
            json!({ "limit": it.limit, "remaining": it.remaining, "reset_ms": ms(it.reset) })
        }
        None => json!({ "limit": null, "remaining": null, "reset_ms": null }),
    }
}

impl Service<Request<Body>> for Routes {
    type Response = Response<BoxBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Body>) -> Self::Future {
        if *request.method() != Method::HEAD {
            return self.route(request);
        }
        let answering = self.route(request);
        Box::pin(async move { answering.await.map(bodiless) })
    }
}

fn not_allowed() -> Response<BoxBody> {
    let mut response = refuse(Error::new(Kind::Method, "Only GET is answered here."));
    let allow = HeaderValue::from_static("GET, HEAD");
    response.headers_mut().insert(header::ALLOW, allow);
    response
}

fn answer(kind: &'static str, body: impl Into<bytes::Bytes>) -> Response<BoxBody> {
    let mut response = Response::new(BoxBody::new(Full::new(body)));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn refuse(error: Error) -> Response<BoxBody> {
    error.response(&Dialect::openai()).map(BoxBody::new)
}

/// The answer to a HEAD: hyper leaves the body out over HTTP/1 only, over HTTP/2 it would break the
/// client's connection.
fn bodiless(answer: Response<BoxBody>) -> Response<BoxBody> {
    let (mut parts, body) = answer.into_parts();
    if let Some(length) = body.size_hint().exact() {
        let length = HeaderValue::from(length);
        parts.headers.insert(header::CONTENT_LENGTH, length);
    }
    Response::from_parts(parts, BoxBody::new(Full::new("")))
}
