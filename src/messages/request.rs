use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    members::{Dropped, objects},
    paths::{Origin, Paths},
    turns::{self, Content},
};
use crate::{
    error::{Error, Kind},
    provider::anthropic::effort,
    wire::chat::{Raw, Text},
};

/// What is to be told of a request that goes on.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// What it lost.
    pub(super) dropped: Dropped,
    /// Where its members stood.
    pub(super) paths: Paths,
}

objects! {
    Request<'a> {
        model: Text<'a> = "model",
        messages: Vec<Message<'a>> = "messages",
        max_tokens: u64 = "max_tokens",
        system: Content<'a> = "system",
        tools: Vec<Tool<'a>> = "tools",
        tool_choice: Choice<'a> = "tool_choice",
        stop_sequences: Vec<Text<'a>> = "stop_sequences",
        temperature: Raw<'a> = "temperature",
        top_p: Raw<'a> = "top_p",
        top_k: Raw<'a> = "top_k",
        stream: bool = "stream",
        metadata: Metadata<'a> = "metadata",
        thinking: Thinking<'a> = "thinking",
        output_config: OutputConfig<'a> = "output_config",
        service_tier: Text<'a> = "service_tier",
        cache_control: Raw<'a> = "cache_control",
        // Servers that the provider would call on the client's behalf.
        mcp_servers: Vec<Raw<'a>> = "mcp_servers",
    }

    Message<'a> {
        role: Text<'a> = "role",
        content: Content<'a> = "content",
    }

    Tool<'a> {
        kind: Text<'a> = "type",
        name: Text<'a> = "name",
        description: Text<'a> = "description",
        input_schema: Raw<'a> = "input_schema",
        strict: bool = "strict",
        cache_control: Raw<'a> = "cache_control",
    }

    Choice<'a> {
        kind: Text<'a> = "type",
        name: Text<'a> = "name",
        disable_parallel_tool_use: bool = "disable_parallel_tool_use",
    }

    Metadata<'a> {
        user_id: Text<'a> = "user_id",
    }

    Thinking<'a> {
        kind: Text<'a> = "type",
        budget_tokens: u64 = "budget_tokens",
    }

    OutputConfig<'a> {
        effort: Text<'a> = "effort",
        format: Format<'a> = "format",
    }

    Format<'a> {
        kind: Text<'a> = "type",
        schema: Raw<'a> = "schema",
    }
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

fn missing(param: String) -> Error {
    Error::new(Kind::Format, format!("`{param}` is required."))
        .with_param(param)
        .with_code("missing_required_parameter")
}

/// A body of the Messages API as one of Chat Completions, and what is to be told of the way.
pub(super) fn translate(body: &[u8]) -> Result<(Bytes, Way), Error> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Error::new(Kind::Format, "The request body is not UTF-8.").with_source(error)
    })?;
    let mut request: Request<'_> = serde_json::from_str(text).map_err(shape)?;
    let absent = |name: &str| missing(name.to_owned());
    let model = request.model.take().ok_or_else(|| absent("model"))?;
    let turns = request.messages.take().ok_or_else(|| absent("messages"))?;
    let most = request.max_tokens.ok_or_else(|| absent("max_tokens"))?;
    let servers = request.mcp_servers.as_deref().unwrap_or_default();
    if !servers.is_empty() {
        return Err(unsupported("mcp_servers".to_owned()));
    }
    let mut way = Way::default();
    let messages = messages(request.system.take(), turns, &mut way)?;
    let dropped = &mut way.dropped;
    let offered = request.tools.as_deref().unwrap_or_default();
    let (tool_choice, parallel) = match &request.tool_choice {
        Some(asked) => choice(asked, offered, dropped)?,
        None => (None, None),
    };
    let (effort, asked_by) = thinking(&request, dropped);
    way.paths.effort = asked_by;
    let stream = request.stream.filter(|stream| *stream);
    let out = Out {
        model: &model,
        messages,
        max_completion_tokens: most,
        tools: tools(offered, dropped)?,
        tool_choice,
        parallel_tool_calls: parallel,
        response_format: format(request.output_config.as_ref(), dropped)?,
        stop: request
            .stop_sequences
            .as_deref()
            .filter(|stop| !stop.is_empty()),
        temperature: request.temperature,
        top_p: request.top_p,
        top_k: request.top_k,
        reasoning_effort: effort,
        user: request.metadata.as_ref().and_then(|metadata| {
            dropped.unknown("metadata.", &metadata.unknown);
            metadata.user_id.as_deref()
        }),
        service_tier: match request.service_tier.as_deref() {
            Some("standard_only") => Some("default"),
            Some("auto") => Some("auto"),
            None => None,
            Some(_) => {
                dropped.add("service_tier");
                None
            }
        },
        cache_control: request.cache_control,
        stream,
        // The counts are told at the end of every stream there.
        stream_options: stream.map(|_| json!({ "include_usage": true })),
    };
    dropped.unknown("", &request.unknown);
    // Of about the length of the one it is made of, so that no text is copied twice.
    let mut text = Vec::with_capacity(body.len() + 512);
    serde_json::to_writer(&mut text, &out).expect("strings and numbers serialise into memory");
    Ok((text.into(), way))
}

fn messages<'a>(
    system: Option<Content<'a>>,
    turns: Vec<Message<'a>>,
    way: &mut Way,
) -> Result<Vec<turns::Message<'a>>, Error> {
    let Way { dropped, paths } = way;
    let mut messages = Vec::with_capacity(turns.len() + 1);
    if let Some(system) = system {
        let path = |nth| format!("system[{nth}]");
        messages.push(turns::instructions(system, path, "system[].", dropped)?);
        paths.messages.push(Origin::System);
    }
    for (at, message) in turns.into_iter().enumerate() {
        dropped.unknown("messages[].", &message.unknown);
        let content = message.content;
        let content = content.ok_or_else(|| missing(format!("messages[{at}].content")))?;
        match message.role.as_deref() {
            Some("system") => {
                let path = |nth| format!("messages[{at}].content[{nth}]");
                messages.push(turns::instructions(content, path, turns::BLOCKS, dropped)?);
                paths.messages.push(Origin::Turn(at, 0));
            }
            Some("user") => {
                let origins = &mut paths.messages;
                turns::heard(content, at, &mut messages, origins, dropped)?;
            }
            Some("assistant") => {
                messages.push(turns::said(content, at, dropped)?);
                paths.messages.push(Origin::Turn(at, 0));
            }
            None => return Err(missing(format!("messages[{at}].role"))),
            Some(_) => {
                let param = format!("messages[{at}].role");
                let message = format!("`{param}` must be `user`, `assistant` or `system`.");
                let error = Error::new(Kind::Format, message).with_param(param);
                return Err(error.with_code("invalid_value"));
            }
        }
    }
    Ok(messages)
}

fn tools<'a>(all: &'a [Tool<'_>], dropped: &mut Dropped) -> Result<Vec<ToolOut<'a>>, Error> {
    let mut out = Vec::with_capacity(all.len());
    for (nth, tool) in all.iter().enumerate() {
        if tool.kind.as_deref().is_some_and(|kind| kind != "custom") {
            return Err(unsupported(format!("tools[{nth}].type")));
        }
        dropped.unknown("tools[].", &tool.unknown);
        let name = tool.name.as_deref();
        out.push(ToolOut {
            kind: "function",
            function: Function {
                name: name.ok_or_else(|| missing(format!("tools[{nth}].name")))?,
                description: tool.description.as_deref(),
                parameters: tool.input_schema,
                strict: tool.strict,
            },
            cache_control: tool.cache_control,
        });
    }
    Ok(out)
}

/// Which tool is to be called, and whether only one at a time.
fn choice(
    choice: &Choice<'_>,
    tools: &[Tool<'_>],
    dropped: &mut Dropped,
) -> Result<(Option<Value>, Option<bool>), Error> {
    dropped.unknown("tool_choice.", &choice.unknown);
    let kind = choice.kind.as_deref();
    let value = match (kind.unwrap_or_default(), &choice.name) {
        ("auto", _) => "auto".into(),
        ("any", _) => "required".into(),
        ("none", _) => "none".into(),
        ("tool", Some(name)) => json!({ "type": "function", "function": { "name": name } }),
        ("tool", None) => return Err(missing("tool_choice.name".to_owned())),
        _ if kind.is_none() => return Err(missing("tool_choice.type".to_owned())),
        _ => return Err(unsupported("tool_choice.type".to_owned())),
    };
    if tools.is_empty() {
        // Without tools none is called, whether it may be or may not be.
        if matches!(kind, Some("auto" | "none")) {
            return Ok((None, None));
        }
        let message = "`tool_choice` wants a tool to be called, but there are no `tools`.";
        let error = Error::new(Kind::Format, message).with_param("tool_choice");
        return Err(error.with_code("invalid_value"));
    }
    let one = choice.disable_parallel_tool_use == Some(true);
    Ok((Some(value), one.then_some(false)))
}

fn format<'a>(
    config: Option<&'a OutputConfig<'_>>,
    dropped: &mut Dropped,
) -> Result<Option<FormatOut<'a>>, Error> {
    let Some(config) = config else {
        return Ok(None);
    };
    dropped.unknown("output_config.", &config.unknown);
    let Some(format) = &config.format else {
        return Ok(None);
    };
    dropped.unknown("output_config.format.", &format.unknown);
    match (format.kind.as_deref(), format.schema) {
        (Some("json_schema"), Some(schema)) => Ok(Some(FormatOut {
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

/// The effort that was asked for, or the one that a budget comes nearest to, and which member asked.
fn thinking<'a>(
    request: &'a Request<'_>,
    dropped: &mut Dropped,
) -> (Option<&'a str>, &'static str) {
    let thinking = request.thinking.as_ref();
    if let Some(thinking) = thinking {
        dropped.unknown("thinking.", &thinking.unknown);
    }
    let kind = thinking.and_then(|thinking| thinking.kind.as_deref());
    let budget = thinking.and_then(|thinking| thinking.budget_tokens);
    let asked = request.output_config.as_ref();
    if let Some(effort) = asked.and_then(|config| config.effort.as_deref()) {
        // One word says how much there is to be; what contradicts it has no place beside it.
        if kind == Some("disabled") {
            dropped.add("thinking");
        } else if budget.is_some() {
            dropped.add("thinking.budget_tokens");
        }
        return (Some(effort), "output_config.effort");
    }
    let effort = match (kind, budget) {
        (Some("disabled"), _) => Some("none"),
        (Some("enabled"), Some(budget)) => Some(effort(budget)),
        _ => None,
    };
    if effort.is_none() && thinking.is_some() {
        // How much is the model's to decide as it is.
        dropped.add("thinking");
    }
    (effort, "thinking")
}
