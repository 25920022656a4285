//! A message of Chat Completions, as it is written.

use std::{borrow::Cow, fmt};

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::wire::chat::{Raw, Text};

/// A message of ours.
#[derive(Serialize)]
pub(in crate::messages) struct Message<'a> {
    pub(super) role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_call_id: Option<Text<'a>>,
    pub(super) content: Option<Said<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) reasoning_details: Vec<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Joined::is_empty")]
    pub(super) reasoning_content: Joined<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Said<'a> {
    Text(Text<'a>),
    Parts(Vec<Part<'a>>),
}

#[derive(Default, Serialize)]
pub(super) struct Part<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_url: Option<Image<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<File<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<Raw<'a>>,
}

#[derive(Serialize)]
pub(super) struct Image<'a> {
    pub(super) url: Joined<'a>,
}

#[derive(Default, Serialize)]
pub(super) struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filename: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file_data: Option<Joined<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file_id: Option<Text<'a>>,
}

#[derive(Serialize)]
pub(super) struct Call<'a> {
    pub(super) id: Text<'a>,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) function: Called<'a>,
}

#[derive(Serialize)]
pub(super) struct Called<'a> {
    pub(super) name: Text<'a>,
    /// The text of what it is called with.
    pub(super) arguments: &'a str,
}

/// A text in pieces, written one behind the other.
#[derive(Default)]
pub(super) struct Joined<'a>(pub(super) Vec<Text<'a>>);

impl Joined<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(Text::is_empty)
    }
}

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| f.write_str(piece))
    }
}

impl Serialize for Joined<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [one] => one.serialize(serializer),
            _ => serializer.collect_str(self),
        }
    }
}

impl<'a> Said<'a> {
    /// Puts a cache mark behind it; false: there is nothing to mark, or a mark already.
    pub(super) fn mark(&mut self, mark: Raw<'a>) -> bool {
        if let Self::Text(text) = self {
            if text.is_empty() {
                return false;
            }
            *self = Self::Parts(vec![Part::text(std::mem::take(text))]);
        }
        let Self::Parts(parts) = self else {
            return false;
        };
        match parts.last_mut() {
            Some(last) if last.cache_control.is_none() => {
                last.cache_control = Some(mark);
                true
            }
            _ => false,
        }
    }
}

impl<'a> Message<'a> {
    pub(super) fn of(role: &'static str, content: Option<Said<'a>>) -> Self {
        Self {
            role,
            tool_call_id: None,
            content,
            tool_calls: Vec::new(),
            reasoning_details: Vec::new(),
            reasoning_content: Joined::default(),
        }
    }
}

impl<'a> Part<'a> {
    pub(super) fn text(text: Text<'a>) -> Self {
        Self {
            kind: "text",
            text: Some(text),
            ..Self::default()
        }
    }

    pub(super) fn image(url: Joined<'a>) -> Self {
        Self {
            kind: "image_url",
            image_url: Some(Image { url }),
            ..Self::default()
        }
    }

    pub(super) fn file(file: File<'a>) -> Self {
        Self {
            kind: "file",
            file: Some(file),
            ..Self::default()
        }
    }
}
