//! What has been used since a moment, for budgets after a restart.

use std::time::{Duration, SystemTime};

use super::*;

#[tokio::test]
async fn what_was_used_since_a_moment_is_told_by_account() {
    let disk = Disk::default();
    let ledger = disk.open(options()).expect("opens");
    let spent = |ledger: &RedbLedger, since| {
        let spent = ledger.spent_since(since).expect("readable");
        let spent = spent
            .into_iter()
            .map(|(name, it)| (name.to_string(), it.pico()));
        spent.collect::<BTreeMap<_, _>>()
    };
    let of = |all: &[(&str, i128)]| -> BTreeMap<_, _> {
        all.iter()
            .map(|(name, it)| ((*name).to_owned(), *it))
            .collect()
    };
    let begin = SystemTime::now() - Duration::from_secs(60);
    ledger.grant("a", usd(10), "first").await.expect("written");
    let early = ledger.hold("a", usd(3).into()).await.expect("enough");
    let hold = ledger.hold("a", usd(4).into()).await.expect("enough");
    ledger.settle(hold, usd(2));
    ledger.flush().await.expect("written");
    // Times are kept in milliseconds.
    std::thread::sleep(Duration::from_millis(3));
    let later = SystemTime::now();
    std::thread::sleep(Duration::from_millis(3));
    // Taken before, ended after: it belongs to the time before.
    ledger.settle(early, usd(1));
    // Used beyond what there was, and without a hold.
    let hold = ledger.hold("a", usd(7).into()).await.expect("enough");
    ledger.settle(hold, usd(9));
    let nothing = ledger.hold("b", usd(0).into()).await.expect("no limit");
    ledger.settle(nothing, usd(5));
    // What is released, or still open, is not used.
    drop(ledger.hold("b", usd(8).into()).await.expect("no limit"));
    let open = ledger.hold("b", usd(8).into()).await.expect("no limit");
    ledger.flush().await.expect("written");
    assert_eq!(spent(&ledger, begin), of(&[("a", 12), ("b", 5)]));
    assert_eq!(spent(&ledger, later), of(&[("a", 9), ("b", 5)]));
    let tomorrow = later + Duration::from_secs(86_400);
    assert_eq!(spent(&ledger, tomorrow), of(&[]));
    drop(open);
    drop(ledger);
    let again = disk.open(options()).expect("opens");
    assert_eq!(spent(&again, later), of(&[("a", 9), ("b", 5)]));
}
