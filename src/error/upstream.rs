//! What an upstream says of its failure, in any of the shapes of OpenAI's family, and what the caller
//! is told of it.

mod class;
mod said;

use http::StatusCode;

pub use self::class::classify;
pub(crate) use self::{
    class::forbidden,
    said::{Numbers, Said},
};
use super::{Class, Error, Kind, Origin};

/// The longest message of an upstream that is passed on, in characters.
const LONGEST: usize = 500;

/// Reads what a stream says instead of going on: the data of an `error` event, or a chunk with an
/// `error`. There is no status any more, so the words and the numbers in it must say.
pub(crate) fn in_stream(text: &str) -> Error {
    let said = Said::read(text.as_bytes());
    let status = said.status();
    let class = said.class(status, Numbers::Unsaid);
    of_class(class, status, said)
        .with_class(class)
        .with_source(text.chars().take(1024).collect::<String>())
}

/// Whether a reason to finish says that the answer was broken off: OpenRouter and Mistral write `error`,
/// vLLM and SGLang `abort`, DeepSeek `insufficient_system_resource`, Z.ai `network_error`.
///
/// Source: the vendors' API references and the servers' code, read 2026-11.
pub(crate) fn breaks_off(reason: &[u8]) -> bool {
    matches!(
        reason,
        b"error" | b"abort" | b"insufficient_system_resource" | b"network_error"
    )
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
        Class::Quota | Class::ModelQuota if status == StatusCode::TOO_MANY_REQUESTS => upstream(
            Kind::RateLimit,
            "upstream_rate_limited",
            "The upstream account's quota is used up.",
        ),
        Class::Credential | Class::Forbidden | Class::Quota | Class::ModelQuota | Class::Region => {
            upstream(
                Kind::BadUpstream,
                "upstream_unauthorized",
                "The upstream refused the gateway's credentials or account.",
            )
        }
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
        Class::Caller | Class::ContentPolicy | Class::ContextLength | Class::TooLarge => {
            let message = said.message.map_or_else(
                || "The upstream refused the request.".to_owned(),
                |message| passed_on(&message),
            );
            let mut error = Error::new(Kind::Format, message).with_origin(Origin::Client);
            if let Some(param) = said.param {
                error = error.with_param(param);
            }
            // A number is a status, and xAI's sentence one for people: neither is a code of the API's.
            let is_word = |code: &String| code.parse::<u32>().is_err() && !code.contains(' ');
            match said.code.filter(is_word) {
                // Clients look for this one to shorten what they ask; OpenAI has one other word.
                Some(code)
                    if class == Class::ContextLength && code == "string_above_max_length" =>
                {
                    error.with_code(code)
                }
                _ if matches!(class, Class::ContextLength | Class::TooLarge) => {
                    error.with_code("context_length_exceeded")
                }
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

/// An upstream's own words, short, and with everything that looks like a key, an account or a URL cut out.
fn passed_on(message: &str) -> String {
    let words = message.split_whitespace().map(|word| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let rest = |prefix: &&str| bare.strip_prefix(*prefix).filter(|rest| rest.len() > 3);
        let key = ["sk-", "sk_", "gsk_", "xai-", "AIza", "key-", "Bearer"];
        // An account's has more than small letters; "org-level" is a word.
        let is_id = |rest: &str| rest.contains(|c: char| c.is_ascii_digit() || c.is_uppercase());
        let account = ["org-", "org_"].iter().find_map(rest).is_some_and(is_id);
        let secret = bare.contains("://") || key.iter().find_map(rest).is_some() || account;
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
    fn accounts_are_cut_out_and_words_are_not() {
        for (word, stays) in [
            ("org-AbCdEfGhIjKl", false),
            ("`org_01abc`", false),
            ("org-level", true),
            ("(org-wide)", true),
        ] {
            let told = passed_on(&format!("the {word} limit"));
            assert_eq!(told.contains(word), stays, "{told}");
        }
    }

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
            let class = said.class(status, Numbers::Others);
            let error = of_class(class, status, said);
            assert_eq!((error.message(), error.param()), (message, param), "{body}");
            assert_eq!(error.kind(), Kind::Format);
        }
    }
}
