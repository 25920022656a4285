use std::sync::Arc;

use super::Tally;
use crate::{ext::Served, wire::Usage};

/// What is known of an answer when its usage is priced; nothing before there is one.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Known<'a> {
    /// Who answered.
    pub served: Option<&'a Served>,
    /// What was seen of the answer.
    pub tally: Option<&'a Tally>,
    /// What its price is asked for.
    pub purpose: Purpose,
}

/// What the price of a usage is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// The request is over: this was used. The default.
    #[default]
    Settle,
    /// Nobody has been asked, and whoever answers may use this much: the most that it may cost is to be
    /// reserved.
    Reserve,
}

/// Tells what a usage of one request costs, in 10⁻¹² of the currency (picodollars, where that is
/// USD). Called from `Drop` too: it must neither block nor panic.
pub type Quote = Arc<dyn Fn(&Usage, Known<'_>) -> u64 + Send + Sync>;
