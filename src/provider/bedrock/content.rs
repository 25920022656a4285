//! Messages as Converse's turns and blocks.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::names::{LONGEST, Names};
use crate::{
    error::Error,
    provider::{
        Notes,
        anthropic::{
            join::{Is, is_thought_alone, join, without_thoughts_alone},
            turns::unsigned,
        },
        notes::unsupported,
        said::{Left, answered, is_blank, nothing, trimmed},
        support::{THOUGHTS, arguments, plain},
    },
    wire::{
        chat::{Breakpoint, Content, Message, Part, Raw, Request, Role, Text},
        placed::{self, Place, between},
    },
};

/// What the user is made to say where the assistant speaks first, and beside documents alone: both are
/// refused.
const OPENING: &str = ".";

#[derive(Serialize)]
pub(super) struct Turn<'a> {
    pub(super) role: &'static str,
    pub(super) content: Vec<Block<'a>>,
}

impl Turn<'_> {
    fn is_thought_alone(&self) -> bool {
        is_thought_alone(&self.content, Block::is)
    }
}

/// A block: an object of one member, its kind.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Block<'a> {
    Text(Text<'a>),
    Image(Media<'a>),
    Document(Media<'a>),
    Audio(Media<'a>),
    #[serde(rename_all = "camelCase")]
    ToolUse {
        tool_use_id: Cow<'a, str>,
        name: &'a str,
        input: Box<RawValue>,
    },
    #[serde(rename_all = "camelCase")]
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: Vec<Self>,
    },
    ReasoningContent(Reasoning<'a>),
    CachePoint(CachePoint),
}

impl Block<'_> {
    pub(super) fn cache_point(mark: &Breakpoint<'_>) -> Self {
        Self::CachePoint(CachePoint::of(mark))
    }

    /// Whether it is anything but a blank text.
    fn says(&self) -> bool {
        !matches!(self, Self::Text(text) if is_blank(text))
    }

    const fn is(&self) -> Is {
        match self {
            Self::ReasoningContent(_) => Is::Thought,
            Self::ToolUse { .. } => Is::Call,
            _ => Is::Other,
        }
    }
}

impl placed::Block for Block<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn split_off(&mut self, at: usize) -> Self {
        Self::Text(match self {
            Self::Text(text) => text.split_off(at),
            _ => Text::default(),
        })
    }
}

#[derive(Serialize)]
pub(super) struct Media<'a> {
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    source: Source<'a>,
}

#[derive(Serialize)]
struct Source<'a> {
    bytes: Cow<'a, str>,
}

#[derive(Serialize)]
pub(super) struct CachePoint {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

impl CachePoint {
    pub(super) fn of(mark: &Breakpoint<'_>) -> Self {
        Self {
            kind: "default",
            ttl: mark.is_long().then_some("1h"),
        }
    }

    pub(super) const fn is_long(&self) -> bool {
        self.ttl.is_some()
    }

    pub(super) const fn shorten(&mut self) {
        self.ttl = None;
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Reasoning<'a> {
    ReasoningText { text: Text<'a>, signature: Text<'a> },
    RedactedContent(Text<'a>),
}

/// The instructions, and the turns of user and assistant by turns.
pub(super) fn conversation<'a>(
    request: &'a Request<'_>,
    notes: &mut Notes,
) -> Result<(Vec<Block<'a>>, Vec<Turn<'a>>), Error> {
    let mut system = Vec::new();
    let mut turns: Vec<Turn<'a>> = Vec::new();
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
        if role == "user" && !blocks.is_empty() {
            without_thoughts_alone(&mut turns, Turn::is_thought_alone, notes)?;
        }
        match turns.last_mut() {
            Some(last) if last.role == role => {
                if join(&mut last.content, blocks, Block::is) {
                    notes.without(THOUGHTS)?;
                }
            }
            _ if blocks.is_empty() => {}
            _ => turns.push(Turn {
                role,
                content: blocks,
            }),
        }
    }
    without_thoughts_alone(&mut turns, Turn::is_thought_alone, notes)?;
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
            name: call.name(),
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

/// Images, documents and sound come as their bytes; an address is not fetched here.
fn media<'a>(part: &'a Part<'_>) -> Option<Block<'a>> {
    let of = |format, name, bytes: &'a str| Media {
        format,
        name,
        source: Source {
            bytes: bytes.into(),
        },
    };
    if let Some(image) = &part.image_url {
        let (kind, data) = image.data()?;
        let format = match kind {
            "image/png" => "png",
            "image/jpeg" | "image/jpg" => "jpeg",
            "image/gif" => "gif",
            "image/webp" => "webp",
            _ => return None,
        };
        return Some(Block::Image(of(format, None, data)));
    }
    if let Some(audio) = &part.input_audio {
        let format = match &*audio.format {
            "wav" => "wav",
            "mp3" => "mp3",
            _ => return None,
        };
        return Some(Block::Audio(of(format, None, &audio.data)));
    }
    let file = part.file.as_ref()?;
    let (kind, data) = file.data()?;
    let filename = file.filename.as_deref().unwrap_or_default();
    let format = document(kind, filename)?;
    Some(Block::Document(of(format, Some(name(filename)), data)))
}

/// A document's format, by the name's suffix where there is one that is known, else by the type.
fn document(kind: &str, filename: &str) -> Option<&'static str> {
    const FORMATS: [(&str, &str); 10] = [
        ("pdf", "application/pdf"),
        ("csv", "text/csv"),
        ("doc", "application/msword"),
        (
            "docx",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ),
        ("xls", "application/vnd.ms-excel"),
        (
            "xlsx",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ),
        ("html", "text/html"),
        ("txt", "text/plain"),
        ("md", "text/markdown"),
        ("htm", "text/html"),
    ];
    let suffix = filename.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    let mut formats = FORMATS.iter();
    formats
        .find(|(format, _)| format.eq_ignore_ascii_case(suffix))
        .or_else(|| FORMATS.iter().find(|(_, media)| *media == kind))
        .map(|(format, _)| if *format == "htm" { "html" } else { format })
}

/// Names are kept to what the service takes; they must not be empty.
fn name(filename: &str) -> String {
    let stem = filename.rsplit_once('.').map_or(filename, |(stem, _)| stem);
    let mut kept = String::new();
    for c in stem.chars().take(LONGEST) {
        let fits = c.is_ascii_alphanumeric() || "-()[]".contains(c);
        // Runs of blanks are refused.
        if fits || (!kept.ends_with(' ') && !kept.is_empty()) {
            kept.push(if fits { c } else { ' ' });
        }
    }
    kept.truncate(kept.trim_end().len());
    if kept.is_empty() {
        kept.push_str("document");
    }
    kept
}
