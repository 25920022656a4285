//! A gateway put together by hand on bare hyper, with its own `Authenticate` and its own layer.
//!
//! ```text
//! cargo run --example hyper_gateway -- 127.0.0.1:3000
//! curl 127.0.0.1:3000 -H 'authorization: Bearer acme:open-sesame' \
//!   --json '{"model":"mock/echo","messages":[{"role":"user","content":"hi"}]}'
//! ```

use std::{
    collections::HashMap,
    future::{Future, Ready, ready},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use http::{HeaderValue, Request, Response, request::Parts};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::{Layer, Service, ServiceBuilder};
use tower_completions::{
    Dialect, Error, Principal,
    auth::{AuthLayer, Authenticate, Digest, credential},
    limit::{Limits, RateLimitLayer},
    mock::Upstream,
    provider::{Provider, openai::OpenAi},
    reframe::ReframeLayer,
    validate::ValidateLayer,
};

/// Callers as `TENANT:PASSWORD`, and a count of those who were turned away.
#[derive(Clone)]
struct Tenants {
    // The passwords' digests only: nothing to read out, and nothing to time.
    known: Arc<HashMap<Digest, Principal>>,
    refused: Arc<AtomicU64>,
}

impl Tenants {
    fn new(tenants: &[(&str, &str)]) -> Self {
        let known = tenants.iter().map(|(name, password)| {
            let limits = Limits::new().requests_per_minute(60);
            let caller = Principal::new(*name).attach(limits);
            (Digest::of(&format!("{name}:{password}")), caller)
        });
        Self {
            known: Arc::new(known.collect()),
            refused: Arc::default(),
        }
    }
}

impl Authenticate for Tenants {
    type Future = Ready<Result<Option<Principal>, Error>>;

    fn authenticate(&self, parts: &Parts) -> Self::Future {
        let caller = credential(&parts.headers)
            .and_then(|token| self.known.get(&Digest::of(token)).cloned());
        if caller.is_none() {
            let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
            eprintln!("{refused} turned away so far");
        }
        ready(Ok(caller))
    }
}

/// Says in each answer whose it is.
#[derive(Clone, Copy)]
struct TenantLayer;

impl<S> Layer<S> for TenantLayer {
    type Service = Tenant<S>;

    fn layer(&self, inner: S) -> Tenant<S> {
        Tenant { inner }
    }
}

#[derive(Clone)]
struct Tenant<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Tenant<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let caller = request.extensions().get::<Principal>();
        let name = caller.and_then(|caller| HeaderValue::from_str(caller.id()).ok());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            if let Some(name) = name {
                response.headers_mut().insert("x-tenant", name);
            }
            Ok(response)
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // In place of the mock: any HTTP client service, and the provider's own address.
    let upstream = OpenAi::new("http://upstream/v1")?;
    let upstream = Provider::new("mock", Upstream::new(), upstream).with_keys(["sk-upstream"]);
    let gateway = ServiceBuilder::new()
        .layer(AuthLayer::new(Tenants::new(&[("acme", "open-sesame")])))
        .layer(TenantLayer)
        .layer(RateLimitLayer::default())
        .layer(ValidateLayer::new(Dialect::openai()))
        .layer(ReframeLayer::new(Dialect::openai()))
        .service(upstream);

    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept().await?;
        // Without it the kernel holds back the end of every short stream for 40 ms.
        socket.set_nodelay(true)?;
        let service = TowerToHyperService::new(gateway.clone());
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(socket), service);
            if let Err(error) = connection.await {
                eprintln!("a connection ended early: {error}");
            }
        });
    }
}
