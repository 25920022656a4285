//! A request read as types from where it came and from what was set since, with no text of it copied
//! in between.

use std::slice::Iter;

use serde::{
    Deserialize,
    de::{DeserializeSeed, MapAccess, value::MapAccessDeserializer},
};

use crate::wire::chat::Request;

/// Members in their order, each by its quoted key and its value, both as JSON.
pub(super) fn read<'a>(members: &[(&'a str, &'a str)]) -> serde_json::Result<Request<'a>> {
    let members = Members {
        left: members.iter(),
        value: "",
    };
    Request::deserialize(MapAccessDeserializer::new(members))
}

struct Members<'m, 'a> {
    left: Iter<'m, (&'a str, &'a str)>,
    value: &'a str,
}

impl<'a> MapAccess<'a> for Members<'_, 'a> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'a>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Self::Error> {
        let Some((key, value)) = self.left.next() else {
            return Ok(None);
        };
        self.value = value;
        let mut key = serde_json::Deserializer::from_str(key);
        seed.deserialize(&mut key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Self::Error> {
        let mut value = serde_json::Deserializer::from_str(self.value);
        let read = seed.deserialize(&mut value)?;
        value.end()?;
        Ok(read)
    }
}
