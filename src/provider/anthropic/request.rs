use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::model::{Model, Off, Thinking, budget};
use crate::{
    error::{Error, Kind},
    provider::{
        Notes,
        notes::unsupported,
        structured,
        support::{Without, settle},
    },
    wire::chat::{
        AllowedMode, Content, Message, Part, Raw, Request, Role, Schema, Text, ToolChoice,
    },
};

/// Where the body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provider) enum Door {
    /// The provider's own API.
    Own,
    /// Vertex AI: the model stands in the URL.
    Vertex,
}

/// Translates a body; the model is the target's.
pub(in crate::provider) fn body(
    body: &[u8],
    model: &str,
    door: Door,
    notes: &mut Notes,
) -> Result<Bytes, Error> {
    let request = Request::parse(body).map_err(|error| {
        Error::new(Kind::Format, "The request is not of the expected shape.")
            .with_code("invalid_type")
            .with_source(error)
    })?;
    settle(&request, UNSUPPORTED, &[], notes)?;
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
    let (system, messages) = conversation(&request)?;
    let tools = tools(&request, &shape, &mut out, notes)?.into_iter();
    let mut tools: Vec<Offered<'_>> = tools.map(Offered::Tool).collect();
    tools.extend(request.web_search_options.map(|raw| search(raw, notes)));
    if request.stream == Some(true) {
        out.insert("stream".into(), true.into());
    }
    if let Some(user) = request.end_user() {
        out.insert("metadata".into(), json!({ "user_id": user }));
    }
    if let Some(mark) = &request.cache_control {
        out.insert("cache_control".into(), ephemeral(mark.is_long()));
    }
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
    let mut text = Vec::with_capacity(body.len() + 512);
    serde_json::to_writer(&mut text, &whole).expect("values serialise into memory");
    Ok(text.into())
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
struct Turn<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Block<'a> {
    Text {
        #[serde(rename = "type")]
        kind: &'static str,
        text: Text<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Value>,
    },
    Own(Value),
    Result {
        #[serde(rename = "type")]
        kind: &'static str,
        tool_use_id: String,
        content: Results<'a>,
    },
    Kept(Raw<'a>),
    Call {
        #[serde(rename = "type")]
        kind: &'static str,
        id: String,
        name: String,
        input: Box<RawValue>,
    },
}

/// A tool of the client's, or one that the provider has.
#[derive(Serialize)]
#[serde(untagged)]
enum Offered<'a> {
    Tool(ToolOut<'a>),
    Search {
        #[serde(rename = "type")]
        kind: &'static str,
        name: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        user_location: Option<Value>,
    },
}

/// What a tool gave.
#[derive(Serialize)]
#[serde(untagged)]
enum Results<'a> {
    Text(Text<'a>),
    Blocks(Vec<Block<'a>>),
}

impl<'a> Block<'a> {
    fn text(text: Text<'a>) -> Self {
        Self::Text {
            kind: "text",
            text,
            cache_control: None,
        }
    }
}

#[derive(Serialize)]
struct ToolOut<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'a, str>>,
    input_schema: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<Value>,
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
    schema: Raw<'a>,
}

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

fn think(
    request: &Request<'_>,
    of: Model,
    max: &mut u64,
    out: &mut Map<String, Value>,
    notes: &mut Notes,
) -> Result<(), Error> {
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
                return Err(Error::new(Kind::Format, message)
                    .with_param("reasoning_effort")
                    .with_code("unsupported_value"));
            }
        }
        return Ok(());
    }
    match of.thinking {
        Thinking::None => notes.unsupported("reasoning_effort")?,
        Thinking::Budget => {
            let tokens = budget(effort);
            if request.max_output().is_none() {
                *max = (*max).max(tokens + 4096).min(of.ceiling);
            }
            // Below 1024 no budget is legal, and it must leave room for an answer.
            let tokens = tokens.min(*max / 4 * 3).max(1024);
            if tokens < *max {
                let thinking = json!({ "type": "enabled", "budget_tokens": tokens });
                out.insert("thinking".into(), thinking);
            } else {
                notes.without("reasoning_effort")?;
            }
        }
        Thinking::Adaptive { sampling } => {
            let asked = effort;
            let effort = match effort {
                "minimal" => "low",
                "xhigh" if sampling => "high",
                effort => effort,
            };
            if effort != asked {
                notes.changed("reasoning_effort");
            }
            out.insert("thinking".into(), json!({ "type": "adaptive" }));
            out.insert("output_config".into(), json!({ "effort": effort }));
        }
    }
    Ok(())
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
        let both = name == "top_p" && of.one_of_both && out.contains_key("temperature");
        if !of.samples() || both || thinks {
            notes.unsupported(name)?;
            continue;
        }
        out.insert(name.into(), value.into());
    }
    if let Some(stop) = &request.stop {
        let texts = stop.0.iter().filter(|text| !text.trim().is_empty());
        let texts: Vec<&str> = texts.map(|text| &**text).collect();
        if !texts.is_empty() {
            out.insert("stop_sequences".into(), texts.into());
        }
    }
    Ok(())
}

/// What the answer must look like.
enum Shape<'r, 'a> {
    Free,
    /// By a schema that the model keeps to.
    Native(Raw<'a>),
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
        ("json_schema", Some((_, schema))) if of.structured => Ok(Shape::Native(schema)),
        // A tool can be forced, unless the model thinks.
        ("json_schema", Some((schema, raw)))
            if structured::fits(raw.get()) && !thinks_manually(out) =>
        {
            notes.changed("response_format");
            Ok(Shape::Tool(schema))
        }
        _ => notes.unsupported("response_format").map(|()| Shape::Free),
    }
}

fn thinks_manually(out: &Map<String, Value>) -> bool {
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

fn tools<'a>(
    request: &'a Request<'_>,
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
    if forced && thinks_manually(out) {
        // A forced tool and manual thinking exclude each other; the choice decides what happens.
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
        list.push(ToolOut {
            name,
            description: described
                .and_then(|text| text.as_deref())
                .map(Cow::Borrowed),
            input_schema: match function {
                Some(function) => input_schema(function.parameters),
                None => free_text(),
            },
            strict: function.and_then(|it| it.strict).filter(|strict| *strict),
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
fn search<'a>(options: Raw<'_>, notes: &mut Notes) -> Offered<'a> {
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

fn ephemeral(long: bool) -> Value {
    if long {
        json!({ "type": "ephemeral", "ttl": "1h" })
    } else {
        json!({ "type": "ephemeral" })
    }
}

fn conversation<'a>(request: &Request<'a>) -> Result<(Vec<Block<'a>>, Vec<Turn<'a>>), Error> {
    let mut system = Vec::new();
    let mut turns: Vec<Turn<'a>> = Vec::new();
    for (at, message) in request.messages.iter().enumerate() {
        let (role, blocks) = match message.role {
            Role::System | Role::Developer => {
                system.extend(blocks(&message.content, at)?);
                continue;
            }
            Role::User => ("user", blocks(&message.content, at)?),
            Role::Assistant => ("assistant", spoken(message, at)?),
            Role::Tool => ("user", vec![result(message, at)?]),
            Role::Function => return Err(unsupported(format!("messages[{at}].role"))),
        };
        match turns.last_mut() {
            Some(last) if last.role == role => last.content.extend(blocks),
            _ if blocks.is_empty() => {}
            _ => turns.push(Turn {
                role,
                content: blocks,
            }),
        }
    }
    for turn in &mut turns {
        // The provider wants the results of its calls before anything else that is said.
        turn.content
            .sort_by_key(|block| turn.role == "user" && !matches!(block, Block::Result { .. }));
    }
    if request
        .response_format
        .as_ref()
        .is_some_and(|it| &*it.kind == "json_object")
    {
        let text = "Answer with one JSON object and nothing else, without a code fence.";
        system.push(Block::text(text.into()));
    }
    Ok((system, turns))
}

/// An id as the provider takes them; the same one always becomes the same.
fn id(of: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    of.chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .collect()
}

fn result<'a>(message: &Message<'a>, at: usize) -> Result<Block<'a>, Error> {
    let content = match &message.content {
        Some(Content::Parts(_)) => Results::Blocks(blocks(&message.content, at)?),
        Some(Content::Text(text)) => Results::Text(text.clone()),
        None => Results::Text(Text::default()),
    };
    Ok(Block::Result {
        kind: "tool_result",
        tool_use_id: id(message.tool_call_id.as_deref().unwrap_or_default()),
        content,
    })
}

/// What the model said: its reasoning as it was, its text, its calls.
fn spoken<'a>(message: &Message<'a>, at: usize) -> Result<Vec<Block<'a>>, Error> {
    if message.function_call.is_some() {
        return Err(unsupported(format!("messages[{at}].function_call")));
    }
    if message.audio.is_some() {
        return Err(unsupported(format!("messages[{at}].audio")));
    }
    let details = message.reasoning_details.iter().flatten();
    let mut all: Vec<Block<'a>> = details
        .filter(|raw| {
            let value: Value = serde_json::from_str(raw.get()).unwrap_or_default();
            value["type"] == "thinking" || value["type"] == "redacted_thinking"
        })
        .map(|raw| Block::Kept(*raw))
        .collect();
    all.extend(blocks(&message.content, at)?);
    if let Some(refusal) = message.refusal.clone().filter(|text| !text.is_empty()) {
        all.push(Block::text(refusal));
    }
    for (n, call) in message.calls().iter().enumerate() {
        let arguments = call.arguments();
        let input = RawValue::from_string(arguments.into_owned()).ok();
        let input = input
            .filter(|input| input.get().starts_with('{'))
            .ok_or_else(|| {
                let param = format!("messages[{at}].tool_calls[{n}].function.arguments");
                let message = format!("`{param}` must be the text of a JSON object");
                Error::new(Kind::Format, message).with_param(param)
            })?;
        let name = call.name().to_owned();
        all.push(Block::Call {
            kind: "tool_use",
            id: id(&call.id),
            name,
            input,
        });
    }
    Ok(all)
}

fn blocks<'a>(content: &Option<Content<'a>>, at: usize) -> Result<Vec<Block<'a>>, Error> {
    let parts = match content {
        None => return Ok(Vec::new()),
        // Empty texts are refused upstream and say nothing.
        Some(Content::Text(text)) if text.is_empty() => return Ok(Vec::new()),
        Some(Content::Text(text)) => return Ok(vec![Block::text(text.clone())]),
        Some(Content::Parts(parts)) => parts,
    };
    let mut all = Vec::with_capacity(parts.len());
    for (n, part) in parts.iter().enumerate() {
        let mark = part.breakpoint().map(|mark| ephemeral(mark.is_long()));
        if let Some(text) = part.text.as_ref().or(part.refusal.as_ref()) {
            if !text.is_empty() {
                all.push(Block::Text {
                    kind: "text",
                    text: text.clone(),
                    cache_control: mark,
                });
            }
            continue;
        }
        let mut one =
            block(part).ok_or_else(|| unsupported(format!("messages[{at}].content[{n}]")))?;
        if let Some(mark) = mark {
            one["cache_control"] = mark;
        }
        all.push(Block::Own(one));
    }
    Ok(all)
}

fn block(part: &Part<'_>) -> Option<Value> {
    let base64 =
        |kind: &str, data: &str| json!({ "type": "base64", "media_type": kind, "data": data });
    if let Some(image) = &part.image_url {
        let source = match image.data() {
            Some((kind, data)) => base64(kind, data),
            None if image.url.starts_with("http") => json!({ "type": "url", "url": image.url }),
            None => return None,
        };
        return Some(json!({ "type": "image", "source": source }));
    }
    let file = part.file.as_ref()?;
    let source = match (&file.file_id, file.data()) {
        (Some(id), _) => json!({ "type": "file", "file_id": id }),
        (None, Some(("application/pdf", data))) => base64("application/pdf", data),
        // A text goes as what it says.
        (None, Some((kind, data))) if kind.starts_with("text/") => {
            let text = String::from_utf8(crate::provider::base64::decode(data)?).ok()?;
            json!({ "type": "text", "media_type": "text/plain", "data": text })
        }
        _ => return None,
    };
    let mut document = json!({ "type": "document", "source": source });
    if let Some(name) = &file.filename {
        document["title"] = (&**name).into();
    }
    Some(document)
}
