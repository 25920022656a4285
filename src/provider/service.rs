use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use bytes::Bytes;
use http::{HeaderName, Request, Response, header};
use http_body::Body as HttpBody;
use tower_service::Service;

use super::{
    Body, Contract, Notes, ResponseFuture, Secret, Translate, credential::Bearer, customs,
    cut::Spellings, functions, future::State, translate::Asked,
};
use crate::{
    body::{BoxError, Full},
    error::{Class, Error, Kind, Origin},
    ext::{Forwarded, KeyPool, Sending, Target},
    observe::Calls,
    parse::ChatBody,
    time::{Reading, wall},
};

/// An upstream as a service: the request translated, sent over any HTTP client, its answer read.
///
/// `C` is any `Service<http::Request<Full>>` that answers with a body of [`Bytes`]: the client of
/// the feature `client`, an in-memory mock, the application's own. Every failure is a response with
/// an [`Error`] in its extensions, whose [`Class`] a router acts on; a client that fails with such an
/// `Error` of its own is taken at its word. Of the client's headers those
/// travel upstream that a router [forwards](crate::router::Builder::forward), `traceparent` and `tracestate`
/// by default, and none without a router; of the upstream's, only its limits come back, as [`RateHeaders`](super::RateHeaders)
/// in the extensions. Events that come where one answer was asked for pass as a stream, which
/// [`ReframeLayer::convert`](crate::reframe::ReframeLayer::convert) folds. Dropping the future or the body drops the
/// upstream's connection with it.
pub struct Provider<C, T> {
    client: C,
    /// Whether `client` may be called, or why it never may; none while it is not known.
    ready: Option<Result<(), Error>>,
    config: Arc<Config<T>>,
}

pub(super) struct Config<T> {
    pub(super) name: Arc<str>,
    pub(super) translate: T,
    keys: Vec<Key>,
    pub(super) max_bytes: usize,
    pub(super) contract: Contract,
    wall: Reading<SystemTime>,
}

#[derive(Clone)]
struct Key {
    secret: Secret,
    /// How it may be spelled in an answer.
    spellings: Spellings,
    bearer: Option<Bearer>,
}

impl Key {
    fn new(secret: Secret) -> Self {
        Self {
            spellings: Spellings::of(&secret),
            bearer: Bearer::of(&secret),
            secret,
        }
    }
}

impl<C, T> Provider<C, T> {
    /// A provider of this name, reached through `client`.
    pub fn new(name: impl Into<Arc<str>>, client: C, translate: T) -> Self {
        let config = Config {
            name: name.into(),
            translate,
            keys: Vec::new(),
            max_bytes: 64 << 20,
            contract: Contract::default(),
            wall: Reading::new(wall),
        };
        Self {
            client,
            ready: None,
            config: Arc::new(config),
        }
    }

    /// The keys it may use; a [`Target`] names one of them by its index. Default: none.
    #[must_use]
    pub fn with_keys<I>(mut self, keys: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Arc<str>>,
        T: Clone,
    {
        let keys = keys.into_iter().map(Secret::new);
        Arc::make_mut(&mut self.config).keys = keys.map(Key::new).collect();
        self
    }

    /// The largest whole answer that is read, in bytes; a larger one is a bad answer. Default:
    /// 64 MiB.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: usize) -> Self
    where
        T: Clone,
    {
        Arc::make_mut(&mut self.config).max_bytes = bytes;
        self
    }

    /// Where the time of day comes from, by which an answer is dated that has no date of its own.
    /// Default: the system's clock.
    #[must_use]
    pub fn with_wall_clock(mut self, wall: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self
    where
        T: Clone,
    {
        Arc::make_mut(&mut self.config).wall = Reading::new(wall);
        self
    }

    /// What becomes of parameters that the provider has no counterpart of. Default: dropped and
    /// announced where the answer means the same without them, else refused.
    #[must_use]
    pub fn with_contract(mut self, contract: Contract) -> Self
    where
        T: Clone,
    {
        Arc::make_mut(&mut self.config).contract = contract;
        self
    }
}

/// As many as it was given; without any there is still one credential, which its client puts in.
impl<C, T> KeyPool for Provider<C, T> {
    fn keys(&self) -> usize {
        self.config.keys.len().max(1)
    }

    /// What goes upstream is made of the body, the target and what a router forwards.
    fn reads_head(&self) -> bool {
        false
    }
}

impl<T: Clone> Clone for Config<T> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            translate: self.translate.clone(),
            keys: self.keys.clone(),
            max_bytes: self.max_bytes,
            contract: self.contract.clone(),
            wall: self.wall.clone(),
        }
    }
}

/// A clone of what is ready is not.
impl<C: Clone, T> Clone for Provider<C, T> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            ready: None,
            config: Arc::clone(&self.config),
        }
    }
}

impl<C, T> fmt::Debug for Provider<C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("name", &self.config.name)
            .finish_non_exhaustive()
    }
}

impl<C, T, B> Service<Request<ChatBody>> for Provider<C, T>
where
    C: Service<Request<Full>, Response = Response<B>> + Clone,
    C::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
    T: Translate,
{
    type Response = Response<Body<B, T::Stream>>;
    type Error = std::convert::Infallible;
    type Future = ResponseFuture<C, B, T>;

    // Always ready: a client that is not, or that fails to become it, is this attempt's failure.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.ready = match self.client.poll_ready(cx) {
            Poll::Ready(ready) => Some(ready.map_err(unreachable)),
            Poll::Pending => None,
        };
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ChatBody>) -> Self::Future {
        let ready = self.ready.take();
        let chat = request.body().chat();
        let own;
        let target = match request.extensions().get::<Target>() {
            Some(target) => target,
            None => {
                own = Target::new(Arc::clone(&self.config.name), chat.model());
                &own
            }
        };
        let mut notes = Notes::of(self.config.contract.clone(), chat);
        let mut asked = Asked::new(chat, target, self.config.wall.now());
        let modern = !self.config.translate.knows_functions() && functions::speaks(chat);
        asked.functions = modern && functions::offers(chat);
        if !asked.functions && !self.config.translate.knows_custom_tools() {
            asked.customs = customs::offered(chat);
        }
        let outgoing = if modern {
            let mut chat = chat.clone();
            functions::modern(&mut chat, &mut notes)
                .and_then(|()| self.config.outgoing(&chat, target, &mut notes))
        } else {
            self.config.outgoing(chat, target, &mut notes)
        };
        let outgoing = match request.extensions().get::<Forwarded>() {
            Some(forwarded) => outgoing.map(|outgoing| forward(outgoing, forwarded)),
            None => outgoing,
        };
        let sending = request.extensions().get::<Sending>();
        let outgoing = match sending {
            Some(sending) => outgoing.map(|mut outgoing| {
                outgoing.extensions_mut().insert(sending.clone());
                outgoing
            }),
            None => outgoing,
        };
        let calls = request.extensions().get::<Calls>();
        if let (Some(calls), Ok(outgoing)) = (calls, &outgoing) {
            calls.to(outgoing.uri());
        }
        let calls = calls.cloned();
        let key = self.config.key(target);
        let key = key.map(|key| key.spellings.clone());
        let key = key.unwrap_or_default();
        let state = match (outgoing, ready) {
            (Ok(request), Some(Ok(()))) => State::calling(&mut self.client, request, sending),
            (outgoing, ready) => {
                if let Some(sending) = sending {
                    sending.waits();
                }
                // The one that was polled goes into the future; the clone is made ready anew.
                let clone = self.client.clone();
                let client = mem::replace(&mut self.client, clone);
                match outgoing.and_then(|request| ready.unwrap_or(Ok(())).map(|()| request)) {
                    Ok(request) => State::waiting(client, request),
                    Err(error) => State::refused(error),
                }
            }
        };
        ResponseFuture::new(state, notes, asked, key, calls, Arc::clone(&self.config))
    }
}

impl<T: Translate> Config<T> {
    fn outgoing(
        &self,
        chat: &crate::parse::Chat,
        target: &Target,
        notes: &mut Notes,
    ) -> Result<Request<Full>, Error> {
        let mut request = self.translate.request(chat, target, notes)?;
        let Some(key) = self.key(target) else {
            return Ok(request);
        };
        match &key.bearer {
            Some(bearer) if self.translate.is_bearer() => bearer.put(&mut request),
            // What cannot be sent is told by who would send it.
            _ => self
                .translate
                .authorize(&mut request, key.secret.expose())?,
        }
        Ok(request)
    }

    /// The key that a target names.
    fn key(&self, target: &Target) -> Option<&Key> {
        let at = target.key.checked_rem(self.keys.len())?;
        self.keys.get(at)
    }
}

/// Of the client's headers those that say nothing of the connection, the body or its encoding, and
/// that the request has not already: what the provider says itself counts.
fn forward(mut request: Request<Full>, Forwarded(headers): &Forwarded) -> Request<Full> {
    let own = request.headers();
    let names = headers.keys().filter(|name| travels(name));
    let names: Vec<_> = names.filter(|name| !own.contains_key(*name)).collect();
    for name in names {
        for value in headers.get_all(name) {
            request.headers_mut().append(name, value.clone());
        }
    }
    request
}

fn travels(name: &HeaderName) -> bool {
    const CONNECTION: [&str; 4] = ["keep-alive", "proxy-connection", "host", "expect"];
    let of_connection = [
        header::CONNECTION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::PROXY_AUTHORIZATION,
        header::ACCEPT,
        header::ACCEPT_ENCODING,
    ];
    !(of_connection.contains(name)
        || CONNECTION.contains(&name.as_str())
        || name.as_str().starts_with("content-"))
}

/// The failure to reach an upstream at all, unless the client says itself what it is.
pub(super) fn unreachable(source: impl Into<BoxError>) -> Error {
    let source = match source.into().downcast::<Error>() {
        Ok(own) => return *own,
        Err(source) => source,
    };
    Error::new(Kind::BadUpstream, "The upstream could not be reached.")
        .with_code("upstream_unreachable")
        .with_class(Class::Transient)
        .with_origin(Origin::Upstream)
        .with_cause(source)
}
