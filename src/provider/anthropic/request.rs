use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    blocks::{Block, Turn, ephemeral},
    marks::{mark_last, thin_out},
    model::{Model, Off, Thinking, budget},
    schema::closed,
    tools::{Offered, search, tools},
    turns::{conversation, lacks_thinking},
};
use crate::{
    error::{Error, Kind},
    parse::Chat,
    provider::{
        Notes, structured,
        support::{MARKS, THOUGHTS, Without, parse, settle, strangers, undescribed, write},
    },
    wire::chat::{Request, Schema},
};

/// Where the body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provider) enum Door {
    /// The provider's own API.
    Own,
    /// Vertex AI: the model stands in the URL.
    Vertex,
}

/// Whether a body names files by their ids, which wants a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Files {
    None,
    ById,
}

/// Translates a body; the model is the target's.
pub(in crate::provider) fn body(
    chat: &Chat,
    model: &str,
    door: Door,
    notes: &mut Notes,
) -> Result<Bytes, Error> {
    translate(chat, model, door, notes).map(|(body, _)| body)
}

/// The same, and what is in it.
pub(super) fn translate(
    chat: &Chat,
    model: &str,
    door: Door,
    notes: &mut Notes,
) -> Result<(Bytes, Files), Error> {
    let request = parse(chat)?;
    settle(&request, UNSUPPORTED, TAKEN, notes)?;
    strangers(chat, &[], notes)?;
    let of = Model::of(model);
    let mut out = Map::new();
    let mut max = request.max_output().unwrap_or(of.max_output);
    match door {
        Door::Own => out.insert("model".into(), model.into()),
        Door::Vertex => out.insert("anthropic_version".into(), "vertex-2023-10-16".into()),
    };
    think(&request, of, &mut max, &mut out, notes)?;
    out.insert("max_tokens".into(), max.into());
    sampling(&request, of, &mut out, notes)?;
    let shape = format(&request, of, &out, notes)?;
    let (mut system, mut messages) = conversation(&request, door, notes)?;
    let files = match messages.iter().any(Turn::names_files) {
        true => Files::ById,
        false => Files::None,
    };
    let tools = tools(&request, of, &shape, &mut out, notes)?.into_iter();
    let mut tools: Vec<Offered<'_>> = tools.map(Offered::Tool).collect();
    tools.extend(request.web_search_options.map(|raw| search(raw, notes)));
    if request.stream == Some(true) {
        out.insert("stream".into(), true.into());
    }
    if let Some(user) = request.end_user() {
        if is_personal(user) {
            let known = request.safety_identifier.is_some();
            notes.without(if known { "safety_identifier" } else { "user" })?;
        } else {
            out.insert("metadata".into(), json!({ "user_id": user }));
        }
    }
    if let Some(mark) = &request.cache_control {
        let mark = ephemeral(mark.is_long());
        if door == Door::Own {
            out.insert("cache_control".into(), mark);
        } else if !mark_last(&mut messages, mark) {
            notes.without("cache_control")?;
        }
    }
    let of_request = out.get_mut("cache_control");
    thin_out(&mut tools, &mut system, &mut messages, of_request, notes)?;
    tier(&request, door, &mut out, notes)?;
    let effort = out
        .remove("output_config")
        .map(|mut it| it["effort"].take());
    let schema = match shape {
        Shape::Native(schema) => Some(schema),
        Shape::Free | Shape::Tool(_) => None,
    };
    let output_config = (effort.is_some() || schema.is_some()).then_some(OutputConfig {
        effort,
        format: schema.map(|schema| Format {
            kind: "json_schema",
            schema,
        }),
    });
    let whole = Whole {
        rest: out,
        system,
        messages,
        tools,
        output_config,
    };
    Ok((write(&whole, chat.length()), files))
}

/// The body. What the client wrote as JSON keeps its text: the order of a schema's properties is
/// the order in which a model writes them.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Offered<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Serialize)]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
}

#[derive(Serialize)]
struct Format<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: Cow<'a, RawValue>,
}

/// What the Messages API has under the client's own names, and marks of what is to be cached.
const TAKEN: &[&str] = &["top_k", "thinking", MARKS, THOUGHTS];

/// What the Messages API has no counterpart of.
const UNSUPPORTED: &[(&str, Without)] = &[
    ("n", Without::Other),
    ("logit_bias", Without::Other),
    ("logprobs", Without::Other),
    ("modalities", Without::Other),
    ("audio", Without::Other),
    ("functions", Without::Other),
    ("moderation", Without::Other),
    ("frequency_penalty", Without::Same),
    ("presence_penalty", Without::Same),
    ("seed", Without::Same),
    ("prediction", Without::Same),
    ("verbosity", Without::Same),
    ("store", Without::Same),
    ("metadata", Without::Same),
    ("prompt_cache_key", Without::Same),
    ("prompt_cache_retention", Without::Same),
    ("prompt_cache_options", Without::Same),
];

/// Whether a user is named by an address or a telephone number, which the provider refuses: it wants
/// ids that say nothing.
fn is_personal(user: &str) -> bool {
    let (name, host) = user.split_once('@').unwrap_or_default();
    let number = user.strip_prefix('+').unwrap_or_default();
    let digits = number.chars().filter(char::is_ascii_digit).count();
    let only = |c: char| c.is_ascii_digit() || " -()./".contains(c);
    (!name.is_empty() && host.contains('.')) || (digits >= 7 && number.chars().all(only))
}

fn think(
    request: &Request<'_>,
    of: Model,
    max: &mut u64,
    out: &mut Map<String, Value>,
    notes: &mut Notes,
) -> Result<(), Error> {
    if let Some(own) = request.extra("thinking").filter(|raw| raw.get() != "null") {
        let own: Value = serde_json::from_str(own.get()).unwrap_or_default();
        if !own.is_object() {
            notes.unsupported("thinking")?;
        } else if is_foreign(&own) {
            notes.without("thinking")?;
        } else {
            return think_as_told(own, request, of, max, out, notes);
        }
    }
    let Some(effort) = request.reasoning_effort.as_deref() else {
        return Ok(());
    };
    if effort == "none" {
        match of.off {
            Off::Already => {}
            Off::Said(kind) => drop(out.insert("thinking".into(), json!({ "type": kind }))),
            Off::Never => {
                let message =
                    "`reasoning_effort` cannot be \"none\" for this model, it always thinks";
                return Err(Error::new(Kind::Value, message)
                    .with_param("reasoning_effort")
                    .with_code("unsupported_value"));
            }
        }
        return Ok(());
    }
    match of.thinking {
        Thinking::None => notes.unsupported("reasoning_effort")?,
        Thinking::Budget if lacks_thinking(request) => notes.without("reasoning_effort")?,
        Thinking::Budget => {
            let wanted = budget(effort);
            if request.max_output().is_none() {
                *max = (*max).max(wanted + 4096).min(of.ceiling);
            }
            // Below 1024 no budget is legal, and it must leave room for an answer.
            let tokens = wanted.min(*max / 4 * 3).max(1024);
            if tokens < *max {
                if tokens < wanted && request.max_output().is_some() {
                    notes.changed("reasoning_effort");
                }
                let thinking = json!({ "type": "enabled", "budget_tokens": tokens });
                out.insert("thinking".into(), thinking);
            } else {
                notes.without("reasoning_effort")?;
            }
        }
        Thinking::Adaptive { sampling } => {
            out.insert("thinking".into(), adaptive(sampling));
            exert(effort, sampling, out, notes);
        }
    }
    Ok(())
}

/// Whether `thinking` is in the words of others that have a member of this name: DeepSeek, Z.ai and Moonshot know
/// no budget, which the provider's own has to have.
fn is_foreign(thinking: &Value) -> bool {
    match thinking["type"].as_str() {
        Some("enabled") => !thinking["budget_tokens"].is_u64(),
        kind => kind.is_none_or(|kind| kind == "auto"),
    }
}

/// Thinking in the provider's own words, which its endpoint for OpenAI's clients takes beside their
/// members: they go up as they are, with an effort where the model knows one.
///
/// Source: the provider's page on compatibility with OpenAI's SDKs, 2026-11.
fn think_as_told(
    own: Value,
    request: &Request<'_>,
    of: Model,
    max: &mut u64,
    out: &mut Map<String, Value>,
    notes: &mut Notes,
) -> Result<(), Error> {
    if own["type"] == "enabled" {
        if lacks_thinking(request) {
            return notes.without("thinking");
        }
        // A budget must lie below the limit.
        let budget = own["budget_tokens"].as_u64();
        if let Some(budget) = budget.filter(|_| request.max_output().is_none()) {
            *max = (*max).max(budget.saturating_add(4096)).min(of.ceiling);
        }
    }
    out.insert("thinking".into(), own);
    match (request.reasoning_effort.as_deref(), of.thinking) {
        (None, _) => {}
        (Some(effort), Thinking::Adaptive { sampling }) if effort != "none" => {
            exert(effort, sampling, out, notes);
        }
        (Some(_), _) => notes.without("reasoning_effort")?,
    }
    Ok(())
}

/// Puts in an effort, in the words of models that know some.
fn exert(asked: &str, sampling: bool, out: &mut Map<String, Value>, notes: &mut Notes) {
    let effort = match asked {
        "minimal" => "low",
        "xhigh" if sampling => "high",
        effort => effort,
    };
    if effort != asked {
        notes.changed("reasoning_effort");
    }
    out.insert("output_config".into(), json!({ "effort": effort }));
}

/// Thinking as much as the model finds right. Of those that show nothing of it by default, which are
/// the ones that cannot be told a temperature, a summary is asked for: it is the reasoning of the answer.
///
/// Source: the provider's page on adaptive thinking, 2026-11.
pub(in crate::provider) fn adaptive(sampling: bool) -> Value {
    if sampling {
        json!({ "type": "adaptive" })
    } else {
        json!({ "type": "adaptive", "display": "summarized" })
    }
}

fn sampling(
    request: &Request<'_>,
    of: Model,
    out: &mut Map<String, Value>,
    notes: &mut Notes,
) -> Result<(), Error> {
    let thinks = out
        .get("thinking")
        .is_some_and(|it| it["type"] == "enabled" || it["type"] == "adaptive");
    let only_top_p = of.one_of_both && only_top_p(request, notes);
    for (name, value) in [
        ("temperature", request.temperature),
        ("top_p", request.top_p),
    ] {
        let Some(value) = value else { continue };
        // Their scale ends where the API's own is half way: the hottest there is, is meant.
        if value > 1.0 {
            notes.changed(name);
        }
        let value = value.clamp(0.0, 1.0);
        if value == 1.0 {
            // The default of both, which some models refuse to be told.
            continue;
        }
        let both = match name {
            "temperature" => only_top_p,
            _ => of.one_of_both && out.contains_key("temperature"),
        };
        if !of.samples() || both || thinks {
            notes.unsupported(name)?;
            continue;
        }
        out.insert(name.into(), value.into());
    }
    if let Some(top_k) = request.extra("top_k") {
        if of.samples() && !thinks {
            let value: Value = serde_json::from_str(top_k.get()).unwrap_or_default();
            out.insert("top_k".into(), value);
        } else {
            notes.unsupported("top_k")?;
        }
    }
    if let Some(stop) = &request.stop {
        let texts = stop.0.iter().filter(|text| !text.trim().is_empty());
        let texts: Vec<&str> = texts.map(|text| &**text).collect();
        // Blank ones are refused.
        if texts.is_empty() && !stop.0.is_empty() {
            notes.without("stop")?;
        } else if texts.len() < stop.0.len() {
            notes.changed("stop");
        }
        if !texts.is_empty() {
            out.insert("stop_sequences".into(), texts.into());
        }
    }
    Ok(())
}

/// Whether `top_p` is what the client asks for, and the temperature one that nobody asked for, where a
/// model takes one of both.
pub(in crate::provider) fn only_top_p(request: &Request<'_>, notes: &Notes) -> bool {
    let asked = request.top_p.is_some_and(|value| value < 1.0) && !notes.is_default("top_p");
    asked && notes.is_default("temperature")
}

/// What the answer must look like.
pub(super) enum Shape<'r, 'a> {
    Free,
    /// By a schema that the model keeps to.
    Native(Cow<'a, RawValue>),
    /// By the arguments of a tool.
    Tool(&'r Schema<'a>),
}

fn format<'r, 'a>(
    request: &'r Request<'a>,
    of: Model,
    out: &Map<String, Value>,
    notes: &mut Notes,
) -> Result<Shape<'r, 'a>, Error> {
    let Some(format) = &request.response_format else {
        return Ok(Shape::Free);
    };
    let schema = format.json_schema.as_ref();
    match (&*format.kind, schema.and_then(|it| Some((it, it.schema?)))) {
        ("text", _) => Ok(Shape::Free),
        ("json_object", _) => {
            notes.changed("response_format");
            Ok(Shape::Free)
        }
        ("json_schema", Some((schema, raw))) => {
            if let Some(raw) = of.structured.then(|| closed(raw.0)).flatten() {
                if matches!(raw, Cow::Owned(_)) {
                    notes.changed("response_format");
                }
                undescribed(schema, notes)?;
                return Ok(Shape::Native(raw));
            }
            // A tool can be forced, unless the model thinks.
            if structured::fits(raw.get()) && !of.unforced && !thinks_manually(out) {
                notes.changed("response_format");
                return Ok(Shape::Tool(schema));
            }
            notes.unsupported("response_format").map(|()| Shape::Free)
        }
        _ => notes.unsupported("response_format").map(|()| Shape::Free),
    }
}

pub(super) fn thinks_manually(out: &Map<String, Value>) -> bool {
    out.get("thinking")
        .is_some_and(|it| it["type"] == "enabled")
}

/// The provider knows two tiers: as good as is paid for, and the standard one.
fn tier(
    request: &Request<'_>,
    door: Door,
    out: &mut Map<String, Value>,
    notes: &mut Notes,
) -> Result<(), Error> {
    let Some(asked) = request.service_tier.as_deref() else {
        return Ok(());
    };
    let tier = match asked {
        "auto" => "auto",
        "priority" | "fast" if door == Door::Own => {
            notes.changed("service_tier");
            "auto"
        }
        "default" => "standard_only",
        _ => return notes.without("service_tier"),
    };
    if door == Door::Own {
        out.insert("service_tier".into(), tier.into());
    }
    Ok(())
}
