//! Days of the calendar on which clocks change, through the store.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use http::{Request, Response};
use tower::{ServiceExt as _, service_fn};
use tower_layer::Layer as _;

use super::*;
use crate::{body::Full, ext::Principal, meter::Tally, parse::ChatBody, wire::Usage};

const HOUR: u64 = 3600;

/// Central Europe in 2026: summer time from 29 March 01:00 UTC to 25 October 01:00 UTC.
const SPRING: u64 = 1_774_746_000;
const AUTUMN: u64 = 1_792_890_000;

fn berlin() -> Zone {
    let (spring, autumn) = (1_774_746_000, 1_792_890_000);
    Zone::rule(move |unix| {
        if (spring..autumn).contains(&unix) {
            7200
        } else {
            3600
        }
    })
}

/// A store whose wall says what it is set to, in seconds.
fn store() -> (Memory<Manual>, std::sync::Arc<AtomicU64>) {
    let wall = std::sync::Arc::new(AtomicU64::new(0));
    let clock = std::sync::Arc::clone(&wall);
    let store = Memory::with_timer(Manual::new()).wall_clock(move || {
        SystemTime::UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed))
    });
    (store, wall)
}

fn tokens(amount: u64) -> Weights {
    Weights::new().with(Unit::Tokens, amount)
}

fn ask(limits: &Limits, weights: Weights) -> Ask {
    let demand = Demand {
        rule: "key".into(),
        key: Key::new("acme"),
        limits: limits.clone(),
    };
    Ask::new([demand], weights)
}

/// Takes all of a day at its midnight, which is so many hours before the change; nothing more is to
/// be had to its last second, and all of it from the next midnight on.
fn a_day_of(change: u64, midnight: u64, hours: u64) {
    let (store, wall) = store();
    let limits = Limits::new().tokens_daily(1000, berlin());
    let decide = |at: u64, amount: u64| {
        wall.store(at, Ordering::Relaxed);
        match store.decide(&ask(&limits, tokens(amount))) {
            Decision::Admitted(hold, report) => {
                hold.settle(&tokens(amount));
                Ok(report.tokens.expect("a limit").remaining)
            }
            Decision::Refused(refusal) => Err(refusal.retry),
        }
    };
    let next = midnight + hours * HOUR;
    assert_eq!(decide(midnight - 1, 1000), Ok(0), "the day before");
    assert_eq!(decide(midnight, 999), Ok(1));
    for at in [change - 1, change, change + HOUR, midnight + 22 * HOUR] {
        let left = Duration::from_secs(next - at);
        assert_eq!(decide(at, 2), Err(Retry::After(left)), "at {at}");
    }
    let last = Duration::from_secs(1);
    assert_eq!(decide(next - 1, 2), Err(Retry::After(last)));
    assert_eq!(decide(next, 1000), Ok(0), "waited as told");
}

#[test]
fn a_day_that_loses_an_hour_ends_at_its_midnight() {
    // Midnight is at 23:00 UTC, the next at 22:00 UTC.
    a_day_of(SPRING, SPRING - 2 * HOUR, 23);
}

#[test]
fn a_day_that_gains_an_hour_ends_at_its_midnight() {
    // Midnight is at 22:00 UTC, the next at 23:00 UTC.
    a_day_of(AUTUMN, AUTUMN - 3 * HOUR, 25);
}

/// A limit that becomes one of days while a request runs: what it had reserved was carried over, and comes
/// back to the day that it was carried to, and to no later one.
#[test]
fn what_was_reserved_before_days_were_counted_comes_back() {
    let rolling = Limits::new().tokens(Rate::per_day(1000));
    let daily = Limits::new().tokens_daily(1000, Zone::utc());
    let noon = (365 * 24 + 12) * HOUR;
    for (ends, left) in [(noon, 700), (noon + 24 * HOUR, 1000)] {
        let (store, wall) = store();
        wall.store(noon, Ordering::Relaxed);
        let Decision::Admitted(hold, _) = store.decide(&ask(&rolling, tokens(800))) else {
            panic!("nothing is used");
        };
        let remaining = |at: u64| {
            wall.store(at, Ordering::Relaxed);
            let mut peek = ask(&daily, tokens(0));
            peek.peek = true;
            match store.decide(&peek) {
                Decision::Admitted(_, report) => report.tokens.expect("a limit").remaining,
                Decision::Refused(refusal) => panic!("{refusal:?}"),
            }
        };
        assert_eq!(remaining(noon), 200);
        assert_eq!(remaining(ends), if ends == noon { 200 } else { 1000 });
        hold.settle(&tokens(300));
        assert_eq!(remaining(ends), left);
    }
}

#[test]
fn what_is_reserved_before_the_change_is_given_back_after_it() {
    let (store, wall) = store();
    let limits = Limits::new().tokens_daily(1000, berlin());
    let reserve = |at: u64| {
        wall.store(at, Ordering::Relaxed);
        match store.decide(&ask(&limits, tokens(800))) {
            Decision::Admitted(hold, _) => hold,
            Decision::Refused(refusal) => panic!("{refusal:?}"),
        }
    };
    let left = |at: u64| {
        wall.store(at, Ordering::Relaxed);
        let mut peek = ask(&limits, tokens(0));
        peek.peek = true;
        match store.decide(&peek) {
            Decision::Admitted(_, report) => report.tokens.expect("a limit").remaining,
            Decision::Refused(refusal) => panic!("{refusal:?}"),
        }
    };
    // On the same day it counts; the clock has gone from 03:00 to 02:00 in between.
    let hold = reserve(AUTUMN - 1);
    wall.store(AUTUMN + 1, Ordering::Relaxed);
    hold.settle(&tokens(100));
    assert_eq!(left(AUTUMN + 1), 900);
    // In its twenty-fifth hour it still does, at midnight it is gone with its day.
    let hold = reserve(AUTUMN + 21 * HOUR + 1800);
    assert_eq!(left(AUTUMN + 22 * HOUR - 1), 100);
    wall.store(AUTUMN + 22 * HOUR, Ordering::Relaxed);
    hold.settle(&tokens(100));
    assert_eq!(left(AUTUMN + 22 * HOUR), 1000);
}

fn money(amount: u64) -> Weights {
    Weights::new().with(Unit::Money, amount)
}

/// What is left of the money, and what is owed, at a time.
fn left(store: &Memory<Manual>, limits: &Limits) -> (u64, u64) {
    let mut peek = ask(limits, money(0));
    peek.peek = true;
    match store.decide(&peek) {
        Decision::Admitted(_, report) => {
            let money = report.money.expect("a limit");
            (money.remaining, money.debt)
        }
        Decision::Refused(refusal) => panic!("{refusal:?}"),
    }
}

fn spend(
    store: &Memory<Manual>,
    limits: &Limits,
    amount: u64,
) -> Result<MemoryHold<Manual>, Retry> {
    match store.decide(&ask(limits, money(amount))) {
        Decision::Admitted(hold, _) => Ok(hold),
        Decision::Refused(refusal) => Err(refusal.retry),
    }
}

fn a_thousand_a_day() -> Limits {
    let (amount, zone) = (1000, berlin());
    Limits::new().limit(Unit::Money, Window::Daily { amount, zone })
}

/// Midnight in Berlin, in winter: an hour before that of UTC.
const MIDNIGHT: u64 = SPRING - 2 * HOUR - 20 * 24 * HOUR;

/// What was reserved counts on the day of the admission, what it cost beyond that on the day it
/// ended; what is given back of a day that is over changes nothing.
#[test]
fn money_is_charged_on_the_day_it_was_reserved_and_the_excess_on_the_day_it_is_known() {
    for (actual, expected) in [(0, 1000), (399, 1000), (400, 1000), (650, 750)] {
        let (store, wall) = store();
        let limits = a_thousand_a_day();
        wall.store(MIDNIGHT - 1, Ordering::Relaxed);
        let hold = spend(&store, &limits, 400).expect("nothing is used");
        assert_eq!(left(&store, &limits), (600, 0));
        wall.store(MIDNIGHT, Ordering::Relaxed);
        assert_eq!(left(&store, &limits), (1000, 0), "a new day");
        hold.settle(&money(actual));
        assert_eq!(left(&store, &limits), (expected, 0), "it cost {actual}");
    }
    // In UTC it is the same day still: there it is given back.
    let (store, wall) = store();
    let (amount, zone) = (1000, Zone::utc());
    let limits = Limits::new().limit(Unit::Money, Window::Daily { amount, zone });
    wall.store(MIDNIGHT - 1, Ordering::Relaxed);
    let hold = spend(&store, &limits, 400).expect("nothing is used");
    wall.store(MIDNIGHT, Ordering::Relaxed);
    hold.settle(&money(150));
    assert_eq!(left(&store, &limits), (850, 0));
}

/// More than a whole day's: the rest is owed on the next, too.
#[test]
fn money_owed_outlasts_midnight() {
    let (store, wall) = store();
    let limits = a_thousand_a_day();
    wall.store(MIDNIGHT - 1, Ordering::Relaxed);
    let hold = spend(&store, &limits, 400).expect("nothing is used");
    hold.settle(&money(2300));
    assert_eq!(left(&store, &limits), (0, 1300));
    wall.store(MIDNIGHT, Ordering::Relaxed);
    assert_eq!(left(&store, &limits), (0, 300));
    let wait = Retry::After(Duration::from_secs(24 * HOUR));
    assert_eq!(spend(&store, &limits, 0).err(), Some(wait));
    wall.store(MIDNIGHT + 24 * HOUR, Ordering::Relaxed);
    assert_eq!(left(&store, &limits), (700, 0));
}

/// No money twice, none lost, and a wait that is true by the clock as it goes now.
#[test]
fn a_clock_that_goes_back_over_midnight_gives_no_second_day() {
    let (store, wall) = store();
    let limits = a_thousand_a_day();
    wall.store(MIDNIGHT + 600, Ordering::Relaxed);
    let hold = spend(&store, &limits, 700).expect("nothing is used");
    wall.store(MIDNIGHT - 600, Ordering::Relaxed);
    assert_eq!(
        left(&store, &limits),
        (300, 0),
        "it is the later day's still"
    );
    let wait = Retry::After(Duration::from_secs(24 * HOUR + 600));
    assert_eq!(spend(&store, &limits, 301).err(), Some(wait));
    hold.settle(&money(500));
    assert_eq!(left(&store, &limits), (500, 0));
    // Reserved by a clock that shows the day before: taken from the later day, given back to it.
    let hold = spend(&store, &limits, 500).expect("there is so much");
    hold.settle(&money(100));
    assert_eq!(left(&store, &limits), (900 - 500, 0));
    let hold = spend(&store, &limits, 300).expect("there is so much");
    wall.store(MIDNIGHT + 1200, Ordering::Relaxed);
    drop(hold);
    assert_eq!(left(&store, &limits), (400, 0));
    // And the day ends when it ends.
    let hold = spend(&store, &limits, 400).expect("there is so much");
    wall.store(MIDNIGHT + 24 * HOUR, Ordering::Relaxed);
    drop(hold);
    assert_eq!(left(&store, &limits), (1000, 0));
}

/// A rolling window knows no date: what was reserved has flowed off, and only what it cost beyond
/// that is new.
#[test]
fn money_of_a_rolling_window_flows_off_while_the_request_runs() {
    for (actual, expected) in [(0, 1000), (600, 1000), (900, 700)] {
        let clock = Manual::new();
        let store = Memory::with_timer(clock.clone());
        let limits = Limits::new().money(Rate::per_hour(1000));
        let hold = spend(&store, &limits, 600).expect("nothing is used");
        clock.advance(Duration::from_secs(HOUR + 1));
        hold.settle(&money(actual));
        assert_eq!(left(&store, &limits), (expected, 0), "it cost {actual}");
    }
}

/// The same through the layer: the answer begins before midnight and ends after it.
#[tokio::test]
async fn an_answer_across_midnight_is_charged_to_both_days() {
    let (store, wall) = store();
    let limiter = Limiter::with_store(store);
    let limits = a_thousand_a_day();
    let caller = Principal::new("acme").attach(limits.clone());
    let layer = TokenLimitLayer::new(limiter.clone()).price(|_, usage| usage.output * 10);
    let app = layer.layer(service_fn(|_: Request<ChatBody>| async {
        let mut response = Response::new(Full::new("{}"));
        let tally = Tally::new();
        tally.record_usage(Usage::new(1, 55));
        response.extensions_mut().insert(tally);
        Ok::<_, Infallible>(response)
    }));
    let left = async || {
        let report = limiter.standing(&caller).await.expect("memory");
        report.money.expect("a limit").remaining
    };
    let text = r#"{"model":"m","max_tokens":40,"messages":[{"role":"user","content":"hi"}]}"#;
    let mut request = Request::post("/").body(Full::new(text)).expect("a request");
    request.extensions_mut().insert(caller.clone());

    wall.store(MIDNIGHT - 1, Ordering::Relaxed);
    let response = app.oneshot(request).await.expect("infallible");
    assert_eq!(response.status(), 200);
    assert_eq!(left().await, 600, "forty tokens are reserved");
    wall.store(MIDNIGHT + 1, Ordering::Relaxed);
    assert_eq!(left().await, 1000);
    drop(response);
    assert_eq!(left().await, 850, "fifteen more than that were made");
}
