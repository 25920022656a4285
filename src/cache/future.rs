use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    ResponseBody,
    flight::{Head, Member, copy},
    store::Kept,
};
use crate::{
    body::BoxError,
    dialect::Dialect,
    error::{Error, Kind},
    ext::Cached,
    meter::Tally,
};

pin_project! {
    /// The response of `Cache`.
    pub struct ResponseFuture<F, B, E> {
        #[pin]
        state: State<F, B, E>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, B, E> {
        Kept { kept: Option<(Arc<Kept>, Instant)> },
        Member { member: Option<Member<F, B, E>>, how: &'static str },
        Apart { #[pin] call: F },
    }
}

impl<F, B, E> ResponseFuture<F, B, E> {
    pub(super) fn kept(kept: Arc<Kept>, now: Instant) -> Self {
        Self {
            state: State::Kept {
                kept: Some((kept, now)),
            },
        }
    }

    pub(super) fn first(member: Member<F, B, E>) -> Self {
        Self {
            state: State::Member {
                member: Some(member),
                how: "miss",
            },
        }
    }

    pub(super) fn joined(member: Member<F, B, E>) -> Self {
        Self {
            state: State::Member {
                member: Some(member),
                how: "shared",
            },
        }
    }

    pub(super) fn apart(call: F) -> Self {
        Self {
            state: State::Apart { call },
        }
    }
}

impl<F, B, E> fmt::Debug for ResponseFuture<F, B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cache::ResponseFuture")
    }
}

impl<F, B, E> Future for ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    E: Clone,
{
    type Output = Result<Response<ResponseBody<F, B, E>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Kept { kept } => {
                let (kept, now) = kept.take().expect("polled after completion");
                Poll::Ready(Ok(hit(&kept, now)))
            }
            StateProj::Member { member, how } => {
                let mut inside = member.take().expect("polled after completion");
                let polled = inside.poll_head(cx);
                if polled.is_pending() {
                    *member = Some(inside);
                    return Poll::Pending;
                }
                let mut parts = match ready!(polled) {
                    Head::Parts(parts) => parts,
                    Head::Failed(error) => return Poll::Ready(Err(error)),
                    Head::Gone => return Poll::Ready(Ok(gone())),
                };
                parts
                    .headers
                    .insert("x-cache", HeaderValue::from_static(how));
                Poll::Ready(Ok(Response::from_parts(
                    parts,
                    ResponseBody::member(inside),
                )))
            }
            StateProj::Apart { call } => call
                .poll(cx)
                .map_ok(|response| response.map(ResponseBody::apart)),
        }
    }
}

/// The code inside panicked while another reader polled it.
fn gone<F, B, E>() -> Response<ResponseBody<F, B, E>> {
    let error = Error::new(
        Kind::Internal,
        "The request that this one shared its answer with failed; send it again.",
    );
    error.response(&Dialect::openai()).map(ResponseBody::own)
}

fn hit<F, B, E>(kept: &Kept, now: Instant) -> Response<ResponseBody<F, B, E>> {
    let age = now.saturating_duration_since(kept.since).as_secs();
    let mut response = Response::new(());
    *response.status_mut() = kept.status;
    *response.headers_mut() = kept.headers.clone();
    *response.extensions_mut() = kept.extensions.clone();
    let headers = response.headers_mut();
    headers.insert("x-cache", HeaderValue::from_static("hit"));
    headers.insert(header::AGE, HeaderValue::from(age));
    if let Some(tally) = kept.extensions.get::<Tally>() {
        response.extensions_mut().insert(copy(tally));
    }
    response.extensions_mut().insert(Cached);
    response.map(|()| ResponseBody::kept(kept))
}
