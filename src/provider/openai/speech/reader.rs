//! What is to change in a conversation, found in one reading of its text.

use std::ops::Range;

use super::{
    Flat, Speech,
    parts::{List, Others},
};
use crate::{
    provider::edits::Edits,
    wire::json::{Cursor, Fault, Str, Type},
};

pub(super) struct Reader<'a> {
    pub(super) cursor: Cursor<'a>,
    pub(super) speech: Speech,
    /// Where others have edited, or left something out: that is not looked at again.
    pub(super) done: Vec<usize>,
    pub(super) edits: Edits,
    /// The parts that are not taken, of each message that has any.
    pub(super) others: Vec<Others>,
    /// Members that are left out though they say something, each once.
    pub(super) dropped: Vec<Str<'a>>,
    /// Members of parts that are gone with them, each once.
    pub(super) marks: Vec<Str<'a>>,
    /// Whether a refusal became the content of its message.
    pub(super) refused: bool,
    /// Who spoke last.
    last: Last,
    /// Whether results have been answered that were not, and instructions became words of the user's.
    pub(super) answered: bool,
    pub(super) instructed: bool,
}

/// Who spoke, as far as it decides who may speak next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Assistant,
    Tool,
    Other,
}

/// An answer to results that something else follows, and where that begins.
const ANSWER: &str = r#"{"role":"assistant","content":"."},{"#;

/// What one message says that cannot be decided before it ends.
#[derive(Default)]
struct Message<'a> {
    /// Where it begins.
    start: usize,
    role: Option<Str<'a>>,
    /// Its content, where that is a list.
    list: Option<List<'a>>,
    /// A refusal that is not read.
    refusal: Option<Str<'a>>,
    /// Where a content stands that is null: its member, and its value.
    nothing: Option<(usize, Range<usize>)>,
    /// Whether it has calls, and anything as its content.
    calls: bool,
    content: bool,
    /// Whether it says anything else than the refusal.
    says: bool,
    /// Reasoning under the name that is not read.
    reasoning: Option<Str<'a>>,
    /// Whether there is reasoning under the other.
    named: bool,
}

impl<'a> Reader<'a> {
    /// Reads the messages at the cursor; `done` is where others have edited.
    pub(super) fn new(cursor: Cursor<'a>, speech: Speech, done: Vec<usize>) -> Self {
        Self {
            cursor,
            speech,
            done,
            edits: Edits::default(),
            others: Vec::new(),
            dropped: Vec::new(),
            marks: Vec::new(),
            refused: false,
            last: Last::Other,
            answered: false,
            instructed: false,
        }
    }

    pub(super) fn messages(&mut self) -> Result<(), Fault> {
        self.cursor.array()?;
        let mut at = 0;
        while self.cursor.element()? {
            self.message(at)?;
            at += 1;
        }
        Ok(())
    }

    /// Enters an object; where it begins.
    pub(super) fn object(&mut self) -> Result<usize, Fault> {
        self.cursor.peek()?;
        let start = self.cursor.at();
        self.cursor.object()?;
        Ok(start)
    }

    fn message(&mut self, at: usize) -> Result<(), Fault> {
        let mut message = Message {
            start: self.object()?,
            ..Message::default()
        };
        while let Some(key) = self.cursor.key()? {
            let kind = self.cursor.peek()?;
            if key == *"content" && kind == Type::Null {
                let at = self.cursor.at();
                message.nothing = Some((key.start() - 1, at..at + "null".len()));
            }
            message.calls |= key == *"tool_calls" && kind == Type::Array;
            message.content |= key == *"content";
            message.says |= kind != Type::Null && (key == *"content" || key == *"tool_calls");
            if self.is_done(key) || self.is_seen_to(&mut message, key, kind) {
                self.cursor.skip()?;
            } else if key == *"role" && kind == Type::String {
                message.role = Some(self.cursor.string()?);
            } else {
                self.member(&mut message, at, key, kind)?;
            }
        }
        self.role(&message);
        if let Some(list) = message.list.take() {
            let role = message.role.map(|role| role.cow()).unwrap_or_default();
            self.fit(list, self.speech.flat.is_of(&role));
        }
        self.fill(&message);
        self.reasoning(&message);
        self.refusal(&message);
        Ok(())
    }

    /// Whether a member is left out, or is looked at once the message has been read.
    fn is_seen_to(&mut self, message: &mut Message<'a>, key: Str<'a>, kind: Type) -> bool {
        let speech = self.speech;
        let is_read = |name: &Str<'_>| {
            speech
                .members
                .is_none_or(|known| known.iter().any(|one| *name == **one))
        };
        if kind == Type::String && key == *"refusal" && !is_read(&key) {
            message.refusal = Some(key);
        } else if speech.reasoning && key == *"reasoning" {
            if kind == Type::Null {
                self.edits.cut(message.start, key.start() - 1);
            } else {
                message.named = true;
            }
        } else if speech.reasoning && key == *"reasoning_content" && kind == Type::String {
            message.reasoning = Some(key);
        } else if !is_read(&key) {
            if kind == Type::Null {
                self.edits.cut(message.start, key.start() - 1);
            } else {
                self.leave_out(message, key);
            }
        } else {
            return false;
        }
        true
    }

    /// A member whose value may have to be changed.
    fn member(
        &mut self,
        message: &mut Message<'a>,
        at: usize,
        key: Str<'a>,
        kind: Type,
    ) -> Result<(), Fault> {
        match (&*key.cow(), kind) {
            ("content", Type::Array)
                if self.speech.parts.is_some() || self.speech.flat != Flat::Never =>
            {
                message.list = Some(self.parts(at)?);
            }
            ("tool_call_id", Type::String) if self.speech.short_ids => self.id()?,
            ("tool_calls", Type::Array) if self.speech.short_ids => self.calls()?,
            _ => self.cursor.skip().map(drop)?,
        }
        Ok(())
    }

    /// Whose words they are, and what must have been said before them.
    fn role(&mut self, message: &Message<'a>) {
        let Some(role) = message.role else { return };
        let next = match &*role.cow() {
            "assistant" => Last::Assistant,
            // One of the deprecated kind has been made a tool's.
            "tool" | "function" => Last::Tool,
            _ => Last::Other,
        };
        let last = std::mem::replace(&mut self.last, next);
        let ordered = self.speech.ordered && next == Last::Other;
        if ordered && last == Last::Tool {
            self.edits.replace(message.start..message.start + 1, ANSWER);
            self.answered = true;
        }
        if ordered && last != Last::Other && role != *"user" {
            self.edits.replace(role.range(), "user");
            self.instructed = true;
        } else if self.speech.no_developer && role == *"developer" {
            self.edits.replace(role.range(), "system");
        }
    }

    /// Calls without a text have an empty one, where there must be some.
    fn fill(&mut self, message: &Message<'a>) {
        if !(self.speech.filled && message.calls) {
            return;
        }
        match &message.nothing {
            Some((_, null)) => self.edits.replace(null.clone(), "\"\""),
            None if !message.content => {
                let start = message.start..message.start + 1;
                self.edits.replace(start, r#"{"content":"","#);
            }
            None => {}
        }
    }

    /// Reasoning goes under the name that is read, unless something stands there.
    fn reasoning(&mut self, message: &Message<'a>) {
        match message.reasoning {
            Some(key) if message.named => self.edits.cut(message.start, key.start() - 1),
            Some(key) => self.edits.replace(key.range(), "reasoning"),
            None => {}
        }
    }

    /// A refusal that is not read is left out beside what else is said; else it becomes the content.
    fn refusal(&mut self, message: &Message<'a>) {
        match message.refusal {
            Some(key) if message.says => self.leave_out(message, key),
            // Nothing would be left of the message.
            Some(key) => {
                if let Some((nothing, _)) = message.nothing {
                    self.edits.cut(message.start, nothing);
                }
                self.edits.replace(key.range(), "content");
                self.refused = true;
            }
            None => {}
        }
    }

    /// Leaves out a member that says something.
    fn leave_out(&mut self, message: &Message<'a>, key: Str<'a>) {
        if !self.dropped.contains(&key) {
            self.dropped.push(key);
        }
        self.edits.cut(message.start, key.start() - 1);
    }

    /// Whether a member, its key or its value has been seen to.
    fn is_done(&self, key: Str<'_>) -> bool {
        let is_done = |place: usize| self.done.binary_search(&place).is_ok();
        !self.done.is_empty()
            && (is_done(key.start() - 1) || is_done(key.start()) || is_done(self.cursor.at()))
    }
}
