use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use super::{Raw, Text, lenient};

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
pub(super) struct Name<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
}

const KINDS: &[&str] = &["function", "custom", "allowed_tools"];

/// As it is spelled: what counts of it is for its type to say.
#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow, default, rename = "type", deserialize_with = "lenient::text")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    function: Option<Raw<'a>>,
    #[serde(borrow, default)]
    custom: Option<Raw<'a>>,
    #[serde(borrow, default)]
    allowed_tools: Option<Raw<'a>>,
    /// Some clients leave the wrapper out.
    #[serde(borrow, default, deserialize_with = "lenient::text")]
    name: Option<Text<'a>>,
}

impl<'a> Object<'a> {
    fn name<E: Error>(&self) -> Result<Option<Text<'a>>, E> {
        let kind = self.kind.as_deref();
        let function: Option<Name<'a>> = lenient::payload(self.function, kind, KINDS[0], KINDS)?;
        let custom: Option<Name<'a>> = lenient::payload(self.custom, kind, KINDS[1], KINDS)?;
        let named = function.or(custom).map(|it| it.name);
        Ok(named.or_else(|| self.name.clone()))
    }

    /// The name in an entry of a list whose entries the API does not look into.
    fn name_in(entry: Raw<'a>) -> Option<Text<'a>> {
        let object: Self = serde_json::from_str(entry.get()).ok()?;
        object.name::<serde_json::Error>().ok()?
    }
}

#[derive(Deserialize)]
struct Allowed<'a> {
    mode: AllowedMode,
    #[serde(borrow)]
    tools: Vec<Raw<'a>>,
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
                let object = Object::deserialize(MapAccessDeserializer::new(map))?;
                let kind = object.kind.as_deref();
                let allowed: Option<Allowed<'de>> =
                    lenient::payload(object.allowed_tools, kind, KINDS[2], KINDS)?;
                if let Some(allowed) = allowed {
                    let tools = allowed.tools.into_iter();
                    return Ok(ToolChoice::Allowed(
                        allowed.mode,
                        tools.filter_map(Object::name_in).collect(),
                    ));
                }
                object
                    .name()?
                    .map(ToolChoice::Named)
                    .ok_or_else(|| A::Error::custom("`tool_choice` names no tool"))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// What the answer must look like.
#[derive(Clone, Debug)]
pub struct ResponseFormat<'a> {
    /// `text`, `json_object` or `json_schema`.
    pub kind: Text<'a>,
    /// Of `json_schema`, and only there.
    pub json_schema: Option<Schema<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for ResponseFormat<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Spelled<'a> {
            #[serde(borrow, rename = "type")]
            kind: Text<'a>,
            #[serde(borrow, default)]
            json_schema: Option<Raw<'a>>,
        }

        const KINDS: &[&str] = &["text", "json_object", "json_schema"];
        let format = Spelled::deserialize(deserializer)?;
        let kind = Some(&*format.kind);
        Ok(Self {
            json_schema: lenient::payload(format.json_schema, kind, "json_schema", KINDS)?,
            kind: format.kind,
        })
    }
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
