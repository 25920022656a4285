//! Why a choice ends.

use std::ops::Range;

use super::{super::pass::Pass, Choice};
use crate::error::upstream;

impl Choice {
    /// It ends for this reason, which stands there; or goes on, where that is none.
    pub(super) fn finish(&mut self, at: Range<usize>, reason: &[u8], pass: &mut Pass<'_, '_>) {
        let canonical = canonical_reason(reason, !self.calls.is_empty());
        if let Some(canonical) = canonical {
            pass.edits.replace(at, canonical);
        }
        if canonical != Some("null") {
            self.finished = true;
            pass.seen.finish = true;
            pass.seen.failed |= upstream::breaks_off(reason);
        }
    }
}

/// OpenAI's name of a finish reason, quoted, when it has another; `null` when it is none. One that
/// nobody has heard of stays.
fn canonical_reason(reason: &[u8], called: bool) -> Option<&'static str> {
    match reason {
        b"stop" | b"length" | b"tool_calls" | b"content_filter" | b"function_call" => None,
        b"" | b"STOP" if called => Some("\"tool_calls\""),
        // DashScope's own API spells null so.
        b"" | b"null" => Some("null"),
        b"STOP" | b"eos" | b"eos_token" | b"stop_sequence" | b"end_turn" => Some("\"stop\""),
        b"model_length" | b"max_tokens" | b"MAX_TOKENS" | b"model_context_window_exceeded" => {
            Some("\"length\"")
        }
        b"tool_use" => Some("\"tool_calls\""),
        // Google's compatible endpoint passes on its own words.
        b"SAFETY"
        | b"RECITATION"
        | b"BLOCKLIST"
        | b"PROHIBITED_CONTENT"
        | b"SPII"
        | b"IMAGE_SAFETY"
        | b"IMAGE_PROHIBITED_CONTENT"
        | b"refusal"
        | b"sensitive" => Some("\"content_filter\""),
        _ if reason.starts_with(b"content_filter:") => Some("\"content_filter\""),
        _ => None,
    }
}
