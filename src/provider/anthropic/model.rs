//! What each generation of models takes. Source: the provider's documentation and SDKs, 2026-11.

/// How a model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provider) enum Thinking {
    /// Not at all.
    None,
    /// `enabled` with a budget of tokens.
    Budget,
    /// `adaptive` with an effort; temperature and the like are gone unless `sampling`.
    Adaptive { sampling: bool },
}

/// How a model is told not to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provider) enum Off {
    /// It only thinks when told to.
    Already,
    /// By `thinking` of this type.
    Said(&'static str),
    /// It cannot be.
    Never,
}

impl Off {
    fn of(name: &str) -> Self {
        let has = |word: &str| name.contains(word);
        if has("fable") || has("mythos") || has("opus-5-5") || has("opus-5.5") {
            Self::Never
        } else if has("sonnet-5-5") || has("sonnet-5.5") {
            Self::Said("between_tools")
        } else if has("opus-5") || has("sonnet-5") || has("haiku-5") {
            Self::Said("disabled")
        } else {
            Self::Already
        }
    }
}

/// Whether a model refuses tools that must be called, whatever it was told of thinking.
fn unforced(name: &str) -> bool {
    let has = |word: &str| name.contains(word);
    let named = |family: &str| {
        [1, 2]
            .iter()
            .any(|n| has(&format!("{family}-5-{n}")) || has(&format!("{family}-5.{n}")))
    };
    let fives = ["opus-5-5", "opus-5.5", "sonnet-5-5", "sonnet-5.5"];
    fives.iter().any(|word| has(word)) || named("fable") || named("mythos")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provider) struct Model {
    pub(in crate::provider) thinking: Thinking,
    pub(in crate::provider) off: Off,
    pub(in crate::provider) structured: bool,
    /// It takes a temperature or `top_p`, not both.
    pub(in crate::provider) one_of_both: bool,
    /// No tool can be forced on it.
    pub(in crate::provider) unforced: bool,
    /// How many tokens are asked for when the client does not say.
    pub(in crate::provider) max_output: u64,
    /// The most that it writes.
    pub(in crate::provider) ceiling: u64,
}

impl Model {
    pub(in crate::provider) fn of(name: &str) -> Self {
        let has = |word: &str| name.contains(word);
        if has("claude-3-7")
            || has("claude-3.7")
            || has("-4-0")
            || has("-4-2025")
            || has("opus-4-1")
        {
            return Self {
                thinking: Thinking::Budget,
                off: Off::Already,
                structured: has("opus-4-1"),
                one_of_both: has("opus-4-1"),
                unforced: false,
                max_output: 4096,
                ceiling: if has("opus") { 32_000 } else { 64_000 },
            };
        }
        if has("claude-3") || has("claude-2") || has("claude-instant") {
            return Self {
                thinking: Thinking::None,
                off: Off::Already,
                structured: false,
                one_of_both: false,
                unforced: false,
                max_output: 4096,
                ceiling: 4096,
            };
        }
        if has("-4-5") || has("-4.5") {
            return Self {
                thinking: Thinking::Budget,
                off: Off::Already,
                structured: true,
                one_of_both: !has("opus"),
                unforced: false,
                max_output: 16_384,
                ceiling: 64_000,
            };
        }
        let sampling = has("-4-6") || has("-4.6");
        if sampling
            || [
                "-4-7", "-4-8", "-4.7", "-4.8", "opus-5", "sonnet-5", "haiku-5", "fable", "mythos",
            ]
            .iter()
            .any(|word| has(word))
        {
            return Self {
                thinking: Thinking::Adaptive { sampling },
                off: Off::of(name),
                structured: true,
                one_of_both: false,
                unforced: unforced(name),
                max_output: 16_384,
                ceiling: 128_000,
            };
        }
        Self {
            thinking: Thinking::Budget,
            off: Off::Already,
            structured: false,
            one_of_both: false,
            unforced: false,
            max_output: 4096,
            ceiling: 64_000,
        }
    }

    /// Whether it takes `temperature`, `top_p` and `top_k`.
    pub(in crate::provider) fn samples(self) -> bool {
        self.thinking != Thinking::Adaptive { sampling: false }
    }
}

/// Tokens for an effort, where a model wants a budget: no vendor defines it, this is a convention.
pub(in crate::provider) fn budget(effort: &str) -> u64 {
    match effort {
        "minimal" => 1024,
        "low" => 2048,
        "medium" => 10_000,
        "high" => 16_384,
        _ => 32_768,
    }
}

/// The effort whose budget is nearest to so many tokens, where a model wants a word. None beyond
/// `high`, which not every model takes.
pub(crate) fn effort(tokens: u64) -> &'static str {
    let near = |effort: &&str| budget(effort).abs_diff(tokens);
    let efforts = ["minimal", "low", "medium", "high"];
    efforts.into_iter().min_by_key(near).unwrap_or("high")
}
