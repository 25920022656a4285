//! One answer, driven by whoever reads it.

use std::{
    any::Any,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use http::{Response, response::Parts};
use http_body::Body;

mod ahead;
mod head;
mod open;
#[cfg(test)]
mod tests;

pub(super) use self::open::Open;
use self::{ahead::Ahead, head::Head, open::Kept};
use crate::{
    body::{BoxBody, BoxError},
    ext::{Joint, Payer, Sending},
    wakers::Wakers,
};

/// The inner service's future; its error goes to whoever polls.
pub(super) type Call =
    Pin<Box<dyn Future<Output = Result<Response<BoxBody>, Box<dyn Any + Send>>> + Send>>;

/// One request under way, or its answer.
pub(super) struct Run {
    /// Of the request's body.
    pub(super) digest: [u8; 32],
    /// The most of the answer that is kept, in bytes.
    most: usize,
    open: Arc<Open>,
    state: Mutex<State>,
    wakers: Arc<Wakers>,
    waker: Waker,
}

struct State {
    step: Step,
    /// How many read it.
    seats: usize,
    joint: Joint,
}

enum Step {
    Calling(Call),
    Answering(Answering),
    Done(Done),
    /// Nobody can have it any more: all left, it was never kept, or its code panicked.
    Gone,
}

/// An answer that goes on.
struct Answering {
    head: Box<Head>,
    body: BoxBody,
    kept: Kept,
    /// More came than is kept.
    overflown: bool,
}

/// The place of a reader that is ahead of what is kept: nobody else can go on from there.
const AHEAD: usize = usize::MAX;

/// What an answer has come to.
#[derive(Clone)]
pub(super) enum Done {
    Whole(Box<Head>, Bytes),
    /// Whole, but larger than is kept.
    TooLarge,
}

/// What comes of asking for the head.
pub(super) enum Began {
    /// The very response of the inner service, its body aside.
    First(Box<Parts>),
    Again(Box<Parts>),
    TooLarge,
    /// The inner service failed, and this is its error.
    Failed(Box<dyn Any + Send>),
    Gone,
}

/// What comes of asking for bytes.
pub(super) enum Read {
    Bytes(Bytes),
    End,
    Broken(BoxError),
}

/// What became of the run by the last step.
pub(super) enum Now {
    Open,
    /// It has just ended; so many bytes are to be kept.
    Kept(usize),
    /// It has just ended and is to be forgotten.
    Over,
}

impl Run {
    pub(super) fn new(
        digest: [u8; 32],
        most: usize,
        open: Arc<Open>,
        call: Call,
        sending: Option<Sending>,
    ) -> Self {
        let wakers = Arc::new(Wakers::default());
        Self {
            digest,
            most,
            open,
            state: Mutex::new(State {
                step: Step::Calling(call),
                seats: 0,
                joint: Joint::new(sending),
            }),
            waker: Waker::from(Arc::clone(&wakers)),
            wakers,
        }
    }

    /// Where what is kept of it under way is counted.
    pub(super) const fn open(&self) -> &Arc<Open> {
        &self.open
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic within the inner service has left `Gone`.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat; `None` when nobody can have the answer any more.
    pub(super) fn enter(&self) -> Option<usize> {
        let mut state = self.state();
        if matches!(state.step, Step::Gone) {
            return None;
        }
        state.seats += 1;
        Some(self.wakers.enter())
    }

    /// Gives a seat back. When it was the last one of an answer that is not whole, that is cancelled:
    /// then true.
    pub(super) fn leave(&self, place: usize, payer: &Payer) -> bool {
        self.wakers.leave(place);
        let mut state = self.state();
        state.seats -= 1;
        if matches!(state.step, Step::Calling(_)) {
            state.joint.leaves(payer);
        }
        let gone = matches!(state.step, Step::Gone);
        let last = state.seats == 0 && !matches!(state.step, Step::Done(_));
        let step = last.then(|| std::mem::replace(&mut state.step, Step::Gone));
        // What it is dropped with may take its time, and settles.
        drop(state);
        drop(step);
        if gone {
            // It may be the panic of the one who leaves that has ended it.
            self.wakers.wake_all();
        }
        last
    }

    /// Something has come that the one at this place has seen, and the others have not.
    fn wake_others(&self, place: usize) {
        self.wakers.go_on(place);
        self.wakers.wake_all();
    }

    /// Whether nothing follows the first so many bytes.
    pub(super) fn is_over(&self, at: usize) -> bool {
        match &self.state().step {
            Step::Done(Done::Whole(_, bytes)) => at >= bytes.len(),
            Step::Done(Done::TooLarge) => at == AHEAD,
            _ => false,
        }
    }

    /// Asks for the head.
    pub(super) fn poll_head(&self, place: usize, cx: &mut Context<'_>) -> Poll<(Began, Now)> {
        // Dropped after the lock.
        let _before;
        let mut state = self.state();
        // While the inner service is polled there is nothing here, so that a panic leaves nothing.
        match std::mem::replace(&mut state.step, Step::Gone) {
            Step::Calling(mut call) => {
                _before = self.wakers.wait(place, cx.waker());
                let polled = call.as_mut().poll(&mut Context::from_waker(&self.waker));
                match polled {
                    Poll::Pending => {
                        state.step = Step::Calling(call);
                        Poll::Pending
                    }
                    Poll::Ready(Err(error)) => {
                        drop(state);
                        self.wake_others(place);
                        Poll::Ready((Began::Failed(error), Now::Over))
                    }
                    Poll::Ready(Ok(response)) => {
                        let (parts, body) = response.into_parts();
                        let head = Box::new(Head::of(&parts));
                        let (step, now, over) = self.begin(head, body);
                        state.step = step;
                        drop(state);
                        self.wake_others(place);
                        drop(over);
                        Poll::Ready((Began::First(Box::new(parts)), now))
                    }
                }
            }
            step => {
                let began = match &step {
                    Step::Answering(Answering {
                        overflown: true, ..
                    })
                    | Step::Done(Done::TooLarge) => Began::TooLarge,
                    Step::Answering(Answering { head, .. }) | Step::Done(Done::Whole(head, _)) => {
                        Began::Again(Box::new(head.again()))
                    }
                    _ => Began::Gone,
                };
                state.step = step;
                Poll::Ready((began, Now::Open))
            }
        }
    }

    /// The answer has a head. One that knows its length is whole, and charged: it is read at once, so
    /// that it is kept should nobody look at it. Any other is read as its readers ask. A body that is over
    /// comes back, to be dropped where nothing is locked.
    fn begin(&self, head: Box<Head>, mut body: BoxBody) -> (Step, Now, Option<BoxBody>) {
        let mut kept = Kept {
            bytes: BytesMut::new(),
            open: Arc::clone(&self.open),
        };
        let mut cx = Context::from_waker(&self.waker);
        while body.size_hint().exact().is_some() {
            let polled = match body.is_end_stream() {
                true => Poll::Ready(None),
                false => Pin::new(&mut body).poll_frame(&mut cx),
            };
            let ahead = match polled {
                Poll::Pending => break,
                Poll::Ready(None) => {
                    let (step, now) = Self::done(head, kept, false);
                    return (step, now, Some(body));
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if self.fits(&kept, &data) => {
                        kept.bytes.extend_from_slice(&data);
                        continue;
                    }
                    Ok(data) => Ok(data),
                    Err(_) => continue,
                },
                Poll::Ready(Some(Err(error))) => Err(error),
            };
            let ahead = Some(ahead);
            body = BoxBody::new(Ahead { ahead, body });
            break;
        }
        let answering = Answering {
            head,
            body,
            kept,
            overflown: false,
        };
        (Step::Answering(answering), Now::Open, None)
    }

    /// Whether there is room to keep this too; then it is counted.
    fn fits(&self, kept: &Kept, data: &Bytes) -> bool {
        kept.bytes.len() + data.len() <= self.most && self.open.take(data.len())
    }

    /// The answer is over. What is not good is for those who still read it; the key is free.
    fn done(head: Box<Head>, kept: Kept, overflown: bool) -> (Step, Now) {
        let good = head.is_good();
        let bytes = kept.into_bytes();
        let size = if overflown { 0 } else { bytes.len() };
        let done = if overflown {
            Done::TooLarge
        } else {
            Done::Whole(head, bytes)
        };
        let now = if good { Now::Kept(size) } else { Now::Over };
        (Step::Done(done), now)
    }

    /// Asks for what follows the first so many bytes, and moves on.
    pub(super) fn poll_read(
        &self,
        place: usize,
        at: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<(Read, Now)> {
        // Dropped after the lock.
        let _before;
        let mut state = self.state();
        // As for the head.
        match std::mem::replace(&mut state.step, Step::Gone) {
            Step::Done(done) => {
                let read = done.read(at);
                state.step = Step::Done(done);
                Poll::Ready((read, Now::Open))
            }
            Step::Answering(mut answering) => {
                if let Some(read) = answering.read(at) {
                    state.step = Step::Answering(answering);
                    return Poll::Ready((read, Now::Open));
                }
                _before = self.wakers.wait(place, cx.waker());
                let Poll::Ready(read) = self.go_on(&mut answering, at) else {
                    state.step = Step::Answering(answering);
                    return Poll::Pending;
                };
                let (now, body) = match &read {
                    Read::Broken(_) => (Now::Over, Some(answering.body)),
                    // A server that knows the length does not ask again.
                    Read::Bytes(_) if !answering.body.is_end_stream() => {
                        state.step = Step::Answering(answering);
                        (Now::Open, None)
                    }
                    Read::Bytes(_) | Read::End => {
                        let Answering {
                            head,
                            body,
                            kept,
                            overflown,
                        } = answering;
                        let (step, now) = Self::done(head, kept, overflown);
                        state.step = step;
                        (now, Some(body))
                    }
                };
                drop(state);
                self.wake_others(place);
                drop(body);
                Poll::Ready((read, now))
            }
            // Whoever was first to be told has the error itself.
            Step::Calling(call) => {
                state.step = Step::Calling(call);
                Poll::Ready((
                    Read::Broken("nobody has asked for the head".into()),
                    Now::Open,
                ))
            }
            Step::Gone => Poll::Ready((Read::Broken("the answer broke off".into()), Now::Open)),
        }
    }

    /// Reads on where everything that is kept has been read; all who wait are woken by it.
    fn go_on(&self, answering: &mut Answering, at: &mut usize) -> Poll<Read> {
        let mut cx = Context::from_waker(&self.waker);
        let data = loop {
            match ready!(Pin::new(&mut answering.body).poll_frame(&mut cx)) {
                None => return Poll::Ready(Read::End),
                Some(Err(error)) => return Poll::Ready(Read::Broken(error)),
                Some(Ok(frame)) => {
                    // Trailers are not given twice, so not once either.
                    if let Ok(data) = frame.into_data() {
                        break data;
                    }
                }
            }
        };
        if !answering.overflown && self.fits(&answering.kept, &data) {
            answering.kept.bytes.extend_from_slice(&data);
            *at = answering.kept.bytes.len();
        } else {
            answering.overflown = true;
            *at = AHEAD;
        }
        Poll::Ready(Read::Bytes(data))
    }
}

impl Answering {
    /// What is kept behind the first so many bytes; an error where more came than is kept, and this reader has
    /// not read it. `None`: the upstream has to be asked.
    fn read(&self, at: &mut usize) -> Option<Read> {
        let kept = &self.kept.bytes;
        if *at < kept.len() {
            let rest = Bytes::copy_from_slice(&kept[*at..]);
            *at = kept.len();
            return Some(Read::Bytes(rest));
        }
        (self.overflown && *at != AHEAD).then(too_slow)
    }
}

impl Done {
    /// What follows the first so many bytes.
    fn read(&self, at: &mut usize) -> Read {
        match self {
            Self::Whole(_, bytes) if *at < bytes.len() => {
                let rest = bytes.slice(*at..);
                *at = bytes.len();
                Read::Bytes(rest)
            }
            Self::TooLarge if *at != AHEAD => too_slow(),
            _ => Read::End,
        }
    }
}

fn too_slow() -> Read {
    Read::Broken("the answer is too large to be shared with a second reader".into())
}
