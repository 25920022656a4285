use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, header, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{MessagesBody, body::Told, error, paths::Paths, response};
use crate::{
    announce,
    body::{BoxError, Pieces},
    dialect::Dialect,
    error::{Class, Error, Kind},
    ext::{CallId, Estimate},
    media,
};

/// The longest whole answer that is read, in bytes.
const LONGEST: usize = 64 << 20;

pin_project! {
    /// The response of `Messages`.
    pub struct ResponseFuture<F, R> {
        #[pin]
        state: State<F, R>,
        told: Told,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, R> {
        Calling { #[pin] call: F },
        Reading { parts: Option<Parts>, #[pin] body: R, text: Pieces },
    }
}

impl<F, R> ResponseFuture<F, R> {
    pub(super) const fn new(call: F, told: Told) -> Self {
        Self {
            state: State::Calling { call },
            told,
        }
    }
}

impl<F, R> fmt::Debug for ResponseFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("messages::ResponseFuture")
    }
}

impl<F, R, E> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<MessagesBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Calling { call } => {
                    let (mut parts, body) = ready!(call.poll(cx))?.into_parts();
                    match this.told.get() {
                        // The layers inside know only that the body broke off.
                        Some(Err(error)) => {
                            return Poll::Ready(Ok(instead(&parts, error.clone())));
                        }
                        Some(Ok(way)) => {
                            let names = way.dropped.names();
                            announce::add(&mut parts.headers, announce::DROPPED, names);
                        }
                        None => {}
                    }
                    if parts.status.is_success() && media::is_events(&parts.headers) {
                        named(&mut parts);
                        let body = MessagesBody::stream(body);
                        return Poll::Ready(Ok(Response::from_parts(parts, body)));
                    }
                    State::Reading {
                        parts: Some(parts),
                        body,
                        text: Pieces::default(),
                    }
                }
                StateProj::Reading {
                    parts,
                    mut body,
                    text,
                } => loop {
                    match ready!(body.as_mut().poll_frame(cx)) {
                        Some(Ok(frame)) => {
                            let Ok(chunk) = frame.into_data() else {
                                continue;
                            };
                            if text.len() + chunk.len() > LONGEST {
                                let parts = parts.take().expect("polled after completion");
                                return Poll::Ready(Ok(instead(&parts, too_large())));
                            }
                            text.push(chunk);
                        }
                        // An answer that broke off cannot be read, and is told so.
                        None | Some(Err(_)) => {
                            let parts = parts.take().expect("polled after completion");
                            let way = this.told.get().and_then(|told| told.as_ref().ok());
                            let paths = way.map(|way| &way.paths);
                            return Poll::Ready(Ok(whole(parts, &text.take(), paths)));
                        }
                    }
                },
            };
            this.state.set(next);
        }
    }
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The request's id under the name that these clients know.
fn named(parts: &mut Parts) {
    if let Some(id) = parts.headers.get(X_REQUEST_ID).cloned() {
        parts.headers.insert("request-id", id);
    }
}

/// An error in place of what was answered, under the same id.
fn instead<R>(answered: &Parts, error: Error) -> Response<MessagesBody<R>> {
    let (mut head, body) = error.response(&Dialect::openai()).into_parts();
    if let Some(id) = answered.headers.get(X_REQUEST_ID) {
        head.headers.insert(X_REQUEST_ID, id.clone());
    }
    whole(head, body.remaining(), None)
}

fn too_large() -> Error {
    Error::new(Kind::BadUpstream, "The upstream's answer is too large.")
        .with_class(Class::Transient)
}

/// An answer, or a refusal in the client's terms.
fn whole<R>(mut parts: Parts, text: &[u8], paths: Option<&Paths>) -> Response<MessagesBody<R>> {
    let mut body = None;
    if parts.extensions.get::<Estimate>().is_some() {
        // Nobody has answered: what it may cost is told as it is everywhere.
        body = Some(text.to_vec());
    } else if parts.status.is_success() {
        match response::message(text) {
            Ok(message) => body = Some(message),
            Err(error) => {
                let own: Response<_> = error.clone().response(&Dialect::openai());
                parts.status = own.status();
                parts.extensions.insert::<Error>(error);
                return refused(parts, own.body().remaining(), None);
            }
        }
    }
    match body {
        Some(body) => {
            named(&mut parts);
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, MessagesBody::own(body))
        }
        None => refused(parts, text, paths),
    }
}

/// A refusal of the gateway's own, at a path that belongs to the Messages API.
pub(crate) fn refuse<R>(error: Error, id: CallId) -> Response<MessagesBody<R>> {
    let (mut head, body) = error.response(&Dialect::openai()).into_parts();
    head.headers.insert(X_REQUEST_ID, id.into());
    refused(head, body.remaining(), None)
}

fn refused<R>(mut parts: Parts, text: &[u8], paths: Option<&Paths>) -> Response<MessagesBody<R>> {
    let id = parts.headers.get(X_REQUEST_ID);
    let id = id.and_then(|id| id.to_str().ok());
    let (status, body) = error::refusal(parts.status, text, id, paths);
    parts.status = status;
    named(&mut parts);
    parts.headers.remove(header::CONTENT_LENGTH);
    let json = HeaderValue::from_static("application/json");
    parts.headers.insert(header::CONTENT_TYPE, json);
    Response::from_parts(parts, MessagesBody::own(body))
}
