//! The path of a place, found when it is needed: the pass over a good request keeps none.

use std::fmt::Write;

use crate::wire::json::{Cursor, Fault, Str, Type};

enum Step<'a> {
    Member(Option<Str<'a>>),
    Item(Option<usize>),
}

/// The path of the value, or of the key, at a byte offset: `tools[2].function.name`. Empty for the
/// whole text; where the text is malformed, the path up to there.
#[must_use]
pub fn path_at(text: &[u8], at: usize) -> String {
    let mut steps = Vec::new();
    // Malformed text ends the walk early, which is all there is to do about it.
    let _ = walk(text, at, &mut steps);
    let mut path = String::new();
    for step in &steps {
        match step {
            Step::Member(Some(key)) => {
                if !path.is_empty() {
                    path.push('.');
                }
                push_key(&mut path, *key);
            }
            Step::Item(Some(index)) => {
                // Writing into a string cannot fail.
                let _ = write!(path, "[{index}]");
            }
            Step::Member(None) | Step::Item(None) => {}
        }
    }
    path
}

/// The same for any of its like: `tools[].function.name`.
pub(crate) fn pattern_at(text: &[u8], at: usize) -> String {
    let path = path_at(text, at);
    let mut out = String::with_capacity(path.len());
    let mut inside = false;
    for c in path.chars() {
        if c == ']' {
            inside = false;
        }
        if !inside {
            out.push(c);
        }
        if c == '[' {
            inside = true;
        }
    }
    out
}

fn walk<'a>(text: &'a [u8], at: usize, steps: &mut Vec<Step<'a>>) -> Result<(), Fault> {
    let mut cursor = Cursor::within(text, 0, usize::MAX);
    loop {
        let kind = cursor.peek()?;
        if cursor.at() >= at {
            return Ok(());
        }
        match kind {
            Type::Object => {
                cursor.object()?;
                steps.push(Step::Member(None));
            }
            Type::Array => {
                cursor.array()?;
                steps.push(Step::Item(None));
            }
            _ => {
                cursor.skip()?;
            }
        }
        loop {
            let more = match steps.last_mut() {
                None => return Ok(()),
                Some(Step::Member(last)) => {
                    *last = cursor.key()?;
                    if last.is_some_and(|key| key.range().end >= at) {
                        return Ok(());
                    }
                    last.is_some()
                }
                Some(Step::Item(last)) => {
                    *last = Some(last.map_or(0, |index| index + 1));
                    cursor.element()?
                }
            };
            if more {
                break;
            }
            steps.pop();
        }
    }
}

/// Keys come from the caller: cut, and without what could disturb a terminal or a log.
fn push_key(path: &mut String, key: Str<'_>) {
    for (count, c) in key.chars().enumerate() {
        if count == 64 {
            path.push('…');
            break;
        }
        path.push(if c.is_alphanumeric() || c.is_ascii_graphic() {
            c
        } else {
            '_'
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_values_and_keys() {
        let text = r#"{"a":1, "messages":[{"content":"x"}, {"content":[{"image_url":{"url":5}}]}],
            "\u0062\n":[[],[7]], "z":{}}"#;
        for (needle, path) in [
            ("{\"a", ""),
            ("1,", "a"),
            ("\"a\"", "a"),
            ("a\":1", "a"),
            ("\"x\"", "messages[0].content"),
            ("5}", "messages[1].content[0].image_url.url"),
            ("{\"url", "messages[1].content[0].image_url"),
            ("url\":5", "messages[1].content[0].image_url.url"),
            ("[7", "b_[1]"),
            ("7", "b_[1][0]"),
            ("{}}", "z"),
        ] {
            let at = text.find(needle).expect(needle);
            assert_eq!(path_at(text.as_bytes(), at), path, "{needle}");
        }
        assert_eq!(path_at(b"{\"a\":[1,}", 100), "a[1]");
        assert_eq!(path_at(b"7", 9), "");
    }
}
