//! What the example's configuration says of money beside prices and balances.

#![cfg(feature = "ledger-redb")]

mod support;

use std::{io::Write as _, process::Command};

use futures_util::future::join_all;
use http::Request;
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use support::{Gateway, binary};
use tokio::net::TcpStream;
use tower_completions::cost::{Amount, RedbLedger, What};

fn config(more: &str) -> String {
    let mut text = format!(
        "{more}\n[[providers]]\nname = \"mock\"\nkind = \"mock\"\n\n\
         [[keys]]\nname = \"rich\"\nsecret = \"sk-rich\"\nbalance = \"5.00\"\n\n\
         [[keys]]\nname = \"poor\"\nsecret = \"sk-poor\"\nbalance = \"0.00005\"\n\n"
    );
    for model in ["echo", "slow", "stall"] {
        text.push_str(&format!(
            "[[models]]\nid = \"mock/{model}\"\ntargets = [{{ provider = \"mock\", model = \"mock/{model}\" }}]\n\
             price = {{ input = \"1\", output = \"2\" }}\n\n"
        ));
    }
    text
}

fn ask(model: &str, stream: bool, text: &str) -> String {
    let messages = [json!({ "role": "user", "content": text })];
    json!({ "model": model, "stream": stream, "messages": messages }).to_string()
}

/// Reads one frame of a stream, and leaves.
async fn leave(gateway: &Gateway, model: &str) {
    let mut client = gateway.connect().await.with_key("sk-rich");
    let body = ask(model, true, "one two three four");
    client.begin(&body).await;
}

#[tokio::test]
async fn a_client_that_leaves_cancels_or_is_drained_to_the_usage() {
    for (more, whole) in [("", false), ("[cost]\ndrain_ms = 20000", true)] {
        let gateway = Gateway::start(&config(more));
        let body = ask("mock/slow", true, "one two three four");
        let answer = gateway.post("sk-rich", &body).await;
        assert!(answer.whole && answer.body.contains("[DONE]"));
        let one = gateway.settled("sk-rich", "5").await;
        assert!(one > Amount::ZERO);
        leave(&gateway, "mock/slow").await;
        let two = gateway.settled("sk-rich", "5").await.minus(one);
        assert_ne!(two, Amount::ZERO, "never free");
        // Its prompt alone is estimated higher than the mock counts it.
        assert_eq!(two == one, whole, "{two} for what costs {one}");
    }
}

#[tokio::test]
async fn what_is_drained_ends_with_its_deadline_its_bytes_or_the_process() {
    let gateway = Gateway::start(&config("[cost]\ndrain_ms = 50"));
    leave(&gateway, "mock/stall").await;
    assert!(gateway.settled("sk-rich", "5").await > Amount::ZERO);
    let gateway = Gateway::start(&config("[cost]\ndrain_ms = 60000\ndrain_bytes = 1"));
    leave(&gateway, "mock/slow").await;
    assert!(gateway.settled("sk-rich", "5").await > Amount::ZERO);

    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.redb");
    let store = format!(
        "[ledger]\nstore = \"redb:{}\"\n[cost]\ndrain_ms = 60000",
        path.display()
    );
    let mut gateway = Gateway::start(&config(&store));
    leave(&gateway, "mock/slow").await;
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    let ledger = RedbLedger::open(&path).expect("opens");
    assert_eq!(ledger.recovered(), [], "it was settled before the end");
    assert!(ledger.statement("rich").spent > Amount::ZERO);
}

/// The streams of one HTTP/2 connection are served apart from it, and outlive it by a moment.
#[tokio::test]
async fn what_http2_leaves_open_at_the_end_is_settled_before_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.redb");
    let store = format!(
        "[ledger]\nstore = \"redb:{}\"\n[cost]\ndrain_ms = 60000",
        path.display()
    );
    let mut gateway = Gateway::start(&config(&store));
    let mut open = Vec::new();
    for _ in 0..4 {
        let socket = TcpStream::connect(&gateway.addr).await.expect("it listens");
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await;
        let (client, connection) = handshake.expect("a handshake");
        tokio::spawn(connection);
        let streams = (0..100).map(async |_| {
            let request = Request::post(format!("http://{}/v1/chat/completions", gateway.addr))
                .header("authorization", "Bearer sk-rich")
                .body(ask("mock/stall", true, "one two three four"));
            let answer = client.clone().send_request(request.expect("a request"));
            let mut response = answer.await.expect("an answer");
            let frame = response.body_mut().frame().await.expect("an event");
            frame.expect("a frame");
            response
        });
        open.extend(join_all(streams).await);
    }
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    drop(open);
    let ledger = RedbLedger::open(&path).expect("opens");
    assert_eq!(ledger.recovered(), [], "all were settled before the end");
    assert!(ledger.statement("rich").spent > Amount::ZERO);
}

#[tokio::test]
async fn a_stream_ends_as_configured_when_the_money_does() {
    for (run_out, ends) in [
        ("error", "insufficient_balance"),
        ("length", "\"finish_reason\":\"length\""),
    ] {
        let more = format!("[cost]\nrun_out = \"{run_out}\"\nexpected_output = 1");
        let gateway = Gateway::start(&config(&more));
        // The mock says it all again: more than there is money for.
        let text = "word ".repeat(100);
        let answer = gateway
            .post("sk-poor", &ask("mock/echo", true, &text[..60]))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.body.contains(ends), "{run_out}: {}", answer.body);
        assert_eq!(answer.body.contains("[DONE]"), run_out == "length");
        gateway.settled("sk-poor", "0.00005").await;
    }
}

#[tokio::test]
async fn a_file_is_kept_as_configured() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.redb");
    let store = |more: &str| {
        let place = path.display();
        config(&format!(
            "currency = \"EUR\"\n[ledger]\nstore = \"redb:{place}\"\n{more}"
        ))
    };
    let gateway = Gateway::start(&store("recovery = \"charge\""));
    let answer = gateway
        .post("sk-rich", &ask("mock/echo", false, "Hello"))
        .await;
    assert_eq!(answer.header("x-completion-cost-currency"), "EUR");
    let key = gateway.get("sk-rich", "/v1/key").await.json();
    assert_eq!(key["data"]["currency"], "EUR");
    let spent = gateway.settled("sk-rich", "5").await;

    // Killed with a hold open: it is charged.
    let mut client = gateway.connect().await.with_key("sk-rich");
    let response = client.begin(&ask("mock/stall", true, "Hello")).await;
    let key = gateway.get("sk-rich", "/v1/key").await.json();
    let held: Amount = key["data"]["held"]
        .as_str()
        .expect("text")
        .parse()
        .expect("an amount");
    gateway.signal("KILL");
    drop((client, response, gateway));
    let gateway = Gateway::start(&store(
        "recovery = \"charge\"\ncompact = true\nkeep_entries = 1",
    ));
    assert_eq!(gateway.settled("sk-rich", "5").await, spent.plus(held));
    gateway.says("left open by a crash").await;
    drop(gateway);
    let euros = "EUR".parse().expect("a currency");
    let ledger = tower_completions::cost::RedbOptions::new(&path).currency(euros);
    let ledger = ledger.open().expect("opens");
    assert_eq!(ledger.reconcile().expect("readable"), []);
    let entries = ledger.entries(0, 100).expect("readable");
    assert!(
        entries
            .iter()
            .any(|it| matches!(it.what, What::Settled { held: it, .. } if it == held))
    );
}

#[test]
fn mistakes_are_told() {
    for (more, mistake) in [
        (
            "currency = \"euro\"",
            "currency: expected a currency's code of three capital letters, such as USD; got \"euro\"",
        ),
        (
            "[ledger]\nrecovery = \"void\"",
            "ledger.recovery: belongs to a store redb:PATH",
        ),
        (
            "[ledger]\nstore = \"redb:x\"\nrecovery = \"guess\"",
            "ledger.recovery: expected one of void, charge",
        ),
        (
            "[cost]\nrun_out = \"stop\"",
            "cost.run_out: expected one of error, length",
        ),
        (
            "[cost]\ndrain_bytes = 5",
            "cost.drain_bytes: needs drain_ms",
        ),
        ("[cost]\ndrain = 5", "cost.drain"),
        (
            // The built-in table has this one, in US dollars.
            "currency = \"EUR\"\n[[providers]]\nname = \"openai\"\nkind = \"openai\"\n\
             base_url = \"https://api.openai.com/v1\"\n[[models]]\nid = \"unpriced\"\n\
             targets = [{ provider = \"openai\", model = \"gpt-4o\" }]\n",
            "models[0].price: \"unpriced\" would be charged at a price found in USD",
        ),
    ] {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(config(more).as_bytes()).expect("written");
        let output = Command::new(binary())
            .args(["--check", "--config"])
            .arg(file.path())
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{more}: {said}");
        assert!(said.contains(mistake), "{more}: {said}");
    }
}

#[tokio::test]
async fn a_model_without_a_price_is_not_listed_for_who_may_not_use_it() {
    let gateway = Gateway::start(&config(
        "[[keys]]\nname = \"free\"\nsecret = \"sk-free\"\n\n\
         [[keys]]\nname = \"frugal\"\nsecret = \"sk-frugal\"\n\n\
         [[budgets]]\nkey = \"frugal\"\namount = \"1\"\nper = \"day\"\n\n\
         [[models]]\nid = \"unpriced\"\naliases = [\"un\"]\n\
         targets = [{ provider = \"mock\", model = \"mock/echo\" }]\n\n\
         [[models]]\nid = \"falls-back\"\nprice = { input = \"1\" }\nfallbacks = [\"unpriced\"]\n\
         targets = [{ provider = \"mock\", model = \"mock/echo\" }]\n",
    ));
    for (key, may) in [("sk-free", true), ("sk-rich", false), ("sk-frugal", false)] {
        let list = gateway.get(key, "/v1/models").await;
        for model in ["unpriced", "un", "falls-back"] {
            if model != "un" {
                let is_listed = list.body.contains(&format!("{model:?}"));
                assert_eq!(is_listed, may, "{key} {}", list.body);
            }
            let shown = gateway.get(key, &format!("/v1/models/{model}")).await;
            let asked = gateway.post(key, &ask(model, false, "hi")).await;
            assert_eq!(shown.status, asked.status, "{key} {model}");
            if may {
                assert_eq!(shown.status, 200);
                continue;
            }
            assert_eq!(shown.status, 403);
            let error = &shown.json()["error"];
            assert_eq!(error["code"], "model_not_priced");
            assert_eq!(error, &asked.json()["error"]);
        }
        assert!(list.body.contains("\"mock/echo\""));
    }
}

#[tokio::test]
async fn an_id_with_a_star_serves_and_prices_what_fits_it() {
    let gateway = Gateway::start(&config(
        "[[models]]\nid = \"any/*\"\nprice = { input = \"3\", output = \"5\" }\n\
         targets = [{ provider = \"mock\", model = \"mock/*\" }]\n",
    ));
    for stream in [false, true] {
        let answer = gateway
            .post("sk-rich", &ask("any/echo", stream, "hi"))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(
            answer.body.contains("\"model\":\"any/echo\""),
            "{}",
            answer.body
        );
        if !stream {
            let usage = &answer.json()["usage"];
            let tokens = |name: &str| usage[name].as_u64().expect("a count");
            let cost = 3 * tokens("prompt_tokens") + 5 * tokens("completion_tokens");
            let shown: Amount = answer
                .header("x-completion-cost")
                .parse()
                .expect("an amount");
            assert_eq!(shown, format!("0.{cost:06}").parse().expect("an amount"));
        }
    }
    assert_eq!(
        gateway.get("sk-rich", "/v1/models/any/echo").await.status,
        200
    );
    assert!(
        !gateway
            .get("sk-rich", "/v1/models")
            .await
            .body
            .contains("any/")
    );
    let other = gateway
        .post("sk-rich", &ask("other/echo", false, "hi"))
        .await;
    assert_eq!(other.status, 404);
}

#[tokio::test]
async fn a_model_that_fits_a_pattern_is_shown_by_its_own_price() {
    // Nothing listens there: what is not refused fails.
    let gateway = Gateway::start(&config(
        "[[providers]]\nname = \"openai\"\nkind = \"openai\"\napi_keys = [\"k\"]\n\
         base_url = \"http://127.0.0.1:9/v1\"\nvendor = \"openai\"\n\n\
         [[models]]\nid = \"openai/*\"\ntargets = [{ provider = \"openai\", model = \"*\" }]\n",
    ));
    for (model, shown, asked) in [
        ("openai/gpt-4o-mini", 200, 502),
        ("openai/nobody-knows", 403, 403),
    ] {
        let answer = gateway.get("sk-rich", &format!("/v1/models/{model}")).await;
        assert_eq!(answer.status, shown, "{}", answer.body);
        let answer = gateway.post("sk-rich", &ask(model, false, "hi")).await;
        assert_eq!(answer.status, asked, "{}", answer.body);
    }
}

/// The balance of the file is the first grant alone: the ledger keeps its own, also where the file has
/// none any more.
#[tokio::test]
async fn a_balance_that_only_the_ledger_knows_limits_what_is_listed() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.redb");
    let before = |balance: &str| {
        config(&format!(
            "[ledger]\nstore = \"redb:{}\"\n\n[[keys]]\nname = \"once\"\nsecret = \"sk-once\"\n{balance}\n\
             [[models]]\nid = \"unpriced\"\ntargets = [{{ provider = \"mock\", model = \"mock/echo\" }}]\n",
            path.display()
        ))
    };
    for balance in ["balance = \"1\"\n", ""] {
        let mut gateway = Gateway::start(&before(balance));
        let asked = gateway.post("sk-once", &ask("unpriced", false, "hi")).await;
        assert_eq!(asked.status, 403, "{balance}{}", asked.body);
        let shown = gateway.get("sk-once", "/v1/models/unpriced").await;
        assert_eq!(shown.status, 403, "{balance}{}", shown.body);
        gateway.signal("TERM");
        assert_eq!(gateway.wait(), Some(0));
    }
}
