//! The data of pydantic's genai-prices: providers, their models with rules for names, US dollars per
//! million tokens.
//!
//! Shape as published in November 2026: an array of providers.

use std::sync::Arc;

use super::{BadPrices, day, second, tree::Tree};
use crate::{
    cost::{
        Class, NotAnAmount, Price, PriceList, When, list::Match, pattern::Pattern, rates::Rates,
    },
    facts::Facts,
    wire::ServiceTier,
};

/// Keys, and the power of ten from their unit to ours.
const KEYS: &[(&str, Class, i64)] = &[
    ("input_mtok", Class::Input, 0),
    ("output_mtok", Class::Output, 0),
    ("cache_read_mtok", Class::CachedInput, 0),
    ("cache_write_mtok", Class::CacheWrite, 0),
    ("cache_write_5m_mtok", Class::CacheWrite, 0),
    ("cache_write_1h_mtok", Class::CacheWrite1h, 0),
    ("input_audio_mtok", Class::AudioInput, 0),
    ("output_audio_mtok", Class::AudioOutput, 0),
    ("input_image_mtok", Class::ImageInput, 0),
    ("output_image_mtok", Class::ImageOutput, 0),
    ("output_reasoning_mtok", Class::Reasoning, 0),
    ("requests_kcount", Class::Request, -3),
    ("web_searches_kcount", Class::WebSearch, -3),
];

/// The one rule with a look-ahead that the data have: names without this word.
const NOT_SPEECH: &str = "^(?!.*-[tT][tT][sS](?:$|-))";

impl PriceList {
    /// Reads the data of genai-prices as they are published.
    ///
    /// Read are the rules for names, regular expressions as far as they are literals, digits, sets
    /// and anchors; tiers by prompt length; prices from a day on and for hours of the day; the
    /// variants for batch, flex and priority processing. A model with a price that cannot be is left
    /// out: see [`skipped`](Self::skipped). The data know no price for an image that is shown.
    ///
    /// # Errors
    /// The text is no JSON array.
    pub fn genai_prices(json: &str, version: &str) -> Result<Self, BadPrices> {
        let tree = Tree::parse(json)?;
        let Tree::Array(providers) = &tree else {
            return Err(BadPrices::new("expected an array of providers"));
        };
        let version: Arc<str> = version.into();
        let mut list = Self::new();
        for provider in providers {
            let Some(id) = provider.get("id").and_then(Tree::text) else {
                continue;
            };
            let resold = provider.get("fallback_model_providers");
            let resold = resold.map_or(&[][..], Tree::elements).iter();
            list.resells(id, resold.filter_map(Tree::text).map(str::to_owned));
            for model in provider.get("models").map_or(&[][..], Tree::elements) {
                let rule = model.get("match").map_or(Match::Never, names);
                match price(model) {
                    Ok(None) => {}
                    Ok(Some(price)) => {
                        // The longest prompt, by the description of the data.
                        let window = model.get("context_window").and_then(Tree::count);
                        let facts = Facts {
                            max_input_tokens: window,
                            ..Facts::default()
                        };
                        let price = price.with_version(Arc::clone(&version)).with_facts(facts);
                        list.add(Some(id), rule, Arc::new(price));
                    }
                    Err(NotAnAmount) => {
                        let name = model.get("id").and_then(Tree::text).unwrap_or_default();
                        list.skip(&format!("{id}/{name}"));
                    }
                }
            }
        }
        Ok(list)
    }
}

fn names(rule: &Tree) -> Match {
    let [(kind, value)] = rule.members() else {
        return Match::Never;
    };
    let all = || value.elements().iter().map(names).collect();
    match (kind.as_str(), value.text()) {
        ("or", _) => Match::Any(all()),
        ("and", _) => Match::All(all()),
        ("equals", Some(text)) => Match::Is(Pattern::literal(false, text, false)),
        ("starts_with", Some(text)) => Match::Is(Pattern::literal(false, text, true)),
        ("ends_with", Some(text)) => Match::Is(Pattern::literal(true, text, false)),
        ("contains", Some(text)) => Match::Is(Pattern::literal(true, text, true)),
        ("regex", Some(NOT_SPEECH)) => {
            let speech = ["*-tts", "*-tts-*"].map(|text| Match::Is(Pattern::new(text)));
            Match::Not(Box::new(Match::Any(speech.into())))
        }
        ("regex", Some(text)) => Pattern::regex(text).map_or(Match::Never, Match::Is),
        _ => Match::Never,
    }
}

/// One set of prices: the plain ones, and those above so many tokens.
#[derive(Default)]
struct Set {
    base: Rates,
    long: Vec<(u64, Rates)>,
}

impl Set {
    fn read(prices: &Tree) -> Result<Self, NotAnAmount> {
        let mut set = Self::default();
        for (key, class, power) in KEYS {
            match prices.get(key) {
                None | Some(Tree::Other) => {}
                Some(tiers @ Tree::Object(_)) => {
                    let base = tiers
                        .get("base")
                        .and_then(Tree::number)
                        .ok_or(NotAnAmount)?;
                    set.base.set_number(*class, base, *power)?;
                    for tier in tiers.get("tiers").map_or(&[][..], Tree::elements) {
                        let number = |key| tier.get(key).and_then(Tree::number).ok_or(NotAnAmount);
                        let start = number("start")?.parse().map_err(|_| NotAnAmount)?;
                        let at = set.long.iter().position(|(from, _)| *from == start);
                        let at = at.unwrap_or_else(|| {
                            set.long.push((start, Rates::default()));
                            set.long.len() - 1
                        });
                        set.long[at]
                            .1
                            .set_number(*class, number("price")?, *power)?;
                    }
                }
                Some(price) => {
                    let number = price.number().ok_or(NotAnAmount)?;
                    set.base.set_number(*class, number, *power)?;
                }
            }
        }
        set.long.sort_by_key(|(from, _)| *from);
        Ok(set)
    }

    /// Adds it as a variant of a price.
    fn add(&self, when: When, price: Price) -> Price {
        let price = price.variant(when, self.base);
        let long = self.long.iter();
        long.fold(price, |price, (above, rates)| {
            price.variant(when.above(*above), *rates)
        })
    }
}

fn price(model: &Tree) -> Result<Option<Price>, NotAnAmount> {
    let prices = model.get("prices");
    // From when, and what follows; a set for some hours is a variant of all that stand before it.
    let mut eras: Vec<(u64, Price)> = Vec::new();
    match prices {
        Some(list @ Tree::Array(_)) => {
            for one in list.elements() {
                let set = Set::read(one.get("prices").unwrap_or(&Tree::Other))?;
                let constraint = one.get("constraint").unwrap_or(&Tree::Other);
                let text = |key| constraint.get(key).and_then(Tree::text);
                if let (Some(from), Some(to)) = (text("start_time"), text("end_time")) {
                    let hours = |text| second(text).ok_or(NotAnAmount);
                    let when = When::new().hours(hours(from)?, hours(to)?);
                    for (_, era) in &mut eras {
                        *era = set.add(when, era.clone());
                    }
                    continue;
                }
                let from = match text("start_date") {
                    Some(text) => day(text).ok_or(NotAnAmount)?,
                    None => 0,
                };
                eras.push((from, start(&set)));
            }
        }
        Some(prices @ Tree::Object(_)) => eras.push((0, start(&Set::read(prices)?))),
        _ => return Ok(None),
    }
    let priced =
        |(_, price): &(u64, Price)| price.states(Class::Input) || price.states(Class::Output);
    if !eras.iter().any(priced) {
        return Ok(None);
    }
    // The first that matches counts there, the last here.
    let variants = model.get("price_variants").map_or(&[][..], Tree::elements);
    for variant in variants.iter().rev() {
        let Some(mut when) = variant.get("when").and_then(processing) else {
            continue;
        };
        let from = variant
            .get("constraint")
            .and_then(|it| it.get("start_date"));
        if let Some(from) = from.and_then(Tree::text) {
            when = when.from(day(from).ok_or(NotAnAmount)?);
        }
        let set = Set::read(variant.get("prices").unwrap_or(&Tree::Other))?;
        for (_, era) in &mut eras {
            *era = set.add(when, era.clone());
        }
    }
    let mut eras = eras.into_iter();
    let Some((_, first)) = eras.next() else {
        return Ok(None);
    };
    Ok(Some(eras.fold(first, |price, (from, next)| {
        price.then_from(from, next)
    })))
}

fn start(set: &Set) -> Price {
    let long = set.long.iter();
    long.fold(Price::from_rates(set.base), |price, (above, rates)| {
        price.variant(When::new().above(*above), *rates)
    })
}

/// The tier of a variant that asks for nothing else.
fn processing(when: &Tree) -> Option<When> {
    let [(key, value)] = when.members() else {
        return None;
    };
    let tier = match (key.as_str(), value.text()?) {
        ("processing" | "service_tier", name) => ServiceTier::named(name)?,
        _ => return None,
    };
    Some(When::new().tier(tier))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cost::Circumstances, wire::Usage};

    /// In the shape of the published file; the numbers are ours.
    const FILE: &str = r#"[
        {"id": "anthropic", "name": "A", "api_pattern": "https://a", "model_match": {"contains": "model"},
         "extractors": [{"root": "usage", "mappings": []}],
         "models": [
            {"id": "model-1", "match": {"or": [{"equals": "model-1"}, {"regex": "^model-1-\\d{8}$"}]},
             "context_window": 200000,
             "prices": {"input_mtok": 3, "output_mtok": {"base": 15, "tiers": [{"start": 200000, "price": 22.5}]},
                "cache_read_mtok": 0.3, "cache_write_mtok": "3.75", "cache_write_1h_mtok": 6, "output_image_mtok": 60,
                "web_searches_kcount": 10, "requests_kcount": null},
             "price_variants": [
                {"when": {"processing": "batch"}, "prices": {"input_mtok": 1.5, "output_mtok": 7.5},
                 "constraint": {"start_date": "2026-10-14"}},
                {"when": {"processing": "batch"}, "prices": {"input_mtok": 2}},
                {"when": {"speed": "fast", "region": "x"}, "prices": {"input_mtok": 9}}]},
            {"id": "model-2", "match": {"and": [{"starts_with": "model-2"}, {"regex": "^(?!.*-[tT][tT][sS](?:$|-))"}]},
             "prices": [
                {"prices": {"input_mtok": 1, "output_mtok": 2}},
                {"constraint": {"start_time": "16:30:00Z", "end_time": "00:30:00Z"}, "prices": {"input_mtok": 0.5, "output_mtok": 1}},
                {"constraint": {"start_date": "2026-09-01"}, "prices": {"input_mtok": 4, "output_mtok": 5}}]},
            {"id": "model-3", "match": {"equals": "model-3"}, "prices": {"input_mtok": "free"}},
            {"id": "pictures", "match": {"equals": "pictures"}, "prices": {"output_images_kcount": 40}}
         ]},
        {"id": "aws", "fallback_model_providers": ["anthropic"], "models": [
            {"id": "model-1", "match": {"contains": "own"}, "prices": {"input_mtok": 7, "output_mtok": 7}}]}
    ]"#;

    #[test]
    fn the_published_shape() {
        let list = PriceList::genai_prices(FILE, "today").expect("readable");
        assert_eq!(list.skipped(), ["anthropic/model-3"]);
        assert!(list.find("anthropic", "pictures").is_none());
        let of = |provider, model, usage: Usage, it| {
            let price = list
                .find(provider, model)
                .unwrap_or_else(|| panic!("{model}"));
            price.charge(&usage, it).cost().to_string()
        };
        let known = list.find("bedrock", "model-1").expect("resold");
        assert_eq!(known.facts().max_input_tokens, Some(200_000));
        let now = Circumstances::at(1_795_564_800 + 43_200);
        let then = Circumstances::at(1_700_000_000);
        let one = |input, output| Usage::new(input, output);
        assert_eq!(of("anthropic", "model-1", one(1000, 100), now), "0.0045");
        assert_eq!(
            of("anthropic", "Model-1-20260101", one(200_001, 100), now),
            "0.602253"
        );
        let batch = ServiceTier::Batch;
        assert_eq!(
            of("anthropic", "model-1", one(1000, 100), now.tier(batch)),
            "0.00225"
        );
        assert_eq!(
            of("anthropic", "model-1", one(1000, 100), then.tier(batch)),
            "0.0035"
        );
        let mut usage = one(100, 0);
        (usage.cache_write_1h, usage.web_searches) = (100, 2);
        assert_eq!(of("anthropic", "model-1", usage, now), "0.0206");
        let mut usage = one(0, 1100);
        usage.image_output = 1000;
        assert_eq!(of("anthropic", "model-1", usage, now), "0.0615");
        // Before its time, by the hour; after it, the hours are gone.
        let noon = Circumstances::at(1_700_000_000 / 86_400 * 86_400 + 43_200);
        let night = Circumstances::at(1_700_000_000 / 86_400 * 86_400 + 60_000);
        assert_eq!(of("anthropic", "model-2-x", one(1_000_000, 0), noon), "1");
        assert_eq!(
            of("anthropic", "model-2-x", one(1_000_000, 0), night),
            "0.5"
        );
        assert_eq!(of("anthropic", "model-2-x", one(1_000_000, 0), now), "4");
        assert!(list.find("anthropic", "model-2-tts").is_none());
        assert_eq!(of("bedrock", "us.own", one(1_000_000, 0), now), "7");
        assert_eq!(of("bedrock", "model-1", one(1_000_000, 0), now), "3");
        assert!(list.find("openai", "model-1").is_none());
    }

    #[test]
    fn not_that_file() {
        for text in ["", "{}", "[", "null"] {
            assert!(PriceList::genai_prices(text, "").is_err(), "{text}");
        }
        assert!(PriceList::genai_prices("[1,{}]", "").is_ok_and(|list| list.is_empty()));
    }
}
