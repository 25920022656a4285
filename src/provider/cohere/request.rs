use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::{
    error::Error,
    parse::Chat,
    provider::{
        Notes,
        anthropic::model::budget,
        said::{Left, Said},
        support::{
            Declared, Must, SMALL, arguments, chosen, declared, parse, plain, settle, stops,
            strangers, undescribed, write,
        },
    },
    wire::chat::{Content as Written, Message, Raw, Request, Role, Text},
};

/// Members of the API that a client may send under their own names.
const TAKEN: &[&str] = &[
    "top_k",
    "documents",
    "citation_options",
    "safety_mode",
    "priority",
    "reasoning_content",
    "image_url.detail",
];

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    stream: bool,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Declared<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict_tools: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    k: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    documents: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    citation_options: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safety_mode: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Raw<'a>>,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_plan: Option<Plan<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

/// What is to come of calls: what was thought, or said, before them.
#[derive(Serialize)]
#[serde(untagged)]
enum Plan<'a> {
    Thought(&'a Text<'a>),
    Said(Said<'a, 'a>),
    Both(String),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Said<'a, 'a>),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: &'a Text<'a> },
    ImageUrl { image_url: Image<'a> },
}

#[derive(Serialize)]
struct Image<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Called<'a>,
}

#[derive(Serialize)]
struct Called<'a> {
    name: &'a str,
    arguments: Cow<'a, str>,
}

#[derive(Serialize)]
struct Format<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<Raw<'a>>,
}

#[derive(Serialize)]
struct Thinking {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_budget: Option<u64>,
}

pub(super) fn body(chat: &Chat, model: &str, notes: &mut Notes) -> Result<Bytes, Error> {
    let request = parse(chat)?;
    settle(&request, SMALL, TAKEN, notes)?;
    strangers(chat, &[], notes)?;
    // The likelihoods are of what was chosen, without what else might have been.
    if request.top_logprobs.is_some_and(|n| n.0 > 0) {
        notes.without("top_logprobs")?;
    }
    let (left, must) = chosen(&request, notes)?;
    let strict = |tool: &&crate::wire::chat::Tool<'_>| {
        tool.function.as_ref().and_then(|it| it.strict) == Some(true)
    };
    let tools = left.iter().copied().map(declared).collect();
    let whole = Body {
        model,
        stream: request.stream == Some(true),
        messages: messages(&request, notes)?,
        tools,
        tool_choice: match must {
            _ if left.is_empty() => None,
            Must::Nothing => None,
            Must::Any => Some("REQUIRED"),
            Must::Never => Some("NONE"),
        },
        strict_tools: left.iter().any(strict).then_some(true),
        response_format: format(&request, notes)?,
        max_tokens: request.max_output(),
        temperature: request.temperature,
        p: ranged(request.top_p, 0.01, 0.99, "top_p", notes),
        k: top_k(&request, notes),
        frequency_penalty: ranged(
            request.frequency_penalty,
            0.0,
            1.0,
            "frequency_penalty",
            notes,
        ),
        presence_penalty: ranged(
            request.presence_penalty,
            0.0,
            1.0,
            "presence_penalty",
            notes,
        ),
        seed: request.seed.map(|seed| seed.0),
        logprobs: request.logprobs.filter(|asked| *asked),
        stop_sequences: stops(&request),
        thinking: thinking(&request, notes),
        documents: request.extra("documents"),
        citation_options: request.extra("citation_options"),
        safety_mode: request.extra("safety_mode"),
        priority: request.extra("priority"),
    };
    Ok(write(&whole, chat.length()))
}

/// The number of words to draw from: 500 at most.
fn top_k(request: &Request<'_>, notes: &mut Notes) -> Option<Value> {
    let k: Value = serde_json::from_str(request.extra("top_k")?.get()).ok()?;
    if k.as_f64().is_some_and(|k| k > 500.0) {
        notes.changed("top_k");
        return Some(500.into());
    }
    Some(k)
}

fn ranged(
    value: Option<f64>,
    least: f64,
    most: f64,
    name: &'static str,
    notes: &mut Notes,
) -> Option<f64> {
    let value = value?;
    let cut = value.clamp(least, most);
    if cut != value {
        notes.changed(name);
    }
    Some(cut)
}

/// Efforts as budgets, which have no vendor's definition.
fn thinking(request: &Request<'_>, notes: &mut Notes) -> Option<Thinking> {
    let effort = request.reasoning_effort.as_deref()?;
    if effort == "none" {
        return Some(Thinking {
            kind: "disabled",
            token_budget: None,
        });
    }
    let wanted = budget(effort);
    // It counts towards the limit, and must leave room for an answer.
    let most = request.max_output().map_or(u64::MAX, |max| max / 4 * 3);
    let tokens = wanted.min(most.max(1));
    if tokens < wanted {
        notes.changed("reasoning_effort");
    }
    Some(Thinking {
        kind: "enabled",
        token_budget: Some(tokens),
    })
}

fn format<'a>(request: &Request<'a>, notes: &mut Notes) -> Result<Option<Format<'a>>, Error> {
    let Some(format) = &request.response_format else {
        return Ok(None);
    };
    let json_schema = match (&*format.kind, &format.json_schema) {
        ("text", _) => return Ok(None),
        ("json_object", _) => None,
        ("json_schema", Some(schema)) => {
            undescribed(schema, notes)?;
            schema.schema
        }
        _ => return notes.unsupported("response_format").map(|()| None),
    };
    Ok(Some(Format {
        kind: "json_object",
        json_schema,
    }))
}

fn messages<'a>(request: &'a Request<'a>, notes: &mut Notes) -> Result<Vec<Turn<'a>>, Error> {
    let mut turns = Vec::with_capacity(request.messages.len());
    for (at, message) in request.messages.iter().enumerate() {
        plain(message, at, notes)?;
        turns.push(turn(message, at, notes)?);
    }
    Ok(turns)
}

fn turn<'a>(message: &'a Message<'a>, at: usize, notes: &mut Notes) -> Result<Turn<'a>, Error> {
    let mut turn = Turn {
        role: "user",
        content: None,
        tool_calls: Vec::new(),
        tool_plan: None,
        tool_call_id: None,
    };
    match message.role {
        Role::Developer | Role::System => {
            turn.role = "system";
            turn.content = Some(Content::Text(Said::of(message, at, notes)?));
        }
        Role::Tool => {
            turn.role = "tool";
            turn.content = Some(Content::Text(Said::of(message, at, notes)?));
            turn.tool_call_id = message.tool_call_id.as_deref();
        }
        Role::Assistant => {
            turn.role = "assistant";
            let text = Said::of(message, at, notes)?;
            for (n, call) in message.calls().iter().enumerate() {
                arguments(call, at, n)?;
                turn.tool_calls.push(Call {
                    id: &call.id,
                    kind: "function",
                    function: Called {
                        name: call.name(),
                        arguments: call.arguments(),
                    },
                });
            }
            let reasoning = message.reasoning_content.as_ref();
            let reasoning = reasoning.filter(|it| !it.is_empty());
            if turn.tool_calls.is_empty() {
                if reasoning.is_some() {
                    notes.without("messages[].reasoning_content")?;
                }
                turn.content = Some(Content::Text(text));
            } else {
                turn.tool_plan = plan(reasoning, text);
            }
        }
        Role::User | Role::Function => turn.content = Some(content(message, at, notes)?),
    }
    Ok(turn)
}

/// "text content is not allowed when tool_calls are provided": it is the plan there.
fn plan<'a>(thought: Option<&'a Text<'a>>, said: Said<'a, 'a>) -> Option<Plan<'a>> {
    match thought {
        None => (!said.is_empty()).then_some(Plan::Said(said)),
        Some(thought) if said.is_empty() => Some(Plan::Thought(thought)),
        Some(thought) => Some(Plan::Both(format!("{}\n\n{said}", thought.as_str()))),
    }
}

fn content<'a>(
    message: &'a Message<'a>,
    at: usize,
    notes: &mut Notes,
) -> Result<Content<'a>, Error> {
    let Some(Written::Parts(parts)) = &message.content else {
        return Said::of(message, at, notes).map(Content::Text);
    };
    let mut all = Vec::with_capacity(parts.len());
    let mut left = Left::of(at);
    for (n, part) in parts.iter().enumerate() {
        if let Some(text) = &part.text {
            all.push(Part::Text { text });
        } else if let Some(image) = &part.image_url {
            all.push(Part::ImageUrl {
                image_url: Image {
                    url: &image.url,
                    detail: image.detail.as_deref(),
                },
            });
        } else {
            left.out(n, notes)?;
        }
    }
    left.check(all.is_empty())?;
    Ok(Content::Parts(all))
}
