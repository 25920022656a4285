use std::{fmt, sync::Arc, time::SystemTime};

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
