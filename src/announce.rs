//! Telling the client which of its parameters did not travel as it sent them.

use std::{borrow::Cow, fmt::Write as _};

use http::{HeaderMap, HeaderName, HeaderValue};

/// Parameters that were left out on the way to the model: names, separated by commas.
pub(crate) const DROPPED: HeaderName = HeaderName::from_static("x-params-dropped");

/// Parameters that went to the model with another value or in another form.
pub(crate) const MAPPED: HeaderName = HeaderName::from_static("x-params-mapped");

/// The most names that are told; of more, their number is.
const NAMES: usize = 64;

/// The longest name that is told whole, in bytes.
const LONGEST: usize = 64;

/// Adds names to a header in which an inner layer may have put its own, so that it stays one line:
/// not every client reads a second one.
#[inline]
pub(crate) fn add(headers: &mut HeaderMap, header: HeaderName, names: &[Cow<'static, str>]) {
    if !names.is_empty() {
        write(headers, header, names);
    }
}

fn write(headers: &mut HeaderMap, header: HeaderName, names: &[Cow<'static, str>]) {
    let mut text = String::new();
    for name in names.iter().take(NAMES) {
        if !text.is_empty() {
            text.push_str(", ");
        }
        write_name(name, &mut text);
    }
    if names.len() > NAMES {
        write!(text, ", and {} more", names.len() - NAMES).expect("a string takes all");
    }
    if let Some(inner) = headers.get(&header).and_then(|value| value.to_str().ok()) {
        text = format!("{text}, {inner}");
    }
    let value = HeaderValue::try_from(text).expect("only visible ASCII and blanks were written");
    headers.insert(header, value);
}

/// What no header may carry, and what would read as two names, is escaped as in a URL.
fn write_name(name: &str, out: &mut String) {
    for byte in name.bytes().take(LONGEST) {
        match byte {
            b'%' | b',' => write!(out, "%{byte:02X}").expect("a string takes all"),
            b'!'..=b'~' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("a string takes all"),
        }
    }
    if name.len() > LONGEST {
        out.push_str("...");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_whoever_adds_to_it() {
        let mut headers = HeaderMap::new();
        add(&mut headers, DROPPED, &[]);
        assert!(headers.is_empty());
        add(&mut headers, DROPPED, &["seed".into(), "user".into()]);
        add(&mut headers, DROPPED, &["x\n é,".into()]);
        let all: Vec<_> = headers.get_all(DROPPED).iter().collect();
        assert_eq!(all, ["x%0A%20%C3%A9%2C, seed, user"]);
    }

    #[test]
    fn a_client_cannot_make_it_long() {
        let names: Vec<Cow<'static, str>> = (0..70_000)
            .map(|n| format!("{n}{}", "y".repeat(1000)).into())
            .collect();
        let mut headers = HeaderMap::new();
        add(&mut headers, DROPPED, &names);
        let text = headers[DROPPED].to_str().expect("text");
        assert!(text.len() < 5000 && text.ends_with(", and 69936 more"));
    }
}
