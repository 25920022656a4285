//! Tools, and the choice among them.

use std::{borrow::Cow, collections::HashSet};

use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{blocks, content::LONGEST_NAME, model::Family};
use crate::{
    error::Error,
    provider::{
        Notes, anthropic::schema::strictly, notes::unsupported, structured, support::named,
    },
    wire::chat::{AllowedMode, Raw, Request, Role, Schema as ByName, Tool, ToolChoice},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tools<'a> {
    pub(super) tools: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Entry<'a> {
    ToolSpec(Spec<'a>),
    CachePoint(blocks::CachePoint),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'a, str>>,
    input_schema: Schema,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
struct Schema {
    json: Box<RawValue>,
}

/// The tools and the choice among them.
///
/// There is no `none`: the tools are left out, unless the conversation has calls already, which the
/// service refuses without the tools. Then a Claude is told in its own words.
pub(super) fn tools<'a>(
    request: &'a Request<'_>,
    family: &Family,
    fields: &mut Map<String, Value>,
    notes: &mut Notes,
) -> Result<Option<Tools<'a>>, Error> {
    let called = request
        .messages
        .iter()
        .any(|message| message.role == Role::Tool || !message.calls().is_empty());
    let declared = request.tools.as_deref().unwrap_or_default();
    if declared.is_empty() {
        return Ok(called.then(|| {
            forbid(family, fields);
            of_history(request)
        }));
    }
    let forbidden = matches!(request.tool_choice, Some(ToolChoice::None));
    if forbidden && !called {
        return Ok(None);
    }
    let allowed = match &request.tool_choice {
        Some(ToolChoice::Allowed(_, names)) => Some(names),
        _ => None,
    };
    let mut entries = Vec::with_capacity(declared.len());
    for tool in declared {
        let name = tool.name().ok_or_else(|| unsupported("tools"))?;
        if allowed.is_some_and(|names| names.iter().all(|allowed| &**allowed != name)) {
            continue;
        }
        entries.push(Entry::ToolSpec(spec(tool, name, family, notes)?));
        if let Some(mark) = &tool.cache_control {
            entries.push(Entry::CachePoint(blocks::CachePoint::of(mark)));
        }
    }
    let mut choice = match &request.tool_choice {
        None | Some(ToolChoice::Auto | ToolChoice::None) => None,
        Some(ToolChoice::Allowed(AllowedMode::Auto, _)) => None,
        Some(ToolChoice::Required | ToolChoice::Allowed(..)) => Some(json!({ "any": {} })),
        Some(ToolChoice::Named(name)) => Some(json!({ "tool": { "name": name } })),
    };
    if entries.is_empty() {
        // Nothing is allowed: fine when nothing is asked for.
        if choice.is_some() {
            notes.unsupported("tool_choice")?;
        }
        return Ok(called.then(|| of_history(request)));
    }
    if choice.is_some() && family.is_unforced(fields) {
        // A forced tool and thinking exclude each other.
        notes.unsupported("tool_choice")?;
        choice = None;
    }
    if forbidden {
        if !forbid(family, fields) {
            notes.unsupported("tool_choice")?;
        }
    } else if request.parallel_tool_calls == Some(false) {
        match family {
            Family::Claude(_) => {
                let kind = match choice.take() {
                    None => json!({ "type": "auto" }),
                    Some(any) if any.get("any").is_some() => json!({ "type": "any" }),
                    Some(one) => json!({ "type": "tool", "name": one["tool"]["name"] }),
                };
                let mut own = kind;
                own["disable_parallel_tool_use"] = true.into();
                fields.insert("tool_choice".into(), own);
            }
            _ => notes.without("parallel_tool_calls")?,
        }
    }
    Ok(Some(Tools {
        tools: entries,
        tool_choice: choice,
    }))
}

/// Tells a model not to call anything; `false` when there is no way to.
fn forbid(family: &Family, fields: &mut Map<String, Value>) -> bool {
    let claude = matches!(family, Family::Claude(_));
    if claude {
        fields.insert("tool_choice".into(), json!({ "type": "none" }));
    }
    claude
}

fn spec<'a>(
    tool: &'a Tool<'_>,
    name: &'a str,
    family: &Family,
    notes: &mut Notes,
) -> Result<Spec<'a>, Error> {
    let (json, strict) = match (&tool.function, family) {
        (Some(function), Family::Claude(of)) => {
            strictly(function, schema(function.parameters), of.structured, notes)?
        }
        (Some(function), _) => (
            schema(function.parameters),
            function.strict.filter(|strict| *strict),
        ),
        (None, _) => (raw(FREE_TEXT), None),
    };
    let function = tool.function.as_ref();
    let described = function
        .map(|it| &it.description)
        .or(tool.custom.as_ref().map(|it| &it.description));
    Ok(Spec {
        name: name.into(),
        description: described
            .and_then(|text| text.as_deref())
            .filter(|text| !text.is_empty())
            .map(Cow::Borrowed),
        input_schema: Schema { json },
        strict,
    })
}

const EMPTY: &str = r#"{"type":"object","properties":{}}"#;

/// A tool that takes free text is one with a single string.
const FREE_TEXT: &str =
    r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#;

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).expect("this is JSON")
}

/// A function's schema, which must be said to be one of an object.
fn schema(parameters: Option<Raw<'_>>) -> Box<RawValue> {
    let Some(text) = parameters.map(|raw| raw.get()) else {
        return raw(EMPTY);
    };
    match serde_json::from_str::<Map<String, Value>>(text) {
        Ok(schema) if schema.contains_key("type") => raw(text),
        Ok(schema) if !schema.is_empty() => raw(&text.replacen('{', r#"{"type":"object","#, 1)),
        _ => raw(EMPTY),
    }
}

/// The tools that a conversation has called, for a request that names none any more.
fn of_history<'a>(request: &'a Request<'_>) -> Tools<'a> {
    let (mut names, mut seen) = (Vec::new(), HashSet::new());
    for call in request.messages.iter().flat_map(|message| message.calls()) {
        let name = named(call, LONGEST_NAME);
        // A history may have as many as fit into it.
        if seen.insert(name.clone()) {
            names.push(name);
        }
    }
    if names.is_empty() {
        names.push("unknown".into());
    }
    let entry = |name: Cow<'a, str>| {
        Entry::ToolSpec(Spec {
            name,
            description: None,
            input_schema: Schema { json: raw(EMPTY) },
            strict: None,
        })
    };
    Tools {
        tools: names.into_iter().map(entry).collect(),
        tool_choice: None,
    }
}

/// The tools, and with them the one whose arguments are the answer: it must be called, or another.
pub(super) fn answering<'a>(
    by: &'a ByName<'_>,
    tools: Option<Tools<'a>>,
    request: &Request<'_>,
    fields: &mut Map<String, Value>,
) -> Result<Tools<'a>, Error> {
    let declared = request.tools.iter().flatten();
    if declared
        .clone()
        .any(|tool| tool.name() == Some(structured::ANSWER))
    {
        return Err(unsupported("tools"));
    }
    let callable = declared.count() > 0 && !matches!(request.tool_choice, Some(ToolChoice::None));
    let mut all = tools.map_or_else(Vec::new, |tools| tools.tools);
    all.push(Entry::ToolSpec(Spec {
        name: structured::ANSWER.into(),
        description: Some(structured::purpose(by)),
        input_schema: Schema {
            json: schema(by.schema),
        },
        strict: None,
    }));
    let mut choice = match &request.tool_choice {
        // A tool of the client's is called first; its result is asked about again.
        Some(ToolChoice::Named(name)) => json!({ "type": "tool", "name": name }),
        _ if callable => json!({ "type": "any" }),
        _ => json!({ "type": "tool", "name": structured::ANSWER }),
    };
    choice["disable_parallel_tool_use"] = true.into();
    fields.insert("tool_choice".into(), choice);
    Ok(Tools {
        tools: all,
        tool_choice: None,
    })
}
