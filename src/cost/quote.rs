use std::sync::Arc;

use super::{Price, PriceBook};
use crate::{ext::Served, meter::Tally, wire::Usage};

/// How a request is priced: by the model that answers, at the prices it began with.
#[derive(Clone)]
pub(super) struct Quote {
    pub(super) price: Arc<Price>,
    pub(super) input_estimate: u64,
    /// The most output that the request allows.
    pub(super) most_output: u64,
    /// What is charged for a stream that cannot be read, being compressed: nothing before it has begun, then
    /// the most it may be.
    pub(super) unseen_output: u64,
}

impl Quote {
    /// The price of the model that answered, if it has one of its own.
    pub(super) fn served(&mut self, book: &dyn PriceBook, served: Option<&Served>) {
        if let Some(price) = served.and_then(|served| book.price(&served.id)) {
            self.price = price;
        }
    }

    /// What was used: as the provider says, else the prompt's estimate and what was relayed, at a
    /// token for every four bytes.
    pub(super) fn usage(&self, tally: Option<&Tally>) -> Usage {
        if let Some(usage) = tally.and_then(Tally::usage) {
            return usage;
        }
        let output = tally.map_or(self.unseen_output, |tally| {
            tally.content_bytes().div_ceil(4)
        });
        let mut usage = Usage::new(self.input_estimate, output);
        usage.estimated = true;
        usage
    }
}
