//! What is kept, of all and of one caller, has bounds.

use super::*;

#[tokio::test]
async fn too_large_an_answer_is_for_the_first_alone() {
    let inner = Inner::default();
    let service = IdempotencyLayer::new()
        .max_answer_bytes(3)
        .layer(inner.clone());
    let mut call = inner.expect();
    call.begin(StatusCode::OK);
    let first = service
        .clone()
        .oneshot(ask("k", "hi"))
        .await
        .expect("a head");
    let joined = service
        .clone()
        .oneshot(ask("k", "hi"))
        .await
        .expect("a head");
    call.say("abc");
    call.say("def");
    call.end();
    assert_eq!(whole(first).await, told("abcdef", false));
    assert!(
        joined.into_body().collect().await.is_err(),
        "cut, not cut short"
    );
    let late = service.oneshot(ask("k", "hi")).await.expect("infallible");
    assert_eq!(late.status(), 409);
    let error = late.extensions().get::<Error>().expect("kept");
    assert_eq!(error.code(), Some("idempotency_answer_too_large"));
    assert_eq!((inner.calls(), inner.alive()), (1, 0));
}

#[tokio::test]
async fn answers_are_kept_for_a_time_and_in_bounds() {
    let clock = Clock::new();
    let later = |time| clock.advance(time);
    let inner = Inner::default();
    let service = IdempotencyLayer::new()
        .keep(Duration::from_secs(60))
        .max_keys(2)
        .max_bytes(5)
        .timer(clock.clone())
        .layer(inner.clone());
    let get = async |key: &str| {
        let response = service
            .clone()
            .oneshot(ask(key, "hi"))
            .await
            .expect("infallible");
        (response.status().as_u16(), whole(response).await)
    };
    inner.answer(200, "abc");
    assert_eq!(get("a").await, (200, told("abc", false)));
    later(Duration::from_secs(59));
    assert_eq!(get("a").await, (200, told("abc", true)));
    later(Duration::from_secs(1));
    inner.answer(200, "def");
    assert_eq!(
        get("a").await,
        (200, told("def", false)),
        "a minute is over"
    );
    inner.answer(200, "ghi");
    assert_eq!(get("b").await, (200, told("ghi", false)));
    inner.answer(200, "jkl");
    assert_eq!(
        get("a").await,
        (200, told("jkl", false)),
        "six bytes are too many"
    );
    // Two under way, and a third.
    let (_c, _d) = (inner.expect(), inner.expect());
    let mut open = Vec::new();
    for key in ["c", "d"] {
        let mut call = Box::pin(service.clone().oneshot(ask(key, "hi")));
        assert!(poll(&mut call).is_pending());
        open.push(call);
    }
    assert_eq!(get("e").await.0, 503);
    drop(open);
    inner.answer(200, "mno");
    assert_eq!(get("e").await, (200, told("mno", false)));
    assert_eq!(inner.alive(), 0);
}

/// Asks under a key as a caller, who is given the answer for the first time, or again.
async fn as_caller<S, B>(service: &S, inner: &Inner, caller: &str, key: &str, again: bool)
where
    S: Service<Request<Full>, Response = Response<B>, Error = Infallible> + Clone,
    B: Body<Data = Bytes>,
{
    if !again {
        inner.answer(200, "0123456789");
    }
    let mut request = ask(key, "hi");
    request.extensions_mut().insert(Principal::new(caller));
    let response = service.clone().oneshot(request).await.expect("infallible");
    assert_eq!(response.status(), 200, "{caller} {key}");
    assert_eq!(
        whole(response).await,
        told("0123456789", again),
        "{caller} {key}"
    );
}

#[tokio::test]
async fn one_caller_does_not_push_out_what_others_have() {
    let layers = [
        IdempotencyLayer::new().max_keys(10).max_keys_per_caller(3),
        IdempotencyLayer::new()
            .max_bytes(100)
            .max_bytes_per_caller(30),
    ];
    for layer in layers {
        let inner = Inner::default();
        let service = layer.layer(inner.clone());
        as_caller(&service, &inner, "b", "mine", false).await;
        for n in 0..50 {
            as_caller(&service, &inner, "a", &format!("k{n}"), false).await;
        }
        as_caller(&service, &inner, "b", "mine", true).await;
        // Its own latest are there, and its own oldest made room for them.
        as_caller(&service, &inner, "a", "k49", true).await;
        as_caller(&service, &inner, "a", "k47", true).await;
        as_caller(&service, &inner, "a", "k46", false).await;
    }
}

#[tokio::test]
async fn one_caller_does_not_take_every_place_under_way() {
    let inner = Inner::default();
    let layer = IdempotencyLayer::new().max_keys(10).max_keys_per_caller(2);
    let service = layer.layer(inner.clone());
    let mut open = Vec::new();
    for (key, status) in [("k0", 200), ("k1", 200), ("k2", 503)] {
        if status == 200 {
            inner.answer(200, "x");
        }
        let response = service.clone().oneshot(ask(key, "hi")).await;
        let response = response.expect("infallible");
        assert_eq!(response.status(), status, "{key}");
        open.push(response);
    }
    as_caller(&service, &inner, "b", "mine", false).await;
    // Left before their ends, their places are free again.
    drop(open);
    as_caller(&service, &inner, "a", "k9", false).await;
}

#[tokio::test]
async fn one_caller_does_not_take_all_the_room_for_answers_under_way() {
    let inner = Inner::default();
    let layer = IdempotencyLayer::new()
        .max_bytes(100)
        .max_bytes_per_caller(15);
    let service = layer.layer(inner.clone());
    // Of two answers under way, ten bytes each, the second is more than its caller may keep.
    let mut open = Vec::new();
    for (caller, key) in [("a", "one"), ("a", "two"), ("b", "one")] {
        let mut call = inner.expect();
        call.begin(StatusCode::OK);
        let mut request = ask(key, "hi");
        request.extensions_mut().insert(Principal::new(caller));
        let response = service.clone().oneshot(request).await.expect("infallible");
        let mut body = Box::pin(response.into_body());
        call.say("0123456789");
        let frame = body.frame().await.expect("one").expect("data");
        assert_eq!(frame.into_data().expect("data"), "0123456789");
        open.push((call, body));
    }
    let again = async |caller: &str, key: &str| {
        let mut request = ask(key, "hi");
        request.extensions_mut().insert(Principal::new(caller));
        let response = service.clone().oneshot(request).await.expect("infallible");
        response.status().as_u16()
    };
    assert_eq!(again("a", "one").await, 200);
    assert_eq!(again("a", "two").await, 409, "nothing of it is kept");
    assert_eq!(again("b", "one").await, 200, "who is another caller");
    // With the first one gone there is room again.
    open.remove(0);
    inner.answer(200, "0123456789");
    assert_eq!(again("a", "three").await, 200);
}
