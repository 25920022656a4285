use std::{borrow::Cow, fmt, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;

/// Where something lies in the bytes of its event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// One event of a stream.
///
/// Name and data are slices of the bytes that it came in.
#[derive(Clone)]
pub struct Event {
    pub(super) raw: Bytes,
    pub(super) data: Span,
    pub(super) name: Span,
    pub(super) retry: Option<u32>,
    pub(super) id: Option<Arc<str>>,
}

impl Event {
    /// An event of these data alone.
    pub(super) fn of(raw: Bytes) -> Self {
        let end = u32::try_from(raw.len()).unwrap_or(u32::MAX);
        Self {
            raw,
            data: Span { start: 0, end },
            name: Span::default(),
            retry: None,
            id: None,
        }
    }

    /// The data: all `data` lines, joined by line feeds. Whether they are UTF-8 is not checked.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.raw[self.data.range()]
    }

    /// The data, sharing the bytes that they came in.
    #[must_use]
    pub fn into_data(self) -> Bytes {
        self.raw.slice(self.data.range())
    }

    /// The data as text, with U+FFFD in place of what is not UTF-8.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.data())
    }

    /// The event's type: `None` where the standard says `message`, or when it is not UTF-8.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let name = &self.raw[self.name.range()];
        std::str::from_utf8(name)
            .ok()
            .filter(|name| !name.is_empty())
    }

    /// The last id that the stream gave, in this event or an earlier one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The reconnection time that came with this event; 49 days at most.
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        self.retry.map(|ms| Duration::from_millis(ms.into()))
    }
}

/// Shows the name and the size; data may be what somebody wrote in private.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("name", &self.name())
            .field("bytes", &self.data().len())
            .finish_non_exhaustive()
    }
}
