use std::{
    any::{Any, TypeId},
    mem,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body::Body;
use tower_service::Service;

use super::{
    Chat, ChatBody, ReadLimits, ResponseFuture,
    content::Encoding,
    head,
    reading::{Reading, parsed},
};
use crate::{
    body::Reply,
    error::Error,
    time::{DefaultTimer, Timer},
};

/// Reads and parses the body of a request, unless that has been done.
///
/// What is there of the body is read when it is called; a request that has come whole by then goes on at
/// once. What cannot be read is refused: 400 for what is not a JSON object, 408, 413, 415. Dropping the
/// response future drops the body unread.
#[derive(Clone, Debug)]
pub struct Parse<S, T = DefaultTimer> {
    inner: S,
    limits: ReadLimits,
    timer: T,
}

impl<S> Parse<S> {
    /// Around a service, with the default limits.
    pub fn new(inner: S) -> Self {
        Self::with(inner, ReadLimits::default(), DefaultTimer::default())
    }
}

impl<S, T> Parse<S, T> {
    pub(super) const fn with(inner: S, limits: ReadLimits, timer: T) -> Self {
        Self {
            inner,
            limits,
            timer,
        }
    }

    /// The service inside.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// An answer without the service inside: what was made ready goes, with whatever it keeps free for
    /// a request.
    fn refused<B>(&mut self, error: Error, value_status: StatusCode) -> ResponseFuture<S, B, T>
    where
        S: Service<Request<ChatBody>> + Clone,
        T: Timer,
    {
        self.inner = self.inner.clone();
        ResponseFuture::refused(error, value_status)
    }

    /// The service inside, for where what is around it has parsed already.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, T, B, R> Service<Request<B>> for Parse<S, T>
where
    S: Service<Request<ChatBody>, Response = Response<R>> + Clone,
    T: Timer,
    B: Body<Data = Bytes> + 'static,
    R: Body<Data = Bytes>,
{
    type Response = Response<Reply<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B, T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // Types are compared first: for the downcast the request has to be moved into an `Option`.
        if TypeId::of::<B>() == TypeId::of::<ChatBody>() {
            let mut request = Some(request);
            let parsed = (&mut request as &mut dyn Any).downcast_mut::<Option<Request<ChatBody>>>();
            let parsed = parsed.and_then(Option::take);
            let mut parsed = parsed.expect("its body is of this type");
            // A change made further out must be seen by those who look at the extension.
            let chat = parsed.body().chat();
            let known = parsed.extensions().get::<Chat>();
            if known.is_none_or(|known| !known.is_same_parse(chat)) {
                let chat = chat.clone();
                parsed.extensions_mut().insert(chat);
            }
            return ResponseFuture::calling(self.inner.call(parsed));
        }
        let (mut parts, body) = request.into_parts();
        let encoding = match head::check(&parts, &self.limits) {
            Ok(encoding) => encoding,
            Err(error) => return self.refused(error, StatusCode::BAD_REQUEST),
        };
        if encoding != Encoding::Identity {
            // What goes on is what was inside.
            parts.headers.remove(header::CONTENT_ENCODING);
            parts.headers.remove(header::CONTENT_LENGTH);
        }
        let mut reading = Reading::new(body, encoding, self.limits, self.timer.clone());
        // Most requests are there already: then nothing is kept for one that is still to come.
        if let Poll::Ready(read) = reading.poll_body(&mut Context::from_waker(Waker::noop())) {
            return match read.and_then(|bytes| parsed(parts, bytes, &self.limits)) {
                Ok(request) => ResponseFuture::calling(self.inner.call(request)),
                Err(error) => self.refused(error, self.limits.value_status),
            };
        }
        // The service that was made ready goes into the future; the clone is made ready anew.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        ResponseFuture::reading(reading, inner, parts)
    }
}
