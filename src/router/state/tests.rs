use std::num::NonZeroU32;

use super::*;

#[test]
fn an_open_breaker_is_seen() {
    let (state, config, keys) = (State::default(), Breaking::default(), Keys::default());
    for _ in 0..5 {
        assert_eq!(state.can(0, 9, &keys, 0), Can::Yes(None));
        state.record(false, 0, 0, &config);
    }
    assert_eq!(state.can(4_999, 9, &keys, 0), Can::Unwell(None));
    assert!(!state.probe(4_999));
    assert_eq!(state.can(5_000, 9, &keys, 0), Can::Yes(None));
    assert!(state.probe(5_000));
    assert_eq!(state.can(5_000, 9, &keys, 0), Can::Unwell(None));
    state.record(true, 5_000, 5_000, &config);
    assert_eq!(state.open_until(), None);
}

#[test]
fn keys_rest_die_and_fill_one_by_one() {
    let (state, mut keys) = (State::default(), Keys::new(2));
    state.rest(Some(0), 100);
    assert_eq!(state.can(50, 9, &keys, 0), Can::Yes(Some(1)));
    assert!(keys.bury(Some(1), 1_000));
    assert_eq!(state.can(50, 9, &keys, 0), Can::Unwell(Some(1)));
    assert_eq!(state.can(50, 9, &keys, 0b10), Can::Resting(100));
    assert_eq!(state.can(100, 9, &keys, 0), Can::Yes(Some(0)));
    assert_eq!(state.can(100, 0, &keys, 0), Can::Full);
    assert!(!Keys::new(0).bury(None, 9));
    keys.limit = 1;
    assert!(keys.enter(Some(0)) && !keys.enter(Some(0)));
    assert_eq!(state.can(2_000, 9, &keys, 0), Can::Yes(Some(1)));
    assert!(keys.enter(Some(1)));
    assert_eq!(state.can(2_000, 9, &keys, 0), Can::Full);
    keys.leave(Some(0));
    assert_eq!(state.can(2_000, 9, &keys, 0), Can::Yes(Some(0)));
}

#[test]
fn a_fast_failing_target_does_not_look_fast() {
    let (good, bad) = (State::default(), State::default());
    good.took(300_000, 0);
    bad.took(1_000, 0);
    bad.failed(0);
    assert!(bad.load(1, 0) > good.load(1, 0));
    // It is not given up for ever.
    assert!(bad.load(1, 40_000) < good.load(1, 0));
}

#[test]
fn the_pace_is_the_latency_and_fades_evenly() {
    let (quick, slow) = (State::default(), State::default());
    assert_eq!((quick.pace(), State::default().pace()), (0, 0));
    quick.took(100_000, 0);
    slow.took(150_000, 0);
    assert!(quick.pace() < slow.pace());
    // Whoever has not been heard of for long is asked again: one and a half times as slow is
    // some six seconds more.
    for (later, again) in [(5_000, false), (7_000, true)] {
        quick.took(100_000, later);
        assert_eq!(slow.pace() < quick.pace(), again, "{later}");
    }
    quick.failed(7_000);
    assert!(slow.pace() < quick.pace());
    for (at, micros) in [1, 2, 3, 1_000, 1_001, 60_000_000, u64::MAX]
        .iter()
        .enumerate()
    {
        let less = [0, 1, 2, 999, 1_000, 59_000_000, u64::MAX / 2][at];
        assert!(
            pace::pace_of(less, 9) <= pace::pace_of(*micros, 9),
            "{micros}"
        );
    }
}

#[test]
fn the_slow_end_is_where_one_in_twenty_is() {
    let state = State::default();
    for nth in 0..20_000_u64 {
        // Evenly from 0 to 100 ms.
        state.took(nth * 7_919 % 100_000, 0);
    }
    let slow = state.slow().expect("known").as_millis();
    assert!((90..=99).contains(&slow), "{slow} ms");
}

#[test]
fn adaptive_concurrency_halves_and_grows_by_one_a_round() {
    let least = NonZeroU32::new(2).expect("not 0");
    let most = NonZeroU32::new(12).expect("not 0");
    let adaptive = Adaptive::new().start(most).between(least, most);
    let state = State::default();
    state.start_adaptive(&adaptive);
    assert_eq!(state.most(u32::MAX), Some(12));
    for (sent, halved) in (0..).zip([6, 3, 2, 2]) {
        state.shrink(&adaptive, sent, sent);
        assert_eq!(state.most(u32::MAX), Some(halved));
    }
    let answered = || state.grow(&adaptive, state.in_flight());
    for _ in 0..40 {
        answered();
    }
    assert_eq!(state.most(u32::MAX), Some(2), "nobody makes use of more");
    assert!(state.enter(9) && state.enter(9) && !state.enter(9));
    for _ in 0..2 {
        answered();
    }
    assert_eq!(state.most(u32::MAX), Some(2));
    answered();
    assert!(state.enter(9));
    for _ in 0..2000 {
        answered();
    }
    assert!(state.most(u32::MAX).is_some_and(|most| most <= 7));
}

#[test]
fn a_recovered_target_gets_its_share_back_by_and_by() {
    let (state, config) = (State::default(), Breaking::default());
    for _ in 0..5 {
        state.record(false, 0, 0, &config);
    }
    state.record(true, 10, 10, &config);
    let share = |now| (0..100).filter(|r| state.is_warm(now, *r, &config)).count();
    assert_eq!([share(10), share(5_010), share(9_010)], [10, 50, 90]);
    assert_eq!(share(10_010), 100);
}
