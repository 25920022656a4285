//! Routing as the example gateway's file has it.

#![cfg(feature = "mock")]

mod support;

use std::{io::Write as _, process::Command};

#[tokio::test]
async fn the_example_lists_its_targets_and_takes_the_options() {
    let gateway = support::Gateway::start(
        r#"
        [routing]
        hedge = true
        adaptive_concurrency = true
        client_wishes = true
        probe_interval_ms = 1000
        cache_ttl_ms = 60000
        [[providers]]
        name = "mock"
        kind = "mock"
        [[models]]
        id = "m"
        balance = "sticky_conversation"
        targets = [
            { provider = "mock", model = "mock/echo", weight = 2, max_concurrent = 4 },
            { provider = "mock", model = "mock/typing", priority = 1, context = 1000, tools = false },
        ]
        [[keys]]
        name = "demo"
        secret = "sk-demo"
        "#,
    );
    let ask = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    for how in ["miss", "hit"] {
        let answer = gateway.post("sk-demo", ask).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("x-cache")),
            (200, how)
        );
    }
    assert_eq!(gateway.get("", "/healthz").await.body, "ok");
    let health = gateway.get("", "/healthz?verbose").await.json();
    assert_eq!(health["targets"].as_array().expect("a list").len(), 2);
    assert_eq!(health["targets"][0]["model"], "mock/echo");
    assert_eq!(health["targets"][0]["breaker"], "closed");
    assert_eq!(health["targets"][0]["max_concurrent"], 4);
    assert_eq!(health["targets"][0]["in_flight"], 0);
}

const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;

#[tokio::test]
async fn the_example_chooses_the_cheapest_by_the_files_prices() {
    let gateway = support::Gateway::start(
        r#"
        model_name = "served"
        [[providers]]
        name = "mock"
        kind = "mock"
        [[models]]
        id = "m"
        balance = "cheapest"
        targets = [
            { provider = "mock", model = "mock/echo", price = { input = "0.15", output = "0.60" } },
            { provider = "mock", model = "mock/no-usage" },
            { provider = "mock", model = "mock/typing", price = { input = "0.30", output = "0.01" } },
        ]
        [[keys]]
        name = "demo"
        secret = "sk-demo"
        "#,
    );
    // Much out is cheapest at the one, much in at the other, and who has no price comes last.
    let long = "a ".repeat(4_000);
    for (content, most, want) in [("hi", 1_000, "mock/typing"), (&long, 1, "mock/echo")] {
        let ask = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"{content}"}}],"max_tokens":{most}}}"#
        );
        for _ in 0..4 {
            let answer = gateway.post("sk-demo", &ask).await;
            assert_eq!(answer.status.as_u16(), 200, "{}", answer.body);
            assert_eq!(answer.json()["model"], want);
        }
    }
}

#[tokio::test]
async fn the_example_chooses_by_what_a_prompt_as_others_are_costs_by_the_lists() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    // The one that is cheaper is much dearer for long prompts.
    let list = r#"
        [[price]]
        provider = "mock"
        models = ["mock/echo"]
        input = "1"
        output = "1"
        when = [{ above = 200000, input = "10", output = "10" }]
        [[price]]
        provider = "mock"
        models = ["mock/typing"]
        input = "2"
        output = "2"
    "#;
    file.write_all(list.as_bytes()).expect("written");
    let config = r#"
        model_name = "served"
        [prices]
        file = "FILE"
        [[providers]]
        name = "mock"
        kind = "mock"
        [[models]]
        id = "m"
        balance = "cheapest"
        targets = [
            { provider = "mock", model = "mock/typing" },
            { provider = "mock", model = "mock/echo" },
        ]
        [[keys]]
        name = "demo"
        secret = "sk-demo"
    "#;
    let path = file.path().display().to_string();
    let gateway = support::Gateway::start(&config.replace("FILE", &path));
    for _ in 0..4 {
        let answer = gateway.post("sk-demo", ASK).await;
        assert_eq!(answer.json()["model"], "mock/echo", "{}", answer.body);
    }
}

#[tokio::test]
async fn what_a_client_wishes_for_is_held_for() {
    let gateway = support::Gateway::start(
        r#"
        [routing]
        client_wishes = true
        [[providers]]
        name = "mock"
        kind = "mock"
        [[models]]
        id = "m"
        targets = [{ provider = "mock", model = "mock/overloaded" }]
        price = { input = "1", output = "2" }
        [[models]]
        id = "dear"
        targets = [{ provider = "mock", model = "mock/echo" }]
        price = { input = "1", output = "2", request = "1" }
        [[models]]
        id = "bare"
        targets = [{ provider = "mock", model = "mock/echo" }]
        [[keys]]
        name = "demo"
        secret = "sk-demo"
        balance = "0.5"
        "#,
    );
    for (wish, status, code) in [
        ("dear", 402, "insufficient_balance"),
        ("bare", 403, "model_not_priced"),
    ] {
        let ask = ASK.replace("\"m\"", &format!("\"m\",\"models\":[\"{wish}\"]"));
        let answer = gateway.post("sk-demo", &ask).await;
        let said = (answer.status.as_u16(), answer.code());
        assert_eq!(said, (status, code.to_owned()), "{}", answer.body);
    }
    assert_eq!(gateway.settled("sk-demo", "0.5").await.to_string(), "0");
}

#[tokio::test]
async fn a_key_of_a_provider_serves_no_more_than_the_file_says() {
    let gateway = support::Gateway::start(
        r#"
        [[providers]]
        name = "mock"
        kind = "mock"
        api_keys = ["one", "two"]
        max_concurrent_per_key = 2
        [[models]]
        id = "m"
        targets = [{ provider = "mock", model = "mock/silent" }]
        [[models]]
        id = "n"
        targets = [{ provider = "mock", model = "mock/echo" }]
        [[keys]]
        name = "demo"
        secret = "sk-demo"
        "#,
    );
    let mut held = Vec::new();
    for _ in 0..4 {
        let client = gateway.connect().await.with_key("sk-demo");
        held.push(tokio::spawn(async move {
            let mut client = client;
            client.post(ASK).await
        }));
    }
    let in_flight = async || {
        let health = gateway.get("", "/healthz?verbose").await.json();
        health["targets"][0]["in_flight"].clone()
    };
    while in_flight().await != 4 {
        tokio::task::yield_now().await;
    }
    // The pool is the provider's: its other models have no more room.
    let other = ASK.replace("\"m\"", "\"n\"");
    let answer = gateway.post("sk-demo", &other).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("retry-after")),
        (503, "1")
    );
    assert_eq!(answer.json()["error"]["code"], "no_upstream");
    held.pop().expect("four").abort();
    while in_flight().await != 3 {
        tokio::task::yield_now().await;
    }
    let answer = gateway.post("sk-demo", &other).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.body);
    for one in held {
        one.abort();
    }
}

/// Whether a file is one of the example's: the exit status, and what is said of it.
fn check(text: &str) -> (Option<i32>, String) {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    let mut command = Command::new(support::binary());
    let command = command.arg("--config").arg(file.path()).arg("--check");
    let output = command.env("FIRST", "a").env("SECOND", "b").output();
    let output = output.expect("run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

/// The TOML that a page shows.
fn shown(page: &str) -> &str {
    let (_, rest) = page.split_once("```toml\n").expect("it shows a file");
    rest.split_once("```").expect("it ends").0
}

#[test]
fn the_parts_of_files_that_other_guides_show_are_read() {
    let rest = r#"
        [[providers]]
        name = "mock"
        kind = "mock"
        [[models]]
        id = "m"
        targets = [{ provider = "mock", model = "mock/echo" }]
        [[keys]]
        name = "demo"
        secret = "sk-demo"
    "#;
    for page in [
        include_str!("../docs/money.md"),
        include_str!("../docs/nodes.md"),
    ] {
        let (code, said) = check(&format!("{}{rest}", shown(page)));
        assert_eq!(code, Some(0), "{said}");
    }
}

/// What `docs/routing.md` shows is read as it stands, and mistakes in it are told.
#[test]
fn the_file_that_the_guide_shows_is_read() {
    let shown = shown(include_str!("../docs/routing.md"));
    let more = r#"
        [[providers]]
        name = "azure"
        kind = "azure"
        base_url = "https://name.openai.azure.com"
        api_keys = ["k"]
        [[keys]]
        name = "demo"
        secret = "sk-demo"
    "#;
    let whole = format!("{shown}{more}");
    let (code, said) = check(&whole);
    assert_eq!(code, Some(0), "{said}");
    for (good, bad, key) in [
        (
            r#"input = "0.15""#,
            r#"input = "cheap""#,
            "models[0].targets[0].price.input",
        ),
        (
            r#", output = "0.60""#,
            "",
            "models[0].targets[0].price.output",
        ),
        (
            r#""0.60" }"#,
            r#""0.60", cached = "1" }"#,
            "models[0].targets[0].price.cached",
        ),
        (
            "_per_key = 50",
            "_per_key = 0",
            "providers[0].max_concurrent_per_key",
        ),
        (
            r#"hedge_charge = "estimate""#,
            r#"hedge_charge = "half""#,
            "routing.hedge_charge",
        ),
    ] {
        assert!(whole.contains(good), "{good}");
        let (code, said) = check(&whole.replacen(good, bad, 1));
        assert_eq!(code, Some(2), "{bad}");
        assert!(said.contains(key), "{key} is not in:\n{said}");
    }
}
