use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json, value::RawValue};

use crate::{
    error::{Error, Kind},
    provider::anthropic::effort,
    wire::chat::{Raw, Text},
};

/// What is dropped on the way, by name.
type Dropped = Vec<Cow<'static, str>>;

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    model: Text<'a>,
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
    max_tokens: u64,
    #[serde(borrow, default)]
    system: Option<Content<'a>>,
    #[serde(borrow, default)]
    tools: Option<Vec<Tool<'a>>>,
    #[serde(borrow, default)]
    tool_choice: Option<Choice<'a>>,
    #[serde(borrow, default)]
    stop_sequences: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    temperature: Option<Raw<'a>>,
    #[serde(borrow, default)]
    top_p: Option<Raw<'a>>,
    #[serde(borrow, default)]
    top_k: Option<Raw<'a>>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(borrow, default)]
    metadata: Option<Metadata<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Thinking<'a>>,
    #[serde(borrow, default)]
    output_config: Option<OutputConfig<'a>>,
    #[serde(borrow, default)]
    service_tier: Option<Text<'a>>,
    #[serde(borrow, default)]
    cache_control: Option<Raw<'a>>,
    /// Servers that the provider would call on the client's behalf.
    #[serde(borrow, default)]
    mcp_servers: Option<Vec<Raw<'a>>>,
    #[serde(borrow, default)]
    container: Option<Raw<'a>>,
    #[serde(borrow, default)]
    context_management: Option<Raw<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    role: Role,
    #[serde(borrow)]
    content: Content<'a>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    User,
    Assistant,
    System,
}

/// A text, or blocks, each still as its JSON.
enum Content<'a> {
    Text(String),
    Blocks(Vec<&'a RawValue>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // An untagged enum would not lend what it holds.
        let raw: &'de RawValue = Deserialize::deserialize(deserializer)?;
        if raw.get().starts_with('"') {
            serde_json::from_str(raw.get()).map(Self::Text)
        } else {
            serde_json::from_str(raw.get()).map(Self::Blocks)
        }
        .map_err(serde::de::Error::custom)
    }
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    source: Option<Source<'a>>,
    #[serde(borrow, default)]
    title: Option<Text<'a>>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_use_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(default)]
    is_error: Option<bool>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    cache_control: Option<Raw<'a>>,
}

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    media_type: Option<Text<'a>>,
    #[serde(borrow, default)]
    data: Option<Text<'a>>,
    #[serde(borrow, default)]
    url: Option<Text<'a>>,
    #[serde(borrow, default)]
    file_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
    #[serde(borrow, default)]
    input_schema: Option<Raw<'a>>,
    #[serde(default)]
    strict: Option<bool>,
    #[serde(borrow, default)]
    cache_control: Option<Raw<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(default)]
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    user_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Thinking<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(default)]
    budget_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct OutputConfig<'a> {
    #[serde(borrow, default)]
    effort: Option<Text<'a>>,
    #[serde(borrow, default)]
    format: Option<Format<'a>>,
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    schema: Option<Raw<'a>>,
}

/// The request as it goes on.
#[derive(Serialize)]
struct Out<'a> {
    model: &'a str,
    messages: Vec<Value>,
    max_completion_tokens: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<FormatOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<&'a [Text<'a>]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<Value>,
}

#[derive(Serialize)]
struct ToolOut<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<Raw<'a>>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
struct FormatOut<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    json_schema: Schema<'a>,
}

#[derive(Serialize)]
struct Schema<'a> {
    name: &'static str,
    schema: Raw<'a>,
    strict: bool,
}

fn shape(error: serde_json::Error) -> Error {
    let message = format!("The request is not one of the Messages API: {error}.");
    Error::new(Kind::Format, message)
        .with_code("invalid_type")
        .with_source(error)
}

fn unsupported(param: String) -> Error {
    let message = format!("`{param}` is not supported here.");
    Error::new(Kind::Format, message)
        .with_param(param)
        .with_code("unsupported_parameter")
}

/// A body of the Messages API as one of Chat Completions, and the names of what was dropped.
pub(super) fn translate(body: &[u8]) -> Result<(Bytes, Dropped), Error> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Error::new(Kind::Format, "The request body is not UTF-8.").with_source(error)
    })?;
    let request: Request<'_> = serde_json::from_str(text).map_err(shape)?;
    let mut dropped = Dropped::new();
    if request
        .mcp_servers
        .as_ref()
        .is_some_and(|all| !all.is_empty())
    {
        return Err(unsupported("mcp_servers".to_owned()));
    }
    for (name, there) in [
        ("container", request.container.is_some()),
        ("context_management", request.context_management.is_some()),
    ] {
        if there {
            dropped.push(name.into());
        }
    }
    let mut messages = Vec::with_capacity(request.messages.len() + 1);
    if let Some(system) = &request.system {
        messages.push(json!({ "role": "system", "content": instructions(system, "system")? }));
    }
    for (at, message) in request.messages.iter().enumerate() {
        match message.role {
            Role::System => {
                let content = instructions(&message.content, &format!("messages[{at}]"))?;
                messages.push(json!({ "role": "system", "content": content }));
            }
            Role::User => heard(&message.content, at, &mut messages, &mut dropped)?,
            Role::Assistant => messages.push(said(&message.content, at, &mut dropped)?),
        }
    }
    let (tool_choice, parallel) = choice(request.tool_choice.as_ref())?;
    let stream = request.stream.filter(|stream| *stream);
    let out = Out {
        model: &request.model,
        messages,
        max_completion_tokens: request.max_tokens,
        tools: tools(request.tools.as_deref().unwrap_or_default())?,
        tool_choice: tool_choice.filter(|_| request.tools.is_some()),
        parallel_tool_calls: parallel.filter(|_| request.tools.is_some()),
        response_format: format(request.output_config.as_ref())?,
        stop: request
            .stop_sequences
            .as_deref()
            .filter(|stop| !stop.is_empty()),
        temperature: request.temperature,
        top_p: request.top_p,
        top_k: request.top_k,
        reasoning_effort: thinking(&request),
        user: request
            .metadata
            .as_ref()
            .and_then(|it| it.user_id.as_deref()),
        service_tier: match request.service_tier.as_deref() {
            Some("standard_only") => Some("default"),
            Some("auto") => Some("auto"),
            None => None,
            Some(_) => {
                dropped.push("service_tier".into());
                None
            }
        },
        cache_control: request.cache_control,
        stream,
        // The counts are told at the end of every stream there.
        stream_options: stream.map(|_| json!({ "include_usage": true })),
    };
    let out = serde_json::to_vec(&out).expect("strings and numbers serialise into memory");
    Ok((out.into(), dropped))
}

fn blocks<'a>(content: &Content<'a>) -> Result<Vec<Block<'a>>, Error> {
    match content {
        Content::Text(_) => Ok(Vec::new()),
        Content::Blocks(all) => all
            .iter()
            .map(|raw| serde_json::from_str(raw.get()).map_err(shape))
            .collect(),
    }
}

/// Instructions are texts, each with its cache mark.
fn instructions(content: &Content<'_>, path: &str) -> Result<Value, Error> {
    if let Content::Text(text) = content {
        return Ok(text.as_str().into());
    }
    let mut parts = Vec::new();
    for (nth, block) in blocks(content)?.iter().enumerate() {
        let part = text_part(block);
        parts.push(part.ok_or_else(|| unsupported(format!("{path}.content[{nth}]")))?);
    }
    Ok(parts.into())
}

fn marked(mut part: Value, block: &Block<'_>) -> Value {
    let mark = block.cache_control.as_ref();
    if let Some(mark) = mark.and_then(|raw| serde_json::from_str(raw.get()).ok()) {
        part["cache_control"] = mark;
    }
    part
}

fn text_part(block: &Block<'_>) -> Option<Value> {
    let text = block.text.as_deref().filter(|_| &*block.kind == "text")?;
    Some(marked(json!({ "type": "text", "text": text }), block))
}

/// What a user's block is as a part; `None` has no counterpart.
fn part(block: &Block<'_>) -> Option<Value> {
    if let Some(text) = text_part(block) {
        return Some(text);
    }
    let source = block.source.as_ref()?;
    let kind = source.media_type.as_deref().unwrap_or_default();
    let data = source.data.as_deref();
    let part = match (&*block.kind, &*source.kind) {
        ("image", "base64") => {
            let url = format!("data:{kind};base64,{}", data?);
            json!({ "type": "image_url", "image_url": { "url": url } })
        }
        ("image", "url") => {
            json!({ "type": "image_url", "image_url": { "url": source.url.as_deref()? } })
        }
        ("document", "base64") => {
            let url = format!("data:{kind};base64,{}", data?);
            let name = block.title.as_deref().unwrap_or("document.pdf");
            json!({ "type": "file", "file": { "filename": name, "file_data": url } })
        }
        ("document", "file") => {
            json!({ "type": "file", "file": { "file_id": source.file_id.as_deref()? } })
        }
        ("document", "text") => json!({ "type": "text", "text": data? }),
        _ => return None,
    };
    Some(marked(part, block))
}

/// A user's turn: the results of calls, each a message of its own, then the rest.
fn heard(
    content: &Content<'_>,
    at: usize,
    messages: &mut Vec<Value>,
    dropped: &mut Dropped,
) -> Result<(), Error> {
    if let Content::Text(text) = content {
        messages.push(json!({ "role": "user", "content": text }));
        return Ok(());
    }
    let mut parts = Vec::new();
    for (nth, block) in blocks(content)?.iter().enumerate() {
        let path = || format!("messages[{at}].content[{nth}]");
        if &*block.kind == "tool_result" {
            let (text, images) = result(block, &path)?;
            messages.push(json!({
                "role": "tool",
                "tool_call_id": block.tool_use_id.as_deref().unwrap_or_default(),
                "content": text,
            }));
            parts.extend(images);
            if block.is_error == Some(true) {
                once(dropped, "messages[].content[].is_error");
            }
            continue;
        }
        parts.push(part(block).ok_or_else(|| unsupported(path()))?);
    }
    if !parts.is_empty() {
        messages.push(json!({ "role": "user", "content": parts }));
    }
    Ok(())
}

fn once(dropped: &mut Dropped, name: &'static str) {
    if !dropped.iter().any(|there| there == name) {
        dropped.push(name.into());
    }
}

/// The text of a result, and what else is in it: results are texts here, so images follow in the
/// user's own words.
fn result(block: &Block<'_>, path: &impl Fn() -> String) -> Result<(Value, Vec<Value>), Error> {
    let Some(raw) = block.content else {
        return Ok(("".into(), Vec::new()));
    };
    let content: Content<'_> = serde_json::from_str(raw.get()).map_err(shape)?;
    if let Content::Text(text) = content {
        return Ok((text.into(), Vec::new()));
    }
    let (mut texts, mut others) = (Vec::new(), Vec::new());
    for block in blocks(&content)? {
        let part = part(&block).ok_or_else(|| unsupported(path()))?;
        if part["type"] == "text" {
            texts.push(part);
        } else {
            others.push(part);
        }
    }
    let text = if texts.is_empty() {
        "".into()
    } else {
        texts.into()
    };
    Ok((text, others))
}

/// The assistant's turn: its reasoning as it was, its text, its calls.
fn said(content: &Content<'_>, at: usize, dropped: &mut Dropped) -> Result<Value, Error> {
    let raw = match content {
        Content::Text(text) => return Ok(json!({ "role": "assistant", "content": text })),
        Content::Blocks(raw) => raw,
    };
    let (mut texts, mut calls, mut details) = (Vec::new(), Vec::new(), Vec::new());
    let mut reasoning = String::new();
    for (nth, (block, raw)) in blocks(content)?.iter().zip(raw).enumerate() {
        match &*block.kind {
            "text" => texts.extend(text_part(block)),
            "thinking" | "redacted_thinking" => {
                reasoning.push_str(block.thinking.as_deref().unwrap_or_default());
                details.push(serde_json::from_str::<Value>(raw.get()).map_err(shape)?);
            }
            "tool_use" => {
                let arguments = block.input.map_or("{}", RawValue::get);
                calls.push(json!({
                    "id": block.id.as_deref().unwrap_or_default(),
                    "type": "function",
                    "function": { "name": block.name.as_deref().unwrap_or_default(), "arguments": arguments },
                }));
            }
            // What a provider's own tools did and found is in the text that came of it.
            kind if kind.starts_with("server_tool_use") || kind.ends_with("_tool_result") => {
                once(dropped, "messages[].content[].server_tool_use");
            }
            _ => return Err(unsupported(format!("messages[{at}].content[{nth}]"))),
        }
    }
    let mut message = json!({ "role": "assistant", "content": null });
    if !texts.is_empty() || calls.is_empty() {
        message["content"] = texts.into();
    }
    for (name, list) in [("tool_calls", calls), ("reasoning_details", details)] {
        if !list.is_empty() {
            message[name] = list.into();
        }
    }
    if !reasoning.is_empty() {
        message["reasoning_content"] = reasoning.into();
    }
    Ok(message)
}

fn tools<'a>(all: &'a [Tool<'_>]) -> Result<Vec<ToolOut<'a>>, Error> {
    let mut out = Vec::with_capacity(all.len());
    for (nth, tool) in all.iter().enumerate() {
        if tool.kind.as_deref().is_some_and(|kind| kind != "custom") {
            return Err(unsupported(format!("tools[{nth}].type")));
        }
        out.push(ToolOut {
            kind: "function",
            function: Function {
                name: &tool.name,
                description: tool.description.as_deref(),
                parameters: tool.input_schema,
                strict: tool.strict,
            },
            cache_control: tool.cache_control,
        });
    }
    Ok(out)
}

fn choice(choice: Option<&Choice<'_>>) -> Result<(Option<Value>, Option<bool>), Error> {
    let Some(choice) = choice else {
        return Ok((None, None));
    };
    let parallel = choice
        .disable_parallel_tool_use
        .filter(|off| *off)
        .map(|_| false);
    let value = match (&*choice.kind, &choice.name) {
        ("auto", _) => "auto".into(),
        ("any", _) => "required".into(),
        ("none", _) => "none".into(),
        ("tool", Some(name)) => json!({ "type": "function", "function": { "name": name } }),
        _ => return Err(unsupported("tool_choice.type".to_owned())),
    };
    Ok((Some(value), parallel))
}

fn format<'a>(config: Option<&OutputConfig<'a>>) -> Result<Option<FormatOut<'a>>, Error> {
    let Some(format) = config.and_then(|config| config.format.as_ref()) else {
        return Ok(None);
    };
    match (&*format.kind, format.schema) {
        ("json_schema", Some(schema)) => Ok(Some(FormatOut {
            kind: "json_schema",
            json_schema: Schema {
                name: "answer",
                schema,
                strict: true,
            },
        })),
        _ => Err(unsupported("output_config.format".to_owned())),
    }
}

/// The effort that was asked for, or the one that a budget comes nearest to.
fn thinking<'a>(request: &'a Request<'_>) -> Option<&'a str> {
    let asked = request.output_config.as_ref();
    if let Some(effort) = asked.and_then(|config| config.effort.as_deref()) {
        return Some(effort);
    }
    let thinking = request.thinking.as_ref()?;
    match (&*thinking.kind, thinking.budget_tokens) {
        ("disabled", _) => Some("none"),
        ("enabled", Some(budget)) => Some(effort(budget)),
        _ => None,
    }
}
