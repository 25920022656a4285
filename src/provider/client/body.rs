//! What goes to an upstream and what comes from it.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::{runtime::Handle, time::timeout};

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
    rest: Option<Rest>,
}

impl ClientBody {
    pub(super) fn of(response: Response<Incoming>) -> Response<Self> {
        let (mut head, body) = response.into_parts();
        // Where the length is known, there is nothing behind the last byte.
        let open = body.size_hint().exact().is_none();
        let rest = open.then(Rest::default);
        if let Some(rest) = &rest {
            head.extensions.insert(rest.clone());
        }
        let body = Some(body);
        Response::from_parts(head, Self { body, rest })
    }
}

/// So long and so much is read of what stands behind the last event: nothing should.
const REST_TIME: Duration = Duration::from_secs(1);
const REST_BYTES: usize = 16 * 1024;

impl Drop for ClientBody {
    fn drop(&mut self) {
        if !self.rest.as_ref().is_some_and(Rest::is_all) {
            return;
        }
        let body = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(body), Ok(runtime)) = (body, Handle::try_current()) {
            // The timer is made there: nothing may panic here.
            runtime.spawn(async move { timeout(REST_TIME, read_rest(body)).await });
        }
    }
}

async fn read_rest(mut body: Incoming) {
    let mut read = 0;
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > REST_BYTES {
            return;
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
