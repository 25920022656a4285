//! Whether the tools that a choice names are among those that were given.
//!
//! OpenAI refuses a choice of another: "no function named … was specified". Nearly every request says
//! `auto` or nothing; where one is named, the tools are read once more for their names.
//!
//! Source: what the API answered to such requests on 2026-09-04, as others have noted it down.

use super::{
    fault::FaultKind,
    index::ToolChoice,
    name::Name,
    reader::{Read, Reader},
};
use crate::wire::json::{Cursor, Type};

/// A name, and where it stands.
#[derive(Clone, Copy)]
struct Named {
    at: usize,
    digest: u64,
    empty: bool,
}

/// What an object names: a function, a custom tool, or what its own `name` says.
#[derive(Default)]
struct Names {
    /// Which of the first two its type says.
    kind: Option<usize>,
    all: [Option<Named>; 3],
}

impl Names {
    /// Those that count: the one of its type where it is there.
    fn counting(&self) -> impl Iterator<Item = Named> {
        let own = self.kind.and_then(|kind| self.all[kind]);
        let others = self.all.iter().flatten().filter(move |_| own.is_none());
        own.into_iter().chain(others.copied())
    }
}

impl<'a> Reader<'a, '_> {
    /// What is asked of a choice once all are known, where it names anything.
    pub(super) fn choices(&mut self) -> Read {
        let choice = self.request.tool_choice;
        let names = matches!(choice, Some(ToolChoice::Named | ToolChoice::Allowed));
        if names || self.request.has(Name::FunctionCall) {
            return self.chosen();
        }
        Ok(())
    }

    /// Each tool that is named and was not given is a mistake.
    #[cold]
    #[inline(never)]
    fn chosen(&mut self) -> Read {
        // Without any tools the choice itself is the mistake.
        if self.request.tools > 0 {
            let expected = "the name of a tool in `tools`";
            self.named_among(Name::ToolChoice, Name::Tools, expected)?;
        }
        let expected = "the name of a function in `functions`";
        self.named_among(Name::FunctionCall, Name::Functions, expected)
    }

    fn named_among(&mut self, choice: Name, given: Name, expected: &'static str) -> Read {
        let Some(mut cursor) = self.at_value(choice, Type::Object)? else {
            return Ok(());
        };
        let Some(known) = self.known(given)? else {
            return Ok(());
        };
        let mut allowed = None;
        let names = self.names(&mut cursor, Some(&mut allowed))?;
        let Some(mut cursor) = allowed else {
            return self.compare(&names, &known, expected);
        };
        // There may be many: none is kept.
        cursor.array()?;
        while cursor.element()? {
            let names = self.names(&mut cursor, None)?;
            self.compare(&names, &known, expected)?;
        }
        Ok(())
    }

    /// The digests of all names that were given, in order; `None` where what something is called is open, and
    /// a mistake already.
    fn known(&mut self, given: Name) -> Read<Option<Vec<u64>>> {
        let mut known = Vec::new();
        if let Some(mut cursor) = self.at_value(given, Type::Array)? {
            cursor.array()?;
            while cursor.element()? {
                let names = self.names(&mut cursor, None)?;
                if names.counting().next().is_none() {
                    return Ok(None);
                }
                known.extend(names.counting().map(|name| name.digest));
            }
        }
        known.sort_unstable();
        Ok(Some(known))
    }

    /// What names something must name what is known.
    fn compare(&mut self, names: &Names, known: &[u64], expected: &'static str) -> Read {
        let is_known = |name: Named| known.binary_search(&name.digest).is_ok();
        match names.counting().next() {
            Some(first) if !names.counting().any(is_known) => {
                self.fault(first.at, FaultKind::Value(expected))
            }
            _ => Ok(()),
        }
    }

    /// At the value of a member, where it is of this type.
    fn at_value(&self, name: Name, kind: Type) -> Read<Option<Cursor<'a>>> {
        let Some(member) = self.request.member(name) else {
            return Ok(None);
        };
        let mut cursor = Cursor::within(self.text, member.value.start, usize::MAX);
        let is = cursor.peek()? == kind;
        Ok(is.then_some(cursor))
    }

    /// The names in the next value; where its type says so, `allowed` is where the list of allowed tools
    /// begins.
    fn names(
        &mut self,
        cursor: &mut Cursor<'a>,
        allowed: Option<&mut Option<Cursor<'a>>>,
    ) -> Read<Names> {
        let (mut names, mut list, mut is_list) = (Names::default(), None, false);
        if cursor.peek()? != Type::Object {
            cursor.skip()?;
            return Ok(names);
        }
        cursor.object()?;
        while let Some(key) = cursor.key()? {
            match (&*key.cow(), cursor.peek()?) {
                ("type", Type::String) => {
                    let kind = cursor.string()?.cow();
                    names.kind = ["function", "custom"].iter().position(|it| **it == *kind);
                    is_list = kind == "allowed_tools";
                }
                ("function", Type::Object) => names.all[0] = self.name_in(cursor)?,
                ("custom", Type::Object) => names.all[1] = self.name_in(cursor)?,
                ("name", Type::String) => names.all[2] = Some(self.noted(cursor)?),
                ("allowed_tools", Type::Object) => {
                    cursor.object()?;
                    while let Some(key) = cursor.key()? {
                        if *key.cow() == *"tools" && cursor.peek()? == Type::Array {
                            list = Some(cursor.clone());
                        }
                        cursor.skip()?;
                    }
                }
                _ => cursor.skip().map(drop)?,
            }
        }
        match allowed {
            Some(allowed) if is_list => *allowed = list,
            Some(_) => {}
            // What is in a list may have no name.
            None => names.all = names.all.map(|name| name.filter(|name| !name.empty)),
        }
        Ok(names)
    }

    /// The name in an object that comes next.
    fn name_in(&mut self, cursor: &mut Cursor<'a>) -> Read<Option<Named>> {
        let mut name = None;
        cursor.object()?;
        while let Some(key) = cursor.key()? {
            if *key.cow() == *"name" && cursor.peek()? == Type::String {
                name = Some(self.noted(cursor)?);
            } else {
                cursor.skip()?;
            }
        }
        Ok(name)
    }

    fn noted(&mut self, cursor: &mut Cursor<'a>) -> Read<Named> {
        let name = cursor.string()?;
        let at = name.range().start - 1;
        let digest = self.digest(name)?;
        let empty = name.bytes().is_empty();
        Ok(Named { at, digest, empty })
    }
}
