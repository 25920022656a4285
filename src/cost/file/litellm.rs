//! LiteLLM's `model_prices_and_context_window.json`: one record for each model, US dollars per token.
//!
//! Keys as published in November 2026.

use std::sync::Arc;

use super::{BadPrices, tree::Tree};
use crate::{
    cost::{
        Class, NotAnAmount, Price, PriceList, When, list::Match, pattern::Pattern, rates::Rates,
    },
    facts::Facts,
    wire::ServiceTier,
};

/// The keys without their suffixes; what begins with another stands before it.
const KEYS: &[(&str, Class)] = &[
    (
        "cache_creation_input_token_cost_above_1hr",
        Class::CacheWrite1h,
    ),
    ("cache_creation_input_token_cost", Class::CacheWrite),
    ("cache_read_input_token_cost", Class::CachedInput),
    ("input_cost_per_audio_token", Class::AudioInput),
    ("input_cost_per_image_token", Class::ImageInput),
    ("input_cost_per_image", Class::Image),
    ("input_cost_per_token", Class::Input),
    ("input_cost_per_request", Class::Request),
    ("output_cost_per_audio_token", Class::AudioOutput),
    ("output_cost_per_image_token", Class::ImageOutput),
    ("output_cost_per_reasoning_token", Class::Reasoning),
    ("output_cost_per_token", Class::Output),
];

impl PriceList {
    /// Reads LiteLLM's price file as it is published. Numbers are taken by their digits; what floats
    /// have left of a price beyond the picodollar per million tokens is rounded, half to even.
    ///
    /// Models without a price per token of input or output are left out, and so is a record with a
    /// price that cannot be: see [`skipped`](Self::skipped). Searches are priced at their medium
    /// context. What the file tells of a model's limits and abilities is in [`Price::facts`].
    ///
    /// # Errors
    /// The text is no JSON object.
    pub fn litellm(json: &str, version: &str) -> Result<Self, BadPrices> {
        let tree = Tree::parse(json)?;
        let Tree::Object(records) = &tree else {
            return Err(BadPrices::new("expected an object of models"));
        };
        let version: Arc<str> = version.into();
        let mut list = Self::new();
        for (name, record) in records.iter().filter(|(name, _)| name != "sample_spec") {
            let provider = record.get("litellm_provider").and_then(Tree::text);
            match price(record) {
                Ok(None) => {}
                Err(NotAnAmount) => list.skip(name),
                Ok(Some(price)) => {
                    let price = price
                        .with_version(Arc::clone(&version))
                        .with_facts(facts(record));
                    let price = Arc::new(price);
                    // Under its own name and, where that begins with the provider's, without it.
                    let bare = name.split_once('/').map(|(_, bare)| bare);
                    let names =
                        std::iter::once(name.as_str()).chain(bare.filter(|_| provider.is_some()));
                    let names = names.map(|name| Match::Is(Pattern::literal(false, name, false)));
                    list.add(provider, Match::Any(names.collect()), price);
                }
            }
        }
        Ok(list)
    }
}

fn price(record: &Tree) -> Result<Option<Price>, NotAnAmount> {
    let mut base = Rates::default();
    let mut variants: Vec<(When, Option<u64>, Rates)> = Vec::new();
    let mut put = |when: Option<(When, Option<u64>)>, class: Class, number: &str| {
        let power = if class.per() == 1 { 0 } else { 6 };
        let Some((when, above)) = when else {
            return base.set_number(class, number, power);
        };
        let at = variants.iter().position(|(other, ..)| *other == when);
        let at = at.unwrap_or_else(|| {
            variants.push((when, above, Rates::default()));
            variants.len() - 1
        });
        variants[at].2.set_number(class, number, power)
    };
    for (key, value) in record.members() {
        let Tree::Number(number) = value else {
            continue;
        };
        if let Some((class, rest)) = class(key) {
            match suffix(rest) {
                Some((None, None)) => put(None, class, number)?,
                Some((above, tier)) => put(Some((when(above, tier), above)), class, number)?,
                None => {}
            }
        }
    }
    for band in record.get("tiered_pricing").map_or(&[][..], Tree::elements) {
        let from = band.get("range").and_then(|range| range.elements().first());
        let from = from.and_then(Tree::number).ok_or(NotAnAmount)?;
        let from = crate::cost::amount::scaled(from, 0).ok_or(NotAnAmount)?;
        let above = u64::try_from(from).ok().filter(|from| *from > 0);
        for (key, value) in band.members() {
            if let (Some((class, "")), Tree::Number(number)) = (class(key), value) {
                put(
                    above.map(|from| (when(Some(from), None), Some(from))),
                    class,
                    number,
                )?;
            }
        }
    }
    if let Some(search) = record.get("search_context_cost_per_query") {
        let medium = search.get("search_context_size_medium");
        if let Some(Tree::Number(number)) = medium {
            base.set_number(Class::WebSearch, number, 0)?;
        }
    }
    if base.get(Class::Input).is_none() && base.get(Class::Output).is_none() {
        return Ok(None);
    }
    // A longer prompt overrules a shorter one, and a tier with a length both alone.
    variants.sort_by_key(|(when, above, _)| (when.has_tier(), *above));
    let price = variants
        .into_iter()
        .fold(Price::from_rates(base), |price, (when, _, rates)| {
            price.variant(when, rates)
        });
    Ok(Some(price))
}

fn facts(record: &Tree) -> Facts {
    let count = |key| record.get(key).and_then(Tree::count);
    let flag = |key| record.get(key).and_then(Tree::bool);
    // `max_tokens` is the one or the other, nobody knows which.
    Facts {
        max_input_tokens: count("max_input_tokens"),
        max_output_tokens: count("max_output_tokens"),
        tools: flag("supports_function_calling"),
        tool_choice: flag("supports_tool_choice"),
        parallel_tools: flag("supports_parallel_function_calling"),
        reasoning: flag("supports_reasoning"),
        json_schema: flag("supports_response_schema"),
        web_search: flag("supports_web_search"),
        images: flag("supports_vision"),
        audio: flag("supports_audio_input"),
        speech: flag("supports_audio_output"),
        files: flag("supports_pdf_input"),
    }
}

fn class(key: &str) -> Option<(Class, &str)> {
    KEYS.iter()
        .find_map(|(name, class)| Some((*class, key.strip_prefix(name)?)))
}

/// `_above_200k_tokens` and a tier behind it, either or none; `None` when it is something else.
fn suffix(mut rest: &str) -> Option<(Option<u64>, Option<ServiceTier>)> {
    let mut above = None;
    if let Some(behind) = rest.strip_prefix("_above_") {
        let (thousands, behind) = behind.split_once("k_tokens")?;
        above = Some(thousands.parse::<u64>().ok()?.checked_mul(1000)?);
        rest = behind;
    }
    let tier = match rest {
        "" => None,
        "_priority" => Some(ServiceTier::Priority),
        "_flex" => Some(ServiceTier::Flex),
        "_batches" => Some(ServiceTier::Batch),
        _ => return None,
    };
    Some((above, tier))
}

fn when(above: Option<u64>, tier: Option<ServiceTier>) -> When {
    let when = above.map_or(When::new(), |above| When::new().above(above));
    tier.map_or(when, |tier| when.tier(tier))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cost::Circumstances, wire::Usage};

    /// In the shape of the published file; the numbers are ours.
    const FILE: &str = r#"{
        "sample_spec": {"input_cost_per_token": 0, "litellm_provider": "one of these", "mode": "chat"},
        "model-a": {
            "input_cost_per_token": 1.25e-06, "output_cost_per_token": 1e-05,
            "cache_read_input_token_cost": 1.25E-7, "cache_creation_input_token_cost": 1.5e-06,
            "cache_creation_input_token_cost_above_1hr": 2e-06,
            "input_cost_per_token_above_200k_tokens": 2.5e-06,
            "output_cost_per_token_above_200k_tokens": 1.5e-05,
            "input_cost_per_token_priority": 2e-06, "input_cost_per_token_flex": 0.000001,
            "input_cost_per_token_above_200k_tokens_priority": 4e-06,
            "input_cost_per_image": 0.0048, "output_cost_per_image_token": 3e-05,
            "search_context_cost_per_query": {"search_context_size_low": 0.01, "search_context_size_medium": 0.035},
            "litellm_provider": "openai", "mode": "chat", "max_input_tokens": 1e6, "max_output_tokens": 65536, "supports_vision": true,
            "supports_function_calling": false, "supports_reasoning": "yes", "supports_audio_input": null
        },
        "xai/model-b": {"input_cost_per_token": 0.0000029999900000000002, "output_cost_per_token": 0.0,
            "litellm_provider": "xai", "mode": "chat"},
        "dashscope/model-c": {"litellm_provider": "dashscope", "mode": "chat", "tiered_pricing": [
            {"range": [0, 32000.0], "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06},
            {"range": [32000.0, 128000.0], "input_cost_per_token": 3e-06, "output_cost_per_token": 4e-06}]},
        "image-model": {"output_cost_per_image": 0.04, "litellm_provider": "openai", "mode": "image_generation"},
        "broken": {"input_cost_per_token": -1, "output_cost_per_token": 1e-06, "litellm_provider": "openai"}
    }"#;

    fn cost(
        list: &PriceList,
        provider: &str,
        model: &str,
        usage: Usage,
        tier: ServiceTier,
    ) -> String {
        let price = list
            .find(provider, model)
            .unwrap_or_else(|| panic!("{model}"));
        price
            .charge(&usage, Circumstances::default().tier(tier))
            .cost()
            .to_string()
    }

    #[test]
    fn the_published_shape() {
        let list = PriceList::litellm(FILE, "today").expect("readable");
        assert_eq!(list.skipped(), ["broken"]);
        assert!(list.find("openai", "image-model").is_none());
        assert!(list.find("openai", "sample_spec").is_none());
        let standard = ServiceTier::Standard;
        let of = |provider, model, input, output, tier| {
            cost(&list, provider, model, Usage::new(input, output), tier)
        };
        assert_eq!(of("openai", "model-a", 1_000, 100, standard), "0.00225");
        assert_eq!(
            of("openai", "model-a", 1_000, 100, ServiceTier::Priority),
            "0.003"
        );
        assert_eq!(
            of("openai", "model-a", 1_000, 100, ServiceTier::Flex),
            "0.002"
        );
        assert_eq!(of("openai", "model-a", 200_000, 0, standard), "0.25");
        assert_eq!(of("openai", "model-a", 400_000, 100, standard), "1.0015");
        assert_eq!(
            of("openai", "model-a", 400_000, 100, ServiceTier::Priority),
            "1.6015"
        );
        // The noise of a float is rounded off.
        assert_eq!(of("xai", "model-b", 1_000_000, 5, standard), "2.99999");
        assert_eq!(of("x-ai", "xai/model-b", 1_000_000, 5, standard), "2.99999");
        assert_eq!(of("dashscope", "model-c", 32_000, 0, standard), "0.032");
        assert_eq!(of("dashscope", "model-c", 32_001, 1, standard), "0.096007");
        let mut usage = Usage::new(1_000, 0);
        (usage.cached_input, usage.cache_write, usage.cache_write_1h) = (500, 300, 200);
        usage.web_searches = 1;
        assert_eq!(
            cost(&list, "openai", "model-a", usage, standard),
            "0.0359125"
        );
        let mut usage = Usage::new(0, 3);
        (usage.images, usage.image_output) = (2, 2);
        assert_eq!(cost(&list, "openai", "model-a", usage, standard), "0.00967");
        let price = list
            .find("openai", "MODEL-A")
            .expect("names without regard to case");
        let facts = price.facts();
        assert_eq!(facts.max_input_tokens, Some(1_000_000));
        assert_eq!(facts.max_output_tokens, Some(65_536));
        let flags = (facts.images, facts.tools, facts.reasoning, facts.audio);
        assert_eq!(flags, (Some(true), Some(false), None, None));
        assert_eq!(price.version().map(|it| &**it), Some("today"));
    }

    #[test]
    fn not_that_file() {
        for text in ["", "[]", "{", "{\"a\":1}x"] {
            assert!(PriceList::litellm(text, "").is_err(), "{text}");
        }
        assert!(PriceList::litellm("{\"a\":1}", "").is_ok_and(|list| list.is_empty()));
    }
}
