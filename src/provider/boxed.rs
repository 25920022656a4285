use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tower::{ServiceExt as _, util::BoxCloneSyncService};
use tower_service::Service;

use super::{Parallel, Provider, Translate};
use crate::{
    body::{BoxBody, BoxError, Full},
    ext::KeyPool,
    parse::ChatBody,
};

type Answer = Result<Response<BoxBody>, Infallible>;

/// A provider's service in a box: those of different APIs are one type, as a router asks for.
///
/// It costs three allocations an attempt: of the service's clone, its future and its body.
///
/// ```
/// use tower_completions::{
///     mock::Upstream,
///     provider::{Provider, anthropic::Anthropic, openai::OpenAi},
///     router::{Candidate, Model, Router, Table},
/// };
///
/// let openai = Provider::new("openai", Upstream::new(), OpenAi::new("http://upstream/v1")?);
/// let claude = Provider::new("claude", Upstream::new(), Anthropic::new("http://upstream")?);
/// let model = Model::new("m").target(Candidate::new("openai", "m")).target(Candidate::new("claude", "m"));
/// let router = Router::builder(Table::new([model])?)
///     .provider("openai", openai.with_keys(["sk-1", "sk-2"]).boxed())
///     .provider("claude", claude.with_keys(["sk-3"]).boxed())
///     .build()?;
/// # let _ = router;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct BoxProvider {
    inner: BoxCloneSyncService<Request<ChatBody>, Response<BoxBody>, Infallible>,
    keys: usize,
    reads_head: bool,
}

impl BoxProvider {
    /// A service that knows how many keys it has.
    pub fn new<S, B>(service: S) -> Self
    where
        S: KeyPool + Service<Request<ChatBody>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (keys, reads_head) = (service.keys(), service.reads_head());
        Self {
            reads_head,
            ..Self::with_keys(service, keys)
        }
    }

    /// Any other service, and how many keys it has: see [`KeyPool::keys`].
    pub fn with_keys<S, B>(service: S, keys: usize) -> Self
    where
        S: Service<Request<ChatBody>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let boxed = |answer: Response<B>| answer.map(BoxBody::new);
        Self {
            inner: BoxCloneSyncService::new(service.map_response(boxed)),
            keys,
            reads_head: true,
        }
    }
}

impl KeyPool for BoxProvider {
    fn keys(&self) -> usize {
        self.keys
    }

    fn reads_head(&self) -> bool {
        self.reads_head
    }
}

impl fmt::Debug for BoxProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxProvider").finish_non_exhaustive()
    }
}

impl Service<Request<ChatBody>> for BoxProvider {
    type Response = Response<BoxBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ChatBody>) -> Self::Future {
        self.inner.call(request)
    }
}

impl<C, T, B> Provider<C, T>
where
    C: Service<Request<Full>, Response = Response<B>> + Clone + Send + Sync + 'static,
    C::Error: Into<BoxError>,
    C::Future: Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    T: Translate,
{
    /// In a box, beside providers of other APIs.
    #[must_use]
    pub fn boxed(self) -> BoxProvider {
        BoxProvider::new(self)
    }
}

impl<S, B> Parallel<S>
where
    S: KeyPool + Service<Request<ChatBody>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// In a box, beside providers of other APIs.
    #[must_use]
    pub fn boxed(self) -> BoxProvider {
        BoxProvider::new(self)
    }
}
