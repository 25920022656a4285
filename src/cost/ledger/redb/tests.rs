//! The durable ledger over a disk that loses, tears and refuses writes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use redb::{Database, ReadableTable};

use self::disk::{Dice, Disk};
use super::{Recovery, RedbHold, RedbLedger, RedbOptions, file};
use crate::{
    body::Full,
    cost::{
        Amount, CostLayer, Currency, Denied, HoldId, Ledger as _, Mismatch, Price, Prices,
        Recovered, Statement, StoreError, What,
    },
    ext::Principal,
    meter::Tally,
    parse::ChatBody,
    wire::Usage,
};
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use tower::{Layer as _, ServiceExt as _};

mod disk;
mod index;
mod spent;

const fn usd(pico: i128) -> Amount {
    Amount::from_pico(pico)
}

fn options() -> RedbOptions {
    let mut options = RedbOptions::new("unused");
    options.last_tries = 0;
    options
}

/// Every book agrees, and what is in memory is what is in the file.
#[track_caller]
fn agrees(ledger: &RedbLedger) {
    assert_eq!(ledger.reconcile().expect("readable"), []);
    let mut counted: BTreeMap<Arc<str>, Statement> = BTreeMap::new();
    for entry in ledger.entries(0, usize::MAX).expect("readable") {
        counted.entry(entry.account).or_default().apply(&entry.what);
    }
    for (account, counted) in counted {
        assert_eq!(ledger.statement(&account), counted, "{account}");
    }
}

fn ids(ledger: &RedbLedger, ended: bool) -> BTreeSet<HoldId> {
    let entries = ledger.entries(0, usize::MAX).expect("readable");
    let wanted = entries.into_iter().filter(|entry| match entry.what {
        What::Held { .. } => !ended,
        What::Settled { .. } => ended,
        _ => false,
    });
    wanted.filter_map(|entry| entry.what.hold()).collect()
}

#[tokio::test]
async fn accounts_come_back_from_the_file() {
    let disk = Disk::default();
    let ledger = disk.open(options()).expect("opens");
    assert!(ledger.grant("a", usd(10), "first").await.expect("written"));
    assert!(!ledger.grant("a", usd(99), "first").await.expect("written"));
    let hold = ledger.hold("a", usd(6).into()).await.expect("enough");
    assert_eq!(
        ledger.hold("a", usd(5).into()).await.expect_err("too much"),
        Denied::Insufficient
    );
    assert_eq!(ledger.settle(hold, usd(4)), usd(4));
    let mut hold = ledger.hold("a", usd(3).into()).await.expect("enough");
    ledger.extend(&mut hold, usd(2)).await.expect("enough");
    assert_eq!(
        ledger.extend(&mut hold, usd(2)).await,
        Err(Denied::Insufficient)
    );
    assert_eq!(hold.amount(), usd(5));
    drop(hold);
    let before = ledger.statement("a");
    assert_eq!(
        (before.balance(), before.held),
        (Some(usd(6)), Amount::ZERO)
    );
    ledger.flush().await.expect("written");
    agrees(&ledger);
    drop(ledger);
    let again = disk.open(options()).expect("opens");
    assert_eq!(again.statement("a"), before);
    assert_eq!(again.recovered(), []);
    agrees(&again);
    let kinds: Vec<_> = again.entries_of("a", 0, 100).expect("readable");
    assert_eq!(kinds.len(), 6, "{kinds:#?}");
    assert_eq!(again.entries_of("b", 0, 100).expect("readable"), []);
    assert_eq!(again.entries(4, 1).expect("readable")[0].number, 5);
}

#[tokio::test]
async fn many_bookings_share_a_sync() {
    let disk = Disk::default();
    let ledger = disk.open(options()).expect("opens");
    ledger
        .grant("a", usd(1000), "first")
        .await
        .expect("written");
    let before = disk.lock().syncs;
    let holds = (0..100).map(|_| ledger.hold("a", usd(1).into()));
    let holds = futures_util::future::join_all(holds).await;
    assert!(holds.iter().all(Result::is_ok));
    assert!(disk.lock().syncs - before <= 4, "one or two, not a hundred");
    drop(holds);
    ledger.flush().await.expect("written");
    agrees(&ledger);
}

#[tokio::test]
async fn the_last_byte_does_not_wait_for_the_charge() {
    let disk = Disk::default();
    let ledger = disk.open(options()).expect("opens");
    ledger.grant("a", usd(10), "first").await.expect("written");
    let price = Price::new("1", "1").expect("decimals");
    let layer = CostLayer::new(Prices::new().with("m", price), ledger.clone());
    for (kind, text) in [
        ("text/event-stream", "data: {}\n\ndata: [DONE]\n\n"),
        ("application/json", "{}"),
    ] {
        ledger
            .grant("a", usd(1_000_000_000), kind)
            .await
            .expect("written");
        let before = ledger.statement("a").spent;
        let hang = Arc::clone(&disk.1);
        let inner = tower::service_fn(move |_: http::Request<ChatBody>| {
            // The hold is in the file; from now on the disk does not answer.
            hang.set(true);
            let tally = Tally::new();
            tally.record_usage(Usage::new(3, 2));
            let mut response = http::Response::new(Full::new(text));
            let kind = http::HeaderValue::from_static(kind);
            response.headers_mut().insert("content-type", kind);
            response.extensions_mut().insert(tally);
            std::future::ready(Ok::<_, std::convert::Infallible>(response))
        });
        let body = r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}"#;
        let mut request = http::Request::new(Full::new(body));
        request.extensions_mut().insert(Principal::new("a"));
        let response = layer.layer(inner).oneshot(request).await.expect("answered");
        assert_eq!(response.status(), 200);
        let whole = response.into_body().collect().now_or_never();
        let whole = whole.expect("no frame waits").expect("no error");
        assert_eq!(whole.to_bytes(), text);
        // It is charged, and not in the file.
        assert_eq!(ledger.statement("a").spent.minus(before), usd(5_000_000));
        let mut flush = Box::pin(ledger.flush());
        assert!(flush.as_mut().now_or_never().is_none());
        disk.1.set(false);
        flush.await.expect("written");
        agrees(&ledger);
    }
}

#[tokio::test]
async fn open_holds_of_a_crash_are_voided_or_charged() {
    for (recovery, charged) in [(Recovery::Void, 0), (Recovery::Charge, 6)] {
        let disk = Disk::default();
        let ledger = disk.open(options()).expect("opens");
        ledger.grant("a", usd(10), "first").await.expect("written");
        let hold = ledger.hold("a", usd(6).into()).await.expect("enough");
        let id = hold.id();
        disk.kill();
        drop((hold, ledger));
        let disk = disk.after_loss(&mut Dice(7));
        let ledger = disk.open(options().recovery(recovery)).expect("opens");
        let expected = Recovered {
            hold: id,
            account: "a".into(),
            held: usd(6),
            charged: usd(charged),
        };
        assert_eq!(ledger.recovered(), [expected]);
        let end = ledger.statement("a");
        assert_eq!((end.held, end.spent), (Amount::ZERO, usd(charged)));
        agrees(&ledger);
        // Ids are not given twice.
        let hold = ledger.hold("a", usd(1).into()).await.expect("enough");
        assert!(hold.id() > id);
    }
}

#[tokio::test]
async fn a_hold_is_settled_once_by_its_id() {
    let ledger = Disk::default().open(options()).expect("opens");
    ledger.grant("a", usd(10), "first").await.expect("written");
    let hold = ledger.hold("a", usd(6).into()).await.expect("enough");
    let id = hold.id();
    assert_eq!(ledger.settle_id("a", id, usd(2)), Some(usd(2)));
    assert_eq!(ledger.settle_id("a", id, usd(2)), None);
    assert_eq!(ledger.settle(hold, usd(5)), Amount::ZERO);
    ledger.flush().await.expect("written");
    assert_eq!(ledger.statement("a").spent, usd(2));
    agrees(&ledger);
}

#[tokio::test]
async fn a_dropped_hold_holds_nothing_whenever_it_is_dropped() {
    let ledger = Disk::default().open(options().max_open(2)).expect("opens");
    ledger.grant("a", usd(10), "first").await.expect("written");
    for _ in 0..50 {
        drop(ledger.hold("a", usd(6).into()));
        let mut future = Box::pin(ledger.hold("a", usd(6).into()));
        let _ = futures_util::poll!(&mut future);
        drop(future);
        ledger.flush().await.expect("written");
    }
    let held = ledger.hold("a", usd(6).into()).await.expect("all is back");
    drop(held);
    ledger.flush().await.expect("written");
    agrees(&ledger);
}

#[tokio::test]
async fn more_holds_than_there_are_places_are_denied() {
    let ledger = Disk::default().open(options().max_open(2)).expect("opens");
    let first = ledger.hold("a", usd(1).into()).await.expect("unlimited");
    let second = ledger.hold("a", usd(0).into()).await.expect("unlimited");
    let third = ledger.hold("a", usd(1).into()).await;
    assert_eq!(third.expect_err("full"), Denied::Unavailable);
    ledger.settle(second, usd(5));
    ledger.flush().await.expect("written");
    drop(ledger.hold("a", usd(1).into()).await.expect("one again"));
    drop(first);
    ledger.flush().await.expect("written");
    assert_eq!(ledger.statement("a").spent, usd(5));
    agrees(&ledger);
}

#[tokio::test]
async fn pruned_entries_are_kept_as_their_sum() {
    let disk = Disk::default();
    let ledger = disk.open(options()).expect("opens");
    ledger
        .grant("a", usd(1000), "first")
        .await
        .expect("written");
    let open = ledger.hold("a", usd(7).into()).await.expect("enough");
    for _ in 0..50 {
        let hold = ledger.hold("a", usd(2).into()).await.expect("enough");
        ledger.settle(hold, usd(1));
    }
    ledger.flush().await.expect("written");
    assert_eq!(ledger.prune(10).await.expect("written"), 92);
    assert_eq!(ledger.entries(0, 1000).expect("readable").len(), 10);
    assert_eq!(ledger.reconcile().expect("readable"), []);
    ledger.settle(open, usd(7));
    ledger.compact().await.expect("written");
    ledger.flush().await.expect("written");
    drop(ledger);
    let again = disk.open(options()).expect("opens");
    assert_eq!(again.reconcile().expect("readable"), []);
    assert_eq!(again.statement("a").spent, usd(57));
    assert!(!again.grant("a", usd(1), "first").await.expect("written"));
}

#[tokio::test]
async fn a_changed_entry_is_found() {
    let disk = Disk::default();
    let ledger = disk.open(options()).expect("opens");
    for n in 0..5 {
        let reference = format!("invoice {n}");
        ledger
            .grant("a", usd(10), &reference)
            .await
            .expect("written");
    }
    drop(ledger);
    // Somebody with the file in hand: the amount of the third is raised, sums and all.
    {
        let db = Database::builder()
            .create_with_backend(disk.clone())
            .expect("opens");
        let durable = file::load(&db, Currency::USD).expect("readable");
        assert_eq!(durable.head, 5);
        let txn = db.begin_write().expect("begins");
        let entries: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("entries");
        {
            let mut table = txn.open_table(entries).expect("a table");
            let mut bytes = table.get(3).expect("read").expect("there").value().to_vec();
            let amount = bytes
                .windows(16)
                .position(|it| it == 10_i128.to_le_bytes())
                .expect("an amount");
            bytes[amount] = 11;
            table.insert(3, &bytes[..]).expect("written");
        }
        txn.commit().expect("written");
    }
    let ledger = disk.open(options()).expect("opens");
    let found = ledger.reconcile().expect("readable");
    assert!(found.contains(&Mismatch::Chain { number: 3 }), "{found:?}");
}

/// Nothing that was acknowledged is missing after power was lost, whatever became of writes that
/// were not synced.
#[tokio::test]
async fn what_is_acknowledged_survives_torn_and_lost_writes() {
    let rounds = std::env::var("LEDGER_LOSSES").map_or(40_usize, |n| n.parse().expect("a number"));
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut disk = Disk::default();
    let (mut held, mut ended, mut granted) = (BTreeSet::new(), BTreeSet::new(), 0);
    let (mut all_held, mut all_ended) = (0, 0);
    for round in 0..rounds {
        if round % 40 == 0 {
            // Another one before its book gets long.
            disk = Disk::default();
            all_held += held.len();
            all_ended += ended.len();
            (held, ended, granted) = (BTreeSet::new(), BTreeSet::new(), 0);
        }
        let ledger = disk.open(options()).unwrap_or_else(|error| {
            panic!("round {round}: {error:?}");
        });
        agrees(&ledger);
        assert_eq!(ledger.statement("a").held, Amount::ZERO);
        assert!(ids(&ledger, false).is_superset(&held), "round {round}");
        assert!(ids(&ledger, true).is_superset(&ended), "round {round}");
        assert!(ledger.statement("a").granted.unwrap_or_default() >= usd(granted));
        let mut open = Vec::new();
        for step in 0..dice.below(12) {
            match dice.below(4) {
                0 => {
                    let reference = format!("{round}.{step}");
                    if ledger.grant("a", usd(100), &reference).await.is_ok() {
                        granted += 100;
                    }
                }
                1 => {
                    if let Some(hold) = open.pop() {
                        let hold: RedbHold = hold;
                        let id = hold.id();
                        ledger.settle(hold, usd(3));
                        if ledger.flush().await.is_ok() {
                            ended.insert(id);
                        }
                    }
                }
                _ => {
                    if let Ok(hold) = ledger.hold("a", usd(5).into()).await {
                        held.insert(hold.id());
                        open.push(hold);
                    }
                }
            }
        }
        // Power goes while a last batch is on its way.
        let last = ledger.hold("a", usd(5).into());
        disk.lock().fails_in = Some((u32::try_from(dice.below(30)).expect("small"), u32::MAX));
        let _ = futures_util::future::join_all([last]).await;
        disk.kill();
        drop((open, ledger));
        disk = disk.after_loss(&mut dice);
    }
    let (held, ended) = (all_held + held.len(), all_ended + ended.len());
    assert!(held > rounds / 2 && ended > rounds / 20, "{held} {ended}");
}

/// A disk that fails for a while: no hold is given, no charge is lost, and it goes on afterwards.
#[tokio::test]
async fn a_disk_that_fails_for_a_while_loses_nothing() {
    for fails_at in 0..40 {
        let disk = Disk::default();
        let ledger = disk.open(options()).expect("opens");
        ledger
            .grant("a", usd(1000), "first")
            .await
            .expect("written");
        let hold = ledger.hold("a", usd(10).into()).await.expect("enough");
        let mut larger = ledger.hold("a", usd(10).into()).await.expect("enough");
        disk.lock().fails_in = Some((fails_at, 3));
        assert_eq!(ledger.settle(hold, usd(7)), usd(7));
        let mut given = 0;
        let extended = ledger.extend(&mut larger, usd(10));
        let holds = (0..5).map(|_| ledger.hold("a", usd(1).into()));
        let (holds, extended) =
            futures_util::future::join(futures_util::future::join_all(holds), extended).await;
        for hold in holds {
            match hold {
                Ok(hold) => {
                    given += 1;
                    ledger.settle(hold, usd(1));
                }
                Err(denied) => assert_eq!(denied, Denied::Unavailable),
            }
        }
        let charge = if extended.is_ok() { 20 } else { 10 };
        assert_eq!(ledger.settle(larger, usd(charge)), usd(charge));
        // It is well again some time later: the grant says so.
        while ledger.grant("a", usd(1), "second").await.is_err() {}
        while ledger.flush().await.is_err() {}
        let end = ledger.statement("a");
        assert_eq!(end.granted, Some(usd(1001)), "{fails_at}");
        assert_eq!(end.held, Amount::ZERO, "{fails_at}");
        assert_eq!(end.spent, usd(7 + given + charge), "{fails_at}");
        agrees(&ledger);
        disk.lock().fails_in = None;
        drop(ledger);
        let again = disk.open(options()).expect("opens");
        assert_eq!(again.statement("a"), end, "{fails_at}");
    }
}

#[tokio::test]
async fn a_file_is_of_one_currency() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.redb");
    let open = |currency| RedbOptions::new(&path).currency(currency).open();
    let ledger = open(Currency::EUR).expect("made");
    assert_eq!(ledger.currency(), Currency::EUR);
    drop(ledger);
    let refused = open(Currency::USD).expect_err("another currency");
    assert_eq!(
        refused.to_string(),
        "opening a ledger of another currency failed"
    );
    assert!(RedbLedger::open(&path).is_err(), "by default it is dollars");
    drop(open(Currency::EUR).expect("its own"));

    // A file from before there was a choice has dollars.
    let db = Database::create(&path).expect("opens");
    let txn = db.begin_write().expect("begun");
    let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
    txn.open_table(meta)
        .expect("there")
        .remove("currency")
        .expect("removed");
    txn.commit().expect("written");
    drop(db);
    assert!(open(Currency::EUR).is_err());
    assert_eq!(
        open(Currency::USD).expect("dollars").currency(),
        Currency::USD
    );
}
