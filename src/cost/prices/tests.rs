use super::*;
use crate::{cost::Class, ext::Target as To};

fn price(usd: &str) -> Price {
    Price::new(usd, "0").expect("a decimal")
}

fn usd(price: Option<Arc<Price>>) -> Option<String> {
    price.map(|price| price.per(Class::Input).to_string())
}

fn book() -> Prices {
    let list = PriceList::new()
        .with("openai", ["gpt", "gpt-2024"], price("1"))
        .with("openai", ["gpt-2023"], price("2"))
        .with("azure", ["gpt"], price("3"));
    Prices::new()
        .with("own", price("9"))
        .with_fallbacks("own", ["served"])
        .with_targets("served", [("a", "gpt"), ("b", "gpt"), ("c", "unknown")])
        .with_provider("a", "openai")
        .with_provider("b", "azure")
        .with_list(list)
}

#[test]
fn a_model_is_priced_by_its_name_or_by_who_serves_it() {
    let book = book();
    assert_eq!(usd(book.price("own")).as_deref(), Some("9"));
    assert_eq!(usd(book.price("served")).as_deref(), Some("1"));
    assert_eq!(usd(book.price("nobody")), None);
    let all = |model| {
        let mut all = Vec::new();
        book.candidates(model, &mut |price| {
            all.push(price.map(|price| price.per(Class::Input).to_string()));
        });
        let mut again = Vec::new();
        let own = book.look_up(model, &mut |price| {
            again.push(price.map(|price| price.per(Class::Input).to_string()));
        });
        assert_eq!((usd(own), again), (usd(book.price(model)), all.clone()));
        all.iter()
            .map(|usd| usd.as_deref().unwrap_or("-"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(all("own"), "9 1 3 -");
    assert_eq!(all("served"), "1 3 -");
    assert_eq!(all("nobody"), "-");
}

#[test]
fn a_pattern_prices_what_has_no_entry_of_its_own() {
    let book = book()
        .with("a/*", price("5"))
        .with("a/own", price("6"))
        .with("a/b/*", price("7"))
        .with_targets("by/*", [("a", "*"), ("b", "*")]);
    for (name, at) in [
        ("a/x", Some("5")),
        ("a/own", Some("6")),
        ("a/b/x", Some("7")),
        ("b/x", None),
        ("by/gpt", Some("1")),
        ("by/gpt-2023", Some("2")),
        ("by/unknown", None),
    ] {
        assert_eq!(usd(book.price(name)).as_deref(), at, "{name}");
    }
    let mut seen = Vec::new();
    book.candidates("by/gpt", &mut |price| {
        seen.push(price.map(|price| price.per(Class::Input).to_string()));
    });
    assert_eq!(seen, [Some("1".to_owned()), Some("3".to_owned())]);
}

#[test]
fn the_model_that_answered_is_priced() {
    let book = book();
    let answered = |id: &str, provider: &str, model: &str, named| {
        usd(book.answered(&Served::new(&To::new(provider, model), id), named))
    };
    for (id, provider, model, named, price) in [
        ("own", "a", "gpt", Some("gpt-2023"), Some("9")),
        ("served", "a", "gpt", None, Some("1")),
        ("served", "a", "gpt", Some("gpt"), Some("1")),
        ("served", "a", "gpt", Some("gpt-2023"), Some("2")),
        ("served", "a", "gpt", Some("whatever"), Some("1")),
        ("served", "b", "gpt", Some("gpt-2023"), Some("3")),
        ("served", "c", "unknown", None, None),
        ("elsewhere", "a", "gpt-2024", None, Some("1")),
    ] {
        let found = answered(id, provider, model, named);
        assert_eq!(found.as_deref(), price, "{id} {provider} {model} {named:?}");
    }
}

#[test]
fn a_snapshot_keeps_what_it_was() {
    let book = book();
    let before = book.snapshot().expect("it can change");
    book.replace(&Prices::new().with("own", price("5")));
    assert_eq!(usd(before.price("own")).as_deref(), Some("9"));
    assert_eq!(usd(book.price("own")).as_deref(), Some("5"));
    assert_eq!(usd(before.price("served")).as_deref(), Some("1"));
}
