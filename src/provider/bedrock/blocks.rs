//! What Converse's turns are made of.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::names::LONGEST;
use crate::{
    provider::{
        anthropic::join::{self, Is},
        said::is_blank,
    },
    wire::{
        chat::{Breakpoint, Part, Text},
        placed,
    },
};

pub(super) type Turn<'a> = join::Turn<Block<'a>>;

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
        name: Cow<'a, str>,
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
    pub(super) fn says(&self) -> bool {
        !matches!(self, Self::Text(text) if is_blank(text))
    }
}

impl join::Block for Block<'_> {
    fn is(&self) -> Is {
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
    pub(super) name: Option<String>,
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

/// Images, documents and sound come as their bytes; an address is not fetched here.
pub(super) fn media<'a>(part: &'a Part<'_>) -> Option<Block<'a>> {
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
