//! What is held covers what may come, and what came beyond it is told.

#[path = "support/books.rs"]
mod books;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http::{Request, Response};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt, service_fn};
use tower_completions::{
    Dialect, Error, Principal, Served, Target,
    body::Full,
    cost::{Amount, CostLayer, MemoryLedger, Price, PriceList, Prices, Receipt, Unpriced, When},
    error,
    meter::{Known, Outcome, Tally},
    observe::{Event, Watch},
    parse::{ChatBody, ParseLayer},
    wire::{ServiceTier, Usage},
};

/// 1 USD a million tokens in, 2 out, and a cent a search.
fn layer(ledger: &MemoryLedger) -> CostLayer<MemoryLedger> {
    let price = Price::new("1", "2").and_then(|it| it.web_search("0.01"));
    let book = Prices::new().with("m", price.expect("decimals"));
    CostLayer::new(book, ledger.clone())
}

fn usd(text: &str) -> Amount {
    text.parse().expect("an amount")
}

/// Whether an answer was given that used this.
async fn ask(layer: CostLayer<MemoryLedger>, fields: &str, usage: Usage, watch: Watch) -> bool {
    let text = format!(
        r#"{{"model":"m","max_tokens":10,{fields}"messages":[{{"role":"user","content":"hi"}}]}}"#
    );
    request(layer, text, usage, watch).await.0
}

/// The same for a whole request, and the receipt.
async fn request(
    layer: CostLayer<MemoryLedger>,
    text: String,
    usage: Usage,
    watch: Watch,
) -> (bool, Option<Receipt>) {
    let inner = service_fn(move |_: Request<ChatBody>| {
        let tally = Tally::new();
        tally.record_usage(usage);
        let mut response = Response::new(Full::new("{}"));
        response.extensions_mut().insert(tally);
        async { Ok::<_, Infallible>(response) }
    });
    let mut request = Request::new(Full::new(text));
    request.extensions_mut().insert(Principal::new("a"));
    request.extensions_mut().insert(watch);
    let response = layer.layer(inner).oneshot(request).await;
    let response = response.expect("infallible");
    let given = response.status() == 200;
    let receipt = response.extensions().get::<Receipt>().cloned();
    response.into_body().collect().await.expect("whole");
    (given, receipt)
}

fn nobody() -> Watch {
    Watch::new(|_: &Event<'_>| {})
}

#[tokio::test]
async fn searches_that_are_asked_for_are_held_for() {
    let mut usage = Usage::new(8, 10);
    usage.web_searches = 2;
    const SEARCH: &str = r#""web_search_options":{},"#;
    for (balance, fields, searches, given) in [
        // Eight tokens in and ten out are 0.000028, and nothing is searched for who does not ask.
        ("0.000028", "", 5, true),
        ("0.000027", "", 5, false),
        ("0.050028", SEARCH, 5, true),
        ("0.050027", SEARCH, 5, false),
        ("0.020028", SEARCH, 2, true),
        ("0.020027", SEARCH, 2, false),
        ("0.10", r#""n":2,"web_search_options":{},"#, 5, false),
    ] {
        let ledger = MemoryLedger::new();
        ledger.grant("a", usd(balance));
        let layer = layer(&ledger).expected_searches(searches);
        let usage = if fields.is_empty() {
            Usage::new(8, 10)
        } else {
            usage
        };
        assert_eq!(
            ask(layer, fields, usage, nobody()).await,
            given,
            "{balance} {fields}"
        );
        let spent = books::settled(&ledger, "a").spent;
        let cost = if fields.is_empty() {
            "0.000028"
        } else {
            "0.020028"
        };
        assert_eq!(
            spent,
            if given { usd(cost) } else { Amount::ZERO },
            "{balance} {fields}"
        );
    }
}

#[tokio::test]
async fn an_image_is_held_for_and_charged_once_each() {
    // Low or high detail: a price per image is for the request. Some send that once for each answer, and show
    // the images as often.
    let image = |detail: &str| {
        format!(r#"{{"type":"image_url","image_url":{{"url":"https://a/b","detail":"{detail}"}}}}"#)
    };
    let parts = [image("low"), image("high")].join(",");
    let price = Price::new("0", "0").and_then(|it| it.image("0.01"));
    let book = Prices::new().with("m", price.expect("decimals"));
    for (balance, n, given) in [
        ("0.02", "", true),
        ("0.019999", "", false),
        ("0.039999", r#""n":2,"#, false),
        ("0.04", r#""n":2,"#, true),
    ] {
        let ledger = MemoryLedger::new();
        ledger.grant("a", usd(balance));
        let layer = CostLayer::new(book.clone(), ledger.clone());
        let text =
            format!(r#"{{"model":"m",{n}"messages":[{{"role":"user","content":[{parts}]}}]}}"#);
        let (was_given, receipt) = request(layer, text, Usage::new(858, 1), nobody()).await;
        assert_eq!(was_given, given, "{balance} {n}");
        // One call has answered here.
        let spent = books::settled(&ledger, "a").spent;
        assert_eq!(spent, if given { usd("0.02") } else { Amount::ZERO });
        let line = r#"{"class":"image","count":2,"price":0.01,"per":1,"amount":0.02}"#;
        let told = receipt.is_some_and(|it| it.to_json().contains(line));
        assert_eq!(told, given);
    }
}

#[tokio::test]
async fn a_request_is_held_for_with_each_answer_and_its_prompt_is_as_long_as_one() {
    // Some ask an upstream once for each answer: a price for a request is one for each then. Two prompts of
    // eight tokens are no long one.
    let dear = Price::new("1000", "1000").expect("decimals");
    let price = Price::new("0", "0").and_then(|it| it.request("0.01"));
    let price = price.expect("decimals").when(When::new().above(8), &dear);
    let book = Prices::new().with("m", price);
    for (balance, n, given) in [
        ("0.01", "", true),
        ("0.01", r#""n":2,"#, false),
        ("0.02", r#""n":2,"#, true),
    ] {
        let ledger = MemoryLedger::new();
        ledger.grant("a", usd(balance));
        let layer = CostLayer::new(book.clone(), ledger.clone());
        let was_given = ask(layer, n, Usage::new(8, 2), nobody()).await;
        assert_eq!(was_given, given, "{balance} {n}");
        // One call has answered here.
        let spent = books::settled(&ledger, "a").spent;
        assert_eq!(spent, usd(if given { "0.01" } else { "0" }));
    }
}

#[tokio::test]
async fn reasoning_that_is_sent_back_is_held_for() {
    // Some read it, and some do not: it is held for, and no part of an estimate.
    let thought = "x".repeat(4_000);
    for (member, bytes) in [
        (format!(r#""reasoning_content":"{thought}","#), 4_002),
        (
            format!(r#""reasoning_details":[{{"type":"thinking","thinking":"{thought}"}}],"#),
            4_036,
        ),
        (String::new(), 0),
    ] {
        let text = |more: &str| {
            format!(
                r#"{{"model":"m","max_tokens":10,"messages":[{{"role":"user","content":"hi"}},{{"role":"assistant",{more}"content":"ab"}},{{"role":"user","content":"hi"}}]}}"#
            )
        };
        // Three for the request, four for each message, and two for six bytes of text.
        let tokens = 3 + 3 * 4 + 2 + i128::from(u32::div_ceil(bytes, 4));
        let most = Amount::from_pico(tokens * 1_000_000 + 10 * 2_000_000);
        for (short, given) in [(0, true), (1, false)] {
            let ledger = MemoryLedger::new();
            ledger.grant("a", most.minus(Amount::from_pico(short)));
            let layer = layer(&ledger);
            let given_was = request(layer, text(&member), Usage::new(18, 1), nobody())
                .await
                .0;
            assert_eq!(given_was, given, "{bytes} {short}");
        }
    }
}

#[tokio::test]
async fn what_comes_beyond_the_hold_is_told() {
    // The balance has it, or has not: beyond the hold it is either way.
    for (balance, charged) in [
        ("1", 48_000_000),
        ("0.00003", 30_000_000),
        ("0.000028", 28_000_000),
    ] {
        let ledger = MemoryLedger::new();
        ledger.grant("a", usd(balance));
        let told = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&told);
        let watch = Watch::new(move |event: &Event<'_>| {
            if let Event::Settled {
                picodollars,
                overrun,
                ..
            } = event
            {
                notes
                    .lock()
                    .expect("unpoisoned")
                    .push((*picodollars, *overrun));
            }
        });
        for usage in [Usage::new(8, 20), Usage::new(0, 0)] {
            ask(layer(&ledger), "", usage, watch.clone()).await;
        }
        let told = told.lock().expect("unpoisoned").clone();
        assert_eq!(told[0], (charged, 20_000_000), "{balance}");
        assert!(told[1..].iter().all(|it| *it == (0, 0)), "{balance}");
        let end = books::settled(&ledger, "a");
        assert_eq!(end.spent, Amount::from_pico(charged.into()), "{balance}");
        assert_eq!(
            end.overrun,
            Amount::from_pico(48_000_000 - i128::from(charged)),
            "{balance}"
        );
    }
}

/// It cannot be stopped in the middle: what came beyond the ceiling is the operator's.
#[tokio::test]
async fn a_whole_answer_is_charged_no_more_than_its_client_said() {
    for (max, given) in [("0.000028", true), ("0.000027", false)] {
        let ledger = MemoryLedger::new();
        ledger.grant("a", usd("1"));
        let layer = layer(&ledger).expected_output(10);
        let inner = service_fn(|_: Request<ChatBody>| async {
            let tally = Tally::new();
            tally.record_usage(Usage::new(8, 5_000));
            let mut response = Response::new(Full::new("{}"));
            response.extensions_mut().insert(tally);
            Ok::<_, Infallible>(response)
        });
        // Without a bound of its own it is admitted by what is expected of it.
        let text = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
        let mut request = Request::new(Full::new(text));
        request.extensions_mut().insert(Principal::new("a"));
        let value = http::HeaderValue::from_static(max);
        request.headers_mut().insert("x-max-cost", value);
        let told = Arc::new(Mutex::new(None));
        let notes = Arc::clone(&told);
        request
            .extensions_mut()
            .insert(Watch::new(move |event: &Event<'_>| {
                if let Event::Settled { overrun, .. } = event {
                    *notes.lock().expect("unpoisoned") = Some(*overrun);
                }
            }));
        let response = layer.layer(inner).oneshot(request).await;
        let response = response.expect("infallible");
        assert_eq!(response.status(), if given { 200 } else { 402 }, "{max}");
        let spent = books::settled(&ledger, "a").spent;
        assert_eq!(spent, if given { usd(max) } else { Amount::ZERO }, "{max}");
        let beyond = usd("0.010008").minus(usd(max));
        let told = told.lock().expect("unpoisoned").take();
        let overrun = told.map(|pico| Amount::from_pico(pico.into()));
        assert_eq!(overrun, given.then_some(beyond), "{max}");
        let Some(receipt) = response.extensions().get::<Receipt>() else {
            assert!(!given);
            continue;
        };
        assert_eq!((receipt.cost, receipt.waived), (usd(max), beyond));
        let json = receipt.to_json();
        let lines = receipt.charge.lines().map(|line| line.amount);
        let lines = lines.fold(Amount::ZERO, Amount::plus);
        assert_eq!(lines, receipt.cost.plus(receipt.waived), "{json}");
        assert!(json.ends_with(r#"],"waived":0.00998}"#), "{json}");
    }
}

#[tokio::test]
async fn a_length_that_is_said_is_that_of_the_answer_with_its_cost() {
    const ANSWER: &str = r#"{"usage":{"prompt_tokens":8}}"#;
    for (dialect, said) in [
        (Dialect::onysoft(), true),
        (Dialect::onysoft(), false),
        (Dialect::openai(), true),
    ] {
        let ledger = MemoryLedger::new();
        let inner = service_fn(move |_: Request<ChatBody>| {
            let tally = Tally::new();
            tally.record_usage(Usage::new(8, 10));
            let mut response = Response::builder();
            if said {
                response = response.header("content-length", ANSWER.len());
            }
            let mut response = response.body(Full::new(ANSWER)).expect("a response");
            response.extensions_mut().insert(tally);
            async { Ok::<_, Infallible>(response) }
        });
        let text = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
        let mut request = Request::new(Full::new(text));
        request.extensions_mut().insert(Principal::new("a"));
        let layer = layer(&ledger).dialect(&dialect);
        let response = layer.layer(inner).oneshot(request).await;
        let (head, body) = response.expect("infallible").into_parts();
        let exact = http_body::Body::size_hint(&body).exact();
        let body = body.collect().await.expect("whole").to_bytes();
        assert_eq!(exact, Some(body.len() as u64), "the body knows");
        let length = head.headers.get("content-length");
        let length = length.map(|it| it.to_str().expect("text").to_owned());
        assert_eq!(length, said.then(|| body.len().to_string()), "{dialect:?}");
        let with_cost = body.len() > ANSWER.len();
        assert_eq!(with_cost, dialect == Dialect::onysoft(), "{body:?}");
    }
}

#[tokio::test]
async fn what_has_no_place_for_its_cost_is_left_as_it_is() {
    for (encoding, answer) in [
        ("gzip", "\u{1f}x{abc}\u{0}"),
        ("br", r#"{"usage":{}}"#),
        ("", "} {"),
        ("", "[{}]"),
        ("", "oops"),
    ] {
        let ledger = MemoryLedger::new();
        ledger.grant("a", usd("1"));
        let inner = service_fn(move |_: Request<ChatBody>| {
            let mut response = Response::builder().header("content-type", "application/json");
            if !encoding.is_empty() {
                response = response.header("content-encoding", encoding);
            }
            async move { response.body(Full::new(answer)) }
        });
        let text = r#"{"model":"m","max_tokens":10,"messages":[{"role":"user","content":"hi"}]}"#;
        let mut request = Request::new(Full::new(text));
        request.extensions_mut().insert(Principal::new("a"));
        let layer = layer(&ledger).dialect(&Dialect::onysoft());
        let response = layer.layer(inner).oneshot(request).await;
        let (head, body) = response.expect("answered").into_parts();
        assert!(head.headers.contains_key("x-completion-cost"), "{answer:?}");
        let body = body.collect().await.expect("whole").to_bytes();
        assert_eq!(body, answer);
        assert!(books::settled(&ledger, "a").spent > Amount::ZERO);
    }
}

#[tokio::test]
async fn the_dearest_that_may_answer_is_held_for_each_answer_asked_for() {
    let price = |input, output| Price::new(input, output).expect("decimals");
    let list =
        PriceList::new()
            .with("p", ["gpt"], price("1", "2"))
            .with("q", ["gpt"], price("3", "4"));
    let book = Prices::new()
        .with("m", price("1", "2"))
        .with("dear", price("10", "20"))
        .with("cheap", price("0.1", "0.2"))
        .with_fallbacks("m", ["cheap", "dear"])
        .with_targets("t", [("p", "gpt"), ("q", "gpt")])
        .with_list(list);
    // Eight tokens in and ten out, each as often as answers are asked for.
    for (model, fields, held) in [
        ("m", "", "0.00028"),
        ("m", r#""n":3,"#, "0.00084"),
        ("t", "", "0.000064"),
        ("t", r#""n":2,"#, "0.000128"),
        ("cheap", "", "0.0000028"),
    ] {
        let ledger = MemoryLedger::new();
        ledger.grant("a", usd("1"));
        let (seen, books) = (Arc::new(Mutex::new(Amount::ZERO)), ledger.clone());
        let while_asked = Arc::clone(&seen);
        let inner = service_fn(move |_: Request<ChatBody>| {
            *while_asked.lock().expect("alone") = books.statement("a").held;
            async { Ok::<_, Infallible>(Response::new(Full::new("{}"))) }
        });
        let text = format!(
            r#"{{"model":"{model}","max_tokens":10,{fields}"messages":[{{"role":"user","content":"hi"}}]}}"#
        );
        let mut request = Request::new(Full::new(text));
        request.extensions_mut().insert(Principal::new("a"));
        let layer = CostLayer::new(book.clone(), ledger.clone());
        let response = layer.layer(inner).oneshot(request).await;
        assert_eq!(response.expect("infallible").status(), 200);
        assert_eq!(*seen.lock().expect("alone"), usd(held), "{model} {fields}");
        books::settled(&ledger, "a");
    }
}

/// What an answer costs that a reader inside has told of so.
async fn cost_of(status: u16, text: &'static str, tell: impl Fn(&Tally) + Clone + Send) -> Amount {
    let ledger = MemoryLedger::new();
    ledger.grant("a", usd("1"));
    let inner = service_fn(move |_: Request<ChatBody>| {
        let tally = Tally::new();
        tell(&tally);
        let mut response = Response::new(Full::new(text));
        *response.status_mut() = status.try_into().expect("a status");
        response.extensions_mut().insert(tally);
        async { Ok::<_, Infallible>(response) }
    });
    let text = r#"{"model":"m","max_tokens":10,"messages":[{"role":"user","content":"hi"}]}"#;
    let mut request = Request::new(Full::new(text));
    request.extensions_mut().insert(Principal::new("a"));
    let response = layer(&ledger).layer(inner).oneshot(request).await;
    let body = response.expect("infallible").into_body();
    body.collect().await.expect("whole");
    books::settled(&ledger, "a").spent
}

#[tokio::test]
async fn what_never_reaches_the_client_is_free_though_it_was_counted() {
    let failed = |tally: &Tally| {
        tally.record_usage(Usage::new(1_000, 1_000));
        tally.relayed(100);
        let error = Error::new(error::Kind::BadUpstream, "no answer");
        tally.end(Outcome::Failed(error));
    };
    assert_eq!(cost_of(502, "{}", failed).await, Amount::ZERO);
    assert_eq!(cost_of(200, "{}", failed).await, Amount::ZERO);
    let unsaid = |tally: &Tally| tally.record_usage(Usage::new(1_000, 1_000));
    assert_eq!(cost_of(502, "{}", unsaid).await, Amount::ZERO);
    assert_eq!(cost_of(200, "{}", unsaid).await, usd("0.003"));
}

#[tokio::test]
async fn an_answer_without_content_is_not_charged_for_its_form() {
    let text = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"content_filter"}]}"#;
    // Ten tokens in, as estimated, and none out.
    let empty = cost_of(200, text, |tally| tally.end(Outcome::Complete)).await;
    let told = cost_of(200, text, |tally| tally.relayed(40)).await;
    assert!(empty > Amount::ZERO && empty < usd("0.00002"), "{empty}");
    assert_eq!(told, empty.plus(usd("0.00002")));
}

#[tokio::test]
async fn a_tier_is_understood_however_it_is_spelled() {
    let dear = Price::new("10", "20").expect("decimals");
    let priority = When::new().tier(ServiceTier::Priority);
    let price = Price::new("1", "2")
        .expect("decimals")
        .when(priority, &dear);
    for spelled in ["priority", "prior\\u0069ty", "fast"] {
        let ledger = MemoryLedger::new();
        ledger.grant("a", usd("1"));
        let book = Prices::new().with("m", price.clone());
        let fields = format!(r#""service_tier":"{spelled}","#);
        let layer = CostLayer::new(book, ledger.clone());
        assert!(ask(layer, &fields, Usage::new(8, 10), nobody()).await);
        assert_eq!(
            books::settled(&ledger, "a").spent,
            usd("0.00028"),
            "{spelled}"
        );
    }
}

/// Whoever answers without a price is charged for as it is said of those, whatever the model that was
/// asked for costs; and not at all where it may not answer.
#[tokio::test]
async fn who_answers_without_a_price_is_charged_for_as_it_is_said() {
    let price = |input, output| Price::new(input, output).expect("decimals");
    let ceiling = || Unpriced::Ceiling(Arc::new(price("10", "20")));
    for (fallback, unpriced, cost) in [
        ("bare", ceiling(), "0.0003"),
        ("bare", Unpriced::Free, "0"),
        ("priced", ceiling(), "0.00006"),
        ("priced", Unpriced::Free, "0.00006"),
        // Nobody has said that it may answer: it goes by another name of what was asked for.
        ("", ceiling(), "0.00003"),
        ("", Unpriced::Free, "0.00003"),
    ] {
        let ledger = MemoryLedger::new();
        ledger.grant("a", usd("1"));
        let book = Prices::new()
            .with("m", price("1", "2"))
            .with("priced", price("2", "4"))
            .with_fallbacks("m", Some(fallback).filter(|it| !it.is_empty()));
        let layer = CostLayer::new(book, ledger.clone()).unpriced(unpriced);
        let quotes = Arc::new(layer.quoter());
        let served = Served::new(
            &Target::new("p", "x"),
            if fallback.is_empty() {
                "other"
            } else {
                fallback
            },
        );
        let by = served.clone();
        let inner = service_fn(move |request: Request<ChatBody>| {
            let (parts, body) = request.into_parts();
            let quote = quotes(&parts, body.chat());
            let tally = Tally::new();
            tally.record_usage(Usage::new(10, 10));
            let mut known = Known::default();
            (known.served, known.tally) = (Some(&by), Some(&tally));
            let counted = quote(&Usage::new(10, 10), known);
            let mut response = Response::new(Full::new(counted.to_string()));
            response.extensions_mut().insert(tally);
            response.extensions_mut().insert(by.clone());
            async { Ok::<_, Infallible>(response) }
        });
        let text = r#"{"model":"m","max_tokens":10,"messages":[{"role":"user","content":"hi"}]}"#;
        let mut request = Request::new(Full::new(text));
        request.extensions_mut().insert(Principal::new("a"));
        let response = layer
            .layer(inner)
            .oneshot(request)
            .await
            .expect("infallible");
        assert_eq!(response.status(), 200);
        let body = response
            .into_body()
            .collect()
            .await
            .expect("whole")
            .to_bytes();
        let spent = books::settled(&ledger, "a").spent;
        assert_eq!(spent, usd(cost), "{fallback}");
        assert_eq!(
            body,
            spent.pico().to_string(),
            "limits on money count the same"
        );
    }
}

#[tokio::test]
async fn limits_on_money_count_no_more_than_the_client_said() {
    let ledger = MemoryLedger::new();
    let quotes = Arc::new(layer(&ledger).quoter());
    let inner = service_fn(move |request: Request<ChatBody>| {
        let (parts, body) = request.into_parts();
        let quote = quotes(&parts, body.chat());
        let counted = quote(&Usage::new(1_000, 1_000), Known::default());
        async move { Ok::<_, Infallible>(Response::new(Full::new(counted.to_string()))) }
    });
    let service = ParseLayer::new().layer(inner);
    for (max, counted) in [
        (None, "3000000000"),
        (Some("0.00005"), "50000000"),
        (Some("x"), "3000000000"),
    ] {
        let mut request = Request::post("/");
        if let Some(max) = max {
            request = request.header("x-max-cost", max);
        }
        let text = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
        let request = request.body(Full::new(text)).expect("a request");
        let response = service.clone().oneshot(request).await.expect("infallible");
        let body = response.into_body().collect().await.expect("whole");
        assert_eq!(body.to_bytes(), counted, "{max:?}");
    }
}
