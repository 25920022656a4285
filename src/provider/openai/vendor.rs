//! The family as data: where each vendor is, what it calls things, what it does not take.
//!
//! What differs in the answers (where usage hides, what reasoning is called, comments, a missing
//! `[DONE]`, shapes of errors) is read alike for all, wherever it is met; only how tokens are
//! counted must be told, and stands here too.

use std::fmt;

use super::speech::Speech;
use crate::wire::Counting;

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

/// What becomes of one parameter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// It is called so there.
    Called(&'static str),
    /// It is called so there, for the models that this says.
    CalledBy(fn(&str) -> bool, &'static str),
    /// Dropped and announced: the answer means the same.
    Dropped,
    /// Refused: the answer would mean something else.
    Refused,
    /// Brought into this range.
    Within(f64, f64),
    /// Some of its values are called otherwise; one without a name is dropped and announced, those
    /// that are not listed pass.
    Values(&'static [(&'static str, &'static str)]),
    /// `{"type":"json_schema"}` is refused, other formats pass.
    NoSchema,
    /// One text becomes a list of it.
    Listed,
    /// The schema stands in a member of another shape: `{"type":"json","value":…}`.
    SchemaAsValue,
    /// `none` becomes `thinking: {"type":"disabled"}`, whatever else `enabled` beside the effort.
    Thinking,
    /// `true` becomes the number of alternatives, at least 1.
    Counted,
    /// The nearest of those efforts that a model takes; none of them is refused.
    Efforts(fn(&str) -> &'static [&'static str]),
    /// Refused by models that reason, unless it is what they do anyway.
    RefusedReasoning,
    /// Without effect on models that reason: dropped and announced.
    DroppedReasoning,
}

/// How usage comes on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provider) enum Usage {
    /// When it is asked for by `stream_options.include_usage`.
    Asked,
    /// Always; the option is not known there.
    Always,
}

pub(super) struct Row {
    name: &'static str,
    /// Hosts, each with all below it.
    hosts: &'static [&'static str],
    base_url: Option<&'static str>,
    pub(super) params: &'static [(&'static str, Fate)],
    /// Members of its own that are set where the client has not: name and JSON.
    pub(super) adds: &'static [(&'static str, &'static str)],
    pub(super) usage: Usage,
    pub(super) counting: Counting,
    pub(super) speech: Speech,
    /// Whether it knows `functions`, the deprecated form of tools.
    pub(super) functions: bool,
    /// Whether a model of it reasons, at this effort.
    pub(super) reasons: fn(&str, Option<&str>) -> bool,
}

use Fate::{
    Called, Counted, Dropped, DroppedReasoning, Efforts, Listed, NoSchema, Refused,
    RefusedReasoning, SchemaAsValue, Thinking, Values, Within,
};

/// What nobody but OpenAI knows, and nothing is lost without.
macro_rules! params {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            ("verbosity", Dropped),
            ("store", Dropped),
            ("safety_identifier", Dropped),
            ("prompt_cache_retention", Dropped),
            ("prompt_cache_options", Dropped),
            ("moderation", Refused),
        ]
    };
}

const PLAIN: Row = Row {
    name: "plain",
    hosts: &[],
    base_url: None,
    params: &[],
    adds: &[],
    usage: Usage::Asked,
    counting: Counting::Plain,
    speech: Speech {
        no_developer: false,
        text_only: false,
        members: None,
        short_ids: false,
    },
    functions: true,
    reasons: |_, _| false,
};

/// A vendor that knows no names of OpenAI's older or newer than its own API.
const OTHER: Row = Row {
    speech: Speech {
        no_developer: true,
        ..PLAIN.speech
    },
    functions: false,
    ..PLAIN
};

/// Source: the vendors' API references and SDKs, read 2026-11.
static ROWS: &[Row] = &[
    PLAIN,
    Row {
        name: "openai",
        hosts: &["api.openai.com"],
        base_url: Some("https://api.openai.com/v1"),
        params: &[
            (
                "max_tokens",
                Fate::CalledBy(thinks, "max_completion_tokens"),
            ),
            ("temperature", RefusedReasoning),
            ("top_p", RefusedReasoning),
            ("frequency_penalty", RefusedReasoning),
            ("presence_penalty", RefusedReasoning),
            ("logit_bias", RefusedReasoning),
            ("logprobs", RefusedReasoning),
            ("top_logprobs", RefusedReasoning),
        ],
        reasons,
        ..PLAIN
    },
    Row {
        name: "deepseek",
        hosts: &["api.deepseek.com"],
        base_url: Some("https://api.deepseek.com/v1"),
        params: params![
            ("max_completion_tokens", Called("max_tokens")),
            ("reasoning_effort", Thinking),
            ("response_format", NoSchema),
            ("n", Refused),
            ("logit_bias", Refused),
            ("modalities", Refused),
            ("audio", Refused),
            ("web_search_options", Refused),
            ("seed", Dropped),
            ("prediction", Dropped),
            ("metadata", Dropped),
            ("service_tier", Dropped),
            ("prompt_cache_key", Dropped),
            ("temperature", DroppedReasoning),
            ("top_p", DroppedReasoning),
            ("frequency_penalty", DroppedReasoning),
            ("presence_penalty", DroppedReasoning),
        ],
        speech: Speech {
            text_only: true,
            ..OTHER.speech
        },
        // Its newer models think when they are told how hard.
        reasons: |model, effort| {
            model.contains("reasoner") || effort.is_some_and(|effort| effort != "none")
        },
        ..OTHER
    },
    Row {
        name: "mistral",
        hosts: &["api.mistral.ai"],
        base_url: Some("https://api.mistral.ai/v1"),
        params: params![
            ("max_completion_tokens", Called("max_tokens")),
            ("seed", Called("random_seed")),
            (
                "service_tier",
                Values(&[
                    ("auto", "auto"),
                    ("default", "standard_only"),
                    ("priority", "auto"),
                    ("fast", "auto"),
                    ("flex", ""),
                    ("scale", ""),
                ])
            ),
            ("logit_bias", Refused),
            ("modalities", Refused),
            ("audio", Refused),
            ("web_search_options", Refused),
            ("user", Dropped),
        ],
        usage: Usage::Always,
        counting: Counting::InputInTotal,
        speech: Speech {
            members: Some(&["role", "content", "tool_calls", "tool_call_id", "prefix"]),
            short_ids: true,
            ..OTHER.speech
        },
        ..OTHER
    },
    Row {
        name: "groq",
        hosts: &["api.groq.com"],
        base_url: Some("https://api.groq.com/openai/v1"),
        params: params![
            (
                "service_tier",
                Values(&[
                    ("default", "on_demand"),
                    ("priority", "performance"),
                    ("fast", "performance"),
                    ("scale", ""),
                ])
            ),
            ("n", Refused),
            ("logit_bias", Refused),
            ("logprobs", Refused),
            ("top_logprobs", Refused),
            ("modalities", Refused),
            ("audio", Refused),
            ("frequency_penalty", Dropped),
            ("presence_penalty", Dropped),
            ("prediction", Dropped),
            ("metadata", Dropped),
            ("prompt_cache_key", Dropped),
        ],
        speech: Speech {
            members: Some(&["role", "content", "name", "tool_calls", "tool_call_id"]),
            ..OTHER.speech
        },
        ..OTHER
    },
    Row {
        name: "xai",
        hosts: &["api.x.ai"],
        base_url: Some("https://api.x.ai/v1"),
        params: params![
            ("modalities", Refused),
            ("audio", Refused),
            ("prediction", Dropped),
            ("reasoning_effort", Efforts(grok_efforts)),
            ("stop", RefusedReasoning),
            ("frequency_penalty", RefusedReasoning),
            ("presence_penalty", RefusedReasoning),
        ],
        reasons: groks,
        ..OTHER
    },
    Row {
        name: "openrouter",
        hosts: &["openrouter.ai"],
        base_url: Some("https://openrouter.ai/api/v1"),
        functions: false,
        ..PLAIN
    },
    Row {
        name: "together",
        hosts: &["together.ai", "together.xyz"],
        base_url: Some("https://api.together.ai/v1"),
        params: params![
            ("max_completion_tokens", Called("max_tokens")),
            ("logprobs", Counted),
            ("prediction", Dropped),
            ("metadata", Dropped),
            ("service_tier", Dropped),
            ("prompt_cache_key", Dropped),
        ],
        ..OTHER
    },
    Row {
        name: "fireworks",
        hosts: &["api.fireworks.ai"],
        base_url: Some("https://api.fireworks.ai/inference/v1"),
        params: params![("top_logprobs", Within(0.0, 5.0))],
        // Without it a prompt that is too long is cut without a word.
        adds: &[("context_length_exceeded_behavior", "\"error\"")],
        ..OTHER
    },
    Row {
        name: "perplexity",
        hosts: &["api.perplexity.ai"],
        base_url: Some("https://api.perplexity.ai"),
        params: params![
            ("max_completion_tokens", Called("max_tokens")),
            ("n", Refused),
            ("logit_bias", Refused),
            ("logprobs", Refused),
            ("top_logprobs", Refused),
            ("modalities", Refused),
            ("audio", Refused),
            ("seed", Dropped),
            ("user", Dropped),
            ("prediction", Dropped),
            ("metadata", Dropped),
            ("service_tier", Dropped),
            ("prompt_cache_key", Dropped),
        ],
        usage: Usage::Always,
        ..OTHER
    },
    Row {
        name: "cerebras",
        hosts: &["api.cerebras.ai"],
        base_url: Some("https://api.cerebras.ai/v1"),
        params: params![
            ("modalities", Refused),
            ("audio", Refused),
            ("metadata", Dropped),
            ("prompt_cache_key", Dropped),
        ],
        ..OTHER
    },
    Row {
        name: "vllm",
        base_url: Some("http://localhost:8000/v1"),
        params: SERVER,
        ..OTHER
    },
    Row {
        name: "sglang",
        base_url: Some("http://localhost:30000/v1"),
        params: SERVER,
        ..OTHER
    },
    Row {
        name: "llamacpp",
        base_url: Some("http://localhost:8080/v1"),
        params: SERVER,
        ..OTHER
    },
    Row {
        name: "lmstudio",
        base_url: Some("http://localhost:1234/v1"),
        params: params![
            ("max_completion_tokens", Called("max_tokens")),
            ("user", Dropped),
            ("metadata", Dropped),
            ("prediction", Dropped),
            ("service_tier", Dropped),
            ("prompt_cache_key", Dropped),
        ],
        ..OTHER
    },
    Row {
        name: "tgi",
        base_url: Some("http://localhost:3000/v1"),
        params: params![
            ("max_completion_tokens", Called("max_tokens")),
            ("stop", Listed),
            ("response_format", SchemaAsValue),
            ("n", Refused),
            ("logit_bias", Refused),
            ("modalities", Refused),
            ("audio", Refused),
            ("user", Dropped),
            ("metadata", Dropped),
            ("prediction", Dropped),
            ("service_tier", Dropped),
            ("prompt_cache_key", Dropped),
        ],
        ..OTHER
    },
    Row {
        name: "ollama",
        base_url: Some("http://localhost:11434/v1"),
        params: params![
            ("max_completion_tokens", Called("max_tokens")),
            ("n", Refused),
            ("logit_bias", Refused),
            ("user", Dropped),
            ("metadata", Dropped),
            ("prediction", Dropped),
            ("service_tier", Dropped),
            ("prompt_cache_key", Dropped),
        ],
        ..OTHER
    },
    Row {
        name: "huggingface",
        hosts: &["router.huggingface.co"],
        base_url: Some("https://router.huggingface.co/v1"),
        ..OTHER
    },
    Row {
        name: "github",
        hosts: &["models.github.ai", "models.inference.ai.azure.com"],
        base_url: Some("https://models.github.ai/inference"),
        ..PLAIN
    },
    Row {
        name: "moonshot",
        hosts: &["api.moonshot.ai", "api.moonshot.cn"],
        base_url: Some("https://api.moonshot.ai/v1"),
        ..OTHER
    },
    Row {
        name: "alibaba",
        hosts: &["aliyuncs.com"],
        base_url: Some("https://dashscope-intl.aliyuncs.com/compatible-mode/v1"),
        ..OTHER
    },
    Row {
        name: "zai",
        hosts: &["api.z.ai"],
        base_url: Some("https://api.z.ai/api/paas/v4"),
        ..OTHER
    },
    Row {
        name: "gemini",
        hosts: &["generativelanguage.googleapis.com"],
        base_url: Some("https://generativelanguage.googleapis.com/v1beta/openai"),
        counting: Counting::OutputInTotal,
        ..OTHER
    },
];

/// OpenAI's models that refuse `max_tokens`: the o-series and all from the fifth generation on.
fn thinks(model: &str) -> bool {
    let generation = model.strip_prefix("gpt-").or(model.strip_prefix('o'));
    let digits = generation.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    let number = digits
        .flatten()
        .and_then(|digits| digits.parse::<u32>().ok());
    number.is_some_and(|number| !model.starts_with("gpt-") || number >= 5)
}

/// OpenAI's models while they reason: the o-series and the fifth generation do, chat models aside;
/// from 5.1 on those do that are told how hard, and those that have only that.
fn reasons(model: &str, effort: Option<&str>) -> bool {
    if !thinks(model) || model.contains("-chat") {
        return false;
    }
    let can_be_silent = match model.strip_prefix("gpt-5") {
        Some(rest) => rest.starts_with('.'),
        None => model.starts_with("gpt-"),
    };
    if can_be_silent && !model.contains("-pro") {
        return effort.is_some_and(|effort| effort != "none");
    }
    true
}

/// xAI's models that reason.
fn groks(model: &str, _: Option<&str>) -> bool {
    !model.contains("non-reasoning")
        && ["grok-4", "grok-3-mini", "grok-code", "reasoning"]
            .iter()
            .any(|word| model.contains(word))
}

/// The efforts of xAI's models; most take none and are told apart by name.
fn grok_efforts(model: &str) -> &'static [&'static str] {
    if model.contains("grok-3-mini") {
        return &["low", "high"];
    }
    let version = model.split("grok-").nth(1).unwrap_or_default();
    let version = version.strip_prefix("4.").unwrap_or_default();
    let digits = version.split(|c: char| !c.is_ascii_digit()).next();
    match digits.and_then(|digits| digits.parse::<u32>().ok()) {
        Some(3 | 4) => &["none", "low", "medium", "high"],
        Some(5..=9) => &["low", "medium", "high"],
        _ => &[],
    }
}

/// Servers of open models that take all of the samplers.
const SERVER: &[(&str, Fate)] = params![
    ("user", Dropped),
    ("metadata", Dropped),
    ("prediction", Dropped),
    ("service_tier", Dropped),
    ("prompt_cache_key", Dropped),
];

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

    /// Its name.
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
