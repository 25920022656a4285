//! Requests that are taken and refused, by the table that says so.

mod messages;
mod model;
mod policy;
mod values;

use bytes::Bytes;

use crate::{
    dialect::Dialect,
    error::{Error, Kind},
    parse::Chat,
    validate::{Capabilities, Catalog, Policy, check::check, model::AnyModel},
};

const MESSAGES: &str = r#""model":"m","messages":[{"role":"user","content":"hi"}]"#;

fn with(members: &str) -> String {
    if members.is_empty() {
        return format!("{{{MESSAGES}}}");
    }
    format!("{{{MESSAGES},{members}}}")
}

fn judge(text: &str, policy: &Policy) -> Result<Chat, Error> {
    let mut chat = Chat::parse(Bytes::copy_from_slice(text.as_bytes()))?;
    check(&mut chat, &Dialect::openai(), policy, &AnyModel, None).map_err(|it| it.error)?;
    Ok(chat)
}

#[track_caller]
fn refused(text: &str, kind: Kind, code: &str, param: &str) {
    let error = judge(text, &Policy::default()).expect_err(text);
    assert_eq!(
        (error.kind(), error.code(), error.param()),
        (kind, Some(code), Some(param)),
        "{text}: {error}"
    );
    assert!(error.message().contains(param), "{error}");
}

#[track_caller]
fn taken(text: &str) {
    if let Err(error) = judge(text, &Policy::default()) {
        panic!("{text}: {error}");
    }
}

fn messages(messages: &str) -> String {
    format!(r#"{{"model":"m","messages":[{messages}]}}"#)
}

/// A policy with one thing changed.
fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy);
    policy
}

fn catalog(capabilities: Capabilities) -> Catalog {
    Catalog::new().model("m", ["alias"], capabilities)
}
