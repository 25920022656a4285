use std::{
    fmt,
    future::Future,
    mem,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Extensions, HeaderMap, Request, Response, request::Parts};
use http_body::Body;
use tower_service::Service;

use super::ResponseFuture;
use crate::{
    body::Reply,
    error::Error,
    ext::{Principal, is_credential},
    observe::{Event, Gate, Watch},
};

/// Tells who is calling.
///
/// Any `Fn(&Parts) -> impl Future<Output = Result<Option<Principal>, Error>>` is one. The future must not
/// borrow the head, which goes on with the request: so an `async fn(&Parts)` is none; take out of the head
/// what is needed, and then `async move`. Over a database, say, that has the digests of keys and not the keys:
///
/// ```
/// use http::request::Parts;
/// use tower_completions::{Error, Principal, auth::{AuthLayer, Digest, credential}, error::Kind};
///
/// # type Row = (String,);
/// # async fn select(_: &str) -> Result<Option<Row>, std::io::Error> { Ok(None) }
/// async fn look_up(digest: Option<Digest>) -> Result<Option<Principal>, Error> {
///     // Without a key the answer is the 401.
///     let Some(digest) = digest else { return Ok(None) };
///     let row = select(&digest.to_string()).await.map_err(|error| {
///         Error::new(Kind::Internal, "The keys cannot be looked up.").with_source(error)
///     })?;
///     Ok(row.map(|(name,)| Principal::new(name)))
/// }
///
/// let layer = AuthLayer::new(|parts: &Parts| look_up(credential(&parts.headers).map(Digest::of)));
/// # let _ = layer;
/// ```
///
/// What is none is refused where the layer is made:
///
/// ```compile_fail,E0277
/// use http::request::Parts;
/// use tower_completions::{Principal, auth::AuthLayer};
///
/// let layer = AuthLayer::new(|_: &Parts| Some(Principal::new("nobody waits for this")));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not authenticate",
    label = "not an `Authenticate`",
    note = "an `Authenticate` is `auth::Keys`, or a closure `|parts: &http::request::Parts| ..` whose result \
            is a future of `Result<Option<Principal>, Error>` that does not borrow `parts`"
)]
pub trait Authenticate {
    /// Ends with the caller; `None` refuses with the one 401, an error is answered as it is (a key
    /// store that cannot be reached, say). Dropping it must leave nothing behind.
    type Future: Future<Output = Result<Option<Principal>, Error>>;

    /// Looks at the head of a request. Whatever the future needs of it must be taken here.
    fn authenticate(&self, parts: &Parts) -> Self::Future;

    /// The same where it is known at once, so that a request need not be kept until the answer is
    /// there. Default: `None`, the future is asked.
    fn authenticate_now(&self, parts: &Parts) -> Option<Result<Option<Principal>, Error>> {
        let _ = parts;
        None
    }
}

impl<F, Fut> Authenticate for F
where
    F: Fn(&Parts) -> Fut,
    Fut: Future<Output = Result<Option<Principal>, Error>>,
{
    type Future = Fut;

    fn authenticate(&self, parts: &Parts) -> Fut {
        self(parts)
    }
}

/// Admits known callers and puts their [`Principal`] into the request's extensions.
///
/// Its place is outermost: everything inside may count on the principal. All headers in which credentials
/// are usual (`authorization`, `proxy-authorization`, `x-api-key`, `api-key`, `x-goog-api-key`, `cookie`)
/// are marked sensitive, so that no log of the headers shows them; another that your own
/// [`Authenticate`] reads is not. Dropping the response future drops whatever is under way.
#[derive(Clone)]
pub struct Auth<S, A> {
    inner: S,
    authenticate: A,
}

impl<S, A> Auth<S, A> {
    /// Puts `authenticate` in front of `inner`.
    pub const fn new(inner: S, authenticate: A) -> Self {
        Self {
            inner,
            authenticate,
        }
    }
}

impl<S: fmt::Debug, A> fmt::Debug for Auth<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, A, B, R> Service<Request<B>> for Auth<S, A>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    A: Authenticate,
    R: Body<Data = Bytes>,
{
    type Response = Response<Reply<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, A::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        if let Some(known) = self.authenticate.authenticate_now(&parts) {
            let Ok(Some(principal)) = known else {
                // What was made ready goes, with whatever it keeps free for a request.
                self.inner = self.inner.clone();
                return ResponseFuture::refused(known.err());
            };
            hide(&mut parts.headers);
            admit(&mut parts.extensions, principal);
            return ResponseFuture::calling(self.inner.call(Request::from_parts(parts, body)));
        }
        // The service that was made ready goes into the future; the clone is made ready anew.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        let caller = self.authenticate.authenticate(&parts);
        hide(&mut parts.headers);
        ResponseFuture::new(inner, caller, Request::from_parts(parts, body))
    }
}

/// Marks the credentials, which no log is to show: all values of every header that carries one, in one
/// pass over what are few.
fn hide(headers: &mut HeaderMap) {
    for (name, value) in headers.iter_mut() {
        if is_credential(name) {
            value.set_sensitive(true);
        }
    }
}

/// The caller is known: what is inside may count on it.
pub(super) fn admit(extensions: &mut Extensions, principal: Principal) {
    extensions.insert(principal);
    Watch::tell(extensions, || Event::Admitted { gate: Gate::Key });
}
