//! What every test that moves money asks of the books when it is done.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use tower_completions::cost::{Amount, MemoryLedger, Mismatch, Statement};

/// Credited = available + held + settled, with nothing held any more; and the entries, counted anew,
/// say so too.
#[track_caller]
pub fn conserved(end: Statement, mismatches: &[Mismatch]) -> Statement {
    assert_eq!(mismatches, [], "the entries add up to the accounts");
    assert_eq!(end.held, Amount::ZERO, "every hold has ended");
    assert!(end.spent >= Amount::ZERO && end.overrun >= Amount::ZERO);
    if let (Some(granted), Some(available)) = (end.granted, end.balance()) {
        assert_eq!(granted, available.plus(end.held).plus(end.spent));
        assert!(available >= Amount::ZERO, "never below zero: {end:?}");
    }
    end
}

/// The same of an account in memory.
#[track_caller]
pub fn settled(ledger: &MemoryLedger, account: &str) -> Statement {
    conserved(ledger.statement(account), &ledger.reconcile())
}
