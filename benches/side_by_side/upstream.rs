//! An upstream that costs as little as can be: its answers are made before the first request.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, time::Sleep};

use crate::case::{Kind, PAUSE, THINKING};

struct Prepared {
    kind: Kind,
    /// What tells this kind from the others in a request.
    mark: String,
    frames: Arc<[Bytes]>,
}

fn prepare(kind: Kind) -> Prepared {
    let frames: Vec<Bytes> = match kind {
        Kind::Burst | Kind::Timed => vec![kind.events().concat().into()],
        _ if kind.streams() => kind.events().into_iter().map(Bytes::from).collect(),
        _ => vec![kind.answer().into()],
    };
    Prepared {
        kind,
        mark: format!("\"{}\"", kind.model()),
        frames: frames.into(),
    }
}

pub(crate) async fn serve() {
    let prepared: Arc<Vec<Prepared>> = Arc::new(Kind::ALL.map(prepare).into());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!(
        "listening on http://{}",
        listener.local_addr().expect("bound")
    );
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        stream.set_nodelay(true).expect("nodelay");
        let prepared = Arc::clone(&prepared);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let prepared = Arc::clone(&prepared);
                async move { answer(request, &prepared).await }
            });
            // A client that leaves is no fault here.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    prepared: &[Prepared],
) -> Result<Response<Frames>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    // The model comes first in every request of the bench.
    let head = String::from_utf8_lossy(&body[..body.len().min(64)]).into_owned();
    let found = prepared
        .iter()
        .find(|one| head.contains(&one.mark))
        .unwrap_or(&prepared[0]);
    let kind = found.kind;
    let frames = if kind == Kind::Timed {
        tokio::time::sleep(THINKING).await;
        prepare(kind).frames
    } else {
        Arc::clone(&found.frames)
    };
    let body = Frames {
        frames,
        at: 0,
        pause: (kind == Kind::Dribble).then_some(PAUSE),
        open: kind.stays_open(),
        sleep: None,
    };
    let mut response = Response::new(body);
    let media = if kind.streams() {
        "text/event-stream"
    } else {
        "application/json"
    };
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(media),
    );
    Ok(response)
}

struct Frames {
    frames: Arc<[Bytes]>,
    at: usize,
    pause: Option<Duration>,
    open: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(sleep) = &mut self.sleep {
            std::task::ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
        let Some(bytes) = self.frames.get(self.at).cloned() else {
            return if self.open {
                Poll::Pending
            } else {
                Poll::Ready(None)
            };
        };
        self.at += 1;
        if let Some(pause) = self.pause {
            self.sleep = Some(Box::pin(tokio::time::sleep(pause)));
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> SizeHint {
        match &*self.frames {
            [one] if self.at == 0 && one.starts_with(b"{") => {
                SizeHint::with_exact(one.len() as u64)
            }
            _ => SizeHint::default(),
        }
    }
}
