use super::{Denied, HoldId, Most, What};
use crate::cost::Amount;

/// What an account has and has had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statement {
    /// Everything ever credited; `None` is an unlimited account.
    pub granted: Option<Amount>,
    /// Held for requests under way.
    pub held: Amount,
    /// Charged.
    pub spent: Amount,
    /// Used beyond what hold and balance had, and not charged.
    pub overrun: Amount,
}

impl Statement {
    /// What can still be held; `None` is without limit.
    #[must_use]
    pub fn balance(&self) -> Option<Amount> {
        self.granted
            .map(|granted| granted.minus(self.held).minus(self.spent))
    }

    /// What is held when this is asked for. An amount below zero is nothing.
    ///
    /// # Errors
    /// The balance does not cover it, or the account has a limit and the amount is not known.
    pub fn allows(&self, most: Most) -> Result<Amount, Denied> {
        match (most, self.balance()) {
            (Most::Unknown, None) => Ok(Amount::ZERO),
            (Most::Unknown, Some(_)) => Err(Denied::Unpriced),
            (Most::Amount(amount), Some(balance)) if balance < amount => Err(Denied::Insufficient),
            (Most::Amount(amount), _) => Ok(amount.max(Amount::ZERO)),
        }
    }

    /// How the end of a hold of `held` is booked when `charge` was used: the charge as far as hold
    /// and balance have it, the rest as overrun. A charge below zero is none.
    #[must_use]
    pub fn end(&self, hold: HoldId, held: Amount, charge: Amount) -> What {
        let charge = charge.max(Amount::ZERO);
        let charged = match self.balance() {
            Some(balance) => charge.min(balance.plus(held)).max(Amount::ZERO),
            None => charge,
        };
        What::Settled {
            hold,
            held,
            charged,
            overrun: charge.minus(charged),
        }
    }

    /// What a grant credits beside its amount.
    pub(super) fn used(&self) -> Amount {
        match self.granted {
            Some(_) => Amount::ZERO,
            None => self.held.plus(self.spent),
        }
    }

    /// Takes up an entry.
    pub fn apply(&mut self, what: &What) {
        match *what {
            What::Granted { amount, used, .. } => {
                let before = self.granted.unwrap_or_default();
                self.granted = Some(before.plus(amount).plus(used));
            }
            What::Held { amount, .. } | What::Extended { amount, .. } => {
                self.held = self.held.plus(amount);
            }
            What::Settled {
                held,
                charged,
                overrun,
                ..
            } => {
                self.held = self.held.minus(held);
                self.spent = self.spent.plus(charged);
                self.overrun = self.overrun.plus(overrun);
            }
            What::Released { held, .. } | What::Voided { held, .. } => {
                self.held = self.held.minus(held);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn usd(pico: i128) -> Amount {
        Amount::from_pico(pico)
    }

    #[test]
    fn a_charge_takes_what_hold_and_balance_have() {
        let hold = HoldId::new(7);
        for (granted, held, charge, charged, overrun) in [
            (Some(10), 6, 3, 3, 0),
            (Some(10), 6, 6, 6, 0),
            (Some(10), 6, 9, 9, 0),
            (Some(10), 6, 12, 10, 2),
            (Some(10), 0, 4, 4, 0),
            (Some(10), 6, -1, 0, 0),
            (None, 6, 100, 100, 0),
        ] {
            let mut statement = Statement {
                granted: granted.map(usd),
                held: usd(held),
                ..Statement::default()
            };
            let what = statement.end(hold, usd(held), usd(charge));
            statement.apply(&what);
            assert_eq!(
                (statement.held, statement.spent, statement.overrun),
                (Amount::ZERO, usd(charged), usd(overrun)),
                "{granted:?} {held} {charge}"
            );
            assert!(statement.balance().is_none_or(|left| left >= Amount::ZERO));
        }
    }
}
