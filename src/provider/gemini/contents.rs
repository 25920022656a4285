//! The conversation: turns of two roles, made of parts.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{model::Model, names, request::Door};
use crate::{
    error::{Error, Kind},
    provider::{
        Notes,
        notes::unsupported,
        said::{Left, Said, nothing},
        support::{THOUGHTS, arguments, plain},
    },
    wire::{
        chat::{Content as Words, Message, Part as Given, Raw, Request, Role, Text, ToolCall},
        placed::{self, Place, between},
    },
};

/// What stands in for the signature of a call that another model made.
const UNSIGNED: &str = "skip_thought_signature_validator";

/// What the user is made to say where a call comes first: it is refused unless it follows a turn of
/// the user's. Source: the API's own message, `function call turn comes immediately after a user turn`.
const OPENING: &str = ".";

/// A turn, or the instructions.
#[derive(Default, Serialize)]
pub(super) struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    pub(super) parts: Vec<Part<'a>>,
}

impl Content<'_> {
    fn calls(&self) -> bool {
        let mut parts = self.parts.iter();
        parts.any(|part| matches!(part.kind, Kinds::FunctionCall(_)))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    #[serde(flatten)]
    kind: Kinds<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_resolution: Option<Resolution>,
    /// Of a result: the place of its call.
    #[serde(skip)]
    order: usize,
}

/// How closely an image is looked at, which models take of each from the third generation on.
///
/// Source: the provider's page on the resolution of media, read 2026-11.
#[derive(Serialize)]
struct Resolution {
    level: &'static str,
}

impl Resolution {
    fn of(part: &Given<'_>, of: Model) -> Option<Self> {
        let image = part.image_url.as_ref().filter(|_| of.third)?;
        let level = match image.detail.as_deref()? {
            "low" => "MEDIA_RESOLUTION_LOW",
            "high" => "MEDIA_RESOLUTION_HIGH",
            "original" => "MEDIA_RESOLUTION_ULTRA_HIGH",
            _ => return None,
        };
        Some(Self { level })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Kinds<'a> {
    Text(Text<'a>),
    InlineData(Inline<'a>),
    FileData(File<'a>),
    FunctionCall(Call<'a>),
    FunctionResponse(Answer<'a>),
    ExecutableCode(Raw<'a>),
    CodeExecutionResult(Raw<'a>),
    ToolCall(Raw<'a>),
    ToolResponse(Raw<'a>),
    /// A file that the provider made, as it told of it.
    #[serde(rename = "fileData")]
    Made(Raw<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Inline<'a> {
    mime_type: Cow<'a, str>,
    data: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    file_uri: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'static str>,
}

#[derive(Serialize)]
struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Text<'a>>,
    name: Cow<'a, str>,
    args: Box<RawValue>,
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Text<'a>>,
    name: Cow<'a, str>,
    response: Output<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Kinds<'a>>,
}

#[derive(Serialize)]
struct Output<'a> {
    output: Said<'a, 'a>,
}

impl Kinds<'_> {
    /// Whether it may stand within the result of a call.
    fn is_of_results(&self) -> bool {
        const TYPES: [&str; 5] = [
            "image/png",
            "image/jpeg",
            "image/webp",
            "application/pdf",
            "text/plain",
        ];
        matches!(self, Self::InlineData(inline) if TYPES.contains(&&*inline.mime_type))
    }
}

impl<'a> Part<'a> {
    fn new(kind: Kinds<'a>) -> Self {
        Self {
            kind,
            thought_signature: None,
            media_resolution: None,
            order: usize::MAX,
        }
    }
}

impl<'a> Part<'a> {
    /// What a part of the client's shows.
    fn shown(kind: Kinds<'a>, given: &Given<'_>, of: Model) -> Self {
        Self {
            media_resolution: Resolution::of(given, of),
            ..Self::new(kind)
        }
    }
}

impl Part<'_> {
    /// Whether what the provider's own tools were asked and have found is known to a model. That they
    /// are asked beside the client's is to the Gemini API from the third generation on, and to nobody else.
    fn is_known(&self, of: Model, door: Door) -> bool {
        let is_call = matches!(self.kind, Kinds::ToolCall(_) | Kinds::ToolResponse(_));
        !is_call || (of.third && door == Door::Api)
    }
}

impl placed::Block for Part<'_> {
    fn text(&self) -> Option<&str> {
        match &self.kind {
            Kinds::Text(text) => Some(text),
            _ => None,
        }
    }

    fn split_off(&mut self, at: usize) -> Self {
        let Kinds::Text(text) = &mut self.kind else {
            return Self::new(Kinds::Text(Text::default()));
        };
        Self::new(Kinds::Text(text.split_off(at)))
    }
}

/// An entry of `reasoning_details`, by who has written it.
enum Entry<'a> {
    Signature(Detail<'a>),
    /// A part that the provider's own tools wrote.
    OfServer(Part<'a>),
    /// Another provider, or nobody that can be told.
    Foreign,
}

impl<'a> Entry<'a> {
    fn read(raw: &Raw<'a>) -> Self {
        let detail: Option<Detail<'a>> = serde_json::from_str(raw.get()).ok();
        if let Some(detail) = detail.filter(|it| it.kind == "thought_signature") {
            return Self::Signature(detail);
        }
        let read: Option<OfServer<'a>> = serde_json::from_str(raw.get()).ok();
        let part = read.and_then(|entry| entry.part.part());
        part.map_or(Self::Foreign, Self::OfServer)
    }
}

/// A signature, of a call or of what was said.
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
struct OfServer<'a> {
    #[serde(borrow)]
    part: Written<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(borrow, default)]
    executable_code: Option<Raw<'a>>,
    #[serde(borrow, default)]
    code_execution_result: Option<Raw<'a>>,
    #[serde(borrow, default)]
    tool_call: Option<Raw<'a>>,
    #[serde(borrow, default)]
    tool_response: Option<Raw<'a>>,
    #[serde(borrow, default)]
    file_data: Option<Raw<'a>>,
    #[serde(borrow, default)]
    thought_signature: Option<Cow<'a, str>>,
}

impl<'a> Written<'a> {
    fn part(self) -> Option<Part<'a>> {
        let kind = None
            .or(self.executable_code.map(Kinds::ExecutableCode))
            .or(self.code_execution_result.map(Kinds::CodeExecutionResult))
            .or(self.tool_call.map(Kinds::ToolCall))
            .or(self.tool_response.map(Kinds::ToolResponse))
            .or(self.file_data.map(Kinds::Made))?;
        let mut part = Part::new(kind);
        part.thought_signature = self.thought_signature;
        Some(part)
    }
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
    request: &'a Request<'a>,
    of: Model,
    door: Door,
    cached: bool,
    notes: &mut Notes,
) -> Result<(Content<'a>, Vec<Content<'a>>), Error> {
    let mut system = Content::default();
    let mut turns: Vec<Content<'a>> = Vec::new();
    // A result names its call by id; the provider wants the name, and the order of the calls.
    let mut calls: HashMap<&str, (usize, &str)> = HashMap::new();
    for (at, message) in request.messages.iter().enumerate() {
        let (role, parts) = match message.role {
            Role::System | Role::Developer => {
                system.parts.extend(said(message, at, of, notes)?);
                continue;
            }
            Role::User => ("user", said(message, at, of, notes)?),
            Role::Assistant => {
                for call in message.calls() {
                    let place = (calls.len(), call.name());
                    calls.insert(&call.id, place);
                }
                ("model", spoken(message, at, of, door, notes)?)
            }
            Role::Tool => ("user", result(message, at, of, &calls, notes)?),
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
    if turns.is_empty() && system.parts.is_empty() {
        nothing(request)?;
    } else if turns.is_empty() {
        // Instructions alone are refused: something must be said.
        turns.push(Content {
            role: Some("user"),
            parts: std::mem::take(&mut system.parts),
        });
    }
    // What is cached stands before it.
    if !cached && turns.first().is_some_and(Content::calls) {
        notes.changed("messages");
        let opening = Content {
            role: Some("user"),
            parts: vec![Part::new(Kinds::Text(OPENING.into()))],
        };
        turns.insert(0, opening);
    }
    Ok((system, turns))
}

/// What a tool gave. Images and files stand within the result where the model takes them there, else
/// beside it. Source: the provider's page on function calling, which has them within from the third
/// generation on, read 2026-11.
fn result<'a>(
    message: &'a Message<'a>,
    at: usize,
    of: Model,
    calls: &HashMap<&str, (usize, &'a str)>,
    notes: &mut Notes,
) -> Result<Vec<Part<'a>>, Error> {
    let id = message.tool_call_id.as_ref();
    let found = calls.get(id.map_or("", |id| &**id));
    let Some((order, name)) = found else {
        let param = format!("messages[{at}].tool_call_id");
        let text = format!("`{param}` must be the id of a call made earlier");
        return Err(Error::new(Kind::Value, text)
            .with_param(param)
            .with_code("invalid_value"));
    };
    let (mut within, mut beside) = (Vec::new(), Vec::new());
    let mut undetailed = false;
    let output = Said::beside(message, at, notes, |part| match media(part) {
        Some(kind) if of.third && kind.is_of_results() => {
            within.push(kind);
            // There is no place for it there.
            undetailed |= Resolution::of(part, of).is_some();
            true
        }
        Some(kind) => {
            beside.push(Part::shown(kind, part, of));
            true
        }
        None => false,
    })?;
    if undetailed {
        notes.without("messages[].content[].image_url.detail")?;
    }
    let mut part = Part::new(Kinds::FunctionResponse(Answer {
        id: id.filter(|id| theirs(id)),
        name: names::fit(name),
        response: Output { output },
        parts: within,
    }));
    part.order = *order;
    beside.insert(0, part);
    Ok(beside)
}

/// Whether an id is the provider's own; ours, and those of other models, say nothing to it.
fn theirs(id: &str) -> bool {
    !id.is_empty()
        && !["call_", "toolu_", "tooluse_", "chatcmpl-"]
            .iter()
            .any(|it| id.starts_with(it))
}

/// What the model said: its text, its calls, the signatures of both.
fn spoken<'a>(
    message: &'a Message<'a>,
    at: usize,
    of: Model,
    door: Door,
    notes: &mut Notes,
) -> Result<Vec<Part<'a>>, Error> {
    plain(message, at, notes)?;
    let (mut of_server, mut details) = (Vec::new(), Vec::new());
    for raw in message.reasoning_details.iter().flatten() {
        match Entry::read(raw) {
            Entry::Signature(detail) => details.push(detail),
            Entry::OfServer(part) if part.is_known(of, door) => {
                of_server.push((Place::take(raw.0).0, part));
            }
            _ => notes.without(THOUGHTS)?,
        }
    }
    let mut parts = said(message, at, of, notes)?;
    if let Some(refusal) = message.refusal.clone().filter(|text| !text.is_empty()) {
        parts.push(Part::new(Kinds::Text(refusal)));
    }
    let shown = message.images.as_deref().unwrap_or_default().iter();
    let shown: Vec<_> = shown.filter_map(media).collect();
    let signatures = details.iter().filter(|detail| detail.id.is_none());
    let mut signatures: VecDeque<_> = signatures.map(|it| it.signature.clone()).collect();
    // The images are signed last; what was signed before them is the text.
    while signatures.len() > shown.len() {
        let mut part = Part::new(Kinds::Text(Text::default()));
        part.thought_signature = signatures.pop_front();
        parts.push(part);
    }
    for kind in shown {
        let mut part = Part::new(kind);
        let none = || of.third.then(|| UNSIGNED.into());
        part.thought_signature = signatures.pop_front().or_else(none);
        parts.push(part);
    }
    let mut signed = false;
    let mut calls = Vec::with_capacity(message.calls().len());
    for (n, call) in message.calls().iter().enumerate() {
        let mut part = called(call, at, n)?;
        part.thought_signature = signature(call, &details);
        signed |= part.thought_signature.is_some();
        calls.push(part);
    }
    if let Some(call) = calls.first_mut().filter(|_| of.third && !signed) {
        call.thought_signature = Some(UNSIGNED.into());
    }
    Ok(between(of_server, parts, calls))
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

fn called<'a>(call: &'a ToolCall<'a>, at: usize, n: usize) -> Result<Part<'a>, Error> {
    Ok(Part::new(Kinds::FunctionCall(Call {
        id: Some(&call.id).filter(|id| theirs(id)),
        name: names::fit(call.name()),
        args: arguments(call, at, n)?,
    })))
}

fn said<'a>(
    message: &'a Message<'a>,
    at: usize,
    of: Model,
    notes: &mut Notes,
) -> Result<Vec<Part<'a>>, Error> {
    let instructions = matches!(message.role, Role::System | Role::Developer);
    let mut all = Vec::new();
    if let Some(Words::Text(text)) = &message.content {
        // An empty text says nothing, and a turn of nothing else is refused.
        all.extend((!text.is_empty()).then(|| Part::new(Kinds::Text(text.clone()))));
        return Ok(all);
    }
    let parts = message.content.as_ref().map_or(&[][..], Words::parts);
    let mut left = Left::of(at);
    for (n, part) in parts.iter().enumerate() {
        if let Some(text) = part.text.as_ref().or(part.refusal.as_ref()) {
            if !text.is_empty() {
                all.push(Part::new(Kinds::Text(text.clone())));
            }
            continue;
        }
        match media(part).filter(|_| !instructions) {
            Some(kind) => all.push(Part::shown(kind, part, of)),
            None => left.out(n, notes)?,
        }
    }
    left.check(all.is_empty())?;
    Ok(all)
}

/// Images, sound and files: their bytes, or where they are.
fn media<'a>(part: &'a Given<'a>) -> Option<Kinds<'a>> {
    let inline = |mime_type, data| Kinds::InlineData(Inline { mime_type, data });
    if let Some(image) = &part.image_url {
        return match image.data() {
            Some((kind, data)) => Some(inline(kind.into(), data)),
            None if image.url.starts_with("data:") => None,
            None => Some(file(&image.url)),
        };
    }
    if let Some(audio) = &part.input_audio {
        let kind = format!("audio/{}", &*audio.format);
        return Some(inline(kind.into(), &audio.data));
    }
    let given = part.file.as_ref()?;
    match (&given.file_id, given.data()) {
        (Some(id), _) => Some(file(id)),
        (None, Some((kind, data))) => Some(inline(kind.into(), data)),
        _ => None,
    }
}

/// A file at an address; its type is told from the name where that says it.
fn file(uri: &str) -> Kinds<'_> {
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
        file_uri: uri,
        mime_type,
    })
}
