use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::turns::{self, Content};
use crate::{
    error::{Error, Kind},
    provider::anthropic::effort,
    wire::chat::{Raw, Text},
};

/// What is dropped on the way, by name.
pub(super) type Dropped = Vec<Cow<'static, str>>;

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
    messages: Vec<turns::Message<'a>>,
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

pub(super) fn shape(error: serde_json::Error) -> Error {
    let message = format!("The request is not one of the Messages API: {error}.");
    Error::new(Kind::Format, message)
        .with_code("invalid_type")
        .with_source(error)
}

pub(super) fn unsupported(param: String) -> Error {
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
    let mut request: Request<'_> = serde_json::from_str(text).map_err(shape)?;
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
    if let Some(system) = request.system.take() {
        messages.push(turns::instructions(system, || "system".to_owned())?);
    }
    for (at, message) in std::mem::take(&mut request.messages)
        .into_iter()
        .enumerate()
    {
        let content = message.content;
        match message.role {
            Role::System => {
                let path = || format!("messages[{at}]");
                messages.push(turns::instructions(content, path)?);
            }
            Role::User => turns::heard(content, at, &mut messages, &mut dropped)?,
            Role::Assistant => messages.push(turns::said(content, at, &mut dropped)?),
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
    // Of about the length of the one it is made of, so that no text is copied twice.
    let mut text = Vec::with_capacity(body.len() + 512);
    serde_json::to_writer(&mut text, &out).expect("strings and numbers serialise into memory");
    Ok((text.into(), dropped))
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
