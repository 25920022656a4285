//! What the lines of an event say.

use std::{mem, ops::Range, sync::Arc};

use super::{KEPT, NAME, place};
use crate::sse::event::Span;

/// What the lines of the event so far have said, and what holds until another event says otherwise.
#[derive(Clone, Default)]
pub(super) struct Fields {
    data: Data,
    name: Span,
    /// Several data lines, joined.
    pub(super) joined: Vec<u8>,
    pub(super) retry: Option<u32>,
    pub(super) id: Option<Arc<str>>,
}

#[derive(Clone, Copy, Default)]
pub(super) enum Data {
    #[default]
    None,
    One(Span),
    Joined,
}

impl Fields {
    /// Whether nothing was said that makes an event or belongs to one.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.data, Data::None) && self.name.is_empty()
    }

    /// The data and the name of an event that ends, or is not one; the next has said nothing.
    #[inline]
    pub(super) fn end(&mut self) -> (Data, Span) {
        (mem::take(&mut self.data), mem::take(&mut self.name))
    }

    /// Clears the joined lines after an event that lay in them.
    pub(super) fn forget(&mut self) {
        self.joined.clear();
        if self.joined.capacity() > KEPT {
            self.joined = Vec::new();
        }
    }

    /// Takes in one line of an event's text that is not blank.
    #[inline]
    pub(super) fn line(&mut self, event: &[u8], line: Range<usize>) {
        let text = &event[line.clone()];
        if text.starts_with(NAME) {
            self.add(event, line.start + NAME.len()..line.end);
            return;
        }
        let colon = memchr::memchr(b':', text);
        let name = &text[..colon.unwrap_or(text.len())];
        let mut value = line.start + colon.map_or(text.len(), |colon| colon + 1)..line.end;
        if colon.is_some_and(|colon| text.get(colon + 1) == Some(&b' ')) {
            value.start += 1;
        }
        match name {
            b"data" => self.add(event, value),
            b"event" => self.name = span(value),
            b"id" => self.set_id(&event[value]),
            b"retry" => self.set_retry(&event[value]),
            _ => {}
        }
    }

    #[inline]
    fn add(&mut self, event: &[u8], value: Range<usize>) {
        match self.data {
            Data::None => self.data = Data::One(span(value)),
            Data::One(first) => {
                self.joined.clear();
                self.joined.extend_from_slice(&event[first.range()]);
                self.data = Data::Joined;
                self.join(&event[value]);
            }
            Data::Joined => self.join(&event[value]),
        }
    }

    #[cold]
    fn join(&mut self, value: &[u8]) {
        self.joined.push(b'\n');
        self.joined.extend_from_slice(value);
    }

    #[cold]
    fn set_id(&mut self, value: &[u8]) {
        if !value.contains(&0) {
            let id = String::from_utf8_lossy(value);
            self.id = Some(id).filter(|id| !id.is_empty()).map(Arc::from);
        }
    }

    #[cold]
    fn set_retry(&mut self, value: &[u8]) {
        if !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
            let ms = value.iter().fold(0_u32, |ms, digit| {
                ms.saturating_mul(10)
                    .saturating_add(u32::from(digit - b'0'))
            });
            self.retry = Some(ms);
        }
    }
}

#[inline]
fn span(value: Range<usize>) -> Span {
    Span {
        start: place(value.start),
        end: place(value.end),
    }
}
