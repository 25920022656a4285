use http::Extensions;

use super::{Carry, Hold, Unit, Weights};
use crate::{
    meter::{Ending, Settle, Tally},
    observe::Gate,
};

/// Marks the answer of a layer of this module that has refused: one further out gives back what it
/// has taken for the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused;

/// What `RateLimit` holds while a request runs: its place among the concurrent ones.
#[derive(Debug)]
pub struct RequestGuard<H: Hold> {
    // In a box: the guard is moved by every layer around, from the call to the answer's body.
    hold: Option<Box<H>>,
    /// Turned down by a limit further inside: then it does not count.
    refused: bool,
}

impl<H: Hold> RequestGuard<H> {
    pub(super) fn new() -> Self {
        Self {
            hold: None,
            refused: false,
        }
    }
}

impl<H: Hold> Carry<H> for RequestGuard<H> {
    const GATE: Gate = Gate::Requests;
    const SCANS: bool = false;

    fn carry(&mut self, hold: H) {
        self.hold = Some(Box::new(hold));
    }

    fn begin(&mut self) {}

    fn answered(&mut self, _: bool, extensions: &Extensions) {
        self.refused = extensions.get::<Refused>().is_some();
    }
}

impl<H: Hold> Settle for RequestGuard<H> {
    fn settle(self, _: Ending, _: Option<&Tally>) {
        if let Some(hold) = self.hold {
            let requests = u64::from(!self.refused);
            hold.settle(&Weights::new().with(Unit::Requests, requests));
        }
    }
}
