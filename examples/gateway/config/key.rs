//! One of `[[keys]]`.

use std::fmt;

use tower_completions::{auth::Digest, cost::Terms};

use crate::read::{Mistakes, Section, is_price, small};

/// The longest credential that a caller is known by.
const LONGEST: usize = 4096;

pub struct Key {
    pub name: String,
    /// Always there in a file without mistakes.
    pub digest: Option<Digest>,
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
        let digest = digest(section, mistakes);
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
        for (at, _) in models.iter().enumerate().filter(|(_, it)| it.is_empty()) {
            mistakes.add(&section.key(&format!("models[{at}]")), "must not be empty");
        }
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

/// What the caller is known by.
fn digest(section: &mut Section, mistakes: &mut Mistakes) -> Option<Digest> {
    let given = ["secret", "sha256"].map(|name| section.has(name));
    let secret = section.string("secret", mistakes);
    let sha256 = section.string("sha256", mistakes);
    let secret = secret.as_deref().map(str::trim);
    match given {
        [true, false] if secret != Some("") => {
            let secret = secret?;
            let printable = secret.bytes().all(|byte| matches!(byte, b' '..=b'~'));
            if printable && secret.len() <= LONGEST {
                return Some(Digest::of(secret));
            }
            let expected = match printable {
                true => "expected at most 4096 characters",
                false => "expected printable ASCII characters, as a header can send them",
            };
            mistakes.add(&section.key("secret"), expected);
            None
        }
        [false, true] => match sha256?.parse() {
            Ok(digest) => Some(digest),
            Err(error) => {
                mistakes.add(&section.key("sha256"), error);
                None
            }
        },
        _ => {
            mistakes.add(&section.key("secret"), "expected either secret or sha256");
            None
        }
    }
}
