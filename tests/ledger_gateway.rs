//! The example gateway with a durable ledger: what it keeps over a stop, a kill, another balance in
//! its file, and a ledger that is gone.

#![cfg(all(feature = "ledger-redb", feature = "ledger-postgres"))]

#[path = "support/postgres.rs"]
mod postgres;
mod support;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use http_body_util::BodyExt;
use postgres::Postgres;
use serde_json::{Value, json};
use support::Gateway;
use tower_completions::cost::{Amount, RedbLedger};

fn config(store: &str, balance: &str) -> String {
    let mut text = format!(
        "[ledger]\nstore = \"{store}\"\n\n[[providers]]\nname = \"mock\"\nkind = \"mock\"\n\n\
         [[keys]]\nname = \"rich\"\nsecret = \"sk-rich\"\nbalance = \"{balance}\"\n\n\
         [[keys]]\nname = \"free\"\nsecret = \"sk-free\"\n\n"
    );
    for model in ["echo", "slow", "stall"] {
        text.push_str(&format!(
            "[[models]]\nid = \"mock/{model}\"\ntargets = [{{ provider = \"mock\", model = \"mock/{model}\" }}]\n\
             price = {{ input = \"1\", output = \"2\" }}\n\n"
        ));
    }
    text
}

fn ask(model: &str, stream: bool) -> String {
    let hello = [json!({ "role": "user", "content": "Hello" })];
    json!({ "model": model, "stream": stream, "messages": hello }).to_string()
}

async fn key(gateway: &Gateway, secret: &str) -> Value {
    gateway.get(secret, "/v1/key").await.json()["data"].clone()
}

fn amount(key: &Value, name: &str) -> Amount {
    key[name]
        .as_str()
        .expect("a string")
        .parse()
        .expect("a decimal")
}

async fn keeps_its_books(store: &str) {
    let five: Amount = "5".parse().expect("a decimal");
    let mut gateway = Gateway::start(&config(store, "5.00"));
    let answer = gateway.post("sk-rich", &ask("mock/echo", false)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let cost: Amount = answer
        .header("x-completion-cost")
        .parse()
        .expect("a decimal");
    assert_eq!(
        gateway
            .post("sk-free", &ask("mock/echo", false))
            .await
            .status,
        200
    );
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));

    // The balance in the file was the first grant: another one changes nothing, and that is said.
    let gateway = Gateway::start(&config(store, "9.00"));
    let log = gateway.says("the ledger keeps what was granted").await;
    let told = ["key=\"rich\"", "balance=9", "granted=5"];
    assert!(told.iter().all(|told| log.contains(told)), "{log}");
    let standing = key(&gateway, "sk-rich").await;
    assert_eq!(amount(&standing, "spent"), cost);
    assert_eq!(amount(&standing, "balance"), five.minus(cost));
    let free = key(&gateway, "sk-free").await;
    assert_eq!(
        (&free["balance"], amount(&free, "spent")),
        (&Value::Null, cost)
    );

    // Killed with a hold open: it is released by the next, and said in the log.
    let mut client = gateway.connect().await.with_key("sk-rich");
    let response = client.begin(&ask("mock/stall", true)).await;
    let held = amount(&key(&gateway, "sk-rich").await, "held");
    assert!(held > Amount::ZERO);
    gateway.signal("KILL");
    drop((client, response, gateway));
    let mut gateway = Gateway::start(&config(store, "5.00"));
    let begun = Instant::now();
    let standing = loop {
        // A database may need a moment to see that the other's session is gone.
        let standing = key(&gateway, "sk-rich").await;
        if amount(&standing, "held") == Amount::ZERO {
            break standing;
        }
        assert!(begun.elapsed().as_secs() < 20, "still held: {standing}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(amount(&standing, "balance"), five.minus(cost));
    let log = gateway.says("left open by a crash").await;
    assert!(log.contains("rich"), "{log}");

    // Stopped with a stream open: it ends, and its charge is written before the gateway does.
    let mut client = gateway.connect().await.with_key("sk-rich");
    let response = client.begin(&ask("mock/slow", true)).await;
    gateway.signal("TERM");
    let rest = response
        .into_body()
        .collect()
        .await
        .expect("whole")
        .to_bytes();
    assert!(String::from_utf8_lossy(&rest).contains("[DONE]"));
    assert_eq!(gateway.wait(), Some(0));
    let gateway = Gateway::start(&config(store, "5.00"));
    let spent = gateway.settled("sk-rich", "5").await;
    assert!(spent > cost, "the stream is charged: {spent}");
    assert!(
        !gateway.log().contains("left open by a crash"),
        "{}",
        gateway.log()
    );
}

#[tokio::test]
async fn a_file_keeps_the_books() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.redb");
    keeps_its_books(&format!("redb:{}", path.display())).await;
    let ledger = RedbLedger::open(&path).expect("opens");
    assert_eq!(ledger.reconcile().expect("readable"), []);
}

#[tokio::test]
async fn a_database_keeps_the_books() {
    if postgres::missing() {
        return;
    }
    let mut server = Postgres::start().await;
    keeps_its_books(&server.url()).await;
    let gateway = Gateway::start(&config(&server.url(), "5.00"));
    server.stop();
    let refused = gateway.post("sk-rich", &ask("mock/echo", false)).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code().as_str()),
        (503, "ledger_unavailable")
    );
    assert_eq!(gateway.get("sk-rich", "/v1/key").await.status, 503);
    server.run().await;
    let answer = gateway.post("sk-rich", &ask("mock/echo", false)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(gateway.settled("sk-rich", "5").await > Amount::ZERO);
}

/// Budgets of a day whose middle is now, so that none ends meanwhile.
fn with_budgets(store: &str, budgets: &str) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a time");
    // Between 00:00 and 23:59 east or west of UTC it is noon somewhere, to the hour.
    let hour = i64::try_from(now.as_secs() / 3600 % 24).expect("an hour");
    let offset = 12 - hour;
    let sign = if offset < 0 { '-' } else { '+' };
    let offset = format!("utc_offset = \"{sign}{:02}:00\"\n", offset.abs());
    format!("{offset}{}{budgets}", config(store, "5.00"))
}

async fn budgets_outlast_a_restart(store: &str) {
    let none = with_budgets(store, "");
    let mut gateway = Gateway::start(&none);
    let answer = gateway.post("sk-rich", &ask("mock/echo", false)).await;
    let cost: Amount = answer
        .header("x-completion-cost")
        .parse()
        .expect("a decimal");
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));

    // All that was spent, by whomever, is in the budget of all; so much more, and not what a request is
    // held for.
    let all = format!("[[budgets]]\namount = \"{cost}\"\nper = \"day\"\n");
    let own = format!("[[budgets]]\nkey = \"rich\"\namount = \"{cost}\"\nper = \"month\"\n");
    for (budget, others) in [(all, 402), (own, 200)] {
        let mut gateway = Gateway::start(&with_budgets(store, &budget));
        let refused = gateway.post("sk-rich", &ask("mock/echo", false)).await;
        let found = (refused.status.as_u16(), refused.code());
        assert_eq!(found, (402, "budget_exceeded".into()), "{budget}");
        let other = gateway.post("sk-free", &ask("mock/echo", false)).await;
        assert_eq!(other.status, others, "{budget}{}", other.body);
        gateway.signal("TERM");
        assert_eq!(gateway.wait(), Some(0));
    }
}

#[tokio::test]
async fn budgets_outlast_a_restart_with_a_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.redb");
    budgets_outlast_a_restart(&format!("redb:{}", path.display())).await;
}

#[tokio::test]
async fn budgets_outlast_a_restart_with_a_database() {
    if postgres::missing() {
        return;
    }
    let server = Postgres::start().await;
    budgets_outlast_a_restart(&server.url()).await;
}

#[test]
fn a_ledger_that_is_not_there_is_told_at_the_start() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let text = config("redb:/nowhere/at/all.redb", "5.00");
    std::io::Write::write_all(&mut file, text.as_bytes()).expect("written");
    let output = std::process::Command::new(support::binary())
        .arg("--config")
        .arg(file.path())
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    let why = "making the ledger's file failed: I/O error: No such file";
    assert!(said.contains(why), "{said}");
}
