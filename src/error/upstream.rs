//! What an upstream says of its failure, in any of the shapes of OpenAI's family, and what the caller
//! is told of it.

use http::StatusCode;
use serde_json::Value;

use super::{Class, Error, Kind, Origin};

/// The longest message of an upstream that is passed on, in characters.
const LONGEST: usize = 500;

/// What a provider says of its refusal, in whichever of the family's shapes.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) message: Option<String>,
    pub(crate) kind: Option<String>,
    param: Option<String>,
    pub(crate) code: Option<String>,
    /// A number or a word, within the body.
    status: Option<String>,
}

impl Said {
    /// `{"error":{…}}`, `{"error":"…"}`, `{"detail":…}`, a flat object, or an array of one of them.
    pub(crate) fn read(body: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return Self::default();
        };
        let outer = value
            .as_array()
            .and_then(|items| items.first())
            .unwrap_or(&value);
        let inner = outer
            .get("error")
            .or_else(|| outer.get("detail"))
            .unwrap_or(outer);
        // Whoever checks requests by a schema lists what is wrong: FastAPI in `detail`, Mistral in
        // `message.detail`.
        let listed = inner.get("message").and_then(|said| said.get("detail"));
        let listed = listed.unwrap_or(inner).as_array();
        let wrong = listed.and_then(|all| all.first());
        // Beside an error that is a mere text or a list, what else there is stands outside.
        let (whole, members) = match (inner, wrong) {
            (Value::String(message), _) => (Some(message.clone()), outer),
            (_, Some(wrong)) => (wrong["msg"].as_str().map(str::to_owned), outer),
            _ => (None, inner),
        };
        let text = |name: &str| match members.get(name)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        Self {
            message: whole.or_else(|| text("message")).or_else(|| text("msg")),
            kind: text("type").or_else(|| text("error_type")),
            param: text("param").or_else(|| path(wrong?.get("loc")?.as_array()?)),
            code: text("code"),
            status: ["status_code", "raw_status_code", "status"]
                .into_iter()
                .find_map(text),
        }
    }

    /// The status that it would have been refused with.
    fn status(&self) -> StatusCode {
        let number = |text: &String| match text.parse() {
            Ok(status @ 400..=599) => StatusCode::from_u16(status).ok(),
            _ => None,
        };
        if let Some(status) = [&self.status, &self.code]
            .into_iter()
            .flatten()
            .find_map(number)
        {
            return status;
        }
        let words = [&self.code, &self.kind, &self.status].into_iter().flatten();
        let words = words.fold(String::new(), |words, word| words + " " + word);
        let words = words.to_ascii_lowercase().replace('-', "_");
        for (word, status) in [
            ("context_length", StatusCode::BAD_REQUEST),
            ("context_size", StatusCode::BAD_REQUEST),
            ("content_filter", StatusCode::BAD_REQUEST),
            ("content_policy", StatusCode::BAD_REQUEST),
            ("rate_limit", StatusCode::TOO_MANY_REQUESTS),
            ("resource_exhausted", StatusCode::TOO_MANY_REQUESTS),
            ("overloaded", StatusCode::SERVICE_UNAVAILABLE),
            ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
            ("slow_down", StatusCode::SERVICE_UNAVAILABLE),
            ("timeout", StatusCode::GATEWAY_TIMEOUT),
            ("authentication", StatusCode::UNAUTHORIZED),
            ("permission", StatusCode::FORBIDDEN),
            ("invalid_request", StatusCode::BAD_REQUEST),
            ("invalid_argument", StatusCode::BAD_REQUEST),
            ("invalid_value", StatusCode::BAD_REQUEST),
            ("bad_request", StatusCode::BAD_REQUEST),
            ("badrequest", StatusCode::BAD_REQUEST),
            ("unsupported", StatusCode::BAD_REQUEST),
        ] {
            if words.contains(word) {
                return status;
            }
        }
        StatusCode::INTERNAL_SERVER_ERROR
    }
}

/// A place within the body as OpenAI writes it; `None` for the body itself.
fn path(place: &[Value]) -> Option<String> {
    let mut path = String::new();
    let within = place.strip_prefix(&[Value::from("body")]).unwrap_or(place);
    for step in within {
        match step {
            Value::String(name) if path.is_empty() => path.push_str(name),
            Value::String(name) => path.extend([".", name]),
            step => path.push_str(&format!("[{step}]")),
        }
    }
    Some(path).filter(|path| !path.is_empty())
}

/// Reads what a stream says instead of going on: the data of an `error` event, or a chunk with an
/// `error`. There is no status any more, so the words and the numbers in it must say.
pub(crate) fn in_stream(text: &str) -> Error {
    let said = Said::read(text.as_bytes());
    let status = said.status();
    let class = classify(
        status,
        said.code.as_deref(),
        said.kind.as_deref(),
        said.message.as_deref(),
    );
    let status = match class {
        Class::ContextLength | Class::ContentPolicy => StatusCode::BAD_REQUEST,
        _ => status,
    };
    of_class(class, status, said)
        .with_class(class)
        .with_source(text.chars().take(1024).collect::<String>())
}

/// What a refusal means for the next attempt.
#[must_use]
pub fn classify(
    status: StatusCode,
    code: Option<&str>,
    kind: Option<&str>,
    message: Option<&str>,
) -> Class {
    for word in [code, kind].into_iter().flatten() {
        match word {
            "context_length_exceeded"
            | "string_above_max_length"
            | "exceed_context_size_error"
            | "too_many_prompt_tokens" => return Class::ContextLength,
            "content_filter" | "content_policy_violation" | "moderation_blocked" => {
                return Class::ContentPolicy;
            }
            "insufficient_quota"
            | "credit_balance_exhausted"
            | "billing_hard_limit_reached"
            | "billing_not_active"
            | "exceeded_current_quota_error"
            | "organization_spend_limit_exceeded"
            | "project_spend_limit_exceeded"
            | "organization_usage_limit_exceeded" => return Class::Quota,
            "model_not_found" | "model_decommissioned" | "DeploymentNotFound" => {
                return Class::ModelGone;
            }
            "unsupported_country_region_territory" => return Class::Region,
            "invalid_api_key" | "authentication_error" => return Class::Credential,
            "rate_limit_exceeded" => return Class::RateLimit,
            "server_is_overloaded" | "slow_down" | "overloaded_error" => return Class::Overload,
            _ => {}
        }
        if let Some(class) = numbered(word) {
            return class;
        }
    }
    let says = |of: fn(&str) -> bool| message.is_some_and(of);
    match status.as_u16() {
        400 | 403 | 413 | 422 if says(is_context_length) => Class::ContextLength,
        // Some say so of the account as if the request were wrong.
        400 if says(is_credential) => Class::Credential,
        400 if says(is_quota) => Class::Quota,
        401 | 403 => Class::Credential,
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

/// What Z.ai's numbers mean; nobody else counts so high. Source: the vendor's page of error codes,
/// read 2026-11.
fn numbered(code: &str) -> Option<Class> {
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

fn is_context_length(message: &str) -> bool {
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

/// As Anthropic tells of an account that is empty, or has a limit that is reached.
fn is_quota(message: &str) -> bool {
    let words = ["credit balance is too low", "api usage limits"];
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

/// The answer that the caller gets if no other attempt is made.
pub(crate) fn of_class(class: Class, status: StatusCode, said: Said) -> Error {
    let upstream = |kind, code: &'static str, message: &'static str| {
        Error::new(kind, message)
            .with_code(code)
            .with_origin(Origin::Upstream)
    };
    match class {
        // Used up until the day or the bill is over; its status is the upstream's word for it.
        Class::Quota if status == StatusCode::TOO_MANY_REQUESTS => upstream(
            Kind::RateLimit,
            "upstream_rate_limited",
            "The upstream account's quota is used up.",
        ),
        Class::Credential | Class::Quota | Class::Region => upstream(
            Kind::BadUpstream,
            "upstream_unauthorized",
            "The upstream refused the gateway's credentials or account.",
        ),
        Class::ModelGone => upstream(
            Kind::BadUpstream,
            "upstream_model_not_found",
            "The upstream does not know the model it was asked for.",
        ),
        Class::RateLimit => upstream(
            Kind::RateLimit,
            "upstream_rate_limited",
            "The upstream's rate limit is reached; retry later.",
        ),
        Class::Overload => upstream(
            Kind::Overloaded,
            "upstream_overloaded",
            "The upstream is overloaded.",
        ),
        Class::Caller | Class::ContentPolicy | Class::ContextLength
            if class == Class::ContextLength || matches!(status.as_u16(), 400 | 413 | 422) =>
        {
            let message = said.message.map_or_else(
                || "The upstream refused the request.".to_owned(),
                |message| passed_on(&message),
            );
            let mut error = Error::new(Kind::Format, message).with_origin(Origin::Client);
            if let Some(param) = said.param {
                error = error.with_param(param);
            }
            // A number is a status, not a code of the API's.
            match said.code.filter(|code| code.parse::<u32>().is_err()) {
                // Clients look for this one to shorten what they ask; OpenAI has one other word.
                Some(code)
                    if class == Class::ContextLength && code == "string_above_max_length" =>
                {
                    error.with_code(code)
                }
                _ if class == Class::ContextLength => error.with_code("context_length_exceeded"),
                Some(code) => error.with_code(code),
                None => error,
            }
        }
        _ if matches!(status.as_u16(), 408 | 504 | 524) => upstream(
            Kind::UpstreamTimeout,
            "upstream_timeout",
            "The upstream took too long.",
        ),
        _ => upstream(
            Kind::BadUpstream,
            "bad_upstream_response",
            "The upstream failed to answer the request.",
        ),
    }
}

/// An upstream's own words, short, and with everything that looks like a key or a URL cut out.
fn passed_on(message: &str) -> String {
    let words = message.split_whitespace().map(|word| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let secret = bare.contains("://")
            || ["sk-", "sk_", "gsk_", "xai-", "AIza", "key-", "Bearer"]
                .iter()
                .any(|prefix| bare.starts_with(prefix) && bare.len() > prefix.len() + 3);
        if secret { "[…]" } else { word }
    });
    let mut text = String::new();
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_streams_say_instead_of_going_on() {
        for (text, status, code, message) in [
            // Groq, OpenRouter, xAI, vLLM, TGI, llama.cpp, Gemini, a bare word, nothing.
            (
                r#"{"error":{"message":"flex is full","type":"x","status_code":498}}"#,
                502,
                Some("bad_upstream_response"),
                "failed to answer",
            ),
            (
                r#"{"id":"g","choices":[],"error":{"code":429,"message":"slow"}}"#,
                429,
                Some("upstream_rate_limited"),
                "rate limit",
            ),
            (
                r#"{"code":"invalid-argument","error":"`top_p` is wrong"}"#,
                400,
                Some("invalid-argument"),
                "`top_p` is wrong",
            ),
            (
                r#"{"error":{"message":"This model's maximum context length is 8 tokens","type":"BadRequestError","param":"messages","code":400}}"#,
                400,
                Some("context_length_exceeded"),
                "maximum context length is 8",
            ),
            (
                r#"{"error":"too busy","error_type":"overloaded"}"#,
                503,
                Some("upstream_overloaded"),
                "overloaded",
            ),
            (
                r#"{"error":{"code":400,"type":"exceed_context_size_error","message":"too long"}}"#,
                400,
                Some("context_length_exceeded"),
                "too long",
            ),
            (
                r#"[{"error":{"code":503,"status":"UNAVAILABLE","message":"later"}}]"#,
                503,
                Some("upstream_overloaded"),
                "overloaded",
            ),
            (
                r#"{"error":{"type":"authentication_error","message":"sk-secret123"}}"#,
                502,
                Some("upstream_unauthorized"),
                "credentials",
            ),
            (
                r#"{"error":{"type":"invalid_request_error","message":"see https://host and sk-secret123","param":"n"}}"#,
                400,
                None,
                "see […] and […]",
            ),
            (
                r#"{"error":"upstream connect error"}"#,
                502,
                Some("bad_upstream_response"),
                "failed to answer",
            ),
            ("", 502, Some("bad_upstream_response"), "failed to answer"),
            // DeepSeek.
            (
                r#"{"error":{"message":"This model's maximum context length is 8 tokens","type":"invalid_request_error","code":"invalid_request_error"}}"#,
                400,
                Some("context_length_exceeded"),
                "maximum context length is 8",
            ),
            // Z.ai.
            (
                r#"{"error":{"code":"1302","message":"too many at once"}}"#,
                429,
                Some("upstream_rate_limited"),
                "rate limit",
            ),
            (
                r#"{"error":{"code":"1261","message":"too long"}}"#,
                400,
                Some("context_length_exceeded"),
                "too long",
            ),
        ] {
            let error = in_stream(text);
            let told = error.status(&crate::dialect::Dialect::openai());
            assert_eq!((told.as_u16(), error.code()), (status, code), "{text}");
            assert!(error.message().contains(message), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_by_a_schema_is_told_with_its_path() {
        for (body, message, param) in [
            (
                r#"{"detail":[{"type":"missing","loc":["body","messages",0,"content"],"msg":"Field required"}]}"#,
                "Field required",
                Some("messages[0].content"),
            ),
            (
                r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","user"],"msg":"Extra inputs are not permitted"}]},"type":"invalid_request_error","param":null,"code":null}"#,
                "Extra inputs are not permitted",
                Some("user"),
            ),
            (r#"{"detail":[{"loc":["body"],"msg":"no"}]}"#, "no", None),
            (
                r#"{"detail":[{"loc":"body","msg":5},{}]}"#,
                "The upstream refused the request.",
                None,
            ),
            (
                r#"{"detail":[]}"#,
                "The upstream refused the request.",
                None,
            ),
        ] {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let said = Said::read(body.as_bytes());
            let class = classify(status, said.code.as_deref(), said.kind.as_deref(), None);
            let error = of_class(class, status, said);
            assert_eq!((error.message(), error.param()), (message, param), "{body}");
            assert_eq!(error.kind(), Kind::Format);
        }
    }
}
