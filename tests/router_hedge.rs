//! Who pays for the attempt that a hedge dropped.

#![cfg(feature = "mock")]

#[path = "support/books.rs"]
mod books;

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_completions::{
    Principal, Served, Target,
    auth::Keys,
    body::{BoxBody, BoxError, Full},
    cost::{Amount, Bill, CostLayer, MemoryLedger, Price, Prices, Receipt},
    meter::Tally,
    mock::{Script, Upstream},
    parse::ChatBody,
    provider::{Provider, openai::OpenAi},
    router::{Candidate, Hedge, LoserCharge, Model, Route, Router, Table},
    stack::Gateway,
    wire::Usage,
};

/// `m` at `a` for a dollar and two a million tokens, and `n` at `b`, ten times as dear, in its place.
fn fallback() -> [Model; 2] {
    let m = Model::new("m").target(Candidate::new("a", "x"));
    [
        m.fallback("n"),
        Model::new("n").target(Candidate::new("b", "y")),
    ]
}

/// `m` at both.
fn pair() -> [Model; 1] {
    let reserve = Candidate::new("b", "y").priority(1);
    [Model::new("m")
        .target(Candidate::new("a", "x"))
        .target(reserve)]
}

fn prices() -> Prices {
    let price = |input, output| Price::new(input, output).expect("decimals");
    Prices::new()
        .with("m", price("1", "2"))
        .with("n", price("10", "20"))
        .with_fallbacks("m", ["n"])
}

fn hedge(charge: LoserCharge) -> Hedge {
    Hedge::after(Duration::from_secs(2)).charge(charge)
}

fn ask(stream: bool) -> Request<Full> {
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"one two three"}}],"stream":{stream},"max_tokens":9}}"#
    );
    Request::post("/v1/chat/completions")
        .header("authorization", "Bearer sk-demo")
        .header("content-type", "application/json")
        .body(Full::new(body))
        .expect("a request")
}

/// What one request was charged, and the receipt of it.
async fn charged<S, B>(
    router: Router<S, impl Route>,
    ledger: &MemoryLedger,
    stream: bool,
) -> Receipt
where
    S: tower::Service<Request<ChatBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let keys = Keys::new();
    keys.insert("sk-demo", Principal::new("demo"));
    let gateway = Gateway::builder(keys)
        .cost_layer(CostLayer::new(prices(), ledger.clone()).hold_for_losers())
        .build(router);
    let before = ledger.statement("demo").spent;
    let response = gateway.oneshot(ask(stream)).await.expect("infallible");
    let (parts, body): (_, BoxBody) = response.into_parts();
    let text = body.collect().await.expect("whole").to_bytes();
    assert_eq!(parts.status, 200, "{text:?}");
    assert!(String::from_utf8_lossy(&text).contains("three"), "{text:?}");
    let receipt = if stream {
        let bill = parts.extensions.get::<Bill>().expect("a stream");
        bill.receipt().expect("settled").clone()
    } else {
        let receipt = parts.extensions.get::<Receipt>().expect("charged").clone();
        let told = parts.headers["x-completion-cost"].to_str().expect("text");
        assert_eq!(told, receipt.cost.to_string());
        receipt
    };
    let spent = books::settled(ledger, "demo").spent;
    assert_eq!(spent.minus(before), receipt.charged);
    receipt
}

fn provider(name: &'static str, upstream: &Upstream) -> Provider<Upstream, OpenAi> {
    let translate = OpenAi::new("http://upstream/v1").expect("a URL");
    let provider = Provider::new(name, upstream.clone(), translate);
    provider.with_keys(["sk-ours"])
}

/// A router over two upstreams.
fn hedged(
    models: &[Model],
    [a, b]: [&Upstream; 2],
    charge: LoserCharge,
) -> Router<Provider<Upstream, OpenAi>, Table> {
    Router::builder(Table::new(models.to_vec()).expect("sound"))
        .provider("a", provider("a", a))
        .provider("b", provider("b", b))
        .hedge(hedge(charge))
        .build()
        .expect("sound")
}

fn grant(amount: &str) -> MemoryLedger {
    let ledger = MemoryLedger::new();
    ledger.grant("demo", amount.parse().expect("an amount"));
    ledger
}

/// The amounts of the lines and the losers in the JSON, digit by digit, added up.
fn sum(receipt: &Receipt) -> Amount {
    let json = receipt.to_json();
    let (_, parts) = json.split_once(r#""lines":"#).expect("it has lines");
    let amounts = parts.split(r#""amount":"#).skip(1).map(|rest| {
        let end = rest.find('}').expect("it ends");
        rest[..end].parse().expect("an amount")
    });
    amounts.fold(Amount::ZERO, Amount::plus)
}

#[tokio::test(start_paused = true)]
async fn a_loser_is_charged_as_the_policy_says() {
    // The answer is 7 tokens in and 3 out; the prompt's estimate is 11.
    for (models, slow, policy, cost) in [
        (&pair()[..], "a", LoserCharge::Nothing, "0.000013"),
        (&pair(), "a", LoserCharge::Estimate, "0.000024"),
        // Each by its own price: the loser cheap, and the answer dear, and the other way round.
        (&fallback(), "a", LoserCharge::Nothing, "0.00013"),
        (&fallback(), "a", LoserCharge::Estimate, "0.000141"),
        (&fallback(), "b", LoserCharge::Estimate, "0.000123"),
    ] {
        for stream in [false, true] {
            let (a, b) = (Upstream::new(), Upstream::new());
            let router = hedged(models, [&a, &b], policy);
            let (late, later) = (Duration::from_secs(3), Duration::from_secs(30));
            let late_is_a = slow == "a";
            a.queue(Script::echo().with_delay(if late_is_a { later } else { late }));
            b.queue(Script::echo().with_delay(if late_is_a { Duration::ZERO } else { later }));
            let ledger = grant("5.00");
            let receipt = charged(router.clone(), &ledger, stream).await;
            assert_eq!(receipt.cost.to_string(), cost, "{slow} {policy:?} {stream}");
            assert_eq!(
                (receipt.charged, sum(&receipt)),
                (receipt.cost, receipt.cost)
            );
            // Both attempts are in it, whoever pays.
            let served = receipt.served.as_ref().expect("known");
            let lost = &served.tried.as_ref().expect("one lost")[0];
            assert_eq!((served.attempts, lost.error.is_none()), (2, true));
            assert_eq!(
                (&*lost.target.provider, &*served.provider == slow),
                (slow, false)
            );
            let charges = policy == LoserCharge::Estimate;
            assert_eq!(lost.used.is_some(), charges);
            assert_eq!(receipt.losers.len(), usize::from(charges));
            if let Some(loser) = receipt.losers.first() {
                assert_eq!((&loser.target, loser.usage.estimated), (&lost.target, true));
                assert_eq!((loser.usage.input, loser.usage.output), (11, 0));
            }
            let cancelled = |upstream: &Upstream| upstream.log().counts().cancelled;
            assert_eq!(cancelled(&a) + cancelled(&b), 1, "it is dropped");
            assert!(router.health().iter().all(|one| one.in_flight == 0));
        }
    }
}

/// One that failed before another answered is charged to nobody, whatever the policy.
#[tokio::test(start_paused = true)]
async fn who_fails_is_no_loser() {
    let (a, b) = (Upstream::new(), Upstream::new());
    let router = hedged(&pair(), [&a, &b], LoserCharge::Estimate);
    a.queue(Script::failed().with_delay(Duration::from_secs(3)));
    b.queue(Script::echo().with_delay(Duration::from_secs(3)));
    let receipt = charged(router, &grant("5.00"), false).await;
    assert_eq!(
        (receipt.cost.to_string().as_str(), receipt.attempts()),
        ("0.000013", 2)
    );
    assert!(receipt.losers.is_empty());
}

/// A hold for one answer and a second prompt at the dearer price: 11 tokens in and 9 out, and 11 in
/// once more.
#[tokio::test(start_paused = true)]
async fn what_a_loser_may_cost_is_held() {
    for (balance, hold, status) in [
        ("0.0004", true, 200),
        ("0.000399", true, 402),
        ("0.000399", false, 200),
    ] {
        let (a, b) = (Upstream::new(), Upstream::new());
        let router = hedged(&pair(), [&a, &b], LoserCharge::Estimate);
        a.queue(Script::echo().with_delay(Duration::from_secs(9)));
        let ledger = grant(balance);
        let mut cost = CostLayer::new(prices(), ledger.clone());
        if hold {
            cost = cost.hold_for_losers();
        }
        let mut request = ask(false);
        request.extensions_mut().insert(Principal::new("demo"));
        let response = cost
            .layer(router)
            .oneshot(request)
            .await
            .expect("infallible");
        assert_eq!(response.status().as_u16(), status, "{balance} {hold}");
        drop(response.into_body().collect().await);
        books::settled(&ledger, "demo");
    }
}

/// A client that leaves in the middle of the answer pays for what came, and for the loser.
#[tokio::test(start_paused = true)]
async fn who_leaves_pays_for_both() {
    let (a, b) = (Upstream::new(), Upstream::new());
    let router = hedged(&pair(), [&a, &b], LoserCharge::Estimate);
    a.queue(Script::echo().with_delay(Duration::from_secs(9)));
    b.queue(Script::echo().with_event_delay(Duration::from_secs(1)));
    let keys = Keys::new();
    keys.insert("sk-demo", Principal::new("demo"));
    let ledger = grant("5.00");
    let gateway = Gateway::builder(keys)
        .cost_layer(CostLayer::new(prices(), ledger.clone()).hold_for_losers())
        .build(router);
    let response = gateway.oneshot(ask(true)).await.expect("infallible");
    let served = response.extensions().get::<Served>().expect("served");
    assert_eq!((&*served.provider, served.attempts), ("b", 2));
    let mut body = response.into_body();
    let mut text = String::new();
    while !text.contains("one") {
        let frame = body.frame().await.expect("a frame").expect("sound");
        text.push_str(&String::from_utf8_lossy(&frame.into_data().expect("data")));
    }
    drop(body);
    // The prompt by its estimate twice, and a token for what came.
    let spent = books::settled(&ledger, "demo").spent;
    assert_eq!(spent.to_string(), "0.000024");
}

/// What an upstream has said before it lost stands in for the estimate.
#[tokio::test(start_paused = true)]
async fn what_the_losers_upstream_had_counted_is_charged() {
    let service = service_fn(|request: Request<ChatBody>| {
        let target = request.extensions().get::<Target>().expect("set").clone();
        let first = &*target.provider == "a";
        let tally = Tally::new();
        let mut events = VecDeque::from([
            "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n",
        ]);
        if first {
            tally.record_usage(Usage::new(700, 5));
        } else {
            tally.record_usage(Usage::new(7, 3));
            events.extend([
                "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"three\"},\"finish_reason\":\"stop\"}]}\n\n",
                "data: [DONE]\n\n",
            ]);
        }
        async move {
            let response = Response::builder().header("content-type", "text/event-stream");
            let mut response = response.body(Said(events, false)).expect("valid");
            response.extensions_mut().insert(tally);
            Ok::<_, Infallible>(response)
        }
    });
    let router = Router::builder(Table::new(pair()).expect("sound"))
        .service("a", service, 1)
        .service("b", service, 1)
        .hedge(hedge(LoserCharge::Estimate))
        .build()
        .expect("sound");
    let receipt = charged(router, &grant("5.00"), true).await;
    let loser = &receipt.losers[0];
    assert_eq!((loser.usage.input, loser.usage.output), (700, 5));
    assert!(!loser.usage.estimated);
    assert_eq!(loser.cost.to_string(), "0.00071");
    assert_eq!(receipt.cost.to_string(), "0.000723");
    let line = r#""losers":[{"provider":"a","model":"x","input":700,"output":5,"estimated":false,"amount":0.00071}]"#;
    assert!(receipt.to_json().contains(line), "{}", receipt.to_json());
}

/// Events, and then silence for ever when the last was no end.
struct Said(VecDeque<&'static str>, bool);

impl Body for Said {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.0.pop_front() {
            Some(event) => {
                self.1 = event.contains("[DONE]");
                let data = Bytes::from_static(event.as_bytes());
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            None if self.1 => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}
