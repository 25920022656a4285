use super::*;
use crate::limit::{Rate, Unit};

fn seen() -> Seen {
    Seen {
        standing: Standing {
            unit: Unit::Tokens,
            limit: 1000,
            remaining: 0,
            debt: 0,
            reset: Duration::ZERO,
            window: Duration::from_secs(1),
        },
        level: 0,
        fin: 0,
    }
}

/// Given back while more was on its way, it comes to no more than is said.
#[test]
fn two_slices_and_what_is_waited_for_are_the_most_that_is_kept() {
    let limits = Limits::new().tokens(Rate::per_second(1000));
    let tokens = |amount| Weights::new().with(Unit::Tokens, amount);
    for (waited_for, kept) in [(0, 100), (150, 250)] {
        let mut lease = Lease::new(10);
        assert!(lease.adapt(&limits).is_empty());
        assert_eq!(lease.look(&tokens(200)), Word::More(vec![200], false));
        assert!(lease.credit(&limits, &[(200, seen())]));
        lease.take(&tokens(200));
        let (wants, _) = lease.wants(&[waited_for], false);
        assert!(
            lease
                .settle(lease.generation(), &tokens(200), &tokens(0))
                .is_empty()
        );
        assert!(lease.credit(&limits, &[(wants[0], seen())]));
        let most = 200 + waited_for;
        let surplus = lease.surplus(Keep::For(&[waited_for]));
        if 200 + wants[0] > most {
            assert_eq!(surplus.parts[0].2, 200 + wants[0] - kept);
        } else {
            assert!(surplus.is_empty());
        }
    }
}

#[test]
fn no_more_slots_are_asked_for_than_there_are() {
    for (waiting, asked) in [(0, 1), (3, 3), (1_000, 4)] {
        let mut lease = Lease::new(10);
        assert!(lease.adapt(&Limits::new().max_concurrent(4)).is_empty());
        (0..waiting).for_each(|_| lease.wait());
        assert_eq!(lease.wants(&[], true).1, asked, "{waiting} wait");
    }
}

/// A request that runs while the limit comes or goes counts for as long as it runs, and no longer.
#[test]
fn a_limit_on_slots_that_is_changed_leaves_no_slot_behind() {
    let (two, none) = (Limits::new().max_concurrent(2), Limits::new());
    let slot = Weights::new().with_slot();
    let mut lease = Lease::new(10);
    assert!(lease.adapt(&two).is_empty());
    lease.add_slots(vec!["a".to_owned()], 1, 1);
    assert_eq!(lease.look(&slot), Word::Enough);
    lease.take(&slot);
    assert!(lease.adapt(&none).is_empty(), "it is in use");
    assert_eq!(lease.look(&slot), Word::Enough);
    lease.take(&slot);
    let back = lease.settle(lease.generation(), &slot, &slot);
    assert!(back.is_empty(), "another runs");
    assert_eq!(lease.settle(lease.generation(), &slot, &slot).slots, ["a"]);
    assert!(lease.is_idle());

    lease.take(&slot);
    assert!(lease.adapt(&two).is_empty());
    lease.add_slots(vec!["b".to_owned()], 1, 1);
    assert_eq!(lease.look(&slot), Word::More(vec![], true), "one runs");
    lease.settle(lease.generation(), &slot, &slot);
    assert_eq!(lease.look(&slot), Word::Enough);
}

#[test]
fn what_was_taken_before_a_limit_was_set_is_not_given_back_to_it() {
    let (requests, tokens) = (Unit::Requests, Unit::Tokens);
    let weights = Weights::new().with(requests, 1).with(tokens, 900);
    let before = Limits::new().requests(Rate::per_day(100));
    let after = before.clone().tokens(Rate::per_day(10_000));
    let mut lease = Lease::new(10);
    assert!(lease.adapt(&before).is_empty());
    assert!(lease.credit(&before, &[(10, seen())]));
    let first = lease.generation();
    lease.take(&weights);
    assert_eq!(lease.adapt(&after).parts.len(), 1);
    assert!(lease.credit(&after, &[(10, seen()), (1000, seen())]));
    let second = lease.generation();
    lease.take(&weights);
    // Requests were limited then too; of the tokens there is the hundred that it has left.
    assert!(
        lease
            .settle(first, &weights, &weights.with(tokens, 0))
            .is_empty()
    );
    assert_eq!(lease.look(&weights), Word::More(vec![0, 800], false));
    assert!(
        lease
            .settle(second, &weights, &weights.with(tokens, 0))
            .is_empty()
    );
    assert_eq!(lease.look(&weights), Word::Enough);
}
