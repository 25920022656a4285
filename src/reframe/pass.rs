//! What one reading of one text is about, and what it finds.

use std::ops::Range;

use super::edits::Edits;
use crate::wire::{
    json::{Fault, Stop, Type},
    shape,
};

/// What is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `chat.completion.chunk`
    Chunk,
    /// `chat.completion`
    Whole,
}

/// What was found in one text.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// It says that the answer has failed.
    pub(super) failed: bool,
    /// The top-level `usage`, null or not: its value.
    pub(super) usage_at: Option<Range<usize>>,
    /// Usage was stated, wherever.
    pub(super) usage: bool,
    /// Where the usage stands that a choice stated.
    pub(super) inner_usage: Option<usize>,
    /// The usage that a choice or a vendor's own member stated, and the top level did not.
    pub(super) usage_elsewhere: Option<Range<usize>>,
    /// There are members that say something else than what every text says.
    pub(super) more: bool,
    /// How many choices there were; `None` when there is no array of them.
    pub(super) choices: Option<usize>,
    /// A choice was finished.
    pub(super) finish: bool,
    /// Bytes of generated text.
    pub(super) content: u64,
    /// The string of generated text, when there is just one.
    pub(super) word: Option<Range<usize>>,
    words: u32,
    /// The string that hides the length of the text.
    pub(super) filler: Option<Range<usize>>,
    /// The text changed what is known of the answer, so that its like would mean something else.
    pub(super) changed: bool,
}

impl Seen {
    /// Generated text, without its quotes.
    pub(super) fn text(&mut self, at: Range<usize>) {
        self.content += at.len() as u64;
        self.words += 1;
        self.word = Some(at);
    }

    /// Whether usage stands beside no choice, as in what ends a stream; some leave out the empty array.
    pub(super) fn is_usage_alone(&self) -> bool {
        self.usage && !self.has_choices()
    }

    /// Whether it is such a text without anything in it, usage neither.
    pub(super) fn is_empty(&self) -> bool {
        self.usage_at.is_some() && !(self.usage || self.has_choices() || self.more)
    }

    fn has_choices(&self) -> bool {
        self.choices.is_some_and(|choices| choices > 0)
    }

    /// Whether the like of this text, with another word, would do the same.
    pub(super) fn is_steady(&self) -> bool {
        self.words == 1 && !(self.changed || self.usage || self.finish || self.failed)
    }
}

/// One text on its way through, with what is to change in it.
#[derive(Debug)]
pub(super) struct Pass<'t, 'e> {
    pub(super) text: &'t str,
    pub(super) form: Form,
    pub(super) edits: &'e mut Edits,
    pub(super) seen: &'e mut Seen,
}

impl Pass<'_, '_> {
    /// What is of another type than it must be goes out as null, where it says nothing.
    #[cold]
    pub(super) fn nothing(&mut self, at: Range<usize>, whose: &'static str) -> Result<(), Bad> {
        self.is_nothing(&at, whose)?;
        self.edits.replace(at, "null");
        Ok(())
    }

    /// What is of another type than it should be, and has to say nothing.
    pub(super) fn is_nothing(&self, at: &Range<usize>, whose: &'static str) -> Result<(), Bad> {
        if shape::is_nothing(&self.text[at.clone()]) {
            return Ok(());
        }
        Err(Bad::Shape(whose))
    }

    /// A thought that stays where it is.
    pub(super) fn thought(&mut self, kind: Type, at: &Range<usize>) {
        match kind {
            Type::String => self.seen.text(at.start + 1..at.end - 1),
            Type::Null => {}
            _ => self.quote(at.clone()),
        }
    }

    /// A number or a truth in the place of generated text is the text that it is spelled with.
    #[cold]
    pub(super) fn quote(&mut self, at: Range<usize>) {
        self.seen.changed = true;
        self.seen.content += at.len() as u64;
        let text = format!("\"{}\"", &self.text[at.clone()]);
        self.edits.replace(at, text);
    }
}

/// Why a text is not an answer.
#[derive(Debug)]
pub(super) enum Bad {
    Json(Fault),
    Limit(&'static str),
    /// What is not of the type that it must be.
    Shape(&'static str),
}

impl From<Fault> for Bad {
    fn from(fault: Fault) -> Self {
        Self::Json(fault)
    }
}

impl From<Stop> for Bad {
    #[cold]
    fn from(stop: Stop) -> Self {
        Self::Json(stop.into())
    }
}

impl Form {
    pub(super) fn object(self) -> &'static str {
        match self {
            Self::Chunk => "\"chat.completion.chunk\"",
            Self::Whole => "\"chat.completion\"",
        }
    }

    pub(super) fn member(self) -> &'static [u8] {
        match self {
            Self::Chunk => b"delta",
            Self::Whole => b"message",
        }
    }
}
