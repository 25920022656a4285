//! `Cost` through its public layer: one settlement, whatever ends the request.

#[path = "support/costs.rs"]
mod costs;

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use costs::{EVENTS, Script, Step, book, pico, request, rich, send, spent};
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt as _;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_completions::{
    Dialect, Error, Principal,
    body::Full,
    cost::{
        Amount, Bill, Budgets, CostLayer, MemoryLedger, Period, Price, Prices, Receipt, Scope,
        Unpriced,
    },
    error::Kind,
    meter::Tally,
    parse::ChatBody,
    wire::Usage,
};

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
async fn no_event_of_a_stream_has_another_cost_than_ours() {
    let events = |own: &str| {
        format!(
            "data: {{{own}\"a\":\"\\\"cost\\\"\"}}\n\n: \"cost\":1\n\ndata: {{\"choices\":[{{\"finish_reason\":\"stop\"}}]}}\n\n\
             data: {{\"b\":{{\"cost\":2}}}}\n\n"
        )
    };
    for (dialect, is_ours) in [(Dialect::onysoft(), true), (Dialect::openai(), false)] {
        let mut told = Vec::new();
        for own in ["", "\"cost\":{\"amount\":9},", "\"cost\":1,\"cost\":2,"] {
            let ledger = rich();
            let sent = events(own).leak();
            let steps = [
                Step::Data(sent),
                Step::Usage(7, 3),
                Step::Data("data: [DONE]\n\n"),
            ];
            let response = send(&ledger, dialect.clone(), EVENTS, &steps).await;
            let body = response.into_body().collect().await.map_err(|_| ());
            let text = String::from_utf8(body.expect("whole").to_bytes().to_vec()).expect("UTF-8");
            assert!(is_ours || text.starts_with(&*sent), "{text}");
            assert_eq!(text.contains("0.000013"), is_ours, "{text}");
            told.push(text);
        }
        if is_ours {
            assert_eq!(told, vec![told[0].clone(); 3]);
        }
    }
}

#[tokio::test]
async fn every_ending_settles_once() {
    use Step::{Break, Data, Never, Relay, Usage};
    let data = Data("data: {}\n\n");
    // How many frames are read before the body is dropped, and what is charged.
    let cases: [(&str, Vec<Step>, usize, Amount); 12] = [
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
            "broken before content, its prompt counted",
            vec![Usage(5, 1), data.clone(), Break],
            3,
            Amount::ZERO,
        ),
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
    let call = || layer.layer(panicking).oneshot(request("m"));
    let task = tokio::spawn(call());
    assert!(task.await.expect_err("it panics").is_panic());
    assert_eq!(spent(&ledger), Amount::ZERO, "not the caller's fault");
    // Where it is caught further out, what is left is dropped in peace.
    let caught = AssertUnwindSafe(call()).catch_unwind().await;
    assert!(caught.is_err());
    assert_eq!(spent(&ledger), Amount::ZERO);
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
    // What is wrong is wrong, whether or not there is a price to compare it with.
    let mut unpriced = request("unknown");
    let much = http::HeaderValue::from_static("much");
    unpriced.headers_mut().insert("x-max-cost", much);
    let response = layer.layer(nobody()).oneshot(unpriced).await;
    assert_eq!(response.expect("infallible").status(), 400);
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
        .wall_clock(clock);
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
async fn a_closure_is_a_price_book() {
    let price = Arc::new(Price::new("1", "1").expect("amounts"));
    let book = move |model: &str| (model == "m").then(|| Arc::clone(&price));
    let layer = CostLayer::new(book, MemoryLedger::new());
    let inner = service_fn(|_: Request<ChatBody>| {
        let tally = Tally::new();
        let steps = [Step::Usage(8, 10), Step::Data("{}")];
        let mut response = Response::new(Script {
            steps: steps.into_iter().collect(),
            tally: tally.clone(),
        });
        response.extensions_mut().insert(tally);
        async { Ok::<_, Infallible>(response) }
    });
    for (model, cost) in [("m", Some("0.000018")), ("n", None)] {
        let response = layer.layer(inner).oneshot(request(model)).await;
        let response = response.expect("infallible");
        let told = response.headers().get("x-completion-cost");
        let told = told.map(|cost| cost.to_str().expect("text"));
        assert_eq!(told, cost, "{model}");
    }
}

#[tokio::test]
async fn a_denied_hold_leaves_budgets_as_they_were() {
    let ledger = MemoryLedger::new();
    ledger.grant("a", pico(1, 0));
    let budgets = Budgets::new().with(Scope::Global, pico(1000, 0), Period::Day);
    let clock = || std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_795_608_000);
    let layer = CostLayer::new(book(), ledger)
        .budgets(budgets.clone())
        .wall_clock(clock);
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

/// What stands outside of the authentication knows nobody: it must not look as if it charged.
#[tokio::test]
async fn who_is_not_known_is_told_no_cost_or_refused() {
    let answers = || {
        service_fn(|_: Request<ChatBody>| async {
            let text = r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
            let response = Response::builder().header("content-type", "application/json");
            Ok::<_, Infallible>(response.body(Full::new(text)).expect("a response"))
        })
    };
    let ask = |model| {
        let mut request = request(model);
        request.extensions_mut().remove::<Principal>();
        request
    };
    let layer = || CostLayer::new(book(), MemoryLedger::new()).dialect(&Dialect::onysoft());

    let response = layer().layer(answers()).oneshot(ask("m")).await;
    let response = response.expect("infallible");
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("x-completion-cost"));
    let receipt = response.extensions().get::<Receipt>().expect("priced");
    assert_eq!((receipt.charged, receipt.cost), (Amount::ZERO, pico(3, 4)));
    let body = response.into_body().collect().await.expect("whole");
    let body = body.to_bytes();
    assert!(!String::from_utf8_lossy(&body).contains("cost"), "{body:?}");

    // A budget for all is charged, whoever asks.
    let budgets = Budgets::new().with(Scope::Global, pico(1000, 0), Period::Day);
    let response = layer()
        .budgets(budgets)
        .layer(answers())
        .oneshot(ask("m"))
        .await;
    let response = response.expect("infallible");
    assert_eq!(response.headers()["x-completion-cost"], "0.000011");

    for (layer, model) in [
        (layer(), "m"),
        (layer(), "unpriced"),
        (layer().unpriced(Unpriced::Free), "unpriced"),
    ] {
        let service = layer.require_principal().layer(nobody());
        let response = service.oneshot(ask(model)).await.expect("infallible");
        assert_eq!(response.status(), 401, "{model}");
        let error = response.extensions().get::<Error>().expect("an error");
        assert_eq!(error.code(), Some("invalid_api_key"));
    }
    let known = layer().require_principal().layer(answers());
    let response = known.oneshot(request("m")).await.expect("infallible");
    assert_eq!(response.headers()["x-completion-cost"], "0.000011");
}
