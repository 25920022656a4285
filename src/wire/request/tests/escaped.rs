//! How much of keys and names may be spelled by escapes.

use super::*;
use crate::wire::json;

const USER: &str = r#"{"role":"user","content":"x"}"#;

/// Whether a text is read where so many bytes may be spelled so.
fn is_read(text: &str, bytes: usize) -> bool {
    match Request::read_within(text.as_bytes(), Bounds::default().escaped(bytes)) {
        Ok(_) => true,
        Err(Unreadable::Json(json::Fault { kind, at })) => {
            assert_eq!(kind, json::FaultKind::TooManyEscapes, "{text}");
            assert_eq!(text.as_bytes()[at], b'"', "{text}");
            false
        }
        Err(why) => panic!("{why}: {text}"),
    }
}

/// Texts in which a string stands where its meaning is asked for, `@` for the string.
const ASKED: &[&str] = &[
    r#"{"messages":[USER],"model":"@"}"#,
    r#"{"model":"m","messages":[USER],"@":0}"#,
    r#"{"@":0,"model":"m","messages":[USER]}"#,
    r#"{"model":"m","messages":[{"role":"user","content":"x","@":0}]}"#,
    r#"{"model":"m","messages":[{"@":0,"x":0,"role":"user","content":"x"}]}"#,
    r#"{"model":"m","messages":[{"x":0,"@":0,"role":"user","content":"x"}]}"#,
    r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"","@":0}]}]}"#,
    r#"{"model":"m","messages":[{"role":"@","content":"x"}]}"#,
    r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"type":"function","function":{"name":"f","arguments":""},"id":"@"}]}]}"#,
    r#"{"model":"m","messages":[{"role":"tool","content":"x","tool_call_id":"@"}]}"#,
    r#"{"model":"m","messages":[USER],"metadata":{"@":"x"}}"#,
    r#"{"model":"m","messages":[USER],"logit_bias":{"@":0}}"#,
    r#"{"model":"m","messages":[USER],"logit_bias":{"7":0,"@":0}}"#,
    r#"{"model":"m","messages":[USER],"modalities":["text","@"]}"#,
    r#"{"model":"m","messages":[USER],"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"@":0}]}}}"#,
    r#"{"model":"m","messages":[USER],"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"x":0},{"x":0,"@":0}]}}}"#,
];

/// The same where nobody asks.
const UNASKED: &[&str] = &[
    r#"{"model":"m","messages":[{"role":"user","content":"@"}]}"#,
    r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"@"}]}]}"#,
    r#"{"model":"m","messages":[USER],"x":{"@":"@","y":[{"@":0}]}}"#,
    r#"{"model":"m","messages":[USER],"tools":[{"type":"function","function":{"name":"f","description":"@","parameters":{"@":0}}}]}"#,
    r#"{"model":"m","messages":[USER],"stop":"@"}"#,
    r#"{"model":"m","messages":[USER],"metadata":{"x":"@"}}"#,
];

const SPELLED: &[&str] = &[
    r"\n",
    r"a\nb",
    r"\u0031",
    r"\u0031\u0032\u0033",
    r"\u00e9",
    r"a long one, of more bytes than there are in a few words: \ud834\udd1e",
];

fn with(text: &str, string: &str) -> String {
    text.replace("@", string).replace("USER", USER)
}

#[test]
fn what_is_asked_for_counts_as_it_is_spelled() {
    for text in ASKED {
        for string in SPELLED {
            let text = with(text, string);
            assert!(is_read(&text, string.len()), "{text}");
            assert!(!is_read(&text, string.len() - 1), "{text}");
        }
        assert!(is_read(&with(text, "plain"), 0), "{text}");
    }
}

#[test]
fn what_is_spelled_so_counts_together() {
    for (text, bytes) in [
        (r#"{"@":0,"\u0062":0,"model":"@","messages":[USER]}"#, 18),
        (
            r#"{"model":"m","messages":[{"@":0,"\u0062":0,"role":"user","content":"x"},{"@":0,"role":"user","content":"x"}]}"#,
            18,
        ),
        (
            r#"{"model":"m","messages":[{"\u0072ole":"user","\u0063ontent":"x","@":0}]}"#,
            27,
        ),
    ] {
        let text = with(text, r"\u0061");
        assert!(is_read(&text, bytes), "{text}");
        assert!(!is_read(&text, bytes - 1), "{text}");
    }
}

#[test]
fn what_nobody_asks_for_does_not_count() {
    for text in UNASKED {
        for string in SPELLED {
            let text = with(text, string);
            assert!(is_read(&text, 0), "{text}");
        }
    }
}

#[test]
fn the_longest_metadata_is_within_the_default() {
    let key = r"\ud834\udd1e".repeat(63);
    let entries: Vec<String> = (0..16)
        .map(|at| format!(r#""{key}{at:x}":"{key}""#))
        .collect();
    let text = format!(
        r#"{{"model":"m","messages":[{USER}],"metadata":{{{}}}}}"#,
        entries.join(",")
    );
    let request = Request::read(text.as_bytes()).expect("a request");
    assert_eq!(request.fault_count(), 0);
}

#[test]
fn entries_beyond_the_limit_are_no_further_fault() {
    let entries: Vec<String> = (0..40).map(|at| format!(r#""{at}":0"#)).collect();
    let text = format!(
        r#"{{"model":"m","messages":[{USER}],"metadata":{{{}}}}}"#,
        entries.join(",")
    );
    let request = Request::read(text.as_bytes()).expect("a request");
    // Sixteen that are no strings, and that there are too many.
    assert_eq!(request.fault_count(), 17);
}

#[test]
fn an_address_of_escapes_is_judged_wherever_its_beginning_is_cut() {
    for escape in [r"\n", r"\u00e9", r"\ud834\udd1e"] {
        for plain in 0..12 {
            for scheme in ["", "https:", r"\u0068\u0074\u0074\u0070\u0073\u003a"] {
                let url = format!("{scheme}{}{}", "a".repeat(plain), escape.repeat(30));
                let text = format!(
                    r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]}}]}}"#
                );
                let request = Request::read(text.as_bytes()).expect(&text);
                let other = request.image_urls().other.is_some();
                assert_eq!(other, scheme.is_empty(), "{text}");
            }
        }
    }
}
