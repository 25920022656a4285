//! The conversation: turns of two roles, made of parts.

use std::{borrow::Cow, collections::HashMap};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::model::Model;
use crate::{
    error::{Error, Kind},
    provider::notes::unsupported,
    wire::chat::{Message, Raw, Request, Role, Text, ToolCall, parts_of, text_of},
};

/// What stands in for the signature of a call that another model made.
const UNSIGNED: &str = "skip_thought_signature_validator";

/// A turn, or the instructions.
#[derive(Default, Serialize)]
pub(super) struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    pub(super) parts: Vec<Part<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    #[serde(flatten)]
    kind: Kinds<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<Cow<'a, str>>,
    /// Of a result: the place of its call.
    #[serde(skip)]
    order: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Kinds<'a> {
    Text(Text<'a>),
    InlineData(Inline),
    FileData(File),
    FunctionCall(Call<'a>),
    FunctionResponse(Answer<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Inline {
    mime_type: String,
    data: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File {
    file_uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'static str>,
}

#[derive(Serialize)]
struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Text<'a>>,
    name: String,
    args: Box<RawValue>,
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Text<'a>>,
    name: String,
    response: Output<'a>,
}

#[derive(Serialize)]
struct Output<'a> {
    output: Cow<'a, str>,
}

impl<'a> Part<'a> {
    fn new(kind: Kinds<'a>) -> Self {
        Self {
            kind,
            thought_signature: None,
            order: usize::MAX,
        }
    }
}

/// An entry of `reasoning_details` that this provider has written.
#[derive(Deserialize)]
struct Detail<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    signature: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Extra<'a> {
    #[serde(borrow)]
    google: Google<'a>,
}

#[derive(Deserialize)]
struct Google<'a> {
    #[serde(borrow)]
    thought_signature: Cow<'a, str>,
}

/// The instructions and the turns.
pub(super) fn conversation<'a>(
    request: &Request<'a>,
    of: Model,
) -> Result<(Content<'a>, Vec<Content<'a>>), Error> {
    let mut system = Content::default();
    let mut turns: Vec<Content<'a>> = Vec::new();
    // A result names its call by id; the provider wants the name, and the order of the calls.
    let mut calls: HashMap<String, (usize, String)> = HashMap::new();
    for (at, message) in request.messages.iter().enumerate() {
        let (role, parts) = match message.role {
            Role::System | Role::Developer => {
                system.parts.extend(said(message, at)?);
                continue;
            }
            Role::User => ("user", said(message, at)?),
            Role::Assistant => {
                for call in message.calls() {
                    let place = (calls.len(), call.name().to_owned());
                    calls.insert(call.id.to_string(), place);
                }
                ("model", spoken(message, at, of)?)
            }
            Role::Tool => ("user", vec![result(message, at, &calls)?]),
            Role::Function => return Err(unsupported(format!("messages[{at}].role"))),
        };
        match turns.last_mut() {
            Some(last) if last.role == Some(role) => last.parts.extend(parts),
            // The provider refuses a turn without parts.
            _ if parts.is_empty() => {}
            _ => turns.push(Content {
                role: Some(role),
                parts,
            }),
        }
    }
    for turn in turns.iter_mut().filter(|turn| turn.role == Some("user")) {
        // Results first and in the order of their calls, whatever else is said.
        turn.parts.sort_by_key(|part| part.order);
    }
    Ok((system, turns))
}

fn result<'a>(
    message: &Message<'a>,
    at: usize,
    calls: &HashMap<String, (usize, String)>,
) -> Result<Part<'a>, Error> {
    let id = message.tool_call_id.clone().unwrap_or_default();
    let Some((order, name)) = calls.get(&*id) else {
        let param = format!("messages[{at}].tool_call_id");
        let text = format!("`{param}` must be the id of a call made earlier");
        return Err(Error::new(Kind::Format, text)
            .with_param(param)
            .with_code("invalid_value"));
    };
    let parts = parts_of(&message.content);
    if let Some(n) = parts.iter().position(|part| part.text.is_none()) {
        return Err(unsupported(format!("messages[{at}].content[{n}]")));
    }
    let mut part = Part::new(Kinds::FunctionResponse(Answer {
        id: theirs(&id).then_some(id),
        name: name.clone(),
        response: Output {
            output: Cow::Owned(text_of(&message.content).into_owned()),
        },
    }));
    part.order = *order;
    Ok(part)
}

/// Whether an id is the provider's own; ours, and those of other models, say nothing to it.
fn theirs(id: &str) -> bool {
    !id.is_empty()
        && !["call_", "toolu_", "tooluse_", "chatcmpl-"]
            .iter()
            .any(|it| id.starts_with(it))
}

/// What the model said: its text, its calls, the signatures of both.
fn spoken<'a>(message: &Message<'a>, at: usize, of: Model) -> Result<Vec<Part<'a>>, Error> {
    for (name, there) in [
        ("function_call", message.function_call.is_some()),
        ("audio", message.audio.is_some()),
    ] {
        if there {
            return Err(unsupported(format!("messages[{at}].{name}")));
        }
    }
    let details = message.reasoning_details.as_deref().unwrap_or_default();
    let details: Vec<Detail<'a>> = details
        .iter()
        .filter_map(|raw: &Raw<'a>| serde_json::from_str(raw.get()).ok())
        .filter(|detail: &Detail<'a>| detail.kind == "thought_signature")
        .collect();
    let mut parts = said(message, at)?;
    if let Some(refusal) = message.refusal.clone().filter(|text| !text.is_empty()) {
        parts.push(Part::new(Kinds::Text(refusal)));
    }
    for detail in details.iter().filter(|detail| detail.id.is_none()) {
        let mut part = Part::new(Kinds::Text(Text::default()));
        part.thought_signature = Some(detail.signature.clone());
        parts.push(part);
    }
    let mut signed = false;
    let first = parts.len();
    for (n, call) in message.calls().iter().enumerate() {
        let mut part = called(call, at, n)?;
        part.thought_signature = signature(call, &details);
        signed |= part.thought_signature.is_some();
        parts.push(part);
    }
    if let Some(call) = parts.get_mut(first).filter(|_| of.third && !signed) {
        call.thought_signature = Some(UNSIGNED.into());
    }
    Ok(parts)
}

/// A call's signature, from the call or from the details.
fn signature<'a>(call: &ToolCall<'a>, details: &[Detail<'a>]) -> Option<Cow<'a, str>> {
    let extra: Option<Extra<'a>> = call
        .extra_content
        .and_then(|raw| serde_json::from_str(raw.get()).ok());
    extra
        .map(|extra| extra.google.thought_signature)
        .or_else(|| {
            let mut of_call = details
                .iter()
                .filter(|it| it.id.as_deref() == Some(&*call.id));
            of_call.next().map(|detail| detail.signature.clone())
        })
}

fn called<'a>(call: &ToolCall<'a>, at: usize, n: usize) -> Result<Part<'a>, Error> {
    let args = RawValue::from_string(call.arguments().into_owned()).ok();
    let args = args
        .filter(|args| args.get().starts_with('{'))
        .ok_or_else(|| {
            let param = format!("messages[{at}].tool_calls[{n}].function.arguments");
            let message = format!("`{param}` must be the text of a JSON object");
            Error::new(Kind::Format, message)
                .with_param(param)
                .with_code("invalid_value")
        })?;
    Ok(Part::new(Kinds::FunctionCall(Call {
        id: theirs(&call.id).then(|| call.id.clone()),
        name: call.name().to_owned(),
        args,
    })))
}

fn said<'a>(message: &Message<'a>, at: usize) -> Result<Vec<Part<'a>>, Error> {
    let instructions = matches!(message.role, Role::System | Role::Developer);
    let mut all = Vec::new();
    for (n, part) in parts_of(&message.content).iter().enumerate() {
        let refused = || unsupported(format!("messages[{at}].content[{n}]"));
        if let Some(text) = part.text.as_ref().or(part.refusal.as_ref()) {
            // An empty text says nothing, and a turn of nothing else is refused.
            if !text.is_empty() {
                all.push(Part::new(Kinds::Text(text.clone())));
            }
            continue;
        }
        if instructions {
            return Err(refused());
        }
        let inline = |kind: &str, data: &str| {
            Kinds::InlineData(Inline {
                mime_type: kind.to_owned(),
                data: data.to_owned(),
            })
        };
        let kind = if let Some(image) = &part.image_url {
            match image.data() {
                Some((kind, data)) => inline(kind, data),
                None if image.url.starts_with("data:") => return Err(refused()),
                None => file(&image.url),
            }
        } else if let Some(audio) = &part.input_audio {
            inline(&format!("audio/{}", &*audio.format), &audio.data)
        } else if let Some(given) = &part.file {
            match (&given.file_id, given.data()) {
                (Some(id), _) => file(id),
                (None, Some((kind, data))) => inline(kind, data),
                _ => return Err(refused()),
            }
        } else {
            return Err(refused());
        };
        all.push(Part::new(kind));
    }
    Ok(all)
}

/// A file at an address; its type is told from the name where that says it.
fn file<'a>(uri: &str) -> Kinds<'a> {
    let path = uri.split(['?', '#']).next().unwrap_or(uri);
    let suffix = path.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    let mime_type = match suffix.to_ascii_lowercase().as_str() {
        "png" => Some("image/png"),
        "jpg" | "jpeg" => Some("image/jpeg"),
        "webp" => Some("image/webp"),
        "gif" => Some("image/gif"),
        "heic" => Some("image/heic"),
        "pdf" => Some("application/pdf"),
        "mp3" => Some("audio/mp3"),
        "wav" => Some("audio/wav"),
        "mp4" => Some("video/mp4"),
        "txt" => Some("text/plain"),
        _ => None,
    };
    Kinds::FileData(File {
        file_uri: uri.to_owned(),
        mime_type,
    })
}
