//! Changes within a member of the request, noted while its text is read.

use std::{borrow::Cow, ops::Range};

use crate::{
    parse::Chat,
    wire::json::{Cursor, Fault, Type},
};

/// What becomes other text, and what goes.
#[derive(Debug, Default)]
pub(super) struct Edits {
    texts: Vec<(Range<usize>, Cow<'static, str>)>,
    cuts: Vec<(usize, usize)>,
}

impl Edits {
    /// Other text in the place of some.
    pub(super) fn replace(&mut self, range: Range<usize>, with: impl Into<Cow<'static, str>>) {
        self.texts.push((range, with.into()));
    }

    /// A member or an element goes, and a comma with it: where its object or list begins, and where it
    /// does itself.
    pub(super) fn cut(&mut self, within: usize, at: usize) {
        self.cuts.push((within, at));
    }

    pub(super) fn append(&mut self, mut more: Self) {
        self.texts.append(&mut more.texts);
        self.cuts.append(&mut more.cuts);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.cuts.is_empty()
    }

    pub(super) fn apply(self, chat: &mut Chat) {
        for (range, with) in self.texts {
            chat.edit(range, with);
        }
        for (within, at) in self.cuts {
            chat.cut(within, at);
        }
    }
}

/// Reads an object for its `name`; empty where it has none.
pub(super) fn name<'a>(cursor: &mut Cursor<'a>) -> Result<Cow<'a, str>, Fault> {
    let mut name = Cow::default();
    cursor.object()?;
    while let Some(key) = cursor.key()? {
        if key == *"name" && cursor.peek()? == Type::String {
            name = cursor.string()?.cow();
        } else {
            cursor.skip()?;
        }
    }
    Ok(name)
}
