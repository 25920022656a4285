use std::time::Duration;

use tower::{ServiceBuilder, layer::util::Stack};

use super::RequestIdLayer;
use crate::{
    auth::{AuthLayer, Authenticate},
    cache::CacheLayer,
    cost::{CostLayer, Ledger, PriceBook},
    dialect::Dialect,
    idempotency::IdempotencyLayer,
    limit::{Limiter, RateLimitLayer, Store, TokenLimitLayer},
    parse::ParseLayer,
    reframe::ReframeLayer,
    validate::ValidateLayer,
};

mod sealed {
    #[expect(unnameable_types, reason = "that is what seals it")]
    pub trait Sealed {}
    impl<L> Sealed for tower::ServiceBuilder<L> {}
}

/// What a builder becomes that one more layer is added to.
type With<K, L> = ServiceBuilder<Stack<K, L>>;

/// The layers by name, in the order in which a request should meet them, each with its defaults. One
/// that is to be configured goes in by `layer`.
///
/// ```
/// use tower::{ServiceBuilder, service_fn};
/// use tower_completions::{
///     Dialect, auth::Keys, body::Full, cost::{MemoryLedger, Prices}, limit::Limiter, parse::ChatBody,
///     stack::ServiceBuilderExt,
/// };
///
/// let limiter = Limiter::new();
/// let service = ServiceBuilder::new()
///     .request_id()
///     .auth(Keys::new())
///     .limit_rates(limiter.clone())
///     .parse()
///     .validate(Dialect::openai())
///     .idempotency()
///     .limit_tokens(limiter)
///     .cost(Prices::new(), MemoryLedger::new())
///     .reframe(Dialect::openai())
///     .service(service_fn(async |_: http::Request<ChatBody>| {
///         Ok::<_, std::convert::Infallible>(http::Response::new(Full::new("{}")))
///     }));
/// # fn is_one<S: tower::Service<http::Request<Full>>>(_: S) {}
/// # is_one(service);
/// ```
pub trait ServiceBuilderExt<L>: sealed::Sealed + Sized {
    /// Gives every request and its answer an `x-request-id`.
    fn request_id(self) -> With<RequestIdLayer, L>;

    /// Admits whom `authenticate` knows.
    fn auth<A: Authenticate>(self, authenticate: A) -> With<AuthLayer<A>, L>;

    /// Holds requests to a limiter's limits in time and number. (`rate_limit` is tower's own.)
    fn limit_rates<St: Store>(self, limiter: Limiter<St>) -> With<RateLimitLayer<St>, L>;

    /// Reads and parses the body, once for all layers inside.
    fn parse(self) -> With<ParseLayer, L>;

    /// Refuses what no upstream would take.
    fn validate(self, dialect: Dialect) -> With<ValidateLayer, L>;

    /// Answers requests under one `Idempotency-Key` once.
    fn idempotency(self) -> With<IdempotencyLayer, L>;

    /// Holds requests to a limiter's limits on tokens. Those on money do not bind here: they want
    /// [`TokenLimitLayer::quote`].
    fn limit_tokens<St: Store>(self, limiter: Limiter<St>) -> With<TokenLimitLayer<St>, L>;

    /// Holds and charges what a request costs.
    fn cost<K: Ledger>(self, book: impl PriceBook + 'static, ledger: K) -> With<CostLayer<K>, L>;

    /// Makes answers canonical.
    fn reframe(self, dialect: Dialect) -> With<ReframeLayer, L>;

    /// Joins equal requests of a caller, and keeps their answers for so long.
    fn cache(self, ttl: Duration) -> With<CacheLayer, L>;
}

impl<L> ServiceBuilderExt<L> for ServiceBuilder<L> {
    fn request_id(self) -> With<RequestIdLayer, L> {
        self.layer(RequestIdLayer::new())
    }

    fn auth<A: Authenticate>(self, authenticate: A) -> With<AuthLayer<A>, L> {
        self.layer(AuthLayer::new(authenticate))
    }

    fn limit_rates<St: Store>(self, limiter: Limiter<St>) -> With<RateLimitLayer<St>, L> {
        self.layer(RateLimitLayer::new(limiter))
    }

    fn parse(self) -> With<ParseLayer, L> {
        self.layer(ParseLayer::new())
    }

    fn validate(self, dialect: Dialect) -> With<ValidateLayer, L> {
        self.layer(ValidateLayer::new(dialect))
    }

    fn idempotency(self) -> With<IdempotencyLayer, L> {
        self.layer(IdempotencyLayer::new())
    }

    fn limit_tokens<St: Store>(self, limiter: Limiter<St>) -> With<TokenLimitLayer<St>, L> {
        self.layer(TokenLimitLayer::new(limiter))
    }

    fn cost<K: Ledger>(self, book: impl PriceBook + 'static, ledger: K) -> With<CostLayer<K>, L> {
        self.layer(CostLayer::new(book, ledger))
    }

    fn reframe(self, dialect: Dialect) -> With<ReframeLayer, L> {
        self.layer(ReframeLayer::new(dialect))
    }

    fn cache(self, ttl: Duration) -> With<CacheLayer, L> {
        self.layer(CacheLayer::new(ttl))
    }
}
