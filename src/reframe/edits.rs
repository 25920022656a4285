//! Changes to one JSON text, gathered while it is read and applied at once.

use std::{borrow::Cow, ops::Range, sync::Arc};

/// What takes the place of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum With {
    Text(Cow<'static, str>),
    /// The pinned id, quoted.
    Id,
    /// The pinned model, quoted.
    Model,
    /// The pinned time.
    Created,
}

impl From<&'static str> for With {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for With {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

/// The values that are the same in every chunk of a stream, as JSON text.
#[derive(Clone, Debug, Default)]
pub(super) struct Pinned {
    /// With its quotes.
    pub(super) id: Option<Arc<str>>,
    /// With its quotes.
    pub(super) model: Option<Arc<str>>,
    pub(super) created: Option<Arc<str>>,
}

impl Pinned {
    /// What an edit puts in.
    pub(super) fn text<'a>(&'a self, with: &'a With) -> &'a str {
        match with {
            With::Text(text) => text,
            With::Id => self.id.as_deref().unwrap_or("\"\""),
            With::Model => self.model.as_deref().unwrap_or("\"\""),
            With::Created => self.created.as_deref().unwrap_or("0"),
        }
    }
}

#[derive(Clone, Debug)]
struct Edit {
    at: Range<usize>,
    with: With,
}

/// Ranges that do not overlap, in any order.
#[derive(Clone, Debug, Default)]
pub(super) struct Edits(Vec<Edit>);

impl Edits {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn replace(&mut self, at: Range<usize>, with: impl Into<With>) {
        let with = with.into();
        if self.0.capacity() == 0 {
            // Most events need one or two, and they stay with an idle stream.
            self.0.reserve_exact(2);
        }
        self.0.push(Edit { at, with });
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How long the text is with all edits made.
    #[inline]
    pub(super) fn length(&self, text: &[u8], pinned: &Pinned) -> usize {
        let (mut more, mut less) = (0, 0);
        for Edit { at, with } in &self.0 {
            more += pinned.text(with).len();
            less += at.len();
        }
        (text.len() + more).saturating_sub(less)
    }

    /// Brings the edits in order.
    pub(super) fn sort(&mut self) {
        // Stable: what is put in at one place stays in order, and before what is cut there.
        let place = |edit: &Edit| (edit.at.start, edit.at.end);
        if !self.0.is_sorted_by_key(place) {
            self.0.sort_by_key(place);
        }
    }

    /// The edits that lie in a part of the text, by their places in it when it stands behind so many
    /// bytes; `None` when one crosses its ends. The edits must be in order.
    pub(super) fn within(&self, part: &Range<usize>, behind: usize) -> Option<Self> {
        let mut within = Vec::new();
        for Edit { at, with } in &self.0 {
            if at.end < part.start || at.start > part.end {
                continue;
            }
            if at.start < part.start || at.end > part.end {
                return None;
            }
            let place = |at: usize| behind + at - part.start;
            let at = place(at.start)..place(at.end);
            let with = with.clone();
            within.push(Edit { at, with });
        }
        within.shrink_to_fit();
        Some(Self(within))
    }

    /// Writes the text with all edits made.
    pub(super) fn apply(&mut self, text: &[u8], pinned: &Pinned, out: &mut Vec<u8>) {
        self.sort();
        self.write(text, pinned, out);
        self.clear();
    }

    /// Writes a text with all edits made, which must be in order.
    #[inline]
    pub(super) fn write(&self, text: &[u8], pinned: &Pinned, out: &mut Vec<u8>) {
        let mut done = 0;
        for Edit { at, with } in &self.0 {
            out.extend_from_slice(&text[done..at.start]);
            out.extend_from_slice(pinned.text(with).as_bytes());
            done = at.end;
        }
        out.extend_from_slice(&text[done..]);
    }
}

/// Follows the members of one object, so that members can be cut with the right comma and others
/// put in at its beginning.
#[derive(Clone, Debug)]
pub(super) struct Object {
    /// Behind `{`.
    open: usize,
    /// The end of the last member.
    last: usize,
    /// Whether a member before this place stays.
    kept: bool,
    /// Where a cut began that must take the comma behind it.
    cut: Option<usize>,
    added: bool,
}

impl Object {
    /// An object whose `{` ends here.
    pub(super) fn new(open: usize) -> Self {
        Self {
            open,
            last: open,
            kept: false,
            cut: None,
            added: false,
        }
    }

    /// A key begins here, at its quote.
    pub(super) fn key(&mut self, at: usize, edits: &mut Edits) {
        if let Some(from) = self.cut.take() {
            edits.replace(from..at, "");
        }
    }

    /// The member that ends here stays.
    pub(super) fn keep(&mut self, end: usize) {
        self.kept = true;
        self.last = end;
    }

    /// The member with this key goes.
    pub(super) fn remove(&mut self, key: usize, end: usize, edits: &mut Edits) {
        if self.kept {
            edits.replace(self.last..end, "");
        } else {
            self.cut = Some(key);
        }
        self.last = end;
    }

    /// The object has ended.
    pub(super) fn close(&mut self, edits: &mut Edits) {
        if let Some(from) = self.cut.take() {
            edits.replace(from..self.last, "");
        }
    }

    /// Puts a member in at the beginning, behind those put in before; called after
    /// [`close`](Self::close).
    pub(super) fn add(&mut self, member: impl Into<With>, edits: &mut Edits) {
        let place = self.open..self.open;
        if self.added && !self.kept {
            edits.replace(place.clone(), ",");
        }
        edits.replace(place.clone(), member);
        if self.kept {
            edits.replace(place, ",");
        }
        self.added = true;
    }
}
