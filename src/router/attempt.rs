use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{fault, hedge::Heard, place::Place};
use crate::{
    body::BoxError,
    error::{Class, Error, Kind, TimeOut},
    ext::{Sending, Target},
    time::Timer,
};

pin_project! {
    /// One upstream that is being asked.
    pub(super) struct Attempt<S, Q, F, P> {
        #[pin]
        pub(super) call: Call<S, Q, F>,
        // Made when there is a wait.
        #[pin]
        pub(super) timer: Option<P>,
        pub(super) until: Instant,
        pub(super) end: Option<End>,
    }
}

pin_project! {
    #[project = CallProj]
    pub(super) enum Call<S, Q, F> {
        Called { #[pin] future: F },
        // In a box: nearly all are ready at once.
        Unready { waiting: Option<Box<(S, Request<Q>)>> },
        // It will not be ready.
        Failed { error: Option<Error> },
    }
}

/// What is left of an attempt that has ended.
pub(super) struct End {
    pub(super) place: Place,
    pub(super) target: Target,
    pub(super) number: u32,
    pub(super) since: Instant,
    pub(super) heard: Option<Heard>,
    /// Its own, where two may be under way.
    pub(super) part: Option<Sending>,
}

impl<S, Q, B, F, P> Attempt<S, Q, F, P>
where
    S: Service<Request<Q>, Response = Response<B>, Future = F>,
    S::Error: Into<BoxError>,
    F: Future<Output = Result<Response<B>, S::Error>>,
    P: Future<Output = ()>,
{
    pub(super) fn poll<T: Timer<Sleep = P>>(
        self: Pin<&mut Self>,
        timer: &T,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<B>, Error>> {
        let mut this = self.project();
        // Looked at where it is: most answers go on as they are.
        let mut polled = this.call.as_mut().poll(cx);
        match &mut polled {
            Poll::Ready(Ok(response)) => {
                if let Some(error) = fault::of_response(response) {
                    return Poll::Ready(Err(error));
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                if this.timer.is_none() {
                    this.timer.set(Some(timer.sleep_until(*this.until)));
                }
                let timer = this.timer.as_pin_mut().expect("just made");
                ready!(timer.poll(cx));
                return Poll::Ready(Err(Error::timed_out(TimeOut::Attempt)));
            }
        }
        polled
    }
}

impl<S, Q, F, P> Attempt<S, Q, F, P> {
    /// Since when it is waited for, and where, if it has not ended.
    pub(super) fn waits(self: Pin<&mut Self>) -> Option<(Instant, &Place)> {
        let end = self.project().end.as_ref()?;
        Some((end.since, &end.place))
    }

    pub(super) fn end(self: Pin<&mut Self>) -> End {
        let end = self.project().end.take();
        end.expect("an attempt ends once")
    }
}

impl<S, Q, F> Call<S, Q, F>
where
    S: Service<Request<Q>, Future = F>,
    S::Error: Into<BoxError>,
    F: Future<Output = Result<S::Response, S::Error>>,
{
    /// Asks, as soon as the service is ready.
    #[inline]
    pub(super) fn begin(
        mut service: S,
        request: Request<Q>,
        sending: Option<&Sending>,
        cx: &mut Context<'_>,
    ) -> Self {
        match service.poll_ready(cx) {
            Poll::Ready(Ok(())) => Self::Called {
                future: Sending::sends(sending, || service.call(request)),
            },
            Poll::Ready(Err(error)) => Self::Failed {
                error: Some(unreachable(error.into())),
            },
            Poll::Pending => Self::Unready {
                waiting: Some(Box::new((service, request))),
            },
        }
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<S::Response, Error>> {
        loop {
            let next = match self.as_mut().project() {
                CallProj::Called { future } => {
                    return future.poll(cx).map_err(|error| unreachable(error.into()));
                }
                CallProj::Failed { error } => {
                    return Poll::Ready(Err(error.take().expect("an attempt ends once")));
                }
                CallProj::Unready { waiting } => {
                    let (service, _) = &mut **waiting.as_mut().expect("called once");
                    ready!(service.poll_ready(cx)).map_err(|error| unreachable(error.into()))?;
                    let (mut service, request) = *waiting.take().expect("called once");
                    let sending = request.extensions().get::<Sending>().cloned();
                    Self::Called {
                        future: Sending::sends(sending.as_ref(), || service.call(request)),
                    }
                }
            };
            self.set(next);
        }
    }
}

fn unreachable(error: BoxError) -> Error {
    Error::new(Kind::BadUpstream, "The upstream could not be reached.")
        .with_code("upstream_unreachable")
        .with_class(Class::Transient)
        .with_cause(error)
}
