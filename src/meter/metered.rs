use std::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll},
    thread,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{Outcome, Scanner, Tally};
use crate::error::Error;

/// How a request ended, for whoever must settle it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Ending {
    /// The answer went out whole.
    Complete,
    /// The answer was refused, broke off or never came, or code of ours or inside panicked. The error is
    /// there when it is known.
    Failed(Option<Error>),
    /// Dropped before its end: the client left, or a task was aborted.
    Cancelled,
}

/// What must happen exactly once at the end of a request.
pub trait Settle {
    /// Settles. Called once, often from `Drop`: it must neither block nor panic.
    fn settle(self, ending: Ending, tally: Option<&Tally>);
}

/// Holds a guard and settles it once: with the ending it is given, or as cancelled when dropped, or
/// failed where a panic drops it.
///
/// It travels from the response future into the response body; whichever of the two is dropped
/// with it inside settles it.
pub struct Once<G: Settle> {
    guard: Option<G>,
    tally: Option<Tally>,
}

impl<G: Settle> Once<G> {
    /// Takes charge of a guard.
    pub fn new(guard: G) -> Self {
        Self {
            guard: Some(guard),
            tally: None,
        }
    }

    /// The tally to settle by; its outcome, once there, overrules the ending.
    pub fn attach(&mut self, tally: Option<Tally>) {
        self.tally = tally;
    }

    /// The tally to settle by.
    #[must_use]
    pub fn tally(&self) -> Option<&Tally> {
        self.tally.as_ref()
    }

    /// The guard, until it has been settled.
    pub fn guard_mut(&mut self) -> Option<&mut G> {
        self.guard.as_mut()
    }

    /// The guard, which its taker has settled or will: nothing happens here any more.
    pub(crate) fn take(&mut self) -> Option<G> {
        self.guard.take()
    }

    /// Drops the guard without settling: nothing came of it.
    pub(crate) fn release(&mut self) {
        self.guard = None;
    }

    /// Polls what is inside. A panic there is a failure, also where somebody further out catches it and
    /// drops what is left later.
    pub(crate) fn polling<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        let unwinding = Unwinding(self);
        let polled = poll();
        mem::forget(unwinding);
        polled
    }

    /// Settles, unless that has happened.
    pub fn end(&mut self, ending: Ending) {
        let Some(guard) = self.guard.take() else {
            return;
        };
        // A stream can be whole, or broken with the client told, before its transport ends.
        let ending = match self.tally.as_ref().and_then(Tally::outcome) {
            Some(Outcome::Complete) => Ending::Complete,
            Some(Outcome::Failed(error)) => Ending::Failed(Some(error)),
            None => ending,
        };
        guard.settle(ending, self.tally.as_ref());
    }
}

impl<G: Settle> Drop for Once<G> {
    fn drop(&mut self) {
        if self.guard.is_none() {
            return;
        }
        self.end(if thread::panicking() {
            Ending::Failed(None)
        } else {
            Ending::Cancelled
        });
    }
}

/// Dropped by a panic alone.
struct Unwinding<'a, G: Settle>(&'a mut Once<G>);

impl<G: Settle> Drop for Unwinding<'_, G> {
    fn drop(&mut self) {
        self.0.end(Ending::Failed(None));
    }
}

impl<G: Settle> fmt::Debug for Once<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once")
            .field("settled", &self.guard.is_none())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// A body that settles its guard at its end, whichever end that is.
    ///
    /// The last frame counts as the end when the inner body says at once that nothing follows: a
    /// server that knows the length does not poll again.
    pub struct Metered<B, G: Settle> {
        #[pin]
        body: B,
        once: Once<G>,
        // In a box: nearly always somebody inside reads the answer.
        scanner: Option<Box<Scanner>>,
    }
}

impl<B: Body, G: Settle> Metered<B, G> {
    /// Wraps a body. One that is over already settles here.
    pub fn new(body: B, once: Once<G>) -> Self {
        Self::scanned(body, once, None)
    }

    /// Wraps a body that is read as it passes, when there is a [`Scanner`] for it: by its tally the
    /// guard is settled.
    pub fn scanned(body: B, mut once: Once<G>, scanner: Option<Scanner>) -> Self {
        let mut scanner = scanner.map(Box::new);
        if let Some(scanner) = &scanner {
            once.attach(Some(scanner.tally().clone()));
        }
        if body.is_end_stream() {
            complete(&mut once, &mut scanner);
        }
        Self {
            body,
            once,
            scanner,
        }
    }
}

impl<B, G: Settle> Metered<B, G> {
    /// The guard's keeper, for who has to look at the guard while the body runs.
    pub fn once_mut(self: Pin<&mut Self>) -> &mut Once<G> {
        self.project().once
    }
}

/// The answer has ended by itself: what it says of its own ending comes first.
fn complete<G: Settle>(once: &mut Once<G>, scanner: &mut Option<Box<Scanner>>) {
    if let Some(mut scanner) = scanner.take() {
        scanner.end();
    }
    once.end(Ending::Complete);
}

impl<B, G: Settle> fmt::Debug for Metered<B, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metered")
            .field("once", &self.once)
            .finish_non_exhaustive()
    }
}

impl<B, G> Body for Metered<B, G>
where
    B: Body<Data = Bytes>,
    G: Settle,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        // Looked at where it lies: a frame is large, and moved by each body around this one.
        let polled = this.once.polling(|| this.body.as_mut().poll_frame(cx));
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(scanner), Some(data)) = (this.scanner.as_mut(), frame.data_ref()) {
                    scanner.push(data.clone());
                }
                if this.body.is_end_stream() {
                    complete(this.once, this.scanner);
                }
            }
            Poll::Ready(None) => complete(this.once, this.scanner),
            Poll::Ready(Some(Err(_))) => {
                *this.scanner = None;
                this.once.end(Ending::Failed(None));
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
