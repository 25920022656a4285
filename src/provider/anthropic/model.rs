//! What each generation of models takes. Source: the provider's documentation and SDKs, 2026-11.

/// How a model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thinking {
    /// Not at all.
    None,
    /// `enabled` with a budget of tokens.
    Budget,
    /// `adaptive` with an effort; temperature and the like are gone unless `sampling`.
    Adaptive { sampling: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) thinking: Thinking,
    pub(super) structured: bool,
    pub(super) max_output: u64,
}

impl Model {
    pub(super) fn of(name: &str) -> Self {
        let has = |word: &str| name.contains(word);
        if has("claude-3-7") || has("-4-0") || has("-4-2025") || has("opus-4-1") {
            return Self {
                thinking: Thinking::Budget,
                structured: has("opus-4-1"),
                max_output: 4096,
            };
        }
        if has("claude-3") || has("claude-2") || has("claude-instant") {
            return Self {
                thinking: Thinking::None,
                structured: false,
                max_output: 4096,
            };
        }
        if has("-4-5") || has("-4.5") {
            return Self {
                thinking: Thinking::Budget,
                structured: true,
                max_output: 16_384,
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
                structured: true,
                max_output: 16_384,
            };
        }
        Self {
            thinking: Thinking::Budget,
            structured: false,
            max_output: 4096,
        }
    }

    /// Whether it takes `temperature`, `top_p` and `top_k`.
    pub(super) fn samples(self) -> bool {
        self.thinking != Thinking::Adaptive { sampling: false }
    }
}

/// Tokens for an effort, where a model wants a budget: no vendor defines it, this is a convention.
pub(super) fn budget(effort: &str) -> u64 {
    match effort {
        "minimal" => 1024,
        "low" => 2048,
        "medium" => 10_000,
        "high" => 16_384,
        _ => 32_768,
    }
}
