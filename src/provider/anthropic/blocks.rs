//! What the Messages API's turns are made of.

use std::{borrow::Cow, mem};

use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    join::{self, Is},
    request::Door,
};
use crate::{
    provider::{base64, said::is_blank},
    wire::{
        chat::{Part, Text},
        placed,
    },
};

pub(super) type Turn<'a> = join::Turn<Block<'a>>;

impl Turn<'_> {
    /// Whether a file is there by its id, also among what a tool gave.
    pub(super) fn names_files(&self) -> bool {
        self.content.iter().any(Block::names_files)
    }
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
    /// An image or a document.
    Media {
        #[serde(rename = "type")]
        kind: &'static str,
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Value>,
    },
    Result {
        #[serde(rename = "type")]
        kind: &'static str,
        tool_use_id: String,
        content: Results<'a>,
    },
    Kept(Cow<'a, RawValue>),
    Call {
        #[serde(rename = "type")]
        kind: &'static str,
        id: String,
        name: Cow<'a, str>,
        input: Box<RawValue>,
    },
}

/// Where an image or a document is.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Source<'a> {
    Base64 {
        media_type: &'a str,
        data: &'a str,
    },
    Text {
        media_type: &'static str,
        data: String,
    },
    Url {
        url: &'a str,
    },
    File {
        file_id: &'a str,
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
    pub(super) fn text(text: Text<'a>) -> Self {
        Self::Text {
            kind: "text",
            text,
            cache_control: None,
        }
    }

    /// Where its marks stand, or would.
    pub(super) fn marks<'b>(&'b mut self, all: &mut Vec<&'b mut Option<Value>>) {
        match self {
            Self::Text { cache_control, .. } | Self::Media { cache_control, .. } => {
                all.push(cache_control);
            }
            Self::Result {
                content: Results::Blocks(blocks),
                ..
            } => blocks.iter_mut().for_each(|block| block.marks(all)),
            Self::Result { .. } | Self::Kept(_) | Self::Call { .. } => {}
        }
    }

    /// Makes a place for a mark where there is none in the form of a text that a tool gave.
    pub(super) fn open(&mut self) {
        let Self::Result { content, .. } = self else {
            return;
        };
        if let Results::Text(text) = content {
            if !is_blank(text) {
                *content = Results::Blocks(vec![Self::text(mem::take(text))]);
            }
        }
    }

    fn names_files(&self) -> bool {
        match self {
            Self::Media { source, .. } => matches!(source, Source::File { .. }),
            Self::Result {
                content: Results::Blocks(blocks),
                ..
            } => blocks.iter().any(Self::names_files),
            _ => false,
        }
    }

    /// Whether it is anything but a blank text.
    pub(super) fn says(&self) -> bool {
        !matches!(self, Self::Text { text, .. } if is_blank(text))
    }
}

impl join::Block for Block<'_> {
    fn is(&self) -> Is {
        match self {
            Self::Kept(_) => Is::Thought,
            Self::Call { .. } => Is::Call,
            _ => Is::Other,
        }
    }
}

impl placed::Block for Block<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    fn split_off(&mut self, at: usize) -> Self {
        match self {
            // The mark stands at the end of it.
            Self::Text {
                text,
                cache_control,
                ..
            } => Self::Text {
                kind: "text",
                text: text.split_off(at),
                cache_control: cache_control.take(),
            },
            _ => Self::text(Text::default()),
        }
    }
}

/// A type of images that the provider reads.
fn picture(kind: &str) -> Option<&str> {
    match kind {
        "image/jpg" => Some("image/jpeg"),
        "image/jpeg" | "image/png" | "image/gif" | "image/webp" => Some(kind),
        _ => None,
    }
}

/// What an image or a file is there, and where.
pub(super) fn source<'r>(part: &'r Part<'_>, door: Door) -> Option<(&'static str, Source<'r>)> {
    let base64 = |media_type, data| Source::Base64 { media_type, data };
    if let Some(image) = &part.image_url {
        let source = match image.data() {
            Some((kind, data)) => base64(picture(kind)?, data),
            None if image.url.starts_with("http") => Source::Url { url: &image.url },
            None => return None,
        };
        return Some(("image", source));
    }
    let file = part.file.as_ref()?;
    let source = match (&file.file_id, file.data()) {
        // There are none where others serve the models.
        (Some(_), _) if door != Door::Own => return None,
        (Some(id), _) => Source::File { file_id: id },
        (None, Some(("application/pdf", data))) => base64("application/pdf", data),
        // A text goes as what it says.
        (None, Some((kind, data))) if kind.starts_with("text/") => Source::Text {
            media_type: "text/plain",
            data: String::from_utf8(base64::decode(data)?).ok()?,
        },
        _ => return None,
    };
    Some(("document", source))
}

/// A mark at the end of a prefix to be cached.
pub(super) fn ephemeral(long: bool) -> Value {
    if long {
        json!({ "type": "ephemeral", "ttl": "1h" })
    } else {
        json!({ "type": "ephemeral" })
    }
}
