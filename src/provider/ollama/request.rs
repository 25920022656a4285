use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    error::Error,
    parse::Chat,
    provider::{
        Notes,
        said::Said,
        support::{
            Declared, Must, SMALL, arguments, chosen, declared, loosely, parse, plain, settle,
            stops, strangers, undescribed, write,
        },
    },
    wire::chat::{Raw, Request, Role, Text},
};

/// Members of the API, and of its options, that a client may send under their own names.
const TAKEN: &[&str] = &[
    "keep_alive",
    "top_k",
    "min_p",
    "repeat_penalty",
    "num_ctx",
    "reasoning_content",
];

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    /// Always said: the server's default is a stream.
    stream: bool,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Declared<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
    options: Options<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    think: Option<Think>,
    /// Servers before 0.12.11 pass over both.
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_alive: Option<Raw<'a>>,
}

#[derive(Serialize)]
struct Options<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_predict: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat_penalty: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_ctx: Option<Raw<'a>>,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: &'static str,
    content: Said<'a, 'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<&'a Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    function: Called<'a>,
}

#[derive(Serialize)]
struct Called<'a> {
    name: &'a str,
    arguments: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Format<'a> {
    Json(&'static str),
    Schema(Raw<'a>),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Think {
    Whether(bool),
    Level(&'static str),
}

pub(super) fn body(chat: &Chat, model: &str, notes: &mut Notes) -> Result<Bytes, Error> {
    let request = parse(chat)?;
    settle(&request, SMALL, TAKEN, notes)?;
    strangers(chat, &[], notes)?;
    loosely(&request, notes)?;
    let (left, must) = chosen(&request, notes)?;
    if must == Must::Any {
        notes.unsupported("tool_choice")?;
    }
    let tools = left.iter().filter(|_| must != Must::Never);
    let tools = tools.copied().map(declared).collect();
    let whole = Body {
        model,
        stream: request.stream == Some(true),
        messages: messages(&request, notes)?,
        tools,
        format: format(&request, notes)?,
        options: Options {
            temperature: request.temperature,
            top_p: request.top_p,
            seed: request.seed.map(|seed| seed.0),
            num_predict: request.max_output(),
            stop: stops(&request),
            presence_penalty: request.presence_penalty,
            frequency_penalty: request.frequency_penalty,
            top_k: request.extra("top_k"),
            min_p: request.extra("min_p"),
            repeat_penalty: request.extra("repeat_penalty"),
            num_ctx: request.extra("num_ctx"),
        },
        think: think(&request, model, notes),
        logprobs: request.logprobs.filter(|asked| *asked),
        top_logprobs: request.top_logprobs.map(|most| most.to_u64()),
        keep_alive: request.extra("keep_alive"),
    };
    Ok(write(&whole, chat.length()))
}

/// Most models think or do not; OpenAI's open ones know three levels.
fn think(request: &Request<'_>, model: &str, notes: &mut Notes) -> Option<Think> {
    let effort = request.reasoning_effort.as_deref()?;
    let level = match effort {
        "minimal" | "low" => "low",
        "medium" => "medium",
        _ => "high",
    };
    let leveled = model.contains("gpt-oss");
    if effort == "none" && !leveled {
        return Some(Think::Whether(false));
    }
    if !leveled || level != effort {
        notes.changed("reasoning_effort");
    }
    Some(if leveled {
        Think::Level(if effort == "none" { "low" } else { level })
    } else {
        Think::Whether(true)
    })
}

fn format<'a>(request: &Request<'a>, notes: &mut Notes) -> Result<Option<Format<'a>>, Error> {
    let Some(format) = &request.response_format else {
        return Ok(None);
    };
    match (&*format.kind, &format.json_schema) {
        ("text", _) => Ok(None),
        ("json_object", _) => Ok(Some(Format::Json("json"))),
        ("json_schema", Some(schema)) => {
            undescribed(schema, notes)?;
            Ok(Some(
                schema.schema.map_or(Format::Json("json"), Format::Schema),
            ))
        }
        _ => notes.unsupported("response_format").map(|()| None),
    }
}

fn messages<'a>(request: &'a Request<'a>, notes: &mut Notes) -> Result<Vec<Turn<'a>>, Error> {
    let mut turns = Vec::with_capacity(request.messages.len());
    // A result names its function there, and its call here.
    let mut called: Vec<(&str, &str)> = Vec::new();
    for (at, message) in request.messages.iter().enumerate() {
        plain(message, at, notes)?;
        let mut images = Vec::new();
        let content = Said::beside(message, at, notes, |part| {
            let data = part.image_url.as_ref().and_then(|image| image.data());
            images.extend(data.map(|(_, data)| data));
            data.is_some()
        })?;
        let mut turn = Turn {
            role: match message.role {
                Role::Developer | Role::System => "system",
                Role::User | Role::Function => "user",
                Role::Assistant => "assistant",
                Role::Tool => "tool",
            },
            content,
            images,
            tool_calls: Vec::new(),
            thinking: message.reasoning_content.as_ref(),
            tool_name: None,
            tool_call_id: message.tool_call_id.as_deref(),
        };
        if let Some(id) = turn.tool_call_id {
            let found = called.iter().rev().find(|(of, _)| *of == id);
            turn.tool_name = found.map(|(_, name)| *name);
        }
        for (n, call) in message.calls().iter().enumerate() {
            called.push((&call.id, call.name()));
            turn.tool_calls.push(Call {
                id: &call.id,
                function: Called {
                    name: call.name(),
                    arguments: arguments(call, at, n)?,
                },
            });
        }
        turns.push(turn);
    }
    Ok(turns)
}
