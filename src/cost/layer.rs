use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use http::request::Parts;
use tower_layer::Layer;

use super::{Budgets, Cost, Currency, Ledger, Price, PriceBook, quote::Rules, refill::RunOut};
use crate::{
    dialect::{CostMember, Dialect},
    hint::Hint,
    meter::Quote,
    parse::{Chat, Parse},
    time::{Reading, wall},
};

/// Puts [`Cost`] around a service.
///
/// The usage is that of the answer's [`Tally`](crate::meter::Tally), where a layer inside has left one. Else the
/// answer is read, if its `content-type` is `application/json` or `text/event-stream`; any other, and one
/// without a type, is charged by an estimate.
#[derive(Clone)]
#[must_use]
pub struct CostLayer<L> {
    pub(super) config: Arc<Config<L>>,
}

#[derive(Clone)]
pub(super) struct Config<L> {
    pub(super) book: Arc<dyn PriceBook>,
    pub(super) ledger: L,
    pub(super) currency: Currency,
    pub(super) member: CostMember,
    pub(super) expected_output: u64,
    pub(super) expected_searches: u64,
    pub(super) unpriced: Unpriced,
    pub(super) rules: Rules,
    pub(super) budgets: Budgets,
    pub(super) clock: Reading<SystemTime>,
    pub(super) run_out: RunOut,
    pub(super) max_bytes: usize,
    pub(super) nobody: Nobody,
    /// Nobody is known here.
    pub(super) unknown: Hint,
}

/// What becomes of a request without a principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nobody {
    Passes,
    IsRefused,
}

impl<L> Config<L> {
    /// The seconds of the Unix time, by the clock.
    pub(super) fn unix(&self) -> u64 {
        let since = self.clock.now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs())
    }
}

/// What becomes of a request for a model that has no price, or that one without a price may answer.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Unpriced {
    /// It costs nothing and says so, having no receipt, unless one with a price answers in its place; who
    /// has a balance or a budget is refused.
    #[default]
    RefuseLimited,
    /// It is refused, whoever asks.
    Refuse,
    /// It costs nothing, whoever asks, unless one with a price answers in its place. What that may cost is
    /// held: a caller whose balance is used up cannot use such a model (402). A target without a price of
    /// its own that chooses a model (`openrouter/auto`) costs nothing whatever model its answer names.
    Free,
    /// It costs this much.
    Ceiling(Arc<Price>),
}

impl<L: Ledger> CostLayer<L> {
    /// Prices by `book`, accounts in `ledger`: the account of a caller is its principal's id.
    ///
    /// All money is of the ledger's [`Currency`]: balances, budgets, ceilings. A request that something
    /// may answer whose price is in another one is refused (500 `currency_mismatch`).
    pub fn new(book: impl PriceBook + 'static, ledger: L) -> Self {
        let config = Config {
            book: Arc::new(book),
            currency: ledger.currency(),
            ledger,
            member: CostMember::Absent,
            expected_output: 1024,
            expected_searches: 5,
            unpriced: Unpriced::default(),
            rules: Rules::default(),
            budgets: Budgets::new(),
            clock: Reading::new(wall),
            run_out: RunOut::default(),
            max_bytes: 64 << 20,
            nobody: Nobody::Passes,
            unknown: Hint::default(),
        };
        Self {
            config: Arc::new(config),
        }
    }

    /// Refuses (401) a request without a [`Principal`](crate::ext::Principal): it has no account to be charged. So a layer
    /// that by mistake stands outside of the authentication lets nobody pass, instead of everybody
    /// for nothing. Default: such a request passes, nothing is charged, its answer tells no cost, and
    /// the log says so once (feature `tracing`); in `Gateway` it is refused.
    pub fn require_principal(mut self) -> Self {
        Arc::make_mut(&mut self.config).nobody = Nobody::IsRefused;
        self
    }

    /// How this layer charges, as it is now: for
    /// [`TokenLimitLayer::quote`](crate::limit::TokenLimitLayer::quote), so that limits on money count
    /// what is charged, in 10⁻¹² of the currency. What is held is reserved: the dearest that may answer. A
    /// request counts nothing when nobody that may answer has a price, or who did answer costs nothing.
    /// `Gateway` does so by itself.
    ///
    /// ```
    /// use tower_completions::{
    ///     cost::{CostLayer, MemoryLedger, Price, Prices},
    ///     limit::{Limiter, TokenLimitLayer},
    /// };
    ///
    /// let prices = Prices::new().with("m", Price::new("1", "2")?);
    /// let cost = CostLayer::new(prices, MemoryLedger::new());
    /// let tokens = TokenLimitLayer::new(Limiter::new()).quote(cost.quoter());
    /// # let _ = (cost, tokens);
    /// # Ok::<(), tower_completions::cost::NotAnAmount>(())
    /// ```
    pub fn quoter(&self) -> impl Fn(&Parts, &Chat) -> Quote + Send + Sync + 'static + use<L> {
        let config = Arc::clone(&self.config);
        move |parts, chat| match config.quoted(parts, chat) {
            Some(quoted) => Arc::new(move |usage, known| quoted.cost(usage, known)),
            None => Arc::new(|_, _| 0),
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

    /// The searches that are held for when the request has `web_search_options`: how many the model
    /// makes is its own affair. Default: 5.
    pub fn expected_searches(mut self, searches: u64) -> Self {
        Arc::make_mut(&mut self.config).expected_searches = searches;
        self
    }

    /// How a stream ends whose balance is used up while it runs. A request that sets no bound to its
    /// output begins with a hold for [`expected_output`](Self::expected_output) tokens, and is given
    /// as many again whenever half of them are left. Default: with an error event.
    pub fn run_out(mut self, run_out: RunOut) -> Self {
        Arc::make_mut(&mut self.config).run_out = run_out;
        self
    }

    /// What becomes of models without a price. Default: free of charge for who has no limit to his
    /// money, refused (403 `model_not_priced`) for who has.
    pub fn unpriced(mut self, unpriced: Unpriced) -> Self {
        Arc::make_mut(&mut self.config).unpriced = unpriced;
        self
    }

    /// Takes a provider's own statement of the cost, where there is one, for the cost: OpenRouter's,
    /// xAI's. Holds are still taken at the price book's prices. Default: the price book's cost.
    pub fn provider_cost(mut self) -> Self {
        Arc::make_mut(&mut self.config).rules.reported = true;
        self
    }

    /// Charges nothing for an answer in which the provider counted no token at all. Default: its
    /// prompt.
    pub fn empty_answers_free(mut self) -> Self {
        Arc::make_mut(&mut self.config).rules.empty_is_free = true;
        self
    }

    /// Holds the price of the prompt once more, for requests that may be charged for an attempt that
    /// lost beside their answer: where the router hedges and its
    /// [`LoserCharge`](crate::router::LoserCharge) is an estimate. Without it what a loser costs beyond
    /// the hold is an overrun. Default: one answer is held for.
    pub fn hold_for_losers(mut self) -> Self {
        Arc::make_mut(&mut self.config).rules.losers = true;
        self
    }

    /// Holds for the dearest of the models that the client names in `models`, too, and refuses a caller with a
    /// balance when one of them has no price: where the router
    /// [obeys](crate::router::Builder::obey_client_wishes) it. Without it what such a model costs beyond
    /// the one that is named first is an overrun. Default: `models` is not looked at.
    pub fn hold_for_client_wishes(mut self) -> Self {
        Arc::make_mut(&mut self.config).rules.wishes = true;
        self
    }

    /// Budgets beside the balances: a request must fit into all that apply to its caller (402
    /// `budget_exceeded`), and is charged to all. Default: none.
    pub fn budgets(mut self, budgets: Budgets) -> Self {
        Arc::make_mut(&mut self.config).budgets = budgets;
        self
    }

    /// Where the time of day comes from, which tells which of several dated prices is current, and
    /// when budgets begin anew. Default: the system's clock.
    pub fn wall_clock(mut self, wall: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.config).clock = Reading::new(wall);
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
