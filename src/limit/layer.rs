use tower_layer::Layer;

use super::{Fields, Limiter, Memory, RateLimit, Unit, Weights};

/// What a layer does with a request that its limits do not admit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// It is refused.
    #[default]
    Enforce,
    /// It passes; the header `x-ratelimit-shadow` of its answer and [`Stats`](super::Stats) tell that
    /// it would have been refused. It takes nothing, just as if it had been.
    Shadow,
}

/// What the two layers can be told alike.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) fields: Fields,
    pub(super) mode: Mode,
}

/// Holds requests to limits in time and in number, before a byte of their body is read.
///
/// Needs no JSON: it goes around any service. A refusal is a 429 with `retry-after`,
/// `retry-after-ms` and the `x-ratelimit-*` headers, which every other answer has too. A slot of
/// [`max_concurrent`](super::Limits::max_concurrent) is held to the end of the answer's body.
#[derive(Clone, Debug)]
#[must_use]
pub struct RateLimitLayer<St = Memory> {
    limiter: Limiter<St>,
    settings: Settings,
    weights: Weights,
}

impl<St> RateLimitLayer<St> {
    pub(super) const WEIGHTS: Weights = Weights::new().with(Unit::Requests, 1).with_slot();

    /// By the rules of a limiter.
    pub fn new(limiter: Limiter<St>) -> Self {
        Self {
            limiter,
            settings: Settings::default(),
            weights: Self::WEIGHTS,
        }
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

    /// Looks at the limits on tokens too, which a [`TokenLimitLayer`](super::TokenLimitLayer) of the
    /// same limiter further in counts: every answer tells how the tokens stand, those included that
    /// never come as far as that layer, and whoever is in debt is refused before the body is read.
    /// Only then, since what it needs itself is unknown, a request may have to wait longer than it is
    /// told. A body that is said to have at most 64 KiB is read, and that layer tells exactly.
    pub fn with_tokens(mut self) -> Self {
        for unit in [Unit::Tokens, Unit::InputTokens, Unit::OutputTokens] {
            self.weights = self.weights.with(unit, 0);
        }
        self
    }

    /// The limiter that it asks, which others may share.
    pub fn limiter(&self) -> &Limiter<St> {
        &self.limiter
    }
}

/// Each caller by the limits attached to its principal, counted in this process: without a
/// [`Principal`](crate::ext::Principal) nothing is limited.
impl Default for RateLimitLayer {
    fn default() -> Self {
        Self::new(Limiter::new())
    }
}

impl<S, St: Clone> Layer<S> for RateLimitLayer<St> {
    type Service = RateLimit<S, St>;

    fn layer(&self, inner: S) -> RateLimit<S, St> {
        let (limiter, settings) = (self.limiter.clone(), self.settings.clone());
        RateLimit::new(inner, limiter, settings, self.weights)
    }
}
