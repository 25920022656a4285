use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};

use super::Words;

/// An object that is being written; closed when it is dropped.
pub(in crate::provider) struct Object<'b> {
    out: &'b mut BytesMut,
    first: bool,
}

impl<'b> Object<'b> {
    pub(in crate::provider) fn open(out: &'b mut BytesMut) -> Self {
        out.put_u8(b'{');
        Self { out, first: true }
    }

    fn key(&mut self, name: &'static str) {
        if !std::mem::take(&mut self.first) {
            self.out.put_u8(b',');
        }
        self.out.put_u8(b'"');
        self.out.put_slice(name.as_bytes());
        self.out.put_slice(b"\":");
    }

    pub(in crate::provider) fn string<'w>(
        &mut self,
        name: &'static str,
        words: impl Into<Words<'w>>,
    ) {
        self.key(name);
        quote(self.out, words.into());
    }

    /// A string in pieces.
    pub(in crate::provider) fn strings<'w>(
        &mut self,
        name: &'static str,
        pieces: impl Iterator<Item = Words<'w>>,
    ) {
        self.key(name);
        self.out.put_u8(b'"');
        for words in pieces {
            self.out.reserve(words.len() + 64);
            inside(self.out, words);
        }
        self.out.put_u8(b'"');
    }

    pub(in crate::provider) fn number(&mut self, name: &'static str, number: u64) {
        self.key(name);
        integer(self.out, number);
    }

    /// A value that is JSON already.
    pub(in crate::provider) fn raw(&mut self, name: &'static str, json: &str) {
        self.key(name);
        self.out.put_slice(json.as_bytes());
    }

    pub(in crate::provider) fn object(
        &mut self,
        name: &'static str,
        write: impl FnOnce(&mut Object<'_>),
    ) {
        self.key(name);
        write(&mut Object::open(self.out));
    }

    /// An array of one object.
    pub(in crate::provider) fn one(
        &mut self,
        name: &'static str,
        write: impl FnOnce(&mut Object<'_>),
    ) {
        self.key(name);
        self.out.put_u8(b'[');
        write(&mut Object::open(self.out));
        self.out.put_u8(b']');
    }

    /// An array of objects.
    pub(in crate::provider) fn each<T>(
        &mut self,
        name: &'static str,
        all: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Object<'_>, T),
    ) {
        self.key(name);
        self.out.put_u8(b'[');
        for (at, one) in all.into_iter().enumerate() {
            if at > 0 {
                self.out.put_u8(b',');
            }
            write(&mut Object::open(self.out), one);
        }
        self.out.put_u8(b']');
    }

    /// An array of elements that are written already; left out when there are none.
    pub(in crate::provider) fn list(&mut self, name: &'static str, elements: &[u8]) {
        if elements.is_empty() {
            return;
        }
        self.key(name);
        self.out.put_u8(b'[');
        self.out.put_slice(elements);
        self.out.put_u8(b']');
    }

    /// The members of an object that is JSON already.
    pub(in crate::provider) fn members(&mut self, object: &str) {
        let inner = object.trim_ascii().strip_prefix('{');
        let inner = inner.and_then(|inner| inner.strip_suffix('}'));
        let Some(inner) = inner.filter(|inner| !inner.trim_ascii().is_empty()) else {
            return;
        };
        if !std::mem::take(&mut self.first) {
            self.out.put_u8(b',');
        }
        self.out.put_slice(inner.as_bytes());
    }

    /// A string that holds the text of a JSON value, without the blanks between its tokens.
    pub(in crate::provider) fn json_text(&mut self, name: &'static str, json: &str) {
        self.key(name);
        quote(self.out, Words::Plain(&compact(json)));
    }
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        self.out.put_u8(b'}');
    }
}

/// Writes a string with its quotes.
pub(in crate::provider) fn quote(out: &mut BytesMut, words: Words<'_>) {
    // With what closes a chunk behind it, so that a long text is not moved again for that.
    out.reserve(words.len() + 64);
    out.put_u8(b'"');
    inside(out, words);
    out.put_u8(b'"');
}

/// What stands between the quotes.
fn inside(out: &mut BytesMut, words: Words<'_>) {
    match words {
        Words::Spelled(text) => out.put_slice(text.as_bytes()),
        Words::Plain(text) => escape(out, text),
    }
}

fn escape(out: &mut BytesMut, text: &str) {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.put_slice(&text.as_bytes()[from..at]);
        from = at + 1;
        match byte {
            b'"' => out.put_slice(b"\\\""),
            b'\\' => out.put_slice(b"\\\\"),
            b'\n' => out.put_slice(b"\\n"),
            b'\r' => out.put_slice(b"\\r"),
            b'\t' => out.put_slice(b"\\t"),
            _ => write!(out, "\\u{byte:04x}").expect("memory takes all that is written"),
        }
    }
    out.put_slice(&text.as_bytes()[from..]);
}

fn integer(out: &mut BytesMut, number: u64) {
    if number < 10 {
        // An index, nearly always.
        out.put_u8(b'0' + number.to_le_bytes()[0]);
    } else {
        write!(out, "{number}").expect("memory takes all that is written");
    }
}

/// JSON without the blanks between its tokens.
pub(in crate::provider) fn compact(json: &str) -> std::borrow::Cow<'_, str> {
    let blank = |byte: u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    if !json.bytes().any(blank) {
        return json.into();
    }
    let mut kept = Vec::with_capacity(json.len());
    let (mut inside, mut escaped) = (false, false);
    for byte in json.bytes() {
        if inside {
            inside = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if blank(byte) {
            continue;
        } else {
            inside = byte == b'"';
        }
        kept.push(byte);
    }
    String::from_utf8(kept).map_or(json.into(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_json() {
        let mut out = BytesMut::new();
        {
            let mut object = Object::open(&mut out);
            object.string("a", "q\"\\\n\u{1}é");
            object.string("b", super::super::Spelled("q\\u00e9"));
            object.number("n", 12);
            object.one("l", |one| one.object("o", |_| {}));
            object.members(r#" {"p":1,"q":{}} "#);
            object.members("{ }");
            object.json_text("j", " { \"k\" : \"a \\\" b\" } ");
        }
        let value: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(
            value,
            serde_json::json!({"a": "q\"\\\n\u{1}é", "b": "qé", "n": 12, "l": [{"o": {}}], "p": 1, "q": {},
                "j": "{\"k\":\"a \\\" b\"}"})
        );
    }
}
