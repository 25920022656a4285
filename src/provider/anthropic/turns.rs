//! The conversation as the Messages API's turns, made of blocks.

use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    error::{Error, Kind},
    provider::notes::unsupported,
    wire::chat::{Content, Message, Part, Raw, Request, Role, Text},
};

#[derive(Serialize)]
pub(super) struct Turn<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Block<'a> {
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

/// What a tool gave.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Results<'a> {
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

pub(super) fn conversation<'a>(
    request: &Request<'a>,
) -> Result<(Vec<Block<'a>>, Vec<Turn<'a>>), Error> {
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

/// A mark at the end of a prefix to be cached.
pub(super) fn ephemeral(long: bool) -> Value {
    if long {
        json!({ "type": "ephemeral", "ttl": "1h" })
    } else {
        json!({ "type": "ephemeral" })
    }
}
