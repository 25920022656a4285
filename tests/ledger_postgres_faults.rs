//! The shared ledger when the database is slow to answer, and when a network swallows what is said.

#![cfg(feature = "ledger-postgres")]

#[path = "support/books.rs"]
mod books;
#[path = "support/postgres.rs"]
mod postgres;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use postgres::Postgres;
use tokio::{
    io::copy,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tower_completions::cost::{
    Amount, Denied, HoldId, Ledger, PostgresLedger, PostgresOptions, Statement,
};

const fn usd(pico: i128) -> Amount {
    Amount::from_pico(pico)
}

/// The books agree, with nothing held.
async fn settled(ledger: &PostgresLedger, account: &str) -> Statement {
    ledger.flush().await.expect("reachable");
    let mismatches = ledger.reconcile().await.expect("reachable");
    let statement = ledger.statement(account).await.expect("reachable");
    books::conserved(statement, &mismatches)
}

/// Looks until a query counts so many.
async fn until(client: &tokio_postgres::Client, query: &str, count: i64) {
    let begun = Instant::now();
    loop {
        let row = client.query_one(query, &[]).await.expect("reachable");
        if row.get::<_, i64>(0) == count {
            return;
        }
        assert!(begun.elapsed().as_secs() < 30, "never {count}: {query}");
    }
}

const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";

/// A hold may be committed by the database after whoever asked for it has given up, and while its
/// release waits for just that.
#[tokio::test]
async fn a_hold_that_is_committed_while_its_end_is_written_is_ended() {
    if postgres::missing() {
        return;
    }
    let server = Postgres::start().await;
    let ledger = PostgresLedger::connect(&server.url())
        .await
        .expect("reachable");
    assert!(
        ledger
            .grant("a", usd(10), "first")
            .await
            .expect("reachable")
    );
    let (slow, watch) = (server.beside().await, server.beside().await);
    for (id, charge) in [(7, 3), (8, 0)] {
        let hold = format!(
            "BEGIN; SELECT completions_hold('{}'::uuid, 'a', 1, 5, false)",
            format_args!("{id:032x}")
        );
        slow.batch_execute(&hold).await.expect("room");
        let asked = ledger.clone();
        let end =
            tokio::spawn(async move { asked.settle_id("a", HoldId::new(id), usd(charge)).await });
        until(&watch, WAITING, 1).await;
        slow.batch_execute("COMMIT").await.expect("committed");
        let charged = end.await.expect("no panic").expect("reachable");
        assert_eq!(charged, Some(usd(charge)));
    }
    let end = settled(&ledger, "a").await;
    assert_eq!((end.held, end.spent), (Amount::ZERO, usd(3)));
}

/// An id of one account says nothing to another, and nothing that waits is held up by it.
#[tokio::test]
async fn a_hold_is_ended_in_the_name_of_its_account_alone() {
    if postgres::missing() {
        return;
    }
    let server = Postgres::start().await;
    let ledger = PostgresLedger::connect(&server.url())
        .await
        .expect("reachable");
    for account in ["a", "b"] {
        let granted = ledger.grant(account, usd(10), "first").await;
        assert!(granted.expect("reachable"));
    }
    let a = ledger.hold("a", usd(4).into()).await.expect("enough");
    let b = ledger.hold("b", usd(6).into()).await.expect("enough");
    let other = ledger.settle_id("b", a.id(), usd(1)).await;
    assert_eq!(other.expect("reachable"), None);
    ledger.settle(a, usd(2));
    ledger.settle(b, usd(3));
    assert_eq!(settled(&ledger, "a").await.spent, usd(2));
    assert_eq!(settled(&ledger, "b").await.spent, usd(3));
}

/// One account that is locked for long takes no connection from the others for good.
#[tokio::test]
async fn a_hold_that_is_given_up_leaves_its_connection_to_others() {
    if postgres::missing() {
        return;
    }
    let server = Postgres::start().await;
    let options = PostgresOptions::new(server.url()).connections(1);
    let options = options.timeout(Duration::from_secs(1));
    let ledger = options.connect().await.expect("reachable");
    for account in ["a", "b"] {
        let granted = ledger.grant(account, usd(10), "first").await;
        assert!(granted.expect("reachable"));
    }
    let (other, watch) = (server.beside().await, server.beside().await);
    // A connection costs the database more than a hold: none is made anew for this.
    const LATEST: &str = "SELECT max(backend_start)::text FROM pg_stat_activity \
        WHERE backend_type = 'client backend'";
    let latest = async || -> String {
        let row = watch.query_one(LATEST, &[]).await.expect("reachable");
        row.get(0)
    };
    let connected = latest().await;
    let lock = "BEGIN; SELECT FROM completions_accounts WHERE name = 'a' FOR UPDATE";
    other.batch_execute(lock).await.expect("locked");
    let given_up = ledger.hold("a", usd(5).into()).await;
    assert_eq!(given_up.map(drop), Err(Denied::Unavailable));
    let b = ledger.hold("b", usd(5).into()).await.expect("enough");
    ledger.settle(b, usd(2));
    // It does not wait in the database either.
    const HOLDING: &str = "SELECT count(*) FROM pg_stat_activity \
        WHERE query LIKE '%completions_hold(%' AND wait_event_type = 'Lock'";
    until(&watch, HOLDING, 0).await;
    assert_eq!(latest().await, connected);
    other.batch_execute("COMMIT").await.expect("unlocked");
    assert_eq!(settled(&ledger, "a").await.balance(), Some(usd(10)));
    assert_eq!(settled(&ledger, "b").await.spent, usd(2));
}

/// An operator's constraint, or a value that no column takes: those behind it are charged all the same.
#[tokio::test]
async fn a_charge_that_the_database_refuses_holds_up_no_other() {
    if postgres::missing() {
        return;
    }
    let server = Postgres::start().await;
    let ledger = PostgresLedger::connect(&server.url())
        .await
        .expect("reachable");
    for account in ["a", "b"] {
        let granted = ledger.grant(account, usd(100), "first").await;
        assert!(granted.expect("reachable"));
    }
    let operator = server.beside().await;
    const STRICT: &str =
        "ALTER TABLE completions_entries ADD CONSTRAINT strict CHECK (charged <> 3)";
    operator.batch_execute(STRICT).await.expect("made");
    // Among many of one statement, and before others.
    for charge in 1..=20 {
        let hold = ledger.hold("a", usd(4).into()).await.expect("enough");
        ledger.settle(hold, usd(if charge == 7 { 3 } else { 1 }));
    }
    let hold = ledger.hold("b", usd(5).into()).await.expect("enough");
    ledger.settle(hold, usd(2));
    assert!(ledger.flush().await.is_err(), "one is not there");
    let a = ledger.statement("a").await.expect("reachable");
    assert_eq!((a.spent, a.held), (usd(19), usd(4)));
    let b = ledger.statement("b").await.expect("reachable");
    assert_eq!((b.spent, b.held), (usd(2), Amount::ZERO));
    // It is not lost: as soon as the database takes it, it is booked.
    const MENDED: &str = "ALTER TABLE completions_entries DROP CONSTRAINT strict";
    operator.batch_execute(MENDED).await.expect("mended");
    assert_eq!(settled(&ledger, "a").await.spent, usd(22));
}

/// What was set aside is much, and refused slowly: while it is tried, new charges are booked.
#[tokio::test]
async fn what_is_refused_again_and_again_holds_up_no_new_charge() {
    if postgres::missing() {
        return;
    }
    let server = Postgres::start().await;
    let ledger = PostgresLedger::connect(&server.url())
        .await
        .expect("reachable");
    for account in ["a", "b"] {
        let granted = ledger.grant(account, usd(1000), "first").await;
        assert!(granted.expect("reachable"));
    }
    let operator = server.beside().await;
    const SLOW: &str = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep(0.1); RAISE 'no' USING ERRCODE = 'check_violation'; END $$;
        CREATE TRIGGER slow BEFORE INSERT ON completions_entries
        FOR EACH ROW WHEN (NEW.charged = 3) EXECUTE FUNCTION slow()";
    operator.batch_execute(SLOW).await.expect("made");
    for _ in 0..40 {
        let hold = ledger.hold("a", usd(4).into()).await.expect("enough");
        ledger.settle(hold, usd(3));
    }
    assert!(ledger.flush().await.is_err(), "all are refused");
    let other = ledger.clone();
    let flush = tokio::spawn(async move { other.flush().await });
    for charge in 1..=3 {
        let hold = ledger.hold("b", usd(5).into()).await.expect("enough");
        ledger.settle(hold, usd(1));
        while ledger.statement("b").await.expect("reachable").spent != usd(charge) {
            assert!(!flush.is_finished(), "they were tried before it");
            tokio::task::yield_now().await;
        }
    }
    assert!(!flush.is_finished(), "they are not tried one by one?");
    const MENDED: &str = "DROP TRIGGER slow ON completions_entries";
    operator.batch_execute(MENDED).await.expect("mended");
    let _ = flush.await.expect("no panic");
    assert_eq!(settled(&ledger, "a").await.spent, usd(120));
    assert_eq!(settled(&ledger, "b").await.spent, usd(3));
}

/// A network between a node and the database.
struct Network {
    port: u16,
    open: Arc<Mutex<Vec<JoinHandle<()>>>>,
    /// What a node believes to be connected still.
    swallowed: Arc<Mutex<Vec<TcpStream>>>,
    gone: tokio::sync::watch::Sender<u32>,
}

impl Network {
    async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (gone, _) = tokio::sync::watch::channel(0);
        let this = Self {
            port,
            open: Arc::default(),
            swallowed: Arc::default(),
            gone,
        };
        let (open, swallowed) = (Arc::clone(&this.open), Arc::clone(&this.swallowed));
        let gone = this.gone.clone();
        tokio::spawn(async move {
            while let Ok((mut node, _)) = listener.accept().await {
                let swallowed = Arc::clone(&swallowed);
                let mut gone = gone.subscribe();
                open.lock().expect("alone").push(tokio::spawn(async move {
                    let Ok(mut database) = TcpStream::connect(("127.0.0.1", server)).await else {
                        return;
                    };
                    {
                        let (mut from, mut to) = node.split();
                        let (mut answers, mut asks) = database.split();
                        tokio::select! {
                            _ = copy(&mut from, &mut asks) => return,
                            _ = copy(&mut answers, &mut to) => return,
                            _ = gone.changed() => {}
                        }
                    }
                    // The database hears that it is over, the node hears nothing.
                    drop(database);
                    swallowed.lock().expect("alone").push(node);
                }));
            }
        });
        this
    }

    /// Loses every connection that is open now, in silence.
    fn swallow(&self) {
        self.gone.send_modify(|times| *times += 1);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for open in self.open.lock().expect("alone").drain(..) {
            open.abort();
        }
    }
}

/// A node whose session is lost in silence would be taken for dead, hold by hold, until TCP gives up.
#[tokio::test]
async fn a_node_whose_session_is_lost_in_silence_proves_itself_alive_by_another() {
    if postgres::missing() {
        return;
    }
    let server = Postgres::start().await;
    let url = server.url();
    let port = url.rsplit(':').next().and_then(|it| it.split('/').next());
    let port = port.and_then(|it| it.parse().ok()).expect("a port");
    let network = Network::before(port).await;
    let through = url.replace(&format!(":{port}/"), &format!(":{}/", network.port));
    let options = PostgresOptions::new(through).timeout(Duration::from_secs(1));
    let options = options.settle_timeout(Duration::from_millis(100));
    let node = options.connect().await.expect("reachable");
    assert!(node.grant("a", usd(10), "first").await.expect("reachable"));
    const ALIVE: &str =
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2";
    let watch = server.beside().await;
    until(&watch, ALIVE, 1).await;
    network.swallow();
    until(&watch, ALIVE, 0).await;
    until(&watch, ALIVE, 1).await;
    let hold = loop {
        // The connections of its pool are gone as silently.
        if let Ok(hold) = node.hold("a", usd(5).into()).await {
            break hold;
        }
    };
    node.settle(hold, usd(3));
    assert_eq!(settled(&node, "a").await.spent, usd(3));
}
