//! The shared ledger over a PostgreSQL of its own: accounts, several nodes, nodes that die.

#![cfg(feature = "ledger-postgres")]

#[path = "support/postgres.rs"]
mod postgres;

#[path = "support/books.rs"]
mod books;

use std::{
    future::ready,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use futures_util::{FutureExt, future::join_all};
use http::{Request, Response};
use http_body_util::BodyExt;
use postgres::Postgres;
use tower::{Layer, ServiceExt, service_fn};
use tower_completions::{
    Principal,
    body::Full,
    cost::{
        Amount, CostLayer, Currency, Denied, HoldId, Ledger, Most, PostgresLedger, PostgresOptions,
        Price, Prices, Statement, What,
    },
    meter::Tally,
    parse::ChatBody,
    wire::Usage,
};

const fn usd(pico: i128) -> Amount {
    Amount::from_pico(pico)
}

async fn connect(server: &Postgres) -> PostgresLedger {
    let options = PostgresOptions::new(server.url()).connections(8);
    options
        .connect()
        .await
        .unwrap_or_else(|error| panic!("{error:?}"))
}

/// The books agree, with nothing held.
async fn settled(ledger: &PostgresLedger, account: &str) -> Statement {
    ledger.flush().await.expect("reachable");
    let mismatches = ledger.reconcile().await.expect("reachable");
    let statement = ledger.statement(account).await.expect("reachable");
    books::conserved(statement, &mismatches)
}

#[tokio::test]
async fn accounts_holds_and_charges() {
    if postgres::missing() {
        return;
    }
    let mut server = Postgres::start().await;
    let ledger = connect(&server).await;

    // Grants count once for a reference; an unknown account has no limit.
    let free = ledger.hold("a", Most::Unknown).await.expect("no limit");
    assert_eq!(ledger.settle(free, usd(3)), usd(3));
    ledger.flush().await.expect("reachable");
    assert!(
        ledger
            .grant("a", usd(10), "first")
            .await
            .expect("reachable")
    );
    assert!(
        !ledger
            .grant("a", usd(99), "first")
            .await
            .expect("reachable")
    );
    assert!(ledger.grant("a", usd(-1), "less").await.is_err());
    assert_eq!(settled(&ledger, "a").await.balance(), Some(usd(10)));
    let denied = ledger.hold("a", Most::Unknown).await;
    assert_eq!(denied.expect_err("a limit"), Denied::Unpriced);

    // A hold grows while there is money, and charges what was used.
    let mut hold = ledger.hold("a", usd(4).into()).await.expect("enough");
    ledger.extend(&mut hold, usd(5)).await.expect("enough");
    assert_eq!(
        ledger.extend(&mut hold, usd(2)).await,
        Err(Denied::Insufficient)
    );
    assert_eq!(hold.amount(), usd(9));
    let denied = ledger.hold("a", usd(2).into()).await;
    assert_eq!(denied.expect_err("too much"), Denied::Insufficient);
    assert_eq!(ledger.settle(hold, usd(6)), usd(6));
    assert_eq!(settled(&ledger, "a").await.balance(), Some(usd(4)));

    // What was used beyond hold and balance is not taken. Only the part of the hold is certain at once.
    let hold = ledger.hold("a", usd(1).into()).await.expect("enough");
    assert_eq!(ledger.settle(hold, usd(9)), usd(1));
    let end = settled(&ledger, "a").await;
    assert_eq!((end.balance(), end.overrun), (Some(Amount::ZERO), usd(5)));

    // A hold of nothing, settled and extended.
    ledger
        .grant("b", usd(10), "first")
        .await
        .expect("reachable");
    let nothing = ledger.hold("b", usd(0).into()).await.expect("nothing");
    ledger.settle(nothing, usd(2));
    let mut nothing = ledger.hold("b", usd(0).into()).await.expect("nothing");
    ledger.extend(&mut nothing, usd(3)).await.expect("enough");
    ledger.settle(nothing, usd(1));
    assert_eq!(settled(&ledger, "b").await.balance(), Some(usd(7)));

    // By its id it is settled once.
    let hold = ledger.hold("b", usd(5).into()).await.expect("enough");
    let id = hold.id();
    let charged = ledger.settle_id("b", id, usd(2)).await.expect("reachable");
    assert_eq!(charged, Some(usd(2)));
    let again = ledger.settle_id("b", id, usd(2)).await.expect("reachable");
    assert_eq!(again, None);
    ledger.settle(hold, usd(5));
    assert_eq!(settled(&ledger, "b").await.balance(), Some(usd(5)));

    // Dropped at any point, before or while it is asked for, nothing stays held.
    for polls in 0..8 {
        let mut future = Box::pin(ledger.hold("b", usd(5).into()));
        for _ in 0..polls {
            if futures_util::poll!(&mut future).is_ready() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(future);
    }
    assert_eq!(settled(&ledger, "b").await.balance(), Some(usd(5)));

    let entries = ledger.entries(Some("a"), 0, 100).await.expect("reachable");
    assert!(matches!(entries[1].what, What::Granted { used, .. } if used == usd(3)));
    let rest = ledger
        .entries(None, entries[0].number, 1)
        .await
        .expect("reachable");
    assert_eq!(rest.len(), 1);

    // The server goes: no hold is given, charges wait, and come when it is back.
    let open = ledger.hold("b", usd(5).into()).await.expect("enough");
    server.stop();
    let denied = ledger.hold("b", usd(0).into()).await;
    assert!(denied.is_ok(), "a hold of nothing asks nobody");
    let denied = ledger.hold("b", usd(1).into()).await;
    assert_eq!(denied.expect_err("nobody there"), Denied::Unavailable);
    ledger.settle(open, usd(4));
    server.run().await;
    assert_eq!(settled(&ledger, "b").await.balance(), Some(usd(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_nodes_on_one_database() {
    if postgres::missing() {
        return;
    }
    let server = Postgres::start().await;
    // All make the tables at once.
    let nodes: Vec<_> = join_all((0..4).map(|_| connect(&server))).await;
    nodes[0]
        .grant("a", usd(39), "first")
        .await
        .expect("reachable");
    let holds = (0..40).map(|n| nodes[n % 4].hold("a", usd(1).into()));
    let holds = join_all(holds).await;
    assert_eq!(holds.iter().filter(|hold| hold.is_ok()).count(), 39);
    drop(holds);
    for node in &nodes {
        node.flush().await.expect("reachable");
    }
    assert_eq!(settled(&nodes[0], "a").await.balance(), Some(usd(39)));

    // Holds on several accounts, settled in every order at once: nobody waits for ever.
    let storm = (0..200_usize).map(|n| {
        let node = &nodes[n % 4];
        async move {
            let account = format!("storm {}", n % 5);
            let hold = node.hold(&account, usd(7).into()).await.expect("unlimited");
            node.settle(hold, usd(3));
        }
    });
    join_all(storm).await;
    for node in &nodes {
        node.flush().await.expect("reachable");
    }
    for n in 0..5 {
        let end = settled(&nodes[0], &format!("storm {n}")).await;
        assert_eq!(end.spent, usd(120));
    }

    // The tables are of one currency.
    let euros = PostgresOptions::new(server.url()).currency(Currency::EUR);
    let refused = euros.connect().await.expect_err("they are of dollars");
    assert_eq!(
        refused.to_string(),
        "opening a ledger of another currency failed"
    );
    assert_eq!(nodes[1].currency(), Currency::USD);

    // A full house denies.
    let narrow = PostgresOptions::new(server.url()).max_open(1);
    let narrow = narrow.connect().await.expect("reachable");
    let one = narrow.hold("b", usd(1).into()).await.expect("a place");
    let two = narrow.hold("b", usd(1).into()).await;
    assert_eq!(two.expect_err("full"), Denied::Unavailable);
    drop(one);
    narrow.flush().await.expect("reachable");
    drop(narrow.hold("b", usd(1).into()).await.expect("a place"));
}

#[tokio::test]
async fn charges_that_take_too_long_are_tried_again_and_count_once() {
    if postgres::missing() {
        return;
    }
    let server = Postgres::start().await;
    let options = PostgresOptions::new(server.url()).settle_timeout(Duration::from_millis(50));
    let ledger = options.connect().await.expect("reachable");
    ledger
        .grant("a", usd(10), "first")
        .await
        .expect("reachable");
    let hold = ledger.hold("a", usd(5).into()).await.expect("enough");
    let id = hold.id();
    // Somebody locks the account: a charge waits for it as if the network swallowed everything.
    let other = server.beside().await;
    let lock = "BEGIN; SELECT FROM completions_accounts WHERE name = 'a' FOR UPDATE";
    other.batch_execute(lock).await.expect("locked");
    ledger.settle(hold, usd(3));
    // Each attempt is told to stop when its time is over: none is left waiting when others come.
    let waiting = "SELECT query_start::text FROM pg_stat_activity \
                   WHERE query LIKE '%completions_settle(%' AND wait_event_type = 'Lock'";
    let watch = server.beside().await;
    let begun = std::time::Instant::now();
    let mut tries = std::collections::BTreeSet::new();
    while tries.len() < 6 {
        let rows = watch.query(waiting, &[]).await.expect("reachable");
        assert!(rows.len() <= 2, "{} wait", rows.len());
        tries.extend(rows.iter().map(|row| row.get::<_, String>(0)));
        assert!(begun.elapsed().as_secs() < 30, "it is not tried again");
    }
    assert_eq!(ledger.statement("a").await.expect("reachable").held, usd(5));
    other.batch_execute("COMMIT").await.expect("unlocked");
    // However many of them the database has gone through with, one counts.
    let end = settled(&ledger, "a").await;
    assert_eq!((end.spent, end.balance()), (usd(3), Some(usd(7))));
    let again = ledger.settle_id("a", id, usd(3)).await;
    assert_eq!(again.expect("reachable"), None);
    let entries = ledger.entries(Some("a"), 0, 100).await.expect("reachable");
    let settled = entries
        .iter()
        .filter(|it| matches!(it.what, What::Settled { .. }));
    assert_eq!(settled.count(), 1);
}

#[tokio::test]
async fn the_last_byte_does_not_wait_for_the_charge() {
    if postgres::missing() {
        return;
    }
    let server = Postgres::start().await;
    let ledger = connect(&server).await;
    let grant = ledger.grant("a", usd(1_000_000_000), "first").await;
    assert!(grant.expect("reachable"));
    let price = Price::new("1", "1").expect("decimals");
    let layer = CostLayer::new(Prices::new().with("m", price), ledger.clone());
    let events = "data: {}\n\ndata: [DONE]\n\n";
    let inner = service_fn(move |_: Request<ChatBody>| {
        let tally = Tally::new();
        tally.record_usage(Usage::new(3, 2));
        let response = Response::builder().header("content-type", "text/event-stream");
        let response = response.extension(tally).body(Full::new(events));
        ready(response)
    });
    let body = r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}"#;
    let mut request = Request::new(Full::new(body));
    request.extensions_mut().insert(Principal::new("a"));
    let response = layer.layer(inner).oneshot(request).await;
    let response = response.expect("answered");
    // The hold is there. Somebody locks the account: no charge gets through.
    let other = server.beside().await;
    let lock = "BEGIN; SELECT FROM completions_accounts WHERE name = 'a' FOR UPDATE";
    other.batch_execute(lock).await.expect("locked");
    let whole = response.into_body().collect().now_or_never();
    let whole = whole.expect("no frame waits").expect("no error");
    assert_eq!(whole.to_bytes(), events);
    let statement = ledger.statement("a").await.expect("reachable");
    assert!(statement.held > Amount::ZERO && statement.spent == Amount::ZERO);
    other.batch_execute("COMMIT").await.expect("unlocked");
    assert_eq!(settled(&ledger, "a").await.spent, usd(5_000_000));
}

#[tokio::test]
async fn what_no_text_of_the_database_can_hold_harms_nobody() {
    if postgres::missing() {
        return;
    }
    let server = Postgres::start().await;
    let ledger = connect(&server).await;
    for name in ["a\0b".to_owned(), "x".repeat(1025)] {
        let denied = ledger.hold(&name, usd(1).into()).await;
        assert_eq!(denied.expect_err("no such name"), Denied::Unavailable);
        let denied = ledger.hold(&name, Most::Unknown).await;
        assert_eq!(denied.expect_err("no such name"), Denied::Unavailable);
    }
    assert!(ledger.grant("a\0b", usd(1), "r").await.is_err());
    assert!(ledger.grant("a", usd(1), "r\0").await.is_err());
    // Charges of others are not held up by it.
    let hold = ledger.hold("a", usd(1).into()).await.expect("no limit");
    ledger.settle(hold, usd(1));
    assert_eq!(settled(&ledger, "a").await.spent, usd(1));
}

#[tokio::test]
async fn a_url_that_demands_tls_is_not_served_without() {
    if postgres::missing() {
        return;
    }
    let server = Postgres::start().await;
    let url = format!("{}?sslmode=require", server.url());
    assert!(PostgresLedger::connect(&url).await.is_err());
    let url = format!("{}?sslmode=disable", server.url());
    assert!(PostgresLedger::connect(&url).await.is_ok());
}

#[tokio::test]
async fn what_was_used_since_a_moment_is_told_by_account() {
    if postgres::missing() {
        return;
    }
    let server = Postgres::start().await;
    let ledger = connect(&server).await;
    let beside = server.beside().await;
    let spent = async |since: SystemTime| {
        ledger.flush().await.expect("reachable");
        let mut spent = ledger.spent_since(since).await.expect("reachable");
        spent.sort();
        let spent = spent.iter().map(|(name, it)| (name.to_string(), it.pico()));
        spent.collect::<Vec<_>>()
    };
    let of = |name: &str, it: i128| (name.to_owned(), it);
    let clock = async || {
        let row = beside.query_one("SELECT clock_timestamp()", &[]).await;
        row.expect("reachable").get::<_, SystemTime>(0)
    };
    let begin = clock().await;
    ledger
        .grant("a", usd(10), "first")
        .await
        .expect("reachable");
    let early = ledger.hold("a", usd(3).into()).await.expect("enough");
    let hold = ledger.hold("a", usd(4).into()).await.expect("enough");
    ledger.settle(hold, usd(2));
    assert_eq!(spent(begin).await, [of("a", 2)]);
    let later = clock().await;
    // Taken before, ended after: it belongs to the time before.
    ledger.settle(early, usd(1));
    assert_eq!(spent(later).await, []);
    let hold = ledger.hold("a", usd(7).into()).await.expect("enough");
    ledger.settle(hold, usd(9));
    let nothing = ledger.hold("b", usd(0).into()).await.expect("no limit");
    ledger.settle(nothing, usd(5));
    drop(ledger.hold("b", usd(8).into()).await.expect("no limit"));
    let _open = ledger.hold("b", usd(8).into()).await.expect("no limit");
    assert_eq!(spent(begin).await, [of("a", 12), of("b", 5)]);
    assert_eq!(spent(later).await, [of("a", 9), of("b", 5)]);
    assert_eq!(spent(clock().await).await, []);
}

/// The tables as their first version made them, with this in them, in place of those that are there.
async fn of_version_one(client: &tokio_postgres::Client, content: &str) {
    const FIRST: &str = include_str!("../src/cost/ledger/postgres/0001.sql");
    let text = format!(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public;
         CREATE TABLE completions_version (version integer NOT NULL); {FIRST}
         INSERT INTO completions_version VALUES (1); {content}"
    );
    client.batch_execute(&text).await.expect("makes the tables");
}

#[tokio::test]
async fn tables_of_the_first_version_are_brought_up_to_date() {
    if postgres::missing() {
        return;
    }
    let server = Postgres::start().await;
    let beside = server.beside().await;
    // Granted, charged, without a limit, and held by a process that is gone.
    let content = "
        SELECT completions_grant('a', 100, 'first');
        SELECT completions_hold('00000000-0000-0000-0000-000000000001', 'a', 7, 30, false);
        SELECT completions_settle(ARRAY['00000000-0000-0000-0000-000000000001']::uuid[], ARRAY['a'], ARRAY[12]);
        SELECT completions_hold('00000000-0000-0000-0000-000000000002', 'a', 7, 40, false);
        SELECT completions_hold('00000000-0000-0000-0000-000000000003', 'free', 7, 5, false);
        SELECT completions_settle(ARRAY['00000000-0000-0000-0000-000000000003']::uuid[], ARRAY['free'], ARRAY[4]);";
    of_version_one(&beside, content).await;

    // Tables without a word of it are in US dollars; a refusal changes nothing.
    let euro = "EUR".parse::<Currency>().expect("a code");
    let other = PostgresOptions::new(server.url()).currency(euro);
    assert!(other.clone().connect().await.is_err());
    let count = "SELECT count(*) FROM completions_version WHERE version = 2";
    let version = |row: tokio_postgres::Row| row.get::<_, i64>(0);
    let found = beside.query_one(count, &[]).await.expect("readable");
    assert_eq!(version(found), 0, "as it was");

    // Two nodes at once.
    let (ledger, second) = tokio::join!(connect(&server), connect(&server));
    let found = beside.query_one(count, &[]).await.expect("readable");
    assert_eq!(version(found), 1, "once");
    assert!(other.connect().await.is_err(), "and stays so");

    // The open hold is settled by its id, whether it has been voided meanwhile or not.
    let charged = second.settle_id("a", HoldId::new(2), usd(8)).await;
    assert_eq!(charged.expect("reachable"), Some(usd(8)));
    let a = settled(&ledger, "a").await;
    assert_eq!((a.balance(), a.spent), (Some(usd(80)), usd(20)));
    let free = settled(&ledger, "free").await;
    assert_eq!((free.balance(), free.spent), (None, usd(4)));
    let entries = ledger.entries(Some("a"), 0, 100).await.expect("readable");
    assert!(
        matches!(&entries[0].what, What::Granted { amount, reference, .. } if *amount == usd(100) && &**reference == "first")
    );
    assert!(matches!(entries[2].what, What::Settled { charged, .. } if charged == usd(12)));

    // It goes on as with tables of its own.
    let hold = ledger.hold("a", usd(80).into()).await.expect("enough");
    let denied = second.hold("a", usd(1).into()).await;
    assert_eq!(denied.expect_err("all is held"), Denied::Insufficient);
    assert_eq!(ledger.settle(hold, usd(50)), usd(50));
    let first = ledger.grant("a", usd(100), "first").await;
    assert!(!first.expect("reachable"), "granted before the change");
    assert_eq!(settled(&ledger, "a").await.balance(), Some(usd(30)));
}

#[tokio::test]
async fn tables_of_the_first_version_that_nobody_used_take_any_currency() {
    if postgres::missing() {
        return;
    }
    let server = Postgres::start().await;
    of_version_one(&server.beside().await, "").await;
    let euro = "EUR".parse::<Currency>().expect("a code");
    let ledger = PostgresOptions::new(server.url()).currency(euro);
    let ledger = ledger.connect().await.expect("nothing was booked");
    assert_eq!(ledger.currency(), euro);
    assert!(PostgresLedger::connect(&server.url()).await.is_err());
}

const CHILD: &str = "LEDGER_POSTGRES_CHILD";

/// What the other process of the next test does: holds and settles until it is killed.
#[tokio::test]
async fn child_of_the_next() {
    let Ok(url) = std::env::var(CHILD) else {
        return;
    };
    let ledger = PostgresLedger::connect(&url).await.expect("reachable");
    let mut kept = Vec::new();
    for n in 0.. {
        if let Ok(hold) = ledger.hold("a", usd(5).into()).await {
            if n % 7 == 0 {
                kept.push(hold);
            } else {
                ledger.settle(hold, usd(2));
                ledger.flush().await.expect("reachable");
                println!("settled");
            }
        }
    }
}

/// Two processes on one database; one of them is killed, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_leaves_nothing_held_and_loses_nothing() {
    if postgres::missing() {
        return;
    }
    let server = Postgres::start().await;
    let ledger = connect(&server).await;
    ledger
        .grant("a", usd(1_000_000), "first")
        .await
        .expect("reachable");
    let (mut acknowledged, mut own, mut voided) = (0, 0, 0);
    for round in 0..3 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "child_of_the_next", "--nocapture"])
            .env(CHILD, server.url())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut said = 0;
        while said < 20 {
            let line = lines.next().expect("goes on").expect("a line");
            said += i128::from(line.contains("settled"));
            let hold = ledger.hold("a", usd(5).into()).await.expect("enough");
            ledger.settle(hold, usd(3));
            own += 1;
        }
        let _ = Command::new("kill")
            .args(["-KILL", &child.id().to_string()])
            .status();
        child.wait().expect("ended");
        said += lines
            .map_while(Result::ok)
            .filter(|line| line.contains("settled"))
            .count() as i128;
        acknowledged += said;
        ledger.flush().await.expect("reachable");
        // The next to connect releases what it had left open. The server may need a moment to see
        // that the session is gone.
        let mut next = connect(&server).await;
        let mut found = next.recovered().len();
        while next.statement("a").await.expect("reachable").held != Amount::ZERO {
            next = connect(&server).await;
            found += next.recovered().len();
        }
        assert!(found >= 1 || round > 0, "holds were open");
        voided += found;
        let end = settled(&next, "a").await;
        assert!(end.spent >= usd(acknowledged * 2 + own * 3), "{end:?}");
    }
    let entries = ledger
        .entries(Some("a"), 0, 1_000_000)
        .await
        .expect("reachable");
    let count = |wanted: fn(&What) -> bool| entries.iter().filter(|it| wanted(&it.what)).count();
    assert!(count(|what| matches!(what, What::Voided { .. })) >= voided);
}
