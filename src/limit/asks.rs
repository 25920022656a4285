use http::{HeaderMap, header};

use super::{Ask, Decision, Refusal, Unit, Weights};
use crate::error::Error;

/// Up to how long a body is read of a caller who owes tokens, in bytes.
const READ_IN_DEBT: u64 = 64 * 1024;

/// What a request asks of the limits.
pub(super) struct Asks {
    pub(super) ask: Ask,
    /// What it takes where tokens alone refuse it and its body is short: a layer further in decides
    /// of those, and knows how long this request has to wait.
    pub(super) instead: Option<Weights>,
}

impl Asks {
    pub(super) fn is_short(headers: &HeaderMap) -> bool {
        let length = headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|it| it.to_str().ok()?.parse().ok());
        length.is_some_and(|bytes: u64| bytes <= READ_IN_DEBT)
    }

    /// Whether tokens alone refuse, of all that was asked.
    pub(super) fn is_open<H>(decision: &Result<Decision<H>, Error>) -> bool {
        let tokens = |refusal: &Refusal| refusal.unit.is_some_and(Unit::is_tokens);
        matches!(decision, Ok(Decision::Refused(refusal)) if tokens(refusal))
    }

    /// What holds after the second question: its answer, with how the tokens stand, or the first
    /// refusal, which is to be waited for longer than a second one.
    pub(super) fn closed<H>(
        first: Result<Decision<H>, Error>,
        second: Result<Decision<H>, Error>,
    ) -> Result<Decision<H>, Error> {
        match (first, second) {
            (Ok(Decision::Refused(first)), Ok(Decision::Admitted(hold, mut report))) => {
                report.tokens = first.report.tokens;
                Ok(Decision::Admitted(hold, report))
            }
            (first, Ok(Decision::Refused(_))) => first,
            (_, second) => second,
        }
    }
}
