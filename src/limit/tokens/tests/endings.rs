//! However a request ends, its tokens are settled.

use super::*;

/// How the inner service, or the client, ends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Fails,
    Refuses,
    Hangs,
    Panics,
    Leaves,
    Breaks,
    Completes,
}

/// A body of such frames; behind them it ends, breaks off or never ends.
struct Script(
    std::collections::VecDeque<Result<&'static str, &'static str>>,
    End,
);

impl http_body::Body for Script {
    type Data = bytes::Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, &'static str>>> {
        use std::task::Poll;
        match self.0.pop_front() {
            Some(Ok(text)) => Poll::Ready(Some(Ok(http_body::Frame::data(text.into())))),
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None if self.1 == End::Leaves => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

async fn ends(end: End) -> Result<Response<Script>, &'static str> {
    const TEXT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"12345678\"}}]}\n\n";
    const USAGE: &str =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":22}}\n\n";
    let mut frames = vec![Ok(TEXT), Ok(TEXT)];
    match end {
        End::Fails => return Err("no connection"),
        End::Hangs => std::future::pending().await,
        End::Panics => panic!("a bug of the application"),
        End::Breaks => frames.push(Err("cut")),
        End::Completes => frames.extend([Ok(USAGE), Ok("data: [DONE]\n\n")]),
        End::Refuses | End::Leaves => {}
    }
    let status = match end {
        End::Refuses => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    };
    let mut response = Response::new(Script(frames.into(), end));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert("content-type", kind);
    Ok(response)
}

/// Nothing where nobody made anything of it, the prompt where nobody knows, the prompt and what was
/// seen of an answer that did not end, the truth of one that did.
#[tokio::test]
async fn tokens_are_settled_on_every_ending() {
    use futures_util::FutureExt as _;
    use http_body_util::BodyExt as _;

    let limits = Limits::new().tokens_per_minute(10_000).max_concurrent(1);
    let mut input = 0;
    for end in [
        End::Hangs,
        End::Fails,
        End::Refuses,
        End::Panics,
        End::Leaves,
        End::Breaks,
        End::Completes,
    ] {
        let (limiter, _) = limiter();
        let layer = TokenLimitLayer::new(limiter.clone()).count_requests();
        let caller = Principal::new("acme").attach(limits.clone());
        let standing = || {
            let report = limiter.standing(&caller).now_or_never();
            let report = report.expect("at once").expect("memory");
            let slots = report.concurrent.expect("a limit");
            (remaining(&report), slots.in_use)
        };
        let app = layer.layer(service_fn(move |_: Request<ChatBody>| ends(end)));
        drop(app.clone().oneshot(asking(&limits, with_max(5000))));
        assert_eq!(standing(), ((10_000, 0), 0), "never polled");
        let mut call = Box::pin(app.oneshot(asking(&limits, with_max(5000))));
        let used = match end {
            End::Hangs => {
                assert!(call.as_mut().now_or_never().is_none());
                let ((left, _), in_use) = standing();
                assert_eq!(in_use, 1);
                input = 5000 - left;
                assert!((1..100).contains(&input), "{input}");
                drop(call);
                input
            }
            End::Panics => {
                assert!(tokio::spawn(call).await.is_err());
                0
            }
            End::Fails => {
                assert!(call.await.is_err());
                0
            }
            _ => {
                let response = call.await.expect("an answer");
                let mut body = response.into_body();
                let mut broken = false;
                while let Some(Some(frame)) = body.frame().now_or_never() {
                    broken |= frame.is_err();
                }
                assert_eq!(broken, end == End::Breaks);
                drop(body);
                match end {
                    End::Refuses => 0,
                    End::Completes => 33,
                    // Sixteen bytes were seen.
                    _ => input + 4,
                }
            }
        };
        assert_eq!(standing(), ((10_000 - used, 0), 0), "{end:?}");
    }
}
