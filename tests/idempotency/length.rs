//! Answers that say their length.

use super::*;

#[tokio::test]
async fn a_reader_that_knows_the_length_does_not_cancel_what_is_whole() {
    let inner = Inner::default();
    inner.answer(200, "abc");
    let service = IdempotencyLayer::new().layer(inner.clone());
    for again in [false, true] {
        let response = service
            .clone()
            .oneshot(ask("k", "hi"))
            .await
            .expect("infallible");
        assert_eq!(
            response.headers().contains_key("idempotent-replayed"),
            again
        );
        let mut body = Box::pin(response.into_body());
        let frame = body.frame().await.expect("one").expect("data");
        assert_eq!(frame.into_data().expect("data"), "abc");
        assert!(body.is_end_stream(), "nothing follows");
        drop(body);
    }
    assert_eq!((inner.calls(), inner.alive()), (1, 0));
}

/// It is charged when it is whole: whoever repeats it is not charged for another.
#[tokio::test]
async fn what_is_whole_is_kept_though_nobody_has_read_it() {
    let calls = Arc::new(AtomicUsize::new(0));
    let inner = {
        let calls = Arc::clone(&calls);
        service_fn(move |_: Request<ChatBody>| {
            calls.fetch_add(1, Ordering::SeqCst);
            let tally = Tally::new();
            tally.record_usage(Usage::new(8, 2));
            let response = Response::builder().header("content-type", "application/json");
            let response = response
                .extension(tally)
                .body(Full::new(r#"{"choices":[]}"#));
            async { Ok::<_, Infallible>(response.expect("a response")) }
        })
    };
    let ledger = MemoryLedger::new();
    ledger.grant("a", "1".parse().expect("an amount"));
    let prices = Prices::new().with("m", Price::new("1", "2").expect("decimals"));
    let cost = CostLayer::new(prices, ledger.clone());
    let service = IdempotencyLayer::new().layer(cost.layer(inner).into_inner());
    let unread = service.clone().oneshot(ask("k", "hi")).await;
    drop(unread.expect("infallible"));
    let once = books::settled(&ledger, "a").spent;
    let again = service.oneshot(ask("k", "hi")).await.expect("infallible");
    assert_eq!(whole(again).await, told(r#"{"choices":[]}"#, true));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(books::settled(&ledger, "a").spent, once);
}

/// A body that knows its length, and breaks off or waits before it is all there.
struct Known(Vec<Piece>);

impl Body for Known {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        match self.0.remove(0) {
            Ok("wait") => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            piece => Poll::Ready(Some(piece.map(|text| Frame::data(Bytes::from(text))))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(6)
    }
}

#[tokio::test]
async fn one_that_says_its_length_and_is_not_there_yet_is_read_as_it_comes() {
    let bodies: [fn() -> Vec<Piece>; 4] = [
        || vec![Ok("abc"), Ok("def")],
        || vec![Ok("abc"), Ok("wait"), Ok("def")],
        || vec![Ok("wait"), Ok("abcdef")],
        || vec![Ok("abc"), Err("cut".into())],
    ];
    for (at, body) in bodies.into_iter().enumerate() {
        for most in [3, 6] {
            let calls = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&calls);
            let inner = service_fn(move |_: Request<ChatBody>| {
                counted.fetch_add(1, Ordering::SeqCst);
                async move { Ok::<_, Infallible>(Response::new(Known(body()))) }
            });
            let service = IdempotencyLayer::new().max_answer_bytes(most).layer(inner);
            let first = service.clone().oneshot(ask("k", "hi")).await;
            let mut body = Box::pin(first.expect("infallible").into_body());
            let (mut text, mut broken) = (Vec::new(), false);
            while let Some(frame) = body.frame().await {
                match frame {
                    Ok(frame) => text.extend(frame.into_data().expect("data")),
                    Err(error) => {
                        assert_eq!(error.to_string(), "cut");
                        broken = true;
                    }
                }
            }
            drop(body);
            let cut = at == 3;
            assert_eq!(broken, cut);
            assert_eq!(
                text,
                if cut { &b"abc"[..] } else { b"abcdef" },
                "{at} {most}"
            );
            let again = service.oneshot(ask("k", "hi")).await.expect("infallible");
            let kept = !cut && most == 6;
            assert_eq!(again.headers().contains_key("idempotent-replayed"), kept);
            let asked_again = calls.load(Ordering::SeqCst) == 2;
            assert_eq!(asked_again, cut, "{at} {most}");
        }
    }
}
