//! What a message says as one text, and what of it a provider does not take.

use std::fmt::{self, Write as _};

use serde::{Serialize, Serializer};
use smallvec::SmallVec;

use super::{Notes, notes::unsupported};
use crate::{
    error::{Error, Kind},
    wire::chat::{Content, Message, Part, Request, Role, Text},
};

/// The parts of one message that a provider does not take: refused, or left out and announced where
/// the [`Contract`](super::Contract) says so.
#[derive(Debug)]
pub(super) struct Left {
    /// The message's place.
    at: usize,
    any: bool,
}

impl Left {
    pub(super) const fn of(at: usize) -> Self {
        Self { at, any: false }
    }

    /// A part by its place.
    ///
    /// # Errors
    /// The contract says to refuse it.
    pub(super) fn out(&mut self, part: usize, notes: &mut Notes) -> Result<(), Error> {
        notes.unsupported(format!("messages[{}].content[{part}]", self.at))?;
        self.any = true;
        Ok(())
    }

    /// A message of which nothing is left says something else than it said: it is refused.
    ///
    /// # Errors
    /// Parts were left out and there are no others.
    pub(super) fn check(&self, nothing_else: bool) -> Result<(), Error> {
        if self.any && nothing_else {
            return Err(unsupported(format!("messages[{}].content", self.at)));
        }
        Ok(())
    }
}

/// The text of a message, its parts and its refusal joined without a separator. It is written as it
/// is spelled in the body, and copied nowhere before.
#[derive(Debug, Default)]
pub(super) struct Said<'r, 'a> {
    texts: SmallVec<[&'r Text<'a>; 1]>,
}

impl<'r, 'a> Said<'r, 'a> {
    /// Of a message at its place.
    ///
    /// # Errors
    /// It has other parts than texts, or nothing but those; see [`Left`].
    pub(super) fn of(
        message: &'r Message<'a>,
        at: usize,
        notes: &mut Notes,
    ) -> Result<Self, Error> {
        Self::beside(message, at, notes, |_| false)
    }

    /// The same beside parts of which the caller takes care: those that `others` says yes to.
    pub(super) fn beside(
        message: &'r Message<'a>,
        at: usize,
        notes: &mut Notes,
        mut others: impl FnMut(&'r Part<'a>) -> bool,
    ) -> Result<Self, Error> {
        let mut said = Self::default();
        let mut left = Left::of(at);
        let mut more = false;
        match &message.content {
            None => {}
            Some(Content::Text(text)) => said.push(text),
            Some(Content::Parts(parts)) => {
                for (n, part) in parts.iter().enumerate() {
                    match part.text.as_ref().or(part.refusal.as_ref()) {
                        Some(text) => said.push(text),
                        None if others(part) => more = true,
                        None => left.out(n, notes)?,
                    }
                }
            }
        }
        if let Some(refusal) = &message.refusal {
            said.push(refusal);
        }
        left.check(said.is_empty() && !more)?;
        Ok(said)
    }

    fn push(&mut self, text: &'r Text<'a>) {
        if !text.is_empty() {
            self.texts.push(text);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }
}

impl Serialize for Said<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.texts[..] {
            [] => serializer.serialize_str(""),
            [one] => one.serialize(serializer),
            _ => serializer.collect_str(self),
        }
    }
}

impl fmt::Display for Said<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for text in &self.texts {
            for piece in pieces(text) {
                match piece {
                    Piece::Plain(text) => f.write_str(text)?,
                    Piece::Escaped(c) => f.write_char(c)?,
                }
            }
        }
        Ok(())
    }
}

/// Whether a text says nothing: it is empty or blank.
pub(super) fn is_blank(text: &Text<'_>) -> bool {
    pieces(text).all(|piece| match piece {
        Piece::Plain(text) => text.trim().is_empty(),
        Piece::Escaped(c) => c.is_whitespace(),
    })
}

/// A text without the blanks at its end; `None` where it has none.
pub(super) fn trimmed<'a>(text: &Text<'_>) -> Option<Text<'a>> {
    let kept = text.trim_end();
    (kept.len() < text.len()).then(|| kept.to_owned().into())
}

/// Refuses a conversation all of whose texts are blank, for providers that do not take those. It names
/// the user's last message, or the last one; what has no messages at all is no conversation.
pub(super) fn nothing(request: &Request<'_>) -> Result<(), Error> {
    if request.messages.is_empty() {
        return Ok(());
    }
    let mut messages = request.messages.iter();
    let of_user = messages.rposition(|message| message.role == Role::User);
    Err(blank(of_user.unwrap_or(request.messages.len() - 1)))
}

/// Refuses a last word of the user's that is blank, where the assistant's turn would be the last without it:
/// that is a text which the model is to go on with, and nobody asked for that.
pub(super) fn answered(request: &Request<'_>) -> Result<(), Error> {
    let instructs = |role| matches!(role, Role::System | Role::Developer);
    let mut messages = request.messages.iter();
    match messages.rposition(|message| !instructs(message.role)) {
        Some(at) if request.messages[at].role == Role::User => Err(blank(at)),
        _ => Ok(()),
    }
}

fn blank(at: usize) -> Error {
    let param = format!("messages[{at}].content");
    let message = format!("`{param}` must say something, its text is blank");
    Error::new(Kind::Value, message)
        .with_param(param)
        .with_code("invalid_value")
}

enum Piece<'a> {
    Plain(&'a str),
    Escaped(char),
}

/// A text piece by piece, its escapes resolved one at a time.
fn pieces<'r>(text: &'r Text<'_>) -> Pieces<'r> {
    match text.spelled() {
        Some(rest) => Pieces {
            rest,
            spelled: true,
        },
        None => Pieces {
            rest: text.as_str(),
            spelled: false,
        },
    }
}

struct Pieces<'r> {
    rest: &'r str,
    spelled: bool,
}

impl<'r> Iterator for Pieces<'r> {
    type Item = Piece<'r>;

    fn next(&mut self) -> Option<Piece<'r>> {
        if self.rest.is_empty() {
            return None;
        }
        let bytes = self.rest.as_bytes();
        let escape = memchr::memchr(b'\\', bytes).filter(|_| self.spelled);
        let at = escape.unwrap_or(self.rest.len());
        if at > 0 {
            let (plain, rest) = self.rest.split_at(at);
            self.rest = rest;
            return Some(Piece::Plain(plain));
        }
        // The body was checked when it was read: escapes are whole, halves of pairs come in pairs.
        let unit = |from: usize| {
            let digits = self.rest.get(from..from + 4)?;
            u16::from_str_radix(digits, 16).ok()
        };
        let (c, length) = match bytes.get(1)? {
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'u' => {
                let units = [unit(2)?, unit(8).unwrap_or(0)];
                let c = char::decode_utf16(units).next()?;
                let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
                (c, if c.len_utf16() == 2 { 12 } else { 6 })
            }
            other => (char::from(*other), 2),
        };
        self.rest = self.rest.get(length..)?;
        Some(Piece::Escaped(c))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        provider::{Contract, Unsupported},
        wire::chat::Request,
    };

    fn said(message: &str, rule: Unsupported) -> Result<(String, Notes), Error> {
        let body = format!("{{\"model\":\"m\",\"messages\":[{message}]}}");
        let request = Request::parse(body.as_bytes()).expect("a request");
        let mut notes = Notes::new(Contract::new(rule));
        let said = Said::of(&request.messages[0], 0, &mut notes)?;
        Ok((serde_json::to_string(&said).expect("a string"), notes))
    }

    #[test]
    fn texts_are_joined_whatever_their_spelling() {
        for (content, meaning) in [
            (r#""a\nb""#, "a\nb"),
            (r#"[{"type":"text","text":"a"}]"#, "a"),
            (
                r#"[{"type":"text","text":"a\n"},{"type":"text","text":"b"}]"#,
                "a\nb",
            ),
            (
                r#"[{"type":"text","text":"\ud83d\ude00 \u00e9\/\\"},{"type":"refusal","refusal":"\"\b\f\r\t\u0001"}]"#,
                "\u{1f600} é/\\\"\u{8}\u{c}\r\t\u{1}",
            ),
            ("null", ""),
            ("[]", ""),
        ] {
            let message = format!("{{\"role\":\"assistant\",\"content\":{content}}}");
            let (text, _) = said(&message, Unsupported::ByMeaning).expect("texts");
            let text: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(text, meaning, "{content}");
        }
        let both = r#"{"role":"assistant","content":"No: ","refusal":"I may not."}"#;
        let (text, _) = said(both, Unsupported::ByMeaning).expect("texts");
        assert_eq!(text, "\"No: I may not.\"");
    }

    #[test]
    fn other_parts_follow_the_contract_and_something_must_be_left() {
        let text = json!({"type": "text", "text": "x"});
        let other = json!({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}});
        let both = json!({"role": "tool", "content": [text, other]}).to_string();
        let alone = json!({"role": "tool", "content": [other]}).to_string();
        let error = said(&both, Unsupported::ByMeaning).expect_err("refused");
        assert_eq!(error.param(), Some("messages[0].content[1]"));
        let (text, notes) = said(&both, Unsupported::Drop).expect("dropped");
        assert_eq!(
            (&*text, notes.dropped()),
            ("\"x\"", &["messages[].content[]".into()][..])
        );
        let error = said(&alone, Unsupported::Drop).expect_err("nothing is left");
        assert_eq!(error.param(), Some("messages[0].content"));
        assert_eq!(error.code(), Some("unsupported_parameter"));
    }

    #[test]
    fn blanks_say_nothing() {
        for (spelled, blank) in [
            (r#"" \n\t\u00a0\r ""#, true),
            (r#""""#, true),
            (r#""\\n""#, false),
            (r#""  x""#, false),
        ] {
            let text: Text<'_> = serde_json::from_str(spelled).expect("a string");
            assert_eq!(is_blank(&text), blank, "{spelled}");
        }
        assert!(is_blank(&"\n".into()) && !is_blank(&"\\".into()));
    }
}
