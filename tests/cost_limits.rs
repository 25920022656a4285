//! Limits on money beside the accounting: what they reserve and count is what it holds and charges, also
//! where only some of those that may answer have a price.

#![cfg(feature = "mock")]

#[path = "support/costs.rs"]
mod costs;

use std::{
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex},
};

use costs::{EVENTS, Script, Step, pico, request};
use futures_util::FutureExt as _;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_completions::{
    Principal, Served, Target,
    body::Full,
    cost::{Amount, CostLayer, Currency, MemoryLedger, Price, Prices, Unpriced},
    limit::{Limiter, Limits, Memory, Rate, TokenLimitLayer},
    meter::Tally,
    mock::Clock,
    parse::ChatBody,
    wire::Usage,
};

const ALL: u64 = 1_000_000_000_000;

fn price(input: &str, output: &str) -> Price {
    Price::new(input, output).expect("decimals")
}

/// `ours` has no price, `m` costs 1 and 2 USD a million tokens, `dear` ten times that.
fn book() -> Prices {
    let dear = price("10", "20");
    costs::book()
        .with("dear", dear)
        .with_fallbacks("ours", ["m", "dear"])
        .with_fallbacks("m", ["dear"])
}

/// A limiter whose clock stands, and a caller with this much money, who may have a balance too.
struct Stage {
    limiter: Limiter<Memory<Clock>>,
    caller: Principal,
    ledger: MemoryLedger,
}

impl Stage {
    fn new() -> Self {
        Self {
            limiter: Limiter::with_store(Memory::with_timer(Clock::new())),
            caller: Principal::new("a").attach(Limits::new().money(Rate::per_day(ALL))),
            ledger: MemoryLedger::new(),
        }
    }

    /// What is reserved or counted of the limit.
    fn counted(&self) -> Amount {
        let report = self.limiter.standing(&self.caller).now_or_never();
        let report = report.expect("at once").expect("memory");
        let left = report.money.expect("a limit").remaining;
        Amount::from_pico(i128::from(ALL - left))
    }

    fn request(&self, model: &str) -> Request<Full> {
        let mut request = request(model);
        request.extensions_mut().insert(self.caller.clone());
        request
    }
}

#[tokio::test]
async fn the_dearest_that_may_answer_is_reserved_and_who_answered_is_counted() {
    for (unpriced, model, served, used) in [
        (Unpriced::Free, "ours", Some("m"), pico(5, 6)),
        (Unpriced::Free, "ours", Some("ours"), Amount::ZERO),
        // Nobody said who has answered.
        (Unpriced::Free, "ours", None, Amount::ZERO),
        (Unpriced::RefuseLimited, "ours", Some("dear"), pico(50, 60)),
        (Unpriced::RefuseLimited, "ours", None, Amount::ZERO),
        (Unpriced::Free, "m", Some("m"), pico(5, 6)),
        (Unpriced::Free, "m", None, pico(5, 6)),
    ] {
        let stage = Arc::new(Stage::new());
        let layer = CostLayer::new(book(), stage.ledger.clone()).unpriced(unpriced);
        let tokens = TokenLimitLayer::new(stage.limiter.clone()).quote(layer.quoter());
        let seen = Arc::new(Mutex::new(None));
        let (notes, inside) = (Arc::clone(&seen), Arc::clone(&stage));
        let inner = service_fn(move |_: Request<ChatBody>| {
            *notes.lock().expect("alone") = Some(inside.counted());
            let tally = Tally::new();
            tally.record_usage(Usage::new(5, 6));
            let mut response = Response::new(Full::new("{}"));
            response.extensions_mut().insert(tally);
            if let Some(served) = served {
                let served = Served::new(&Target::new("p", "gpt"), served);
                response.extensions_mut().insert(served);
            }
            async { Ok::<_, Infallible>(response) }
        });
        let service = tokens.layer(layer.layer(inner));
        let response = service.oneshot(stage.request(model)).await;
        let response = response.expect("infallible");
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.expect("whole");
        // Eight tokens in and ten out, at the price of `dear`.
        assert_eq!(
            *seen.lock().expect("alone"),
            Some(pico(80, 100)),
            "{model} by {served:?}"
        );
        assert_eq!(stage.counted(), used, "{model} by {served:?}");
        let charged = stage.ledger.statement("a").spent;
        assert_eq!(charged, used, "{model} by {served:?}");
    }
}

#[tokio::test]
async fn whom_the_client_would_have_instead_is_held_for_where_that_is_obeyed() {
    for (obeys, wishes, grant, status) in [
        (false, r#""models":["dear"],"#, Some(pico(8, 10)), 200),
        (true, "", Some(pico(8, 10)), 200),
        (
            true,
            r#""models":["other","dear"],"#,
            Some(pico(80, 100)),
            200,
        ),
        (
            true,
            r#""models":["other","dear"],"#,
            Some(pico(80, 100).minus(Amount::from_pico(1))),
            402,
        ),
        // Of which nobody knows what it would cost.
        (
            true,
            r#""models":["dear","bare"],"#,
            Some(pico(1_000, 0)),
            403,
        ),
        (true, r#""models":["dear","bare"],"#, None, 200),
        (true, r#""models":"dear","#, Some(pico(8, 10)), 200),
    ] {
        let book = costs::book()
            .with("other", price("2", "1"))
            .with("dear", price("10", "20"));
        let ledger = MemoryLedger::new();
        if let Some(amount) = grant {
            ledger.grant("a", amount);
        }
        let mut layer = CostLayer::new(book, ledger.clone());
        if obeys {
            layer = layer.hold_for_client_wishes();
        }
        let inner = service_fn(async |_: Request<ChatBody>| -> Result<_, Infallible> {
            let tally = Tally::new();
            tally.record_usage(Usage::new(8, 10));
            let mut response = Response::new(Full::new("{}"));
            response.extensions_mut().insert(tally);
            let served = Served::new(&Target::new("p", "gpt"), "dear");
            response.extensions_mut().insert(served);
            Ok(response)
        });
        let text = format!(
            r#"{{"model":"m",{wishes}"max_tokens":10,"messages":[{{"role":"user","content":"hi"}}]}}"#
        );
        let mut request = Request::new(Full::new(text));
        request.extensions_mut().insert(Principal::new("a"));
        let response = layer.layer(inner).oneshot(request).await;
        let response = response.expect("infallible");
        assert_eq!(response.status(), status, "{obeys} {wishes} {grant:?}");
    }
}

#[tokio::test]
async fn who_leaves_before_content_is_charged_and_counted_the_same() {
    for streams in [false, true] {
        let stage = Stage::new();
        let layer = CostLayer::new(book(), stage.ledger.clone()).empty_answers_free();
        let tokens = TokenLimitLayer::new(stage.limiter.clone()).quote(layer.quoter());
        let inner = service_fn(move |_: Request<ChatBody>| async move {
            if !streams {
                pending::<()>().await;
            }
            let tally = Tally::new();
            let mut response = Response::new(Script {
                steps: [Step::Never].into(),
                tally: tally.clone(),
            });
            response.extensions_mut().insert(tally);
            let kind = HeaderValue::from_static(EVENTS);
            response.headers_mut().insert("content-type", kind);
            Ok::<_, Infallible>(response)
        });
        let service = tokens.layer(layer.layer(inner));
        let mut call = Box::pin(service.oneshot(stage.request("m")));
        let answer = call.as_mut().now_or_never();
        assert_eq!(answer.is_some(), streams);
        if let Some(answer) = answer {
            let mut body = answer.expect("infallible").into_body();
            assert!(body.frame().now_or_never().is_none(), "nothing comes");
        }
        drop(call);
        let charged = stage.ledger.statement("a").spent;
        assert_eq!((charged, stage.counted()), (pico(8, 0), pico(8, 0)));
    }
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_held_for_a_priced_fallback() {
    for (unpriced, cost) in [
        (
            Unpriced::Free,
            r#""cost":{"amount":0.00028,"currency":"USD"}"#,
        ),
        // What it costs is not known before it is known who answers.
        (Unpriced::RefuseLimited, r#""cost":null"#),
    ] {
        let layer = CostLayer::new(book(), MemoryLedger::new()).unpriced(unpriced);
        let inner = service_fn(async |_: Request<ChatBody>| -> Result<_, Infallible> {
            Ok(Response::new(Full::new("asked")))
        });
        let mut request = request("ours");
        let headers = request.headers_mut();
        headers.insert("x-dry-run", HeaderValue::from_static("1"));
        let response = layer.layer(inner).oneshot(request).await;
        let body = response.expect("infallible").into_body().collect().await;
        let body = body.expect("whole").to_bytes();
        let text = str::from_utf8(&body).expect("UTF-8");
        assert!(text.contains(cost), "{text}");
    }
}

#[tokio::test]
async fn a_fallback_in_another_currency_is_refused_where_what_was_asked_for_has_no_price() {
    for unpriced in [Unpriced::Free, Unpriced::RefuseLimited] {
        let euros = price("1", "2").in_currency(Currency::EUR);
        let book = Prices::new()
            .with("euros", euros)
            .with_fallbacks("ours", ["euros"]);
        let layer = CostLayer::new(book, MemoryLedger::new()).unpriced(unpriced);
        let inner = service_fn(async |_: Request<ChatBody>| -> Result<_, Infallible> {
            Ok(Response::new(Full::new("asked")))
        });
        let response = layer.layer(inner).oneshot(request("ours")).await;
        let (head, body) = response.expect("infallible").into_parts();
        assert_eq!(head.status, 500);
        let body = body.collect().await.expect("whole").to_bytes();
        let text = str::from_utf8(&body).expect("UTF-8");
        assert!(text.contains("currency_mismatch"), "{text}");
    }
}
