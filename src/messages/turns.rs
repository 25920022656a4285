//! The turns of a conversation: blocks of the Messages API, and the messages and parts that they
//! become. Texts go over as they are spelled.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::request::{Dropped, shape, unsupported};
use crate::{
    error::Error,
    wire::chat::{Raw, Text},
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

#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    source: Option<Source<'a>>,
    #[serde(borrow, default)]
    title: Option<Text<'a>>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_use_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(default)]
    is_error: Option<bool>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    cache_control: Option<Raw<'a>>,
}

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    media_type: Option<Text<'a>>,
    #[serde(borrow, default)]
    data: Option<Text<'a>>,
    #[serde(borrow, default)]
    url: Option<Text<'a>>,
    #[serde(borrow, default)]
    file_id: Option<Text<'a>>,
}

/// A message of ours.
#[derive(Serialize)]
pub(super) struct Message<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<Text<'a>>,
    content: Option<Said<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<&'a RawValue>,
    #[serde(skip_serializing_if = "Joined::is_empty")]
    reasoning_content: Joined<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Said<'a> {
    Text(Text<'a>),
    Parts(Vec<Part<'a>>),
}

#[derive(Default, Serialize)]
struct Part<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_url: Option<Image<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<File<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<Raw<'a>>,
}

#[derive(Serialize)]
struct Image<'a> {
    url: Joined<'a>,
}

#[derive(Default, Serialize)]
struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_data: Option<Joined<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_id: Option<Text<'a>>,
}

#[derive(Serialize)]
struct Call<'a> {
    id: Text<'a>,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Called<'a>,
}

#[derive(Serialize)]
struct Called<'a> {
    name: Text<'a>,
    /// The text of what it is called with.
    arguments: &'a str,
}

/// A text in pieces, written one behind the other.
#[derive(Default)]
struct Joined<'a>(Vec<Text<'a>>);

impl Joined<'_> {
    fn is_empty(&self) -> bool {
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

impl<'a> Message<'a> {
    fn of(role: &'static str, content: Option<Said<'a>>) -> Self {
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
    fn text(text: Text<'a>) -> Self {
        Self {
            kind: "text",
            text: Some(text),
            ..Self::default()
        }
    }

    fn image(url: Joined<'a>) -> Self {
        Self {
            kind: "image_url",
            image_url: Some(Image { url }),
            ..Self::default()
        }
    }

    fn file(file: File<'a>) -> Self {
        Self {
            kind: "file",
            file: Some(file),
            ..Self::default()
        }
    }
}

impl<'a> Read<'a> {
    fn is(&self, kind: &str) -> bool {
        &*self.kind == kind
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
        let part = match (&*self.kind, &*source.kind) {
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

/// Instructions are texts, each with its cache mark; the path leads to where they stand.
pub(super) fn instructions<'a>(
    content: Content<'a>,
    path: impl Fn() -> String,
) -> Result<Message<'a>, Error> {
    let blocks = match content {
        Content::Text(text) => return Ok(Message::of("system", Some(Said::Text(text)))),
        Content::Blocks(blocks) => blocks,
    };
    let mut parts = Vec::with_capacity(blocks.len());
    for (nth, block) in blocks.into_iter().enumerate() {
        let part = block.read.text_part();
        parts.push(part.ok_or_else(|| unsupported(format!("{}.content[{nth}]", path())))?);
    }
    Ok(Message::of("system", Some(Said::Parts(parts))))
}

/// A user's turn: the results of calls, each a message of its own, then the rest.
pub(super) fn heard<'a>(
    content: Content<'a>,
    at: usize,
    messages: &mut Vec<Message<'a>>,
    dropped: &mut Dropped,
) -> Result<(), Error> {
    let blocks = match content {
        Content::Text(text) => {
            messages.push(Message::of("user", Some(Said::Text(text))));
            return Ok(());
        }
        Content::Blocks(blocks) => blocks,
    };
    let mut parts = Vec::new();
    for (nth, Block { read, .. }) in blocks.into_iter().enumerate() {
        let path = || format!("messages[{at}].content[{nth}]");
        if !read.is("tool_result") {
            parts.push(read.part().ok_or_else(|| unsupported(path()))?);
            continue;
        }
        if read.is_error == Some(true) {
            once(dropped, "messages[].content[].is_error");
        }
        let (said, others) = result(read.content, &path)?;
        messages.push(Message {
            tool_call_id: Some(read.tool_use_id.unwrap_or_default()),
            ..Message::of("tool", Some(said))
        });
        parts.extend(others);
    }
    if !parts.is_empty() {
        messages.push(Message::of("user", Some(Said::Parts(parts))));
    }
    Ok(())
}

fn once(dropped: &mut Dropped, name: &'static str) {
    if !dropped.iter().any(|there| there == name) {
        dropped.push(Cow::Borrowed(name));
    }
}

/// The text of a result, and what else is in it: results are texts here, so images follow in the
/// user's own words.
fn result<'a>(
    content: Option<&'a RawValue>,
    path: &impl Fn() -> String,
) -> Result<(Said<'a>, Vec<Part<'a>>), Error> {
    let content = content.map(|raw| serde_json::from_str(raw.get()).map_err(shape));
    let blocks = match content.transpose()? {
        None => return Ok((Said::Text(Text::default()), Vec::new())),
        Some(Content::Text(text)) => return Ok((Said::Text(text), Vec::new())),
        Some(Content::Blocks(blocks)) => blocks,
    };
    let (mut texts, mut others) = (Vec::new(), Vec::new());
    for block in blocks {
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
    for (nth, Block { raw, read }) in blocks.into_iter().enumerate() {
        match &*read.kind {
            "text" => texts.extend(read.text_part()),
            "thinking" | "redacted_thinking" => {
                message.reasoning_content.0.extend(read.thinking);
                message.reasoning_details.push(raw);
            }
            "tool_use" => message.tool_calls.push(Call {
                id: read.id.unwrap_or_default(),
                kind: "function",
                function: Called {
                    name: read.name.unwrap_or_default(),
                    arguments: read.input.map_or("{}", RawValue::get),
                },
            }),
            // What a provider's own tools did and found is in the text that came of it.
            kind if kind.starts_with("server_tool_use") || kind.ends_with("_tool_result") => {
                once(dropped, "messages[].content[].server_tool_use");
            }
            _ => return Err(unsupported(format!("messages[{at}].content[{nth}]"))),
        }
    }
    if !texts.is_empty() || message.tool_calls.is_empty() {
        message.content = Some(Said::Parts(texts));
    }
    Ok(message)
}
