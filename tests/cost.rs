//! `Cost` through its public layer: one settlement, whatever ends the request.

#[path = "support/books.rs"]
mod books;

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt, service_fn};
use tower_completions::{
    Dialect, Error, Principal, Served, Target,
    body::{BoxError, Full},
    cost::{
        Amount, Bill, Budgets, Class, CostLayer, DrainLayer, MemoryLedger, Period, Price,
        PriceList, Prices, Receipt, Scope, Terms, Unpriced, When,
    },
    error::Kind,
    meter::Tally,
    parse::ChatBody,
    wire::{ServiceTier, Usage},
};

/// One step of a scripted body.
#[derive(Clone)]
enum Step {
    Data(&'static str),
    Usage(u64, u64),
    Relay(u64),
    Break,
    Never,
}

struct Script {
    steps: VecDeque<Step>,
    tally: Tally,
}

impl Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            return match self.steps.pop_front() {
                None => Poll::Ready(None),
                Some(Step::Data(text)) => {
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
                }
                Some(Step::Usage(input, output)) => {
                    self.tally.record_usage(Usage::new(input, output));
                    continue;
                }
                Some(Step::Relay(bytes)) => {
                    self.tally.relayed(bytes);
                    continue;
                }
                Some(Step::Break) => Poll::Ready(Some(Err("reset".into()))),
                Some(Step::Never) => {
                    self.steps.push_front(Step::Never);
                    Poll::Pending
                }
            };
        }
    }
}

/// 1 USD a million tokens in, 2 out: 1 and 2 million picodollars a token.
fn book() -> Prices {
    Prices::new().with("m", Price::new("1", "2").expect("decimals"))
}

fn pico(tokens_in: i128, tokens_out: i128) -> Amount {
    Amount::from_pico(tokens_in * 1_000_000 + tokens_out * 2_000_000)
}

fn request(model: &str) -> Request<Full> {
    // 3 for the request, 4 for its message, 2 bytes of text: an estimate of 8 tokens.
    let text = format!(
        r#"{{"model":"{model}","max_tokens":10,"messages":[{{"role":"user","content":"hi"}}]}}"#
    );
    let mut request = Request::new(Full::new(text));
    request.extensions_mut().insert(Principal::new("a"));
    request
}

async fn send(
    ledger: &MemoryLedger,
    dialect: Dialect,
    kind: &'static str,
    steps: &[Step],
) -> Response<impl Body<Data = Bytes, Error = BoxError> + use<>> {
    let steps: VecDeque<Step> = steps.iter().cloned().collect();
    let inner = service_fn(move |_: Request<ChatBody>| {
        let tally = Tally::new();
        let mut response = Response::new(Script {
            steps: steps.clone(),
            tally: tally.clone(),
        });
        response.extensions_mut().insert(tally);
        response
            .headers_mut()
            .insert("content-type", http::HeaderValue::from_static(kind));
        async { Ok::<_, Infallible>(response) }
    });
    let layer = CostLayer::new(book(), ledger.clone()).dialect(&dialect);
    layer
        .layer(inner)
        .oneshot(request("m"))
        .await
        .expect("infallible")
}

fn rich() -> MemoryLedger {
    let ledger = MemoryLedger::new();
    ledger.grant("a", pico(1000, 0));
    ledger
}

/// What was spent; nothing may be held any more.
fn spent(ledger: &MemoryLedger) -> Amount {
    let end = books::settled(ledger, "a");
    assert_eq!(
        end.balance(),
        Some(pico(1000, 0).minus(end.spent)),
        "credited = available + spent"
    );
    end.spent
}

const EVENTS: &str = "text/event-stream";

#[tokio::test]
async fn a_whole_answer_says_what_it_cost() {
    let ledger = rich();
    let steps = [
        Step::Data("{\"id\":"),
        Step::Usage(7, 3),
        Step::Data("\"x\"}"),
    ];
    let response = send(&ledger, Dialect::onysoft(), "application/json", &steps).await;
    assert_eq!(response.headers()["x-completion-cost"], "0.000013");
    assert_eq!(response.headers()["x-completion-cost-currency"], "USD");
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|_| ())
        .expect("whole")
        .to_bytes();
    assert_eq!(
        body,
        r#"{"id":"x","cost":{"amount":0.000013,"currency":"USD"}}"#
    );
    assert_eq!(spent(&ledger), pico(7, 3));
}

#[tokio::test]
async fn a_stream_settles_at_its_end_and_carries_the_cost() {
    let ledger = rich();
    let finish = "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n";
    let steps = [
        Step::Data("data: {}\n\n"),
        Step::Data(finish),
        Step::Usage(7, 3),
        Step::Data("data: [DONE]\n\n"),
    ];
    let response = send(&ledger, Dialect::onysoft(), EVENTS, &steps).await;
    assert!(!response.headers().contains_key("x-completion-cost"));
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|_| ())
        .expect("whole")
        .to_bytes();
    assert_eq!(
        body,
        "data: {}\n\ndata: {\"choices\":[{\"finish_reason\":\"stop\"}],\"cost\":{\"amount\":0.000013,\"currency\":\"USD\"}}\n\ndata: [DONE]\n\n"
    );
    assert_eq!(spent(&ledger), pico(7, 3));
}

#[tokio::test]
async fn every_ending_settles_once() {
    use Step::{Break, Data, Never, Relay, Usage};
    let data = Data("data: {}\n\n");
    // How many frames are read before the body is dropped, and what is charged.
    let cases: [(&str, Vec<Step>, usize, Amount); 11] = [
        (
            "dropped before the first poll",
            vec![data.clone()],
            0,
            pico(8, 0),
        ),
        ("left with nothing relayed", vec![Never], 1, pico(8, 0)),
        (
            // Reasoning that the provider hides has no bytes, and no count before the usage.
            "left while nothing but hidden reasoning came",
            vec![data.clone(), data.clone(), Never],
            3,
            pico(8, 0),
        ),
        (
            "left after 8 bytes",
            vec![Relay(8), data.clone(), Never],
            2,
            pico(8, 2),
        ),
        (
            "left after the usage",
            vec![Usage(5, 5), data.clone(), Never],
            1,
            pico(5, 5),
        ),
        (
            "left after a placeholder of the usage and much text",
            vec![Usage(5, 1), data.clone(), Relay(32), data.clone(), Never],
            3,
            pico(5, 8),
        ),
        (
            "broken after a placeholder of the usage and much text",
            vec![Usage(5, 0), data.clone(), Relay(32), data.clone(), Break],
            4,
            pico(5, 8),
        ),
        ("broken before content", vec![Break], 2, Amount::ZERO),
        (
            "broken after content",
            vec![Relay(9), data.clone(), Break],
            3,
            pico(8, 3),
        ),
        (
            "whole",
            vec![Relay(4), data.clone(), Usage(5, 6), data.clone()],
            9,
            pico(5, 6),
        ),
        (
            "whole, usage never said",
            vec![Relay(4), data],
            9,
            pico(8, 1),
        ),
    ];
    for (name, steps, frames, charge) in cases {
        let ledger = rich();
        let response = send(&ledger, Dialect::openai(), EVENTS, &steps).await;
        assert_eq!(ledger.statement("a").held, pico(8, 10), "{name}");
        let bill = response.extensions().get::<Bill>().cloned();
        let bill = bill.expect("of a stream");
        let mut body = Box::pin(response.into_body());
        for _ in 0..frames {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            if matches!(
                body.as_mut().poll_frame(&mut cx),
                Poll::Pending | Poll::Ready(None)
            ) {
                break;
            }
        }
        drop(body);
        assert_eq!(spent(&ledger), charge, "{name}");
        // What is not the provider's own count says so.
        let receipt = bill.receipt();
        assert_eq!(receipt.is_some(), charge > Amount::ZERO, "{name}");
        if let Some(receipt) = receipt {
            let told = matches!(name, "left after the usage" | "whole");
            assert_eq!(receipt.usage.estimated, !told, "{name}");
            assert_eq!((receipt.cost, receipt.charged), (charge, charge), "{name}");
        }
    }
}

#[tokio::test]
async fn a_refusal_inside_and_a_panic_release_or_settle() {
    let ledger = rich();
    let layer = CostLayer::new(book(), ledger.clone());
    let refusing = service_fn(|_: Request<ChatBody>| async {
        Ok::<_, Infallible>(Error::new(Kind::Overloaded, "no").response(&Dialect::openai()))
    });
    let response = layer
        .layer(refusing)
        .oneshot(request("m"))
        .await
        .expect("infallible");
    assert_eq!(response.status(), 503);
    assert_eq!(spent(&ledger), Amount::ZERO);

    let panicking = service_fn(|_: Request<ChatBody>| async {
        tokio::task::yield_now().await;
        if true {
            panic!("a handler's fault");
        }
        Ok::<_, Infallible>(Response::new(Full::default()))
    });
    let task = tokio::spawn(layer.layer(panicking).oneshot(request("m")));
    assert!(task.await.expect_err("it panics").is_panic());
    assert_eq!(
        spent(&ledger),
        pico(8, 0),
        "it may have been asked: the prompt is charged"
    );
}

#[tokio::test]
async fn k_calls_on_money_for_one_less() {
    let ledger = MemoryLedger::new();
    let one = pico(8, 10);
    ledger.grant("a", one.times(4));
    let mut open = Vec::new();
    for call in 0..5 {
        let response = send(&ledger, Dialect::openai(), EVENTS, &[Step::Never]).await;
        if call < 4 {
            assert_eq!(response.status(), 200);
            open.push(response);
        } else {
            assert_eq!(response.status(), 402);
            assert_eq!(response.headers()["x-should-retry"], "false");
        }
    }
    assert_eq!(ledger.statement("a").balance(), Some(Amount::ZERO));
}

#[tokio::test]
async fn without_a_price_nothing_is_charged_or_a_balance_refuses() {
    let free = service_fn(|_: Request<ChatBody>| async {
        Ok::<_, Infallible>(Response::new(Full::new("{}")))
    });
    let ledger = rich();
    let layer = CostLayer::new(book(), ledger.clone());
    let response = layer
        .layer(free)
        .oneshot(request("unknown"))
        .await
        .expect("infallible");
    assert_eq!(response.status(), 403);
    let error = response.extensions().get::<Error>().expect("kept");
    assert_eq!(error.code(), Some("model_not_priced"));
    let layer = CostLayer::new(book(), MemoryLedger::new());
    let response = layer
        .layer(free)
        .oneshot(request("unknown"))
        .await
        .expect("infallible");
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("x-completion-cost"));
}

#[tokio::test]
async fn a_fallback_without_a_price_is_not_served_to_a_balance() {
    let ledger = rich();
    let book = book().with_fallbacks("m", ["unpriced"]);
    let inner = service_fn(|_: Request<ChatBody>| async {
        Ok::<_, Infallible>(Response::new(Full::new("{}")))
    });
    let layer = CostLayer::new(book, ledger.clone());
    let response = layer
        .layer(inner)
        .oneshot(request("m"))
        .await
        .expect("infallible");
    assert_eq!(response.status(), 403);
    assert_eq!(spent(&ledger), Amount::ZERO);
}

/// What is charged for an answer of a service that keeps no tally; read so many frames of it.
async fn spent_unseen(kind: &str, encoding: Option<&str>, steps: &[Step], frames: usize) -> Amount {
    let ledger = rich();
    let inner = service_fn(|_: Request<ChatBody>| {
        let mut response = Response::builder().header("content-type", kind);
        if let Some(encoding) = encoding {
            response = response.header("content-encoding", encoding);
        }
        let (steps, tally) = (steps.iter().cloned().collect(), Tally::new());
        let response = response.body(Script { steps, tally }).expect("a response");
        async { Ok::<_, Infallible>(response) }
    });
    let layer = CostLayer::new(book(), ledger.clone());
    let response = layer
        .layer(inner)
        .oneshot(request("m"))
        .await
        .expect("infallible");
    let mut body = Box::pin(response.into_body());
    for _ in 0..frames {
        if body.frame().await.is_none_or(|frame| frame.is_err()) {
            break;
        }
    }
    drop(body);
    spent(&ledger)
}

#[tokio::test]
async fn a_stream_that_nobody_counts_is_read_for_what_it_used() {
    let begun = Step::Data(
        "data: {\"choices\":[{\"delta\":{\"content\":\"12345678\"}}]}\n\ndata: {\"choices\":[{\"del",
    );
    let rest = Step::Data("ta\":{},\"finish_reason\":\"stop\"}]}\n\n");
    let usage = Step::Data(
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n",
    );
    let all = [begun.clone(), rest, usage];
    assert_eq!(spent_unseen(EVENTS, None, &all, 9).await, pico(7, 3));
    // A cut, a break and a client that leaves: what had come.
    assert_eq!(spent_unseen(EVENTS, None, &all[..1], 9).await, pico(8, 2));
    let breaks = [begun.clone(), Step::Break];
    assert_eq!(spent_unseen(EVENTS, None, &breaks, 9).await, pico(8, 2));
    let hangs = [begun, Step::Never];
    assert_eq!(spent_unseen(EVENTS, None, &hangs, 1).await, pico(8, 2));
    // It says that it has failed, and nothing had come.
    let fails = [Step::Data("data: {\"error\":\"x\"}\n\n")];
    assert_eq!(spent_unseen(EVENTS, None, &fails, 9).await, Amount::ZERO);
    // What cannot be read is charged what it may be.
    let packed = spent_unseen(EVENTS, Some("gzip"), &all, 9).await;
    assert_eq!(packed, pico(8, 10));

    let answer = [Step::Data(
        "{\"choices\":[{\"message\":{}}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}",
    )];
    let whole = spent_unseen("application/json", None, &answer, 9).await;
    assert_eq!(whole, pico(7, 3));
    let failed = spent_unseen("application/json", None, &[Step::Data("{\"error\":1}")], 9).await;
    assert_eq!(failed, Amount::ZERO);
}

#[tokio::test]
async fn what_waits_for_the_usage_is_bounded() {
    const FINISH: &str = "data: {\"finish_reason\":\"stop\"}\n\n";
    // A stream that goes on and on behind its finish reason, and never says what it used.
    let mut steps = vec![Step::Data(FINISH)];
    let long: &'static str =
        String::leak(format!("data: {{\"x\":\"{}\"}}\n\n", "y".repeat(1 << 16)));
    steps.extend(std::iter::repeat_n(Step::Data(long), 64));
    steps.push(Step::Never);
    let response = send(&rich(), Dialect::onysoft(), EVENTS, &steps).await;
    let mut body = Box::pin(response.into_body());
    let (mut frames, mut largest) = (0, 0);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut cx) {
        frames += 1;
        largest = largest.max(frame.into_data().map_or(0, |data| data.len()));
    }
    assert!(
        frames > 1 && largest < 400_000,
        "{frames} frames of up to {largest} bytes"
    );
}

#[tokio::test]
async fn a_request_keeps_the_prices_it_began_with() {
    // The price is raised, and the fallback's changed, while the upstream is at work.
    for streamed in [false, true] {
        let ledger = rich();
        let book = book()
            .with("other", Price::new("3", "4").expect("decimals"))
            .with_fallbacks("m", ["other"]);
        let shared = book.clone();
        let inner = service_fn(move |_: Request<ChatBody>| {
            let dear = Price::new("100", "100").expect("decimals");
            shared.replace(&Prices::new().with("m", dear.clone()).with("other", dear));
            let tally = Tally::new();
            tally.record_usage(Usage::new(5, 6));
            let mut response = Response::new(Full::new("data: {}\n\n"));
            let served = Served::new(&Target::new("p", "o"), "other");
            response.extensions_mut().insert(served.with_attempts(2));
            response.extensions_mut().insert(tally);
            let kind = if streamed { EVENTS } else { "application/json" };
            let kind = http::HeaderValue::from_static(kind);
            response.headers_mut().insert("content-type", kind);
            async { Ok::<_, Infallible>(response) }
        });
        let layer = CostLayer::new(book, ledger.clone());
        let response = layer
            .layer(inner)
            .oneshot(request("m"))
            .await
            .expect("infallible");
        let (head, body) = response.into_parts();
        body.collect().await.expect("whole");
        let receipt = match head.extensions.get::<Bill>() {
            Some(bill) => bill.receipt().cloned(),
            None => head.extensions.get::<Receipt>().cloned(),
        };
        let receipt = receipt.expect("it was charged");
        assert_eq!(
            spent(&ledger),
            Amount::from_pico(5 * 3_000_000 + 6 * 4_000_000)
        );
        assert_eq!((receipt.cost, receipt.attempts()), (spent(&ledger), 2));
    }
}

/// What a request of the layer is charged when the upstream says this of its answer, whole or streamed,
/// and whether its counts were cut.
async fn charged(
    layer: CostLayer<MemoryLedger>,
    ledger: &MemoryLedger,
    say: fn(&Tally),
) -> (Amount, bool) {
    let mut both = Vec::new();
    for streamed in [false, true] {
        let before = spent(ledger);
        let inner = service_fn(move |_: Request<ChatBody>| {
            let tally = Tally::new();
            say(&tally);
            let mut response = Response::new(Full::new("data: {}\n\n"));
            response.extensions_mut().insert(tally);
            let served = Served::new(&Target::new("p", "gpt"), "m");
            response.extensions_mut().insert(served);
            let kind = if streamed { EVENTS } else { "application/json" };
            let kind = http::HeaderValue::from_static(kind);
            response.headers_mut().insert("content-type", kind);
            async { Ok::<_, Infallible>(response) }
        });
        let response = layer
            .layer(inner)
            .oneshot(request("m"))
            .await
            .expect("infallible");
        let (head, body) = response.into_parts();
        body.collect().await.expect("whole");
        let bill = head.extensions.get::<Bill>();
        let receipt = match bill {
            Some(bill) => bill.receipt(),
            None => head.extensions.get::<Receipt>(),
        };
        let cost = spent(ledger).minus(before);
        assert_eq!(receipt.map_or(Amount::ZERO, |it| it.cost), cost);
        both.push((cost, receipt.is_some_and(|it| it.usage.clamped)));
    }
    assert_eq!(both[0], both[1], "whole and streamed cost the same");
    both[0]
}

/// What it shows, the prices, the layer's options, what the upstream says, picodollars.
type Case = (
    &'static str,
    Prices,
    fn(CostLayer<MemoryLedger>) -> CostLayer<MemoryLedger>,
    fn(&Tally),
    i128,
);

#[tokio::test]
async fn what_is_charged_for_what_the_upstream_says() {
    let plain = |tally: &Tally| tally.record_usage(Usage::new(5, 6));
    let cases: Vec<Case> = vec![
        ("plain", book(), |l| l, plain, 17_000_000),
        (
            "an explicit zero is zero",
            book(),
            |l| l,
            |t| t.record_usage(Usage::new(0, 0)),
            0,
        ),
        (
            "an empty answer pays its prompt",
            book(),
            |l| l,
            |t| t.record_usage(Usage::new(5, 0)),
            5_000_000,
        ),
        (
            "or not",
            book(),
            |l| l.empty_answers_free(),
            |t| t.record_usage(Usage::new(5, 0)),
            0,
        ),
        (
            "an absurd count is the estimate",
            book(),
            |l| l,
            |t| {
                t.record_usage(Usage::new(u64::MAX, 6));
                t.relayed(16);
            },
            8_000_000 + 12_000_000,
        ),
        (
            "a missing count is what was relayed",
            book(),
            |l| l,
            |t| {
                let mut usage = Usage::new(5, 0);
                usage.clamped = true;
                t.record_usage(usage);
                t.relayed(16);
            },
            5_000_000 + 8_000_000,
        ),
        (
            "the tier of the answer",
            book().with(
                "m",
                Price::new("1", "2").expect("decimals").when(
                    When::new().tier(ServiceTier::Flex),
                    &Price::new("0.5", "1").expect("decimals"),
                ),
            ),
            |l| l,
            |t| {
                t.record_usage(Usage::new(5, 6));
                t.record_service_tier(ServiceTier::Flex);
            },
            8_500_000,
        ),
        (
            "the provider's own cost is not asked",
            book(),
            |l| l,
            |t| {
                let mut usage = Usage::new(5, 6);
                usage.reported_cost = Some(7);
                t.record_usage(usage);
            },
            17_000_000,
        ),
        (
            "the provider's own cost counts",
            book(),
            |l| l.provider_cost(),
            |t| {
                let mut usage = Usage::new(5, 6);
                usage.reported_cost = Some(7);
                t.record_usage(usage);
            },
            7,
        ),
        (
            "the model that the provider names",
            Prices::new().with_targets("m", [("p", "gpt")]).with_list(
                PriceList::new()
                    .with("p", ["gpt"], Price::new("1", "2").expect("decimals"))
                    .with("p", ["gpt-old"], Price::new("2", "3").expect("decimals")),
            ),
            |l| l,
            |t| {
                t.record_usage(Usage::new(5, 6));
                t.record_model("gpt-old");
            },
            28_000_000,
        ),
        (
            "a ceiling for what has no price",
            Prices::new(),
            |l| {
                let price = Price::new("10", "10").expect("decimals");
                l.unpriced(Unpriced::Ceiling(price.into()))
            },
            plain,
            110_000_000,
        ),
        (
            "free for all",
            Prices::new(),
            |l| l.unpriced(Unpriced::Free),
            plain,
            0,
        ),
    ];
    for (name, prices, change, say, pico) in cases {
        let ledger = rich();
        let layer = change(CostLayer::new(prices, ledger.clone()));
        let (cost, cut) = charged(layer, &ledger, say).await;
        assert_eq!(cost, Amount::from_pico(pico), "{name}");
        let flagged = name.starts_with("an absurd") || name.starts_with("a missing");
        assert_eq!(cut, flagged, "{name}");
    }
}

#[tokio::test]
async fn without_a_price_everybody_may_be_refused() {
    let inner = service_fn(|_: Request<ChatBody>| async {
        Ok::<_, Infallible>(Response::new(Full::new("{}")))
    });
    let layer = CostLayer::new(Prices::new(), MemoryLedger::new()).unpriced(Unpriced::Refuse);
    let response = layer
        .layer(inner)
        .oneshot(request("m"))
        .await
        .expect("infallible");
    assert_eq!(response.status(), 403);
}

#[tokio::test]
async fn terms_mark_up_before_the_one_rounding() {
    let ledger = rich();
    let inner = service_fn(|_: Request<ChatBody>| async {
        let tally = Tally::new();
        tally.record_usage(Usage::new(1, 0));
        let mut response = Response::new(Full::new("{}"));
        response.extensions_mut().insert(tally);
        Ok::<_, Infallible>(response)
    });
    // 1.5 picodollars a token: times 1.2 it is 1.8, one rounding makes 2; two would make 2.4.
    let book = Prices::new().with("m", Price::new("0.0000015", "0").expect("decimals"));
    let mut request = request("m");
    let terms = Terms::times("1.2").expect("a decimal");
    request
        .extensions_mut()
        .insert(Principal::new("a").attach(terms));
    let layer = CostLayer::new(book, ledger.clone());
    let response = layer
        .layer(inner)
        .oneshot(request)
        .await
        .expect("infallible");
    let receipt = response.extensions().get::<Receipt>().expect("charged");
    assert_eq!((receipt.cost.pico(), spent(&ledger).pico()), (2, 2));
    let line = receipt.charge.lines().next().expect("one");
    assert_eq!(
        (line.class, line.count, line.amount.pico()),
        (Class::Input, 1, 2)
    );
}

/// A service that must not be asked.
fn nobody() -> impl tower::Service<
    Request<ChatBody>,
    Response = Response<Full>,
    Error = Infallible,
    Future = std::future::Ready<Result<Response<Full>, Infallible>>,
> + Clone {
    service_fn(
        |_: Request<ChatBody>| -> std::future::Ready<Result<Response<Full>, Infallible>> {
            panic!("nobody is asked")
        },
    )
}

async fn text<B: Body<Data = Bytes>>(response: Response<B>) -> String {
    let body = response.into_body().collect().await;
    let body = body.map_err(|_| ()).expect("whole").to_bytes();
    String::from_utf8(body.into()).expect("UTF-8")
}

#[tokio::test]
async fn a_dry_run_says_the_estimate_and_asks_nobody() {
    let ledger = rich();
    let book = book().with(
        "m",
        Price::new("1", "2").expect("decimals").with_version("v1"),
    );
    let layer = CostLayer::new(book, ledger.clone());
    let dry = |model| {
        let mut request = request(model);
        let headers = request.headers_mut();
        headers.insert("x-dry-run", http::HeaderValue::from_static("1"));
        request
    };
    let response = layer
        .layer(nobody())
        .oneshot(dry("m"))
        .await
        .expect("infallible");
    assert_eq!(response.status(), 200);
    let tally = response.extensions().get::<Tally>().expect("told");
    assert_eq!(tally.usage(), Some(Usage::new(0, 0)), "nothing was used");
    assert_eq!(
        text(response).await,
        r#"{"object":"chat.completion.estimate","model":"m","cost":{"amount":0.000028,"currency":"USD"},"input_tokens":8,"output_tokens":10,"price_version":"v1"}"#
    );
    let response = layer
        .layer(nobody())
        .oneshot(dry("unknown"))
        .await
        .expect("infallible");
    assert_eq!(
        text(response).await,
        r#"{"object":"chat.completion.estimate","model":"unknown","cost":null,"price_version":null}"#
    );
    assert_eq!(spent(&ledger), Amount::ZERO);
}

#[tokio::test]
async fn a_request_may_not_cost_more_than_its_client_says() {
    let ledger = rich();
    let layer = CostLayer::new(book(), ledger.clone());
    let with = |max: &'static str| {
        let mut request = request("m");
        let headers = request.headers_mut();
        headers.insert("x-max-cost", http::HeaderValue::from_static(max));
        request
    };
    for (max, status, code) in [
        ("0.000027999999", 402, Some("max_cost_exceeded")),
        ("0", 402, Some("max_cost_exceeded")),
        ("much", 400, Some("invalid_value")),
        ("-1", 400, Some("invalid_value")),
    ] {
        let response = layer
            .layer(nobody())
            .oneshot(with(max))
            .await
            .expect("infallible");
        assert_eq!(response.status(), status, "{max}");
        let error = response.extensions().get::<Error>().expect("kept");
        assert_eq!(error.code(), code, "{max}");
    }
    let inner = service_fn(|_: Request<ChatBody>| async {
        Ok::<_, Infallible>(Response::new(Full::new("{}")))
    });
    let response = layer
        .layer(inner)
        .oneshot(with("0.000028"))
        .await
        .expect("infallible");
    assert_eq!(response.status(), 200);
    assert_eq!(spent(&ledger), pico(8, 1));
}

#[tokio::test]
async fn budgets_bound_what_balances_allow() {
    // 2026-11-25 at noon, then a day later.
    static DAYS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let clock = || {
        let days = DAYS.load(std::sync::atomic::Ordering::SeqCst);
        std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_795_608_000 + days * 86_400)
    };
    let ledger = rich();
    let budgets = Budgets::new()
        .with(Scope::Key("a".into()), pico(8, 10).times(2), Period::Day)
        .with(Scope::Global, pico(8, 10).times(100), Period::Month);
    let layer = CostLayer::new(book(), ledger.clone())
        .budgets(budgets.clone())
        .clock(clock);
    let steps = [Step::Usage(8, 10), Step::Data("{}")];
    let inner = service_fn(move |_: Request<ChatBody>| {
        let tally = Tally::new();
        let mut response = Response::new(Script {
            steps: steps.iter().cloned().collect(),
            tally: tally.clone(),
        });
        response.extensions_mut().insert(tally);
        async { Ok::<_, Infallible>(response) }
    });
    let ask = async || {
        let service = layer.layer(inner.clone());
        service.oneshot(request("m")).await.expect("infallible")
    };
    assert_eq!(ask().await.status(), 200);
    assert_eq!(ask().await.status(), 200);
    let refused = ask().await;
    assert_eq!(refused.status(), 402);
    assert_eq!(refused.headers()["x-should-retry"], "false");
    let error = refused.extensions().get::<Error>().expect("kept");
    assert_eq!(error.code(), Some("budget_exceeded"));
    let standing = |unix| -> Vec<_> {
        let all = budgets.standing(&Principal::new("a"), unix);
        all.iter().map(|it| (it.held, it.spent)).collect()
    };
    let two = (Amount::ZERO, pico(8, 10).times(2));
    assert_eq!(standing(1_795_608_000), [two, two]);
    DAYS.store(1, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(ask().await.status(), 200);
    let (one, three) = (
        (Amount::ZERO, pico(8, 10)),
        (Amount::ZERO, pico(8, 10).times(3)),
    );
    assert_eq!(standing(1_795_608_000 + 86_400), [one, three]);
    assert_eq!(spent(&ledger), pico(8, 10).times(3));

    // What has no price is not for who has a budget, with or without a balance.
    let layer = CostLayer::new(Prices::new(), MemoryLedger::new()).budgets(budgets);
    let response = layer
        .layer(nobody())
        .oneshot(request("m"))
        .await
        .expect("infallible");
    assert_eq!(response.status(), 403);
}

#[tokio::test]
async fn a_denied_hold_leaves_budgets_as_they_were() {
    let ledger = MemoryLedger::new();
    ledger.grant("a", pico(1, 0));
    let budgets = Budgets::new().with(Scope::Global, pico(1000, 0), Period::Day);
    let clock = || std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_795_608_000);
    let layer = CostLayer::new(book(), ledger)
        .budgets(budgets.clone())
        .clock(clock);
    let response = layer
        .layer(nobody())
        .oneshot(request("m"))
        .await
        .expect("infallible");
    assert_eq!(response.status(), 402);
    let standing = &budgets.standing(&Principal::new("a"), 1_795_608_000)[0];
    assert_eq!(
        (standing.held, standing.spent),
        (Amount::ZERO, Amount::ZERO)
    );
}

type Rest = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a stream costs that is drained when its client leaves, after so many frames.
async fn drained(steps: &[Step], frames: usize, change: fn(DrainLayer) -> DrainLayer) -> Amount {
    let ledger = rich();
    let rest: std::sync::Arc<std::sync::Mutex<Vec<Rest>>> = std::sync::Arc::default();
    let spawned = std::sync::Arc::clone(&rest);
    let drain = change(DrainLayer::new(move |rest| {
        spawned.lock().expect("unpoisoned").push(rest)
    }));
    let steps: VecDeque<Step> = steps.iter().cloned().collect();
    let inner = service_fn(move |_: Request<ChatBody>| {
        let tally = Tally::new();
        let mut response = Response::new(Script {
            steps: steps.clone(),
            tally: tally.clone(),
        });
        response.extensions_mut().insert(tally);
        let kind = http::HeaderValue::from_static(EVENTS);
        response.headers_mut().insert("content-type", kind);
        async {
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(response)
        }
    });
    let service = drain.layer(CostLayer::new(book(), ledger.clone()).layer(inner));
    let mut call = Box::pin(service.oneshot(request("m")));
    if frames > 0 {
        let mut body = Box::pin(call.await.expect("infallible").into_body());
        for _ in 1..frames {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let _ = body.as_mut().poll_frame(&mut cx);
        }
    } else {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(call.as_mut().poll(&mut cx).is_pending());
        drop(call);
    }
    let rest = std::mem::take(&mut *rest.lock().expect("unpoisoned"));
    for rest in rest {
        rest.await;
    }
    spent(&ledger)
}

#[tokio::test(start_paused = true)]
async fn what_a_client_leaves_may_be_drained_to_its_usage() {
    use Step::{Data, Never, Relay, Usage};
    let data = Data("data: {}\n\n");
    let whole = [
        Relay(8),
        data.clone(),
        data.clone(),
        Usage(5, 6),
        data.clone(),
    ];
    for frames in 0..6 {
        let cost = drained(&whole, frames, |layer| layer).await;
        assert_eq!(cost, pico(5, 6), "{frames}");
    }
    let endless = [Relay(8), data.clone(), Never];
    let cost = drained(&endless, 2, |layer| layer).await;
    assert_eq!(cost, pico(8, 2), "cancelled at the deadline, and estimated");
    let cost = drained(&whole, 2, |layer| layer.max_bytes(1)).await;
    assert_eq!(cost, pico(8, 2), "cancelled at the limit of bytes");
}

/// The layer right over a provider whose answers pass as they come: it reads them itself.
#[tokio::test]
async fn without_a_reframer_a_providers_answers_are_read_all_the_same() {
    use tower_completions::{
        mock::Upstream,
        provider::{Provider, openai::OpenAi},
    };
    for more in [
        "",
        r#""stream":true,"stream_options":{"include_usage":true},"#,
    ] {
        let ledger = rich();
        let translate = OpenAi::new("http://upstream/v1").expect("a URI");
        let provider = Provider::new("mock", Upstream::new(), translate);
        let layer = CostLayer::new(book(), ledger.clone()).expected_output(10);
        let text = format!(
            r#"{{{more}"model":"m","messages":[{{"role":"user","content":"one two three four"}}]}}"#
        );
        let mut request = Request::new(Full::new(text));
        request.extensions_mut().insert(Principal::new("a"));
        let response = layer.layer(provider).oneshot(request).await;
        let body = response.expect("infallible").into_body().collect().await;
        let body = body.expect("whole").to_bytes();
        let usage = memchr::memmem::rfind(&body, b"\"usage\":{").expect("the mock counts");
        let usage = std::str::from_utf8(&body[usage..]).expect("text");
        let count = |name: &str| {
            let rest = usage.split_once(name).expect("counted").1;
            let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
            let end = digits.find(|c: char| !c.is_ascii_digit()).expect("more");
            digits[..end].parse::<i128>().expect("a count")
        };
        let charge = pico(count("\"prompt_tokens\""), count("\"completion_tokens\""));
        assert_eq!(spent(&ledger), charge, "{usage}");
    }
}
