use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::CommitLayer;
use crate::{body::BoxError, error::Error};

const ROLE: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n";
const TEXT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";

#[derive(Clone, Copy)]
enum Act {
    Say(&'static str),
    Break,
    Silence,
}

struct Script(VecDeque<Act>);

impl Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.0.front().copied() {
            Some(Act::Silence) => Poll::Pending,
            Some(Act::Say(text)) => {
                self.0.pop_front();
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
            }
            Some(Act::Break) => Poll::Ready(Some(Err("reset".into()))),
            None => Poll::Ready(None),
        }
    }
}

async fn run(acts: &[Act]) -> (u16, Option<String>, String) {
    let acts: VecDeque<_> = acts.iter().copied().collect();
    let service = service_fn(move |_: Request<()>| {
        let body = Script(acts.clone());
        let response = Response::builder().header("content-type", "text/event-stream");
        std::future::ready(Ok::<_, Infallible>(response.body(body).expect("valid")))
    });
    let service = CommitLayer::new().layer(service);
    let response = service.oneshot(Request::new(())).await.expect("infallible");
    let status = response.status().as_u16();
    let code = response
        .extensions()
        .get::<Error>()
        .and_then(|e| e.code().map(str::to_owned));
    let mut body = response.into_body();
    let mut text = String::new();
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(Duration::from_secs(1), body.frame()).await
    {
        text.push_str(std::str::from_utf8(frame.data_ref().expect("data")).expect("text"));
    }
    (status, code, text)
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_content_never_was() {
    use Act::{Break, Say, Silence};
    for (acts, status, code) in [
        (&[][..], 502, "bad_upstream_response"),
        (&[Say(ROLE)], 502, "bad_upstream_response"),
        (&[Say(ROLE), Break], 502, "bad_upstream_response"),
        (&[Say("data: {oops\n\n")], 502, "bad_upstream_response"),
        (&[Silence], 504, "upstream_timeout"),
        (&[Say(": waiting\n\n"), Silence], 504, "upstream_timeout"),
        (
            &[Say(ROLE), Say("data: {\"error\":{\"code\":503}}\n\n")],
            503,
            "upstream_overloaded",
        ),
        (
            &[Say("event: error\ndata: {\"code\":429}\n\n")],
            429,
            "upstream_rate_limited",
        ),
    ] {
        let (seen, found, _) = run(acts).await;
        assert_eq!((seen, found.as_deref()), (status, Some(code)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_read_goes_out_untouched() {
    use Act::{Break, Say, Silence};
    let begun = format!("{ROLE}{TEXT}");
    for (acts, text) in [
        (&[Say(ROLE), Say(TEXT), Break][..], begun.as_str()),
        (
            &[Say(": hi\n\n"), Say(TEXT), Silence],
            &format!(": hi\n\n{TEXT}"),
        ),
        (&[Say(ROLE), Silence], ROLE),
        (&[Say("data: [DONE]\n\n")], "data: [DONE]\n\n"),
        (
            &[Say(TEXT), Say("data: {\"error\":{}}\n\n")],
            &format!("{TEXT}data: {{\"error\":{{}}}}\n\n"),
        ),
    ] {
        assert_eq!(run(acts).await, (200, None, text.to_owned()));
    }
}
