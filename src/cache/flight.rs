//! One answer under way, and all who read it.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Response, response::Parts};
use http_body::Body;

use super::{
    service::Shared,
    store::{Kept, Key},
};
use crate::{
    body::BoxError,
    ext::{Joint, Payer, Sending, Served},
    media,
    meter::{Outcome, Tally},
    wakers::Wakers,
};

/// A call and its answer, read by any number of members. Whoever polls drives it; when the upstream
/// has something, all are woken. The last one to leave drops it, and with it the upstream.
pub(super) struct Flight<F, B, E> {
    state: Mutex<State<F, B, E>>,
    wakers: Arc<Wakers>,
    key: Key,
    shared: Arc<Shared>,
    max_bytes: usize,
}

struct State<F, B, E> {
    stage: Stage<F, B, E>,
    frames: VecDeque<Bytes>,
    /// How many frames came before the first that is still there.
    gone: usize,
    bytes: usize,
    /// Whether all frames are there and the answer may be kept.
    whole: bool,
    /// How many frames each has read, by its place among the wakers.
    members: Vec<Option<usize>>,
    /// Of the request that is asked with, which is the first one's.
    joint: Joint,
}

enum Stage<F, B, E> {
    /// The first to come is about to ask.
    Due,
    Calling(Pin<Box<F>>),
    Failed(E),
    Reading(Box<Parts>, Pin<Box<B>>),
    Ended(Box<Parts>, Option<Cut>),
    /// What is inside is being polled; it stays so when that panics, or the call did.
    Gone,
}

/// What comes of waiting for a head.
pub(super) enum Head<E> {
    Parts(Parts),
    Failed(E),
    /// The code inside panicked, while another reader polled it.
    Gone,
}

/// Why the upstream's body broke, for each who reads it.
#[derive(Clone, Debug)]
struct Cut(Arc<str>);

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cut {}

/// One reader of a flight. Dropping it leaves.
pub(super) struct Member<F, B, E> {
    flight: Arc<Flight<F, B, E>>,
    number: usize,
    /// Of the first to come the tally is the upstream's own.
    payer: Payer,
    /// How many frames it has read.
    read: usize,
}

impl<F, B, E> Flight<F, B, E> {
    /// One whose call [`begins`](Member::begin) later.
    pub(super) fn new(
        sending: Option<Sending>,
        key: Key,
        shared: Arc<Shared>,
        max_bytes: usize,
    ) -> Self {
        Self {
            state: Mutex::new(State {
                stage: Stage::Due,
                frames: VecDeque::new(),
                gone: 0,
                bytes: 0,
                whole: true,
                members: Vec::new(),
                joint: Joint::new(sending),
            }),
            wakers: Arc::default(),
            key,
            shared,
            max_bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<F, B, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn wakers(&self) -> &Wakers {
        &self.wakers
    }

    /// Whether somebody is at it just now.
    #[cfg(test)]
    pub(super) fn is_held(&self) -> bool {
        self.state.try_lock().is_err() || self.wakers.is_held()
    }

    /// Whether somebody sits there.
    #[cfg(test)]
    pub(super) fn is_taken(&self, seat: usize) -> bool {
        self.lock().members[seat].is_some()
    }

    /// The first to come, whose request is sent.
    pub(super) fn first(self: &Arc<Self>) -> Member<F, B, E> {
        let first = self.seat(Payer::first);
        first.expect("nobody has read it yet")
    }

    /// Joins with a request that is not sent; `None` once the answer is over, or too long for a new reader to
    /// begin with.
    pub(super) fn join(self: &Arc<Self>, sending: Option<&Sending>) -> Option<Member<F, B, E>> {
        self.seat(|| Payer::joins(sending))
    }

    fn seat(self: &Arc<Self>, payer: impl FnOnce() -> Payer) -> Option<Member<F, B, E>> {
        let mut state = self.lock();
        let over = matches!(
            state.stage,
            Stage::Failed(_) | Stage::Ended(..) | Stage::Gone
        );
        if over || state.gone > 0 {
            return None;
        }
        let number = self.wakers.enter();
        if state.members.len() <= number {
            state.members.resize(number + 1, None);
        }
        state.members[number] = Some(0);
        Some(Member {
            flight: Arc::clone(self),
            number,
            payer: payer(),
            read: 0,
        })
    }
}

impl<F, B, E> Member<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    E: Clone,
{
    /// Asks: others may have joined and wait for it.
    pub(super) fn begin(&self, call: F) {
        self.flight.lock().stage = Stage::Calling(Box::pin(call));
        self.flight.wakers.wake_all();
    }

    /// Waits for the head. Each but the first to come gets a tally of its own.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Head<E>> {
        let mut moved = false;
        self.payer.asks();
        // Dropped after the lock: whose turn it was to be woken, and a call that is over.
        let (mut before, mut taken) = (None, Stage::Gone);
        let mut state = self.flight.lock();
        std::mem::swap(&mut state.stage, &mut taken);
        let polled = match &mut taken {
            Stage::Calling(call) => {
                let polled = self.drive(cx, &mut before, |cx| call.as_mut().poll(cx));
                polled.map(Some)
            }
            Stage::Due => {
                self.wait(cx, &mut before);
                Poll::Pending
            }
            _ => Poll::Ready(None),
        };
        let polled = match polled {
            Poll::Ready(Some(answer)) => {
                moved = true;
                state.answered(answer);
                Poll::Ready(())
            }
            polled => {
                std::mem::swap(&mut state.stage, &mut taken);
                polled.map(drop)
            }
        };
        let polled = polled.map(|()| self.head(&state.stage));
        drop(state);
        self.wake_others(moved);
        polled
    }

    /// The head of a call that is over.
    fn head(&self, stage: &Stage<F, B, E>) -> Head<E> {
        let parts = match stage {
            Stage::Reading(parts, _) | Stage::Ended(parts, _) => parts,
            Stage::Failed(error) => return Head::Failed(error.clone()),
            Stage::Due | Stage::Calling(_) | Stage::Gone => return Head::Gone,
        };
        let mut mine = Response::new(()).into_parts().0;
        mine.status = parts.status;
        mine.version = parts.version;
        mine.headers = parts.headers.clone();
        mine.extensions = parts.extensions.clone();
        let tally = parts.extensions.get::<Tally>();
        if let Some(tally) = tally.filter(|_| !self.payer.is_first()) {
            // What the upstream will note, it notes for the first: of this one nobody has read anything. What it
            // has noted at a stream's head is not of all of it, and would be taken for that further out.
            let whole = !media::is_events(&parts.headers)
                || matches!(tally.outcome(), Some(Outcome::Complete));
            let counted = whole && tally.usage().is_some();
            let own = if counted {
                copy(tally)
            } else {
                Tally::unread()
            };
            mine.extensions.insert(own);
        }
        Head::Parts(mine)
    }

    /// The next frame.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BoxError>>> {
        let flight = Arc::clone(&self.flight);
        let mut moved = false;
        // Dropped after the lock: whose turn it was to be woken, and a body that is over.
        let (mut before, mut ended_body) = (None, None);
        let mut guard = flight.lock();
        let state = &mut *guard;
        let polled = loop {
            let Some(at) = self.read.checked_sub(state.gone) else {
                let slow = "the reader fell too far behind others of the same answer";
                break Poll::Ready(Some(Err(slow.into())));
            };
            if let Some(frame) = state.frames.get(at) {
                let frame = frame.clone();
                self.read += 1;
                state.members[self.number] = Some(self.read);
                state.trim(flight.max_bytes);
                break Poll::Ready(Some(Ok(frame)));
            }
            let (parts, mut body) = match std::mem::replace(&mut state.stage, Stage::Gone) {
                Stage::Reading(parts, body) => (parts, body),
                stage => {
                    let end = match &stage {
                        Stage::Ended(_, Some(cut)) => Some(Err(cut.clone().into())),
                        Stage::Gone => Some(Err("the answer broke off".into())),
                        _ => None,
                    };
                    state.stage = stage;
                    break Poll::Ready(end);
                }
            };
            let polled = self.drive(cx, &mut before, |cx| body.as_mut().poll_frame(cx));
            let over = body.is_end_stream();
            state.stage = Stage::Reading(parts, body);
            let ended = match polled {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(None) => Some(None),
                Poll::Ready(Some(Err(error))) => {
                    state.whole = false;
                    let error: BoxError = error.into();
                    Some(Some(Cut(error.to_string().into())))
                }
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        state.bytes += data.len();
                        state.frames.push_back(data);
                        moved = true;
                    }
                    over.then_some(None)
                }
            };
            if let Some(cut) = ended {
                ended_body = state.end(cut);
                if let Some(kept) = state.kept(flight.shared.now()) {
                    flight.shared.keep(&flight.key, kept);
                }
                moved = true;
            }
        };
        drop(guard);
        self.wake_others(moved);
        drop(ended_body);
        polled
    }

    /// Is woken from now on; `before` is whoever was until now.
    fn wait(&self, cx: &Context<'_>, before: &mut Option<Waker>) {
        if let replaced @ Some(_) = self.flight.wakers.wait(self.number, cx.waker()) {
            *before = replaced;
        }
    }

    /// Polls the upstream so that all who wait are woken by it.
    fn drive<V>(
        &self,
        cx: &Context<'_>,
        before: &mut Option<Waker>,
        poll: impl FnOnce(&mut Context<'_>) -> V,
    ) -> V {
        self.wait(cx, before);
        let waker = Waker::from(Arc::clone(&self.flight.wakers));
        poll(&mut Context::from_waker(&waker))
    }

    /// Something has come that this one has seen, and the others have not: it waits no more.
    fn wake_others(&self, moved: bool) {
        if moved {
            self.flight.wakers.go_on(self.number);
            self.flight.wakers.wake_all();
        }
    }

    pub(super) fn is_end(&self) -> bool {
        let state = self.flight.lock();
        let all = self.read >= state.gone + state.frames.len();
        all && matches!(state.stage, Stage::Ended(_, None))
    }
}

#[cfg(test)]
impl<F, B, E> Member<F, B, E> {
    pub(super) fn number(&self) -> usize {
        self.number
    }
}

impl<F, B, E> State<F, B, E> {
    /// The call is over.
    fn answered(&mut self, answer: Result<Response<B>, E>) {
        self.stage = match answer {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                self.whole &= parts.status.is_success();
                Stage::Reading(Box::new(parts), Box::pin(body))
            }
            Err(error) => Stage::Failed(error),
        };
    }

    /// The answer is over. Its body is for who drops it where nothing is locked.
    #[must_use]
    fn end(&mut self, cut: Option<Cut>) -> Option<Pin<Box<B>>> {
        match std::mem::replace(&mut self.stage, Stage::Gone) {
            Stage::Reading(parts, body) => {
                self.stage = Stage::Ended(parts, cut);
                Some(body)
            }
            stage => {
                self.stage = stage;
                None
            }
        }
    }

    /// Lets go of what is too much to keep, once all have read it; of more still, read or not.
    fn trim(&mut self, max_bytes: usize) {
        if self.bytes <= max_bytes {
            return;
        }
        self.whole = false;
        let slowest = self.members.iter().flatten().min().copied().unwrap_or(0);
        while let Some(first) = self.frames.front() {
            let length = first.len();
            if self.gone >= slowest && self.bytes <= max_bytes {
                break;
            }
            // The one that has just read it is the fastest: nobody is ahead of it.
            if self.frames.len() == 1 && self.gone >= slowest {
                break;
            }
            self.frames.pop_front();
            self.gone += 1;
            self.bytes -= length;
        }
    }

    /// The answer, if it is whole: a stream that ends as one should, or anything else.
    fn kept(&self, now: std::time::Instant) -> Option<Kept> {
        let Stage::Ended(parts, None) = &self.stage else {
            return None;
        };
        if !self.whole {
            return None;
        }
        if media::is_events(&parts.headers) && !ends_well(&self.frames) {
            return None;
        }
        // Copied, so that what is kept holds on to no larger buffer. What the answer says of this
        // one request (its cost, its limits) is not for the next.
        let mut extensions = http::Extensions::new();
        if let Some(served) = parts.extensions.get::<Served>() {
            extensions.insert(served.clone());
        }
        if let Some(tally) = parts.extensions.get::<Tally>() {
            extensions.insert(copy(tally));
        }
        let mut headers = http::HeaderMap::new();
        for name in ["content-type", "x-params-dropped", "x-params-mapped"] {
            if let Some(value) = parts.headers.get(name) {
                headers.insert(name, value.clone());
            }
        }
        let mut body = Vec::with_capacity(self.bytes);
        self.frames
            .iter()
            .for_each(|frame| body.extend_from_slice(frame));
        Some(Kept {
            status: parts.status,
            headers,
            extensions,
            body: body.into(),
            since: now,
        })
    }
}

/// Whether the last event is `[DONE]`, however it lies in the frames.
fn ends_well(frames: &VecDeque<Bytes>) -> bool {
    const DONE: &[u8] = b"data: [DONE]";
    let mut tail: Vec<u8> = Vec::new();
    for frame in frames.iter().rev() {
        let kept = frame.len().saturating_sub(64);
        let mut joined = frame[kept..].to_vec();
        joined.extend_from_slice(&tail);
        tail = joined;
        if tail.trim_ascii_end().len() >= DONE.len() {
            break;
        }
    }
    tail.trim_ascii_end().ends_with(DONE)
}

/// A tally that begins where this one stands.
pub(super) fn copy(tally: &Tally) -> Tally {
    let copy = Tally::new();
    if let Some(usage) = tally.usage() {
        copy.record_usage(usage);
    }
    copy
}

impl<F, B, E> Drop for Flight<F, B, E> {
    fn drop(&mut self) {
        self.shared.land(&self.key);
    }
}

impl<F, B, E> Drop for Member<F, B, E> {
    fn drop(&mut self) {
        let mut state = self.flight.lock();
        state.members[self.number] = None;
        match state.stage {
            // The call panicked: nobody asks any more.
            Stage::Due if self.payer.is_first() => state.stage = Stage::Gone,
            Stage::Calling(_) => state.joint.leaves(&self.payer),
            _ => {}
        }
        drop(state);
        // Only now is the seat free for another.
        self.flight.wakers.leave(self.number);
        // The others may have been woken for nothing but this one: they must look for themselves.
        self.flight.wakers.wake_all();
    }
}
