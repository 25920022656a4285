//! The shared ledger over TLS: where it is demanded all of it is, and whoever answers proves its name.

#![cfg(all(
    feature = "ledger-postgres",
    any(feature = "tls-ring", feature = "tls-aws-lc")
))]

#[path = "support/books.rs"]
mod books;
#[path = "support/postgres.rs"]
mod postgres;

use std::{
    error::Error,
    time::{Duration, Instant},
};

use postgres::Postgres;
use tower_completions::cost::{Amount, Denied, Ledger, PostgresOptions};

const fn usd(pico: i128) -> Amount {
    Amount::from_pico(pico)
}

async fn count(client: &tokio_postgres::Client, what: &str) -> i64 {
    let row = client.query_one(what, &[]).await.expect("reachable");
    row.get(0)
}

/// Sessions beside the one that asks.
const CLEAR: &str = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND NOT ssl";
const ENCRYPTED: &str = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
     WHERE backend_type = 'client backend' AND ssl";

#[tokio::test]
async fn all_is_encrypted_where_that_is_demanded() {
    if postgres::missing() {
        return;
    }
    let server = Postgres::start_with_tls().await;
    let watch = server.beside().await;
    // Whoever looked whether the server had started may not have left yet.
    let clear = count(&watch, CLEAR).await;
    let url = format!("{}?sslmode=require", server.url());
    let options = PostgresOptions::new(url)
        .root_certificates(server.root_certificate())
        .expect("a certificate")
        .connections(1)
        .timeout(Duration::from_secs(1));
    let ledger = options.connect().await.expect("reachable");
    for account in ["a", "b"] {
        let granted = ledger.grant(account, usd(10), "first").await;
        assert!(granted.expect("reachable"));
    }
    // The session that proves the node alive, and the one that asks.
    assert_eq!(count(&watch, ENCRYPTED).await, 2);
    assert!(count(&watch, CLEAR).await <= clear);

    // What takes too long is stopped by a connection of its own.
    let other = server.beside().await;
    let lock = "BEGIN; SELECT FROM completions_accounts WHERE name = 'a' FOR UPDATE";
    other.batch_execute(lock).await.expect("locked");
    let given_up = ledger.hold("a", usd(5).into()).await;
    assert_eq!(given_up.map(drop), Err(Denied::Unavailable));
    let begun = Instant::now();
    const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    while count(&watch, WAITING).await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "never stopped");
    }
    let hold = ledger.hold("b", usd(5).into()).await.expect("enough");
    ledger.settle(hold, usd(2));
    other.batch_execute("COMMIT").await.expect("unlocked");
    ledger.flush().await.expect("reachable");
    let mismatches = ledger.reconcile().await.expect("reachable");
    let statement = ledger.statement("b").await.expect("reachable");
    assert_eq!(books::conserved(statement, &mismatches).spent, usd(2));
}

#[tokio::test]
async fn certificates_alone_demand_it_and_nothing_else_does() {
    if postgres::missing() {
        return;
    }
    let server = Postgres::start_with_tls().await;
    let watch = server.beside().await;
    let plain = PostgresOptions::new(server.url());
    let trusting = plain.clone().root_certificates(server.root_certificate());
    let trusting = trusting.expect("a certificate");
    let _plain = plain.connect().await.expect("reachable");
    assert_eq!(count(&watch, ENCRYPTED).await, 0);
    let clear = count(&watch, CLEAR).await;
    let _trusting = trusting.connect().await.expect("reachable");
    assert_eq!(count(&watch, ENCRYPTED).await, 1);
    assert!(count(&watch, CLEAR).await <= clear);
}

#[tokio::test]
async fn a_database_that_does_not_prove_its_name_is_refused() {
    if postgres::missing() {
        return;
    }
    let (server, stranger) = tokio::join!(Postgres::start_with_tls(), Postgres::start_with_tls());
    let demanded = format!("{}?sslmode=require", server.url());
    let by_browsers = PostgresOptions::new(&demanded);
    let by_a_stranger = by_browsers
        .clone()
        .root_certificates(stranger.root_certificate())
        .expect("a certificate");
    let otherwise_named = PostgresOptions::new(demanded.replace("127.0.0.1", "localhost"))
        .root_certificates(server.root_certificate())
        .expect("a certificate");
    for (options, why) in [
        (by_browsers, "UnknownIssuer"),
        (by_a_stranger, "certificate"),
        (otherwise_named, "not valid for name"),
    ] {
        let error = options.connect().await.expect_err("no proof");
        let mut told = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            told += &format!(": {error}");
            cause = error.source();
        }
        assert!(told.contains(why), "{told}");
    }
}
