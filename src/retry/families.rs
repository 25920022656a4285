//! What providers call the headers that tell of their limits.

/// The headers of one limit: what is left of it, and when it is whole again.
pub(crate) struct Limit {
    pub(crate) remaining: &'static str,
    pub(crate) reset: &'static str,
}

/// The names that a family of providers has.
pub(crate) struct Family {
    pub(crate) requests: Limit,
    pub(crate) tokens: Option<Limit>,
    /// Parts of those: tokens of one kind.
    pub(crate) others: &'static [Limit],
}

impl Family {
    /// All its limits.
    pub(crate) fn limits(&self) -> impl Iterator<Item = &Limit> {
        [&self.requests]
            .into_iter()
            .chain(&self.tokens)
            .chain(self.others)
    }
}

const fn limit(remaining: &'static str, reset: &'static str) -> Limit {
    Limit { remaining, reset }
}

// Source: the vendors' API references, read 2026-11.
pub(crate) const FAMILIES: &[Family] = &[
    // OpenAI, Azure, Groq, xAI, OpenRouter's upstreams, Fireworks, vLLM behind a gateway.
    Family {
        requests: limit(
            "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests",
        ),
        tokens: Some(limit(
            "x-ratelimit-remaining-tokens",
            "x-ratelimit-reset-tokens",
        )),
        others: &[],
    },
    Family {
        requests: limit(
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ),
        tokens: Some(limit(
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        )),
        others: &[
            limit(
                "anthropic-ratelimit-input-tokens-remaining",
                "anthropic-ratelimit-input-tokens-reset",
            ),
            limit(
                "anthropic-ratelimit-output-tokens-remaining",
                "anthropic-ratelimit-output-tokens-reset",
            ),
        ],
    },
    // Cerebras: by the minute for tokens, by the day for requests.
    Family {
        requests: limit(
            "x-ratelimit-remaining-requests-day",
            "x-ratelimit-reset-requests-day",
        ),
        tokens: Some(limit(
            "x-ratelimit-remaining-tokens-minute",
            "x-ratelimit-reset-tokens-minute",
        )),
        others: &[],
    },
    // Mistral.
    Family {
        requests: limit(
            "x-ratelimit-remaining-req-10-second",
            "x-ratelimit-reset-req-10-second",
        ),
        tokens: Some(limit(
            "x-ratelimit-remaining-tokens-minute",
            "x-ratelimit-reset-tokens-minute",
        )),
        others: &[],
    },
    // OpenRouter's own, Together, Hugging Face, GitHub: requests only, but for Together.
    Family {
        requests: limit("x-ratelimit-remaining", "x-ratelimit-reset"),
        tokens: Some(limit("x-tokenlimit-remaining", "x-tokenlimit-reset")),
        others: &[],
    },
    // The IETF's draft, in its older form.
    Family {
        requests: limit("ratelimit-remaining", "ratelimit-reset"),
        tokens: None,
        others: &[],
    },
];
