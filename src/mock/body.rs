use std::{
    collections::VecDeque,
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;

use super::{log::Open, plan::Step};

/// The connection that a script broke; what a body or a call ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connection reset by the mock")
    }
}

impl Error for Broken {}

/// The body of a mock's answer: plays its steps. Dropping it early counts as a cancelled answer.
#[derive(Default)]
pub struct Body {
    steps: VecDeque<Step>,
    sleep: Option<Pin<Box<Sleep>>>,
    open: Option<Open>,
    reset: Reset,
}

/// Told to the socket when a connection is to end with a reset.
#[derive(Clone, Debug, Default)]
pub(super) struct Reset(pub(super) Option<std::sync::Arc<std::sync::atomic::AtomicBool>>);

impl Reset {
    pub(super) fn demand(&self) {
        if let Some(flag) = &self.0 {
            flag.store(true, std::sync::atomic::Ordering::Release);
        }
    }
}

impl Body {
    pub(super) fn new(steps: Vec<Step>, open: Open, reset: Reset) -> Self {
        let mut body = Self {
            steps: steps.into(),
            sleep: None,
            open: Some(open),
            reset,
        };
        body.close_at_end();
        body
    }

    /// The answer is over with its last step; nobody need poll once more.
    fn close_at_end(&mut self) {
        if self.steps.is_empty() {
            if let Some(mut open) = self.open.take() {
                open.finish();
            }
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("steps", &self.steps.len())
            .finish_non_exhaustive()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            let Some(step) = self.steps.pop_front() else {
                return Poll::Ready(None);
            };
            let frame = match step {
                Step::Data(bytes) => Ok(Frame::data(bytes)),
                Step::Wait(delay) => {
                    self.sleep = Some(Box::pin(tokio::time::sleep(delay)));
                    continue;
                }
                Step::Repeat(unit, delay) => {
                    if !delay.is_zero() {
                        self.sleep = Some(Box::pin(tokio::time::sleep(delay)));
                    }
                    self.steps.push_front(Step::Repeat(unit.clone(), delay));
                    Ok(Frame::data(unit))
                }
                Step::Stall => {
                    self.steps.push_front(Step::Stall);
                    return Poll::Pending;
                }
                Step::Break => {
                    self.steps.clear();
                    self.reset.demand();
                    Err(Broken)
                }
                Step::Panic => panic!("the script asked for it"),
            };
            self.close_at_end();
            return Poll::Ready(Some(frame));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let mut length = 0;
        for step in &self.steps {
            match step {
                Step::Data(bytes) => length += bytes.len() as u64,
                Step::Wait(_) => {}
                _ => return SizeHint::default(),
            }
        }
        // A stream of several frames has no length that a provider would know in advance.
        if self.steps.len() > 1 {
            return SizeHint::default();
        }
        SizeHint::with_exact(length)
    }
}
