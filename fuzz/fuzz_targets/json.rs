//! The cursor and serde_json take the same texts as JSON, and read the same values.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tower_completions::wire::json::{Cursor, Fault, FaultKind, Type};

/// The text by the typed calls, where `skip` checks it without them.
fn read(cursor: &mut Cursor<'_>) -> Result<Value, Fault> {
    Ok(match cursor.peek()? {
        Type::Null => {
            cursor.null()?;
            Value::Null
        }
        Type::Bool => cursor.bool()?.into(),
        Type::Number => {
            let number = cursor.number()?.text();
            serde_json::from_str(number).unwrap_or_else(|_| number.into())
        }
        Type::String => cursor.string()?.cow().into_owned().into(),
        Type::Array => {
            cursor.array()?;
            let mut items = Vec::new();
            while cursor.element()? {
                items.push(read(cursor)?);
            }
            items.into()
        }
        Type::Object => {
            cursor.object()?;
            let mut members = serde_json::Map::new();
            while let Some(key) = cursor.key()? {
                members.insert(key.cow().into_owned(), read(cursor)?);
            }
            members.into()
        }
    })
}

fuzz_target!(|text: &str| {
    let mut cursor = Cursor::new(text);
    let skipped = cursor.skip().and_then(|_| cursor.end());
    let mut cursor = Cursor::new(text);
    let built = read(&mut cursor).and_then(|value| cursor.end().map(|()| value));
    assert_eq!(skipped.err(), built.as_ref().err().copied());
    match (built, serde_json::from_str::<Value>(text)) {
        (Ok(built), Ok(other)) => assert_eq!(built, other),
        (Ok(_), Err(other)) => {
            // It stops a level before ours, and rounds near the largest double by another rule.
            let told = other.to_string();
            let apart = ["number out of range", "recursion limit exceeded"];
            assert!(apart.iter().any(|part| told.starts_with(part)), "{told}");
        }
        (Err(fault), Ok(_)) => assert_eq!(fault.kind, FaultKind::Range, "{fault}"),
        (Err(_), Err(_)) => {}
    }
});
