use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{Cost, Ledger, PriceBook};
use crate::{
    dialect::{CostMember, Dialect},
    parse::Parse,
};

/// Puts [`Cost`] around a service.
#[derive(Clone)]
#[must_use]
pub struct CostLayer<L> {
    pub(super) config: Arc<Config<L>>,
}

#[derive(Clone)]
pub(super) struct Config<L> {
    pub(super) book: Arc<dyn PriceBook>,
    pub(super) ledger: L,
    pub(super) member: CostMember,
    pub(super) expected_output: u64,
    pub(super) max_bytes: usize,
}

impl<L: Ledger> CostLayer<L> {
    /// Prices by `book`, accounts in `ledger`: the account of a caller is its principal's id.
    pub fn new(book: impl PriceBook + 'static, ledger: L) -> Self {
        let config = Config {
            book: Arc::new(book),
            ledger,
            member: CostMember::Absent,
            expected_output: 1024,
            max_bytes: 64 << 20,
        };
        Self {
            config: Arc::new(config),
        }
    }

    /// Says the cost in the JSON too, where the dialect has it. Default: in headers only.
    pub fn dialect(mut self, dialect: &Dialect) -> Self {
        Arc::make_mut(&mut self.config).member = dialect.cost;
        self
    }

    /// The output tokens that are held for when the request sets no bound. Default: 1024.
    pub fn expected_output(mut self, tokens: u64) -> Self {
        Arc::make_mut(&mut self.config).expected_output = tokens;
        self
    }
}

impl<L> fmt::Debug for CostLayer<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CostLayer")
            .field("member", &self.config.member)
            .finish_non_exhaustive()
    }
}

impl<S, L> Layer<S> for CostLayer<L> {
    type Service = Parse<Cost<S, L>>;

    fn layer(&self, inner: S) -> Self::Service {
        Parse::new(Cost::new(inner, Arc::clone(&self.config)))
    }
}
