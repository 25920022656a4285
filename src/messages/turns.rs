//! The turns of a conversation: blocks of the Messages API, and the messages and parts that they
//! become. Texts go over as they are spelled.

mod message;

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

pub(super) use self::message::Message;
use self::message::{Call, Called, File, Joined, Part, Said};
use super::{
    members::{Dropped, objects},
    paths::Origin,
    request::{shape, unsupported},
};
use crate::{
    error::Error,
    wire::{
        chat::{Raw, Text},
        placed::Place,
    },
};

/// A text, or blocks.
pub(super) enum Content<'a> {
    Text(Text<'a>),
    Blocks(Vec<Block<'a>>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // An untagged enum would not lend what it holds.
        let raw: &'de RawValue = Deserialize::deserialize(deserializer)?;
        if raw.get().starts_with('"') {
            serde_json::from_str(raw.get()).map(Self::Text)
        } else {
            serde_json::from_str(raw.get()).map(Self::Blocks)
        }
        .map_err(serde::de::Error::custom)
    }
}

/// A block as it came, and what is read of it.
pub(super) struct Block<'a> {
    raw: &'a RawValue,
    read: Read<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Block<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: &'de RawValue = Deserialize::deserialize(deserializer)?;
        let read = serde_json::from_str(raw.get()).map_err(serde::de::Error::custom)?;
        Ok(Self { raw, read })
    }
}

objects! {
    Read<'a> {
        kind: Text<'a> = "type",
        text: Text<'a> = "text",
        source: Source<'a> = "source",
        title: Text<'a> = "title",
        citations: Raw<'a> = "citations",
        id: Text<'a> = "id",
        name: Text<'a> = "name",
        input: &'a RawValue = "input",
        tool_use_id: Text<'a> = "tool_use_id",
        content: &'a RawValue = "content",
        is_error: bool = "is_error",
        thinking: Text<'a> = "thinking",
        cache_control: Raw<'a> = "cache_control",
    }

    Source<'a> {
        kind: Text<'a> = "type",
        media_type: Text<'a> = "media_type",
        data: Text<'a> = "data",
        url: Text<'a> = "url",
        file_id: Text<'a> = "file_id",
    }
}

/// Where blocks stand, for names of what is dropped of them.
pub(super) const BLOCKS: &str = "messages[].content[].";
/// The same for blocks in the result of a call.
const IN_RESULTS: &str = "messages[].content[].content[].";

impl<'a> Read<'a> {
    fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }

    /// Notes what goes no further of a text or a medium that stands at a path.
    fn note(&self, path: &'static str, dropped: &mut Dropped) {
        dropped.unknown(path, &self.unknown);
        if self
            .citations
            .is_some_and(|citations| wants(citations.get()))
        {
            dropped.member(path, "citations");
        }
        let source = self.source.as_ref();
        if source.is_some_and(|source| !source.unknown.is_empty()) {
            dropped.member(path, "source");
        }
        // The name of a file, where there is a file.
        let is_file = source.is_some_and(|source| source.kind.as_deref() == Some("base64"));
        if self.title.is_some() && !(is_file && self.is("document")) {
            dropped.member(path, "title");
        }
    }

    /// A text with its cache mark; `None` when it is none.
    fn text_part(self) -> Option<Part<'a>> {
        if !self.is("text") {
            return None;
        }
        let cache_control = self.cache_control;
        self.text.map(|text| Part {
            cache_control,
            ..Part::text(text)
        })
    }

    /// What a user's block is as a part; `None` has no counterpart.
    fn part(self) -> Option<Part<'a>> {
        if self.is("text") {
            return self.text_part();
        }
        let cache_control = self.cache_control;
        let source = self.source?;
        let kind = source.kind.as_deref().unwrap_or_default();
        let part = match (self.kind.as_deref().unwrap_or_default(), kind) {
            ("image", "base64") => Part::image(source.data_url()?),
            ("image", "url") => Part::image(Joined(vec![source.url?])),
            ("document", "base64") => Part::file(File {
                filename: Some(self.title.unwrap_or_else(|| "document.pdf".into())),
                file_data: Some(source.data_url()?),
                ..File::default()
            }),
            ("document", "file") => Part::file(File {
                file_id: Some(source.file_id?),
                ..File::default()
            }),
            ("document", "text") => Part::text(source.data?),
            _ => return None,
        };
        Some(Part {
            cache_control,
            ..part
        })
    }
}

impl<'a> Source<'a> {
    fn data_url(self) -> Option<Joined<'a>> {
        let kind = self.media_type.unwrap_or_default();
        Some(Joined(vec![
            "data:".into(),
            kind,
            ";base64,".into(),
            self.data?,
        ]))
    }
}

/// Whether citations are wanted, or were made.
fn wants(citations: &str) -> bool {
    #[derive(Deserialize)]
    struct Citations {
        enabled: bool,
    }
    let set = serde_json::from_str::<Citations>(citations);
    citations != "[]" && set.map_or(true, |set| set.enabled)
}

/// Instructions are texts, each with its cache mark; the path leads to where each stands.
pub(super) fn instructions<'a>(
    content: Content<'a>,
    path: impl Fn(usize) -> String,
    of_each: &'static str,
    dropped: &mut Dropped,
) -> Result<Message<'a>, Error> {
    let blocks = match content {
        Content::Text(text) => return Ok(Message::of("system", Some(Said::Text(text)))),
        Content::Blocks(blocks) => blocks,
    };
    let mut parts = Vec::with_capacity(blocks.len());
    for (nth, block) in blocks.into_iter().enumerate() {
        block.read.note(of_each, dropped);
        let part = block.read.text_part();
        parts.push(part.ok_or_else(|| unsupported(path(nth)))?);
    }
    Ok(Message::of("system", Some(Said::Parts(parts))))
}

/// A user's turn: the results of calls, each a message of its own, then the rest.
pub(super) fn heard<'a>(
    content: Content<'a>,
    at: usize,
    messages: &mut Vec<Message<'a>>,
    origins: &mut Vec<Origin>,
    dropped: &mut Dropped,
) -> Result<(), Error> {
    let blocks = match content {
        Content::Text(text) => {
            messages.push(Message::of("user", Some(Said::Text(text))));
            origins.push(Origin::Turn(at, 0));
            return Ok(());
        }
        Content::Blocks(blocks) => blocks,
    };
    let mut parts = Vec::new();
    let mut results = 0;
    for (nth, Block { read, .. }) in blocks.into_iter().enumerate() {
        let path = || format!("messages[{at}].content[{nth}]");
        if !read.is("tool_result") {
            read.note(BLOCKS, dropped);
            parts.push(read.part().ok_or_else(|| unsupported(path()))?);
            continue;
        }
        dropped.unknown(BLOCKS, &read.unknown);
        if read.is_error == Some(true) {
            dropped.member(BLOCKS, "is_error");
        }
        let (mut said, others) = result(read.content, &path, dropped)?;
        if let Some(mark) = read.cache_control {
            if !said.mark(mark) {
                dropped.member(BLOCKS, "cache_control");
            }
        }
        messages.push(Message {
            tool_call_id: Some(read.tool_use_id.unwrap_or_default()),
            ..Message::of("tool", Some(said))
        });
        origins.push(Origin::Result(at, nth));
        results += 1;
        parts.extend(others);
    }
    if !parts.is_empty() {
        messages.push(Message::of("user", Some(Said::Parts(parts))));
        origins.push(Origin::Turn(at, results));
    }
    Ok(())
}

/// The text of a result, and what else is in it: results are texts here, so images follow in the
/// user's own words.
fn result<'a>(
    content: Option<&'a RawValue>,
    path: &impl Fn() -> String,
    dropped: &mut Dropped,
) -> Result<(Said<'a>, Vec<Part<'a>>), Error> {
    let content = content.map(|raw| serde_json::from_str(raw.get()).map_err(shape));
    let blocks = match content.transpose()? {
        None => return Ok((Said::Text(Text::default()), Vec::new())),
        Some(Content::Text(text)) => return Ok((Said::Text(text), Vec::new())),
        Some(Content::Blocks(blocks)) => blocks,
    };
    let (mut texts, mut others) = (Vec::new(), Vec::new());
    for block in blocks {
        block.read.note(IN_RESULTS, dropped);
        let part = block.read.part().ok_or_else(|| unsupported(path()))?;
        if part.text.is_some() {
            texts.push(part);
        } else {
            others.push(part);
        }
    }
    let said = if texts.is_empty() {
        Said::Text(Text::default())
    } else {
        Said::Parts(texts)
    };
    Ok((said, others))
}

/// A block of reasoning as an entry with its place.
fn placed(block: &RawValue, place: Place) -> Cow<'_, RawValue> {
    match place.put(block.get()) {
        Cow::Borrowed(_) => Cow::Borrowed(block),
        Cow::Owned(entry) => Cow::Owned(
            RawValue::from_string(entry).expect("an object with a member behind its own is JSON"),
        ),
    }
}

/// The assistant's turn: its reasoning as it was, its text, its calls.
pub(super) fn said<'a>(
    content: Content<'a>,
    at: usize,
    dropped: &mut Dropped,
) -> Result<Message<'a>, Error> {
    let blocks = match content {
        Content::Text(text) => return Ok(Message::of("assistant", Some(Said::Text(text)))),
        Content::Blocks(blocks) => blocks,
    };
    let mut message = Message::of("assistant", None);
    let mut texts = Vec::new();
    let mut so_far = Place::default();
    for (nth, Block { raw, read }) in blocks.into_iter().enumerate() {
        match read.kind.as_deref().unwrap_or_default() {
            "text" => {
                read.note(BLOCKS, dropped);
                let part = read.text_part();
                let text = part.as_ref().and_then(|part| part.text.as_deref());
                so_far.characters += text.map_or(0, |text| text.chars().count() as u64);
                texts.extend(part);
            }
            "thinking" | "redacted_thinking" => {
                message.reasoning_content.0.extend(read.thinking);
                message.reasoning_details.push(placed(raw, so_far));
            }
            "tool_use" => {
                dropped.unknown(BLOCKS, &read.unknown);
                if read.cache_control.is_some() {
                    dropped.member(BLOCKS, "cache_control");
                }
                so_far.calls += 1;
                message.tool_calls.push(Call {
                    id: read.id.unwrap_or_default(),
                    kind: "function",
                    function: Called {
                        name: read.name.unwrap_or_default(),
                        arguments: read.input.map_or("{}", RawValue::get),
                    },
                });
            }
            // What a provider's own tools did and found is in the text that came of it.
            kind if kind.starts_with("server_tool_use") || kind.ends_with("_tool_result") => {
                dropped.member(BLOCKS, "server_tool_use");
            }
            _ => return Err(unsupported(format!("messages[{at}].content[{nth}]"))),
        }
    }
    if !texts.is_empty() || message.tool_calls.is_empty() {
        message.content = Some(Said::Parts(texts));
    }
    Ok(message)
}
