//! The conversation brought into what a vendor reads: changed where it must be, else left as it is.

use sha2::{Digest, Sha256};

use crate::{
    error::Error,
    parse::Chat,
    provider::{Notes, edits::Edits, said::Left},
    wire::json::{Cursor, Fault, Str, Type},
};

/// What a vendor's models do not read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Speech {
    /// Instructions of the role `developer`; they go under the older name, `system`.
    pub(super) no_developer: bool,
    /// Parts of other types than these, which follow the contract.
    pub(super) parts: Option<&'static [&'static str]>,
    /// Whether an image must come as data; one by its address is a part of another type.
    pub(super) inline_images: bool,
    /// Members of messages other than these, which are refused there: dropped and announced, save
    /// those that say nothing.
    pub(super) members: Option<&'static [&'static str]>,
    /// Ids of calls that are not nine letters and digits; others are brought into that form.
    pub(super) short_ids: bool,
    /// Whether earlier reasoning is read, under the name `reasoning` alone.
    pub(super) reasoning: bool,
}

/// Fits the conversation by edits of the text that came, so that what is said is copied once, into the
/// body. One that was set whole before is fitted by itself and set again.
pub(super) fn fit(chat: &mut Chat, speech: Speech, notes: &mut Notes) -> Result<(), Error> {
    let all = speech.members.is_none();
    if all
        && !(speech.no_developer || speech.parts.is_some() || speech.short_ids || speech.reasoning)
    {
        return Ok(());
    }
    chat.below("messages", |chat| edit(chat, speech, notes))
}

fn edit(chat: &mut Chat, speech: Speech, notes: &mut Notes) -> Result<(), Error> {
    let Some(place) = chat.place("messages") else {
        return Ok(());
    };
    let text = chat.original().clone();
    let mut reader = Reader {
        cursor: Cursor::within(&text, place.start, usize::MAX),
        speech,
        done: chat.touched(),
        edits: Edits::default(),
        others: Vec::new(),
        dropped: Vec::new(),
        refused: false,
    };
    // What is of no such shape is the vendor's to refuse.
    if reader.messages().is_err() {
        return Ok(());
    }
    for others in reader.others {
        let mut left = Left::of(others.at);
        for part in &others.parts {
            left.out(*part, notes)?;
        }
        left.check(others.alone)?;
    }
    for name in reader.dropped {
        notes.without(format!("messages[].{}", name.cow()))?;
    }
    if reader.refused {
        notes.changed("messages[].refusal");
    }
    reader.edits.apply(chat);
    Ok(())
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    speech: Speech,
    /// Where others have edited, or left something out: that is not looked at again.
    done: Vec<usize>,
    edits: Edits,
    /// The parts that are not taken, of each message that has any.
    others: Vec<Others>,
    /// Members that are left out though they say something, each once.
    dropped: Vec<Str<'a>>,
    /// Whether a refusal became the content of its message.
    refused: bool,
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

    /// Enters an object; where it begins.
    fn object(&mut self) -> Result<usize, Fault> {
        self.cursor.peek()?;
        let start = self.cursor.at();
        self.cursor.object()?;
        Ok(start)
    }

    fn message(&mut self, at: usize) -> Result<(), Fault> {
        let start = self.object()?;
        // Where a refusal stands that is not taken, and what else the message says.
        let (mut refusal, mut nothing, mut says) = (None, None, false);
        // Where reasoning stands under the name that is not read, and whether it does under the other.
        let (mut reasoning, mut named) = (None, false);
        while let Some(key) = self.cursor.key()? {
            let kind = self.cursor.peek()?;
            if key == *"content" && kind == Type::Null {
                nothing = Some(key.start() - 1);
            }
            says |= kind != Type::Null && (key == *"content" || key == *"tool_calls");
            if self.is_done(key) {
                self.cursor.skip()?;
                continue;
            }
            let known = self.speech.members;
            if kind == Type::String
                && key == *"refusal"
                && known.is_some_and(|known| !known.contains(&"refusal"))
            {
                refusal = Some(key);
                self.cursor.skip()?;
                continue;
            }
            if self.speech.reasoning && key == *"reasoning" {
                if kind == Type::Null {
                    self.edits.cut(start, key.start() - 1);
                } else {
                    named = true;
                }
                self.cursor.skip()?;
                continue;
            }
            if self.speech.reasoning && key == *"reasoning_content" && kind == Type::String {
                reasoning = Some(key);
                self.cursor.skip()?;
                continue;
            }
            if known.is_some_and(|known| !known.iter().any(|name| key == **name)) {
                if kind != Type::Null && !self.dropped.contains(&key) {
                    self.dropped.push(key);
                }
                self.edits.cut(start, key.start() - 1);
                self.cursor.skip()?;
                continue;
            }
            match (&*key.cow(), kind) {
                ("role", Type::String) => {
                    let role = self.cursor.string()?;
                    if self.speech.no_developer && role == *"developer" {
                        self.edits.replace(role.range(), "system");
                    }
                }
                ("content", Type::Array) => match self.speech.parts {
                    Some(kinds) => self.parts(at, kinds)?,
                    None => self.cursor.skip().map(drop)?,
                },
                ("tool_call_id", Type::String) if self.speech.short_ids => self.id()?,
                ("tool_calls", Type::Array) if self.speech.short_ids => self.calls()?,
                _ => self.cursor.skip().map(drop)?,
            }
        }
        match reasoning {
            Some(key) if named => self.edits.cut(start, key.start() - 1),
            Some(key) => self.edits.replace(key.range(), "reasoning"),
            None => {}
        }
        match refusal {
            Some(key) if says => {
                if !self.dropped.contains(&key) {
                    self.dropped.push(key);
                }
                self.edits.cut(start, key.start() - 1);
            }
            // Nothing would be left of the message.
            Some(key) => {
                if let Some(nothing) = nothing {
                    self.edits.cut(start, nothing);
                }
                self.edits.replace(key.range(), "content");
                self.refused = true;
            }
            None => {}
        }
        Ok(())
    }

    /// Whether a member, its key or its value has been seen to.
    fn is_done(&self, key: Str<'_>) -> bool {
        let is_done = |place: usize| self.done.binary_search(&place).is_ok();
        !self.done.is_empty()
            && (is_done(key.start() - 1) || is_done(key.start()) || is_done(self.cursor.at()))
    }

    fn parts(&mut self, at: usize, kinds: &[&str]) -> Result<(), Fault> {
        let list = self.cursor.at();
        self.cursor.array()?;
        let (mut parts, mut count) = (Vec::new(), 0);
        while self.cursor.element()? {
            let start = self.object()?;
            let (mut known, mut far) = (true, false);
            while let Some(key) = self.cursor.key()? {
                if key == *"type" && self.cursor.peek()? == Type::String {
                    let kind = self.cursor.string()?;
                    known = kind == *"refusal" || kinds.iter().any(|one| kind == **one);
                } else if self.speech.inline_images
                    && key == *"image_url"
                    && self.cursor.peek()? == Type::Object
                {
                    far = self.is_far()?;
                } else {
                    self.cursor.skip()?;
                }
            }
            if !known || far {
                parts.push(count);
                self.edits.cut(list, start);
            }
            count += 1;
        }
        if !parts.is_empty() {
            let alone = parts.len() == count;
            self.others.push(Others { at, parts, alone });
        }
        Ok(())
    }

    /// Whether an image is told by its address.
    fn is_far(&mut self) -> Result<bool, Fault> {
        let mut far = false;
        self.cursor.object()?;
        while let Some(key) = self.cursor.key()? {
            if key == *"url" && self.cursor.peek()? == Type::String {
                far = !self.cursor.string()?.cow().starts_with("data:");
            } else {
                self.cursor.skip()?;
            }
        }
        Ok(far)
    }

    fn calls(&mut self) -> Result<(), Fault> {
        self.cursor.array()?;
        while self.cursor.element()? {
            self.cursor.object()?;
            while let Some(key) = self.cursor.key()? {
                match self.cursor.peek()? {
                    Type::String if key == *"id" => self.id()?,
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
            self.edits.replace(id.range(), short(&id.cow()));
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
    fn a_refusal_that_is_all_that_is_said_becomes_the_content() {
        let speech = Speech {
            members: Some(&["role", "content", "tool_calls"]),
            ..Speech::default()
        };
        let call = json!([{"id": "a", "function": {"name": "f", "arguments": "{}"}}]);
        let no = json!({"role": "assistant", "content": "no"});
        for (said, wanted, dropped) in [
            (
                json!({"role": "assistant", "content": null, "refusal": "no"}),
                &no,
                false,
            ),
            (json!({"refusal": "no", "role": "assistant"}), &no, false),
            (
                json!({"role": "assistant", "refusal": null, "content": "no"}),
                &no,
                false,
            ),
            (
                json!({"role": "assistant", "content": "no", "refusal": "x"}),
                &no,
                true,
            ),
            (
                json!({"role": "assistant", "content": null, "tool_calls": call, "refusal": "x"}),
                &json!({"role": "assistant", "content": null, "tool_calls": call}),
                true,
            ),
        ] {
            let mut notes = Notes::default();
            let fitted = noted(&json!([said]), speech, &mut notes).expect("fits");
            assert_eq!(fitted, json!([wanted]));
            assert_eq!(notes.dropped() == ["messages[].refusal"], dropped, "{said}");
            let became = said["refusal"] == "no";
            assert_eq!(notes.mapped() == ["messages[].refusal"], became, "{said}");
        }
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
                r#"{"role":"user"}"#,
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
