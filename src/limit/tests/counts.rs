//! What is counted under which key, by which limit.

use super::*;

#[tokio::test]
async fn a_flood_of_keys_is_bounded_and_never_over_admitted() {
    let clock = Manual::new();
    let store = Memory::with_timer(clock.clone()).capacity(100);
    let limiter = Limiter::with_store(store.clone());
    let limits = Limits::new().requests_per_minute(1);
    let mut admitted = 0;
    for i in 0..10_000 {
        let mut request = Request::new(());
        let caller = Principal::new(format!("key {i}")).attach(limits.clone());
        request.extensions_mut().insert(caller);
        let (parts, ()) = request.into_parts();
        let ask = limiter.ask(&parts, Weights::new().with(Unit::Requests, 1));
        if let Decision::Admitted(hold, _) = store.decide(&ask) {
            hold.settle(&Weights::new());
            admitted += 1;
        }
    }
    assert_eq!(admitted, 101, "a hundred keys, and one for all others");
    assert_eq!(store.len(), 101);
    clock.advance(Duration::from_secs(61));
    store.sweep();
    assert!(store.is_empty());
}

/// Each of its own, over any time: three are to be had, the fourth a third of the window later.
#[test]
fn every_unit_is_counted_apart_over_every_window() {
    for unit in UNITS {
        for (rate, third) in [
            (Rate::per_second(3), 333_333_334),
            (Rate::per_minute(3), 20_000_000_000),
            (Rate::per_hour(3), 1_200_000_000_000),
            (Rate::per_day(3), 28_800_000_000_000),
        ] {
            let clock = Manual::new();
            let store = Memory::with_timer(clock.clone());
            let demand = Demand {
                rule: "key".into(),
                key: Key::new("acme"),
                limits: Limits::new().limit(unit, rate),
            };
            let decide = |weights| match store.decide(&Ask::new([demand.clone()], weights)) {
                Decision::Admitted(hold, _) => {
                    hold.settle(&weights);
                    None
                }
                Decision::Refused(refusal) => Some((refusal.unit, refusal.retry)),
            };
            let one = Weights::new().with(unit, 1);
            for _ in 0..3 {
                assert_eq!(decide(one), None);
            }
            let wait = Duration::from_nanos(third);
            let refused = Some((Some(unit), Retry::After(wait)));
            assert_eq!(decide(one), refused, "{unit:?} {rate:?}");
            // Whatever else it uses is not this limit's.
            for other in UNITS {
                if other != unit {
                    assert_eq!(decide(Weights::new().with(other, 1000)), None);
                }
            }
            clock.advance(wait);
            assert_eq!(decide(one), None, "waited as told");
            assert!(decide(one).is_some());
        }
    }
}

#[tokio::test]
async fn a_refusal_tells_when_in_milliseconds_and_in_whole_seconds_rounded_up() {
    let (limiter, clock) = limiter();
    let mut app = RateLimitLayer::new(limiter).layer(service_fn(ok));
    let rate = Rate::new(1, Duration::from_micros(2_500_001));
    let limits = Limits::new().requests(rate);
    let first = app.call(request(limits.clone())).await.expect("infallible");
    assert_eq!(first.status(), StatusCode::OK);
    for (passed, ms, seconds) in [(0, "2501", "3"), (600, "1901", "2"), (1900, "1", "1")] {
        clock.advance(Duration::from_millis(passed));
        let refused = app.call(request(limits.clone())).await.expect("infallible");
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.headers()["retry-after-ms"], ms);
        assert_eq!(refused.headers()["retry-after"], seconds);
        assert_eq!(refused.headers()["x-should-retry"], "true");
    }
    clock.advance(Duration::from_millis(1));
    let then = app.call(request(limits)).await.expect("infallible");
    assert_eq!(then.status(), StatusCode::OK);
}

/// Tokens, money and days too: what was used stays used, whichever way the limit changes, a larger
/// one gives the difference, and the old one is as it was.
#[test]
fn a_changed_limit_of_any_unit_keeps_what_was_used() {
    let day = |amount| Window::Daily {
        amount,
        zone: Zone::utc(),
    };
    let hour = |amount| Window::from(Rate::per_hour(amount));
    for unit in UNITS {
        for window in [&hour as &dyn Fn(u64) -> Window, &day] {
            let clock = Manual::new();
            let noon = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(43_200);
            let store = Memory::with_timer(clock).wall_clock(move || noon);
            let mut used = 0;
            for (amount, more) in [(10, 10), (14, 4), (6, 0), (10, 0), (14, 0), (20, 6)] {
                let demand = Demand {
                    rule: "key".into(),
                    key: Key::new("acme"),
                    limits: Limits::new().limit(unit, window(amount)),
                };
                let one = Weights::new().with(unit, 1);
                let mut admitted = 0;
                while let Decision::Admitted(hold, _) =
                    store.decide(&Ask::new([demand.clone()], one))
                {
                    hold.settle(&one);
                    admitted += 1;
                }
                assert_eq!(admitted, more, "{unit:?} {amount}");
                used += admitted;
            }
            assert_eq!(used, 20);
        }
    }
}

/// The caller's own, its team's and everybody's: whichever refuses, none of the three has counted.
#[test]
fn a_refusal_by_any_of_three_takes_nothing_from_the_others() {
    let weights = Weights::new()
        .with(Unit::Requests, 1)
        .with(Unit::Tokens, 10)
        .with_slot();
    for tight in 0..3 {
        let store = Memory::with_timer(Manual::new());
        let demands: Vec<Demand> = (0..3)
            .map(|at| {
                let limits = Limits::new().requests_per_minute(100).max_concurrent(100);
                let tokens = if at == tight { 45 } else { 1000 };
                Demand {
                    rule: ["key", "team", "global"][at].into(),
                    key: Key::new(["acme", "research", "*"][at]),
                    limits: limits.tokens_per_minute(tokens),
                }
            })
            .collect();
        let mut held = Vec::new();
        for at in 0..10 {
            match store.decide(&Ask::new(demands.clone(), weights)) {
                Decision::Admitted(hold, _) => held.push(hold),
                Decision::Refused(refusal) => {
                    assert_eq!(&refusal.rule, &demands[tight].rule);
                    assert_eq!(refusal.unit, Some(Unit::Tokens));
                    assert!(at >= 4);
                }
            }
        }
        assert_eq!(held.len(), 4);
        let stand = |left: [u64; 2], in_use| {
            for (at, demand) in demands.iter().enumerate() {
                let mut look = Ask::new([demand.clone()], weights);
                look.peek = true;
                let Decision::Admitted(_, report) = store.decide(&look) else {
                    panic!("a look is not refused")
                };
                let tokens = if at == tight { left[0] } else { left[1] };
                assert_eq!(report.tokens.map(|it| it.remaining), Some(tokens));
                assert_eq!(report.concurrent.map(|it| it.in_use), Some(in_use));
            }
        };
        stand([5, 960], 4);
        drop(held);
        stand([45, 1000], 0);
    }
}

/// The hash looks at the ends of a rule's name only: whole names tell the counts apart all the same.
#[test]
fn rules_whose_names_differ_in_the_middle_count_apart() {
    let store = Memory::with_timer(Manual::new());
    let weights = Weights::new().with(Unit::Requests, 1);
    for expected in [true, false] {
        for rule in ["model-a-rpm", "model-b-rpm", "model-c-rpm"] {
            let demand = Demand {
                rule: rule.into(),
                key: Key::new("acme"),
                limits: Limits::new().requests_per_minute(1),
            };
            let admitted = match store.decide(&Ask::new([demand], weights)) {
                Decision::Admitted(hold, _) => {
                    hold.settle(&weights);
                    true
                }
                Decision::Refused(_) => false,
            };
            assert_eq!(admitted, expected, "{rule}");
        }
    }
    assert_eq!(store.len(), 3);
}

/// Each limit that stays has its own count, wherever it stands in the new list.
#[test]
fn a_limit_that_is_added_takes_nothing_from_those_beside_it() {
    let clock = Manual::new();
    let store = Memory::with_timer(clock.clone());
    let minute = || Limits::new().requests(Rate::per_minute(10));
    let before = minute().requests(Rate::per_day(100));
    let hourly = Limits::new().requests(Rate::per_hour(1000));
    let after = hourly
        .requests(Rate::per_minute(10))
        .requests(Rate::per_day(100));
    let one = Weights::new().with(Unit::Requests, 1);
    let admits = |limits: &Limits| {
        let demand = Demand {
            rule: "key".into(),
            key: Key::new("acme"),
            limits: limits.clone(),
        };
        match store.decide(&Ask::new([demand], one)) {
            Decision::Admitted(hold, _) => hold.settle(&one),
            Decision::Refused(_) => return false,
        }
        true
    };
    for _ in 0..10 {
        assert!((0..5).all(|_| admits(&before)));
        clock.advance(Duration::from_secs(60));
    }
    assert!(
        (0..10).all(|_| admits(&after)),
        "the minute's are all there"
    );
    assert!(!admits(&after));
    // One that stays among others of its length, too.
    clock.advance(Duration::from_secs(60));
    let bursts = Limits::new().requests(Rate::per_minute(10).burst(1));
    let both = bursts.requests(Rate::per_minute(10));
    assert!(admits(&both) && !admits(&both));
    assert!((0..9).all(|_| admits(&minute())), "one of ten was used");
}
