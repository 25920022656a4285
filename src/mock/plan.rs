//! From a request and a script to what is sent, step by step.

mod answer;
mod steps;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use self::{
    answer::{stream, unary},
    steps::{cut, length, slice},
};
use super::{
    ask::Wish,
    script::{Say, Script},
};

/// One thing that a body does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Data(Bytes),
    Wait(Duration),
    /// Sends the bytes for ever, with a wait between.
    Repeat(Bytes, Duration),
    Stall,
    Break,
    Panic,
}

/// An answer, ready to be sent.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) steps: Vec<Step>,
}

impl Plan {
    /// The answer to a request that a provider would refuse.
    pub(super) fn refusal(message: &str) -> Self {
        let script = Script::error(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            "invalid_request",
            message,
        );
        Self::new(script, &Wish::default(), 0)
    }

    /// Plays `script` to `ask`; `call` is the number of the call and names the answer.
    pub(super) fn new(script: Script, ask: &Wish, call: u64) -> Self {
        let (kind, mut steps) = match &script.say {
            Say::Bytes(bytes) => ("application/json", vec![Step::Data(bytes.clone())]),
            Say::Endless { start, unit } => (
                "application/json",
                vec![
                    Step::Data(start.clone()),
                    Step::Repeat(unit.clone(), script.event_delay),
                ],
            ),
            _ if ask.stream => ("text/event-stream", stream(&script, ask, call)),
            _ => ("application/json", unary(&script, ask, call)),
        };
        if !script.excess.is_empty() {
            steps.push(Step::Data(script.excess.clone()));
        }
        let steps = match script.cut_after_bytes {
            Some(limit) => cut(steps, limit),
            None => steps,
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Ok(id) = HeaderValue::try_from(format!("req_mock_{call}")) {
            headers.insert("x-request-id", id);
        }
        // What is promised when the connection breaks in the middle of an answer of one piece.
        if kind == "application/json" && steps.iter().any(|step| matches!(step, Step::Break)) {
            headers.insert(
                header::CONTENT_LENGTH,
                HeaderValue::from(length(&steps).max(1) * 2),
            );
        }
        headers.extend(script.headers);
        Self {
            status: script.status,
            headers,
            steps: match script.slices {
                Some((size, delay)) => slice(steps, size, delay),
                None => steps,
            },
        }
    }
}
