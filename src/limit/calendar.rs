//! Days of the calendar on which clocks change, through the store.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use super::{tests::Manual, *};

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
