use tower::{ServiceBuilder, layer::util::Stack};

use super::RequestIdLayer;
use crate::{
    auth::AuthLayer,
    cost::{CostLayer, Ledger, PriceBook},
    dialect::Dialect,
    limit::RateLimitLayer,
    reframe::ReframeLayer,
    validate::ValidateLayer,
};

mod sealed {
    #[expect(unnameable_types, reason = "that is what seals it")]
    pub trait Sealed {}
    impl<L> Sealed for tower::ServiceBuilder<L> {}
}

/// The layers by name, in the order in which a request should meet them.
///
/// ```
/// use tower::{ServiceBuilder, service_fn};
/// use tower_completions::{Dialect, Principal, auth::Keys, body::Full, parse::ChatBody, stack::ServiceBuilderExt};
///
/// let service = ServiceBuilder::new()
///     .request_id()
///     .auth(Keys::new())
///     .limit_rates()
///     .validate(Dialect::openai())
///     .reframe(Dialect::openai())
///     .service(service_fn(async |_: http::Request<ChatBody>| {
///         Ok::<_, std::convert::Infallible>(http::Response::new(Full::new("{}")))
///     }));
/// # let _ = service;
/// ```
pub trait ServiceBuilderExt<L>: sealed::Sealed + Sized {
    /// Gives every answer an `x-request-id`.
    fn request_id(self) -> ServiceBuilder<Stack<RequestIdLayer, L>>;

    /// Admits whom `authenticate` knows.
    fn auth<A>(self, authenticate: A) -> ServiceBuilder<Stack<AuthLayer<A>, L>>;

    /// Holds each caller to the limits attached to its principal. (`rate_limit` is tower's own.)
    fn limit_rates(self) -> ServiceBuilder<Stack<RateLimitLayer, L>>;

    /// Refuses what no upstream would take.
    fn validate(self, dialect: Dialect) -> ServiceBuilder<Stack<ValidateLayer, L>>;

    /// Holds and charges what a request costs.
    fn cost<K: Ledger>(
        self,
        book: impl PriceBook + 'static,
        ledger: K,
    ) -> ServiceBuilder<Stack<CostLayer<K>, L>>;

    /// Makes answers canonical.
    fn reframe(self, dialect: Dialect) -> ServiceBuilder<Stack<ReframeLayer, L>>;
}

impl<L> ServiceBuilderExt<L> for ServiceBuilder<L> {
    fn request_id(self) -> ServiceBuilder<Stack<RequestIdLayer, L>> {
        self.layer(RequestIdLayer::new())
    }

    fn auth<A>(self, authenticate: A) -> ServiceBuilder<Stack<AuthLayer<A>, L>> {
        self.layer(AuthLayer::new(authenticate))
    }

    fn limit_rates(self) -> ServiceBuilder<Stack<RateLimitLayer, L>> {
        self.layer(RateLimitLayer::default())
    }

    fn validate(self, dialect: Dialect) -> ServiceBuilder<Stack<ValidateLayer, L>> {
        self.layer(ValidateLayer::new(dialect))
    }

    fn cost<K: Ledger>(
        self,
        book: impl PriceBook + 'static,
        ledger: K,
    ) -> ServiceBuilder<Stack<CostLayer<K>, L>> {
        self.layer(CostLayer::new(book, ledger))
    }

    fn reframe(self, dialect: Dialect) -> ServiceBuilder<Stack<ReframeLayer, L>> {
        self.layer(ReframeLayer::new(dialect))
    }
}
