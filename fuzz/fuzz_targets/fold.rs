//! Whatever an upstream streams or answers, folding it does not panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_completions::reframe::{fold, unfold};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(answer) = fold(bytes) {
        serde_json::from_slice::<serde_json::Value>(&answer).expect("a folded stream is JSON");
    }
    let _ = unfold(bytes);
});
