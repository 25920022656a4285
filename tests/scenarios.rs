//! The failures that gateways are compared by, through the whole gateway in one process: for each
//! the status, the body, the attempts, the charge and the breaker.

#![cfg(feature = "mock")]

#[path = "support/books.rs"]
mod books;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::{Service, ServiceExt as _};
use tower_completions::{
    Attempts, Dialect, Principal, Served,
    auth::Keys,
    body::{BoxBody, Full},
    cost::{Amount, MemoryLedger, Price, Prices, Receipt},
    error::TimeOut,
    meter::{Outcome, Tally},
    mock::{Fault, Script, Upstream},
    observe::Breaker,
    provider::{Provider, openai::OpenAi},
    reframe::ReframeLayer,
    router::{Candidate, Model, Router, Table},
    stack::Gateway,
};

type Providers = Router<Provider<Upstream, OpenAi>, Table>;

/// A gateway over two providers, each with its mock.
struct Stage {
    a: Upstream,
    b: Upstream,
    router: Providers,
    ledger: MemoryLedger,
    /// Whether the first provider fails whatever it is asked.
    a_fails: Arc<AtomicBool>,
}

/// What a client saw, and what it cost.
#[derive(Debug)]
struct Seen {
    status: u16,
    text: String,
    headers: http::HeaderMap,
    extensions: http::Extensions,
    charged: String,
}

/// The answer of the mock to the question below: 7 tokens in, 3 out.
const COST: &str = "0.000013";
const FALLBACK_COST: &str = "0.00013";

impl Stage {
    /// `m` at both providers, the second as a reserve.
    fn pair() -> Self {
        let reserve = Candidate::new("b", "y").priority(1);
        Self::new([Model::new("m")
            .target(Candidate::new("a", "x"))
            .target(reserve)])
    }

    /// `m` at the first provider only.
    fn solo() -> Self {
        Self::new([Model::new("m").target(Candidate::new("a", "x"))])
    }

    /// `m` at the first provider, and `n`, ten times as dear, at the second to stand in.
    fn fallback() -> Self {
        let m = Model::new("m")
            .target(Candidate::new("a", "x"))
            .fallback("n");
        Self::new([m, Model::new("n").target(Candidate::new("b", "y"))])
    }

    fn new(models: impl IntoIterator<Item = Model>) -> Self {
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

    fn service(
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

    fn service_with(
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
    async fn ask(&self, stream: bool) -> Seen {
        self.ask_with(stream, "").await
    }

    async fn ask_with(&self, stream: bool, more: &str) -> Seen {
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

    fn request(stream: bool, more: &str) -> Request<Full> {
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
    fn closed(&self) -> Vec<bool> {
        let health = self.router.health();
        assert!(health.iter().all(|one| one.in_flight == 0), "{health:?}");
        health
            .iter()
            .map(|one| one.breaker == Breaker::Closed)
            .collect()
    }

    fn calls(&self) -> (u64, u64) {
        let of = |upstream: &Upstream| {
            let counts = upstream.log().counts();
            assert_eq!(counts.open, 0, "an upstream request was left open");
            counts.calls
        };
        (of(&self.a), of(&self.b))
    }
}

impl Seen {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// Status, error code and attempts.
    #[track_caller]
    fn is(&self, status: u16, code: &str, attempts: u32) -> &Self {
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
    fn charged(&self, amount: &str) -> &Self {
        assert_eq!(self.charged, amount, "{}", self.text);
        self
    }

    /// The whole answer: the words asked for, and on a stream `[DONE]` last.
    #[track_caller]
    fn whole(&self) -> &Self {
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
    fn broken(&self, came: &str) -> &Self {
        assert!(self.text.contains(came), "{}", self.text);
        assert!(!self.text.contains("[DONE]"), "{}", self.text);
        self
    }
}

fn filtered() -> Script {
    Script::error(
        StatusCode::BAD_REQUEST,
        "invalid_request_error",
        "content_filter",
        "The response was filtered",
    )
}

#[tokio::test(start_paused = true)]
async fn a_429_with_retry_after() {
    for stream in [false, true] {
        // Waited for, where there is nobody else.
        let stage = Stage::solo();
        stage.a.queue(Script::rate_limited("2"));
        let start = tokio::time::Instant::now();
        stage.ask(stream).await.is(200, "", 2).whole().charged(COST);
        assert!((2..3).contains(&start.elapsed().as_secs()));
        assert_eq!(stage.closed(), [true]);
        // Not waited for, where there is.
        let stage = Stage::pair();
        stage.a.queue(Script::rate_limited("2"));
        let start = tokio::time::Instant::now();
        stage.ask(stream).await.is(200, "", 2).whole().charged(COST);
        assert!(start.elapsed() < Duration::from_secs(1));
        // It rests as long as it said, without a request that finds out.
        stage.ask(stream).await.is(200, "", 1).whole().charged(COST);
        assert_eq!(stage.calls(), (1, 2));
        tokio::time::advance(Duration::from_secs(2)).await;
        stage.ask(stream).await.is(200, "", 1).whole().charged(COST);
        assert_eq!((stage.calls(), stage.closed()), ((2, 2), vec![true, true]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_persistent_429() {
    for stream in [false, true] {
        let stage = Stage::pair();
        for _ in 0..3 {
            stage.a.queue(Script::rate_limited("30"));
            stage.b.queue(Script::rate_limited("40"));
        }
        let seen = stage.ask(stream).await;
        seen.is(429, "upstream_rate_limited", 2).charged("0");
        assert_eq!(seen.json()["error"]["type"], "rate_limit_error");
        assert_eq!(seen.headers["retry-after"], "40");
        // Those who rest are left alone, and the client is told how long.
        let seen = stage.ask(stream).await;
        seen.is(429, "upstream_rate_limited", 0).charged("0");
        assert_eq!(seen.headers["retry-after"], "30");
        assert_eq!((stage.calls(), stage.closed()), ((1, 1), vec![true, true]));
    }
}

#[tokio::test(start_paused = true)]
async fn one_500() {
    for stream in [false, true] {
        for stage in [Stage::solo(), Stage::pair()] {
            stage.a.queue(Script::failed());
            let seen = stage.ask(stream).await;
            seen.is(200, "", 2).whole().charged(COST);
            let tried = seen.extensions.get::<Attempts>().expect("one in vain");
            assert_eq!(tried.len(), 1);
            let error = tried[0].error.as_ref().expect("it failed");
            assert_eq!(
                (&*tried[0].target.provider, error.code()),
                ("a", Some("bad_upstream_response"))
            );
            assert!(stage.closed().iter().all(|closed| *closed));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_persistent_503() {
    for stream in [false, true] {
        let stage = Stage::solo();
        for _ in 0..60 {
            stage.a.queue(Script::overloaded());
        }
        let seen = stage.ask(stream).await;
        seen.is(503, "upstream_overloaded", 3).charged("0");
        assert_eq!(seen.json()["error"]["type"], "overloaded_error");
        assert_eq!(
            seen.extensions.get::<Attempts>().map(|tried| tried.len()),
            Some(3)
        );
        for _ in 0..3 {
            let seen = stage.ask(stream).await;
            seen.is(503, "upstream_overloaded", 3).charged("0");
        }
        assert_eq!(stage.closed(), [true], "charged once a request");
        let seen = stage.ask(stream).await;
        seen.is(503, "upstream_overloaded", 3).charged("0");
        assert_eq!(stage.closed(), [false]);
        // Open: one request still tries its luck, and does not insist.
        let (before, _) = stage.calls();
        stage
            .ask(stream)
            .await
            .is(503, "upstream_overloaded", 1)
            .charged("0");
        assert_eq!(stage.calls(), (before + 1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_before_the_headers() {
    for stream in [false, true] {
        let stage = Stage::pair();
        stage.a.queue(Script::reset());
        stage.ask(stream).await.is(200, "", 2).whole().charged(COST);
        assert_eq!(stage.closed(), [true, true]);
        for _ in 0..9 {
            stage.a.queue(Script::reset());
            stage.b.queue(Script::reset());
        }
        let seen = stage.ask(stream).await;
        seen.is(502, "upstream_unreachable", 3).charged("0");
        assert_eq!(seen.json()["error"]["type"], "upstream_error");
        assert_eq!(stage.closed(), [true, true]);
    }
}

#[tokio::test(start_paused = true)]
async fn no_response() {
    for (stream, time, seconds) in [
        (false, TimeOut::Attempt, 60),
        (true, TimeOut::FirstEvent, 30),
    ] {
        let stage = Stage::pair();
        stage.a.queue(Script::silent());
        let start = tokio::time::Instant::now();
        let seen = stage.ask(stream).await;
        seen.is(200, "", 2).whole().charged(COST);
        assert_eq!(start.elapsed().as_secs(), seconds);
        let tried = seen.extensions.get::<Attempts>().expect("one in vain");
        let error = tried[0].error.as_ref().expect("it failed");
        assert_eq!(error.time_out(), Some(time));
        assert_eq!(stage.closed(), [true, true]);
        for _ in 0..9 {
            stage.a.queue(Script::silent());
            stage.b.queue(Script::silent());
        }
        let seen = stage.ask(stream).await;
        seen.is(504, "upstream_timeout", 3).charged("0");
        assert_eq!(stage.closed(), [true, true]);
        assert_eq!(
            stage.a.log().counts().cancelled + stage.b.log().counts().cancelled,
            4
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_first_token() {
    // A head at once and then nothing for long: the next target, invisibly.
    let slow = |seconds| Script::echo().with_slices(1, Duration::from_secs(seconds));
    let stage = Stage::pair();
    stage.a.queue(slow(31));
    let seen = stage.ask(true).await;
    seen.is(200, "", 2).whole().charged(COST);
    let error = seen
        .extensions
        .get::<Attempts>()
        .and_then(|t| t[0].error.clone());
    let error = error.expect("it failed");
    assert_eq!(error.code(), Some("upstream_timeout"));
    assert_eq!(error.time_out(), Some(TimeOut::FirstEvent));
    assert!(
        error.message().contains("first event"),
        "{}",
        error.message()
    );
    assert_eq!(stage.closed(), [true, true]);
    // Again and again it is a failure as any other.
    for nth in 1..5 {
        assert_eq!(stage.closed(), [true, true], "{nth}");
        stage.a.queue(slow(31));
        stage.ask(true).await.is(200, "", 2).whole().charged(COST);
    }
    assert_eq!((stage.calls(), stage.closed()), ((5, 5), vec![false, true]));
    // Slow, and in time.
    let stage = Stage::pair();
    stage
        .a
        .queue(Script::echo().with_delay(Duration::from_secs(29)));
    stage.ask(true).await.is(200, "", 1).whole().charged(COST);
    assert_eq!((stage.calls(), stage.closed()), ((1, 0), vec![true, true]));
    // Nobody in time.
    let stage = Stage::solo();
    for _ in 0..3 {
        stage.a.queue(slow(31));
    }
    stage
        .ask(true)
        .await
        .is(504, "upstream_timeout", 3)
        .charged("0");
    assert_eq!(stage.closed(), [true]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_cut() {
    let stage = Stage::pair();
    // Before the first content nobody has seen anything.
    stage.a.queue(Script::echo().with_fault(1, Fault::Cut));
    stage.ask(true).await.is(200, "", 2).whole().charged(COST);
    // After it nothing is retried, and what came is charged: 8 bytes of text are 2 tokens, and the
    // prompt by its estimate is 11.
    for nth in 0..4 {
        assert_eq!(stage.closed(), [true, true], "{nth}");
        stage.a.queue(Script::echo().with_fault(3, Fault::Cut));
        let seen = stage.ask(true).await;
        seen.is(200, "bad_upstream_response", 1).broken("two");
        seen.charged("0.000015");
    }
    assert_eq!(stage.closed(), [false, true], "cut streams count");
    stage.ask(true).await.is(200, "", 1).whole().charged(COST);
    // An answer in one piece that is cut was never begun.
    let stage = Stage::pair();
    stage.a.queue(Script::echo().with_fault(0, Fault::Cut));
    stage.ask(false).await.is(200, "", 2).whole().charged(COST);
    assert_eq!((stage.calls(), stage.closed()), ((1, 1), vec![true, true]));
}

#[tokio::test(start_paused = true)]
async fn a_stall() {
    let stage = Stage::pair();
    stage.a.queue(Script::echo().with_fault(3, Fault::Stall));
    let start = tokio::time::Instant::now();
    let seen = stage.ask(true).await;
    seen.is(200, "upstream_timeout", 1)
        .broken("two")
        .charged("0.000015");
    assert!(seen.text.contains("nothing more in time"), "{}", seen.text);
    assert_eq!(start.elapsed().as_secs(), 20);
    assert_eq!((stage.calls(), stage.closed()), ((1, 0), vec![true, true]));
    let tally = seen.extensions.get::<Tally>().expect("told");
    let Some(Outcome::Failed(error)) = tally.outcome() else {
        panic!("{tally:?}");
    };
    assert_eq!(error.time_out(), Some(TimeOut::Idle));
    // Before the first event it is another target's turn.
    let stage = Stage::pair();
    stage.a.queue(Script::echo().with_fault(0, Fault::Stall));
    stage.ask(true).await.is(200, "", 2).whole().charged(COST);
    for nth in 0..4 {
        assert_eq!(stage.closed(), [true, true], "{nth}");
        stage.a.queue(Script::echo().with_fault(3, Fault::Stall));
        let seen = stage.ask(true).await;
        seen.is(200, "upstream_timeout", 1).broken("two");
        seen.charged("0.000015");
    }
    assert_eq!(stage.closed(), [false, true]);
    // In one piece: the attempt's time-out.
    let stage = Stage::pair();
    stage.a.queue(Script::echo().with_fault(0, Fault::Stall));
    let seen = stage.ask(false).await;
    seen.is(200, "", 2).whole().charged(COST);
    let tried = seen.extensions.get::<Attempts>().expect("one in vain");
    let error = tried[0].error.as_ref().expect("it failed");
    assert_eq!(error.code(), Some("upstream_timeout"));
    assert_eq!((stage.calls(), stage.closed()), ((1, 1), vec![true, true]));
}

#[tokio::test(start_paused = true)]
async fn keep_alives_flow_once_the_look_ahead_is_over() {
    // A role at once, and nothing to read for long: the head goes out after the ten seconds that
    // content is waited for, and from then on the client hears that somebody is there.
    let stage = Stage::pair();
    stage
        .a
        .queue(Script::echo().with_event_delay(Duration::from_secs(18)));
    let reframe = ReframeLayer::new(Dialect::openai())
        .idle_timeout(Duration::from_secs(20))
        .keep_alive(Duration::from_secs(3));
    let start = tokio::time::Instant::now();
    let request = Stage::request(true, "");
    let call = stage.service_with(reframe).oneshot(request);
    let response = call.await.expect("infallible");
    assert_eq!(
        (response.status().as_u16(), start.elapsed().as_secs()),
        (200, 10)
    );
    assert_eq!(response.headers()["x-attempts"], "1");
    let mut body = response.into_body();
    let mut heard = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.expect("no error reaches the client");
        let text = String::from_utf8(frame.into_data().expect("data").to_vec()).expect("UTF-8");
        let what = match text.as_str() {
            ": keep-alive\n\n" => "alive",
            role if role.contains("\"role\"") => "role",
            word if word.contains("one") => "one",
            _ => break,
        };
        heard.push((what, start.elapsed().as_secs()));
    }
    let alive = [13, 16].map(|at| ("alive", at));
    let later = [21, 24, 27, 30, 33].map(|at| ("alive", at));
    let want = [&[("role", 10)][..], &alive, &[("one", 18)], &later].concat();
    assert_eq!(heard, want);
    drop(body);
    assert_eq!((stage.calls(), stage.closed()), ((1, 0), vec![true, true]));
    assert!(books::settled(&stage.ledger, "demo").spent > Amount::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_chunk() {
    let stage = Stage::pair();
    stage
        .a
        .queue(Script::echo().with_fault(1, Fault::Malformed));
    stage.ask(true).await.is(200, "", 2).whole().charged(COST);
    stage
        .a
        .queue(Script::echo().with_fault(3, Fault::Malformed));
    let seen = stage.ask(true).await;
    seen.is(200, "bad_upstream_response", 1)
        .broken("two")
        .charged("0.000015");
    assert_eq!((stage.calls(), stage.closed()), ((2, 1), vec![true, true]));
    for script in [Script::garbage, Script::html] {
        let stage = Stage::pair();
        for stream in [false, true] {
            stage.a.queue(script());
            stage.ask(stream).await.is(200, "", 2).whole().charged(COST);
        }
        assert_eq!(stage.closed(), [true, true]);
    }
    for nth in 0..3 {
        assert_eq!(stage.closed(), [true, true], "{nth}");
        stage
            .a
            .queue(Script::echo().with_fault(3, Fault::Malformed));
        let seen = stage.ask(true).await;
        seen.is(200, "bad_upstream_response", 1).broken("two");
        seen.charged("0.000015");
    }
    assert_eq!(stage.closed(), [false, true]);
}

#[tokio::test(start_paused = true)]
async fn no_done() {
    let stage = Stage::pair();
    for _ in 0..6 {
        stage.a.queue(Script::echo().without_done());
        let seen = stage.ask(true).await;
        seen.is(200, "", 1).whole().charged(COST);
        assert_eq!(seen.text.matches("[DONE]").count(), 1);
    }
    // Without a finish reason either it is no whole answer.
    stage.a.queue(Script::echo().with_fault(3, Fault::End));
    stage
        .ask(true)
        .await
        .is(200, "bad_upstream_response", 1)
        .broken("two")
        .charged("0.000015");
    assert_eq!((stage.calls(), stage.closed()), ((7, 0), vec![true, true]));
}

#[tokio::test(start_paused = true)]
async fn a_context_length() {
    for stream in [false, true] {
        let too_long = || Script::of_model("too-long").expect("built in");
        // Another target of the same model would say the same.
        let stage = Stage::pair();
        for _ in 0..9 {
            stage.a.queue(too_long());
            let seen = stage.ask(stream).await;
            seen.is(400, "context_length_exceeded", 1).charged("0");
            let message = seen.json()["error"]["message"].to_string();
            assert!(message.contains("8192 tokens"), "{message}");
        }
        assert_eq!((stage.calls(), stage.closed()), ((9, 0), vec![true, true]));
        // Another model may be larger.
        let stage = Stage::fallback();
        stage.a.queue(too_long());
        let seen = stage.ask(stream).await;
        seen.is(200, "", 2).whole().charged(FALLBACK_COST);
        assert_eq!((stage.calls(), stage.closed()), ((1, 1), vec![true, true]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_content_filter() {
    for stream in [false, true] {
        for stage in [Stage::pair(), Stage::fallback()] {
            for _ in 0..9 {
                stage.a.queue(filtered());
                let seen = stage.ask(stream).await;
                seen.is(400, "content_filter", 1).charged("0");
                assert_eq!(seen.json()["error"]["message"], "The response was filtered");
            }
            assert_eq!((stage.calls(), stage.closed()), ((9, 0), vec![true, true]));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_refuses() {
    for stream in [false, true] {
        let stage = Stage::fallback();
        stage.a.queue(Script::overloaded());
        stage.b.queue(Script::error(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_request_error",
            "unsupported_parameter",
            "This model knows no max_tokens, says sk-abcdefgh",
        ));
        let seen = stage.ask(stream).await;
        seen.is(400, "unsupported_parameter", 2).charged("0");
        let error = &seen.json()["error"];
        assert_eq!(error["message"], "This model knows no max_tokens, says […]");
        assert_eq!((stage.calls(), stage.closed()), ((1, 1), vec![true, true]));
        // Our own keys refused: nothing the client could mend.
        stage.a.queue(Script::failed());
        stage
            .b
            .queue(Script::of_model("unauthorized").expect("built in"));
        let seen = stage.ask(stream).await;
        seen.is(502, "upstream_unauthorized", 2).charged("0");
        assert!(!seen.text.contains("Incorrect API key"));
        assert_eq!(stage.closed(), [true, true]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_flapping_primary() {
    for stream in [false, true] {
        let stage = Stage::pair();
        let mut in_vain = 0;
        let mut opened = false;
        for nth in 0..600 {
            // Ten seconds well, ten seconds not.
            stage.a_fails.store(nth / 20 % 2 == 1, Ordering::Relaxed);
            let seen = stage.ask(stream).await;
            assert_eq!(seen.status, 200, "{nth}: {}", seen.text);
            seen.whole().charged(COST);
            in_vain += seen
                .extensions
                .get::<Attempts>()
                .map_or(0, |tried| tried.len());
            opened |= !stage.closed()[0];
            tokio::time::advance(Duration::from_millis(500)).await;
        }
        assert!(opened, "the breaker never opened");
        assert!(in_vain <= 30, "{in_vain} attempts in vain of 600 requests");
        assert!(stage.closed()[1]);
        // Asked again when it may be well, less and less often as it goes on.
        assert!(stage.calls().0 > 30, "{:?}", stage.calls());
    }
}

#[tokio::test(start_paused = true)]
async fn accounting_across_fail_over() {
    for stream in [false, true] {
        let stage = Stage::fallback();
        stage.a.queue(Script::failed());
        let more = r#","stream_options":{"include_usage":true}"#;
        let seen = stage.ask_with(stream, if stream { more } else { "" }).await;
        seen.is(200, "", 2).whole().charged(FALLBACK_COST);
        let served = seen.extensions.get::<Served>().expect("served");
        assert_eq!(
            (
                &*served.provider,
                &*served.model,
                &*served.id,
                served.attempts
            ),
            ("b", "y", "n", 2)
        );
        let tried = seen.extensions.get::<Attempts>().expect("one in vain");
        assert_eq!((&*tried[0].target.provider, &*tried[0].id), ("a", "m"));
        if !stream {
            let receipt = seen.extensions.get::<Receipt>().expect("charged");
            let served = receipt.served.as_ref().expect("known");
            let tried = served.tried.as_ref().expect("one in vain");
            let error = tried[0].error.as_ref().expect("it failed");
            assert_eq!(error.code(), Some("bad_upstream_response"));
            assert_eq!(seen.headers["x-completion-cost"], FALLBACK_COST);
            assert_eq!(seen.json()["model"], "m");
        }
        // Of what the client sent, nothing but the body went upstream.
        for upstream in [&stage.a, &stage.b] {
            let asked = upstream.log().last().expect("one");
            assert_eq!(asked.header("cookie").or(asked.header("x-custom")), None);
            let key = asked.header("authorization").expect("ours");
            assert!(!key.contains("sk-demo"), "{key}");
            assert_eq!(asked.header("accept-encoding"), None);
        }
        assert_eq!(stage.closed(), [true, true]);
    }
}

#[tokio::test(start_paused = true)]
async fn every_upstream_down_is_hardly_amplified() {
    // However slowly or fast the requests come.
    for every in [0, 10, 100, 1_000, 10_000] {
        let stage = Stage::pair();
        let requests = 500;
        for _ in 0..requests * 3 {
            stage.a.queue(Script::overloaded());
            stage.b.queue(Script::reset());
        }
        for _ in 0..requests {
            assert!(stage.ask(false).await.status >= 500);
            tokio::time::advance(Duration::from_millis(every)).await;
        }
        let (a, b) = stage.calls();
        let limit = requests * 11 / 10;
        assert!(
            a + b <= limit,
            "{} calls, one request each {every} ms",
            a + b
        );
        assert_eq!(books::settled(&stage.ledger, "demo").spent.to_string(), "0");
    }
}

#[tokio::test(start_paused = true)]
async fn one_poisonous_request_does_not_open_every_breaker() {
    let mut model = Model::new("m");
    for nth in 0..6 {
        model = model.target(Candidate::new("a", format!("x{nth}")).priority(nth));
    }
    let stage = Stage::new([model]);
    for _ in 0..3 * 4 {
        stage.a.queue(Script::failed());
    }
    for _ in 0..4 {
        stage.ask(false).await.is(502, "bad_upstream_response", 3);
    }
    assert!(stage.closed().iter().all(|closed| *closed));
}
