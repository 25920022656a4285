//! The failures that gateways are compared by, through the whole gateway in one process: for each
//! the status, the body, the attempts, the charge and the breaker.

#![cfg(feature = "mock")]

#[path = "support/books.rs"]
mod books;
#[path = "support/stage.rs"]
mod stage;

use std::{sync::atomic::Ordering, time::Duration};

use http::StatusCode;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tower_completions::{
    Attempts, Dialect, Served,
    cost::{Amount, Receipt},
    error::TimeOut,
    meter::{Outcome, Tally},
    mock::{Fault, Script},
    reframe::ReframeLayer,
    router::{Candidate, Model},
};

use stage::{COST, FALLBACK_COST, Stage};

fn filtered() -> Script {
    Script::error(
        StatusCode::BAD_REQUEST,
        "invalid_request_error",
        "content_filter",
        "The response was filtered",
    )
}

#[tokio::test(start_paused = true)]
async fn a_429_with_retry_after() {
    for stream in [false, true] {
        // Waited for, where there is nobody else.
        let stage = Stage::solo();
        stage.a.queue(Script::rate_limited("2"));
        let start = tokio::time::Instant::now();
        stage.ask(stream).await.is(200, "", 2).whole().charged(COST);
        assert!((2..3).contains(&start.elapsed().as_secs()));
        assert_eq!(stage.closed(), [true]);
        // Not waited for, where there is.
        let stage = Stage::pair();
        stage.a.queue(Script::rate_limited("2"));
        let start = tokio::time::Instant::now();
        stage.ask(stream).await.is(200, "", 2).whole().charged(COST);
        assert!(start.elapsed() < Duration::from_secs(1));
        // It rests as long as it said, without a request that finds out.
        stage.ask(stream).await.is(200, "", 1).whole().charged(COST);
        assert_eq!(stage.calls(), (1, 2));
        tokio::time::advance(Duration::from_secs(2)).await;
        stage.ask(stream).await.is(200, "", 1).whole().charged(COST);
        assert_eq!((stage.calls(), stage.closed()), ((2, 2), vec![true, true]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_persistent_429() {
    for stream in [false, true] {
        let stage = Stage::pair();
        for _ in 0..3 {
            stage.a.queue(Script::rate_limited("30"));
            stage.b.queue(Script::rate_limited("40"));
        }
        let seen = stage.ask(stream).await;
        seen.is(429, "upstream_rate_limited", 2).charged("0");
        assert_eq!(seen.json()["error"]["type"], "rate_limit_error");
        assert_eq!(seen.headers["retry-after"], "40");
        // Those who rest are left alone, and the client is told how long.
        let seen = stage.ask(stream).await;
        seen.is(429, "upstream_rate_limited", 0).charged("0");
        assert_eq!(seen.headers["retry-after"], "30");
        assert_eq!((stage.calls(), stage.closed()), ((1, 1), vec![true, true]));
    }
}

#[tokio::test(start_paused = true)]
async fn one_500() {
    for stream in [false, true] {
        for stage in [Stage::solo(), Stage::pair()] {
            stage.a.queue(Script::failed());
            let seen = stage.ask(stream).await;
            seen.is(200, "", 2).whole().charged(COST);
            let tried = seen.extensions.get::<Attempts>().expect("one in vain");
            assert_eq!(tried.len(), 1);
            let error = tried[0].error.as_ref().expect("it failed");
            assert_eq!(
                (&*tried[0].target.provider, error.code()),
                ("a", Some("bad_upstream_response"))
            );
            assert!(stage.closed().iter().all(|closed| *closed));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_persistent_503() {
    for stream in [false, true] {
        let stage = Stage::solo();
        for _ in 0..60 {
            stage.a.queue(Script::overloaded());
        }
        let seen = stage.ask(stream).await;
        seen.is(503, "upstream_overloaded", 3).charged("0");
        assert_eq!(seen.json()["error"]["type"], "overloaded_error");
        assert_eq!(
            seen.extensions.get::<Attempts>().map(|tried| tried.len()),
            Some(3)
        );
        for _ in 0..3 {
            let seen = stage.ask(stream).await;
            seen.is(503, "upstream_overloaded", 3).charged("0");
        }
        assert_eq!(stage.closed(), [true], "charged once a request");
        let seen = stage.ask(stream).await;
        seen.is(503, "upstream_overloaded", 3).charged("0");
        assert_eq!(stage.closed(), [false]);
        // Open: one request still tries its luck, and does not insist.
        let (before, _) = stage.calls();
        stage
            .ask(stream)
            .await
            .is(503, "upstream_overloaded", 1)
            .charged("0");
        assert_eq!(stage.calls(), (before + 1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_before_the_headers() {
    for stream in [false, true] {
        let stage = Stage::pair();
        stage.a.queue(Script::reset());
        stage.ask(stream).await.is(200, "", 2).whole().charged(COST);
        assert_eq!(stage.closed(), [true, true]);
        for _ in 0..9 {
            stage.a.queue(Script::reset());
            stage.b.queue(Script::reset());
        }
        let seen = stage.ask(stream).await;
        seen.is(502, "upstream_unreachable", 3).charged("0");
        assert_eq!(seen.json()["error"]["type"], "upstream_error");
        assert_eq!(stage.closed(), [true, true]);
    }
}

#[tokio::test(start_paused = true)]
async fn no_response() {
    for (stream, time, seconds) in [
        (false, TimeOut::Attempt, 60),
        (true, TimeOut::FirstEvent, 30),
    ] {
        let stage = Stage::pair();
        stage.a.queue(Script::silent());
        let start = tokio::time::Instant::now();
        let seen = stage.ask(stream).await;
        seen.is(200, "", 2).whole().charged(COST);
        assert_eq!(start.elapsed().as_secs(), seconds);
        let tried = seen.extensions.get::<Attempts>().expect("one in vain");
        let error = tried[0].error.as_ref().expect("it failed");
        assert_eq!(error.time_out(), Some(time));
        assert_eq!(stage.closed(), [true, true]);
        for _ in 0..9 {
            stage.a.queue(Script::silent());
            stage.b.queue(Script::silent());
        }
        let seen = stage.ask(stream).await;
        seen.is(504, "upstream_timeout", 3).charged("0");
        assert_eq!(stage.closed(), [true, true]);
        assert_eq!(
            stage.a.log().counts().cancelled + stage.b.log().counts().cancelled,
            4
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_first_token() {
    // A head at once and then nothing for long: the next target, invisibly.
    let slow = |seconds| Script::echo().with_slices(1, Duration::from_secs(seconds));
    let stage = Stage::pair();
    stage.a.queue(slow(31));
    let seen = stage.ask(true).await;
    seen.is(200, "", 2).whole().charged(COST);
    let error = seen
        .extensions
        .get::<Attempts>()
        .and_then(|t| t[0].error.clone());
    let error = error.expect("it failed");
    assert_eq!(error.code(), Some("upstream_timeout"));
    assert_eq!(error.time_out(), Some(TimeOut::FirstEvent));
    assert!(
        error.message().contains("first event"),
        "{}",
        error.message()
    );
    assert_eq!(stage.closed(), [true, true]);
    // Again and again it is a failure as any other.
    for nth in 1..5 {
        assert_eq!(stage.closed(), [true, true], "{nth}");
        stage.a.queue(slow(31));
        stage.ask(true).await.is(200, "", 2).whole().charged(COST);
    }
    assert_eq!((stage.calls(), stage.closed()), ((5, 5), vec![false, true]));
    // Slow, and in time.
    let stage = Stage::pair();
    stage
        .a
        .queue(Script::echo().with_delay(Duration::from_secs(29)));
    stage.ask(true).await.is(200, "", 1).whole().charged(COST);
    assert_eq!((stage.calls(), stage.closed()), ((1, 0), vec![true, true]));
    // Nobody in time.
    let stage = Stage::solo();
    for _ in 0..3 {
        stage.a.queue(slow(31));
    }
    stage
        .ask(true)
        .await
        .is(504, "upstream_timeout", 3)
        .charged("0");
    assert_eq!(stage.closed(), [true]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_cut() {
    let stage = Stage::pair();
    // Before the first content nobody has seen anything.
    stage.a.queue(Script::echo().with_fault(1, Fault::Cut));
    stage.ask(true).await.is(200, "", 2).whole().charged(COST);
    // After it nothing is retried, and what came is charged: 8 bytes of text are 2 tokens, and the
    // prompt by its estimate is 11.
    for nth in 0..4 {
        assert_eq!(stage.closed(), [true, true], "{nth}");
        stage.a.queue(Script::echo().with_fault(3, Fault::Cut));
        let seen = stage.ask(true).await;
        seen.is(200, "bad_upstream_response", 1).broken("two");
        seen.charged("0.000015");
    }
    assert_eq!(stage.closed(), [false, true], "cut streams count");
    stage.ask(true).await.is(200, "", 1).whole().charged(COST);
    // An answer in one piece that is cut was never begun.
    let stage = Stage::pair();
    stage.a.queue(Script::echo().with_fault(0, Fault::Cut));
    stage.ask(false).await.is(200, "", 2).whole().charged(COST);
    assert_eq!((stage.calls(), stage.closed()), ((1, 1), vec![true, true]));
}

#[tokio::test(start_paused = true)]
async fn a_stall() {
    let stage = Stage::pair();
    stage.a.queue(Script::echo().with_fault(3, Fault::Stall));
    let start = tokio::time::Instant::now();
    let seen = stage.ask(true).await;
    seen.is(200, "upstream_timeout", 1)
        .broken("two")
        .charged("0.000015");
    assert!(seen.text.contains("nothing more in time"), "{}", seen.text);
    assert_eq!(start.elapsed().as_secs(), 20);
    assert_eq!((stage.calls(), stage.closed()), ((1, 0), vec![true, true]));
    let tally = seen.extensions.get::<Tally>().expect("told");
    let Some(Outcome::Failed(error)) = tally.outcome() else {
        panic!("{tally:?}");
    };
    assert_eq!(error.time_out(), Some(TimeOut::Idle));
    // Before the first event it is another target's turn.
    let stage = Stage::pair();
    stage.a.queue(Script::echo().with_fault(0, Fault::Stall));
    stage.ask(true).await.is(200, "", 2).whole().charged(COST);
    for nth in 0..4 {
        assert_eq!(stage.closed(), [true, true], "{nth}");
        stage.a.queue(Script::echo().with_fault(3, Fault::Stall));
        let seen = stage.ask(true).await;
        seen.is(200, "upstream_timeout", 1).broken("two");
        seen.charged("0.000015");
    }
    assert_eq!(stage.closed(), [false, true]);
    // In one piece: the attempt's time-out.
    let stage = Stage::pair();
    stage.a.queue(Script::echo().with_fault(0, Fault::Stall));
    let seen = stage.ask(false).await;
    seen.is(200, "", 2).whole().charged(COST);
    let tried = seen.extensions.get::<Attempts>().expect("one in vain");
    let error = tried[0].error.as_ref().expect("it failed");
    assert_eq!(error.code(), Some("upstream_timeout"));
    assert_eq!((stage.calls(), stage.closed()), ((1, 1), vec![true, true]));
}

#[tokio::test(start_paused = true)]
async fn keep_alives_flow_once_the_look_ahead_is_over() {
    // A role at once, and nothing to read for long: the head goes out after the ten seconds that
    // content is waited for, and from then on the client hears that somebody is there.
    let stage = Stage::pair();
    stage
        .a
        .queue(Script::echo().with_event_delay(Duration::from_secs(18)));
    let reframe = ReframeLayer::new(Dialect::openai())
        .idle_timeout(Duration::from_secs(20))
        .keep_alive(Duration::from_secs(3));
    let start = tokio::time::Instant::now();
    let request = Stage::request(true, "");
    let call = stage.service_with(reframe).oneshot(request);
    let response = call.await.expect("infallible");
    assert_eq!(
        (response.status().as_u16(), start.elapsed().as_secs()),
        (200, 10)
    );
    assert_eq!(response.headers()["x-attempts"], "1");
    let mut body = response.into_body();
    let mut heard = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.expect("no error reaches the client");
        let text = String::from_utf8(frame.into_data().expect("data").to_vec()).expect("UTF-8");
        let what = match text.as_str() {
            ": keep-alive\n\n" => "alive",
            role if role.contains("\"role\"") => "role",
            word if word.contains("one") => "one",
            _ => break,
        };
        heard.push((what, start.elapsed().as_secs()));
    }
    let alive = [13, 16].map(|at| ("alive", at));
    let later = [21, 24, 27, 30, 33].map(|at| ("alive", at));
    let want = [&[("role", 10)][..], &alive, &[("one", 18)], &later].concat();
    assert_eq!(heard, want);
    drop(body);
    assert_eq!((stage.calls(), stage.closed()), ((1, 0), vec![true, true]));
    assert!(books::settled(&stage.ledger, "demo").spent > Amount::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_chunk() {
    let stage = Stage::pair();
    stage
        .a
        .queue(Script::echo().with_fault(1, Fault::Malformed));
    stage.ask(true).await.is(200, "", 2).whole().charged(COST);
    stage
        .a
        .queue(Script::echo().with_fault(3, Fault::Malformed));
    let seen = stage.ask(true).await;
    seen.is(200, "bad_upstream_response", 1)
        .broken("two")
        .charged("0.000015");
    assert_eq!((stage.calls(), stage.closed()), ((2, 1), vec![true, true]));
    for script in [Script::garbage, Script::html] {
        let stage = Stage::pair();
        for stream in [false, true] {
            stage.a.queue(script());
            stage.ask(stream).await.is(200, "", 2).whole().charged(COST);
        }
        assert_eq!(stage.closed(), [true, true]);
    }
    for nth in 0..3 {
        assert_eq!(stage.closed(), [true, true], "{nth}");
        stage
            .a
            .queue(Script::echo().with_fault(3, Fault::Malformed));
        let seen = stage.ask(true).await;
        seen.is(200, "bad_upstream_response", 1).broken("two");
        seen.charged("0.000015");
    }
    assert_eq!(stage.closed(), [false, true]);
}

#[tokio::test(start_paused = true)]
async fn no_done() {
    let stage = Stage::pair();
    for _ in 0..6 {
        stage.a.queue(Script::echo().without_done());
        let seen = stage.ask(true).await;
        seen.is(200, "", 1).whole().charged(COST);
        assert_eq!(seen.text.matches("[DONE]").count(), 1);
    }
    // Without a finish reason either it is no whole answer.
    stage.a.queue(Script::echo().with_fault(3, Fault::End));
    stage
        .ask(true)
        .await
        .is(200, "bad_upstream_response", 1)
        .broken("two")
        .charged("0.000015");
    assert_eq!((stage.calls(), stage.closed()), ((7, 0), vec![true, true]));
}

#[tokio::test(start_paused = true)]
async fn a_context_length() {
    for stream in [false, true] {
        let too_long = || Script::of_model("too-long").expect("built in");
        // Another target of the same model would say the same.
        let stage = Stage::pair();
        for _ in 0..9 {
            stage.a.queue(too_long());
            let seen = stage.ask(stream).await;
            seen.is(400, "context_length_exceeded", 1).charged("0");
            let message = seen.json()["error"]["message"].to_string();
            assert!(message.contains("8192 tokens"), "{message}");
        }
        assert_eq!((stage.calls(), stage.closed()), ((9, 0), vec![true, true]));
        // Another model may be larger.
        let stage = Stage::fallback();
        stage.a.queue(too_long());
        let seen = stage.ask(stream).await;
        seen.is(200, "", 2).whole().charged(FALLBACK_COST);
        assert_eq!((stage.calls(), stage.closed()), ((1, 1), vec![true, true]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_content_filter() {
    for stream in [false, true] {
        for stage in [Stage::pair(), Stage::fallback()] {
            for _ in 0..9 {
                stage.a.queue(filtered());
                let seen = stage.ask(stream).await;
                seen.is(400, "content_filter", 1).charged("0");
                assert_eq!(seen.json()["error"]["message"], "The response was filtered");
            }
            assert_eq!((stage.calls(), stage.closed()), ((9, 0), vec![true, true]));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_refuses() {
    for stream in [false, true] {
        let stage = Stage::fallback();
        stage.a.queue(Script::overloaded());
        stage.b.queue(Script::error(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_request_error",
            "unsupported_parameter",
            "This model knows no max_tokens, says sk-abcdefgh",
        ));
        let seen = stage.ask(stream).await;
        seen.is(400, "unsupported_parameter", 2).charged("0");
        let error = &seen.json()["error"];
        assert_eq!(error["message"], "This model knows no max_tokens, says […]");
        assert_eq!((stage.calls(), stage.closed()), ((1, 1), vec![true, true]));
        // Our own keys refused: nothing the client could mend.
        stage.a.queue(Script::failed());
        stage
            .b
            .queue(Script::of_model("unauthorized").expect("built in"));
        let seen = stage.ask(stream).await;
        seen.is(502, "upstream_unauthorized", 2).charged("0");
        assert!(!seen.text.contains("Incorrect API key"));
        assert_eq!(stage.closed(), [true, true]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_flapping_primary() {
    for stream in [false, true] {
        let stage = Stage::pair();
        let mut in_vain = 0;
        let mut opened = false;
        for nth in 0..600 {
            // Ten seconds well, ten seconds not.
            stage.a_fails.store(nth / 20 % 2 == 1, Ordering::Relaxed);
            let seen = stage.ask(stream).await;
            assert_eq!(seen.status, 200, "{nth}: {}", seen.text);
            seen.whole().charged(COST);
            in_vain += seen
                .extensions
                .get::<Attempts>()
                .map_or(0, |tried| tried.len());
            opened |= !stage.closed()[0];
            tokio::time::advance(Duration::from_millis(500)).await;
        }
        assert!(opened, "the breaker never opened");
        assert!(in_vain <= 30, "{in_vain} attempts in vain of 600 requests");
        assert!(stage.closed()[1]);
        // Asked again when it may be well, less and less often as it goes on.
        assert!(stage.calls().0 > 30, "{:?}", stage.calls());
    }
}

#[tokio::test(start_paused = true)]
async fn accounting_across_fail_over() {
    for stream in [false, true] {
        let stage = Stage::fallback();
        stage.a.queue(Script::failed());
        let more = r#","stream_options":{"include_usage":true}"#;
        let seen = stage.ask_with(stream, if stream { more } else { "" }).await;
        seen.is(200, "", 2).whole().charged(FALLBACK_COST);
        let served = seen.extensions.get::<Served>().expect("served");
        assert_eq!(
            (
                &*served.provider,
                &*served.model,
                &*served.id,
                served.attempts
            ),
            ("b", "y", "n", 2)
        );
        let tried = seen.extensions.get::<Attempts>().expect("one in vain");
        assert_eq!((&*tried[0].target.provider, &*tried[0].id), ("a", "m"));
        if !stream {
            let receipt = seen.extensions.get::<Receipt>().expect("charged");
            let served = receipt.served.as_ref().expect("known");
            let tried = served.tried.as_ref().expect("one in vain");
            let error = tried[0].error.as_ref().expect("it failed");
            assert_eq!(error.code(), Some("bad_upstream_response"));
            assert_eq!(seen.headers["x-completion-cost"], FALLBACK_COST);
            assert_eq!(seen.json()["model"], "m");
        }
        // Of what the client sent, nothing but the body went upstream.
        for upstream in [&stage.a, &stage.b] {
            let asked = upstream.log().last().expect("one");
            assert_eq!(asked.header("cookie").or(asked.header("x-custom")), None);
            let key = asked.header("authorization").expect("ours");
            assert!(!key.contains("sk-demo"), "{key}");
            assert_eq!(asked.header("accept-encoding"), None);
        }
        assert_eq!(stage.closed(), [true, true]);
    }
}

#[tokio::test(start_paused = true)]
async fn every_upstream_down_is_hardly_amplified() {
    // However slowly or fast the requests come.
    for every in [0, 10, 100, 1_000, 10_000] {
        let stage = Stage::pair();
        let requests = 500;
        for _ in 0..requests * 3 {
            stage.a.queue(Script::overloaded());
            stage.b.queue(Script::reset());
        }
        for _ in 0..requests {
            assert!(stage.ask(false).await.status >= 500);
            tokio::time::advance(Duration::from_millis(every)).await;
        }
        let (a, b) = stage.calls();
        let limit = requests * 11 / 10;
        assert!(
            a + b <= limit,
            "{} calls, one request each {every} ms",
            a + b
        );
        assert_eq!(books::settled(&stage.ledger, "demo").spent.to_string(), "0");
    }
}

#[tokio::test(start_paused = true)]
async fn one_poisonous_request_does_not_open_every_breaker() {
    let mut model = Model::new("m");
    for nth in 0..6 {
        model = model.target(Candidate::new("a", format!("x{nth}")).priority(nth));
    }
    let stage = Stage::new([model]);
    for _ in 0..3 * 4 {
        stage.a.queue(Script::failed());
    }
    for _ in 0..4 {
        stage.ask(false).await.is(502, "bad_upstream_response", 3);
    }
    assert!(stage.closed().iter().all(|closed| *closed));
}
