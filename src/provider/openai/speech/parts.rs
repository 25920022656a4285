//! The parts of a content: those of a type that is not read are left out.

use super::reader::Reader;
use crate::wire::json::{Fault, Type};

/// Parts of one message that are left out.
pub(super) struct Others {
    /// The message's place.
    pub(super) at: usize,
    /// Their own.
    pub(super) parts: Vec<usize>,
    /// Whether there are no others.
    pub(super) alone: bool,
}

impl Reader<'_> {
    /// The parts of one message.
    pub(super) fn parts(&mut self, at: usize, kinds: &[&str]) -> Result<(), Fault> {
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
}
