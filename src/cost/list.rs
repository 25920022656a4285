use std::{borrow::Cow, collections::HashMap, fmt, sync::Arc};

use super::{Price, pattern::Pattern};

/// Prices by provider and model: what a price file holds.
///
/// A model is looked for by its whole name first, then among the patterns, in the order in which
/// they were added; the first that fits counts. Names are compared without regard to case.
/// Providers go by the names that price files give them; `google`, `gemini` and `vertex_ai` are one,
/// as are `x-ai` and `xai`, `aws` and `bedrock`, `moonshotai` and `moonshot`.
///
/// ```
/// use tower_completions::cost::{Price, PriceList};
///
/// let list = PriceList::new()
///     .with("openai", ["gpt-4o", "gpt-4o-####-##-##"], Price::new("2.50", "10")?)
///     .with("openai", ["gpt-4o-*"], Price::new("1", "4")?);
/// assert!(list.find("openai", "gpt-4o-2024-08-06").is_some());
/// assert!(list.find("mistral", "gpt-4o").is_none());
/// # Ok::<(), tower_completions::cost::NotAnAmount>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct PriceList {
    names: HashMap<Box<str>, Vec<(Provider, Arc<Price>)>>,
    patterns: Vec<(Provider, Match, Arc<Price>)>,
    /// Whose models else a provider sells at their own prices.
    resold: HashMap<Box<str>, Vec<Box<str>>>,
    skipped: Vec<String>,
}

type Provider = Option<Box<str>>;

/// Which names of models a price is for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Match {
    Is(Pattern),
    Any(Vec<Self>),
    All(Vec<Self>),
    Not(Box<Self>),
    /// A rule that is not understood fits nothing.
    Never,
}

impl Match {
    fn fits(&self, name: &str) -> bool {
        match self {
            Self::Is(pattern) => pattern.fits(name),
            Self::Any(all) => all.iter().any(|one| one.fits(name)),
            Self::All(all) => all.iter().all(|one| one.fits(name)),
            Self::Not(one) => !one.fits(name),
            Self::Never => false,
        }
    }
}

impl PriceList {
    /// No prices.
    pub fn new() -> Self {
        Self::default()
    }

    /// A price for some models of a provider, by name or pattern: `*` stands for any run of
    /// characters, `#` for one digit. The provider `*` is any.
    pub fn with<'a>(
        mut self,
        provider: &str,
        models: impl IntoIterator<Item = &'a str>,
        price: Price,
    ) -> Self {
        let patterns = models.into_iter().map(|name| Match::Is(Pattern::new(name)));
        let provider = (provider != "*").then_some(provider);
        self.add(provider, Match::Any(patterns.collect()), Arc::new(price));
        self
    }

    pub(super) fn add(&mut self, provider: Option<&str>, rule: Match, price: Arc<Price>) {
        let provider = provider.map(|name| canonical(name).into());
        let mut rest = Vec::new();
        let alternatives = match rule {
            Match::Any(all) => all,
            one => vec![one],
        };
        for one in alternatives {
            let exact = match &one {
                Match::Is(pattern) => pattern.exact(),
                _ => None,
            };
            match exact {
                Some(name) => {
                    let entry = (provider.clone(), Arc::clone(&price));
                    self.names.entry(name.into()).or_default().push(entry);
                }
                None if one == Match::Never => {}
                None => rest.push(one),
            }
        }
        if !rest.is_empty() {
            self.patterns.push((provider, Match::Any(rest), price));
        }
    }

    pub(super) fn resells(&mut self, provider: &str, of: impl Iterator<Item = String>) {
        let of = of.map(|name| canonical(&name).into());
        self.resold.insert(canonical(provider).into(), of.collect());
    }

    /// The price of a provider's model.
    #[must_use]
    pub fn find(&self, provider: &str, model: &str) -> Option<Arc<Price>> {
        let (provider, model) = (canonical(provider), lower(model));
        let resold = self.resold.get(&*provider).into_iter().flatten();
        std::iter::once(&*provider)
            .chain(resold.map(|name| &**name))
            .find_map(|provider| {
                self.named(provider, &model)
                    .or_else(|| self.fitting(provider, &model))
            })
            .cloned()
    }

    /// The price of a model that the list has by its whole name.
    pub(super) fn exact(&self, provider: &str, model: &str) -> Option<Arc<Price>> {
        self.named(&canonical(provider), &lower(model)).cloned()
    }

    fn named(&self, provider: &str, model: &str) -> Option<&Arc<Price>> {
        let all = self.names.get(model)?;
        let found = all.iter().find(|(of, _)| is(of, provider));
        found.map(|(_, price)| price)
    }

    fn fitting(&self, provider: &str, model: &str) -> Option<&Arc<Price>> {
        let fits = |(of, rule, _): &&(Provider, Match, _)| is(of, provider) && rule.fits(model);
        self.patterns.iter().find(fits).map(|(_, _, price)| price)
    }

    pub(super) fn skip(&mut self, name: &str) {
        self.skipped.push(name.to_owned());
    }

    /// The models of a file that were left out, because a price of theirs is none.
    #[must_use]
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// How many prices there are, names and patterns together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.values().map(Vec::len).sum::<usize>() + self.patterns.len()
    }

    /// Whether there is no price.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.patterns.is_empty()
    }
}

impl fmt::Debug for PriceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PriceList")
            .field("prices", &self.len())
            .finish_non_exhaustive()
    }
}

fn is(of: &Provider, provider: &str) -> bool {
    of.as_deref().is_none_or(|of| of == provider)
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    }
}

/// One name for each of the providers that go by several.
fn canonical(provider: &str) -> Cow<'_, str> {
    let name = lower(provider);
    let one = match &*name {
        "x-ai" => "xai",
        "moonshot" => "moonshotai",
        "gemini" | "vertex" | "google-vertex" => "google",
        "bedrock" | "bedrock_converse" | "bedrock_mantle" => "aws",
        "azure_ai" | "azure_text" => "azure",
        "together_ai" => "together",
        "fireworks_ai" | "fireworks_ai-embedding-models" => "fireworks",
        "cohere_chat" => "cohere",
        "mistralai" => "mistral",
        "text-completion-openai" => "openai",
        other if other.starts_with("vertex_ai") => "google",
        _ => return name,
    };
    one.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_before_patterns_and_patterns_in_order() {
        let price = |usd: &str| Price::new(usd, "0").expect("a decimal");
        let list = PriceList::new()
            .with("openai", ["gpt-*"], price("1"))
            .with("openai", ["gpt-4*", "gpt-4o"], price("2"))
            .with("*", ["llama"], price("3"))
            .with("x-ai", ["grok"], price("4"))
            .with("moonshot", ["kimi"], price("5"));
        let find = |provider, model| {
            let found = list.find(provider, model);
            found.map(|price| price.per(super::super::Class::Input).to_string())
        };
        for (provider, model, usd) in [
            ("openai", "GPT-4o", Some("2")),
            ("openai", "gpt-4x", Some("1")),
            ("mistral", "gpt-4x", None),
            ("anyone", "llama", Some("3")),
            ("xai", "grok", Some("4")),
            ("X-AI", "grok", Some("4")),
            ("moonshotai", "kimi", Some("5")),
        ] {
            assert_eq!(find(provider, model).as_deref(), usd, "{provider} {model}");
        }
    }
}
