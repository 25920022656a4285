//! Schemas as the provider takes them: closed objects, without bounds.
//!
//! What its own SDKs do with a schema (Python and TypeScript, read 2026-11) is done here: objects are
//! closed, `oneOf` becomes `anyOf`, and keywords that the provider refuses are told to the model in the
//! description. What no description can make up for is not a schema that it takes: an object of free
//! keys, a schema that admits anything, one that contains itself.

use std::{borrow::Cow, fmt::Write as _};

use serde_json::value::RawValue;

use crate::{error::Error, provider::Notes, wire::Members, wire::chat::Function};

/// The formats of strings that the provider keeps to.
const FORMATS: &[&str] = &[
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "uri",
    "ipv4",
    "ipv6",
    "uuid",
];

/// A schema that the provider keeps to, and whether it says less than the client's, or the same in
/// another way. `None` where it has no such schema.
pub(in crate::provider) fn closed(schema: &RawValue) -> Option<Cow<'_, RawValue>> {
    let mut closing = Closing::default();
    closing.schema(schema)?;
    if closing.is_recursive() {
        return None;
    }
    if !closing.changed {
        return Some(Cow::Borrowed(schema));
    }
    let text = String::from_utf8(closing.out).ok()?;
    RawValue::from_string(text).ok().map(Cow::Owned)
}

/// The schema of a function's arguments, and whether it is to be kept strictly: as the client wants, where
/// the model can and the provider takes the schema. `plain` is the schema of a function that is not strict.
pub(in crate::provider) fn strictly(
    function: &Function<'_>,
    plain: Box<RawValue>,
    knows: bool,
    notes: &mut Notes,
) -> Result<(Box<RawValue>, Option<bool>), Error> {
    const NONE: &str = r#"{"type":"object","properties":{},"additionalProperties":false}"#;
    if function.strict != Some(true) {
        return Ok((plain, None));
    }
    if knows && function.parameters.is_none() {
        let none = RawValue::from_string(NONE.to_owned()).expect("this is JSON");
        return Ok((none, Some(true)));
    }
    match knows.then(|| closed(&plain)).flatten() {
        Some(Cow::Borrowed(_)) => Ok((plain, Some(true))),
        Some(Cow::Owned(schema)) => {
            notes.changed("tools[].function.parameters");
            Ok((schema, Some(true)))
        }
        None => {
            notes.without("tools[].function.strict")?;
            Ok((plain, None))
        }
    }
}

#[derive(Default)]
struct Closing {
    out: Vec<u8>,
    changed: bool,
    /// The definition that is being written, by its pointer; empty outside of them all.
    inside: String,
    defined: Vec<String>,
    /// Which definition names which.
    names: Vec<(String, String)>,
}

/// The keywords that decide how a schema is written.
struct Keys {
    object: bool,
    array: bool,
    string: bool,
    /// It is one of several.
    choice: bool,
}

impl Keys {
    fn of(members: &Members<'_>) -> Option<Self> {
        let has = |name| members.get(name).is_some();
        let kind = members.get("type").map_or("", RawValue::get);
        let is = |name: &str| kind.contains(name);
        let properties = has("properties");
        let choice = has("anyOf") || has("oneOf");
        let keys = Self {
            object: is("\"object\"") || (kind.is_empty() && properties),
            array: is("\"array\"") || (kind.is_empty() && has("items")),
            string: is("\"string\""),
            choice,
        };
        // To close what has both would leave nothing that fits.
        let both = choice && (properties || (has("anyOf") && has("oneOf")) || has("allOf"));
        let anything = kind.is_empty()
            && !(keys.object || keys.array || choice)
            && !["enum", "const", "allOf", "$ref"].into_iter().any(has);
        (!both && !anything).then_some(keys)
    }
}

impl Closing {
    fn schema(&mut self, raw: &RawValue) -> Option<()> {
        let members: Members<'_> = serde_json::from_str(raw.get()).ok()?;
        // Pydantic's way to describe what it refers to.
        let only = members.get("allOf").and_then(only);
        let refers = members.get("$ref").or_else(|| {
            let only: Members<'_> = serde_json::from_str(only?.get()).ok()?;
            only.get("$ref").filter(|_| only.0.len() == 1)
        });
        if let Some(to) = refers {
            return self.reference(to, &members);
        }
        let keys = Keys::of(&members)?;
        if keys.object && !keys.choice {
            let empty = |it: &RawValue| it.get()[1..].trim_start().starts_with('}');
            let free = members.get("properties").is_none_or(empty);
            let more = members.get("additionalProperties").map(RawValue::get);
            match more {
                Some("false") => {}
                None | Some("true") if !free => self.changed = true,
                _ => return None,
            }
        }
        let mut object = Open::new(&mut self.out);
        if members.get("type").is_none() && (keys.object || keys.array) {
            self.changed = true;
            let kind = if keys.object { "object" } else { "array" };
            object.member("type", &mut self.out);
            json(kind, &mut self.out);
        }
        let mut left = Vec::new();
        for (key, value) in &members.0 {
            let value = *value;
            match &**key {
                "type" if keys.choice && keys.object => self.changed = true,
                "type" | "title" => object.raw(key, value, &mut self.out),
                "required" if keys.object => object.raw(key, value, &mut self.out),
                "enum" if is_plain_list(value) => object.raw(key, value, &mut self.out),
                "const" if is_plain(value) => object.raw(key, value, &mut self.out),
                "enum" | "const" => return None,
                "$defs" | "definitions" if self.inside.is_empty() => {
                    object.member(key, &mut self.out);
                    self.definitions(key, value)?;
                }
                "anyOf" | "oneOf" | "allOf" => {
                    self.changed |= &**key == "oneOf";
                    if &**key == "allOf" && only.is_none() {
                        return None;
                    }
                    let name = if &**key == "oneOf" { "anyOf" } else { key };
                    object.member(name, &mut self.out);
                    self.list(value)?;
                }
                "properties" if keys.object => {
                    object.member(key, &mut self.out);
                    self.named(value)?;
                }
                "items" if keys.array => {
                    object.member(key, &mut self.out);
                    self.schema(value)?;
                }
                "minItems" if keys.array && matches!(value.get(), "0" | "1") => {
                    object.raw(key, value, &mut self.out);
                }
                "format" if keys.string && is_format(value) => {
                    object.raw(key, value, &mut self.out);
                }
                // What they say is said behind the others.
                "additionalProperties" if keys.object => {}
                "description" => {}
                // Which draft it is of, and what nobody reads.
                "$schema" | "$comment" => self.changed = true,
                _ => left.push((key, value)),
            }
        }
        if keys.object && !keys.choice {
            object.member("additionalProperties", &mut self.out);
            self.out.extend_from_slice(b"false");
        }
        let mut description: String = match members.get("description") {
            None => String::new(),
            Some(raw) => serde_json::from_str(raw.get()).ok()?,
        };
        if !left.is_empty() {
            self.changed = true;
            if !description.is_empty() {
                description.push_str("\n\n");
            }
            for (at, (key, value)) in left.into_iter().enumerate() {
                let between = if at == 0 { "{" } else { ", " };
                let _ = write!(description, "{between}{}: {}", &**key, value.get());
            }
            description.push('}');
        }
        if !description.is_empty() {
            object.member("description", &mut self.out);
            json(&description, &mut self.out);
        }
        self.out.push(b'}');
        Some(())
    }

    /// A schema that stands elsewhere; nothing may stand beside its name.
    fn reference(&mut self, to: &RawValue, members: &Members<'_>) -> Option<()> {
        let name: String = serde_json::from_str(to.get()).ok()?;
        let mut object = Open::new(&mut self.out);
        for (key, value) in &members.0 {
            match &**key {
                "$ref" => {}
                "$defs" | "definitions" if self.inside.is_empty() => {
                    object.member(key, &mut self.out);
                    self.definitions(key, value)?;
                }
                "allOf" | "type" | "title" | "description" | "default" | "examples" | "$schema"
                | "$comment" => self.changed = true,
                _ => return None,
            }
        }
        object.raw("$ref", to, &mut self.out);
        self.out.push(b'}');
        self.names.push((self.inside.clone(), name));
        Some(())
    }

    fn definitions(&mut self, key: &str, raw: &RawValue) -> Option<()> {
        let all: Members<'_> = serde_json::from_str(raw.get()).ok()?;
        let mut object = Open::new(&mut self.out);
        for (name, schema) in &all.0 {
            self.inside = format!("#/{key}/{}", &**name);
            self.defined.push(self.inside.clone());
            object.member(name, &mut self.out);
            self.schema(schema)?;
        }
        self.inside.clear();
        self.out.push(b'}');
        Some(())
    }

    fn named(&mut self, raw: &RawValue) -> Option<()> {
        let all: Members<'_> = serde_json::from_str(raw.get()).ok()?;
        let mut object = Open::new(&mut self.out);
        for (name, schema) in &all.0 {
            object.member(name, &mut self.out);
            self.schema(schema)?;
        }
        self.out.push(b'}');
        Some(())
    }

    fn list(&mut self, raw: &RawValue) -> Option<()> {
        let all: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
        self.out.push(b'[');
        for (at, schema) in all.into_iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            self.schema(schema)?;
        }
        self.out.push(b']');
        Some(())
    }

    /// Whether a definition leads back to itself, or a name to none.
    fn is_recursive(&self) -> bool {
        if self
            .names
            .iter()
            .any(|(_, to)| self.defined.iter().all(|it| **it != **to))
        {
            return true;
        }
        // A definition is done when all that it names are; what is left leads back to itself.
        let mut done: Vec<&str> = Vec::new();
        loop {
            let before = done.len();
            for one in &self.defined {
                let mut named = self.names.iter().filter(|(from, _)| from == one);
                if !done.contains(&&**one) && named.all(|(_, to)| done.contains(&&**to)) {
                    done.push(one);
                }
            }
            if done.len() == before {
                return before < self.defined.len();
            }
        }
    }
}

/// The one element of an array.
fn only(raw: &RawValue) -> Option<&RawValue> {
    let all: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
    all.first().copied().filter(|_| all.len() == 1)
}

/// Whether a value is neither an array nor an object.
fn is_plain(raw: &RawValue) -> bool {
    !raw.get().starts_with(['[', '{'])
}

fn is_plain_list(raw: &RawValue) -> bool {
    let all = serde_json::from_str::<Vec<&RawValue>>(raw.get());
    all.is_ok_and(|all| all.into_iter().all(is_plain))
}

fn is_format(raw: &RawValue) -> bool {
    let name = raw.get().trim_matches('"');
    FORMATS.contains(&name)
}

fn json(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a string serialises into memory");
}

/// An object that is being written.
struct Open {
    first: bool,
}

impl Open {
    fn new(out: &mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { first: true }
    }

    fn member(&mut self, name: &str, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.first) {
            out.push(b',');
        }
        json(name, out);
        out.push(b':');
    }

    fn raw(&mut self, name: &str, value: &RawValue, out: &mut Vec<u8>) {
        self.member(name, out);
        out.extend_from_slice(value.get().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(schema: &str) -> Option<String> {
        let raw = RawValue::from_string(schema.to_owned()).expect("JSON");
        closed(&raw).map(|raw| raw.get().to_owned())
    }

    #[test]
    fn what_is_closed_already_stays_as_it_is() {
        for schema in [
            r#"{ "type":"object", "properties":{"z":{"type":"string","format":"date"},"a":{"type":["integer","null"]}}, "required":["z"], "additionalProperties":false}"#,
            r#"{"type":"array","items":{"enum":["a",1,null]},"minItems":1}"#,
            r##"{"$defs":{"a":{"type":"string"},"b":{"anyOf":[{"$ref":"#/$defs/a"},{"type":"null"}]}},"$ref":"#/$defs/b"}"##,
            r#"{"type":"object","properties":{},"additionalProperties":false}"#,
        ] {
            assert_eq!(told(schema).as_deref(), Some(schema));
        }
    }

    #[test]
    fn what_can_be_said_in_other_words_is() {
        for (schema, want) in [
            // The order of properties is the order in which a model writes them.
            (
                r#"{"properties":{"z":{"type":"integer","minimum":1,"maximum":9,"description":"how many"},"a":{"type":"string","maxLength":3}}}"#,
                r#"{"type":"object","properties":{"z":{"type":"integer","description":"how many\n\n{minimum: 1, maximum: 9}"},"a":{"type":"string","description":"{maxLength: 3}"}},"additionalProperties":false}"#,
            ),
            (
                r#"{"$schema":"x","type":"object","properties":{"a":{"oneOf":[{"type":"object","properties":{"b":{"type":"null"}},"additionalProperties":true},{"const":"c"}]}},"additionalProperties":false}"#,
                r#"{"type":"object","properties":{"a":{"anyOf":[{"type":"object","properties":{"b":{"type":"null"}},"additionalProperties":false},{"const":"c"}]}},"additionalProperties":false}"#,
            ),
            (
                r#"{"type":"array","items":{"type":"string","format":"regex","pattern":"^a"},"minItems":2,"maxItems":3}"#,
                r#"{"type":"array","items":{"type":"string","description":"{format: \"regex\", pattern: \"^a\"}"},"description":"{minItems: 2, maxItems: 3}"}"#,
            ),
            (
                r##"{"type":"object","properties":{"a":{"allOf":[{"$ref":"#/definitions/d"}],"description":"an a"}},"definitions":{"d":{"type":"number","multipleOf":2}},"additionalProperties":false}"##,
                r##"{"type":"object","properties":{"a":{"$ref":"#/definitions/d"}},"definitions":{"d":{"type":"number","description":"{multipleOf: 2}"}},"additionalProperties":false}"##,
            ),
        ] {
            assert_eq!(told(schema).as_deref(), Some(want));
        }
    }

    #[test]
    fn what_cannot_be_said_is_no_such_schema() {
        for schema in [
            "true",
            "{}",
            r#"{"description":"anything"}"#,
            // Free keys.
            r#"{"type":"object"}"#,
            r#"{"type":"object","properties":{ },"additionalProperties":true}"#,
            r#"{"type":"object","properties":{"a":{"type":"null"}},"additionalProperties":{"type":"string"}}"#,
            r#"{"type":"object","properties":{"a":true},"additionalProperties":false}"#,
            r#"{"type":"array","items":{}}"#,
            r#"{"type":"array","items":[{"type":"string"}]}"#,
            r#"{"enum":[{"a":1}]}"#,
            r#"{"const":[1]}"#,
            // Itself, by whichever way; what is not there.
            r##"{"type":"object","properties":{"a":{"$ref":"#"}},"additionalProperties":false}"##,
            r##"{"$defs":{"a":{"type":"array","items":{"$ref":"#/$defs/b"}},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"}"##,
            r#"{"$ref":"https://host/schema"}"#,
            // What would fit nothing.
            r#"{"allOf":[{"type":"string"},{"maxLength":3}]}"#,
            r#"{"type":"object","properties":{"a":{"type":"null"}},"anyOf":[{"required":["a"]}]}"#,
        ] {
            assert_eq!(told(schema), None, "{schema}");
        }
    }
}
