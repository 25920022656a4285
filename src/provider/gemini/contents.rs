//! The conversation: turns of two roles, made of parts.

use std::collections::{HashMap, VecDeque};

use super::{
    entries::{Entry, signature},
    model::Model,
    names,
    parts::{Answer, Call, Content, Kinds, Output, Part, Resolution, media},
    request::Door,
};
use crate::{
    error::{Error, Kind},
    provider::{
        Notes,
        notes::unsupported,
        said::{Left, Said, nothing},
        support::{THOUGHTS, arguments, plain},
    },
    wire::{
        chat::{Content as Words, Message, Request, Role, Text},
        placed::{Place, between},
    },
};

/// What stands in for the signature of a call that another model made.
const UNSIGNED: &str = "skip_thought_signature_validator";

/// What the user is made to say where a call comes first: it is refused unless it follows a turn of
/// the user's. Source: the API's own message, `function call turn comes immediately after a user turn`.
const OPENING: &str = ".";

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
            Role::Tool => ("user", result(message, at, of, door, &calls, notes)?),
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
    door: Door,
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
        id: id.filter(|id| theirs(id, of, door)),
        name: names::fit(name),
        response: Output { output },
        parts: within,
    }));
    part.order = *order;
    beside.insert(0, part);
    Ok(beside)
}

/// Whether an id is the provider's own; ours, and those of other models, say nothing to it. On Vertex AI
/// models have none before the third generation, and some of its endpoints refuse the member.
fn theirs(id: &str, of: Model, door: Door) -> bool {
    (of.third || door == Door::Api)
        && !id.is_empty()
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
        let id = Some(&call.id).filter(|id| theirs(id, of, door));
        let mut part = Part::new(Kinds::FunctionCall(Call {
            id,
            name: names::fit(call.name()),
            args: arguments(call, at, n)?,
        }));
        part.thought_signature = signature(call, &details);
        signed |= part.thought_signature.is_some();
        calls.push(part);
    }
    if let Some(call) = calls.first_mut().filter(|_| of.third && !signed) {
        call.thought_signature = Some(UNSIGNED.into());
    }
    Ok(between(of_server, parts, calls))
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
