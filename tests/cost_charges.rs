//! What `Cost` charges for an answer, by whatever is read of it.

#[path = "support/costs.rs"]
mod costs;

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use costs::{EVENTS, Script, Step, book, pico, request, rich, send, spent};
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, StreamBody};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_completions::{
    Dialect, Principal, Served, Target,
    body::Full,
    cost::{
        Amount, Bill, Class, CostLayer, DrainLayer, MemoryLedger, Price, PriceList, Prices,
        Receipt, Terms, Unpriced, When,
    },
    meter::Tally,
    parse::ChatBody,
    reframe::ReframeLayer,
    wire::{ServiceTier, Usage},
};

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
    for kind in [EVENTS, "Text/Event-Stream; charset=utf-8"] {
        assert_eq!(spent_unseen(kind, None, &all, 9).await, pico(7, 3));
    }
    // A cut, a break and a client that leaves: what had come.
    assert_eq!(spent_unseen(EVENTS, None, &all[..1], 9).await, pico(8, 2));
    let breaks = [begun.clone(), Step::Break];
    assert_eq!(spent_unseen(EVENTS, None, &breaks, 9).await, pico(8, 2));
    let hangs = [begun, Step::Never];
    for kind in [EVENTS, "TEXT/EVENT-STREAM"] {
        // It is not collected: whoever reads it has its first frame.
        let read = spent_unseen(kind, None, &hangs, 1);
        assert_eq!(read.now_or_never(), Some(pico(8, 2)), "{kind}");
    }
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

/// Speech says no text: its words count, and its length, with a re-framer inside and without.
#[tokio::test]
async fn who_leaves_speech_is_charged_for_what_was_heard() {
    // A tenth of a second is two tokens.
    let sound = "A".repeat(6_400);
    let heard: &'static str = String::leak(format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"audio\":{{\"id\":\"a\",\"transcript\":\"12345678\",\"data\":\"{sound}\"}}}},\"finish_reason\":null}}]}}\n\n"
    ));
    let steps = [Step::Data(heard), Step::Never];
    assert_eq!(spent_unseen(EVENTS, None, &steps, 1).await, pico(8, 4));

    let ledger = rich();
    let inner = service_fn(move |_: Request<ChatBody>| {
        let (steps, tally) = (steps.iter().cloned().collect(), Tally::new());
        let response = Response::builder().header("content-type", EVENTS);
        let response = response.body(Script { steps, tally }).expect("a response");
        async { Ok::<_, Infallible>(response) }
    });
    let inner = ReframeLayer::new(Dialect::openai())
        .layer(inner)
        .into_inner();
    let layer = CostLayer::new(book(), ledger.clone());
    let mut request = request("m");
    let text = r#"{"model":"m","stream":true,"max_tokens":10,"messages":[{"role":"user","content":"hi"}]}"#;
    *request.body_mut() = Full::new(text);
    let response = layer.layer(inner).oneshot(request).await;
    let mut body = Box::pin(response.expect("infallible").into_body());
    let frame = body.frame().await.expect("an event").expect("a frame");
    assert!(frame.into_data().expect("data").len() > sound.len());
    drop(body);
    assert_eq!(spent(&ledger), pico(8, 4));
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

#[tokio::test]
async fn a_fallback_is_charged_where_what_was_asked_for_has_no_price() {
    let book = || book().with_fallbacks("ours", ["m"]);
    for (unpriced, streamed) in [
        (Unpriced::RefuseLimited, false),
        (Unpriced::RefuseLimited, true),
        (Unpriced::Free, false),
        (Unpriced::Free, true),
    ] {
        for (served, cost) in [("m", pico(5, 6)), ("ours", Amount::ZERO)] {
            let inner = service_fn(move |_: Request<ChatBody>| {
                let tally = Tally::new();
                tally.record_usage(Usage::new(5, 6));
                let mut response = Response::new(Full::new("data: {}\n\n"));
                response.extensions_mut().insert(tally);
                let served = Served::new(&Target::new("p", "gpt"), served);
                response.extensions_mut().insert(served);
                let kind = if streamed { EVENTS } else { "application/json" };
                let kind = http::HeaderValue::from_static(kind);
                response.headers_mut().insert("content-type", kind);
                async { Ok::<_, Infallible>(response) }
            });
            // Without a balance; who has one may be refused.
            let ledger = MemoryLedger::new();
            let layer = CostLayer::new(book(), ledger.clone()).unpriced(unpriced.clone());
            let response = layer.layer(inner).oneshot(request("ours")).await;
            let (head, body) = response.expect("infallible").into_parts();
            body.collect().await.expect("whole");
            let statement = ledger.statement("a");
            assert_eq!((statement.spent, statement.held), (cost, Amount::ZERO));
            let told = head.headers.contains_key("x-completion-cost");
            assert_eq!(told, cost > Amount::ZERO && !streamed);
            let receipt = match head.extensions.get::<Bill>() {
                Some(bill) => bill.receipt().cloned(),
                None => head.extensions.get::<Receipt>().cloned(),
            };
            assert_eq!(receipt.is_some(), cost > Amount::ZERO, "{served}");
        }
    }
    let inner = service_fn(|_: Request<ChatBody>| async {
        Ok::<_, Infallible>(Response::new(Full::new("{}")))
    });
    let layer = CostLayer::new(book(), rich());
    let response = layer.layer(inner).oneshot(request("ours")).await;
    assert_eq!(response.expect("infallible").status(), 403);
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

type Rest = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a stream costs that is drained when its client leaves, after so many frames.
async fn drained(steps: &[Step], frames: usize, change: fn(DrainLayer) -> DrainLayer) -> Amount {
    let ledger = rich();
    let rest: Arc<std::sync::Mutex<Vec<Rest>>> = Arc::default();
    let spawned = Arc::clone(&rest);
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

#[tokio::test]
async fn what_has_panicked_is_not_read_on() {
    // Caught further out, and dropped when that is over: before the head, and behind it.
    for before in [true, false] {
        let (left, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (spawned, polls) = (Arc::clone(&left), Arc::clone(&asked));
        let drain = DrainLayer::new(move |_| {
            spawned.fetch_add(1, Ordering::SeqCst);
        });
        let strike = move || -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            polls.fetch_add(1, Ordering::SeqCst);
            std::panic::resume_unwind(Box::new("scripted"));
        };
        let inner = service_fn(move |_: Request<Full>| {
            let strike = strike.clone();
            async move {
                if before {
                    let _ = strike();
                }
                let frames = futures_util::stream::poll_fn(move |_| strike());
                Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
            }
        });
        let mut call = Box::pin(drain.layer(inner).oneshot(Request::new(Full::default())));
        let caught = AssertUnwindSafe(&mut call).catch_unwind().await;
        assert_eq!(caught.is_err(), before);
        if let Ok(response) = caught {
            let mut body = Box::pin(response.expect("infallible").into_body());
            let frame = AssertUnwindSafe(body.frame()).catch_unwind().await;
            assert!(frame.is_err());
            drop(body);
        }
        drop(call);
        assert_eq!(left.load(Ordering::SeqCst), 0, "{before}");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{before}");
    }
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
