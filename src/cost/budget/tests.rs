use super::*;

/// 2026-11-25, a Wednesday, at noon UTC.
const NOON: i64 = 1_795_564_800 + 43_200;
const DAY: i64 = 86_400;

fn usd(pico: i128) -> Amount {
    Amount::from_pico(pico)
}

fn caller() -> Principal {
    Principal::new("a").with_team("t")
}

#[test]
fn a_request_must_fit_into_all_and_is_charged_to_all() {
    let budgets = Budgets::new()
        .with(Scope::Key("a".into()), usd(10), Period::Day)
        .with(Scope::Team("t".into()), usd(8), Period::Week)
        .with(Scope::Global, usd(100), Period::Month)
        .with(Scope::Key("b".into()), usd(1), Period::Day);
    let caller = caller();
    let hold = |amount, unix| budgets.hold(Some(&caller), usd(amount), unix);
    let counts = |unix| -> Vec<_> {
        let all = budgets.standing(&caller, unix);
        all.iter()
            .map(|it| (it.held.pico(), it.spent.pico()))
            .collect()
    };
    let mut first = hold(5, NOON).expect("it fits");
    assert_eq!(counts(NOON), [(5, 0), (5, 0), (5, 0)]);
    let full = hold(4, NOON).expect_err("the team has too little");
    assert_eq!(full, (Scope::Team("t".into()), Period::Week));
    assert_eq!(counts(NOON), [(5, 0), (5, 0), (5, 0)], "all or nothing");
    first.settle(usd(3));
    drop(first);
    assert_eq!(counts(NOON), [(0, 3), (0, 3), (0, 3)]);
    drop(hold(5, NOON).expect("it fits"));
    assert_eq!(counts(NOON), [(0, 3), (0, 3), (0, 3)]);
    // The next day, the next week, the next month.
    assert_eq!(counts(NOON + DAY), [(0, 0), (0, 3), (0, 3)]);
    assert_eq!(counts(NOON + 5 * DAY), [(0, 0), (0, 0), (0, 3)]);
    assert_eq!(counts(NOON + 6 * DAY), [(0, 0), (0, 0), (0, 0)]);
    assert!(budgets.apply(None) && budgets.apply(Some(&Principal::new("c"))));
    assert!(!Budgets::new().apply(Some(&caller)));
}

#[test]
fn what_ends_in_another_window_is_not_charged_to_that() {
    let budgets = Budgets::new().with(Scope::Global, usd(10), Period::Day);
    let mut old = budgets.hold(None, usd(9), NOON).expect("it fits");
    let _new = budgets.hold(None, usd(4), NOON + DAY).expect("a new day");
    old.settle(usd(9));
    drop(old);
    let standing = &budgets.standing(&caller(), NOON + DAY)[0];
    assert_eq!((standing.held.pico(), standing.spent.pico()), (4, 0));
    // A clock that jumps back opens no second day.
    assert!(budgets.hold(None, usd(7), NOON).is_err());
    assert_eq!(standing.resets, 1_795_564_800 + 2 * DAY);
}

#[test]
fn days_weeks_and_months_are_those_of_the_zone() {
    let zone = Zone::fixed(5 * 3600);
    let midnight = 1_795_564_800 - 5 * 3600;
    assert_eq!(
        around(Period::Day, midnight, &zone),
        (midnight, midnight + DAY)
    );
    assert_eq!(
        around(Period::Day, midnight - 1, &zone),
        (midnight - DAY, midnight)
    );
    let monday = midnight - 2 * DAY;
    assert_eq!(
        around(Period::Week, NOON, &zone),
        (monday, monday + 7 * DAY)
    );
    let month = midnight - 24 * DAY;
    assert_eq!(
        around(Period::Month, NOON, &zone),
        (month, month + 30 * DAY)
    );
}

#[test]
fn what_was_spent_before_counts_in_its_window() {
    let budgets = Budgets::new()
        .with(Scope::Key("a".into()), usd(10), Period::Day)
        .with(Scope::Team("t".into()), usd(100), Period::Month)
        .with(Scope::Global, usd(20), Period::Day);
    let month = 1_795_564_800 - 24 * DAY;
    let begins = [(Period::Day, NOON - DAY / 2), (Period::Month, month)];
    assert_eq!(budgets.windows(NOON), begins);
    assert_eq!(Budgets::new().windows(NOON), []);
    let caller = caller();
    budgets.restore(&caller, Period::Day, usd(8), NOON);
    budgets.restore(&caller, Period::Month, usd(30), NOON);
    budgets.restore(&Principal::new("other"), Period::Day, usd(5), NOON);
    let spent = |unix| -> Vec<_> {
        let all = budgets.standing(&caller, unix);
        all.iter().map(|it| it.spent.pico()).collect()
    };
    assert_eq!(spent(NOON), [8, 30, 13]);
    let refused = budgets.hold(Some(&caller), usd(3), NOON).err();
    assert_eq!(refused, Some((Scope::Key("a".into()), Period::Day)));
    assert!(budgets.hold(Some(&caller), usd(2), NOON).is_ok());
    assert_eq!(spent(NOON + DAY), [0, 30, 0], "the next day");
}

#[test]
fn a_hundred_at_once_never_exceed_it() {
    let budgets = Budgets::new()
        .with(Scope::Global, usd(60), Period::Day)
        .with(Scope::Key("a".into()), usd(1000), Period::Day);
    let caller = caller();
    let held: Vec<_> = std::thread::scope(|scope| {
        let take = || budgets.hold(Some(&caller), usd(1), NOON).ok();
        let tasks: Vec<_> = (0..100).map(|_| scope.spawn(take)).collect();
        let ended = tasks
            .into_iter()
            .filter_map(|task| task.join().expect("no panic"));
        ended.collect()
    });
    assert_eq!(held.len(), 60);
    drop(held);
    let counts = budgets.standing(&caller, NOON);
    assert!(
        counts
            .iter()
            .all(|it| it.held == Amount::ZERO && it.spent == Amount::ZERO)
    );
}
