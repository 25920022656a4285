use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::{
    error::{Class, Error, Refused},
    provider::{
        openai,
        refusal::{may_blame_client, status_of_error},
    },
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    #[serde(alias = "Message")]
    message: String,
    #[serde(rename = "__type")]
    kind: String,
    #[serde(rename = "originalStatusCode")]
    original: Option<u16>,
    #[serde(rename = "originalMessage")]
    original_message: Option<String>,
}

/// Reads a refusal: the code of the header or the body before the status.
pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let said: Said = serde_json::from_slice(body).unwrap_or_default();
    let header = headers.get("x-amzn-errortype");
    let code = header.and_then(|it| it.to_str().ok()).unwrap_or(&said.kind);
    of(status, code, &said, headers, body)
}

/// An exception in a stream, by its name.
pub(super) fn in_stream(name: &str, body: &[u8]) -> Error {
    let said: Said = serde_json::from_slice(body).unwrap_or_default();
    of(StatusCode::OK, name, &said, &HeaderMap::new(), body)
}

/// `Code`, `Code:namespace` or `namespace#Code`; streams write them with a small letter.
fn bare(code: &str) -> &str {
    let code = code.split(':').next().unwrap_or(code);
    code.rsplit('#').next().unwrap_or(code)
}

fn of(status: StatusCode, code: &str, said: &Said, headers: &HeaderMap, body: &[u8]) -> Error {
    let code = bare(code).to_ascii_lowercase();
    let lower = said.message.to_ascii_lowercase();
    let has = |words: &str| lower.contains(words);
    // What each is in the family's own words, for the reader that they share.
    let (status, word) = match &*code {
        "validationexception"
            if has("input is too long")
                || has("input tokens exceeded")
                || has("prompt is too long") =>
        {
            (StatusCode::BAD_REQUEST, Some("context_length_exceeded"))
        }
        // A model that is only had by an inference profile is none by its own id.
        "validationexception"
            if has("model identifier is invalid") || has("on-demand throughput") =>
        {
            (StatusCode::NOT_FOUND, Some("model_not_found"))
        }
        "validationexception" if may_blame_client(status) => (StatusCode::BAD_REQUEST, None),
        // A proxy may have eaten the code.
        "" if status == StatusCode::BAD_REQUEST && has("input is too long") => {
            (status, Some("context_length_exceeded"))
        }
        "servicequotaexceededexception" => {
            (StatusCode::TOO_MANY_REQUESTS, Some("insufficient_quota"))
        }
        // Of the key, the model or the request: its words say which.
        "accessdeniedexception" => (StatusCode::FORBIDDEN, None),
        "unrecognizedclientexception"
        | "invalidsignatureexception"
        | "signaturedoesnotmatch"
        | "incompletesignature"
        | "missingauthenticationtokenexception"
        | "expiredtokenexception" => (StatusCode::UNAUTHORIZED, Some("invalid_api_key")),
        "resourcenotfoundexception" => (StatusCode::NOT_FOUND, Some("model_not_found")),
        "modeltimeoutexception" => (StatusCode::GATEWAY_TIMEOUT, None),
        "modelerrorexception" | "modelstreamerrorexception" => match said.original {
            Some(429) => (StatusCode::TOO_MANY_REQUESTS, Some("rate_limit_exceeded")),
            Some(503 | 529) => (StatusCode::SERVICE_UNAVAILABLE, None),
            _ => (StatusCode::BAD_GATEWAY, None),
        },
        // Of a day; the next minute is no better.
        "throttlingexception" if has("tokens per day") => {
            (StatusCode::TOO_MANY_REQUESTS, Some("insufficient_quota"))
        }
        "throttlingexception" => (StatusCode::TOO_MANY_REQUESTS, Some("rate_limit_exceeded")),
        "modelnotreadyexception" | "serviceunavailableexception" => {
            (StatusCode::SERVICE_UNAVAILABLE, None)
        }
        _ => (status_of_error(status), None),
    };
    let message = said.original_message.as_deref().unwrap_or(&said.message);
    let shaped = json!({ "error": { "message": message, "code": word } }).to_string();
    let error = openai::read_error(status, headers, shaped.as_bytes());
    let error = error.with_source(Refused::with_code(status, &code, body));
    match &*code {
        // A quota of the account is no fault of the key.
        "servicequotaexceededexception" => error.with_class(Class::Quota),
        // A day's tokens are counted by model.
        "throttlingexception" if has("tokens per day") => error.with_class(Class::ModelQuota),
        _ => error,
    }
}
