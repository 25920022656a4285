//! The conversation brought into what a vendor reads: changed where it must be, else left as it is.

use std::{borrow::Cow, ops::Range};

use sha2::{Digest, Sha256};

use crate::{
    error::Error,
    parse::Chat,
    provider::{Notes, said::Left},
    wire::json::{Cursor, Fault, Type},
};

/// What a vendor's models do not read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Speech {
    /// Instructions of the role `developer`; they go under the older name, `system`.
    pub(super) no_developer: bool,
    /// Parts of other types than these, which follow the contract.
    pub(super) parts: Option<&'static [&'static str]>,
    /// Members of messages other than these, which are refused there: dropped and announced, save
    /// those that say nothing.
    pub(super) members: Option<&'static [&'static str]>,
    /// Ids of calls that are not nine letters and digits; others are brought into that form.
    pub(super) short_ids: bool,
}

/// Text that takes the place of other text.
type Edit = (Range<usize>, Cow<'static, str>);

pub(super) fn fit(chat: &mut Chat, speech: Speech, notes: &mut Notes) -> Result<(), Error> {
    let all = speech.members.is_none();
    if all && !(speech.no_developer || speech.parts.is_some() || speech.short_ids) {
        return Ok(());
    }
    let Some(json) = chat.member("messages") else {
        return Ok(());
    };
    let mut reader = Reader {
        text: json,
        cursor: Cursor::new(json),
        speech,
        edits: Vec::new(),
        others: Vec::new(),
        dropped: Vec::new(),
    };
    // What is of no such shape is the vendor's to refuse.
    if reader.messages().is_err() {
        return Ok(());
    }
    let Reader {
        edits,
        others,
        dropped,
        ..
    } = reader;
    for others in others {
        let mut left = Left::of(others.at);
        for part in &others.parts {
            left.out(*part, notes)?;
        }
        left.check(others.alone)?;
    }
    for name in dropped {
        notes.without(format!("messages[].{name}"))?;
    }
    if !edits.is_empty() {
        let mut out = String::with_capacity(json.len() + 16);
        let mut from = 0;
        for (range, text) in edits {
            out.push_str(&json[from..range.start]);
            out.push_str(&text);
            from = range.end;
        }
        out.push_str(&json[from..]);
        chat.set("messages", out);
    }
    Ok(())
}

struct Reader<'a> {
    text: &'a str,
    cursor: Cursor<'a>,
    speech: Speech,
    edits: Vec<Edit>,
    /// The parts that are not taken, of each message that has any.
    others: Vec<Others>,
    /// Members that are left out though they say something.
    dropped: Vec<&'a str>,
}

/// Parts of one message that are left out.
struct Others {
    /// The message's place.
    at: usize,
    /// Their own.
    parts: Vec<usize>,
    /// Whether there are no others.
    alone: bool,
}

impl<'a> Reader<'a> {
    fn messages(&mut self) -> Result<(), Fault> {
        self.cursor.array()?;
        let mut at = 0;
        while self.cursor.element()? {
            self.message(at)?;
            at += 1;
        }
        Ok(())
    }

    fn message(&mut self, at: usize) -> Result<(), Fault> {
        self.cursor.object()?;
        // Where the member before ends, once one stays.
        let mut before = None;
        while let Some(key) = self.cursor.key()? {
            let known = self.speech.members;
            if known.is_some_and(|known| !known.contains(&key.raw())) {
                if self.cursor.peek()? != Type::Null {
                    self.dropped.push(key.raw());
                }
                let end = self.cursor.skip()?.end;
                let range = match &mut before {
                    Some(before) => std::mem::replace(before, end)..end,
                    None => key.range().start - 1..self.behind_comma(end),
                };
                self.edits.push((range, "".into()));
                continue;
            }
            match (key.bytes(), self.cursor.peek()?) {
                (b"role", Type::String) => {
                    let role = self.cursor.string()?;
                    if self.speech.no_developer && role == *"developer" {
                        self.edits.push((role.range(), "system".into()));
                    }
                }
                (b"content", Type::Array) => match self.speech.parts {
                    Some(kinds) => self.parts(at, kinds)?,
                    None => self.cursor.skip().map(drop)?,
                },
                (b"tool_call_id", Type::String) if self.speech.short_ids => self.id()?,
                (b"tool_calls", Type::Array) if self.speech.short_ids => self.calls()?,
                _ => self.cursor.skip().map(drop)?,
            }
            before = Some(self.cursor.at());
        }
        Ok(())
    }

    /// Behind the comma that comes next, if one does.
    fn behind_comma(&self, at: usize) -> usize {
        let rest = self.text[at..].trim_ascii_start();
        if rest.starts_with(',') {
            self.text.len() - rest.len() + 1
        } else {
            at
        }
    }

    fn parts(&mut self, at: usize, kinds: &[&str]) -> Result<(), Fault> {
        let from = self.cursor.at();
        self.cursor.array()?;
        let (mut parts, mut kept) = (Vec::new(), Vec::new());
        while self.cursor.element()? {
            let start = self.cursor.at();
            let mut known = true;
            self.cursor.object()?;
            while let Some(key) = self.cursor.key()? {
                if key.bytes() == b"type" && self.cursor.peek()? == Type::String {
                    let kind = self.cursor.string()?;
                    known = kind == *"refusal" || kinds.iter().any(|one| kind == **one);
                } else {
                    self.cursor.skip()?;
                }
            }
            if known {
                kept.push(self.text[start..self.cursor.at()].trim_ascii());
            } else {
                parts.push(parts.len() + kept.len());
            }
        }
        if !parts.is_empty() {
            let list = format!("[{}]", kept.join(","));
            self.edits.push((from..self.cursor.at(), list.into()));
            self.others.push(Others {
                at,
                parts,
                alone: kept.is_empty(),
            });
        }
        Ok(())
    }

    fn calls(&mut self) -> Result<(), Fault> {
        self.cursor.array()?;
        while self.cursor.element()? {
            self.cursor.object()?;
            while let Some(key) = self.cursor.key()? {
                match (key.bytes(), self.cursor.peek()?) {
                    (b"id", Type::String) => self.id()?,
                    _ => self.cursor.skip().map(drop)?,
                }
            }
        }
        Ok(())
    }

    fn id(&mut self) -> Result<(), Fault> {
        let id = self.cursor.string()?;
        let bytes = id.bytes();
        if bytes.len() != 9 || !bytes.iter().all(u8::is_ascii_alphanumeric) {
            self.edits.push((id.range(), short(&id.cow()).into()));
        }
        Ok(())
    }
}

/// Nine letters and digits for an id; the same one always becomes the same.
fn short(id: &str) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let sum = Sha256::digest(id);
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]);
    sum[..9].iter().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::{Contract, Unsupported};

    fn fitted(messages: &Value, speech: Speech) -> Result<Value, Error> {
        let mut notes = Notes::default();
        let fitted = noted(messages, speech, &mut notes);
        assert!(notes.dropped().is_empty());
        fitted
    }

    fn noted(messages: &Value, speech: Speech, notes: &mut Notes) -> Result<Value, Error> {
        let body = json!({"model": "m", "messages": messages}).to_string();
        let mut chat = Chat::parse(body.into()).expect("a request");
        fit(&mut chat, speech, notes)?;
        Ok(serde_json::from_str(chat.member("messages").expect("there")).expect("JSON"))
    }

    #[test]
    fn developers_are_the_system() {
        let speech = Speech {
            no_developer: true,
            ..Speech::default()
        };
        let said = json!([{"role": "developer", "content": "developer"}, {"content": "x", "role": "user"}]);
        let wanted =
            json!([{"role": "system", "content": "developer"}, {"content": "x", "role": "user"}]);
        assert_eq!(fitted(&said, speech).expect("fits"), wanted);
        assert_eq!(fitted(&said, Speech::default()).expect("fits"), said);
    }

    #[test]
    fn parts_must_be_of_a_type_that_is_read() {
        let speech = Speech {
            parts: Some(&["text"]),
            ..Speech::default()
        };
        let text = json!({"type": "text", "text": "x"});
        let image = json!({"type": "image_url", "image_url": {"url": "https://x"}});
        let fits = json!([{"role": "user", "content": [text, text]}]);
        assert_eq!(fitted(&fits, speech).expect("fits"), fits);
        let refused =
            json!([{"role": "system", "content": "x"}, {"role": "user", "content": [text, image]}]);
        let error = fitted(&refused, speech).expect_err("refused");
        assert_eq!(error.param(), Some("messages[1].content[1]"));
        assert_eq!(error.code(), Some("unsupported_parameter"));

        let drop = || Notes::new(Contract::new(Unsupported::Drop));
        let mut notes = drop();
        let said = json!([{"role": "user", "content": [image, text, image, text]},
            {"role": "user", "content": "x"}, {"role": "user", "content": [text, image]}]);
        let left = json!([{"role": "user", "content": [text, text]},
            {"role": "user", "content": "x"}, {"role": "user", "content": [text]}]);
        assert_eq!(noted(&said, speech, &mut notes).expect("fits"), left);
        assert_eq!(notes.dropped(), ["messages[].content[]"]);
        let alone = json!([{"role": "user", "content": [image]}]);
        let error = noted(&alone, speech, &mut drop()).expect_err("nothing is left");
        assert_eq!(error.param(), Some("messages[0].content"));
    }

    #[test]
    fn ids_are_nine_letters_and_the_same_in_call_and_result() {
        let speech = Speech {
            short_ids: true,
            ..Speech::default()
        };
        let said = |ids: [&str; 2]| {
            json!([
                {"role": "assistant", "tool_calls": [
                    {"id": ids[0], "function": {"name": "f", "arguments": "{\"id\":\"x\"}"}},
                    {"id": ids[1], "function": {"name": "g", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": ids[1], "content": "1"},
                {"role": "tool", "tool_call_id": ids[0], "content": "2"}])
        };
        let ids = ["call_with_a_long_name", "D681PevKs"];
        let short = short(ids[0]);
        assert!(short.len() == 9 && short.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(short, super::short("call_with_a_long_nam"));
        assert_eq!(
            fitted(&said(ids), speech).expect("fits"),
            said([&short, ids[1]])
        );
    }

    #[test]
    fn members_that_are_refused_are_left_out() {
        let speech = Speech {
            members: Some(&["role", "content"]),
            ..Speech::default()
        };
        for (said, wanted, dropped) in [
            (
                r#"{"role":"user","content":"x"}"#,
                r#"{"role":"user","content":"x"}"#,
                &[][..],
            ),
            (
                r#"{"a":1,"b":null , "role":"user"}"#,
                r#"{ "role":"user"}"#,
                &["messages[].a"],
            ),
            (
                r#"{"role":"user", "a":1,"b":[2],"content":"x"}"#,
                r#"{"role":"user","content":"x"}"#,
                &["messages[].a", "messages[].b"],
            ),
            (
                r#"{"role":"user","content":"x", "a" : {"c":1} }"#,
                r#"{"role":"user","content":"x" }"#,
                &["messages[].a"],
            ),
            (
                r#"{"a":1,"role":"user","b":2}"#,
                r#"{"role":"user"}"#,
                &["messages[].a", "messages[].b"],
            ),
            (r#"{"a":null}"#, "{}", &[]),
        ] {
            let body = format!("{{\"model\":\"m\",\"messages\":[{said},{said}]}}");
            let mut chat = Chat::parse(body.into()).expect("a request");
            let mut notes = Notes::default();
            fit(&mut chat, speech, &mut notes).expect("fits");
            let wanted = format!("[{wanted},{wanted}]");
            assert_eq!(chat.member("messages"), Some(&*wanted));
            assert_eq!(notes.dropped(), dropped, "{said}");
        }
    }
}
