//! The parts of a content: those of a type that is not read are left out.

use std::ops::Range;

use super::{Flat, reader::Reader};
use crate::wire::json::{Fault, Str, Type};

/// How many members of parts are told of by name at most.
const NAMED: usize = 16;

/// Parts of one message that are left out.
pub(super) struct Others {
    /// The message's place.
    pub(super) at: usize,
    /// Their own.
    pub(super) parts: Vec<usize>,
    /// Whether there are no others.
    pub(super) alone: bool,
}

/// The texts of a content that is a list, and has no other parts that are taken.
#[derive(Default)]
pub(super) struct Texts<'a> {
    /// What stands between their quotes.
    texts: Vec<Range<usize>>,
    /// Other members of those parts that say something.
    beside: Vec<Str<'a>>,
}

/// One part, as far as it matters.
#[derive(Default)]
struct Part<'a> {
    is_other: bool,
    text: Option<Str<'a>>,
    beside: Vec<Str<'a>>,
}

/// A content that is a list.
pub(super) struct List<'a> {
    at: Range<usize>,
    /// Where parts begin that are left out.
    cuts: Vec<usize>,
    texts: Option<Texts<'a>>,
}

impl<'a> Reader<'a> {
    /// The parts of one message.
    pub(super) fn parts(&mut self, at: usize) -> Result<List<'a>, Fault> {
        let start = self.cursor.at();
        self.cursor.array()?;
        let (mut parts, mut cuts, mut count) = (Vec::new(), Vec::new(), 0);
        let mut texts = (self.speech.flat != Flat::Never).then(Texts::default);
        while self.cursor.element()? {
            let begins = self.object()?;
            let mut part = self.part()?;
            if part.is_other {
                parts.push(count);
                cuts.push(begins);
            } else if let (Some(all), Some(text)) = (&mut texts, part.text) {
                all.texts.push(text.range());
                all.beside.append(&mut part.beside);
            } else {
                texts = None;
            }
            count += 1;
        }
        if !parts.is_empty() {
            let alone = parts.len() == count;
            self.others.push(Others { at, parts, alone });
        }
        let at = start..self.cursor.at();
        Ok(List { at, cuts, texts })
    }

    /// One part, behind its bracket.
    fn part(&mut self) -> Result<Part<'a>, Fault> {
        let kinds = self.speech.parts;
        let (mut part, mut far) = (Part::default(), false);
        while let Some(key) = self.cursor.key()? {
            let kind = self.cursor.peek()?;
            if key == *"type" && kind == Type::String {
                let kind = self.cursor.string()?;
                let is_one = |kinds: &[&str]| kinds.iter().any(|one| kind == **one);
                part.is_other = kind != *"refusal" && !kinds.is_none_or(is_one);
            } else if (key == *"text" || key == *"refusal") && kind == Type::String {
                part.text = Some(self.cursor.string()?);
            } else if self.speech.inline_images && key == *"image_url" && kind == Type::Object {
                far = self.is_far()?;
            } else {
                if kind != Type::Null {
                    part.beside.push(key);
                }
                self.cursor.skip()?;
            }
        }
        part.is_other |= far;
        Ok(part)
    }

    /// Leaves out the parts that are not taken; texts become one where they must, unless another has
    /// edited them.
    pub(super) fn fit(&mut self, list: List<'a>, is_flat: bool) {
        let List { at, cuts, texts } = list;
        let next = self.done.partition_point(|place| *place < at.start);
        let is_touched = self.done.get(next).is_some_and(|place| *place < at.end);
        let Some(texts) = texts.filter(|_| is_flat && !is_touched) else {
            for part in cuts {
                self.edits.cut(at.start, part);
            }
            return;
        };
        // What stands around them goes, so that they are not copied.
        let mut from = at.start;
        let mut before = "\"";
        for text in &texts.texts {
            self.edits.replace(from..text.start, before);
            (from, before) = (text.end, "");
        }
        let end = if texts.texts.is_empty() { "\"\"" } else { "\"" };
        self.edits.replace(from..at.end, end);
        for key in texts.beside {
            if self.marks.len() < NAMED && !self.marks.contains(&key) {
                self.marks.push(key);
            }
        }
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
}
