use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::Chat;

/// A request body that has been read and parsed: the proof, for the layers inside, that it could be.
///
/// Read as a body it yields the request with all changes made, once.
#[derive(Clone, Debug)]
pub struct ChatBody {
    chat: Chat,
    read: bool,
}

impl ChatBody {
    /// The body of a parsed request.
    #[must_use]
    pub const fn new(chat: Chat) -> Self {
        Self { chat, read: false }
    }

    /// The request.
    #[must_use]
    pub const fn chat(&self) -> &Chat {
        &self.chat
    }

    /// The request, to be changed for the layers inside.
    pub const fn chat_mut(&mut self) -> &mut Chat {
        &mut self.chat
    }
}

impl Body for ChatBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.read, true) {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(self.chat.bytes()))))
    }

    fn is_end_stream(&self) -> bool {
        self.read
    }

    fn size_hint(&self) -> SizeHint {
        let left = if self.read {
            0
        } else {
            self.chat.bytes().len()
        };
        SizeHint::with_exact(left as u64)
    }
}
