//! The index that the pass leaves behind. Its size is bounded: nothing in it grows with the
//! messages.

use std::ops::Range;

use super::{
    bounds::Bounds,
    counts::Counts,
    entries::{Entries, Entry},
    fault::{Fault, FaultKind, Unreadable},
    found::Found,
    known::Known as _,
    name::Name,
    reader::Reader,
    utf8::is_utf8,
    view::Messages,
};
use crate::wire::json::Cursor;

/// What a request is made of, and what is wrong with it. See the [module](super).
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub(super) object: Range<u32>,
    pub(super) members: Entries,
    pub(super) found: Found,
    pub(super) counts: Counts,
    /// Which of the known members are there, and which of them are null, by a bit for each.
    pub(super) present: u64,
    pub(super) nulls: u64,
    pub(super) model: Option<Box<str>>,
    pub(super) stream: Option<bool>,
    pub(super) include_usage: bool,
    pub(super) max_tokens: Option<u64>,
    pub(super) max_completion_tokens: Option<u64>,
    pub(super) n: Option<u64>,
    pub(super) tool_choice: Option<ToolChoice>,
    pub(super) effort_none: bool,
    pub(super) logprobs: Option<bool>,
    pub(super) audio_asked: bool,
    pub(super) tools: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Unknown {
    pub(super) object: u32,
    pub(super) key: u32,
}

/// A member of the request at its top level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which one; `None` for one that the API does not know.
    pub name: Option<Name>,
    /// From the key's quote to the end of the value.
    pub range: Range<usize>,
    /// The value.
    pub value: Range<usize>,
    /// Whether the value is null.
    pub is_null: bool,
}

/// A member that the API does not know, in an object that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownMember {
    /// Offset of the `{` of the object it stands in.
    pub object: usize,
    /// Offset of the key's quote.
    pub key: usize,
}

/// Which tools the model may or must call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolChoice {
    /// None.
    None,
    /// As it likes.
    Auto,
    /// At least one.
    Required,
    /// A certain one.
    Named,
    /// Of a part of those declared.
    Allowed,
}

/// Where in the request the first image of each kind of address stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageUrls {
    /// `http:`, in the clear.
    pub http: Option<usize>,
    /// Neither `https:`, `http:` nor `data:`.
    pub other: Option<usize>,
}

impl Request {
    /// Reads the text of a request.
    ///
    /// # Errors
    /// When it is not a JSON object, nested too deep, or has a key twice in an object that decides
    /// anything. What is wrong beyond that is in [`faults`](Self::faults), up to
    /// [`MAX_COUNTED`](super::MAX_COUNTED) of
    /// them: at one more it is an error too, and what follows is not read. So it is where more than
    /// [`MAX_ESCAPED`](super::MAX_ESCAPED) bytes of keys and names are spelled by escapes, or more than
    /// [`MAX_HUGE`](super::MAX_HUGE) numbers that may be as large as the largest double.
    pub fn read(text: &[u8]) -> Result<Self, Unreadable> {
        Self::read_within(text, Bounds::default())
    }

    /// Reads the text of a request within other bounds.
    ///
    /// # Errors
    /// As [`read`](Self::read), and when there is more of anything.
    pub fn read_within(text: &[u8], bounds: Bounds) -> Result<Self, Unreadable> {
        if u32::try_from(text.len()).is_err() {
            return Err(Unreadable::TooLong);
        }
        // One pass over the bytes spares two others: the search for broken UTF-8 in plain ASCII, and
        // for control characters within each string.
        let (ascii, clean) = survey(text);
        if !ascii && !is_utf8(text) {
            if let Err(error) = std::str::from_utf8(text) {
                return Err(Unreadable::Encoding(error.valid_up_to()));
            }
        }
        let cursor = Cursor::within(text, 0, bounds.values)
            .with_escaped(bounds.escaped)
            .with_huge(bounds.huge);
        let cursor = if clean { cursor.clean() } else { cursor };
        // The index is large: it is filled where it is returned.
        let mut read = Ok(Self::default());
        if let Ok(request) = &mut read {
            request.found.bear(bounds.faults);
            if let Err(why) = Reader::new(text, cursor, request).all(bounds.values) {
                read = Err(*why);
            }
        }
        read
    }

    /// What is wrong, in the order of the text but for what concerns several members, which comes
    /// last; the first [`MAX_FAULTS`](super::MAX_FAULTS) of them.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.found.faults
    }

    /// How many faults there are in all.
    #[must_use]
    pub fn fault_count(&self) -> usize {
        self.found.fault_count as usize
    }

    /// Whether a member that decides how the request is treated (`model`, `messages`, `stream`,
    /// `stream_options`, `n` and the limits) is missing or of the wrong type; the first such fault.
    #[must_use]
    pub fn deciding_fault(&self) -> Option<&Fault> {
        self.found.faults.iter().find(|fault| match fault.kind {
            FaultKind::Missing(_) => fault.at == self.object.start as usize,
            FaultKind::Type(_) => self.members.all().iter().any(|member| {
                let here = (member.start..member.end).contains(&(fault.at as u32));
                here && match member.name {
                    Some(Name::Messages) => member.start as usize == fault.at,
                    Some(
                        Name::Model
                        | Name::Stream
                        | Name::StreamOptions
                        | Name::N
                        | Name::MaxTokens
                        | Name::MaxCompletionTokens,
                    ) => true,
                    _ => false,
                }
            }),
            _ => false,
        })
    }

    /// The model, when it is a string.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// `stream`; `None` when absent, null or of the wrong type.
    #[must_use]
    pub fn stream(&self) -> Option<bool> {
        self.stream
    }

    /// `stream_options.include_usage`.
    #[must_use]
    pub fn include_usage(&self) -> bool {
        self.include_usage
    }

    /// `max_tokens`.
    #[must_use]
    pub fn max_tokens(&self) -> Option<u64> {
        self.max_tokens
    }

    /// `max_completion_tokens`.
    #[must_use]
    pub fn max_completion_tokens(&self) -> Option<u64> {
        self.max_completion_tokens
    }

    /// `n`.
    #[must_use]
    pub fn n(&self) -> Option<u64> {
        self.n
    }

    /// `tool_choice`.
    #[must_use]
    pub fn tool_choice(&self) -> Option<ToolChoice> {
        self.tool_choice
    }

    /// Whether `reasoning_effort` is `none`: the model is not to reason.
    #[must_use]
    pub fn is_reasoning_off(&self) -> bool {
        self.effort_none
    }

    /// The kinds of addresses that images have.
    #[must_use]
    pub fn image_urls(&self) -> ImageUrls {
        let place = |at: std::num::NonZeroU32| at.get() as usize;
        ImageUrls {
            http: self.found.http_image.map(place),
            other: self.found.other_image.map(place),
        }
    }

    /// How much there is of what.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The range of the whole object, braces included.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.object.start as usize..self.object.end as usize
    }

    /// The members at the top level, in their order.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Member> {
        self.members.all().iter().map(Entry::member)
    }

    /// A member that is there, null or not.
    #[must_use]
    pub fn member(&self, name: Name) -> Option<Member> {
        if self.present & 1 << name.index() == 0 {
            return None;
        }
        let entry = self
            .members
            .all()
            .iter()
            .find(|entry| entry.name == Some(name));
        entry.map(Entry::member)
    }

    /// Whether a member is there and not null.
    #[must_use]
    pub fn has(&self, name: Name) -> bool {
        self.present & !self.nulls & 1 << name.index() != 0
    }

    /// The members that the API does not know, at all levels that it does.
    pub fn unknown(&self) -> impl ExactSizeIterator<Item = UnknownMember> {
        self.found.unknown.iter().map(|unknown| UnknownMember {
            object: unknown.object as usize,
            key: unknown.key as usize,
        })
    }

    /// Whether there were more unknown members than [`MAX_UNKNOWN`](super::MAX_UNKNOWN).
    #[must_use]
    pub fn has_more_unknown(&self) -> bool {
        self.found.unknown_left_out
    }

    /// The messages, read again from the text that this is the index of.
    #[must_use]
    pub fn messages<'a>(&self, text: &'a [u8]) -> Messages<'a> {
        let member = self.member(Name::Messages);
        Messages::new(text, member.map(|member| member.value.start))
    }
}

/// Whether all is ASCII, and whether nothing is a control character.
fn survey(text: &[u8]) -> (bool, bool) {
    // So many that the compiler keeps all of them in vectors.
    const WIDTH: usize = 64;
    let (mut all, mut least) = ([0; WIDTH], [u8::MAX; WIDTH]);
    let mut take = |block: &[u8; WIDTH]| {
        for at in 0..WIDTH {
            all[at] |= block[at];
            least[at] = least[at].min(block[at]);
        }
    };
    let mut blocks = text.chunks_exact(WIDTH);
    for block in &mut blocks {
        block.first_chunk().map(&mut take);
    }
    let rest = blocks.remainder();
    match text.last_chunk() {
        // What is left is in the last block; it does not matter that other bytes are twice.
        Some(block) => take(block),
        None => {
            let mut block = [b' '; WIDTH];
            block[..rest.len()].copy_from_slice(rest);
            take(&block);
        }
    }
    let control = least.iter().fold(false, |any, byte| any | (*byte < 0x20));
    (all.is_ascii(), !control)
}
