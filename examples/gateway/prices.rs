//! What each model costs: from the file, the operator's price files, and the built-in table.

use std::path::Path;

use tower_completions::cost::{NotAnAmount, Price, PriceBook, PriceList, Prices};

use crate::config::{Config, Provider};

/// Models that could only be refused: something may answer for them whose price is in another currency
/// than the accounts, as all prices of the built-in table are that in US dollars.
pub fn foreign(config: &Config, prices: &Prices) -> Result<(), Vec<String>> {
    let mut foreign = Vec::new();
    for (at, model) in config.models.iter().enumerate() {
        let mut of = None;
        prices.candidates(&model.id, &mut |price| {
            let currency = price.map(Price::currency);
            of = of.or(currency.filter(|it| *it != config.currency));
        });
        if let Some(of) = of {
            foreign.push(format!(
                "models[{at}].price: {:?} would be charged at a price found in {of}, the accounts are \
                 in {}; state a price for it and for what it falls back to",
                model.id, config.currency
            ));
        }
    }
    if foreign.is_empty() {
        Ok(())
    } else {
        Err(foreign)
    }
}

/// Prices under every name that a client may use. A model that has none in the file is looked for in
/// the operator's price files and then in the built-in table, by who serves it.
pub fn named(config: &Config, lists: Vec<PriceList>) -> Result<Prices, Vec<String>> {
    let mut mistakes = Vec::new();
    let mut prices = lists
        .into_iter()
        .chain([PriceList::builtin()])
        .fold(Prices::new(), Prices::with_list);
    for provider in &config.providers {
        prices = prices.with_provider(&provider.name, listed_as(provider));
    }
    for (at, model) in config.models.iter().enumerate() {
        let price = model.price.as_ref().map(|classes| price(classes));
        let price = price.transpose().unwrap_or_else(|error| {
            mistakes.push(format!("models[{at}].price: {error}"));
            None
        });
        for name in std::iter::once(&model.id).chain(&model.aliases) {
            if let Some(price) = &price {
                prices = prices.with(name, price.clone().in_currency(config.currency));
            }
            let targets = model.targets.iter();
            let targets = targets.map(|it| (it.provider.as_str(), it.model.as_str()));
            prices = prices.with_targets(name, targets);
            prices = prices.with_fallbacks(name, model.fallbacks.iter().map(String::as_str));
        }
    }
    if mistakes.is_empty() {
        Ok(prices)
    } else {
        Err(mistakes)
    }
}

/// Reads the operator's price files, those that can be read.
pub fn lists(config: &Config, mistakes: &mut Vec<String>) -> Vec<PriceList> {
    type Read = fn(&str, &str) -> Result<PriceList, String>;
    let own: Read = |text, _| toml::from_str(text).map_err(|error| error.to_string());
    let litellm: Read =
        |text, name| PriceList::litellm(text, name).map_err(|error| error.to_string());
    let genai: Read =
        |text, name| PriceList::genai_prices(text, name).map_err(|error| error.to_string());
    let files = &config.prices;
    let mut lists = Vec::new();
    for (key, path, read) in [
        ("file", &files.file, own),
        ("litellm", &files.litellm, litellm),
        ("genai_prices", &files.genai_prices, genai),
    ] {
        let Some(path) = path else { continue };
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
        // The version goes to clients: where the file lies is not for them.
        let name = Path::new(path).file_name().unwrap_or_default();
        match text.and_then(|text| read(&text, &name.to_string_lossy())) {
            Ok(list) => lists.push(list),
            Err(error) => mistakes.push(format!("prices.{key}: {path}: {error}")),
        }
    }
    for name in lists.iter().flat_map(PriceList::skipped) {
        tracing::warn!(name, "a price that is none: left out");
    }
    lists
}

/// Under which name price files have a provider: its vendor's, told from the host when it is not
/// configured.
fn listed_as(provider: &Provider) -> &str {
    const HOSTS: &[(&str, &str)] = &[
        ("api.openai.com", "openai"),
        ("api.x.ai", "x-ai"),
        ("api.groq.com", "groq"),
        ("api.deepseek.com", "deepseek"),
        ("api.mistral.ai", "mistral"),
        ("openrouter.ai", "openrouter"),
        ("api.together", "together"),
        ("api.fireworks.ai", "fireworks"),
        ("api.perplexity.ai", "perplexity"),
        ("api.cerebras.ai", "cerebras"),
        ("api.moonshot", "moonshotai"),
    ];
    if let Some(vendor) = &provider.vendor {
        return vendor;
    }
    let host = provider
        .base_url
        .as_deref()
        .and_then(|url| url.split('/').nth(2));
    let known = host.and_then(|host| HOSTS.iter().find(|(part, _)| host.contains(part)));
    known.map_or(&provider.kind, |(_, name)| name)
}

fn price(classes: &[(&'static str, String)]) -> Result<Price, NotAnAmount> {
    let find = |wanted: &str| {
        classes
            .iter()
            .find(|(class, _)| *class == wanted)
            .map(|(_, usd)| usd.as_str())
    };
    let mut price = Price::new(find("input").unwrap_or("0"), find("output").unwrap_or("0"))?;
    for (class, usd) in classes {
        price = match *class {
            "cached_input" => price.cached_input(usd)?,
            "cache_write" => price.cache_write(usd)?,
            "cache_write_1h" => price.cache_write_1h(usd)?,
            "reasoning" => price.reasoning(usd)?,
            "audio_input" => price.audio_input(usd)?,
            "audio_output" => price.audio_output(usd)?,
            "image_input" => price.image_input(usd)?,
            "image_output" => price.image_output(usd)?,
            "request" => price.request(usd)?,
            "image" => price.image(usd)?,
            "web_search" => price.web_search(usd)?,
            _ => price,
        };
    }
    Ok(price)
}
