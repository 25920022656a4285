//! Reasoning of other vendors, which a conversation brings back.
//!
//! What one vendor has signed or sealed is nothing to another: some refuse what they do not know, and none
//! can read it. Whose it is is told by the type of an entry.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::{
    error::Error,
    parse::Chat,
    provider::{Notes, edits::Edits},
    wire::json::{Cursor, Fault, Type},
};

/// Who wrote an entry of `reasoning_details`, or what a call carries in `extra_content`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Claude, by whichever API.
    Claude,
    /// Gemini, by its own API or Google's compatible one.
    Gemini,
    OpenRouter,
}

impl Origin {
    /// By the type of an entry; `None` where that cannot be told.
    fn of_detail(kind: &str) -> Option<Self> {
        match kind {
            "thinking" | "redacted_thinking" => Some(Self::Claude),
            "thought_signature" | "server_part" => Some(Self::Gemini),
            kind if kind.starts_with("reasoning.") => Some(Self::OpenRouter),
            _ => None,
        }
    }

    /// By the members of `extra_content`.
    fn of_extra<'k>(mut keys: impl Iterator<Item = &'k str>) -> Option<Self> {
        let google = keys.next() == Some("google") && keys.next().is_none();
        google.then_some(Self::Gemini)
    }
}

/// Whose reasoning a vendor is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Who it is, is not known.
    Anyones,
    /// What is its own, and what cannot be told.
    Of(Origin),
    /// What cannot be told.
    Nobodys,
}

/// Leaves out what is another's, as the contract says.
pub(in crate::provider) fn leave(chat: &mut Chat, notes: &mut Notes) -> Result<(), Error> {
    fit(chat, Whose::Nobodys, notes)
}

pub(super) fn fit(chat: &mut Chat, whose: Whose, notes: &mut Notes) -> Result<(), Error> {
    if whose == Whose::Anyones {
        return Ok(());
    }
    chat.below("messages", |chat| edit(chat, whose, notes))
}

fn edit(chat: &mut Chat, whose: Whose, notes: &mut Notes) -> Result<(), Error> {
    static DETAILS: LazyLock<Finder<'static>> =
        LazyLock::new(|| Finder::new(b"\"reasoning_details\""));
    static EXTRA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"extra_content\""));
    let Some(place) = chat.place("messages") else {
        return Ok(());
    };
    let text = chat.original().clone();
    let messages = &text[place.clone()];
    if DETAILS.find(messages).is_none() && EXTRA.find(messages).is_none() {
        return Ok(());
    }
    let mut reader = Reader {
        cursor: Cursor::within(&text, place.start, usize::MAX),
        whose,
        done: chat.touched(),
        edits: Edits::default(),
        details: false,
        extra: false,
    };
    // What is of no such shape is the vendor's to refuse.
    if reader.messages().is_err() {
        return Ok(());
    }
    if reader.details {
        notes.without("messages[].reasoning_details")?;
    }
    if reader.extra {
        notes.without("messages[].tool_calls[].extra_content")?;
    }
    reader.edits.apply(chat);
    Ok(())
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    whose: Whose,
    /// Where others have edited, or left something out.
    done: Vec<usize>,
    edits: Edits,
    /// Whether any of it is left out.
    details: bool,
    extra: bool,
}

impl Reader<'_> {
    fn messages(&mut self) -> Result<(), Fault> {
        self.cursor.array()?;
        while self.cursor.element()? {
            self.message()?;
        }
        Ok(())
    }

    fn is_done(&self, key: usize) -> bool {
        self.done.binary_search(&key).is_ok()
    }

    fn is_foreign(&self, origin: Option<Origin>) -> bool {
        origin.is_some_and(|origin| self.whose != Whose::Of(origin))
    }

    fn message(&mut self) -> Result<(), Fault> {
        self.cursor.peek()?;
        let start = self.cursor.at();
        self.cursor.object()?;
        while let Some(key) = self.cursor.key()? {
            let at = key.start() - 1;
            match self.cursor.peek()? {
                Type::Array if key == *"reasoning_details" && !self.is_done(at) => {
                    self.entries(start, at)?;
                }
                Type::Array if key == *"tool_calls" && !self.is_done(at) => {
                    self.cursor.array()?;
                    while self.cursor.element()? {
                        self.call()?;
                    }
                }
                _ => self.cursor.skip().map(drop)?,
            }
        }
        Ok(())
    }

    /// The entries of a member of a message; without those of others it goes as well where none is left.
    fn entries(&mut self, message: usize, member: usize) -> Result<(), Fault> {
        let list = self.cursor.at();
        let (mut foreign, mut count) = (Vec::new(), 0);
        self.cursor.array()?;
        while self.cursor.element()? {
            count += 1;
            let kind = self.cursor.peek()?;
            let start = self.cursor.at();
            if kind != Type::Object {
                self.cursor.skip()?;
                continue;
            }
            let mut origin = None;
            self.cursor.object()?;
            while let Some(key) = self.cursor.key()? {
                if key == *"type" && self.cursor.peek()? == Type::String {
                    origin = Origin::of_detail(&self.cursor.string()?.cow());
                } else {
                    self.cursor.skip()?;
                }
            }
            if self.is_foreign(origin) {
                foreign.push(start);
            }
        }
        self.details |= !foreign.is_empty();
        if foreign.len() == count && count > 0 {
            self.edits.cut(message, member);
        } else {
            for entry in foreign {
                self.edits.cut(list, entry);
            }
        }
        Ok(())
    }

    fn call(&mut self) -> Result<(), Fault> {
        if self.cursor.peek()? != Type::Object {
            return self.cursor.skip().map(drop);
        }
        let start = self.cursor.at();
        self.cursor.object()?;
        while let Some(key) = self.cursor.key()? {
            let at = key.start() - 1;
            if self.cursor.peek()? != Type::Object || key != *"extra_content" || self.is_done(at) {
                self.cursor.skip()?;
                continue;
            }
            let mut keys = Vec::new();
            self.cursor.object()?;
            while let Some(key) = self.cursor.key()? {
                keys.push(key.cow());
                self.cursor.skip()?;
            }
            let origin = Origin::of_extra(keys.iter().map(|key| &**key));
            if self.is_foreign(origin) {
                self.extra = true;
                self.edits.cut(start, at);
            }
        }
        Ok(())
    }
}
