//! What layers leave for one another in the extensions of a request or a response.
//!
//! No layer fails because one is missing: without a [`Principal`] a request is anonymous, without a
//! [`Target`] the provider asks for the model that the client named.

use http::{HeaderMap, HeaderName, HeaderValue};

mod attempts;
mod call_id;
mod pattern;
mod payers;
mod principal;
mod sending;
mod served;
mod trace;

pub use attempts::{Attempt, Attempts};
pub use call_id::CallId;
pub use pattern::matches;
pub(crate) use pattern::{Patterns, captured};
pub(crate) use payers::{Joint, Payer};
pub use principal::Principal;
pub use sending::Sending;
pub use served::{Served, Target};
pub use trace::TraceContext;
pub(crate) use trace::{TRACEPARENT, TRACESTATE};

/// The client's headers that are to go upstream. Put into the request by the router.
#[derive(Clone, Debug)]
pub(crate) struct Forwarded(pub(crate) HeaderMap);

/// What an upstream's service says of itself, so that a router need not be told.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a provider's service",
    label = "does not tell how many keys it has",
    note = "a `Provider` is one, and what `boxed()` makes of it; any other service goes in by `Builder::service`"
)]
pub trait KeyPool {
    /// How many keys a [`Target`] may name by its index: 1 where there is one credential, or none,
    /// and 0 where nothing is to be remembered of it when it is refused.
    fn keys(&self) -> usize;

    /// Whether it reads the head of a request: its method and address, the client's headers, and of the
    /// extensions others than the [`Target`]. One that does not is spared a copy of them with every
    /// attempt. Default: it does.
    fn reads_head(&self) -> bool {
        true
    }
}

/// The answer was given before and is given again: nobody was asked for it. Put into the response by
/// `Cache`; `Cost` takes nothing for such an answer, and `TokenLimit` counts nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cached;

/// The answer is what a request may cost, and nobody was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate;

pub(crate) const DRY_RUN: HeaderName = HeaderName::from_static("x-dry-run");

/// Whether the client asks for the estimate only, by `x-dry-run: 1`: such a request uses nothing.
pub(crate) fn is_dry_run(headers: &HeaderMap) -> bool {
    let value = headers.get(DRY_RUN).map(HeaderValue::as_bytes);
    value.is_some_and(|value| value == b"1" || value.eq_ignore_ascii_case(b"true"))
}

/// Whether a header carries a credential, which nothing is to show or keep.
pub(crate) fn is_credential(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "authorization"
            | "x-api-key"
            | "api-key"
            | "x-goog-api-key"
            | "proxy-authorization"
            | "cookie"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_and_true_ask_for_an_estimate() {
        for (value, dry) in [("1", true), ("True", true), ("0", false), ("no", false)] {
            let mut headers = HeaderMap::new();
            assert!(!is_dry_run(&headers));
            headers.insert("x-dry-run", HeaderValue::from_static(value));
            assert_eq!(is_dry_run(&headers), dry, "{value}");
        }
    }
}
