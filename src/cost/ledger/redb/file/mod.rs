//! The tables of the file, and one transaction for a batch.

mod batch;
mod durable;
mod prune;
mod read;
mod reconcile;
mod table;

pub(super) use batch::{Booking, commit, short};
pub(super) use durable::{Durable, load};
pub(super) use prune::prune;
pub(super) use read::{entries, spent_since};
pub(super) use reconcile::reconcile;
