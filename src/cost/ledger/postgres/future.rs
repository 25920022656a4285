//! What waits for the database.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::PostgresHold;
use crate::cost::Denied;

/// The hold of a [`PostgresLedger`](super::PostgresLedger) on its way. Dropped before, it is released.
pub struct PostgresHolding(
    pub(super) Pin<Box<dyn Future<Output = Result<PostgresHold, Denied>> + Send>>,
);

impl fmt::Debug for PostgresHolding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresHolding")
    }
}

impl Future for PostgresHolding {
    type Output = Result<PostgresHold, Denied>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

/// An extension of a hold of a [`PostgresLedger`](super::PostgresLedger) on its way.
pub struct PostgresExtending(pub(super) Pin<Box<dyn Future<Output = Result<(), Denied>> + Send>>);

impl fmt::Debug for PostgresExtending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresExtending")
    }
}

impl Future for PostgresExtending {
    type Output = Result<(), Denied>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}
