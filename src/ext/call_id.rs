use http::HeaderValue;

use crate::id;

/// The id of a request: what its answer has as `x-request-id`. Put into the request by
/// [`RequestIdLayer`](crate::stack::RequestIdLayer), and so by `Gateway`: what is inside may log it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallId(HeaderValue);

impl CallId {
    /// An id of this text; `None` unless it is 1 to 128 visible ASCII characters.
    #[must_use]
    pub fn new(id: HeaderValue) -> Option<Self> {
        let is_id = (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
        is_id.then_some(Self(id))
    }

    /// One that has not been: `req_` and 24 hexadecimal digits.
    #[must_use]
    pub fn random() -> Self {
        Self(id::request_value())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Made of visible ASCII only.
        self.0.to_str().unwrap_or_default()
    }

    /// As a header has it.
    #[must_use]
    pub const fn header(&self) -> &HeaderValue {
        &self.0
    }
}

impl From<CallId> for HeaderValue {
    fn from(id: CallId) -> Self {
        id.0
    }
}
