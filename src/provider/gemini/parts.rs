//! What turns are made of: texts, media, calls and their results.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{model::Model, request::Door};
use crate::{
    provider::said::Said,
    wire::{
        chat::{Part as Given, Raw, Text},
        placed,
    },
};

/// A turn, or the instructions.
#[derive(Default, Serialize)]
pub(super) struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    pub(super) parts: Vec<Part<'a>>,
}

impl Content<'_> {
    pub(super) fn calls(&self) -> bool {
        let mut parts = self.parts.iter();
        parts.any(|part| matches!(part.kind, Kinds::FunctionCall(_)))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    #[serde(flatten)]
    pub(super) kind: Kinds<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thought_signature: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_resolution: Option<Resolution>,
    /// Of a result: the place of its call.
    #[serde(skip)]
    pub(super) order: usize,
}

/// How closely an image is looked at, which models take of each from the third generation on.
///
/// Source: the provider's page on the resolution of media, read 2026-11.
#[derive(Serialize)]
pub(super) struct Resolution {
    level: &'static str,
}

impl Resolution {
    pub(super) fn of(part: &Given<'_>, of: Model) -> Option<Self> {
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
pub(super) enum Kinds<'a> {
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
pub(super) struct Inline<'a> {
    mime_type: Cow<'a, str>,
    data: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct File<'a> {
    file_uri: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a Text<'a>>,
    pub(super) name: Cow<'a, str>,
    pub(super) args: Box<RawValue>,
}

#[derive(Serialize)]
pub(super) struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a Text<'a>>,
    pub(super) name: Cow<'a, str>,
    pub(super) response: Output<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) parts: Vec<Kinds<'a>>,
}

#[derive(Serialize)]
pub(super) struct Output<'a> {
    pub(super) output: Said<'a, 'a>,
}

impl Kinds<'_> {
    /// Whether it may stand within the result of a call.
    pub(super) fn is_of_results(&self) -> bool {
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
    pub(super) fn new(kind: Kinds<'a>) -> Self {
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
    pub(super) fn shown(kind: Kinds<'a>, given: &Given<'_>, of: Model) -> Self {
        Self {
            media_resolution: Resolution::of(given, of),
            ..Self::new(kind)
        }
    }
}

impl Part<'_> {
    /// Whether what the provider's own tools were asked and have found is known to a model. That they
    /// are asked beside the client's is to the Gemini API from the third generation on, and to nobody else.
    pub(super) fn is_known(&self, of: Model, door: Door) -> bool {
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

/// Images, sound and files: their bytes, or where they are.
pub(super) fn media<'a>(part: &'a Given<'a>) -> Option<Kinds<'a>> {
    let inline = |mime_type, data| Kinds::InlineData(Inline { mime_type, data });
    if let Some(image) = &part.image_url {
        return match image.data() {
            // The provider knows the type by its right name alone.
            Some(("image/jpg", data)) => Some(inline("image/jpeg".into(), data)),
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
