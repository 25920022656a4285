//! One of `[[models]]`.

use tower_completions::{router::Balance, validate::Capabilities};

use crate::{
    capability,
    read::{Mistakes, Section, each, is_rate, small},
    routing,
};

#[derive(Debug)]
pub struct Model {
    pub id: String,
    pub aliases: Vec<String>,
    pub targets: Vec<Target>,
    pub balance: Balance,
    pub fallbacks: Vec<String>,
    /// Dimension and decimal string, in the file's words.
    pub price: Option<Vec<(&'static str, String)>>,
    /// What it takes, as far as the file says.
    pub capabilities: Capabilities,
}

#[derive(Debug)]
pub struct Target {
    pub provider: String,
    pub model: String,
    pub weight: u32,
    pub traits: routing::Traits,
}

/// The price keys of the file.
const PRICES: &[&str] = &[
    "input",
    "cached_input",
    "cache_write",
    "cache_write_1h",
    "output",
    "reasoning",
    "audio_input",
    "audio_output",
    "image_input",
    "image_output",
    "request",
    "image",
    "web_search",
];

impl Model {
    pub(super) fn read(section: &mut Section, mistakes: &mut Mistakes) -> Self {
        let id = section.required("id", mistakes);
        let aliases = section.strings("aliases", mistakes).unwrap_or_default();
        for (at, _) in aliases.iter().enumerate().filter(|(_, it)| it.is_empty()) {
            mistakes.add(&section.key(&format!("aliases[{at}]")), "must not be empty");
        }
        let targets = each(section, "targets", mistakes, |section, mistakes| Target {
            provider: section.required("provider", mistakes),
            model: section.required("model", mistakes),
            weight: small(section.integer("weight", 1..=1_000_000, mistakes)).unwrap_or(1),
            traits: routing::Traits::read(section, mistakes),
        });
        let balance = routing::balance(section, mistakes);
        if targets.is_empty() {
            mistakes.add(
                &section.key("targets"),
                "expected at least one { provider = \"…\", model = \"…\" }",
            );
        }
        let fallbacks = section.strings("fallbacks", mistakes).unwrap_or_default();
        let price = section.has("price").then(|| {
            let is_table = section.is_section("price");
            let mut section = section.section("price", mistakes);
            let mut found = Vec::new();
            for name in PRICES {
                if let Some(text) = section.string(name, mistakes) {
                    if !is_rate(&text) {
                        mistakes.add(
                            &section.key(name),
                            format!(
                                "expected a decimal such as \"0.15\", at most 18000000, got {text:?}"
                            ),
                        );
                    }
                    found.push((*name, text));
                }
            }
            if is_table && !PRICES.iter().any(|name| section.has(name)) {
                mistakes.add(&section.key("input"), "or another price is missing");
            }
            section.finish(mistakes);
            found
        });
        let capabilities = capability::read(
            section,
            targets.iter().map(|target| target.model.as_str()),
            mistakes,
        );
        Self {
            id,
            aliases,
            targets,
            balance,
            fallbacks,
            price,
            capabilities,
        }
    }
}
