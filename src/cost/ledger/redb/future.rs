//! What waits for the file.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::sync::oneshot;

use super::RedbHold;
use crate::cost::Denied;

pub(super) type Written = oneshot::Receiver<Result<(), Denied>>;

/// The hold of a [`RedbLedger`](super::RedbLedger) on its way into the file. Dropped before, it is released.
#[derive(Debug)]
pub struct RedbHolding {
    pub(super) hold: Option<Result<RedbHold, Denied>>,
    pub(super) written: Option<Written>,
}

impl Future for RedbHolding {
    type Output = Result<RedbHold, Denied>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let written = match &mut self.written {
            None => Ok(()),
            Some(written) => ready!(written_by(written, cx)),
        };
        self.written = None;
        let hold = self.hold.take().expect("polled after completion");
        Poll::Ready(match (hold, written) {
            (Ok(mut hold), Err(denied)) => {
                if let Some(open) = hold.open.take() {
                    open.fail();
                }
                Err(denied)
            }
            (hold, _) => hold,
        })
    }
}

/// An extension of a hold of a [`RedbLedger`](super::RedbLedger) on its way into the file.
#[derive(Debug)]
pub struct RedbExtending(pub(super) Result<Option<Written>, Denied>);

impl Future for RedbExtending {
    type Output = Result<(), Denied>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Err(denied) => Poll::Ready(Err(*denied)),
            Ok(None) => Poll::Ready(Ok(())),
            Ok(Some(written)) => written_by(written, cx),
        }
    }
}

fn written_by(written: &mut Written, cx: &mut Context<'_>) -> Poll<Result<(), Denied>> {
    let written = ready!(Pin::new(written).poll(cx));
    Poll::Ready(written.unwrap_or(Err(Denied::Unavailable)))
}
