use super::Usd;
use crate::wire::Usage;

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
