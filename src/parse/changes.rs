//! What is to be changed of a request's text, made in one splice.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, cmp::Reverse, mem, ops::Range, sync::OnceLock};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::wire::{
    json::{Cursor, Str},
    request::{Member, Name, Request},
    splice::{Cuts, Edit, cuts, splice},
};

/// Pending changes. Those below the top level stand in one another or apart: a member or an element
/// is left out whole, a text is replaced whole, so whatever lies within either goes with it.
#[derive(Default)]
pub(super) struct Changes {
    /// Of the top level, no name twice.
    members: SmallVec<[Set; 2]>,
    /// Members and elements to leave out: where what they stand in begins, and they themselves.
    cuts: Vec<(usize, usize)>,
    /// Texts to replace.
    edits: Vec<(Range<usize>, Cow<'static, str>)>,
    written: OnceLock<Bytes>,
}

/// What a member is to be, or none where it is to go.
pub(super) type Json = Option<Cow<'static, str>>;

/// What becomes of a member.
#[derive(Clone)]
struct Set {
    key: Key,
    /// The new value, or none to remove it.
    json: Json,
    /// Whether nobody asked for it.
    is_default: bool,
}

/// A member's name.
#[derive(Clone)]
enum Key {
    /// One that the API knows.
    Known(Name),
    /// Any other, as it is and in JSON.
    Other { name: Box<str>, json: Box<str> },
}

impl Key {
    fn new(name: &str) -> Self {
        Name::find(name).map_or_else(
            || Self::Other {
                name: name.into(),
                json: serde_json::Value::from(name).to_string().into(),
            },
            Self::Known,
        )
    }

    fn name(&self) -> &str {
        match self {
            Self::Known(known) => known.as_str(),
            Self::Other { name, .. } => name,
        }
    }

    fn json(&self) -> &str {
        match self {
            Self::Known(known) => known.quoted(),
            Self::Other { json, .. } => json,
        }
    }

    /// Whether it is that of this member, in whatever spelling.
    fn is_of(&self, member: &Member, text: &[u8]) -> bool {
        match (member.name, self) {
            (Some(known), Self::Known(own)) => known == *own,
            (Some(_), Self::Other { .. }) => false,
            (None, _) => key(text, member.range.start).is_some_and(|key| key == *self.name()),
        }
    }
}

impl Clone for Changes {
    fn clone(&self) -> Self {
        // A clone is made to be changed, so what was written is not its own.
        Self {
            members: self.members.clone(),
            cuts: self.cuts.clone(),
            edits: self.edits.clone(),
            written: OnceLock::new(),
        }
    }
}

impl Changes {
    pub(super) fn put(&mut self, member: &str, json: Json, is_default: bool) {
        self.written.take();
        match self
            .members
            .iter_mut()
            .find(|set| *set.key.name() == *member)
        {
            Some(set) => (set.json, set.is_default) = (json, is_default),
            None => self.members.push(Set {
                key: Key::new(member),
                json,
                is_default,
            }),
        }
    }

    /// The members that are there without anybody having asked for them.
    pub(super) fn defaults(&self) -> impl Iterator<Item = &str> {
        let members = self.members.iter().filter(|set| set.is_default);
        members.map(|set| set.key.name())
    }

    pub(super) fn cut(&mut self, within: usize, at: usize) {
        self.written.take();
        self.cuts.push((within, at));
    }

    pub(super) fn edit(&mut self, range: Range<usize>, text: Cow<'static, str>) {
        self.written.take();
        self.edits.push((range, text));
    }

    /// The change of a top-level member, if it was set or removed.
    pub(super) fn member(&self, name: &str) -> Option<&Json> {
        let mut members = self.members.iter();
        members
            .find(|set| *set.key.name() == *name)
            .map(|set| &set.json)
    }

    /// How many bytes are put in.
    pub(super) fn added(&self) -> usize {
        let set = self.members.iter().filter_map(|set| set.json.as_deref());
        let edits = self.edits.iter().map(|(_, text)| &**text);
        set.chain(edits).map(str::len).sum()
    }

    /// The members as they are to be sent, each by its key and its value, both as JSON; `None` when
    /// something below them is changed.
    pub(super) fn members<'a>(
        &'a self,
        text: &'a str,
        request: &Request,
    ) -> Option<Vec<(&'a str, &'a str)>> {
        if !(self.cuts.is_empty() && self.edits.is_empty()) {
            return None;
        }
        let mut done = vec![false; self.members.len()];
        let mut found = Vec::with_capacity(request.members().len() + self.members.len());
        for member in request.members() {
            let name = key(text.as_bytes(), member.range.start)?;
            let mut value = Some(&text[member.value.clone()]);
            let mut changes = self.members.iter();
            if let Some(at) = changes.position(|set| set.key.is_of(&member, text.as_bytes())) {
                done[at] = true;
                value = self.members[at].json.as_deref();
            }
            let quoted = name.range().start - 1..name.range().end + 1;
            found.extend(value.map(|value| (&text[quoted], value)));
        }
        let added = self.members.iter().zip(&done).filter(|(_, done)| !**done);
        found.extend(added.filter_map(|(set, _)| Some((set.key.json(), set.json.as_deref()?))));
        Some(found)
    }

    /// Whether anything is changed within a range.
    pub(super) fn touch(&self, range: &Range<usize>) -> bool {
        self.places().any(|place| range.contains(&place))
    }

    /// Where what is left out or replaced below the top level begins.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        let cuts = self.cuts.iter().map(|(_, at)| *at);
        cuts.chain(self.edits.iter().map(|(range, _)| range.start))
    }

    pub(super) fn written(&self) -> Option<&Bytes> {
        self.written.get()
    }

    /// The text with all changes made, once.
    pub(super) fn write(&self, text: &Bytes, request: &Request) -> &Bytes {
        self.written.get_or_init(|| {
            let mut edits = Edits::new();
            let added = self.top(text, request, &mut edits);
            self.below(text, &mut edits);
            let mut edits = apart(edits);
            edits.extend(added);
            // The places come from this very text, so they fit; were it otherwise, what came is what
            // is sent.
            splice(text, &edits).map_or_else(|_| text.clone(), Bytes::from)
        })
    }

    /// The changes of members; those that are added behind the others.
    fn top<'a>(&'a self, text: &[u8], request: &Request, edits: &mut Edits<'a>) -> Edits<'a> {
        let mut done: SmallVec<[bool; 8]> = self.members.iter().map(|_| false).collect();
        let mut cut = Cuts::default();
        let mut end = request.range().start + 1;
        for member in request.members() {
            let mut changes = self.members.iter();
            let mut removed = false;
            if let Some(at) = changes.position(|set| set.key.is_of(&member, text)) {
                done[at] = true;
                match &self.members[at].json {
                    Some(json) => edits.push(Edit::new(member.value.clone(), json.as_bytes())),
                    None => removed = true,
                }
            }
            cut.member(member.range.start, member.range.end, removed);
            end = member.range.end;
        }
        let mut added = Edits::new();
        let mut first = !cut.kept_any();
        for (set, _) in self.members.iter().zip(&done).filter(|(_, done)| !**done) {
            let Some(json) = &set.json else { continue };
            let comma = if mem::take(&mut first) { "" } else { "," };
            let texts = [comma, set.key.json(), ":", json];
            added.extend(texts.map(|text| Edit::new(end..end, text.as_bytes())));
        }
        edits.extend(cut.done().into_iter().map(|range| Edit::new(range, b"")));
        added
    }

    /// The changes below the top level.
    fn below<'a>(&'a self, text: &[u8], edits: &mut Edits<'a>) {
        let mut all = self.cuts.clone();
        all.sort_unstable();
        for of_one in all.chunk_by(|one, next| one.0 == next.0) {
            let gone = |at| of_one.binary_search(&(of_one[0].0, at)).is_ok();
            let found = cuts(text, of_one[0].0, gone).unwrap_or_default();
            edits.extend(found.into_iter().map(|range| Edit::new(range, b"")));
        }
        // Of several in one place the last one counts.
        let own = self.edits.iter().rev();
        edits.extend(own.map(|(range, with)| Edit::new(range.clone(), with.as_bytes())));
    }
}

/// Those of a request of which a member or two are changed need no room of their own.
type Edits<'a> = SmallVec<[Edit<'a>; 4]>;

/// In ascending order, without those that lie within others.
fn apart(mut edits: Edits<'_>) -> Edits<'_> {
    edits.sort_by_key(|edit| (edit.range().start, Reverse(edit.range().end)));
    let mut end = 0;
    edits.retain(|edit| {
        let apart = edit.range().start >= end;
        if apart {
            end = edit.range().end;
        }
        apart
    });
    edits
}

/// The key whose quote stands at a place.
pub(super) fn key(text: &[u8], at: usize) -> Option<Str<'_>> {
    Cursor::within(text, at, usize::MAX).string().ok()
}
