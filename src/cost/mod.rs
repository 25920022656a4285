//! Prices, balances and what a request is charged.
//!
//! [`Cost`] prices a request at its [`PriceBook`], holds what it may cost at most on the caller's
//! account in a [`Ledger`], and settles once with what it did cost, whatever ends it. Amounts are
//! whole picodollars, or as small parts of another [`Currency`]; nothing is rounded but the one sum of a request, half to even.
//!
//! ```
//! use tower_completions::{cost::{Price, Amount}, wire::Usage};
//!
//! let price = Price::new("1.25", "10")?.cached_input("0.625")?;
//! let mut usage = Usage::new(262_960, 1_744);
//! usage.cached_input = 257_955;
//! assert_eq!(price.of(&usage).to_string(), "0.184918125");
//! # Ok::<(), tower_completions::cost::NotAnAmount>(())
//! ```

mod amount;
mod ask;
mod body;
mod book;
mod budget;
mod calendar;
mod candidates;
mod charge;
mod currency;
mod drain;
mod file;
mod future;
mod guard;
mod layer;
mod ledger;
mod list;
mod member;
mod pattern;
mod plan;
mod price;
mod prices;
mod quote;
mod rates;
mod receipt;
mod refill;
mod service;
mod terms;
mod when;
mod whole;

pub use amount::{Amount, NotAnAmount, Usd};
pub use body::ResponseBody;
pub use book::PriceBook;
pub use budget::{BudgetStanding, Budgets, Period, Scope};
pub use charge::{Charge, Line};
pub use currency::{Currency, NotACurrency};
pub use drain::{Drain, DrainBody, DrainFuture, DrainLayer};
pub use file::BadPrices;
pub use future::ResponseFuture;
pub use layer::{CostLayer, Unpriced};
pub use ledger::{
    Denied, Entry, HoldId, Ledger, MemoryHold, MemoryLedger, Mismatch, Most, Recovered, Statement,
    StoreError, What,
};
#[cfg(feature = "ledger-postgres")]
pub use ledger::{
    PostgresExtending, PostgresHold, PostgresHolding, PostgresLedger, PostgresOptions,
};
#[cfg(feature = "ledger-redb")]
pub use ledger::{Recovery, RedbExtending, RedbHold, RedbHolding, RedbLedger, RedbOptions};
pub use list::PriceList;
pub use price::Price;
pub use prices::Prices;
pub use rates::Class;
pub use receipt::{Bill, Loser, Receipt};
pub use refill::RunOut;
pub use service::Cost;
pub use terms::Terms;
pub use when::{Circumstances, When};

pub use crate::zone::Zone;
