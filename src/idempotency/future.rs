use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;

use super::{ResponseBody, run::Began, store::Seat};
use crate::{
    dialect::Dialect,
    error::{Error, Kind},
};

pin_project! {
    /// The response of [`Idempotency`](super::Idempotency).
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Plain { #[pin] call: F },
        Shared { seat: Option<Seat> },
        Refused { error: Option<Error> },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn plain(call: F) -> Self {
        Self {
            state: State::Plain { call },
        }
    }

    pub(super) fn shared(seat: Seat) -> Self {
        Self {
            state: State::Shared { seat: Some(seat) },
        }
    }

    pub(super) fn refused(error: Error) -> Self {
        Self {
            state: State::Refused { error: Some(error) },
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("idempotency::ResponseFuture")
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: 'static,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let seat = match self.project().state.project() {
            StateProj::Plain { call } => {
                return call
                    .poll(cx)
                    .map_ok(|response| response.map(ResponseBody::inner));
            }
            StateProj::Refused { error } => {
                let error = error.take().expect("polled after completion");
                return Poll::Ready(Ok(refuse(error)));
            }
            StateProj::Shared { seat } => seat,
        };
        let began = {
            let seat = seat.as_mut().expect("polled after completion");
            seat.payer.asks();
            let (began, now) = ready!(seat.run.poll_head(seat.place, cx));
            seat.note(&now);
            began
        };
        let taken = seat.take().expect("polled after completion");
        Poll::Ready(Ok(match began {
            Began::First(parts) | Began::Again(parts) => {
                Response::from_parts(*parts, ResponseBody::shared(taken))
            }
            Began::TooLarge => refuse(
                Error::new(
                    Kind::Conflict,
                    "The answer under this idempotency key was too large to be kept.",
                )
                .with_code("idempotency_answer_too_large"),
            ),
            Began::Failed(error) => match error.downcast() {
                Ok(error) => return Poll::Ready(Err(*error)),
                Err(_) => refuse(gone()),
            },
            Began::Gone => refuse(gone()),
        }))
    }
}

/// The one that was joined failed without an answer, and its error is not ours to give.
fn gone() -> Error {
    Error::new(
        Kind::Internal,
        "The request under this idempotency key failed; send it again.",
    )
}

fn refuse<R>(error: Error) -> Response<ResponseBody<R>> {
    error.response(&Dialect::openai()).map(ResponseBody::own)
}
