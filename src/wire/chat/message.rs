use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

use super::{
    FunctionCall, Raw, Text, ToolCall,
    lenient::{self, Payload},
};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions; the newer name of `system`.
    Developer,
    /// Instructions.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
    /// The result of a call of the deprecated kind.
    Function,
}

/// One message of the conversation.
#[derive(Clone, Debug, Deserialize)]
pub struct Message<'a> {
    /// Who speaks.
    pub role: Role,
    /// What is said; absent beside tool calls.
    #[serde(borrow, default)]
    pub content: Option<Content<'a>>,
    /// The speaker's name.
    #[serde(borrow, default)]
    pub name: Option<Text<'a>>,
    /// The model's refusal.
    #[serde(borrow, default)]
    pub refusal: Option<Text<'a>>,
    /// The calls that the model made.
    #[serde(borrow, default)]
    pub tool_calls: Option<Vec<ToolCall<'a>>>,
    /// The call that the model made, of the deprecated kind.
    #[serde(borrow, default)]
    pub function_call: Option<FunctionCall<'a>>,
    /// Which call this is the result of.
    #[serde(borrow, default)]
    pub tool_call_id: Option<Text<'a>>,
    /// A reference to earlier audio.
    #[serde(borrow, default)]
    pub audio: Option<Raw<'a>>,
    /// The model's reasoning, as answers of this API carry it; `None` also where it is no text.
    #[serde(borrow, default, deserialize_with = "lenient::text")]
    pub reasoning_content: Option<Text<'a>>,
    /// What the provider wants back of its reasoning: opaque entries, in order; `None` also where it
    /// is no array.
    #[serde(borrow, default, deserialize_with = "lenient::known")]
    pub reasoning_details: Option<Vec<Raw<'a>>>,
    /// Images that the model made, as answers of this API carry them; `None` also where it is no array of
    /// parts.
    #[serde(borrow, default, deserialize_with = "lenient::known")]
    pub images: Option<Vec<Part<'a>>>,
}

impl<'a> Message<'a> {
    /// Its calls, none when absent.
    #[must_use]
    pub fn calls(&self) -> &[ToolCall<'a>] {
        self.tool_calls.as_deref().unwrap_or_default()
    }
}

/// What a message says.
#[derive(Clone, Debug)]
pub enum Content<'a> {
    /// One text.
    Text(Text<'a>),
    /// Several parts.
    Parts(Vec<Part<'a>>),
}

impl<'a> Content<'a> {
    /// All its text, parts joined without a separator; other parts are passed over.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Parts(parts) => {
                let mut texts = parts.iter().filter_map(|part| part.text.as_deref());
                let Some(first) = texts.next() else {
                    return Cow::Borrowed("");
                };
                texts.fold(Cow::Borrowed(first), |all, text| all + text)
            }
        }
    }

    /// Its parts; a plain text has none.
    #[must_use]
    pub fn parts(&self) -> &[Part<'a>] {
        match self {
            Self::Text(_) => &[],
            Self::Parts(parts) => parts,
        }
    }
}

/// All text of a content that may be absent.
#[must_use]
pub fn text_of<'b>(content: &'b Option<Content<'_>>) -> Cow<'b, str> {
    content.as_ref().map_or(Cow::Borrowed(""), Content::text)
}

/// The parts of a content that may be absent; a plain text is one part.
#[must_use]
pub fn parts_of<'a, 'b>(content: &'b Option<Content<'a>>) -> Cow<'b, [Part<'a>]> {
    match content {
        None => Cow::Borrowed(&[]),
        Some(Content::Parts(parts)) => Cow::Borrowed(parts),
        Some(Content::Text(text)) => Cow::Owned(vec![Part::text(text.clone())]),
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Its spelling first: a long text is passed over once, and not copied.
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        if let Some(text) = Text::read(raw) {
            return Ok(Self::Text(text));
        }
        if !raw.get().starts_with('[') {
            return Err(D::Error::custom("expected a string or an array of parts"));
        }
        serde_json::from_str(raw.get())
            .map(Self::Parts)
            .map_err(D::Error::custom)
    }
}

/// A part of a content: its type and the payload of that name. A payload of another type that this
/// API knows means nothing, and is `None`.
#[derive(Clone, Debug, Default)]
pub struct Part<'a> {
    /// `text`, `image_url`, `input_audio`, `file`, `refusal` or one that is not known here.
    pub kind: Text<'a>,
    /// Of `text`.
    pub text: Option<Text<'a>>,
    /// Of `image_url`.
    pub image_url: Option<Image<'a>>,
    /// Of `input_audio`.
    pub input_audio: Option<Audio<'a>>,
    /// Of `file`.
    pub file: Option<File<'a>>,
    /// Of `refusal`.
    pub refusal: Option<Text<'a>>,
    /// The end of a prefix to be cached.
    pub prompt_cache_breakpoint: Option<Breakpoint<'a>>,
    /// The same in Anthropic's words, which many clients send.
    pub cache_control: Option<Breakpoint<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Part<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Part<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a content part")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                const KINDS: &[&str] = &["text", "image_url", "input_audio", "file", "refusal"];
                let mut kind: Option<Text<'de>> = None;
                let (mut text, mut image_url) = (Payload::Absent, Payload::Absent);
                let (mut input_audio, mut file) = (Payload::Absent, Payload::Absent);
                let (mut refusal, mut marks) = (Payload::Absent, [None, None]);
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    let of = kind.as_deref();
                    match &*key {
                        "type" => kind = Some(map.next_value()?),
                        "text" => text = Payload::next(&mut map, of, &key, KINDS)?,
                        "image_url" => image_url = Payload::next(&mut map, of, &key, KINDS)?,
                        "input_audio" => input_audio = Payload::next(&mut map, of, &key, KINDS)?,
                        "file" => file = Payload::next(&mut map, of, &key, KINDS)?,
                        "refusal" => refusal = Payload::next(&mut map, of, &key, KINDS)?,
                        "prompt_cache_breakpoint" => marks[0] = Some(map.next_value()?),
                        "cache_control" => marks[1] = Some(map.next_value()?),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                let of = kind.as_deref();
                let mark = |mark: Option<&'de RawValue>| serde_json::from_str(mark?.get()).ok();
                Ok(Part {
                    text: text.done(of, "text", KINDS)?,
                    image_url: image_url.done(of, "image_url", KINDS)?,
                    input_audio: input_audio.done(of, "input_audio", KINDS)?,
                    file: file.done(of, "file", KINDS)?,
                    refusal: refusal.done(of, "refusal", KINDS)?,
                    prompt_cache_breakpoint: mark(marks[0]),
                    cache_control: mark(marks[1]),
                    kind: kind.unwrap_or_default(),
                })
            }
        }

        deserializer.deserialize_map(Members)
    }
}

impl<'a> Part<'a> {
    /// A text.
    #[must_use]
    pub fn text(text: Text<'a>) -> Self {
        Self {
            kind: "text".into(),
            text: Some(text),
            ..Self::default()
        }
    }

    /// The cache breakpoint in either spelling.
    #[must_use]
    pub fn breakpoint(&self) -> Option<&Breakpoint<'a>> {
        self.prompt_cache_breakpoint
            .as_ref()
            .or(self.cache_control.as_ref())
    }
}

/// An image: a web address or a data URL.
#[derive(Clone, Debug, Default)]
pub struct Image<'a> {
    /// `https:` or `data:`.
    pub url: Text<'a>,
    /// `auto`, `low`, `high` or `original`.
    pub detail: Option<Text<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Image<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object<'a> {
            #[serde(borrow)]
            url: Text<'a>,
            #[serde(borrow, default)]
            detail: Option<Text<'a>>,
        }

        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Image<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a `url`")
            }

            fn visit_borrowed_str<E>(self, url: &'de str) -> Result<Self::Value, E> {
                Ok(Image {
                    url: url.into(),
                    detail: None,
                })
            }

            fn visit_str<E>(self, url: &str) -> Result<Self::Value, E> {
                Ok(Image {
                    url: url.to_owned().into(),
                    detail: None,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let object = Object::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Image {
                    url: object.url,
                    detail: object.detail,
                })
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl Image<'_> {
    /// The media type and the base64 text, where the address is a data URL.
    #[must_use]
    pub fn data(&self) -> Option<(&str, &str)> {
        data_url(&self.url)
    }
}

/// The media type and the base64 text of a data URL.
pub(crate) fn data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let head = head.strip_suffix(";base64")?;
    let kind = head.split(';').next().unwrap_or(head);
    Some((kind, data))
}

/// Audio that the user sends.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Audio<'a> {
    /// Base64.
    #[serde(borrow)]
    pub data: Text<'a>,
    /// `wav` or `mp3`.
    #[serde(borrow)]
    pub format: Text<'a>,
}

/// A file: its data, or the id of one uploaded before.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct File<'a> {
    /// A data URL, or bare base64.
    #[serde(borrow)]
    pub file_data: Option<Text<'a>>,
    /// Its name.
    #[serde(borrow)]
    pub filename: Option<Text<'a>>,
    /// Its id at the provider.
    #[serde(borrow)]
    pub file_id: Option<Text<'a>>,
}

impl File<'_> {
    /// The media type, told from the data URL or from the name, and the base64 text.
    #[must_use]
    pub fn data(&self) -> Option<(&str, &str)> {
        let data = self.file_data.as_deref()?;
        if data.starts_with("data:") {
            return data_url(data);
        }
        let name = self.filename.as_deref().unwrap_or_default();
        let kind = match name.rsplit_once('.').map_or("", |(_, suffix)| suffix) {
            "txt" | "md" => "text/plain",
            _ => "application/pdf",
        };
        Some((kind, data))
    }
}

/// The end of a prefix that the provider should cache.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Breakpoint<'a> {
    /// How long: `5m`, `30m`, `1h`, `12h`; `None` also where it is no text.
    #[serde(borrow, deserialize_with = "lenient::text")]
    pub ttl: Option<Text<'a>>,
}

impl Breakpoint<'_> {
    /// Whether it is meant to last for longer than some minutes.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.ttl.as_deref().is_some_and(|ttl| ttl.ends_with('h'))
    }
}
