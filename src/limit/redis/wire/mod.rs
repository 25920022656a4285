//! What is asked of the script, and what its answer means. Pure.

mod call;
mod cell;
mod change;
mod lease;
mod question;
mod taken;

pub(super) use call::{Call, clock, probe, renew};
pub(super) use cell::keys;
pub(super) use change::Changes;
pub(super) use lease::{LeaseQuestion, give_back};
pub(super) use question::{Answer, Question};
pub(super) use taken::Taken;
