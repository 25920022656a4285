//! What goes to an upstream and what comes from it.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::ends::Ends;
use crate::{
    body::{BoxError, Full},
    ext::Sending,
    provider::rest::Rest,
};

/// What is sent to an upstream. It is read once there is a connection for it: before that, nothing of it
/// has been sent.
pub(super) struct Sent {
    body: Full,
    sending: Option<Sending>,
}

impl Sent {
    pub(super) fn new(body: Full, sending: Option<Sending>) -> Self {
        Self { body, sending }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(sending) = self.sending.take() {
            sending.begins();
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What an upstream sends. One that is dropped closes its connection, but behind the last event of a stream:
/// its end, which may come apart from that, is waited for so that the connection can be used again.
#[derive(Debug)]
pub struct ClientBody {
    // Gone when it is dropped.
    body: Option<Incoming>,
    rest: Option<(Rest, Ends)>,
}

impl ClientBody {
    pub(super) fn of(response: Response<Incoming>, ends: &Ends) -> Response<Self> {
        let (mut head, body) = response.into_parts();
        // Where the length is known, there is nothing behind the last byte.
        let open = body.size_hint().exact().is_none();
        let rest = open.then(|| (Rest::default(), ends.clone()));
        if let Some((rest, _)) = &rest {
            head.extensions.insert(rest.clone());
        }
        let body = Some(body);
        Response::from_parts(head, Self { body, rest })
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        let Some((_, ends)) = self.rest.as_ref().filter(|(rest, _)| rest.is_all()) else {
            return;
        };
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            ends.wait(body);
        }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.as_ref();
        body.map_or_else(Default::default, Incoming::size_hint)
    }
}
