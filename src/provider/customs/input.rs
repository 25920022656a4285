//! The text of a custom tool's input, read out of the arguments of a function.

use std::mem;

/// The longest beginning of arguments, blanks included, that is waited through.
const LONGEST: usize = 256;

/// The text of a custom call, out of the arguments of the function that it became, piece by piece.
pub(super) enum Input {
    /// What has come before the text.
    Before(String),
    /// The text goes on; what has come of an escape.
    Within(String),
    Over,
    /// The model has written something else: that is the text.
    Raw,
}

impl Default for Input {
    fn default() -> Self {
        Self::Before(String::new())
    }
}

impl Input {
    /// The text of all the arguments.
    pub(super) fn whole(mut self, arguments: &str) -> String {
        let text = self.push(arguments);
        match self {
            Self::Before(other) => other,
            _ => text,
        }
    }

    /// The text of a piece of the arguments.
    pub(super) fn push(&mut self, piece: &str) -> String {
        match self {
            Self::Over => String::new(),
            Self::Raw => piece.to_owned(),
            Self::Before(before) => {
                before.push_str(piece);
                match begin(before) {
                    Begin::Open if before.len() <= LONGEST => String::new(),
                    Begin::Text(at) => {
                        let text = before.split_off(at);
                        *self = Self::Within(String::new());
                        self.push(&text)
                    }
                    Begin::Nothing => {
                        *self = Self::Over;
                        String::new()
                    }
                    Begin::Open | Begin::Other => {
                        let text = mem::take(before);
                        *self = Self::Raw;
                        text
                    }
                }
            }
            Self::Within(held) => {
                let text = mem::take(held) + piece;
                let (out, rest) = read(&text);
                match rest {
                    Some(rest) => *held = rest.to_owned(),
                    None => *self = Self::Over,
                }
                out
            }
        }
    }
}

/// How arguments begin.
enum Begin {
    /// That cannot be told yet.
    Open,
    /// The text begins here.
    Text(usize),
    /// There is none.
    Nothing,
    Other,
}

fn begin(text: &str) -> Begin {
    let mut rest = text.trim_start();
    for token in ["{", "\"input\"", ":", "\""] {
        let Some(behind) = rest.strip_prefix(token) else {
            return match () {
                () if token.starts_with(rest) => Begin::Open,
                () if token == "\"input\"" && rest.starts_with('}') => Begin::Nothing,
                () => Begin::Other,
            };
        };
        rest = match token {
            "\"" => behind,
            _ => behind.trim_start(),
        };
    }
    Begin::Text(text.len() - rest.len())
}

/// Reads what stands within the quotes of a string: the text, and what has come of an escape that is not
/// whole yet; no such thing where the string has ended.
fn read(spelled: &str) -> (String, Option<&str>) {
    let mut text = String::with_capacity(spelled.len());
    let mut rest = spelled;
    loop {
        let Some(at) = memchr::memchr2(b'"', b'\\', rest.as_bytes()) else {
            text.push_str(rest);
            return (text, Some(""));
        };
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with('"') {
            return (text, None);
        }
        let Some((meant, length)) = escape(rest) else {
            return (text, Some(rest));
        };
        text.push(meant);
        rest = &rest[length..];
    }
}

/// What an escape means and how long it is; `None` where more of it is to come. What is none stands for
/// its backslash.
fn escape(text: &str) -> Option<(char, usize)> {
    let meant = match text.as_bytes().get(1)? {
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'u' => return unicode(text),
        plain @ (b'"' | b'\\' | b'/') => char::from(*plain),
        _ => return Some(('\\', 1)),
    };
    Some((meant, 2))
}

fn unicode(text: &str) -> Option<(char, usize)> {
    const BROKEN: char = char::REPLACEMENT_CHARACTER;
    // None where more is to come, and no number where it is no such escape.
    let unit = |text: &str| -> Option<Option<u32>> {
        if text.len() < 6 {
            let begun = &text.as_bytes()[..text.len().min(2)];
            return if b"\\u".starts_with(begun) {
                None
            } else {
                Some(None)
            };
        }
        let digits = text.get(..6).and_then(|text| text.strip_prefix("\\u"));
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        Some(digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()))
    };
    let Some(first) = unit(text)? else {
        return Some(('\\', 1));
    };
    if !(0xd800..0xe000).contains(&first) {
        return Some((char::from_u32(first).unwrap_or(BROKEN), 6));
    }
    if first >= 0xdc00 {
        return Some((BROKEN, 6));
    }
    match unit(&text[6..])? {
        Some(second @ 0xdc00..0xe000) => {
            let joined = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            Some((char::from_u32(joined).unwrap_or(BROKEN), 12))
        }
        _ => Some((BROKEN, 6)),
    }
}
