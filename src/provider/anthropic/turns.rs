//! The conversation as the Messages API's turns, made of blocks.

use std::mem;

use serde_json::Value;

use super::{
    blocks::{Block, Results, Turn, ephemeral, source},
    join::Turns,
    request::Door,
};
use crate::{
    error::Error,
    provider::{
        Notes,
        notes::unsupported,
        said::{Left, answered, nothing, trimmed},
        support::{THOUGHTS, arguments, named, plain},
    },
    wire::{
        chat::{Content, Message, Raw, Request, Role, Text},
        placed::{Place, between},
    },
};

/// The longest name of a tool.
const LONGEST_NAME: usize = 128;

pub(super) fn conversation<'r>(
    request: &'r Request<'_>,
    door: Door,
    notes: &mut Notes,
) -> Result<(Vec<Block<'r>>, Vec<Turn<'r>>), Error> {
    let mut system = Vec::new();
    let mut turns = Turns::new();
    for (at, message) in request.messages.iter().enumerate() {
        let (role, blocks) = match message.role {
            Role::System | Role::Developer => {
                system.extend(blocks(&message.content, at, door, notes)?);
                continue;
            }
            Role::User => ("user", blocks(&message.content, at, door, notes)?),
            Role::Assistant => ("assistant", spoken(message, at, door, notes)?),
            Role::Tool => ("user", vec![result(message, at, door, notes)?]),
            Role::Function => return Err(unsupported(format!("messages[{at}].role"))),
        };
        turns.say(role, blocks, notes)?;
    }
    let mut turns = turns.end(notes)?;
    for turn in &mut turns {
        // The provider wants the results of its calls before anything else that is said.
        turn.content
            .sort_by_key(|block| turn.role == "user" && !matches!(block, Block::Result { .. }));
    }
    if turns.is_empty() && system.is_empty() {
        nothing(request)?;
    } else if turns.is_empty() {
        // Instructions alone are refused: something must be said.
        turns.push(Turn {
            role: "user",
            content: mem::take(&mut system),
        });
    }
    let last = turns.last_mut().filter(|turn| turn.role == "assistant");
    if last.is_some() {
        answered(request)?;
    }
    if let Some(Block::Text { text, .. }) = last.and_then(|turn| turn.content.last_mut()) {
        // The text that the model is to go on with is refused if it ends in blanks.
        if let Some(kept) = trimmed(text) {
            *text = kept;
            notes.changed("messages[].content");
        }
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

/// Whether a loop of calls goes on whose first message came without what the model had thought. A
/// model that is told to think by a budget refuses that; it thinks once a loop, before its calls.
pub(in crate::provider) fn lacks_thinking(request: &Request<'_>) -> bool {
    let messages = &request.messages;
    let spoken = |message: &Message<'_>| message.role == Role::Assistant;
    let Some(last) = messages.iter().rposition(spoken) else {
        return false;
    };
    if messages[last].calls().is_empty() {
        return false;
    }
    let looped = messages[..=last].iter().rev();
    let first = looped
        .take_while(|message| spoken(message) || message.role == Role::Tool)
        .filter(|message| !message.calls().is_empty())
        .last();
    let details = first.and_then(|first| first.reasoning_details.as_ref());
    !details.into_iter().flatten().any(is_thinking)
}

/// Whether an entry is of what a model of this family thought, signed or kept secret: else it is refused.
fn is_thinking(raw: &Raw<'_>) -> bool {
    let value: Value = serde_json::from_str(raw.get()).unwrap_or_default();
    let has = |name: &str| value[name].as_str().is_some_and(|text| !text.is_empty());
    match value["type"].as_str() {
        Some("thinking") => has("signature"),
        Some("redacted_thinking") => has("data"),
        _ => false,
    }
}

/// Announces what was thought and cannot go back: nobody has signed it, or another model did.
pub(in crate::provider) fn unsigned(message: &Message<'_>, notes: &mut Notes) -> Result<(), Error> {
    let mut details = message.reasoning_details.iter().flatten();
    if details.any(|raw| !is_thinking(raw)) {
        notes.without(THOUGHTS)?;
    }
    Ok(())
}

/// An id as the provider takes them; the same one always becomes the same.
fn id(of: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    of.chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .collect()
}

fn result<'r>(
    message: &'r Message<'_>,
    at: usize,
    door: Door,
    notes: &mut Notes,
) -> Result<Block<'r>, Error> {
    let content = match &message.content {
        Some(Content::Parts(_)) => Results::Blocks(blocks(&message.content, at, door, notes)?),
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
fn spoken<'r>(
    message: &'r Message<'_>,
    at: usize,
    door: Door,
    notes: &mut Notes,
) -> Result<Vec<Block<'r>>, Error> {
    plain(message, at, notes)?;
    unsigned(message, notes)?;
    let details = message.reasoning_details.iter().flatten();
    let thoughts = details.filter(|raw| is_thinking(raw)).map(|raw| {
        let (place, raw) = Place::take(raw.0);
        (place, Block::Kept(raw))
    });
    let mut said = parts(&message.content, at, door, notes)?;
    said.extend(message.refusal.clone().map(Block::text));
    let calls = message.calls().iter().enumerate();
    let calls = calls.map(|(n, call)| {
        Ok(Block::Call {
            kind: "tool_use",
            id: id(&call.id),
            name: named(call, LONGEST_NAME),
            input: arguments(call, at, n)?,
        })
    });
    let calls = calls.collect::<Result<_, Error>>()?;
    let mut all = between(thoughts.collect(), said, calls);
    all.retain(Block::says);
    Ok(all)
}

/// Blank texts are refused upstream and say nothing.
fn blocks<'r>(
    content: &'r Option<Content<'_>>,
    at: usize,
    door: Door,
    notes: &mut Notes,
) -> Result<Vec<Block<'r>>, Error> {
    let mut all = parts(content, at, door, notes)?;
    all.retain(Block::says);
    Ok(all)
}

/// All that was said, blank texts too.
fn parts<'r>(
    content: &'r Option<Content<'_>>,
    at: usize,
    door: Door,
    notes: &mut Notes,
) -> Result<Vec<Block<'r>>, Error> {
    let parts = match content {
        None => return Ok(Vec::new()),
        Some(Content::Text(text)) => return Ok(vec![Block::text(text.clone())]),
        Some(Content::Parts(parts)) => parts,
    };
    let mut all = Vec::with_capacity(parts.len());
    let mut left = Left::of(at);
    for (n, part) in parts.iter().enumerate() {
        let cache_control = part.breakpoint().map(|mark| ephemeral(mark.is_long()));
        if let Some(text) = part.text.as_ref().or(part.refusal.as_ref()) {
            all.push(Block::Text {
                kind: "text",
                text: text.clone(),
                cache_control,
            });
            continue;
        }
        let Some((kind, source)) = source(part, door) else {
            left.out(n, notes)?;
            continue;
        };
        let file = part.file.as_ref().filter(|_| kind == "document");
        all.push(Block::Media {
            kind,
            source,
            title: file.and_then(|file| file.filename.as_deref()),
            cache_control,
        });
    }
    left.check(!all.iter().any(Block::says))?;
    Ok(all)
}
