//! Every name that leaves the process: of spans, attributes and metrics.
//!
//! They follow OpenTelemetry's semantic conventions for generative AI, which are not stable and
//! have renamed things; [`Version`] says which to use. What they have no name for is ours, under
//! `tower_completions`. Metrics have short labels: `provider`, `model`, `outcome`, `class` of tokens and
//! `kind` of error.

/// A version of the conventions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Version {
    /// Up to 1.36: the provider is `gen_ai.system`.
    V1_36,
    /// From 1.37: the provider is `gen_ai.provider.name`.
    #[default]
    V1_37,
}

impl Version {
    /// The attribute of the provider.
    #[must_use]
    pub const fn provider(self) -> &'static str {
        match self {
            Self::V1_36 => "gen_ai.system",
            Self::V1_37 => "gen_ai.provider.name",
        }
    }
}

/// The trace that the client says its request is a part of: 32 hexadecimal digits.
pub const TRACE_ID: &str = "trace_id";
/// The model asked for.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
/// The model that answered.
pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
/// Tokens of the prompt.
pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Tokens generated.
pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// What went wrong: the kind of an error, or `cancelled`.
pub const ERROR_TYPE: &str = "error.type";
/// Why an upstream failed, as far as that quotes nothing: what the connection failed with, or the status of
/// its refusal.
pub const CAUSE: &str = "tower_completions.error.cause";
/// The name or IP address of the server that an attempt's request goes to, as it is configured.
pub const SERVER_ADDRESS: &str = "server.address";
/// Its port, that of the scheme where none is configured.
pub const SERVER_PORT: &str = "server.port";
/// The status of the answer: of a request the one that the client was told, of an attempt the upstream's own.
pub const STATUS: &str = "http.response.status_code";
/// `ERROR` where a span failed. No attribute: what exports spans to OpenTelemetry sets their status by it.
#[cfg(feature = "tracing")]
pub(super) const SPAN_STATUS: &str = "otel.status_code";

/// Requests, by model, provider and outcome: counter.
pub const REQUESTS: &str = "tower_completions.requests";
/// Tokens, by class: counter.
pub const TOKENS: &str = "tower_completions.tokens";
/// Charges in picodollars (10⁻¹² USD, or of the currency of the accounts): counter.
pub const COST: &str = "tower_completions.cost.picodollars";
/// What was used beyond what was held for it, in picodollars: counter.
pub const OVERRUN: &str = "tower_completions.overrun.picodollars";
/// Requests refused or failed, by the kind of error: counter.
pub const ERRORS: &str = "tower_completions.errors";
/// Upstream attempts, by provider and outcome (`ok`, `lost` against a hedge, or the kind of an error): counter.
pub const ATTEMPTS: &str = "tower_completions.attempts";
/// Breakers, by provider and model: gauge, 0 closed, 1 half open, 2 open.
pub const BREAKER: &str = "tower_completions.breaker";
/// Holds not yet settled: gauge.
pub const HOLDS: &str = "tower_completions.holds";
/// Streams that have begun and not ended: gauge.
pub const STREAMS: &str = "tower_completions.streams";
/// The whole of a request in seconds: histogram.
pub const DURATION: &str = "gen_ai.client.operation.duration";
/// To the first event of a stream in seconds: histogram.
pub const FIRST_EVENT: &str = "gen_ai.server.time_to_first_token";
/// From one output token to the next in seconds: histogram.
pub const PER_TOKEN: &str = "gen_ai.server.time_per_output_token";

/// All metrics, for dashboards and tests.
pub const METRICS: &[&str] = &[
    REQUESTS,
    TOKENS,
    COST,
    OVERRUN,
    ERRORS,
    ATTEMPTS,
    BREAKER,
    HOLDS,
    STREAMS,
    DURATION,
    FIRST_EVENT,
    PER_TOKEN,
];

/// What each metric is, in the words of a `# HELP` line.
#[cfg(feature = "metrics")]
pub(super) const HELP: [&str; METRICS.len()] = [
    "Requests, by provider, model and outcome.",
    "Tokens, by model and class: input, cached (a part of it), output, reasoning (a part of it).",
    "What was charged, in picodollars (a millionth of a millionth) of the accounts' currency.",
    "What was used beyond what was held for it, in picodollars.",
    "Requests refused or failed, by kind of error.",
    "Upstream attempts, by provider and outcome.",
    "Breakers, by provider and model: 0 closed, 1 half open, 2 open.",
    "Holds of money that are not settled yet.",
    "Streams that have begun and not ended.",
    "The whole of a request, in seconds.",
    "From a request's arrival to the first event of its stream, in seconds.",
    "From one output token of a stream to the next, in seconds.",
];

/// The histograms, each with the upper bounds of its buckets in seconds, as the conventions advise: for
/// recorders that have to be told them.
pub const BUCKETS: &[(&str, &[f64])] = &[
    (
        DURATION,
        &[
            0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
        ],
    ),
    (
        FIRST_EVENT,
        &[
            0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5,
            10.0,
        ],
    ),
    (
        PER_TOKEN,
        &[
            0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
        ],
    ),
];

/// The label of an error: one of few, whatever the upstream calls it.
#[must_use]
pub fn error_type(kind: crate::error::Kind) -> String {
    let mut name = String::new();
    for c in format!("{kind:?}").chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}
