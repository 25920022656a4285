use super::*;

const fn usd(pico: i128) -> Amount {
    Amount::from_pico(pico)
}

fn take(ledger: &MemoryLedger, amount: i128) -> Result<MemoryHold, Denied> {
    ledger.hold("a", usd(amount).into()).into_inner()
}

#[test]
fn a_hold_is_released_charged_or_cut() {
    let ledger = MemoryLedger::new();
    ledger.grant("a", usd(10));
    let hold = take(&ledger, 6).expect("enough");
    assert_eq!(
        take(&ledger, 5).expect_err("too much"),
        Denied::Insufficient
    );
    assert_eq!(ledger.statement("a").balance(), Some(usd(4)));
    drop(hold);
    assert_eq!(ledger.statement("a").balance(), Some(usd(10)));
    let hold = take(&ledger, 6).expect("enough");
    assert_eq!(ledger.settle(hold, usd(3)), usd(3));
    let hold = take(&ledger, 7).expect("enough");
    assert_eq!(ledger.settle(hold, usd(9)), usd(7), "never below zero");
    let end = ledger.statement("a");
    assert_eq!(
        (end.balance(), end.held, end.overrun),
        (Some(Amount::ZERO), Amount::ZERO, usd(2))
    );
    let booked: Vec<_> = ledger.entries("a").into_iter().map(|it| it.what).collect();
    assert!(matches!(
        booked[..],
        [
            What::Granted { .. },
            What::Held { .. },
            What::Released { .. },
            What::Held { .. },
            What::Settled { .. },
            What::Held { .. },
            What::Settled { .. }
        ]
    ));
    assert_eq!(ledger.reconcile(), []);
}

#[test]
fn a_hold_grows_while_there_is_money() {
    let ledger = MemoryLedger::new();
    ledger.grant("a", usd(10));
    let mut hold = take(&ledger, 4).expect("enough");
    assert_eq!(ledger.extend(&mut hold, usd(5)).into_inner(), Ok(()));
    assert_eq!(
        ledger.extend(&mut hold, usd(2)).into_inner(),
        Err(Denied::Insufficient)
    );
    assert_eq!(
        (hold.amount(), ledger.statement("a").held),
        (usd(9), usd(9))
    );
    assert_eq!(ledger.settle(hold, usd(8)), usd(8));
    assert_eq!(ledger.statement("a").balance(), Some(usd(2)));
    assert_eq!(ledger.reconcile(), []);
}

#[test]
fn what_has_no_price_is_for_accounts_without_a_limit() {
    let ledger = MemoryLedger::new();
    let hold = ledger.hold("a", Most::Unknown).into_inner().expect("free");
    assert_eq!(ledger.settle(hold, usd(3)), usd(3));
    ledger.grant("a", usd(10));
    let denied = ledger.hold("a", Most::Unknown).into_inner();
    assert_eq!(denied.expect_err("limited"), Denied::Unpriced);
}

#[test]
fn nothing_below_zero_is_held_or_taken() {
    let ledger = MemoryLedger::new();
    ledger.grant("a", usd(10));
    let mut hold = take(&ledger, -5).expect("nothing");
    assert_eq!(ledger.extend(&mut hold, usd(-3)).into_inner(), Ok(()));
    assert_eq!(ledger.statement("a").held, Amount::ZERO);
    assert_eq!(ledger.settle(hold, usd(-7)), Amount::ZERO);
    assert_eq!(ledger.statement("a").balance(), Some(usd(10)));
}

#[test]
fn a_reference_is_granted_once() {
    let ledger = MemoryLedger::new();
    assert!(ledger.grant_once("a", usd(10), "first"));
    assert!(!ledger.grant_once("a", usd(99), "first"));
    assert!(ledger.grant_once("a", usd(1), "second"));
    assert_eq!(ledger.statement("a").granted, Some(usd(11)));
    // What was used before without a limit does not count against the first grant.
    let hold = ledger.hold("b", usd(5).into()).into_inner();
    ledger.settle(hold.expect("unlimited"), usd(7));
    ledger.grant("b", usd(4));
    assert_eq!(ledger.statement("b").balance(), Some(usd(4)));
    assert_eq!(ledger.reconcile(), []);
}

#[test]
fn a_closed_ledger_knows_whom_it_has_granted() {
    let ledger = MemoryLedger::new().closed();
    let open = MemoryLedger {
        rules: MemoryLedger::new().rules,
        ..ledger.clone()
    };
    ledger.grant("Demo", usd(10));
    for most in [usd(0).into(), usd(1).into(), Most::Unknown] {
        let denied = ledger.hold("demo", most).into_inner();
        assert_eq!(denied.expect_err("a stranger"), Denied::Insufficient);
    }
    assert!(ledger.hold("Demo", usd(1).into()).into_inner().is_ok());
    // Known to a clone that is open, and still a stranger here.
    drop(
        open.hold("demo", usd(1).into())
            .into_inner()
            .expect("unlimited"),
    );
    let denied = ledger.hold("demo", usd(1).into()).into_inner();
    assert_eq!(denied.expect_err("a stranger"), Denied::Insufficient);
    ledger.grant("demo", usd(1));
    assert!(ledger.hold("demo", usd(1).into()).into_inner().is_ok());
}

#[test]
fn plain_grants_leave_no_reference_behind() {
    let ledger = MemoryLedger::new();
    for _ in 0..100 {
        ledger.grant("a", usd(1));
    }
    assert!(
        ledger.grant_once("a", usd(1), "grant 1"),
        "a name of theirs"
    );
    let account = ledger.book.find("a").expect("known");
    assert_eq!(account.change(|state| state.references.len()), 1);
    assert_eq!(ledger.statement("a").granted, Some(usd(101)));
    assert_eq!(ledger.reconcile(), []);
}

#[test]
fn accounts_beyond_the_most_share_one() {
    let ledger = MemoryLedger::new().max_accounts(2);
    for name in ["a", "b", "c", "d"] {
        let hold = ledger.hold(name, usd(5).into()).into_inner();
        assert_eq!(ledger.settle(hold.expect("unlimited"), usd(5)), usd(5));
    }
    assert_eq!(ledger.statement("b").spent, usd(5));
    assert_eq!(ledger.statement("c").spent, Amount::ZERO);
    assert_eq!(ledger.statement("").spent, usd(10));
    ledger.grant("e", usd(1));
    assert_eq!(ledger.statement("e").granted, Some(usd(1)));
}

#[test]
fn old_entries_are_folded_and_still_add_up() {
    let ledger = MemoryLedger::new();
    ledger.grant("a", usd(1_000));
    for _ in 0..KEPT {
        let hold = take(&ledger, 2).expect("enough");
        ledger.settle(hold, usd(1));
    }
    assert_eq!(ledger.entries("a").len(), KEPT);
    assert_eq!(ledger.reconcile(), []);
}

#[test]
fn a_hundred_at_once_admit_what_the_money_covers() {
    let ledger = MemoryLedger::new();
    ledger.grant("a", usd(99));
    let held: Vec<_> = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..100).map(|_| scope.spawn(|| take(&ledger, 1))).collect();
        tasks
            .into_iter()
            .filter_map(|task| task.join().expect("no panic").ok())
            .collect()
    });
    assert_eq!(held.len(), 99);
    drop(held);
    assert_eq!(ledger.statement("a").held, Amount::ZERO);
    assert_eq!(ledger.reconcile(), []);
}
