//! All money of an account is of one currency: said wherever an amount is, and never mixed.

#[path = "support/books.rs"]
mod books;

use std::convert::Infallible;

use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt, service_fn};
use tower_completions::{
    Dialect, Error, Principal, Served, Target,
    body::Full,
    cost::{
        Bill, Budgets, CostLayer, Currency, MemoryLedger, Period, Price, PriceList, Prices,
        Receipt, Scope, Unpriced,
    },
    meter::{Outcome, Tally},
    parse::ChatBody,
    wire::Usage,
};

const EVENTS: &str = "text/event-stream";

fn price(input: &str, currency: Currency) -> Price {
    Price::new(input, "2")
        .expect("decimals")
        .in_currency(currency)
}

fn euros() -> MemoryLedger {
    let ledger = MemoryLedger::new().in_currency(Currency::EUR);
    ledger.grant("a", "1".parse().expect("an amount"));
    ledger
}

fn request(headers: &[(&'static str, &'static str)]) -> Request<Full> {
    let text = r#"{"model":"m","max_tokens":10,"messages":[{"role":"user","content":"hi"}]}"#;
    let mut request = Request::new(Full::new(text));
    request.extensions_mut().insert(Principal::new("a"));
    for (name, value) in headers {
        request
            .headers_mut()
            .insert(*name, HeaderValue::from_static(value));
    }
    request
}

/// An answer of seven tokens in, three out.
async fn ask(
    layer: CostLayer<MemoryLedger>,
    kind: &'static str,
    headers: &[(&'static str, &'static str)],
    say: fn(&Tally),
) -> (http::response::Parts, String) {
    let inner = service_fn(move |_: Request<ChatBody>| {
        let tally = Tally::new();
        let mut usage = Usage::new(7, 3);
        usage.reported_cost = Some(1);
        tally.record_usage(usage);
        say(&tally);
        tally.end(Outcome::Complete);
        let body = match kind {
            EVENTS => "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
            _ => "{\"id\":1}",
        };
        let mut response = Response::new(Full::new(body));
        response
            .headers_mut()
            .insert("content-type", HeaderValue::from_static(kind));
        let served = Served::new(&Target::new("p", "gpt"), "m");
        response.extensions_mut().insert(served);
        response.extensions_mut().insert(tally);
        async { Ok::<_, Infallible>(response) }
    });
    let response = layer.layer(inner).oneshot(request(headers)).await;
    let (head, body) = response.expect("infallible").into_parts();
    let body = body.collect().await.expect("whole").to_bytes();
    (head, String::from_utf8(body.into()).expect("UTF-8"))
}

#[tokio::test]
async fn every_amount_says_what_it_is_of() {
    let ledger = euros();
    let book = Prices::new().with("m", price("1", Currency::EUR));
    let layer = || CostLayer::new(book.clone(), ledger.clone()).dialect(&Dialect::onysoft());
    let (head, text) = ask(layer(), "application/json", &[], |_| {}).await;
    assert_eq!(head.headers["x-completion-cost"], "0.000013");
    assert_eq!(head.headers["x-completion-cost-currency"], "EUR");
    assert_eq!(
        text,
        r#"{"id":1,"cost":{"amount":0.000013,"currency":"EUR"}}"#
    );
    let receipt = head.extensions.get::<Receipt>().expect("charged");
    assert_eq!(receipt.currency, Currency::EUR);
    assert!(receipt.to_json().contains(r#""currency":"EUR""#));

    let (head, text) = ask(layer(), EVENTS, &[], |_| {}).await;
    assert!(
        text.contains(r#""cost":{"amount":0.000013,"currency":"EUR"}"#),
        "{text}"
    );
    let bill = head.extensions.get::<Bill>().expect("a stream's");
    assert_eq!(bill.receipt().expect("settled").currency, Currency::EUR);

    let (_, text) = ask(layer(), EVENTS, &[("x-dry-run", "1")], |_| {}).await;
    assert!(
        text.contains(r#"{"amount":0.000028,"currency":"EUR"}"#),
        "{text}"
    );
    let (head, _) = ask(layer(), EVENTS, &[("x-max-cost", "0.00001")], |_| {}).await;
    let error = head.extensions.get::<Error>().expect("refused");
    assert!(error.to_string().contains("0.000028 EUR"), "{error}");
    assert_eq!(books::settled(&ledger, "a").spent.to_string(), "0.000026");
}

#[tokio::test]
async fn a_price_in_another_currency_refuses_and_is_not_compared() {
    let list = PriceList::new().with("p", ["gpt"], price("1", Currency::USD));
    for (name, book) in [
        (
            "its own",
            Prices::new().with("m", price("1", Currency::USD)),
        ),
        (
            "a fallback's",
            Prices::new()
                .with("m", price("1", Currency::EUR))
                .with("n", price("1", Currency::USD))
                .with_fallbacks("m", ["n"]),
        ),
        (
            "a target's",
            Prices::new()
                .with_targets("m", [("p", "gpt")])
                .with_list(list),
        ),
    ] {
        let ledger = euros();
        // A budget in the same currency has nothing added to it either.
        let budgets =
            Budgets::new().with(Scope::Global, "1".parse().expect("an amount"), Period::Day);
        let layer = CostLayer::new(book, ledger.clone()).budgets(budgets.clone());
        let (head, _) = ask(layer, "application/json", &[], |_| {
            panic!("nobody is asked")
        })
        .await;
        assert_eq!(head.status, 500, "{name}");
        let error = head.extensions.get::<Error>().expect("refused");
        assert_eq!(error.code(), Some("currency_mismatch"), "{name}");
        assert_eq!(
            books::settled(&ledger, "a").spent.to_string(),
            "0",
            "{name}"
        );
        let standing = &budgets.standing(&Principal::new("a"), 0)[0];
        assert_eq!(
            (standing.held.pico(), standing.spent.pico()),
            (0, 0),
            "{name}"
        );
    }
}

/// What is said for all that have no price counts where one of them may answer, and there alone.
#[tokio::test]
async fn a_ceiling_in_another_currency_refuses_where_it_would_be_charged() {
    let ceiling = || std::sync::Arc::new(price("1", Currency::USD));
    for (fallbacks, status) in [(&["n"][..], 500), (&[], 200)] {
        let ledger = euros();
        let book = Prices::new()
            .with("m", price("1", Currency::EUR))
            .with_fallbacks("m", fallbacks.iter().copied());
        let layer = CostLayer::new(book, ledger.clone()).unpriced(Unpriced::Ceiling(ceiling()));
        let (head, _) = ask(layer, "application/json", &[], |_| {}).await;
        assert_eq!(head.status, status, "{fallbacks:?}");
        let code = head.extensions.get::<Error>().and_then(Error::code);
        assert_eq!(
            code,
            (status == 500).then_some("currency_mismatch"),
            "{fallbacks:?}"
        );
        let spent = books::settled(&ledger, "a").spent.pico();
        assert_eq!(spent > 0, status == 200, "{fallbacks:?}");
    }
}

/// What may answer is known before; which of its names it gives itself is not.
#[tokio::test]
async fn what_is_learnt_late_is_charged_in_the_currency_of_the_hold() {
    let book = Prices::new().with_targets("m", [("p", "gpt")]).with_list(
        PriceList::new()
            .with("p", ["gpt"], price("1", Currency::EUR))
            .with("p", ["gpt-1"], price("100", Currency::USD)),
    );
    for (kind, provider_cost) in [("application/json", false), (EVENTS, false), (EVENTS, true)] {
        let ledger = euros();
        let mut layer = CostLayer::new(book.clone(), ledger.clone());
        if provider_cost {
            // Stated in dollars: it is no amount of euros.
            layer = layer.provider_cost();
        }
        ask(layer, kind, &[], |tally| tally.record_model("gpt-1")).await;
        assert_eq!(
            books::settled(&ledger, "a").spent.to_string(),
            "0.000013",
            "{kind}"
        );
    }
}

#[test]
#[should_panic(expected = "one price, two currencies")]
fn one_price_has_one_currency() {
    let _ = price("1", Currency::EUR).then_from(7, price("2", Currency::USD));
}

#[test]
fn what_follows_a_price_has_its_currency() {
    let list: PriceList = toml::from_str(
        "currency = \"EUR\"\n[[price]]\nmodels = [\"m\"]\ninput = \"1\"\n\
         then = [{ from = \"2027-01-01\", input = \"2\" }]\nwhen = [{ above = 5, input = \"3\" }]\n",
    )
    .expect("readable");
    let price = list.find("anyone", "m").expect("there");
    assert_eq!(price.currency(), Currency::EUR);
    let again = Price::clone(&price).in_currency(Currency::USD);
    assert_eq!(again.currency(), Currency::USD);
}
