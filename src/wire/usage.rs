//! Token counts in one form, whatever the provider's own.

/// How urgently a provider serves a request, where that has a price of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServiceTier {
    /// As everybody is served.
    #[default]
    Standard,
    /// Some time within a day.
    Batch,
    /// When there is capacity.
    Flex,
    /// Before others.
    Priority,
}

impl ServiceTier {
    /// The tier of this name in a request, an answer or a price file; `None` when the name says
    /// nothing of it, as `auto` does.
    ///
    /// Names: OpenAI's API reference (`default`, `flex`, `priority`, `fast`, `scale`), Groq's
    /// (`on_demand`, `performance`), Anthropic's and Gemini's (`standard`, `standard_only`, `batch`).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "default" | "standard" | "standard_only" | "on_demand" | "scale" => Self::Standard,
            "batch" | "batches" => Self::Batch,
            "flex" => Self::Flex,
            "priority" | "fast" | "performance" => Self::Priority,
            _ => return None,
        })
    }
}

/// What a request used, in tokens.
///
/// The totals include their parts: `input` is the whole prompt with its cached and written tokens,
/// `output` everything generated with its reasoning. Providers that count beside one another are
/// brought into this form where their answers are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Usage {
    /// The whole prompt.
    pub input: u64,
    /// Of the prompt: read from the provider's cache.
    pub cached_input: u64,
    /// Of the prompt: written to the provider's cache for about five minutes.
    pub cache_write: u64,
    /// Of the prompt: written to the provider's cache for an hour.
    pub cache_write_1h: u64,
    /// Of the prompt: audio.
    pub audio_input: u64,
    /// Of the prompt: images, where the provider counts them apart.
    pub image_input: u64,
    /// Everything generated.
    pub output: u64,
    /// Of the output: reasoning that is not part of the visible answer.
    pub reasoning: u64,
    /// Of the output: audio.
    pub audio_output: u64,
    /// Of the output: images, where the provider counts them apart.
    pub image_output: u64,
    /// Images that the request shows, whatever tokens they count for. No provider says it: who prices
    /// a request counts them there.
    pub images: u64,
    /// Web searches made by the provider on the model's behalf.
    pub web_searches: u64,
    /// Calls that it is the sum of, beyond the first: of several answers of an upstream that gives one at a
    /// time. Each has the whole prompt, and what is asked for a request or an image it costs each time.
    pub further_calls: u32,
    /// The provider's own statement of the cost, in picodollars (10⁻¹² USD).
    pub reported_cost: Option<u64>,
    /// Counted or guessed here, because the provider gave none.
    pub estimated: bool,
    /// A count was negative, absurd or at odds with its total, and was cut to what is possible.
    pub clamped: bool,
}

/// More tokens, or searches, than any request has. A count beyond it is taken for nonsense.
const MOST: u64 = 100_000_000;

impl Usage {
    /// The plain case: so many tokens in, so many out.
    #[must_use]
    pub const fn new(input: u64, output: u64) -> Self {
        Self {
            input,
            cached_input: 0,
            cache_write: 0,
            cache_write_1h: 0,
            audio_input: 0,
            image_input: 0,
            output,
            reasoning: 0,
            audio_output: 0,
            image_output: 0,
            images: 0,
            web_searches: 0,
            further_calls: 0,
            reported_cost: None,
            estimated: false,
            clamped: false,
        }
    }

    /// What cannot be is none: a count beyond 100 million is zero, with its parts, and
    /// [`clamped`](Self::clamped) says so. What stands in for it, an estimate, is for who has one.
    #[must_use]
    pub const fn plausible(mut self) -> Self {
        if self.input > MOST {
            self.input = 0;
            self.cached_input = 0;
            self.cache_write = 0;
            self.cache_write_1h = 0;
            self.audio_input = 0;
            self.image_input = 0;
            self.clamped = true;
        }
        if self.output > MOST {
            self.output = 0;
            self.reasoning = 0;
            self.audio_output = 0;
            self.image_output = 0;
            self.clamped = true;
        }
        if self.web_searches > MOST {
            self.web_searches = 0;
            self.clamped = true;
        }
        self
    }

    /// As JSON, in OpenAI's words: the finer counts where there are any, and of an estimate that it is one.
    pub(crate) fn spelled(&self) -> String {
        let mut out = format!(
            r#"{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{}"#,
            self.input,
            self.output,
            self.total()
        );
        let written = self.cache_write.saturating_add(self.cache_write_1h);
        let prompt = [
            ("cached_tokens", self.cached_input),
            ("cache_write_tokens", written),
            ("audio_tokens", self.audio_input),
            ("image_tokens", self.image_input),
        ];
        details(&mut out, "prompt_tokens_details", &prompt);
        let completion = [
            ("reasoning_tokens", self.reasoning),
            ("audio_tokens", self.audio_output),
            ("image_tokens", self.image_output),
        ];
        details(&mut out, "completion_tokens_details", &completion);
        if self.web_searches > 0 {
            out.push_str(&format!(r#","num_search_queries":{}"#, self.web_searches));
        }
        out.push_str(if self.estimated {
            r#","estimated":true}"#
        } else {
            "}"
        });
        out
    }

    /// The same prompt so many times, of as many calls.
    pub(crate) const fn of_calls(mut self, calls: u32) -> Self {
        self.input = self.input.saturating_mul(calls as u64);
        self.further_calls = calls.saturating_sub(1);
        self
    }

    /// How many calls it is of.
    pub(crate) const fn calls(&self) -> u64 {
        self.further_calls as u64 + 1
    }

    /// Input and output together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

/// A member with those of the counts that are not zero, if there is one.
fn details(out: &mut String, name: &str, counts: &[(&str, u64)]) {
    let counted = counts.iter().filter(|(_, count)| *count > 0);
    let counted: Vec<_> = counted
        .map(|(name, count)| format!(r#""{name}":{count}"#))
        .collect();
    if !counted.is_empty() {
        out.push_str(&format!(r#","{name}":{{{}}}"#, counted.join(",")));
    }
}
