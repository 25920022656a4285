//! A timer for one connection after another of its requests, armed once.
//!
//! hyper arms a timer for the head of each request, and takes it down when the head is there. Both lock
//! the wheel of the whole runtime. Here the one of the last request is kept, and the next moves it
//! later, which locks nothing.
//!
//! It lasts only as long as heads are wanted: who has said half of one is not waited for when the server stops.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt;
use tokio::time;

type Kept = Option<Pin<Box<time::Sleep>>>;

/// For one connection; clones are the same.
#[derive(Clone, Default)]
pub struct Patience(Arc<Shared>);

#[derive(Default)]
struct Shared {
    kept: Mutex<Kept>,
    over: Arc<AtomicBool>,
}

impl Patience {
    /// Until `over` is set: then every sleep ends when it is looked at.
    pub fn until(over: &Arc<AtomicBool>) -> Self {
        Self(Arc::new(Shared {
            kept: Mutex::default(),
            over: Arc::clone(over),
        }))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl rt::Timer for Patience {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        let kept = self.kept().take();
        let sleep = match kept {
            Some(mut sleep) => {
                sleep.as_mut().reset(deadline.into());
                sleep
            }
            None => Box::pin(time::sleep_until(deadline.into())),
        };
        Box::pin(Sleep {
            sleep: Some(sleep),
            home: self.clone(),
        })
    }
}

struct Sleep {
    sleep: Kept,
    home: Patience,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.home.0.over.load(Ordering::Relaxed) {
            return Poll::Ready(());
        }
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Ready(()),
        }
    }
}

impl rt::Sleep for Sleep {}

impl Drop for Sleep {
    fn drop(&mut self) {
        *self.home.kept() = self.sleep.take();
    }
}

#[cfg(test)]
mod tests {
    use hyper::rt::Timer as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_sleep_lasts_until_its_own_time() {
        let patience = Patience::default();
        let begun = time::Instant::now();
        // One that is taken down, one that is later, one that is sooner, one after the end of another.
        drop(patience.sleep(Duration::from_secs(3)));
        for (seconds, at) in [(5, 5), (1, 6), (0, 6), (9, 15)] {
            let mut sleep = patience
                .sleep_until((time::Instant::now() + Duration::from_secs(seconds)).into_std());
            std::future::poll_fn(|cx| sleep.as_mut().poll(cx)).await;
            assert_eq!(begun.elapsed().as_secs(), at);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_at_once_are_two() {
        let patience = Patience::default();
        let begun = time::Instant::now();
        let later = |seconds| (begun + Duration::from_secs(seconds)).into_std();
        let (mut long, mut short) = (
            patience.sleep_until(later(7)),
            patience.sleep_until(later(2)),
        );
        std::future::poll_fn(|cx| short.as_mut().poll(cx)).await;
        assert_eq!(begun.elapsed().as_secs(), 2);
        std::future::poll_fn(|cx| long.as_mut().poll(cx)).await;
        assert_eq!(begun.elapsed().as_secs(), 7);
    }
}
