use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use tower_service::Service;

use super::{
    ask::Wish,
    body::{Body, Broken, Reset},
    future::ResponseFuture,
    log::{Log, Seen},
    models::MODELS,
    plan::Plan,
    script::{Head, Script},
};

/// A provider in memory: a service from an HTTP request to an HTTP response. Clones share scripts
/// and log.
///
/// It answers `POST` to any path that ends in `/chat/completions` and `GET` of `/models`. Which script plays
/// is decided in this order: those queued by [`queue`](Self::queue), the function of
/// [`with_fn`](Self::with_fn), the model's own of [`with_model`](Self::with_model), the built-in
/// [`MODELS`], and at last the default of [`with_default`](Self::with_default), an echo.
#[derive(Clone)]
pub struct Upstream(Arc<Shared>);

#[derive(Clone)]
struct Scripts {
    models: HashMap<String, Script>,
    choose: Option<Arc<Choose>>,
    default: Script,
}

type Choose = dyn Fn(&Seen) -> Option<Script> + Send + Sync;

struct Shared {
    scripts: Scripts,
    queue: Mutex<VecDeque<Script>>,
    log: Log,
}

impl Upstream {
    /// One that echoes, and knows the built-in models.
    #[must_use]
    pub fn new() -> Self {
        Self::with_scripts(Scripts {
            models: HashMap::new(),
            choose: None,
            default: Script::echo(),
        })
    }

    fn with_scripts(scripts: Scripts) -> Self {
        Self(Arc::new(Shared {
            scripts,
            queue: Mutex::new(VecDeque::new()),
            log: Log::new(),
        }))
    }

    fn change(self, change: impl FnOnce(&mut Scripts)) -> Self {
        let mut scripts = self.0.scripts.clone();
        change(&mut scripts);
        Self::with_scripts(scripts)
    }

    /// What a model answers. Starts a log and a queue of its own, as all `with_` methods do.
    #[must_use]
    pub fn with_model(self, model: impl Into<String>, script: Script) -> Self {
        let model = model.into();
        self.change(|scripts| {
            scripts.models.insert(model, script);
        })
    }

    /// What every model answers that has no script of its own. Default: an echo.
    #[must_use]
    pub fn with_default(self, script: Script) -> Self {
        self.change(|scripts| scripts.default = script)
    }

    /// Chooses by the request; `None` leaves the choice to the others.
    #[must_use]
    pub fn with_fn(self, choose: impl Fn(&Seen) -> Option<Script> + Send + Sync + 'static) -> Self {
        self.change(|scripts| scripts.choose = Some(Arc::new(choose)))
    }

    /// Queues a script for one call, before everything else.
    pub fn queue(&self, script: Script) {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push_back(script);
    }

    /// What it has been asked, and how its answers ended.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.0.log
    }

    fn next_queued(&self) -> Option<Script> {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.pop_front()
    }

    /// The script that plays to a request.
    fn answer(&self, seen: &Seen) -> Script {
        let Scripts {
            models,
            choose,
            default,
        } = &self.0.scripts;
        self.next_queued()
            .or_else(|| choose.as_ref().and_then(|choose| choose(seen)))
            .or_else(|| {
                let model = Wish::parse(&seen.body).ok()?.model;
                models
                    .get(&model)
                    .cloned()
                    .or_else(|| Script::of_model(&model))
            })
            .unwrap_or_else(|| default.clone())
    }

    fn list() -> Plan {
        let models: Vec<_> = MODELS
            .iter()
            .map(|model| json!({"id": model.id, "object": "model", "created": 1_700_000_000, "owned_by": "mock"}))
            .collect();
        let body = json!({"object": "list", "data": models}).to_string();
        Plan::new(Script::bytes(StatusCode::OK, body), &Wish::default(), 0)
    }

    async fn play(self, seen: Seen, reset: Reset) -> Result<Response<Body>, Broken> {
        let (call, mut open) = self.0.log.open();
        self.0.log.record(seen.clone());
        let plan = if seen.method == Method::GET && seen.path().ends_with("/models") {
            Self::list()
        } else if seen.method != Method::POST || !seen.path().ends_with("/chat/completions") {
            let script = Script::error(
                StatusCode::NOT_FOUND,
                "invalid_request_error",
                "not_found",
                "Invalid URL",
            );
            Plan::new(script, &Wish::default(), call)
        } else {
            let script = self.answer(&seen);
            if !script.delay.is_zero() {
                tokio::time::sleep(script.delay).await;
            }
            match script.head {
                Head::Comes => {}
                Head::Never => std::future::pending().await,
                Head::Reset => {
                    open.finish();
                    reset.demand();
                    return Err(Broken);
                }
            }
            match Wish::parse(&seen.body) {
                Ok(ask) => Plan::new(script, &ask, call),
                Err(fault) => Plan::refusal(&fault),
            }
        };
        let mut response = Response::new(Body::new(plan.steps, open, reset));
        *response.status_mut() = plan.status;
        *response.headers_mut() = plan.headers;
        Ok(response)
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("log", &self.0.log)
            .finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for Upstream
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
{
    type Response = Response<Body>;
    type Error = Broken;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        let this = self.clone();
        ResponseFuture(Box::pin(async move {
            let (parts, body) = request.into_parts();
            // A request that breaks off has nobody left to answer.
            let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
            let reset = parts.extensions.get::<Reset>().cloned().unwrap_or_default();
            let seen = Seen {
                method: parts.method,
                uri: parts.uri,
                headers: parts.headers,
                body,
            };
            this.play(seen, reset).await
        }))
    }
}
