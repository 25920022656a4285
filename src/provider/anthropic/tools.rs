//! Tools, and the choice among them.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    blocks::ephemeral,
    model::Model,
    request::{Shape, thinks_manually},
    schema::strictly,
};
use crate::{
    error::Error,
    provider::{Notes, notes::unsupported, structured},
    wire::chat::{AllowedMode, Raw, Request, ToolChoice},
};

/// A tool of the client's, or one that the provider has.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Offered<'a> {
    Tool(ToolOut<'a>),
    Search {
        #[serde(rename = "type")]
        kind: &'static str,
        name: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        user_location: Option<Value>,
    },
}

impl Offered<'_> {
    /// Where its mark stands, or would.
    pub(super) fn mark(&mut self) -> Option<&mut Option<Value>> {
        match self {
            Self::Tool(tool) => Some(&mut tool.cache_control),
            Self::Search { .. } => None,
        }
    }
}

#[derive(Serialize)]
pub(super) struct ToolOut<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'a, str>>,
    input_schema: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<Value>,
}

/// A function's schema, which must be said to be one of an object.
fn input_schema(parameters: Option<Raw<'_>>) -> Box<RawValue> {
    let text = parameters.map_or("{}", |raw| raw.get());
    let typed = |text| serde_json::from_str::<Map<String, Value>>(text);
    let text = match typed(text) {
        Ok(schema) if schema.contains_key("type") => text.to_owned(),
        Ok(schema) if schema.is_empty() => r#"{"type":"object","properties":{}}"#.to_owned(),
        Ok(_) => text.replacen('{', r#"{"type":"object","#, 1),
        Err(_) => r#"{"type":"object","properties":{}}"#.to_owned(),
    };
    RawValue::from_string(text).expect("an object with a member before its own is JSON")
}

/// Those that are offered.
pub(super) fn tools<'a>(
    request: &'a Request<'_>,
    of: Model,
    shape: &Shape<'a, '_>,
    out: &mut Map<String, Value>,
    notes: &mut Notes,
) -> Result<Vec<ToolOut<'a>>, Error> {
    let tools = request.tools.as_deref().unwrap_or_default();
    let answer = match shape {
        Shape::Tool(schema) => Some(ToolOut {
            name: structured::ANSWER,
            description: Some(structured::purpose(schema)),
            input_schema: input_schema(schema.schema),
            strict: None,
            cache_control: None,
        }),
        Shape::Free | Shape::Native(_) => None,
    };
    if tools.is_empty() && answer.is_none() {
        return Ok(Vec::new());
    }
    let mut choice = match &request.tool_choice {
        None | Some(ToolChoice::Auto) => json!({ "type": "auto" }),
        Some(ToolChoice::Allowed(AllowedMode::Auto, _)) => json!({ "type": "auto" }),
        Some(ToolChoice::Required | ToolChoice::Allowed(..)) => json!({ "type": "any" }),
        Some(ToolChoice::None) => json!({ "type": "none" }),
        Some(ToolChoice::Named(name)) => json!({ "type": "tool", "name": name }),
    };
    let forced = choice["type"] == "any" || choice["type"] == "tool";
    if forced && (of.unforced || thinks_manually(out)) {
        // A forced tool and thinking exclude each other; the choice decides what happens.
        notes.unsupported("tool_choice")?;
        choice = json!({ "type": "auto" });
    }
    let allowed = match &request.tool_choice {
        Some(ToolChoice::Allowed(_, names)) => Some(names),
        _ => None,
    };
    let mut list = Vec::with_capacity(tools.len());
    for tool in tools {
        let name = tool.name().ok_or_else(|| unsupported("tools"))?;
        if name == structured::ANSWER {
            return Err(unsupported("tools"));
        }
        if allowed.is_some_and(|names| names.iter().all(|allowed| &**allowed != name)) {
            continue;
        }
        let function = tool.function.as_ref();
        let custom = tool.custom.as_ref();
        let described = function.map(|it| &it.description);
        let described = described.or(custom.map(|it| &it.description));
        let (input_schema, strict) = match function {
            Some(it) => strictly(it, input_schema(it.parameters), of.structured, notes)?,
            None => (free_text(), None),
        };
        list.push(ToolOut {
            name,
            description: described
                .and_then(|text| text.as_deref())
                .map(Cow::Borrowed),
            input_schema,
            strict,
            cache_control: tool
                .cache_control
                .as_ref()
                .map(|it| ephemeral(it.is_long())),
        });
    }
    if let Some(answer) = answer {
        let kind = choice["type"].as_str().unwrap_or_default();
        if kind == "none" || list.is_empty() {
            choice = json!({ "type": "tool", "name": structured::ANSWER });
        } else if kind != "tool" {
            choice = json!({ "type": "any" });
        }
        choice["disable_parallel_tool_use"] = true.into();
        list.push(answer);
        out.insert("tool_choice".into(), choice);
        return Ok(list);
    }
    if list.is_empty() {
        // Nothing is allowed: fine when nothing is asked for.
        return if forced {
            Err(unsupported("tool_choice"))
        } else {
            Ok(list)
        };
    }
    if request.parallel_tool_calls == Some(false) && choice["type"] != "none" {
        choice["disable_parallel_tool_use"] = true.into();
    }
    out.insert("tool_choice".into(), choice);
    Ok(list)
}

/// The provider's own search; where the user is stands flat there, and how much is read cannot be
/// told.
pub(super) fn search<'a>(options: Raw<'_>, notes: &mut Notes) -> Offered<'a> {
    let options: Value = serde_json::from_str(options.get()).unwrap_or_default();
    if !options["search_context_size"].is_null() && options["search_context_size"] != "medium" {
        notes.changed("web_search_options");
    }
    let mut place = options["user_location"]["approximate"].clone();
    if place.is_object() {
        place["type"] = "approximate".into();
    }
    Offered::Search {
        kind: "web_search_20250305",
        name: "web_search",
        user_location: place.is_object().then_some(place),
    }
}

/// A tool that takes free text is one with a single string.
fn free_text() -> Box<RawValue> {
    let schema =
        r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#;
    RawValue::from_string(schema.to_owned()).expect("this is JSON")
}
