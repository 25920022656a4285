//! What clients of the provider's own endpoint for OpenAI's SDKs send beside their members, in
//! `extra_body.google`.
//!
//! Source: the provider's page on compatibility with OpenAI, read 2026-11.

use serde_json::{Map, Value};

use crate::{error::Error, provider::Notes, wire::chat::Request};

#[derive(Default)]
pub(super) struct Own {
    /// `thinkingConfig`.
    pub(super) thinking: Option<Value>,
    /// What is cached, which may also be told at the top level.
    pub(super) cached_content: Option<Value>,
}

impl Own {
    /// Reads them; what else stands there is announced.
    pub(super) fn read(request: &Request<'_>, notes: &mut Notes) -> Result<Self, Error> {
        let value = |name: &str| -> Value {
            let raw = request.extra(name);
            raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
                .unwrap_or_default()
        };
        let mut own = Self::default();
        let mut cached = value("cached_content");
        let mut left = false;
        match value("extra_body") {
            Value::Null => {}
            Value::Object(mut body) => {
                match body.remove("google") {
                    None | Some(Value::Null) => {}
                    Some(Value::Object(mut google)) => {
                        match google.remove("thinking_config") {
                            None | Some(Value::Null) => {}
                            Some(Value::Object(asked)) => own.thinking = thinking(asked, &mut left),
                            Some(_) => left = true,
                        }
                        let inner = google.remove("cached_content");
                        if let Some(inner) = inner.filter(|_| cached.is_null()) {
                            cached = inner;
                        }
                        left |= !google.is_empty();
                    }
                    Some(_) => left = true,
                }
                left |= !body.is_empty();
            }
            _ => left = true,
        }
        own.cached_content = Some(cached).filter(|it| !it.is_null());
        if left {
            notes.without("extra_body")?;
        }
        Ok(own)
    }
}

/// How to think, in the API's own spelling.
fn thinking(asked: Map<String, Value>, left: &mut bool) -> Option<Value> {
    let mut config = Map::new();
    for (name, value) in asked {
        let name = match &*name {
            "thinking_budget" => "thinkingBudget",
            "thinking_level" => "thinkingLevel",
            "include_thoughts" => "includeThoughts",
            _ => {
                *left = true;
                continue;
            }
        };
        let value = match value.as_str() {
            Some(level) if name == "thinkingLevel" => level.to_ascii_uppercase().into(),
            _ => value,
        };
        config.insert(name.into(), value);
    }
    (!config.is_empty()).then_some(Value::Object(config))
}
