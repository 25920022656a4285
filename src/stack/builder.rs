use std::{convert::Infallible, fmt};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{Boxed, Gateway, RequestId, RequestIdLayer};
use crate::{
    auth::{Auth, AuthLayer, Authenticate},
    cost::{Cost, CostLayer, Ledger, MemoryLedger, PriceBook, Prices},
    dialect::Dialect,
    idempotency::{Idempotency, IdempotencyLayer},
    limit::{
        Cached, Fields, Limiter, Memory, Mode, RateLimit, RateLimitLayer, Store, TokenLimit,
        TokenLimitLayer,
    },
    messages::MessagesLayer,
    models::{Card, Models},
    parse::{ChatBody, Parse, ParseLayer, ReadLimits},
    reframe::{Reframe, ReframeLayer},
    validate::{Validate, ValidateLayer},
};

/// All layers around an upstream, outermost first. The request is parsed once for all of them.
pub type Stack<S, A, L, St = Memory> = Auth<RateLimit<Parse<Parsed<S, L, St>>, St>, A>;

/// The layers over the parsed request.
type Parsed<S, L, St> = Validate<Idempotency<TokenLimit<Boxed<Cost<Reframe<S>, L>>, St>>>;

/// What a [`Gateway`] is made of. Everything but who may call has a default.
#[derive(Clone)]
#[must_use]
pub struct GatewayBuilder<A, L = MemoryLedger, St = Memory> {
    authenticate: A,
    dialect: Dialect,
    limiter: Limiter<St>,
    limits: Limiting,
    read: ReadLimits,
    validate: Option<ValidateLayer>,
    reframe: Option<ReframeLayer>,
    idempotency: IdempotencyLayer,
    cost: CostLayer<L>,
    models: Models,
}

/// What the two layers that limit are told alike, and the one that counts tokens alone.
#[derive(Clone, Copy, Default)]
struct Limiting {
    fields: Fields,
    mode: Mode,
    cached: Cached,
    /// `None`: as the layer has it.
    expected: Option<u64>,
}

impl<A: Authenticate> GatewayBuilder<A> {
    pub(super) fn new(authenticate: A) -> Self {
        Self {
            authenticate,
            dialect: Dialect::openai(),
            limiter: Limiter::new(),
            limits: Limiting::default(),
            read: ReadLimits::default(),
            validate: None,
            reframe: None,
            idempotency: IdempotencyLayer::new(),
            cost: CostLayer::new(Prices::new(), MemoryLedger::new()),
            models: Models::new([]),
        }
    }
}

impl<A: Authenticate, L: Ledger, St: Store> GatewayBuilder<A, L, St> {
    /// Which API it presents. Default: OpenAI's.
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Prices, and the accounts that are charged; limits on [money](crate::limit::Limits::money) count
    /// by the same prices. Default: nothing has a price.
    pub fn cost<K: Ledger>(
        self,
        book: impl PriceBook + 'static,
        ledger: K,
    ) -> GatewayBuilder<A, K, St> {
        self.cost_layer(CostLayer::new(book, ledger))
    }

    /// The accounting, instead of a plain one over a price book and a ledger. It says the cost as the
    /// gateway's dialect has it.
    pub fn cost_layer<K: Ledger>(self, layer: CostLayer<K>) -> GatewayBuilder<A, K, St> {
        GatewayBuilder {
            authenticate: self.authenticate,
            dialect: self.dialect,
            limiter: self.limiter,
            limits: self.limits,
            read: self.read,
            validate: self.validate,
            reframe: self.reframe,
            idempotency: self.idempotency,
            cost: layer,
            models: self.models,
        }
    }

    /// How requests are told that are sent twice. Default: their answers are kept for a day.
    pub fn idempotency(mut self, layer: IdempotencyLayer) -> Self {
        self.idempotency = layer;
        self
    }

    /// Who counts requests and tokens. Default: in memory, by the limits attached to principals.
    pub fn limiter<K: Store>(self, limiter: Limiter<K>) -> GatewayBuilder<A, L, K> {
        GatewayBuilder {
            authenticate: self.authenticate,
            dialect: self.dialect,
            limiter,
            limits: self.limits,
            read: self.read,
            validate: self.validate,
            reframe: self.reframe,
            idempotency: self.idempotency,
            cost: self.cost,
            models: self.models,
        }
    }

    /// Which headers tell of the limits. Default: OpenAI's.
    pub fn limit_fields(mut self, fields: Fields) -> Self {
        self.limits.fields = fields;
        self
    }

    /// Whether what is over a limit is refused. Default: it is. Money that an account does not have is refused
    /// all the same.
    pub fn limit_mode(mut self, mode: Mode) -> Self {
        self.limits.mode = mode;
        self
    }

    /// Whether tokens that the provider read from its cache count against limits on tokens. Default: they do.
    pub fn limit_cached(mut self, cached: Cached) -> Self {
        self.limits.cached = cached;
        self
    }

    /// How many generated tokens limits expect of a request that sets no maximum, as
    /// [`TokenLimitLayer::expect`] has it. Default: 1024.
    pub fn limit_expected(mut self, tokens: u64) -> Self {
        self.limits.expected = Some(tokens);
        self
    }

    /// How much of a body is read, and for how long.
    pub fn read_limits(mut self, limits: ReadLimits) -> Self {
        self.read = limits;
        self
    }

    /// The validator, instead of the dialect's plain one.
    pub fn validate(mut self, layer: ValidateLayer) -> Self {
        self.validate = Some(layer);
        self
    }

    /// The re-framer, instead of the dialect's own, which makes a stream of a whole answer where one
    /// was asked for, and the other way round.
    pub fn reframe(mut self, layer: ReframeLayer) -> Self {
        self.reframe = Some(layer);
        self
    }

    /// The models that are listed.
    pub fn models(mut self, cards: impl IntoIterator<Item = Card>) -> Self {
        self.models = Models::new(cards);
        self
    }

    /// The gateway in front of an upstream: a router, one provider, or a service of one's own that takes
    /// the parsed request and never fails. What fails is an answer: tower's `ServiceExt::then`, or
    /// axum's `HandleError`, makes one of an error.
    pub fn build<S, R>(self, upstream: S) -> Gateway<Stack<S, A, L, St>, Auth<Models, A>>
    where
        A: Clone,
        S: Service<Request<ChatBody>, Response = Response<R>, Error = Infallible> + Clone,
        R: Body<Data = Bytes>,
    {
        let dialect = self.dialect;
        let validate = self
            .validate
            .unwrap_or_else(|| ValidateLayer::new(dialect.clone()));
        let reframe = self
            .reframe
            .unwrap_or_else(|| ReframeLayer::new(dialect.clone()).convert());
        // What limits on money count is what is charged.
        let quoter = self.cost.quoter();
        let Limiting {
            fields,
            mode,
            cached,
            expected,
        } = self.limits;
        let tokens = TokenLimitLayer::new(self.limiter.clone())
            .quote(quoter)
            .cached(cached)
            .fields(fields)
            .mode(mode);
        let tokens = match expected {
            Some(expected) => tokens.expect(expected),
            None => tokens,
        };
        // Each could parse for itself; one does it for all.
        let stack = reframe.layer(upstream).into_inner();
        let cost = self.cost.dialect(&dialect).require_principal();
        let stack = cost.layer(stack).into_inner();
        let stack = tokens.layer(Boxed::new(stack)).into_inner();
        let stack = self.idempotency.layer(stack).into_inner();
        let stack = validate.layer(stack).into_inner();
        let limits = self.read.value_status(dialect.value_status);
        let stack = ParseLayer::new().limits(limits).layer(stack);
        let requests = RateLimitLayer::new(self.limiter).with_tokens();
        let stack = requests.fields(fields).mode(mode).layer(stack);
        let auth = AuthLayer::new(self.authenticate);
        let (completions, models) = (auth.layer(stack), auth.layer(self.models));
        let messages = MessagesLayer::new().max_bytes(self.read.max_bytes);
        Gateway::new(wrap(completions), wrap(models), messages)
    }
}

fn wrap<S>(service: S) -> RequestId<S> {
    RequestIdLayer::new().layer(service)
}

impl<A, L, St> fmt::Debug for GatewayBuilder<A, L, St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayBuilder")
            .field("dialect", &self.dialect)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "tokio"))]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::BodyExt as _;
    use tower::{ServiceExt as _, service_fn};

    use crate::{
        auth::Keys,
        body::Full,
        cost::{MemoryLedger, Price, Prices},
        ext::Principal,
        provider::{Provider, openai::OpenAi},
        stack::Gateway,
    };

    #[tokio::test]
    async fn a_whole_answer_becomes_the_stream_that_was_asked_for() {
        let keys = Keys::new();
        keys.insert("sk", Principal::new("a"));
        let ledger = MemoryLedger::new();
        ledger.grant("a", "1".parse().expect("an amount"));
        let client = service_fn(|_: Request<Full>| async {
            let answer = r#"{"id":"c","object":"chat.completion","created":1,"model":"served","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500}}"#;
            let response = Response::builder().header("content-type", "application/json");
            let response = response.body(Full::new(Bytes::from(answer)));
            Ok::<_, Infallible>(response.expect("a response"))
        });
        let translate = OpenAi::new("http://upstream/v1").expect("an address");
        let prices = Prices::new().with("m", Price::new("1", "2").expect("decimals"));
        let gateway = Gateway::builder(keys)
            .cost(prices, ledger.clone())
            .build(Provider::new("p", client, translate));
        let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
        let request = Request::post("/v1/chat/completions")
            .header("authorization", "Bearer sk")
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        let response = gateway.oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let text = response.into_body().collect().await;
        let text = text.map_err(drop).expect("whole").to_bytes();
        let text = std::str::from_utf8(&text).expect("UTF-8");
        assert!(text.contains(r#""model":"m""#), "{text}");
        assert!(!text.contains("served"), "{text}");
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
        let spent = ledger.statement("a").spent;
        assert_eq!(spent.to_string(), "0.002");
    }
}
