//! Tools, and the functions that were before them.

use super::{
    fault::FaultKind,
    found::Tag,
    known::{keys, words},
    reader::{Null, OBJECT, Read, Reader},
};
use crate::wire::json::{Str, Type};

const NAME: &str = "a name of 1 to 64 letters, digits, `_` or `-`";
const TOOL: &str = "one of `function`, `custom`";

keys!(Tool {
    Type = "type",
    Function = "function",
    Custom = "custom",
});

keys!(Function {
    Name = "name",
    Description = "description",
    Parameters = "parameters",
    Strict = "strict",
});

keys!(Custom {
    Name = "name",
    Description = "description",
    Format = "format",
});

keys!(Format {
    Type = "type",
    Grammar = "grammar",
});

keys!(Grammar {
    Definition = "definition",
    Syntax = "syntax",
});

impl<'a> Reader<'a, '_> {
    pub(super) fn tools(&mut self) -> Read {
        if self.want(Type::Array, Null::Refused, "an array of tools")? {
            let start = self.cursor.at();
            let names = self.chosen.begin();
            let count = self.items(0..=usize::MAX, "", Self::tool)?;
            self.chosen.declare_tools(names, count);
            self.request.tools = count;
            self.request.found.sums.tools += count as u32;
            self.request.found.sums.schema_bytes += (self.cursor.at() - start) as u32;
        }
        Ok(())
    }

    fn tool(&mut self) -> Read {
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        let (mut tag, early) = (Tag::Open, self.held.begin());
        let seen = self.members(|reader, key| {
            match key {
                Tool::Type => tag = reader.tag(words!("function", "custom"), TOOL, early)?,
                Tool::Function => reader.only_in(1, tag, Self::function)?,
                Tool::Custom => reader.only_in(2, tag, Self::custom)?,
            }
            Ok(())
        })?;
        self.held.forget(early);
        self.require(seen, Tool::Type)?;
        match tag {
            Tag::Is(0) => self.require(seen, Tool::Function),
            Tag::Is(_) => self.require(seen, Tool::Custom),
            _ => Ok(()),
        }
    }

    fn function(&mut self) -> Read {
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        let seen = self.members(|reader, key| match key {
            Function::Name => {
                if let Some(name) = reader.name()? {
                    reader.chosen.give(name);
                }
                Ok(())
            }
            Function::Description => reader.any_text(Null::Refused),
            Function::Parameters => reader.any_object(),
            Function::Strict => reader.bool(Null::Absent).map(drop),
        })?;
        self.require(seen, Function::Name)
    }

    fn custom(&mut self) -> Read {
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        let seen = self.members(|reader, key| match key {
            Custom::Name => {
                if let Some(name) = reader.text(Null::Refused, "a string")? {
                    reader.chosen.give(name);
                }
                Ok(())
            }
            Custom::Description => reader.any_text(Null::Refused),
            Custom::Format => reader.custom_format(),
        })?;
        self.require(seen, Custom::Name)
    }

    fn custom_format(&mut self) -> Read {
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        let (mut tag, early) = (Tag::Open, self.held.begin());
        let seen = self.members(|reader, key| {
            match key {
                Format::Type => {
                    let expected = "one of `text`, `grammar`";
                    tag = reader.tag(words!("text", "grammar"), expected, early)?;
                }
                Format::Grammar => reader.only_in(2, tag, Self::grammar)?,
            }
            Ok(())
        })?;
        self.held.forget(early);
        self.require(seen, Format::Type)?;
        if tag == Tag::Is(1) {
            self.require(seen, Format::Grammar)?;
        }
        Ok(())
    }

    fn grammar(&mut self) -> Read {
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        let seen = self.members(|reader, key| match key {
            Grammar::Definition => reader.any_text(Null::Refused),
            Grammar::Syntax => {
                let expected = "one of `lark`, `regex`";
                let words = words!("lark", "regex");
                reader.word(words, Null::Refused, expected).map(drop)
            }
        })?;
        self.require(seen, Grammar::Definition)?;
        self.require(seen, Grammar::Syntax)
    }

    pub(super) fn functions(&mut self) -> Read {
        if self.want(Type::Array, Null::Refused, "an array of functions")? {
            let start = self.cursor.at();
            let expected = "an array of 1 to 128 functions";
            let names = self.chosen.begin();
            let count = self.items(1..=128, expected, Self::function)?;
            self.chosen.declare_functions(names, count);
            self.request.found.sums.tools += count as u32;
            self.request.found.sums.schema_bytes += (self.cursor.at() - start) as u32;
        }
        Ok(())
    }

    pub(super) fn name(&mut self) -> Read<Option<Str<'a>>> {
        let name = self.text(Null::Refused, NAME)?;
        if let Some(name) = name.filter(|name| !is_name(*name)) {
            self.fault(name.range().start - 1, FaultKind::Value(NAME))?;
        }
        Ok(name)
    }

    /// An object that is the model's business.
    pub(super) fn any_object(&mut self) -> Read {
        if self.want(Type::Object, Null::Refused, OBJECT)? {
            self.cursor.pass()?;
        }
        Ok(())
    }
}

#[inline(always)]
fn is_name(name: Str<'_>) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    // Of those that are allowed each is one byte, and none takes more than the six of an escape.
    if !(1..=6 * 64).contains(&name.bytes().len()) {
        return false;
    }
    let (all, count) = name.all(allowed);
    all && count <= 64
}
