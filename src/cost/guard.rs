use std::sync::Arc;

use super::{Ledger, Price, PriceBook, Usd};
use crate::{
    ext::Served,
    meter::{Ending, Settle, Tally},
    observe::{Event, Watch},
    wire::Usage,
};

/// What a request was charged, and for what. In the extensions of a whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// What it cost.
    pub cost: Usd,
    /// What was taken from the account: less than the cost when the balance was.
    pub charged: Usd,
    /// What was used.
    pub usage: Usage,
}

/// What is settled once, whatever ends the request.
pub(super) struct Guard<L: Ledger> {
    pub(super) ledger: L,
    /// The open hold; none without an account.
    pub(super) hold: Option<L::Hold>,
    pub(super) quote: Quote,
    /// Who is told of the charge.
    pub(super) watch: Option<Watch>,
}

/// How a request is priced: by the model that answers, at the prices it began with.
#[derive(Clone)]
pub(super) struct Quote {
    pub(super) price: Arc<Price>,
    pub(super) input_estimate: u64,
    /// The most output that the request allows.
    pub(super) most_output: u64,
    /// What is charged for a stream that nobody inside counts: nothing before it has begun, then
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

impl<L: Ledger> Guard<L> {
    /// Charges a whole answer, now.
    pub(super) fn charge(&mut self, usage: Usage) -> Receipt {
        let cost = self.quote.price.of(&usage);
        let charged = match self.hold.take() {
            Some(hold) => {
                let charged = self.ledger.settle(hold, cost);
                #[cfg(feature = "tracing")]
                if charged < cost {
                    tracing::warn!(%cost, %charged, "overrun: used more than hold and balance had");
                }
                if let Some(watch) = &self.watch {
                    watch.on(&Event::Settled {
                        picodollars: u64::try_from(charged.pico()).unwrap_or(u64::MAX),
                        estimated: usage.estimated,
                    });
                }
                charged
            }
            None => Usd::ZERO,
        };
        Receipt {
            cost,
            charged,
            usage,
        }
    }
}

impl<L: Ledger> Settle for Guard<L> {
    fn settle(mut self, ending: Ending, tally: Option<&Tally>) {
        if self.hold.is_none() {
            return;
        }
        let nothing_came = tally.map_or(self.quote.unseen_output == 0, |tally| {
            tally.usage().is_none() && tally.content_bytes() == 0
        });
        if nothing_came && matches!(ending, Ending::Failed(_)) {
            // Dropping the hold releases it.
            return;
        }
        let usage = self.quote.usage(tally);
        self.charge(usage);
    }
}
