use std::{collections::BTreeMap, fmt, sync::Arc, time::SystemTime};

use super::{Denied, Most};
use crate::cost::Amount;

/// Names a hold within its ledger, for settling it once however often that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldId(u128);

impl HoldId {
    /// The id of this number.
    #[must_use]
    pub const fn new(number: u128) -> Self {
        Self(number)
    }

    /// The number of this id.
    #[must_use]
    pub const fn number(self) -> u128 {
        self.0
    }
}

/// Hexadecimal, without leading zeros.
impl fmt::Display for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

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

/// One entry of a ledger: what was booked on an account, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its place in the ledger; the larger the later.
    pub number: u64,
    /// The account that it is booked on.
    pub account: Arc<str>,
    /// When, by the clock of whoever booked it.
    pub at: SystemTime,
    /// What was booked.
    pub what: What,
}

impl Entry {
    pub(super) const fn new(number: u64, account: Arc<str>, at: SystemTime, what: What) -> Self {
        Self {
            number,
            account,
            at,
            what,
        }
    }
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// The account was credited, and has a limit from then on.
    Granted {
        /// How much was added.
        amount: Amount,
        /// What it had used and held before without a limit: credited too, so that the balance
        /// begins with the amount. Nothing for an account that had a limit.
        used: Amount,
        /// The operator's name for it: the same name on the same account is booked once.
        reference: Arc<str>,
    },
    /// A hold was opened.
    Held {
        /// The hold.
        hold: HoldId,
        /// Of how much.
        amount: Amount,
    },
    /// An open hold was made larger.
    Extended {
        /// The hold.
        hold: HoldId,
        /// How much was added.
        amount: Amount,
    },
    /// A hold ended with a charge.
    Settled {
        /// The hold.
        hold: HoldId,
        /// What it had held.
        held: Amount,
        /// What was taken.
        charged: Amount,
        /// What was used beyond it.
        overrun: Amount,
    },
    /// A hold ended without a charge.
    Released {
        /// The hold.
        hold: HoldId,
        /// What it had held.
        held: Amount,
    },
    /// A hold was left open by a process that died, and was released.
    Voided {
        /// The hold.
        hold: HoldId,
        /// What it had held.
        held: Amount,
    },
}

impl What {
    /// What was taken: nothing but by a settlement.
    #[must_use]
    pub const fn charged(&self) -> Amount {
        match *self {
            Self::Settled { charged, .. } => charged,
            _ => Amount::ZERO,
        }
    }

    /// Says it when more was used than was taken.
    pub(super) fn log_overrun(&self, account: &str) {
        if let Self::Settled {
            charged, overrun, ..
        } = *self
        {
            if overrun > Amount::ZERO {
                #[cfg(feature = "tracing")]
                tracing::warn!(account, %charged, %overrun, "overrun: used more than hold and balance had");
                let _ = (account, charged);
            }
        }
    }

    /// The hold that it is about.
    #[must_use]
    pub const fn hold(&self) -> Option<HoldId> {
        match *self {
            Self::Granted { .. } => None,
            Self::Held { hold, .. }
            | Self::Extended { hold, .. }
            | Self::Settled { hold, .. }
            | Self::Released { hold, .. }
            | Self::Voided { hold, .. } => Some(hold),
        }
    }
}

/// A hold that was left open by a process that died, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// The hold.
    pub hold: HoldId,
    /// The account.
    pub account: Arc<str>,
    /// What it had held.
    pub held: Amount,
    /// What of it was charged: nothing, unless the ledger was told to charge.
    pub charged: Amount,
}

/// The books do not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mismatch {
    /// The sum of an account's entries is not its statement.
    Statement {
        /// The account.
        account: Arc<str>,
        /// What the account says.
        kept: Statement,
        /// What its entries add up to.
        counted: Statement,
    },
    /// The sum of an account's open holds is not what it says is held.
    Held {
        /// The account.
        account: Arc<str>,
        /// What the account says.
        kept: Amount,
        /// What its open holds add up to.
        counted: Amount,
    },
    /// More is held and spent than was ever granted.
    Overdrawn {
        /// The account.
        account: Arc<str>,
        /// How it stands.
        kept: Statement,
    },
    /// An entry is missing, or not as it was written.
    Chain {
        /// The first that does not follow from the one before.
        number: u64,
    },
}

impl Mismatch {
    /// What a single account's books show: its own statement, that of its entries, its open holds.
    fn of(account: &Arc<str>, kept: Statement, counted: Statement, open: Amount) -> Vec<Self> {
        let account = || Arc::clone(account);
        let mut found = Vec::new();
        if kept != counted {
            let account = account();
            found.push(Self::Statement {
                account,
                kept,
                counted,
            });
        }
        if kept.held != open {
            found.push(Self::Held {
                account: account(),
                kept: kept.held,
                counted: open,
            });
        }
        if kept.balance().is_some_and(|balance| balance < Amount::ZERO) {
            found.push(Self::Overdrawn {
                account: account(),
                kept,
            });
        }
        found
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Statement {
                account,
                kept,
                counted,
            } => write!(
                f,
                "{account}: the statement says {kept:?}, its entries {counted:?}"
            ),
            Self::Held {
                account,
                kept,
                counted,
            } => write!(
                f,
                "{account}: {kept} is said to be held, open holds have {counted}"
            ),
            Self::Overdrawn { account, kept } => {
                write!(f, "{account}: more than granted is gone: {kept:?}")
            }
            Self::Chain { number } => {
                write!(f, "entry {number} does not follow from the one before")
            }
        }
    }
}

/// What all accounts keep, and what their entries and open holds add up to.
#[derive(Debug, Default)]
pub(super) struct Count(BTreeMap<Arc<str>, Sums>);

#[derive(Debug, Default)]
struct Sums {
    kept: Statement,
    counted: Statement,
    open: Amount,
}

impl Count {
    /// An account says this of itself.
    pub(super) fn keep(&mut self, account: Arc<str>, kept: Statement) {
        self.0.entry(account).or_default().kept = kept;
    }

    /// What entries add up to that are no longer kept.
    pub(super) fn anchor(&mut self, account: Arc<str>, counted: Statement) {
        self.0.entry(account).or_default().counted = counted;
    }

    /// The next entry.
    pub(super) fn entry(&mut self, entry: Entry) {
        let sums = self.0.entry(entry.account).or_default();
        sums.counted.apply(&entry.what);
    }

    /// An open hold, or the sum of several.
    pub(super) fn open(&mut self, account: Arc<str>, amount: Amount) {
        let sums = self.0.entry(account).or_default();
        sums.open = sums.open.plus(amount);
    }

    /// Where they do not agree.
    pub(super) fn mismatches(&self) -> Vec<Mismatch> {
        let check = |(account, sums): (&Arc<str>, &Sums)| {
            Mismatch::of(account, sums.kept, sums.counted, sums.open)
        };
        self.0.iter().flat_map(check).collect()
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
