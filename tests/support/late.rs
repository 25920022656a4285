//! What answers later than at once, as what is far away does.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use http::Request;
use tower::Service;
use tower_completions::{
    cost::{Amount, Ledger, Most},
    error::Error,
    limit::{Ask, Decision, Store},
};

/// A future that is looked at so often before it is begun.
pub struct Late<F> {
    looks: u32,
    inside: Pin<Box<F>>,
}

impl<F> Late<F> {
    pub fn new(looks: u32, inside: F) -> Self {
        let inside = Box::pin(inside);
        Self { looks, inside }
    }
}

impl<F: Future> Future for Late<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.looks.checked_sub(1) {
            None => self.inside.as_mut().poll(cx),
            Some(left) => {
                self.looks = left;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

/// A ledger, a store of limits or a client of an upstream that is looked at so often before it decides,
/// is ready and answers.
#[derive(Clone)]
pub struct Far<T> {
    pub inner: T,
    pub looks: u32,
    /// How often a client was called.
    pub calls: Arc<AtomicU64>,
    unready: u32,
}

impl<T> Far<T> {
    pub fn new(inner: T, looks: u32) -> Self {
        let unready = looks;
        Self {
            inner,
            looks,
            calls: Arc::default(),
            unready,
        }
    }
}

impl<L: Ledger> Ledger for Far<L> {
    type Hold = L::Hold;
    type Future = Late<L::Future>;
    type Extending = L::Extending;

    fn hold(&self, account: &str, most: Most) -> Self::Future {
        Late::new(self.looks, self.inner.hold(account, most))
    }

    fn extend(&self, hold: &mut L::Hold, by: Amount) -> L::Extending {
        self.inner.extend(hold, by)
    }

    fn settle(&self, hold: L::Hold, charge: Amount) -> Amount {
        self.inner.settle(hold, charge)
    }
}

impl<S: Store> Store for Far<S> {
    type Hold = S::Hold;
    type Take = Late<Pin<Box<dyn Future<Output = Result<Decision<S::Hold>, Error>> + Send>>>;

    fn take(&self, ask: Ask) -> Self::Take {
        let store = self.inner.clone();
        Late::new(self.looks, Box::pin(async move { store.take(ask).await }))
    }
}

impl<C, B> Service<Request<B>> for Far<C>
where
    C: Service<Request<B>>,
{
    type Response = C::Response;
    type Error = C::Error;
    type Future = Late<C::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        match self.unready.checked_sub(1) {
            None => self.inner.poll_ready(cx),
            Some(left) => {
                self.unready = left;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.unready = self.looks;
        self.calls.fetch_add(1, Ordering::Relaxed);
        Late::new(self.looks, self.inner.call(request))
    }
}
