//! A configuration of the example gateway over its mock, and what it is asked.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use serde_json::{Value, json};

/// A mock behind every failure it can act out, and one key for every way to be refused.
pub fn config(dialect: &str) -> String {
    let mut text = format!(
        r#"
dialect = "{dialect}"

[[providers]]
name = "mock"
kind = "mock"

[[keys]]
name = "demo"
secret = "sk-demo"

[[keys]]
name = "rich"
secret = "sk-rich"
balance = "5.00"
requests_per_minute = 60
tokens_per_minute = 100000
max_concurrent = 2

[[keys]]
name = "poor"
secret = "sk-poor"
balance = "0.000001"

[[keys]]
name = "slow"
secret = "sk-slow"
requests_per_minute = 1

[[keys]]
name = "narrow"
secret = "sk-narrow"
models = ["other/*"]

[[keys]]
name = "frugal"
secret = "sk-frugal"

[[budgets]]
key = "frugal"
amount = "0.0001"
per = "day"
"#
    );
    for model in [
        "echo",
        "error",
        "overloaded",
        "rate-limited",
        "cut",
        "stall",
    ] {
        let alias = if model == "echo" {
            "aliases = [\"echo\"]"
        } else {
            ""
        };
        text.push_str(&format!(
            "[[models]]\nid = \"mock/{model}\"\n{alias}\ntargets = [{{ provider = \"mock\", model = \"mock/{model}\" }}]\n\
             price = {{ input = \"1\", output = \"2\" }}\n\n"
        ));
    }
    text.push_str(
        "[[models]]\nid = \"free/echo\"\ntargets = [{ provider = \"mock\", model = \"mock/echo\" }]\n\n\
         [[models]]\nid = \"safe/echo\"\ntargets = [{ provider = \"mock\", model = \"mock/error\" }]\n\
         fallbacks = [\"mock/echo\"]\nprice = { input = \"1\", output = \"2\" }\n",
    );
    text
}

#[expect(clippy::needless_pass_by_value, reason = "reads better in the cases")]
pub fn ask(fields: Value) -> String {
    let mut body = json!({
        "model": "mock/echo",
        "messages": [{ "role": "user", "content": "Merhaba dünya" }],
    });
    for (name, value) in fields.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body.to_string()
}
