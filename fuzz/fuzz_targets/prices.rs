//! Price files of three kinds are read without a panic, and what is read prices without one: no charge
//! is below zero, and nothing used costs nothing but what a request costs by itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_completions::{
    cost::{Amount, Price, PriceList, When},
    wire::Usage,
};

/// Asked of each list beside the names that the text itself may hold.
const MODELS: &[&str] = &["", "*", "gpt-4o", "gpt-4o-2024-08-06", "claude-sonnet-4-5", "a/b", "GPT-4O"];
const PROVIDERS: &[&str] = &["", "openai", "anthropic", "google", "vertex_ai", "x-ai"];

fn charge(price: &Price) {
    let nothing = price.of(&Usage::default());
    for usage in [Usage::default(), Usage::new(1, 1), Usage::new(300_000, 7), Usage::new(u64::MAX, u64::MAX)] {
        assert!(price.of(&usage) >= nothing && nothing >= Amount::ZERO);
        for at in [0, 1_760_000_000, u64::MAX] {
            let _ = price.charge(&usage, tower_completions::cost::Circumstances::at(at)).cost();
        }
    }
    assert!(price.ceiling(10, 10) >= Amount::ZERO);
    let _ = price.clone().when(When::new().above(5), price);
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let list = match kind % 4 {
        0 => PriceList::litellm(text, "fuzz").ok(),
        1 => PriceList::genai_prices(text, "fuzz").ok(),
        2 => serde_json::from_str(text).ok(),
        _ => toml::from_str(text).ok(),
    };
    let Some(list) = list else {
        return;
    };
    let named = text.split('"').take(64);
    for model in named.chain(MODELS.iter().copied()) {
        for provider in PROVIDERS {
            if let Some(price) = list.find(provider, model) {
                charge(&price);
            }
        }
    }
    assert_eq!(list.is_empty(), list.len() == 0);
});
