use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::{
    error::{
        Class, Error,
        upstream::{Said, forbidden},
    },
    provider::refusal::{may_blame_client, refusal, status_of_error},
    retry::{duration, retry_after},
};

#[derive(Deserialize)]
#[serde(untagged)]
enum Envelope {
    One { error: Status },
    // What an array stream answers with.
    Many(Vec<Self>),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: Option<u16>,
    message: String,
    status: String,
    details: Vec<Detail>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    reason: String,
    #[serde(rename = "retryDelay")]
    retry_delay: String,
    violations: Vec<Violation>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Violation {
    #[serde(rename = "quotaId")]
    quota_id: String,
    #[serde(default, rename = "quotaDimensions")]
    dimensions: Dimensions,
}

/// What a quota is counted by.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Dimensions {
    model: String,
}

impl Violation {
    /// `GenerateRequestsPerDayPerProjectPerModel-FreeTier`, say, with the model among its dimensions.
    fn is_of_model(&self) -> bool {
        self.quota_id.contains("PerModel") || !self.dimensions.model.is_empty()
    }
}

/// Reads a refusal: the status by name and its details before the number.
pub(in crate::provider) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let mut envelope = serde_json::from_slice::<Envelope>(body).ok();
    if let Some(Envelope::Many(many)) = envelope {
        envelope = many.into_iter().next();
    }
    let Some(Envelope::One { error }) = envelope else {
        return super::super::openai::read_error(status_of_error(status), headers, body);
    };
    let status = error
        .code
        .filter(|code| *code >= 400)
        .and_then(|code| StatusCode::from_u16(code).ok())
        .unwrap_or(status);
    let after = error
        .details
        .iter()
        .find_map(|detail| duration(&detail.retry_delay))
        .map(|wait| wait.min(Duration::from_secs(86_400)))
        .or_else(|| retry_after(headers));
    let class = classify(&error, status);
    let status = if class == Class::Transient && error.status == "DEADLINE_EXCEEDED" {
        StatusCode::GATEWAY_TIMEOUT
    } else {
        status_of_error(status)
    };
    let mut said = Said::default();
    said.message = Some(error.message).filter(|text| !text.is_empty());
    refusal(class, status, said, after, body)
}

/// An error in a stream, whose status has gone out.
pub(in crate::provider) fn in_stream(body: &[u8]) -> Error {
    read(StatusCode::OK, &HeaderMap::new(), body)
}

fn classify(error: &Status, status: StatusCode) -> Class {
    let message = error.message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let reason = |word: &str| error.details.iter().any(|detail| detail.reason == word);
    if [
        "API_KEY_INVALID",
        "API_KEY_SERVICE_BLOCKED",
        "BILLING_DISABLED",
        "CONSUMER_SUSPENDED",
        "SERVICE_DISABLED",
        "ACCESS_TOKEN_EXPIRED",
    ]
    .into_iter()
    .any(reason)
    {
        return Class::Credential;
    }
    if says(&["location is not supported"]) {
        return Class::Region;
    }
    match error.status.as_str() {
        "UNAUTHENTICATED" => Class::Credential,
        "PERMISSION_DENIED" => forbidden(&message),
        "NOT_FOUND" => Class::ModelGone,
        "RESOURCE_EXHAUSTED" => {
            let violations = error.details.iter().flat_map(|detail| &detail.violations);
            let mut days = violations.filter(|it| it.quota_id.contains("PerDay"));
            match days.next() {
                // One that is not a model's stops them all, wherever it stands.
                Some(day) if day.is_of_model() && days.all(Violation::is_of_model) => {
                    Class::ModelQuota
                }
                Some(_) => Class::Quota,
                None => Class::RateLimit,
            }
        }
        "UNAVAILABLE" => Class::Overload,
        "FAILED_PRECONDITION" if says(&["billing"]) => Class::Quota,
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE"
            if says(&["input token count", "number of tokens allowed"]) =>
        {
            Class::ContextLength
        }
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" if may_blame_client(status) => {
            Class::Caller
        }
        "DEADLINE_EXCEEDED" => Class::Transient,
        // Others, such as INTERNAL, say no more than that something failed.
        _ => match status.as_u16() {
            401 => Class::Credential,
            403 => forbidden(&message),
            404 => Class::ModelGone,
            429 => Class::RateLimit,
            503 | 529 => Class::Overload,
            400 | 413 | 422 => Class::Caller,
            _ => Class::Transient,
        },
    }
}
