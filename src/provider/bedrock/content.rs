//! Messages as Converse's turns and blocks.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use super::{
    blocks::{Block, Media, Reasoning, Turn, media},
    names::Names,
};
use crate::{
    error::Error,
    provider::{
        Notes,
        anthropic::{join::Turns, turns::unsigned},
        notes::unsupported,
        said::{Left, answered, is_blank, nothing, trimmed},
        support::{arguments, named, plain},
    },
    wire::{
        chat::{Content, Message, Raw, Request, Role, Text},
        placed::{Place, between},
    },
};

/// What the user is made to say where the assistant speaks first, and beside documents alone: both are
/// refused.
const OPENING: &str = ".";

/// The longest name of a tool.
pub(super) const LONGEST_NAME: usize = 64;

/// The instructions, and the turns of user and assistant by turns.
pub(super) fn conversation<'a>(
    request: &'a Request<'_>,
    notes: &mut Notes,
) -> Result<(Vec<Block<'a>>, Vec<Turn<'a>>), Error> {
    let mut system = Vec::new();
    let mut turns = Turns::new();
    for (at, message) in request.messages.iter().enumerate() {
        let (role, blocks) = match message.role {
            Role::System | Role::Developer => {
                system.extend(blocks(&message.content, at, notes)?);
                continue;
            }
            Role::User => ("user", blocks(&message.content, at, notes)?),
            Role::Assistant => ("assistant", spoken(message, at, notes)?),
            Role::Tool => ("user", result(message, at, notes)?),
            Role::Function => return Err(unsupported(format!("messages[{at}].role"))),
        };
        turns.say(role, blocks, notes)?;
    }
    let mut turns = turns.end(notes)?;
    for turn in turns.iter_mut().filter(|turn| turn.role == "user") {
        // The results of calls come before anything else that is said.
        turn.content
            .sort_by_key(|block| !matches!(block, Block::ToolResult { .. }));
        let has = |kind: fn(&Block<'_>) -> bool| turn.content.iter().any(kind);
        if has(|it| matches!(it, Block::Document(_))) && !has(|it| matches!(it, Block::Text(_))) {
            // "A text block must be included when using documents."
            notes.changed("messages");
            turn.content.push(Block::Text(OPENING.into()));
        }
    }
    match turns.first() {
        Some(first) if first.role == "assistant" => {
            notes.changed("messages");
            let content = vec![Block::Text(OPENING.into())];
            let role = "user";
            turns.insert(0, Turn { role, content });
        }
        None if system.is_empty() => nothing(request)?,
        None => turns.push(Turn {
            role: "user",
            content: std::mem::take(&mut system),
        }),
        _ => {}
    }
    if turns.last().is_some_and(|turn| turn.role == "assistant") {
        answered(request)?;
    }
    let mut names = Names::default();
    let contents = turns.iter_mut().map(|turn| &mut turn.content);
    for content in std::iter::once(&mut system).chain(contents) {
        name_apart(content, &mut names);
    }
    Ok((system, turns))
}

/// The text that Claude is to go on with is refused if it ends in blanks.
pub(super) fn trim_last(turns: &mut [Turn<'_>], notes: &mut Notes) {
    let last = turns.last_mut().filter(|turn| turn.role == "assistant");
    let is_said = |block: &&mut Block<'_>| !matches!(block, Block::CachePoint(_));
    if let Some(Block::Text(text)) = last.and_then(|turn| turn.content.iter_mut().rfind(is_said)) {
        if let Some(kept) = trimmed(text) {
            *text = kept;
            notes.changed("messages[].content");
        }
    }
}

fn name_apart(blocks: &mut [Block<'_>], names: &mut Names) {
    for block in blocks {
        match block {
            Block::ToolResult { content, .. } => name_apart(content, names),
            Block::Document(Media {
                name: Some(name), ..
            }) => *name = names.apart(name),
            _ => {}
        }
    }
}

/// What the model said: its reasoning as it was, its text, its calls.
fn spoken<'a>(
    message: &'a Message<'_>,
    at: usize,
    notes: &mut Notes,
) -> Result<Vec<Block<'a>>, Error> {
    plain(message, at, notes)?;
    unsigned(message, notes)?;
    let details = message.reasoning_details.iter().flatten();
    let thoughts = details.filter_map(|raw| Some((Place::take(raw.0).0, reasoning(raw)?)));
    let mut said = parts(&message.content, at, notes)?;
    said.extend(message.refusal.clone().map(Block::Text));
    let calls = message.calls().iter().enumerate();
    let calls = calls.map(|(n, call)| {
        Ok(Block::ToolUse {
            tool_use_id: id(&call.id),
            name: named(call, LONGEST_NAME),
            input: arguments(call, at, n)?,
        })
    });
    let calls = calls.collect::<Result<_, Error>>()?;
    let mut all = between(thoughts.collect(), said, calls);
    all.retain(Block::says);
    Ok(all)
}

/// What a tool gave, and the marks of it: those stand behind it, not within.
fn result<'a>(
    message: &'a Message<'_>,
    at: usize,
    notes: &mut Notes,
) -> Result<Vec<Block<'a>>, Error> {
    let given = blocks(&message.content, at, notes)?.into_iter();
    let (marks, mut content): (Vec<_>, Vec<_>) =
        given.partition(|block| matches!(block, Block::CachePoint(_)));
    if content.is_empty() {
        // A result needs some content, and no text may be blank.
        content.push(Block::Text("(no output)".into()));
    }
    let result = Block::ToolResult {
        tool_use_id: id(message.tool_call_id.as_deref().unwrap_or_default()),
        content,
    };
    // Behind the result they all mark the same place: one is enough.
    Ok([result]
        .into_iter()
        .chain(marks.into_iter().next_back())
        .collect())
}

/// An entry of `reasoning_details` as this provider and Anthropic's own API give them, if it is signed.
fn reasoning<'a>(raw: &Raw<'a>) -> Option<Block<'a>> {
    #[derive(serde::Deserialize)]
    struct Entry<'a> {
        #[serde(borrow, rename = "type")]
        kind: Text<'a>,
        #[serde(borrow)]
        thinking: Option<Text<'a>>,
        #[serde(borrow)]
        signature: Option<Text<'a>>,
        #[serde(borrow)]
        data: Option<Text<'a>>,
    }
    let entry: Entry<'a> = serde_json::from_str(raw.get()).ok()?;
    let inner = match &*entry.kind {
        "thinking" => Reasoning::ReasoningText {
            text: entry.thinking?,
            signature: entry.signature.filter(|text| !text.is_empty())?,
        },
        "redacted_thinking" => {
            Reasoning::RedactedContent(entry.data.filter(|data| !data.is_empty())?)
        }
        _ => return None,
    };
    Some(Block::ReasoningContent(inner))
}

/// An id in the provider's alphabet and length; the same one always becomes the same.
fn id(of: &str) -> Cow<'_, str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
    if (1..=64).contains(&of.len()) && of.chars().all(allowed) {
        return of.into();
    }
    let sum = Sha256::digest(of);
    let sum: String = sum[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let kept: String = of.chars().filter(|c| allowed(*c)).take(40).collect();
    format!("{kept}-{sum}").into()
}

/// Blank texts are refused upstream and say nothing.
fn blocks<'a>(
    content: &'a Option<Content<'_>>,
    at: usize,
    notes: &mut Notes,
) -> Result<Vec<Block<'a>>, Error> {
    let mut all = parts(content, at, notes)?;
    all.retain(Block::says);
    Ok(all)
}

/// All that was said, blank texts too.
fn parts<'a>(
    content: &'a Option<Content<'_>>,
    at: usize,
    notes: &mut Notes,
) -> Result<Vec<Block<'a>>, Error> {
    let mut all = Vec::new();
    if let Some(Content::Text(text)) = content {
        all.push(Block::Text(text.clone()));
        return Ok(all);
    }
    let parts = content.as_ref().map_or(&[][..], Content::parts);
    let mut left = Left::of(at);
    for (n, part) in parts.iter().enumerate() {
        match part.text.as_ref().or(part.refusal.as_ref()) {
            Some(text) => {
                all.push(Block::Text(text.clone()));
                if is_blank(text) {
                    continue;
                }
            }
            None => match media(part) {
                Some(media) => all.push(media),
                None => {
                    left.out(n, notes)?;
                    continue;
                }
            },
        }
        if let Some(mark) = part.breakpoint() {
            all.push(Block::cache_point(mark));
        }
    }
    left.check(!all.iter().any(Block::says))?;
    Ok(all)
}
