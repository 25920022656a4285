//! The table: where each vendor is, what it calls things, what it does not take.

use super::{
    foreign::{Origin, Whose},
    models::{
        gpt_efforts, grok_efforts, groks, groq_efforts, kimis, mistral_efforts, qwens, reasons,
        thinks,
    },
    row::{
        Fate::{
            self, Called, Counted, Dropped, DroppedReasoning, Listed, NoSchema, Refused,
            RefusedReasoning, SchemaAsValue, Thinking, Values, Within,
        },
        Row,
    },
    speech::{Flat, Speech},
    vendor::Usage,
};
use crate::wire::Counting;

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

pub(super) const PLAIN: Row = Row {
    name: "plain",
    hosts: &[],
    base_url: None,
    params: &[],
    adds: &[],
    usage: Usage::Asked,
    counting: Counting::Plain,
    speech: Speech {
        no_developer: false,
        parts: None,
        flat: Flat::Never,
        filled: false,
        inline_images: false,
        members: None,
        short_ids: false,
        ordered: false,
        reasoning: false,
    },
    whose: Whose::Anyones,
    functions: true,
    only_functions: false,
    reasons: |_, _| false,
    remembers: |_| false,
};

/// A vendor that knows no names of OpenAI's older or newer than its own API.
const OTHER: Row = Row {
    speech: Speech {
        no_developer: true,
        ..PLAIN.speech
    },
    whose: Whose::Nobodys,
    functions: false,
    only_functions: true,
    ..PLAIN
};

/// Source: the vendors' API references and SDKs, read 2026-11.
pub(super) static ROWS: &[Row] = &[
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
            ("reasoning_effort", Fate::Efforts(gpt_efforts)),
            ("temperature", RefusedReasoning),
            ("top_p", RefusedReasoning),
            ("frequency_penalty", RefusedReasoning),
            ("presence_penalty", RefusedReasoning),
            ("logit_bias", RefusedReasoning),
            ("logprobs", RefusedReasoning),
            ("top_logprobs", RefusedReasoning),
        ],
        whose: Whose::Nobodys,
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
            ("tool_choice", Fate::UnforcedReasoning),
        ],
        speech: Speech {
            parts: Some(&["text"]),
            // "invalid type: sequence, expected a string"
            flat: Flat::Always,
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
            ("reasoning_effort", Fate::Efforts(mistral_efforts)),
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
            // Source: the checks of the vendor's own `mistral-common`, and what its API answers, 2026.
            ordered: true,
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
            ("reasoning_effort", Fate::Efforts(groq_efforts)),
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
            parts: Some(&["text", "image_url"]),
            // "for 'role:system' the following must be satisfied: value must be a string"
            flat: Flat::ButUsers,
            members: Some(&["role", "content", "tool_calls", "tool_call_id"]),
            ..OTHER.speech
        },
        remembers: |model| model.contains("gpt-oss"),
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
            ("reasoning_effort", Fate::Efforts(grok_efforts)),
            ("stop", RefusedReasoning),
            ("frequency_penalty", RefusedReasoning),
            ("presence_penalty", RefusedReasoning),
        ],
        speech: Speech {
            parts: Some(&["text", "image_url", "file"]),
            // "Each message must have at least one content element."
            filled: true,
            ..OTHER.speech
        },
        reasons: groks,
        ..OTHER
    },
    Row {
        name: "openrouter",
        hosts: &["openrouter.ai"],
        base_url: Some("https://openrouter.ai/api/v1"),
        whose: Whose::Of(Origin::OpenRouter),
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
        // Whatever it does not know is refused.
        speech: Speech {
            members: Some(&["role", "content", "name", "tool_calls", "tool_call_id"]),
            // "system.content: Input should be a valid string"
            flat: Flat::ButUsers,
            ..OTHER.speech
        },
        remembers: |_| true,
        ..OTHER
    },
    Row {
        name: "vllm",
        base_url: Some("http://localhost:8000/v1"),
        params: SERVER,
        remembers: |_| true,
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
            ("tool_choice", Fate::Unforced),
            ("parallel_tool_calls", Dropped),
            ("n", Refused),
            ("logit_bias", Refused),
            ("user", Dropped),
            ("metadata", Dropped),
            ("prediction", Dropped),
            ("service_tier", Dropped),
            ("prompt_cache_key", Dropped),
        ],
        speech: Speech {
            parts: Some(&["text", "image_url"]),
            inline_images: true,
            ..OTHER.speech
        },
        remembers: |_| true,
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
        whose: Whose::Nobodys,
        ..PLAIN
    },
    Row {
        name: "moonshot",
        hosts: &["api.moonshot.ai", "api.moonshot.cn"],
        base_url: Some("https://api.moonshot.ai/v1"),
        params: &[
            (
                "reasoning_effort",
                Fate::Switched(
                    kimis,
                    "thinking",
                    [r#"{"type":"enabled"}"#, r#"{"type":"disabled"}"#],
                ),
            ),
            ("web_search_options", Refused),
            ("moderation", Refused),
            ("prediction", Dropped),
            ("metadata", Dropped),
            ("service_tier", Dropped),
            ("verbosity", Dropped),
            ("store", Dropped),
            ("prompt_cache_retention", Dropped),
            ("prompt_cache_options", Dropped),
        ],
        ..OTHER
    },
    Row {
        name: "alibaba",
        hosts: &["aliyuncs.com"],
        base_url: Some("https://dashscope-intl.aliyuncs.com/compatible-mode/v1"),
        params: params![
            ("max_completion_tokens", Called("max_tokens")),
            (
                "reasoning_effort",
                Fate::Switched(qwens, "enable_thinking", ["true", "false"]),
            ),
            ("web_search_options", Refused),
            ("user", Dropped),
            ("prediction", Dropped),
            ("metadata", Dropped),
            ("service_tier", Dropped),
            ("prompt_cache_key", Dropped),
        ],
        ..OTHER
    },
    Row {
        name: "zai",
        hosts: &["api.z.ai"],
        base_url: Some("https://api.z.ai/api/paas/v4"),
        params: &[
            ("max_completion_tokens", Called("max_tokens")),
            ("reasoning_effort", Thinking),
            ("response_format", NoSchema),
            ("tool_choice", Fate::Unforced),
            ("temperature", Within(0.0, 1.0)),
            ("top_p", Within(0.01, 1.0)),
            ("stop", Fate::ListedAlone),
            ("safety_identifier", Fate::CalledIf("user_id", 6..=128)),
            ("user", Fate::CalledIf("user_id", 6..=128)),
            ("n", Refused),
            ("seed", Dropped),
            ("logit_bias", Refused),
            ("logprobs", Refused),
            ("top_logprobs", Refused),
            ("modalities", Refused),
            ("audio", Refused),
            ("web_search_options", Refused),
            ("parallel_tool_calls", Dropped),
            ("frequency_penalty", Dropped),
            ("presence_penalty", Dropped),
            ("prediction", Dropped),
            ("metadata", Dropped),
            ("service_tier", Dropped),
            ("prompt_cache_key", Dropped),
            ("verbosity", Dropped),
            ("store", Dropped),
            ("prompt_cache_retention", Dropped),
            ("prompt_cache_options", Dropped),
            ("moderation", Refused),
        ],
        ..OTHER
    },
    Row {
        name: "gemini",
        hosts: &["generativelanguage.googleapis.com"],
        base_url: Some("https://generativelanguage.googleapis.com/v1beta/openai"),
        counting: Counting::OutputInTotal,
        whose: Whose::Of(Origin::Gemini),
        ..OTHER
    },
];

/// Servers of open models that take all of the samplers.
const SERVER: &[(&str, Fate)] = params![
    ("user", Dropped),
    ("metadata", Dropped),
    ("prediction", Dropped),
    ("service_tier", Dropped),
    ("prompt_cache_key", Dropped),
];
