//! The family as data: where each vendor is, what it calls things, what it does not take.
//!
//! What differs in the answers (where usage hides, what reasoning is called, comments, a missing
//! `[DONE]`, shapes of errors) is read alike for all, wherever it is met; only how tokens are
//! counted must be told, and stands here too.

use std::fmt;

use super::{
    row::{Fate, Row},
    rows::{PLAIN, ROWS},
};
use crate::{error::upstream::Numbers, wire::Counting};

/// A vendor whose API is OpenAI's, or nearly.
///
/// ```
/// use tower_completions::provider::openai::Vendor;
///
/// let groq = Vendor::named("groq").expect("known");
/// assert_eq!(groq.base_url(), Some("https://api.groq.com/openai/v1"));
/// assert_eq!(Vendor::of_host("api.groq.com"), groq);
/// assert_eq!(Vendor::of_host("localhost"), Vendor::PLAIN);
/// ```
#[derive(Clone, Copy)]
pub struct Vendor(&'static Row);

/// How usage comes on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provider) enum Usage {
    /// When it is asked for by `stream_options.include_usage`.
    Asked,
    /// Always; the option is not known there.
    Always,
}

impl Vendor {
    /// Nobody in particular: nothing is changed.
    pub const PLAIN: Self = Self(&PLAIN);

    /// All that are known.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(Self)
    }

    /// By name, in small letters: `openai`, `deepseek`, `mistral`, `groq`, `xai`, `openrouter`,
    /// `together`, `fireworks`, `perplexity`, `cerebras`, `vllm`, `sglang`, `llamacpp`, `lmstudio`,
    /// `tgi`, `ollama`, `huggingface`, `github`, `gemini`, `moonshot`, `alibaba`,
    /// `zai`, `plain`; and as price lists call some of them: `x-ai`, `moonshotai`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = match name {
            "x-ai" => "xai",
            "moonshotai" => "moonshot",
            name => name,
        };
        Self::all().find(|vendor| vendor.0.name == name)
    }

    /// The one that a host belongs to; [`PLAIN`](Self::PLAIN) when it is nobody's.
    #[must_use]
    pub fn of_host(host: &str) -> Self {
        let host = host.to_ascii_lowercase();
        let of = |own: &&str| {
            let rest = host.strip_suffix(own);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        Self::all()
            .find(|vendor| vendor.0.hosts.iter().any(&of))
            .unwrap_or(Self::PLAIN)
    }

    /// The vendor's name, as [`named`](Self::named) finds it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Where its API is, with the version; of servers that one runs oneself their usual port.
    #[must_use]
    pub fn base_url(self) -> Option<&'static str> {
        self.0.base_url
    }

    /// How its token counts depart from OpenAI's.
    #[must_use]
    pub fn counting(self) -> Counting {
        self.0.counting
    }

    /// Whether one request may ask it for several answers; where it may not, a
    /// [`ParallelLayer`](crate::provider::ParallelLayer) asks several times.
    ///
    /// ```
    /// use tower_completions::provider::openai::Vendor;
    ///
    /// let several = |name| Vendor::named(name).is_some_and(Vendor::knows_n);
    /// assert!(several("openai") && !several("groq"));
    /// ```
    #[must_use]
    pub fn knows_n(self) -> bool {
        let mut params = self.0.params.iter();
        !params.any(|(name, fate)| *name == "n" && matches!(fate, Fate::Refused))
    }

    /// Whose numbers its codes may be; a server that is nobody's may stand before anyone's.
    pub(super) fn numbers(self) -> Numbers {
        match self.0.name {
            "zai" => Numbers::Zai,
            "plain" => Numbers::Unsaid,
            _ => Numbers::Others,
        }
    }

    pub(super) fn row(self) -> &'static Row {
        self.0
    }
}

impl PartialEq for Vendor {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Vendor {}

impl fmt::Debug for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Vendor").field(&self.0.name).finish()
    }
}
