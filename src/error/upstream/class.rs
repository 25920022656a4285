use http::StatusCode;

use crate::error::Class;

/// What a refusal means for the next attempt.
#[must_use]
pub fn classify(
    status: StatusCode,
    code: Option<&str>,
    kind: Option<&str>,
    message: Option<&str>,
) -> Class {
    let says = |of: fn(&str) -> bool| message.is_some_and(of);
    // A limit by its status and its code, but one that waiting does not help against.
    if matches!(status.as_u16(), 413 | 429) && says(is_too_much_at_once) {
        return Class::TooLarge;
    }
    for word in [code, kind].into_iter().flatten() {
        match word {
            "context_length_exceeded"
            | "string_above_max_length"
            | "exceed_context_size_error"
            | "too_many_prompt_tokens" => return Class::ContextLength,
            "content_filter"
            | "content_policy_violation"
            | "moderation_blocked"
            | "invalid_prompt"
            | "data_inspection_failed" => return Class::ContentPolicy,
            "insufficient_quota"
            | "credit_balance_exhausted"
            | "billing_hard_limit_reached"
            | "billing_not_active"
            | "exceeded_current_quota_error"
            | "organization_spend_limit_exceeded"
            | "project_spend_limit_exceeded"
            | "organization_usage_limit_exceeded"
            | "Arrearage" => return Class::Quota,
            "model_not_found" | "model_decommissioned" | "DeploymentNotFound" | "invalid_model" => {
                return Class::ModelGone;
            }
            "unsupported_country_region_territory" => return Class::Region,
            "invalid_api_key" | "authentication_error" => return Class::Credential,
            "rate_limit_exceeded" => return Class::RateLimit,
            "server_is_overloaded" | "slow_down" | "overloaded_error"
            // Moonshot's, under a 429.
            | "engine_overloaded_error" => return Class::Overload,
            _ => {}
        }
    }
    match status.as_u16() {
        400 | 403 | 413 | 422 if says(is_context_length) => Class::ContextLength,
        // Some say so of the account as if the request were wrong.
        400 if says(is_credential) => Class::Credential,
        400 | 403 | 412 | 429 if says(is_quota) => Class::Quota,
        400 | 403 if says(is_region) => Class::Region,
        400 | 403 if says(is_flagged) => Class::ContentPolicy,
        401 => Class::Credential,
        403 => message.map_or(Class::Forbidden, forbidden),
        402 => Class::Quota,
        404 | 410 => Class::ModelGone,
        429 => Class::RateLimit,
        503 | 529 => Class::Overload,
        498 if says(is_capacity) => Class::Overload,
        400 | 413 | 422 => Class::Caller,
        // Nothing that the caller has done, or could do otherwise.
        _ => Class::Transient,
    }
}

/// What a refusal by 403 is about. Only one that names the key or its account, and no model or file
/// of this request, speaks of every request to come.
pub(crate) fn forbidden(message: &str) -> Class {
    if says(message, &["access the file"]) {
        // One that the caller named and may not have, or that there is not.
        Class::Caller
    } else if says(message, &["model", "resource"]) {
        Class::Forbidden
    } else if says(
        message,
        &[
            "api key",
            "api_key",
            "api-key",
            "key limit",
            "credentials",
            "signature",
            "security token",
            "account",
            "suspended",
        ],
    ) {
        Class::Credential
    } else {
        Class::Forbidden
    }
}

/// What Z.ai's numbers mean. Source: the vendor's page of error codes,
/// read 2026-11.
pub(super) fn numbered(code: &str) -> Option<Class> {
    Some(match code {
        "1000" | "1001" | "1002" | "1003" | "1004" | "1110" | "1111" | "1112" | "1120" | "1121"
        | "1220" | "1311" => Class::Credential,
        // In arrears; the day's, the plan's, the week's share is used up; the plan has ended.
        "1113" | "1304" | "1308" | "1309" | "1310" => Class::Quota,
        "1211" | "1221" | "1222" => Class::ModelGone,
        "1261" => Class::ContextLength,
        "1300" | "1301" => Class::ContentPolicy,
        "1302" | "1303" | "1305" | "1313" => Class::RateLimit,
        "1312" => Class::Overload,
        _ => return None,
    })
}

pub(super) fn is_context_length(message: &str) -> bool {
    says(
        message,
        &[
            "maximum context length",
            "context length exceeded",
            "prompt is too long",
            "context window",
            // Anthropic, llama.cpp, xAI, AWS.
            "exceed context limit",
            "available context size",
            "maximum prompt length",
            "input is too long",
            // SGLang, Moonshot, Alibaba.
            "the model's context length",
            "exceeded model token limit",
            "range of input length should be",
            // TGI.
            "`max_new_tokens` must be <=",
        ],
    )
}

/// As xAI and Google refuse a key.
fn is_credential(message: &str) -> bool {
    let words = [
        "incorrect api key",
        "invalid api key",
        "api key not valid",
        "api key expired",
    ];
    says(message, &words)
}

/// As Groq and OpenAI tell of a request that is more than the account may send in a minute: a shorter
/// one passes, and this one never does there. Others say so of bytes.
fn is_too_much_at_once(message: &str) -> bool {
    says(message, &["request too large for"]) && says(message, &["tokens"])
}

/// As Anthropic, xAI and Fireworks tell of an account that is empty, or has a limit that is reached.
fn is_quota(message: &str) -> bool {
    let words = [
        "credit balance is too low",
        "api usage limits",
        "have any credits",
        "used all available credits",
        "run out of credits",
        "monthly spending limit",
    ];
    says(message, &words)
}

/// As Google's compatible endpoint says where it does not serve.
fn is_region(message: &str) -> bool {
    says(message, &["location is not supported"])
}

/// As OpenRouter, xAI and DeepSeek refuse what they find in a prompt.
fn is_flagged(message: &str) -> bool {
    let words = [
        "input was flagged",
        "violates usage guidelines",
        "content exists risk",
    ];
    says(message, &words)
}

/// As Groq refuses what may be refused when there is much to do.
fn is_capacity(message: &str) -> bool {
    says(message, &["capacity"])
}

fn says(message: &str, any: &[&str]) -> bool {
    let message = message.to_ascii_lowercase();
    any.iter().any(|words| message.contains(words))
}
