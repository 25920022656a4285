use std::sync::Arc;

use super::{
    Amount, Bill, Ledger, Receipt, ask, budget::BudgetHold, layer::Config, quote::Quote,
    service::budget_exceeded,
};
use crate::{
    error::Error,
    ext::Sending,
    meter::{Ending, Seen, Settle, Tally},
    observe::{Event, Watch},
    wire::Usage,
};

/// What is settled once, whatever ends the request.
pub(super) struct Guard<L: Ledger> {
    pub(super) config: Arc<Config<L>>,
    /// The open hold; none without an account, or before it has been given.
    pub(super) hold: Option<L::Hold>,
    pub(super) budget: BudgetHold,
    /// What is held, on the account or only in the budgets, and the most that may be.
    pub(super) most: Amount,
    pub(super) max: Option<Amount>,
    pub(super) quote: Quote,
    /// The inner service has been asked: from now on something may have been used.
    pub(super) asked: bool,
    /// Whether somebody upstream may have got it, until there is an answer.
    pub(super) sending: Option<Sending>,
    /// Where the receipt of a stream goes.
    pub(super) bill: Option<Bill>,
    /// Who is told of the charge.
    pub(super) watch: Option<Watch>,
}

impl<L: Ledger> Guard<L> {
    /// Whether anything bounds what the request may cost.
    pub(super) fn is_bounded(&self) -> bool {
        self.hold.is_some() || self.budget.applies() || self.max.is_some()
    }

    /// Whether anybody pays: an account, or a budget alone. What nobody pays is not told as a cost.
    pub(super) fn is_told(&self) -> bool {
        self.hold.is_some() || self.budget.applies()
    }

    /// Makes room for so much more in the budgets and below the request's own ceiling.
    ///
    /// # Errors
    /// What has no room, as its client is told.
    pub(super) fn reserve(&mut self, by: Amount) -> Result<(), Error> {
        let most = self.most.plus(by);
        if let Some(max) = self.max.filter(|max| most > *max) {
            return Err(ask::too_dear(most, max, self.quote.price.currency()));
        }
        let budget = self.budget.extend(by);
        budget.map_err(|(scope, period)| budget_exceeded(&scope, period))?;
        self.most = most;
        Ok(())
    }

    /// Gives that room back: the account had no more.
    pub(super) fn unreserve(&mut self, by: Amount) {
        self.budget.shrink(by);
        self.most = self.most.minus(by);
    }

    /// Charges, now. Who has answered goes into the receipt.
    pub(super) fn charge(&mut self, usage: Usage, seen: Option<&Seen>) -> Receipt {
        let price = self.quote.price(seen);
        let charge = self.quote.charge(&usage, seen, &price);
        let (currency, price_version) = (price.currency(), price.version().cloned());
        drop(price);
        let (losers, lost) = self.quote.losers();
        let used = charge.cost().plus(lost);
        // What the client said it would pay at most is kept, whatever came on the way to the end.
        let cost = self.max.map_or(used, |max| used.min(max));
        let overrun = used.minus(self.most).max(Amount::ZERO);
        if overrun > Amount::ZERO && self.is_bounded() {
            self.log_overrun(used, overrun);
        }
        self.budget.settle(cost);
        let charged = match self.hold.take() {
            Some(hold) => {
                let charged = self.config.ledger.settle(hold, cost);
                if let Some(watch) = &self.watch {
                    let pico = |amount: Amount| u64::try_from(amount.pico()).unwrap_or(u64::MAX);
                    watch.on(&Event::Settled {
                        picodollars: pico(charged),
                        estimated: usage.estimated,
                        overrun: pico(overrun),
                    });
                }
                charged
            }
            None => Amount::ZERO,
        };
        Receipt {
            cost,
            waived: used.minus(cost),
            charged,
            usage,
            charge,
            currency,
            price_version,
            losers,
            served: self.quote.served.take(),
        }
    }
}

impl<L: Ledger> Guard<L> {
    /// Says it when more was used than was held, whether or not the balance had the rest.
    #[cold]
    fn log_overrun(&self, cost: Amount, overrun: Amount) {
        #[cfg(feature = "tracing")]
        {
            let model = self.quote.served.as_ref().map(|served| &*served.id);
            tracing::warn!(model, held = %self.most, %cost, %overrun, "overrun: used more than was held");
        }
        let _ = (cost, overrun);
    }
}

// In a box: it is made once, and moved from the future into the body.
impl<L: Ledger> Settle for Box<Guard<L>> {
    fn settle(mut self, ending: Ending, tally: Option<&Tally>) {
        // What is dropped with the guard is released.
        if !self.asked || self.sending.as_ref().is_some_and(Sending::is_waiting) {
            return;
        }
        let seen = tally.map(Tally::seen);
        let seen = seen.as_ref();
        // Counts may come before the content, and be of a prompt that came to nothing.
        let nothing_came = seen.map_or(self.quote.unseen_output == 0, Seen::is_empty);
        if nothing_came && matches!(ending, Ending::Failed(_)) {
            return;
        }
        let mut usage = self.quote.usage(seen);
        if let Some(sending) = self.sending.as_ref().filter(|_| seen.is_none()) {
            // Nobody has answered: each who has got it has the prompt.
            let answers = u32::try_from(self.quote.extent.n).unwrap_or(u32::MAX);
            usage = usage.of_calls(sending.calls(answers));
        }
        let receipt = self.charge(usage, seen);
        if let Some(bill) = &self.bill {
            bill.settle(receipt);
        }
    }
}
