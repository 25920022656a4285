//! One of `[[keys]]`.

use std::fmt;

use tower_completions::{auth::Digest, cost::Terms};

use crate::read::{Mistakes, Section, is_price, small};

pub struct Key {
    pub name: String,
    pub digest: Digest,
    pub balance: Option<String>,
    pub markup: Option<String>,
    pub team: Option<String>,
    pub requests_per_minute: Option<u64>,
    pub tokens_per_minute: Option<u64>,
    pub max_concurrent: Option<u32>,
    pub models: Vec<String>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Key {
    pub(super) fn read(section: &mut Section, mistakes: &mut Mistakes) -> Self {
        let name = section.required("name", mistakes);
        let secret = section.string("secret", mistakes);
        let sha256 = section.string("sha256", mistakes);
        let digest = match (secret, sha256) {
            (Some(secret), None) if !secret.trim().is_empty() => Digest::of(secret.trim()),
            (None, Some(hex)) => hex.parse().unwrap_or_else(|error| {
                mistakes.add(&section.key("sha256"), error);
                // Any digest will do for the rest of the checks: the file is refused.
                Digest::of(&name)
            }),
            _ => {
                mistakes.add(&section.key("secret"), "expected either secret or sha256");
                Digest::of(&name)
            }
        };
        let balance = section.string("balance", mistakes);
        if balance.as_deref().is_some_and(|text| !is_price(text)) {
            mistakes.add(
                &section.key("balance"),
                "expected a decimal such as \"5.00\"",
            );
        }
        let markup = section.string("markup", mistakes);
        if markup
            .as_deref()
            .is_some_and(|text| Terms::times(text).is_err())
        {
            mistakes.add(&section.key("markup"), "expected a factor such as \"1.2\"");
        }
        let models = section
            .strings("models", mistakes)
            .unwrap_or_else(|| vec!["*".to_owned()]);
        Self {
            name,
            digest,
            balance,
            markup,
            team: section.string("team", mistakes),
            requests_per_minute: section.integer("requests_per_minute", 1..=1 << 32, mistakes),
            tokens_per_minute: section.integer("tokens_per_minute", 1..=1 << 40, mistakes),
            max_concurrent: small(section.integer("max_concurrent", 1..=1 << 20, mistakes)),
            models,
        }
    }
}
