use std::{fmt, sync::Arc};

use http::request::Parts;
use tower_layer::Layer;

use super::{Quote, TokenLimit};
use crate::{
    limit::{Fields, Limiter, Memory, Mode, Settings},
    parse::{Chat, Parse},
    wire::Usage,
};

/// How many generated tokens are expected of a request that sets no maximum.
const EXPECTED: u64 = 1024;

/// Whether tokens that the provider read from its cache count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cached {
    /// As every other.
    #[default]
    Counts,
    /// Not at all.
    Free,
}

type Quotes = dyn Fn(&Parts, &Chat) -> Quote + Send + Sync;

/// What the service and its guards are told.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) expected: u64,
    pub(super) cached: Cached,
    pub(super) quotes: Option<Arc<Quotes>>,
    pub(super) requests: Requests,
}

/// Whether requests and slots are counted here too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Requests {
    Elsewhere,
    Here,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("expected", &self.expected)
            .field("cached", &self.cached)
            .finish_non_exhaustive()
    }
}

/// Holds requests to limits on tokens and money.
///
/// Before the inner service is called, the estimate of the prompt and the larger of `max_tokens`
/// and `max_completion_tokens` are reserved, or what is [expected](Self::expect) when the request
/// sets neither. At the end, whichever it is, the reservation is settled by the usage in the
/// answer's [`Tally`](crate::meter::Tally): too much is given back, too little is owed, and waited
/// for by the next request.
///
/// A client that leaves while its request still waits, for a ledger, a place, a connection or the pause
/// between two attempts, has used nothing: see [`Sending`](crate::Sending).
///
/// Without a tally the answer is read as it passes, if its `content-type` is `application/json` or
/// `text/event-stream`. Without a usage, a failed answer costs nothing,
/// one that the client left costs its prompt and what had been generated, and one that cannot be
/// read what was reserved.
#[derive(Clone, Debug)]
#[must_use]
pub struct TokenLimitLayer<St = Memory> {
    limiter: Limiter<St>,
    settings: Settings,
    options: Options,
}

impl<St> TokenLimitLayer<St> {
    /// By the rules of a limiter, which a [`RateLimitLayer`](crate::limit::RateLimitLayer) may
    /// share.
    pub fn new(limiter: Limiter<St>) -> Self {
        Self {
            limiter,
            settings: Settings::default(),
            options: Options {
                expected: EXPECTED,
                cached: Cached::default(),
                quotes: None,
                requests: Requests::Elsewhere,
            },
        }
    }

    /// How many generated tokens to expect of a request that sets no maximum. Default: 1024. A
    /// limit never refuses for this expectation alone: it is cut to what the limit can hold.
    pub fn expect(mut self, tokens: u64) -> Self {
        self.options.expected = tokens;
        self
    }

    /// Whether tokens read from the provider's cache count. Default: they do.
    pub fn cached(mut self, cached: Cached) -> Self {
        self.options.cached = cached;
        self
    }

    /// What a usage of a model costs, in picodollars (10⁻¹² USD): what limits on
    /// [money](crate::limit::Limits::money) count. Called from `Drop` too: it must not block.
    pub fn price(self, price: impl Fn(&str, &Usage) -> u64 + Send + Sync + 'static) -> Self {
        let price = Arc::new(price);
        self.quote(move |_, chat| {
            let (price, model) = (Arc::clone(&price), chat.model().to_owned());
            Arc::new(move |usage, _| price(&model, usage))
        })
    }

    /// The same, where the price depends on more than the model: on the caller, the tier, the time.
    /// Asked once for each request with a limit on money; what it gives prices the estimate and then
    /// the usage. What [`CostLayer::quoter`](crate::cost::CostLayer::quoter) gives counts what is
    /// charged. Default: nothing costs anything, so limits on money do not bind, and the log says so
    /// once (feature `tracing`).
    pub fn quote(
        mut self,
        quotes: impl Fn(&Parts, &Chat) -> Quote + Send + Sync + 'static,
    ) -> Self {
        self.options.quotes = Some(Arc::new(quotes));
        self
    }

    /// Counts requests and slots here too: for limits by model, which only the body tells, and
    /// for an application without the other layer.
    pub fn count_requests(mut self) -> Self {
        self.options.requests = Requests::Here;
        self
    }

    /// Which headers tell of the limits. Default: OpenAI's.
    pub fn fields(mut self, fields: Fields) -> Self {
        self.settings.fields = fields;
        self
    }

    /// Whether what is over a limit is refused. Default: it is.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.settings.mode = mode;
        self
    }

    /// The limiter that it asks, which others may share.
    pub fn limiter(&self) -> &Limiter<St> {
        &self.limiter
    }
}

/// Each caller by the limits attached to its principal, counted in this process.
impl Default for TokenLimitLayer {
    fn default() -> Self {
        Self::new(Limiter::new())
    }
}

impl<S, St: Clone> Layer<S> for TokenLimitLayer<St> {
    type Service = Parse<TokenLimit<S, St>>;

    fn layer(&self, inner: S) -> Self::Service {
        Parse::new(TokenLimit::new(
            inner,
            self.limiter.clone(),
            self.settings.clone(),
            self.options.clone(),
        ))
    }
}
