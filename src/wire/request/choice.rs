//! The choice among tools, and among functions.

use super::{
    chosen,
    found::Tag,
    index::ToolChoice,
    known::{Words, keys, words},
    reader::{Null, OBJECT, Read, Reader, duplicate},
    values::place_of,
};
use crate::wire::json::{Key, Stop, Type, beginnings};

/// The members that may name a tool.
const TOOL_NAMES: &Words = words!("type", "name", "function", "custom");
const BEGINNINGS: u64 = beginnings(TOOL_NAMES);

keys!(Choice {
    Type = "type",
    Function = "function",
    Custom = "custom",
    AllowedTools = "allowed_tools",
});

keys!(Allowed {
    Mode = "mode",
    Tools = "tools",
});

keys!(Named { Name = "name", });

impl<'a> Reader<'a, '_> {
    pub(super) fn tool_choice(&mut self) -> Read {
        const EXPECTED: &str = "one of `none`, `auto`, `required`, or an object";
        let choice = match self.cursor.peek()? {
            Type::String => {
                let words = words!("none", "auto", "required");
                match self.word(words, Null::Refused, EXPECTED)? {
                    Some(0) => Some(ToolChoice::None),
                    Some(1) => Some(ToolChoice::Auto),
                    Some(2) => Some(ToolChoice::Required),
                    _ => None,
                }
            }
            Type::Object => self.tool_choice_object()?,
            found => {
                self.mismatch(found, Null::Refused, EXPECTED)?;
                None
            }
        };
        self.request.tool_choice = choice;
        Ok(())
    }

    fn tool_choice_object(&mut self) -> Read<Option<ToolChoice>> {
        const TYPES: &Words = words!("function", "custom", "allowed_tools");
        const EXPECTED: &str = "one of `function`, `custom`, `allowed_tools`";
        let (mut tag, early) = (Tag::Open, self.held.begin());
        let mut names = [None; 2];
        let seen = self.members(|reader, key| {
            let mut name = |reader: &mut Self, kind: usize| {
                reader.named_here().map(|place| names[kind] = place)
            };
            match key {
                Choice::Type => tag = reader.tag(TYPES, EXPECTED, early)?,
                Choice::Function => reader.only_in(1, tag, |reader| name(reader, 0))?,
                Choice::Custom => reader.only_in(2, tag, |reader| name(reader, 1))?,
                Choice::AllowedTools => reader.only_in(4, tag, Self::allowed_tools)?,
            }
            Ok(())
        })?;
        self.held.forget(early);
        self.require(seen, Choice::Type)?;
        let (key, choice) = match tag {
            Tag::Is(0) => (Choice::Function, ToolChoice::Named),
            Tag::Is(1) => (Choice::Custom, ToolChoice::Named),
            Tag::Is(_) => (Choice::AllowedTools, ToolChoice::Allowed),
            Tag::Open | Tag::Wrong => return Ok(None),
        };
        self.require(seen, key)?;
        let [function, custom] = names;
        self.chosen
            .choose_tool(if tag == Tag::Is(0) { function } else { custom });
        Ok(Some(choice))
    }

    fn allowed_tools(&mut self) -> Read {
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        let seen = self.members(|reader, key| match key {
            Allowed::Mode => {
                let expected = "one of `auto`, `required`";
                let words = words!("auto", "required");
                reader.word(words, Null::Refused, expected).map(drop)
            }
            Allowed::Tools => {
                if reader.want(Type::Array, Null::Refused, "an array of tools")? {
                    reader.items(0..=usize::MAX, "", |reader| {
                        if reader.cursor.pass_empty_object() {
                            Ok(())
                        } else if reader.want(Type::Object, Null::Refused, OBJECT)? {
                            let at = reader.cursor.at();
                            if reader.tool_by_name()? {
                                reader.chosen.allow(at);
                            } else {
                                reader.pass_nameless_tools();
                            }
                            Ok(())
                        } else {
                            reader.pass_as_wrong()
                        }
                    })?;
                }
                Ok(())
            }
        })?;
        self.require(seen, Allowed::Mode)?;
        self.require(seen, Allowed::Tools)
    }

    /// Passes those behind one that have no member by which they could name a tool.
    #[inline(never)]
    fn pass_nameless_tools(&mut self) {
        self.cursor
            .pass_objects::<BEGINNINGS>(|key| place_of(TOOL_NAMES, key.word).is_none());
    }

    /// What may name a tool: whether a member in it does. The API does not look into it; which tool it names
    /// must be clear.
    fn tool_by_name(&mut self) -> Read<bool> {
        self.pass_but(TOOL_NAMES, |reader, name| {
            if name >= 2 && reader.cursor.is_object() {
                reader.pass_but(words!("name"), |reader, _| Ok(reader.cursor.pass()?))?;
                return Ok(());
            }
            Ok(reader.cursor.pass()?)
        })
    }

    /// Passes an object that nobody reads, but for a few members: these are given to `each`, which passes the
    /// value, and each may stand in it once. Whether there is one.
    #[inline(always)]
    fn pass_but(
        &mut self,
        names: &'static Words,
        mut each: impl FnMut(&mut Self, u8) -> Read,
    ) -> Read<bool> {
        self.cursor.enter_here()?;
        let mut seen = 0_u8;
        loop {
            let named = |key: Key<'_>| Ok::<_, Stop>(place_of(names, key.word).is_none());
            let unpassed = self.cursor.pass_most_members::<BEGINNINGS, _>(named)?;
            let key = match unpassed {
                Some(unpassed) => {
                    self.cursor.pass_key(&unpassed);
                    Some(unpassed.key)
                }
                None => self.cursor.next_any_key()?,
            };
            let Some(key) = key else { return Ok(seen != 0) };
            let Some(name) = place_of(names, key.word) else {
                self.cursor.pass()?;
                continue;
            };
            if seen >> name & 1 == 1 {
                return Err(duplicate(key.string.start()));
            }
            seen |= 1 << name;
            each(self, name)?;
        }
    }

    /// `{name}`, of whatever was declared: where its name stands.
    fn named_here(&mut self) -> Read<Option<u32>> {
        let mut place = None;
        if self.want(Type::Object, Null::Refused, OBJECT)? {
            let seen = self.members(|reader, _: Named| {
                let name = reader.text(Null::Refused, "a string")?;
                place = name.map(chosen::place);
                Ok(())
            })?;
            self.require(seen, Named::Name)?;
        }
        Ok(place)
    }

    pub(super) fn function_choice(&mut self) -> Read {
        const EXPECTED: &str = "one of `none`, `auto`, or an object with a `name`";
        match self.cursor.peek()? {
            Type::String => drop(self.word(words!("none", "auto"), Null::Refused, EXPECTED)?),
            Type::Object => {
                let name = self.named_here()?;
                self.chosen.choose_function(name);
            }
            found => self.mismatch(found, Null::Refused, EXPECTED)?,
        }
        Ok(())
    }
}
