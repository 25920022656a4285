use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::LeasedHold;
use crate::{error::Error, limit::Decision};

pub(super) type Deciding =
    Pin<Box<dyn Future<Output = Result<Decision<LeasedHold>, Error>> + Send>>;

/// A decision of [`Leased`](super::Leased). Dropped before its end, it has taken nothing.
pub struct LeasedTake(pub(super) Deciding);

impl Future for LeasedTake {
    type Output = Result<Decision<LeasedHold>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for LeasedTake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeasedTake")
    }
}
