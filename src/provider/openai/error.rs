#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use memchr::memmem::Finder;
use serde_json::Value;

pub use crate::error::upstream::classify;
use crate::{
    error::{
        Error,
        upstream::{self, Numbers, Said},
    },
    provider::refusal::refusal,
    retry::retry_after,
};

/// Reads a refusal of any provider of the family: the provider's code before the status.
pub(crate) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    read_of(Numbers::Unsaid, status, headers, body)
}

/// The same where it is known whose numbers its codes are.
pub(super) fn read_of(
    numbers: Numbers,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Error {
    let said = Said::read(body);
    let class = said.class(status, numbers);
    refusal(class, status, said, retry_after(headers), body)
}

/// A whole answer must at least be an object, and not an error under a 200.
pub(in crate::provider) fn check(body: Bytes) -> Result<Bytes, Error> {
    static WORD: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));
    let bad = |why| crate::provider::nonsense(why);
    let trimmed = body.trim_ascii();
    let error = || upstream::in_stream(&String::from_utf8_lossy(trimmed));
    // Some put their error into an array.
    if trimmed.starts_with(b"[") && WORD.find(trimmed).is_some() {
        return Err(error());
    }
    if !trimmed.starts_with(b"{") || !trimmed.ends_with(b"}") {
        return Err(bad("it is not a JSON object"));
    }
    static MESSAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"message\""));
    // Only a short one can be nothing but an error; a long one is looked at when it is re-framed.
    let is_short = trimmed.len() < 16 << 10;
    if is_short
        && (WORD.find(trimmed).is_some() || MESSAGE.find(trimmed).is_none() || ends_oddly(trimmed))
    {
        let value: Value = serde_json::from_slice(trimmed)
            .map_err(|error| bad("it is not JSON").with_source(error))?;
        let says = |name| value.get(name).is_some_and(|it| !it.is_null());
        let Some(choices) = value.get("choices").and_then(Value::as_array) else {
            // Some errors are flat objects, without a member that says so.
            let is_error = ["error", "message", "detail"].into_iter().any(says);
            return Err(if is_error {
                error()
            } else {
                bad("it has no choices")
            });
        };
        if choices.is_empty() {
            return Err(bad("it has no choices"));
        }
        let failed = |choice: &Value| {
            choice.get("error").is_some_and(|error| !error.is_null())
                || choice["finish_reason"]
                    .as_str()
                    .is_some_and(|reason| upstream::breaks_off(reason.as_bytes()))
        };
        if choices.iter().any(failed) {
            return Err(error());
        }
    }
    Ok(body)
}

/// Whether a reason to finish is none of the usual, so that it is to be asked what it tells. Within a text a name
/// in quotes has escapes, so that none is found there.
fn ends_oddly(answer: &[u8]) -> bool {
    const NAME: &[u8] = b"\"finish_reason\"";
    static NAMES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(NAME));
    const USUAL: &[&[u8]] = &[b"\"stop\"", b"\"tool_calls\"", b"\"length\"", b"null"];
    NAMES.find_iter(answer).any(|at| {
        let behind = answer[at + NAME.len()..].trim_ascii_start();
        let reason = behind.strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        reason.is_some_and(|reason| !USUAL.iter().any(|usual| reason.starts_with(usual)))
    })
}
