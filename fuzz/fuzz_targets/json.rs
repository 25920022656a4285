//! What the cursor takes as JSON, serde_json takes as JSON too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_completions::wire::json::Cursor;

fuzz_target!(|text: &str| {
    let mut cursor = Cursor::new(text);
    let taken = cursor.skip().is_ok() && cursor.end().is_ok();
    if taken {
        // Only a number too large for a double may be told apart.
        if let Err(error) = serde_json::from_str::<serde_json::Value>(text) {
            assert!(
                error.to_string().starts_with("number out of range"),
                "{error}"
            );
        }
    }
});
