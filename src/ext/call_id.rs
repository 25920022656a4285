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

    /// A new id: `req_` and 24 random hexadecimal digits.
    #[must_use]
    pub fn random() -> Self {
        Self(id::request_value())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Made of visible ASCII only.
        self.0.to_str().unwrap_or_default()
    }

    /// The id as the value of a header.
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
