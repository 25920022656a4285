use std::time::Duration;

use http::StatusCode;

use super::script::{Fault, Script};

/// A model that every [`Upstream`](super::Upstream) knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Model {
    /// What to ask for.
    pub id: &'static str,
    /// What it does, in one line.
    pub description: &'static str,
}

macro_rules! models {
    ($($id:literal, $description:literal, $script:expr;)*) => {
        /// The built-in models: one that works, some that take their time, and one per failure.
        pub const MODELS: &[Model] = &[$(Model { id: concat!("mock/", $id), description: $description }),*];

        impl Script {
            /// The script of a built-in model, with or without `mock/` before its name.
            #[must_use]
            pub fn of_model(id: &str) -> Option<Self> {
                match id.strip_prefix("mock/").unwrap_or(id) {
                    $($id => Some($script),)*
                    _ => None,
                }
            }
        }
    };
}

const LONG: &str = "The quick brown fox jumps over the lazy dog while the river keeps running under the old stone bridge. ";

models! {
    "echo", "says what you said", Script::echo();
    "typing", "says what you said, a word every 60 ms", Script::echo().with_event_delay(Duration::from_millis(60));
    "slow", "thinks for three seconds, then a word every 250 ms",
        Script::echo().with_delay(Duration::from_secs(3)).with_event_delay(Duration::from_millis(250));
    "long", "400 words, one every 10 ms",
        Script::text(LONG.repeat(20)).with_event_delay(Duration::from_millis(10));
    "reasoning", "thinks aloud before it answers",
        Script::echo().with_reasoning("The user said something. Saying it back is the safest answer.")
            .with_event_delay(Duration::from_millis(60));
    "tool", "calls the first tool that is offered", Script::call_offered();
    "sliced", "sends its bytes three at a time, across events and characters",
        Script::echo().with_slices(3, Duration::from_millis(1));
    "no-usage", "never says how many tokens it used", Script::echo().without_usage();
    "rate-limited", "429 with retry-after: 2", Script::rate_limited("2");
    "hostile-retry", "429 with a retry-after that makes no sense", Script::rate_limited("-1e99");
    "overloaded", "503, the engine is overloaded", Script::overloaded();
    "error", "500", Script::failed();
    "unauthorized", "401, the upstream refuses the gateway's key",
        Script::error(StatusCode::UNAUTHORIZED, "invalid_request_error", "invalid_api_key", "Incorrect API key provided");
    "out-of-quota", "429, the upstream account has no money left",
        Script::error(StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", "insufficient_quota", "You exceeded your current quota");
    "gone", "404, the upstream does not know the model",
        Script::error(StatusCode::NOT_FOUND, "invalid_request_error", "model_not_found", "The model does not exist");
    "too-long", "400, the prompt exceeds the context window",
        Script::error(StatusCode::BAD_REQUEST, "invalid_request_error", "context_length_exceeded", "This model's maximum context length is 8192 tokens");
    "reset", "the connection breaks before an answer", Script::reset();
    "silent", "never answers", Script::silent();
    "cut", "the connection breaks after three events", Script::echo().with_fault(3, Fault::Cut);
    "ends-early", "the stream ends after three events as if that were all", Script::echo().with_fault(3, Fault::End);
    "stall", "stops after three events and says no more", Script::echo().with_fault(3, Fault::Stall);
    "error-event", "an error in the middle of the stream", Script::echo().with_fault(3, Fault::Error);
    "malformed", "one event is broken JSON", Script::echo().with_fault(3, Fault::Malformed);
    "no-done", "ends its streams without [DONE]", Script::echo().without_done();
    "html", "a web page with status 200", Script::html();
    "garbage", "random bytes with status 200", Script::garbage();
    "endless", "a JSON answer that never ends", Script::endless();
    "infinite-line", "a stream whose first line never ends", Script::infinite_line();
    "only-comments", "keep-alive comments and never an event", Script::only_comments();
    "gzip-bomb", "compressed bytes that nobody asked for, without end", Script::gzip_bomb();
    "drip", "one byte a second", Script::drip();
    "panic", "the code that reads the answer panics", Script::echo().with_fault(0, Fault::Panic);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_model_has_a_script() {
        for model in MODELS {
            assert!(Script::of_model(model.id).is_some(), "{}", model.id);
        }
        assert!(Script::of_model("gpt-4o").is_none());
    }
}
