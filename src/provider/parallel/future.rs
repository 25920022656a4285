use std::{
    fmt,
    future::Future,
    mem,
    num::NonZeroU32,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, response::Parts};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use tower::util::{Oneshot, ServiceExt};
use tower_service::Service;

use super::{
    body::{ParallelBody, Which},
    stream, whole,
};
use crate::{
    body::BoxError, dialect::Dialect, error::Error, ext::Sending, media, parse::ChatBody,
    provider::future::cut,
};

pin_project! {
    /// The response of [`Parallel`]. Dropping it drops every request under way.
    pub struct ParallelFuture<S, B>
    where
        S: Service<Request<ChatBody>>,
    {
        #[pin]
        state: State<S, B, S::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, F>
    where
        S: Service<Request<ChatBody>>,
    {
        One { #[pin] call: F },
        Refused { error: Option<Error> },
        Many { branches: Vec<Branch<S, B>>, merge: Merge },
    }
}

/// What is to be known of several answers to make one of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Merge {
    /// About so many tokens had the prompt of each.
    pub(super) prompt: u64,
    /// So many choices has each.
    pub(super) per_call: NonZeroU32,
}

type Call<S> = Pin<Box<Oneshot<Sends<S>, Request<ChatBody>>>>;

/// Says that a request goes out when it does.
struct Sends<S>(S);

impl<S: Service<Request<ChatBody>>> Service<Request<ChatBody>> for Sends<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ChatBody>) -> S::Future {
        let sending = request.extensions().get::<Sending>().cloned();
        Sending::sends(sending.as_ref(), || self.0.call(request))
    }
}

/// One of the requests, boxed: they move in a list, and asking is what costs.
struct Branch<S: Service<Request<ChatBody>>, B> {
    call: Option<Call<S>>,
    answer: Option<(Parts, Pin<Box<B>>)>,
    text: BytesMut,
    ended: bool,
}

impl<S: Service<Request<ChatBody>>, B> ParallelFuture<S, B> {
    pub(super) const fn one(call: S::Future) -> Self {
        Self {
            state: State::One { call },
        }
    }

    pub(super) const fn refused(error: Error) -> Self {
        Self {
            state: State::Refused { error: Some(error) },
        }
    }

    /// The same of each service, shared out; the first one has been made ready, the others are in
    /// time.
    pub(super) fn many(
        services: Vec<S>,
        per_call: NonZeroU32,
        request: &Request<ChatBody>,
    ) -> Self {
        let mut left = request.body().chat().n();
        let seed = request.body().chat().member("seed");
        let seed = seed.and_then(|json| json.parse::<i64>().ok());
        let branch = |(nth, service): (i64, S)| {
            let share = left.min(per_call.get());
            left -= share;
            let mut request = request.clone();
            if let Some(sending) = request.extensions_mut().get_mut::<Sending>() {
                *sending = sending.part();
            }
            let chat = request.body_mut().chat_mut();
            if share > 1 {
                chat.set("n", share.to_string());
            } else {
                chat.remove("n");
            }
            // Of one seed all would be the same; of these each request gets the same ones again.
            if let Some(seed) = seed.filter(|_| nth > 0) {
                chat.set("seed", nth_seed(seed, nth).to_string());
            }
            Branch {
                call: Some(Box::pin(Sends(service).oneshot(request))),
                answer: None,
                text: BytesMut::new(),
                ended: false,
            }
        };
        Self {
            state: State::Many {
                branches: (0..).zip(services).map(branch).collect(),
                merge: Merge {
                    prompt: request.body().chat().input_estimate(),
                    per_call,
                },
            },
        }
    }
}

impl<S: Service<Request<ChatBody>>, B> fmt::Debug for ParallelFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ParallelFuture")
    }
}

impl<S, B> Future for ParallelFuture<S, B>
where
    S: Service<Request<ChatBody>, Response = Response<B>> + Clone,
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<ParallelBody<B>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::One { call } => {
                let pass = |body| ParallelBody::of(Which::One { body });
                call.poll(cx).map_ok(|response| response.map(pass))
            }
            StateProj::Refused { error } => {
                let error = error.take().expect("polled after completion");
                Poll::Ready(Ok(refuse(error)))
            }
            StateProj::Many { branches, merge } => poll_many(branches, *merge, cx),
        }
    }
}

fn poll_many<S, B>(
    branches: &mut Vec<Branch<S, B>>,
    merge: Merge,
    cx: &mut Context<'_>,
) -> Poll<Result<Response<ParallelBody<B>>, S::Error>>
where
    S: Service<Request<ChatBody>, Response = Response<B>> + Clone,
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    for at in 0..branches.len() {
        let Some(call) = &mut branches[at].call else {
            continue;
        };
        let Poll::Ready(response) = call.as_mut().poll(cx) else {
            continue;
        };
        let (parts, body) = response?.into_parts();
        branches[at].call = None;
        if !parts.status.is_success() {
            // The others end here.
            branches.clear();
            let body = Which::Boxed {
                body: Box::pin(body),
            };
            return Poll::Ready(Ok(Response::from_parts(parts, ParallelBody::of(body))));
        }
        branches[at].answer = Some((parts, Box::pin(body)));
    }
    if branches.iter().any(|branch| branch.call.is_some()) {
        return Poll::Pending;
    }
    let heads = branches.iter().filter_map(|branch| branch.answer.as_ref());
    if heads
        .clone()
        .all(|(parts, _)| media::is_events(&parts.headers))
    {
        let answers = branches.drain(..).filter_map(|branch| branch.answer);
        return Poll::Ready(Ok(stream::merge(answers.collect(), merge)));
    }
    let mut waiting = false;
    for branch in branches.iter_mut() {
        let Some((_, body)) = branch.answer.as_mut().filter(|_| !branch.ended) else {
            continue;
        };
        loop {
            match body.as_mut().poll_frame(cx) {
                Poll::Pending => {
                    waiting = true;
                    break;
                }
                Poll::Ready(None) => {
                    branch.ended = true;
                    break;
                }
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(chunk) = frame.into_data() {
                        branch.text.extend_from_slice(&chunk);
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    branches.clear();
                    return Poll::Ready(Ok(refuse(cut().with_cause(error))));
                }
            }
        }
    }
    if waiting {
        return Poll::Pending;
    }
    let answers = mem::take(branches).into_iter();
    let answers = answers.filter_map(|branch| Some((branch.answer?.0, branch.text.freeze())));
    Poll::Ready(Ok(whole::merge(answers.collect(), merge)))
}

pub(super) fn refuse<B>(error: Error) -> Response<ParallelBody<B>> {
    let own = |body| ParallelBody::of(Which::Own { body });
    error.response(&Dialect::openai()).map(own)
}

/// The seed of a later call. Where the first one has no more than 31 bits, neither has this, as some vendors take
/// no more.
fn nth_seed(seed: i64, nth: i64) -> i64 {
    const MOST: i64 = i32::MAX as i64;
    match seed {
        0..=MOST => seed.wrapping_add(nth) & MOST,
        _ => seed.wrapping_add(nth),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_keep_to_their_size() {
        let seeds = |seed| [0, 1, 2].map(|nth| nth_seed(seed, nth));
        assert_eq!(seeds(7), [7, 8, 9]);
        assert_eq!(seeds(i32::MAX.into()), [i32::MAX.into(), 0, 1]);
        assert_eq!(seeds(-1), [-1, 0, 1]);
        assert_eq!(seeds(i64::MAX), [i64::MAX, i64::MIN, i64::MIN + 1]);
    }
}
