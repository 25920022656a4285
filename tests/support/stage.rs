//! A gateway over two scripted providers, and what a client sees of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Request;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::{Service, ServiceExt as _};
use tower_completions::{
    Dialect, Principal,
    auth::Keys,
    body::{BoxBody, Full},
    cost::{Amount, MemoryLedger, Price, Prices},
    mock::{Script, Upstream},
    observe::Breaker,
    provider::{Provider, openai::OpenAi},
    reframe::ReframeLayer,
    router::{Candidate, Model, Router, Table},
    stack::Gateway,
};

use super::books;

type Providers = Router<Provider<Upstream, OpenAi>, Table>;

/// A gateway over two providers, each with its mock.
pub(crate) struct Stage {
    pub(crate) a: Upstream,
    pub(crate) b: Upstream,
    pub(crate) router: Providers,
    pub(crate) ledger: MemoryLedger,
    /// Whether the first provider fails whatever it is asked.
    pub(crate) a_fails: Arc<AtomicBool>,
}

/// What a client saw, and what it cost.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) text: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) extensions: http::Extensions,
    pub(crate) charged: String,
}

/// The answer of the mock to the question below: 7 tokens in, 3 out.
pub(crate) const COST: &str = "0.000013";
pub(crate) const FALLBACK_COST: &str = "0.00013";

impl Stage {
    /// `m` at both providers, the second as a reserve.
    pub(crate) fn pair() -> Self {
        let reserve = Candidate::new("b", "y").priority(1);
        Self::new([Model::new("m")
            .target(Candidate::new("a", "x"))
            .target(reserve)])
    }

    /// `m` at the first provider only.
    pub(crate) fn solo() -> Self {
        Self::new([Model::new("m").target(Candidate::new("a", "x"))])
    }

    /// `m` at the first provider, and `n`, ten times as dear, at the second to stand in.
    pub(crate) fn fallback() -> Self {
        let m = Model::new("m")
            .target(Candidate::new("a", "x"))
            .fallback("n");
        Self::new([m, Model::new("n").target(Candidate::new("b", "y"))])
    }

    pub(crate) fn new(models: impl IntoIterator<Item = Model>) -> Self {
        let a_fails = Arc::new(AtomicBool::new(false));
        let fails = Arc::clone(&a_fails);
        let a =
            Upstream::new().with_fn(move |_| fails.load(Ordering::Relaxed).then(Script::failed));
        let b = Upstream::new();
        let provider = |name: &'static str, upstream: &Upstream| {
            let translate = OpenAi::new("http://upstream/v1").expect("a URL");
            let provider = Provider::new(name, upstream.clone(), translate);
            provider.with_keys([format!("sk-{name}")])
        };
        let router = Router::builder(Table::new(models).expect("sound"))
            .provider("a", provider("a", &a))
            .provider("b", provider("b", &b))
            .attempt_timeout(Duration::from_secs(60))
            .build()
            .expect("sound");
        let ledger = MemoryLedger::new();
        Self {
            a,
            b,
            router,
            ledger,
            a_fails,
        }
    }

    pub(crate) fn service(
        &self,
    ) -> impl Service<
        Request<Full>,
        Response = http::Response<BoxBody>,
        Error = std::convert::Infallible,
        Future: Send,
    > + Clone
    + use<> {
        let reframe = ReframeLayer::new(Dialect::openai());
        self.service_with(reframe.idle_timeout(Duration::from_secs(20)))
    }

    pub(crate) fn service_with(
        &self,
        reframe: ReframeLayer,
    ) -> impl Service<
        Request<Full>,
        Response = http::Response<BoxBody>,
        Error = std::convert::Infallible,
        Future: Send,
    > + Clone
    + use<> {
        let keys = Keys::new();
        keys.insert("sk-demo", Principal::new("demo"));
        self.ledger
            .grant("demo", "5.00".parse().expect("an amount"));
        let price = |input, output| Price::new(input, output).expect("decimals");
        let prices = Prices::new()
            .with("m", price("1", "2"))
            .with("n", price("10", "20"))
            .with_fallbacks("m", ["n"]);
        Gateway::builder(keys)
            .cost(prices, self.ledger.clone())
            .reframe(reframe)
            .build(self.router.clone())
    }

    /// One request to the last byte of its answer.
    pub(crate) async fn ask(&self, stream: bool) -> Seen {
        self.ask_with(stream, "").await
    }

    pub(crate) async fn ask_with(&self, stream: bool, more: &str) -> Seen {
        let before = self.ledger.statement("demo").spent;
        let request = Self::request(stream, more);
        let response = self.service().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("no error reaches the client");
        let text = String::from_utf8(body.to_bytes().to_vec()).expect("UTF-8");
        let after = books::settled(&self.ledger, "demo");
        Seen {
            status: parts.status.as_u16(),
            text,
            headers: parts.headers,
            extensions: parts.extensions,
            charged: Amount::from_pico(after.spent.pico() - before.pico()).to_string(),
        }
    }

    pub(crate) fn request(stream: bool, more: &str) -> Request<Full> {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"one two three"}}],"stream":{stream},"max_tokens":9{more}}}"#
        );
        Request::post("/v1/chat/completions")
            .header("authorization", "Bearer sk-demo")
            .header("content-type", "application/json")
            .header("cookie", "session=secret")
            .header("x-custom", "own")
            .body(Full::new(body))
            .expect("a request")
    }

    /// Whether the breakers of the first and the second target are closed.
    pub(crate) fn closed(&self) -> Vec<bool> {
        let health = self.router.health();
        assert!(health.iter().all(|one| one.in_flight == 0), "{health:?}");
        health
            .iter()
            .map(|one| one.breaker == Breaker::Closed)
            .collect()
    }

    pub(crate) fn calls(&self) -> (u64, u64) {
        let of = |upstream: &Upstream| {
            let counts = upstream.log().counts();
            assert_eq!(counts.open, 0, "an upstream request was left open");
            counts.calls
        };
        (of(&self.a), of(&self.b))
    }
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// Status, error code and attempts.
    #[track_caller]
    pub(crate) fn is(&self, status: u16, code: &str, attempts: u32) -> &Self {
        let found = if self.text.starts_with('{') {
            self.json()["error"]["code"]
                .as_str()
                .unwrap_or("")
                .to_owned()
        } else {
            let last = self
                .text
                .trim_end()
                .rsplit("\n\n")
                .next()
                .unwrap_or_default();
            let event = last
                .strip_prefix("data: ")
                .and_then(|d| serde_json::from_str::<Value>(d).ok());
            let code = event.and_then(|e| e["error"]["code"].as_str().map(str::to_owned));
            code.unwrap_or_default()
        };
        let tried = self.headers["x-attempts"]
            .to_str()
            .expect("text")
            .to_owned();
        assert_eq!(
            (self.status, found.as_str(), tried.as_str()),
            (status, code, attempts.to_string().as_str()),
            "{}",
            self.text
        );
        self
    }

    #[track_caller]
    pub(crate) fn charged(&self, amount: &str) -> &Self {
        assert_eq!(self.charged, amount, "{}", self.text);
        self
    }

    /// The whole answer: the words asked for, and on a stream `[DONE]` last.
    #[track_caller]
    pub(crate) fn whole(&self) -> &Self {
        if self.text.starts_with('{') {
            assert_eq!(
                self.json()["choices"][0]["message"]["content"],
                "one two three"
            );
        } else {
            assert!(self.text.ends_with("data: [DONE]\n\n"), "{}", self.text);
            assert!(self.text.contains("three"), "{}", self.text);
        }
        self
    }

    /// A stream that broke: what came, an error event, and no `[DONE]`.
    #[track_caller]
    pub(crate) fn broken(&self, came: &str) -> &Self {
        assert!(self.text.contains(came), "{}", self.text);
        assert!(!self.text.contains("[DONE]"), "{}", self.text);
        self
    }
}
