//! JSON objects whose members keep their order and their text.

use std::{fmt, mem};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::chat::Text;

/// The members of an object in their order, their values as text.
pub(crate) struct Members<'a>(pub(crate) Vec<(Text<'a>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(member) = map.next_entry()? {
                    all.push(member);
                }
                Ok(Members(all))
            }
        }

        deserializer.deserialize_map(Each)
    }
}

impl<'a> Members<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.0.iter().find(|(key, _)| &**key == name);
        found.map(|(_, value)| *value)
    }

    pub(crate) fn choices(&self) -> serde_json::Result<Vec<Self>> {
        let raw = self.get("choices").map_or("[]", RawValue::get);
        let choices: Option<Vec<Self>> = serde_json::from_str(raw)?;
        Ok(choices.unwrap_or_default())
    }

    /// Those that are not named so.
    pub(crate) fn without(&self, names: &[&str]) -> Self {
        let kept = self.0.iter().filter(|(key, _)| !names.contains(&&**key));
        Self(kept.cloned().collect())
    }

    /// Writes them, those named in `with` replaced; what is there and not here comes last.
    pub(crate) fn write(&self, with: &[(&str, &str)], out: &mut Vec<u8>) {
        let mut first = true;
        let mut member = |name: &Text<'_>, json: &str| {
            out.push(if mem::take(&mut first) { b'{' } else { b',' });
            serde_json::to_writer(&mut *out, name).expect("a string serialises into memory");
            out.push(b':');
            out.extend_from_slice(json.as_bytes());
        };
        for (name, value) in &self.0 {
            let replaced = with.iter().find(|(key, _)| *key == &**name);
            member(name, replaced.map_or(value.get(), |(_, json)| json));
        }
        for (name, json) in with {
            if self.get(name).is_none() {
                member(&Text::from(*name), json);
            }
        }
        if first {
            out.push(b'{');
        }
        out.push(b'}');
    }
}
