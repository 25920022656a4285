use std::{
    any::Any,
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use sha2::{Digest as _, Sha256};
use tower_service::Service;

use super::{
    ResponseBody, ResponseFuture,
    run::Call,
    store::{Admission, Store},
};
use crate::{
    body::{BoxBody, BoxError},
    error::{Error, Kind, Origin},
    ext::{Principal, Sending, is_dry_run},
    parse::ChatBody,
};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Gives one answer to all requests of a caller under one `Idempotency-Key`.
///
/// Another body under a key that is known is a 409 `idempotency_conflict`; a key that is empty, has
/// more than 255 bytes or other than visible ASCII a 400. An answer that is given again has the
/// header `idempotent-replayed: true`.
///
/// Of a request with a key the answer's trailers are left out, as they are not given again.
///
/// Dropping the future or the body leaves the answer to those who joined it, if there are any; else
/// the inner service's is dropped too.
pub struct Idempotency<S> {
    inner: S,
    store: Arc<Store>,
}

impl<S> Idempotency<S> {
    pub(super) const fn new(inner: S, store: Arc<Store>) -> Self {
        Self { inner, store }
    }
}

impl<S: Clone> Clone for Idempotency<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            store: Arc::clone(&self.store),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Idempotency<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, R> Service<Request<ChatBody>> for Idempotency<S>
where
    S: Service<Request<ChatBody>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ChatBody>) -> Self::Future {
        let headers = request.headers();
        // What asks for an estimate alone is another request than the one that it estimates.
        // Most have none: comparing the names of few headers is less than a hash.
        let name = KEY;
        let keyed = headers.keys().any(|it| *it == name) && !is_dry_run(headers);
        let key = if keyed { headers.get(name) } else { None };
        let Some(key) = key else {
            return ResponseFuture::plain(self.inner.call(request));
        };
        let Some(key) = readable(key).map(Box::from) else {
            let message = "`Idempotency-Key` must have 1 to 255 visible ASCII characters.";
            let error = Error::new(Kind::Format, message).with_code("invalid_value");
            // What was made ready goes, with whatever it keeps free for a request.
            self.inner = self.inner.clone();
            return ResponseFuture::refused(error);
        };
        let caller = request.extensions().get::<Principal>();
        let caller = caller.map_or_else(|| Arc::from(""), Principal::shared_id);
        let sending = request.extensions().get::<Sending>().cloned();
        let digest = Sha256::digest(request.body().chat().original());
        // The service that was made ready makes the call; the clone is made ready anew.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        let call = move || -> Call {
            // Called when it is first polled, not under the store's lock.
            Box::pin(async move {
                match inner.call(request).await {
                    Ok(response) => Ok(response.map(BoxBody::new)),
                    Err(error) => Err(Box::new(error) as Box<dyn Any + Send>),
                }
            })
        };
        match self
            .store
            .enter((caller, key), digest.into(), sending, call)
        {
            Admission::Seated(seat) => ResponseFuture::shared(seat),
            Admission::Conflict => ResponseFuture::refused(Error::new(
                Kind::Conflict,
                "The idempotency key was used for another request.",
            )),
            Admission::Full => {
                let message = "Too many requests with an idempotency key are under way.";
                let error = Error::new(Kind::Overloaded, message)
                    .with_origin(Origin::Gateway)
                    .with_code("idempotency_store_full");
                ResponseFuture::refused(error)
            }
        }
    }
}

fn readable(key: &HeaderValue) -> Option<&str> {
    let key = key.to_str().ok()?;
    let visible = key.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    (visible && (1..=255).contains(&key.len())).then_some(key)
}
