//! Who leaves, and what becomes of the answer.

use super::*;

/// Without it the upstream is cancelled with its last reader, and a repetition is another call.
#[tokio::test]
async fn who_leaves_and_repeats_joins_what_is_drained() {
    for drained in [true, false] {
        let inner = Inner::default();
        let layer = IdempotencyLayer::new();
        let rests = Arc::new(Mutex::new(Vec::new()));
        let spawned = Arc::clone(&rests);
        let drain = DrainLayer::new(move |rest| {
            if drained {
                spawned.lock().expect("unpoisoned").push(rest);
            }
        });
        let service = drain.layer(layer.layer(inner.clone()));
        let mut call = inner.expect();
        let mut first = Box::pin(service.clone().oneshot(ask("k", "hi")));
        assert!(poll(&mut first).is_pending());
        drop(first);
        let mut second = (!drained).then(|| inner.expect());
        let mut repeated = Box::pin(service.oneshot(ask("k", "hi")));
        assert!(poll(&mut repeated).is_pending());
        assert_eq!(inner.calls(), if drained { 1 } else { 2 });
        let call = second.as_mut().unwrap_or(&mut call);
        call.begin(StatusCode::OK);
        call.say("one");
        call.end();
        // Who comes back is the one that is told first.
        let answer = whole(repeated.await.expect("infallible")).await;
        assert_eq!(answer, told("one", false));
    }
}

#[tokio::test]
async fn whoever_stays_goes_on_wherever_the_first_leaves() {
    // Dropped before it is polled, waiting for the head, and behind each number of pieces.
    for leaves_after in 0..6 {
        let inner = Inner::default();
        let mut call = inner.expect();
        let service = IdempotencyLayer::new().layer(inner.clone());
        let mut first = Box::pin(service.clone().oneshot(ask("k", "hi")));
        if leaves_after > 0 {
            assert!(poll(&mut first).is_pending());
        }
        let other = service.clone();
        let second = tokio::spawn(async move {
            whole(other.oneshot(ask("k", "hi")).await.expect("infallible")).await
        });
        tokio::task::yield_now().await;
        if leaves_after < 2 {
            drop(first);
            tokio::task::yield_now().await;
            call.begin(StatusCode::OK);
            call.say("ab");
            call.say("c");
        } else {
            call.begin(StatusCode::OK);
            let Poll::Ready(Ok(response)) = poll(&mut first) else {
                panic!("the head is there");
            };
            let mut body = Box::pin(response.into_body());
            call.say("ab");
            call.say("c");
            for _ in 2..leaves_after {
                let _ = body
                    .as_mut()
                    .poll_frame(&mut Context::from_waker(Waker::noop()));
            }
            drop(body);
        }
        tokio::task::yield_now().await;
        call.say("d");
        call.end();
        let (text, _) = second.await.expect("no panic");
        assert_eq!(text, "abcd", "{leaves_after}");
        let response = service.oneshot(ask("k", "hi")).await.expect("infallible");
        assert_eq!(whole(response).await, told("abcd", true), "{leaves_after}");
        assert_eq!((inner.calls(), inner.alive()), (1, 0), "{leaves_after}");
    }
}

#[tokio::test]
async fn when_the_last_leaves_the_upstream_is_cancelled_and_the_key_is_free() {
    for begun in [false, true] {
        let inner = Inner::default();
        let mut call = inner.expect();
        let service = IdempotencyLayer::new().layer(inner.clone());
        let mut first = Box::pin(service.clone().oneshot(ask("k", "hi")));
        assert!(poll(&mut first).is_pending());
        let mut second = Box::pin(service.clone().oneshot(ask("k", "hi")));
        assert!(poll(&mut second).is_pending());
        if begun {
            call.begin(StatusCode::OK);
            call.say("ab");
            let Poll::Ready(Ok(head)) = poll(&mut second) else {
                panic!("the head is there");
            };
            drop(first);
            assert_eq!(inner.alive(), 1);
            drop(head);
        } else {
            drop(first);
            assert_eq!(inner.alive(), 1);
            drop(second);
        }
        assert_eq!(inner.alive(), 0, "cancelled");
        inner.answer(200, "new");
        // Another body may have the key now.
        let response = service.oneshot(ask("k", "ho")).await.expect("infallible");
        assert_eq!(whole(response).await, told("new", false));
        assert_eq!(inner.calls(), 2);
    }
}
