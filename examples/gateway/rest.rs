//! What a client is still sending when its request has been answered.
//!
//! Over HTTP/1.1 hyper closes a connection on which a body is left unread, and the kernel resets it. A client
//! that sends all of a body before it reads, as Python's `http.client` does, is then told of a broken
//! pipe and never of its answer: the 413 of a body that is too large above all. Over HTTP/2 the
//! stream is reset behind the answer, which some take for a failure. So the rest is read for a while, and
//! thrown away.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{runtime::Handle, time::timeout};

/// For how long it is read; less than open requests have when the server stops.
const LONGEST: Duration = Duration::from_secs(8);

/// How long the next of it may take.
const IDLE: Duration = Duration::from_secs(2);

/// How much of it is read.
const MOST: usize = 64 << 20;

/// The body of a request, whose rest is read when nobody wants it any more.
pub struct Rest {
    /// Taken when it is dropped.
    body: Option<Incoming>,
    /// There may be more of it, and it comes by itself.
    comes: bool,
}

impl Rest {
    pub fn of(body: Incoming, headers: &HeaderMap) -> Self {
        Self {
            body: Some(body),
            // Who asks before it sends is not told to by our reading.
            comes: !headers.contains_key(header::EXPECT),
        }
    }
}

impl Body for Rest {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(cx);
        // Who has asked is told to go on by this.
        self.comes = !matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if !self.comes || self.is_end_stream() {
            return;
        }
        if let (Some(body), Ok(runtime)) = (self.body.take(), Handle::try_current()) {
            runtime.spawn(timeout(LONGEST, read(body)));
        }
    }
}

async fn read(mut body: Incoming) {
    let mut left = MOST;
    while let Ok(Some(Ok(frame))) = timeout(IDLE, body.frame()).await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(less) = left.checked_sub(length) else {
            return;
        };
        left = less;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use hyper::{server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::{
        io::AsyncWriteExt,
        time::{Instant, sleep},
    };
    use tower_completions::body::Full;

    use super::*;

    /// Sends a body of which nobody wants anything, one byte each second or none: how long the
    /// connection lasts.
    async fn lasts(drips: bool) -> Duration {
        let (mut client, server) = tokio::io::duplex(1 << 10);
        let service = service_fn(async |request: Request<Incoming>| {
            let (head, body) = request.into_parts();
            drop(Rest::of(body, &head.headers));
            Ok::<_, Infallible>(Response::new(Full::new("no")))
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
        let serving = tokio::spawn(connection);
        let begun = Instant::now();
        client
            .write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n.")
            .await
            .expect("open");
        while drips && !serving.is_finished() {
            sleep(Duration::from_secs(1)).await;
            let _ = client.write_all(b".").await;
        }
        let _ = serving.await.expect("no panic");
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_no_more_is_let_go() {
        assert_eq!(lasts(false).await.as_secs(), IDLE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_for_ever_is_let_go() {
        let lasted = lasts(true).await.as_secs();
        assert!((LONGEST.as_secs()..LONGEST.as_secs() + 3).contains(&lasted));
    }
}
