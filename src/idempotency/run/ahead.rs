//! A body of which something has been read.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};

use crate::body::{BoxBody, BoxError};

/// A body, and what has been read of it already and is to be read again.
pub(super) struct Ahead {
    pub(super) ahead: Option<Result<Bytes, BoxError>>,
    pub(super) body: BoxBody,
}

impl Body for Ahead {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.ahead.take() {
            Some(ahead) => Poll::Ready(Some(ahead.map(Frame::data))),
            None => Pin::new(&mut self.body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_none() && self.body.is_end_stream()
    }
}
