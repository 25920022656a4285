//! The index by account, which is behind the entries by as much as a transaction is worth.

use redb::{ReadableDatabase, TableDefinition};

use super::*;
use crate::cost::Entry;

const BY_ACCOUNT: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("by_account");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// So many holds and charges, of three accounts in turn.
async fn book(ledger: &RedbLedger, holds: usize) {
    for n in 0..holds {
        let account = ["a", "b", "c"][n % 3];
        let hold = ledger
            .hold(account, usd(2).into())
            .await
            .expect("unlimited");
        ledger.settle(hold, usd(1));
    }
    ledger.flush().await.expect("written");
}

/// Each account's entries are those of all that are its own, from any number on and however many are
/// asked for.
fn found_by_account(ledger: &RedbLedger) {
    let all = ledger.entries(0, usize::MAX).expect("readable");
    let last = all.last().map_or(0, |entry| entry.number);
    for account in ["a", "b", "c", "nobody"] {
        for after in [
            0,
            1,
            last / 2,
            1023,
            1024,
            1025,
            last.saturating_sub(5),
            last,
        ] {
            for most in [1, 7, usize::MAX] {
                let own = |it: &&Entry| &*it.account == account && it.number > after;
                let own: Vec<_> = all.iter().filter(own).take(most).cloned().collect();
                let found = ledger.entries_of(account, after, most).expect("readable");
                assert_eq!(found, own, "{account} {after} {most}");
            }
        }
    }
}

fn raw(disk: &Disk) -> Database {
    let db = Database::builder().create_with_backend(disk.clone());
    db.expect("opens")
}

fn indexed(disk: &Disk) -> u64 {
    use redb::ReadableTableMetadata;
    let db = raw(disk);
    let txn = db.begin_read().expect("begins");
    txn.open_table(BY_ACCOUNT)
        .expect("a table")
        .len()
        .expect("read")
}

#[tokio::test]
async fn entries_are_found_by_account_whatever_is_indexed() {
    let disk = Disk::default();
    let ledger = disk.open(options()).expect("opens");
    found_by_account(&ledger);
    for holds in [5, 200, 400, 3] {
        book(&ledger, holds).await;
        found_by_account(&ledger);
    }
    drop(ledger);
    let before = indexed(&disk);
    assert!((1024..1216).contains(&before), "some, not all: {before}");
    let ledger = disk.open(options()).expect("opens");
    found_by_account(&ledger);
    book(&ledger, 500).await;
    found_by_account(&ledger);
    // Beyond all that is indexed.
    ledger.prune(20).await.expect("written");
    found_by_account(&ledger);
    book(&ledger, 600).await;
    found_by_account(&ledger);
    drop(ledger);
    let ledger = disk.open(options()).expect("opens");
    found_by_account(&ledger);
    assert_eq!(ledger.reconcile().expect("readable"), []);
}

#[tokio::test]
async fn a_file_whose_index_had_all_is_read_as_one() {
    let disk = Disk::default();
    let ledger = disk.open(options()).expect("opens");
    book(&ledger, 30).await;
    let all = ledger.entries(0, 1000).expect("readable");
    drop(ledger);
    {
        // As such files were: all entries in the index, and no word of it.
        let db = raw(&disk);
        let txn = db.begin_write().expect("begins");
        {
            let mut index = txn.open_table(BY_ACCOUNT).expect("a table");
            for entry in &all {
                let key = (&*entry.account, entry.number);
                index.insert(key, ()).expect("written");
            }
            let mut meta = txn.open_table(META).expect("a table");
            meta.remove("indexed").expect("written");
        }
        txn.commit().expect("written");
    }
    let ledger = disk.open(options()).expect("opens");
    found_by_account(&ledger);
    book(&ledger, 10).await;
    found_by_account(&ledger);
    drop(ledger);
    assert_eq!(indexed(&disk), 60, "what is there is not indexed twice");
}
