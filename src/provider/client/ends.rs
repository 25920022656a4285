//! Streams of which only the end is still to come, kept until it has.
//!
//! A connection reads on by itself while somebody has the body that it fills, and is free again when it has read the
//! end. So nobody needs to be woken for that: a body is put by, and looked at when others come. One task looks after
//! the last of them, and lets go of those that do not end; where none are kept there is no task. Of more than there
//! is room for, those are let go that have waited long.

use std::{
    array,
    collections::VecDeque,
    fmt, mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use tokio::{runtime::Handle, time::sleep};

/// Between two looks at all of them.
const PAUSE: Duration = Duration::from_millis(250);
/// For so many of these looks a body is kept, and for so many bytes: nothing should be behind its last event.
const LOOKS: u8 = 4;
const BYTES: usize = 16 * 1024;
/// So many at most, each of which holds a connection or a stream of one.
const MOST: usize = 1024;
/// How many are looked at for each that comes: more than one, so that soon only those are left that do not end.
const FOR_EACH: usize = 2;

/// The bodies of one pool's connections. Clones are the same.
pub(super) struct Ends<B = Incoming>(Arc<Mutex<Kept<B>>>);

struct Kept<B> {
    open: VecDeque<Open<B>>,
    /// Whether a task looks after them.
    swept: bool,
}

struct Open<B> {
    body: B,
    looks: u8,
    read: usize,
}

impl<B> Clone for Ends<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> Default for Ends<B> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Kept {
            open: VecDeque::new(),
            swept: false,
        })))
    }
}

impl<B> fmt::Debug for Ends<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ends")
    }
}

impl<B> Ends<B> {
    fn kept(&self) -> MutexGuard<'_, Kept<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Ends<B> {
    /// Keeps a body until its end has come, for a second at most. Without a runtime for the task it is dropped.
    pub(super) fn wait(&self, body: B) {
        let mut new = Open::new(body);
        if !new.is_open() {
            return;
        }
        let oldest: [_; FOR_EACH] = {
            let mut kept = self.kept();
            array::from_fn(|_| kept.open.pop_front())
        };
        // Neither looked at nor dropped under the lock, for either may wake somebody.
        let oldest = oldest.map(|one| one.and_then(|mut one| one.is_open().then_some(one)));
        let mut beyond = Vec::new();
        let mut kept = self.kept();
        let mut runtime = None;
        // Asked only now: the task may have ended while it did not see them.
        if !kept.swept {
            runtime = Handle::try_current().ok();
            if runtime.is_none() {
                return;
            }
            kept.swept = true;
        }
        kept.open.extend(oldest.into_iter().flatten());
        kept.open.push_back(new);
        while kept.open.len() > MOST {
            beyond.extend(kept.open.pop_front());
        }
        drop(kept);
        if let Some(runtime) = runtime {
            let sweeper = Sweeper(Some(self.clone()));
            // The timer is made there: nothing may panic here.
            runtime.spawn(sweeper.sweep());
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Open<B> {
    fn new(body: B) -> Self {
        Self {
            body,
            looks: 0,
            read: 0,
        }
    }

    /// Whether its end has not come, and may.
    fn is_open(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        while let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(&mut nobody) {
            let Some(Ok(frame)) = frame else {
                return false;
            };
            // One for the frame, which may be empty.
            self.read += 1 + frame.data_ref().map_or(0, Bytes::len);
            if self.read > BYTES {
                return false;
            }
        }
        true
    }
}

/// The task that looks after them. If it ends with its runtime, the next body that comes starts another.
struct Sweeper<B>(Option<Ends<B>>);

impl<B: Body<Data = Bytes> + Unpin> Sweeper<B> {
    async fn sweep(mut self) {
        while let Some(ends) = &self.0 {
            sleep(PAUSE).await;
            let mut open = mem::take(&mut ends.kept().open);
            open.retain_mut(|one| {
                one.looks += 1;
                one.is_open() && one.looks < LOOKS
            });
            let mut kept = ends.kept();
            // Behind them those that have come meanwhile.
            open.append(&mut kept.open);
            kept.open = open;
            if kept.open.is_empty() {
                // Nor is the room kept that they took.
                kept.open = VecDeque::new();
                kept.swept = false;
                drop(kept);
                self.0 = None;
            }
        }
    }
}

impl<B> Drop for Sweeper<B> {
    fn drop(&mut self) {
        if let Some(ends) = &self.0 {
            ends.kept().swept = false;
        }
    }
}

#[cfg(test)]
mod tests;
