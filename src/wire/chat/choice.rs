use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use super::{Raw, Text};

/// Which tools the model may or must call.
#[derive(Clone, Debug)]
pub enum ToolChoice<'a> {
    /// None.
    None,
    /// As it likes.
    Auto,
    /// At least one.
    Required,
    /// This one, function or custom.
    Named(Text<'a>),
    /// One of these, or none when the mode says so.
    Allowed(AllowedMode, Vec<Text<'a>>),
}

/// Whether one of the allowed tools must be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AllowedMode {
    /// As it likes.
    Auto,
    /// At least one.
    Required,
}

#[derive(Deserialize)]
struct Name<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow, default)]
    function: Option<Name<'a>>,
    #[serde(borrow, default)]
    custom: Option<Name<'a>>,
    #[serde(borrow, default)]
    allowed_tools: Option<Allowed<'a>>,
    /// Some clients leave the wrapper out.
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
}

impl<'a> Object<'a> {
    fn into_name(self) -> Option<Text<'a>> {
        self.function
            .or(self.custom)
            .map(|it| it.name)
            .or(self.name)
    }
}

#[derive(Deserialize)]
struct Allowed<'a> {
    mode: AllowedMode,
    #[serde(borrow)]
    tools: Vec<Object<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for ToolChoice<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = ToolChoice<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`none`, `auto`, `required` or an object that names a tool")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Self::Value, E> {
                match word {
                    "none" => Ok(ToolChoice::None),
                    "auto" => Ok(ToolChoice::Auto),
                    "required" | "any" => Ok(ToolChoice::Required),
                    _ => Err(E::custom("`tool_choice` is `none`, `auto` or `required`")),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let mut object = Object::deserialize(MapAccessDeserializer::new(map))?;
                if let Some(allowed) = object.allowed_tools.take() {
                    let tools = allowed.tools.into_iter();
                    return Ok(ToolChoice::Allowed(
                        allowed.mode,
                        tools.filter_map(Object::into_name).collect(),
                    ));
                }
                object
                    .into_name()
                    .map(ToolChoice::Named)
                    .ok_or_else(|| A::Error::custom("`tool_choice` names no tool"))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// What the answer must look like.
#[derive(Clone, Debug, Deserialize)]
pub struct ResponseFormat<'a> {
    /// `text`, `json_object` or `json_schema`.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// Of `json_schema`.
    #[serde(borrow, default)]
    pub json_schema: Option<Schema<'a>>,
}

/// A named schema for the answer.
#[derive(Clone, Debug, Deserialize)]
pub struct Schema<'a> {
    /// Its name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// What it is for.
    #[serde(borrow, default)]
    pub description: Option<Text<'a>>,
    /// The JSON schema.
    #[serde(borrow, default)]
    pub schema: Option<Raw<'a>>,
    /// Whether it is to be kept strictly.
    #[serde(default)]
    pub strict: Option<bool>,
}

/// Where to stop: one string or several.
#[derive(Clone, Debug, Default)]
pub struct Stop<'a>(pub Vec<Text<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Stop<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Stop<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Stop(vec![text.into()]))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Stop(vec![text.to_owned().into()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = seq.next_element()? {
                    all.push(text);
                }
                Ok(Stop(all))
            }
        }

        deserializer.deserialize_any(Either)
    }
}
