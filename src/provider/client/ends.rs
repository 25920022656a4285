//! Streams of which only the end is still to come, kept until it has.
//!
//! A connection reads on by itself while somebody has the body that it fills, and is free again when it has read the
//! end. So nobody needs to be woken for that: a body is put by, and looked at when others come. One task looks after
//! the last of them, and lets go of those that do not end; where none are kept there is no task.

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
        let mut kept = self.kept();
        let mut runtime = None;
        if !kept.swept {
            runtime = Handle::try_current().ok();
            if runtime.is_none() {
                return;
            }
            kept.swept = true;
        }
        let oldest: [_; FOR_EACH] = array::from_fn(|_| kept.open.pop_front());
        kept.open.push_back(new);
        drop(kept);
        // Neither looked at nor dropped under the lock, for either may wake somebody.
        for mut one in oldest.into_iter().flatten() {
            if one.is_open() {
                self.kept().open.push_back(one);
            }
        }
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
mod tests {
    use std::convert::Infallible;

    use http_body::Frame;
    use tokio::sync::mpsc;

    use super::*;

    /// Gives what it is sent, and ends when nobody sends any more.
    struct Sent(mpsc::UnboundedReceiver<Bytes>);

    impl Body for Sent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0
                .poll_recv(cx)
                .map(|frame| frame.map(|data| Ok(Frame::data(data))))
        }
    }

    /// A body that is waited for, and what sends it.
    fn one(ends: &Ends<Sent>) -> mpsc::UnboundedSender<Bytes> {
        let (sender, receiver) = mpsc::unbounded_channel();
        ends.wait(Sent(receiver));
        sender
    }

    fn open(ends: &Ends<Sent>) -> usize {
        ends.kept().open.len()
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_end_go_when_others_come() {
        let ends = Ends::default();
        let stays = one(&ends);
        for _ in 0..100 {
            drop(one(&ends));
        }
        assert!(open(&ends) <= 2, "{}", open(&ends));
        assert!(!stays.is_closed());
        let alive = tokio::runtime::Handle::current().metrics();
        assert_eq!(alive.num_alive_tasks(), 1, "one for all");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_goes_by_itself_and_the_task_with_it() {
        let ends = Ends::default();
        drop(one(&ends));
        assert_eq!(open(&ends), 1);
        sleep(2 * PAUSE).await;
        assert_eq!(open(&ends), 0);
        assert!(!ends.kept().swept);
        drop(one(&ends));
        assert!(ends.kept().swept);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_is_let_go_after_a_second() {
        let ends = Ends::default();
        let begun = tokio::time::Instant::now();
        let silent = one(&ends);
        silent.closed().await;
        assert_eq!(begun.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_is_let_go_before() {
        let ends = Ends::default();
        let begun = tokio::time::Instant::now();
        let talks = one(&ends);
        for _ in 0..=BYTES / 1024 {
            talks.send(vec![b':'; 1024].into()).expect("it is read");
        }
        talks.closed().await;
        assert_eq!(begun.elapsed(), PAUSE);
    }

    #[test]
    fn who_loses_its_runtime_is_looked_after_in_the_next() {
        let ends = Ends::default();
        let runtime = || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_time().start_paused(true).build()
        };
        let silent = runtime().expect("a runtime").block_on(async { one(&ends) });
        assert!(!silent.is_closed() && !ends.kept().swept);
        runtime().expect("a runtime").block_on(async {
            drop(one(&ends));
            silent.closed().await;
        });
    }

    #[test]
    fn without_a_runtime_nothing_is_kept() {
        let ends = Ends::default();
        assert!(one(&ends).is_closed());
        assert_eq!(open(&ends), 0);
    }
}
