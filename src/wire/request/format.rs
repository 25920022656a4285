//! The format of the answer.

use super::{
    found::Tag,
    known::{Words, keys, words},
    reader::{Null, OBJECT, Read, Reader},
};
use crate::wire::json::Type;

keys!(ResponseFormat {
    Type = "type",
    JsonSchema = "json_schema",
});

keys!(JsonSchema {
    Name = "name",
    Description = "description",
    Schema = "schema",
    Strict = "strict",
});

impl Reader<'_, '_> {
    pub(super) fn response_format(&mut self) -> Read {
        const EXPECTED: &str = "one of `text`, `json_object`, `json_schema`";
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        let start = self.cursor.at();
        const WORDS: &Words = words!("text", "json_object", "json_schema");
        let (mut tag, early) = (Tag::Open, self.held.begin());
        let seen = self.members(|reader, key| {
            match key {
                ResponseFormat::Type => tag = reader.tag(WORDS, EXPECTED, early)?,
                ResponseFormat::JsonSchema => {
                    reader.only_in(4, tag, Self::json_schema)?;
                }
            }
            Ok(())
        })?;
        self.held.forget(early);
        self.require(seen, ResponseFormat::Type)?;
        if tag == Tag::Is(2) {
            self.require(seen, ResponseFormat::JsonSchema)?;
            self.request.found.sums.schema_bytes += (self.cursor.at() - start) as u32;
        }
        Ok(())
    }

    fn json_schema(&mut self) -> Read {
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        let seen = self.members(|reader, key| match key {
            JsonSchema::Name => reader.name().map(drop),
            JsonSchema::Description => reader.any_text(Null::Refused),
            JsonSchema::Schema => reader.any_object(),
            JsonSchema::Strict => reader.bool(Null::Absent).map(drop),
        })?;
        self.require(seen, JsonSchema::Name)
    }
}
