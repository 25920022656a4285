//! Whether the tools that a choice names are among those that were given.
//!
//! OpenAI refuses a choice of another: "no function named … was specified". Where names stand is noted as
//! they are read, so that nothing long is read again for them: nearly every request says `auto` or nothing.
//!
//! Source: what the API answered to such requests on 2026-09-04, as others have noted it down.

use std::ops::Range;

use smallvec::SmallVec;

use super::{
    fault::FaultKind,
    index::ToolChoice,
    reader::{Read, Reader},
};
use crate::wire::json::{Cursor, Str, Type};

/// Of more names that are given no choice is judged.
const MOST_GIVEN: usize = 1024;
/// So many allowed tools are judged; the API takes no more tools than that.
const MOST_ALLOWED: usize = 128;

/// Where names of tools stand.
#[derive(Default)]
pub(super) struct Chosen {
    /// Those of the tools and of the functions that were given: of as many as an agent has, in place.
    given: SmallVec<[u32; 64]>,
    tools: Declared,
    functions: Declared,
    /// What is chosen of either.
    tool: Option<u32>,
    function: Option<u32>,
    /// Where tools begin that are allowed and may have a name.
    allowed: SmallVec<[u32; 2]>,
}

/// A list of what was declared: which of the names that are given are in it.
#[derive(Clone, Default)]
struct Declared {
    count: usize,
    names: Range<usize>,
}

impl Chosen {
    /// Notes the name of what is declared.
    #[inline(always)]
    pub(super) fn give(&mut self, name: Str<'_>) {
        if self.given.len() < MOST_GIVEN {
            self.given.push(place(name));
        }
    }

    /// Begins a list of what is declared.
    pub(super) fn begin(&self) -> usize {
        self.given.len()
    }

    pub(super) fn declare_tools(&mut self, begin: usize, count: usize) {
        let names = begin..self.given.len();
        self.tools = Declared { count, names };
    }

    pub(super) fn declare_functions(&mut self, begin: usize, count: usize) {
        let names = begin..self.given.len();
        self.functions = Declared { count, names };
    }

    pub(super) fn choose_tool(&mut self, name: Option<u32>) {
        self.tool = name;
    }

    pub(super) fn choose_function(&mut self, name: Option<u32>) {
        self.function = name;
    }

    /// Notes where a tool begins that is allowed and may have a name.
    pub(super) fn allow(&mut self, at: usize) {
        if self.allowed.len() < MOST_ALLOWED {
            self.allowed.push(at as u32);
        }
    }

    /// Where the names of a list stand; `None` where what something is called is open, which is a mistake
    /// already, or there are too many.
    fn names_of(&self, list: &Declared) -> Option<&[u32]> {
        let is_open = list.names.len() < list.count || self.given.len() == MOST_GIVEN;
        self.given.get(list.names.clone()).filter(|_| !is_open)
    }
}

/// Where a string begins, its quote.
#[inline(always)]
pub(super) fn place(string: Str<'_>) -> u32 {
    (string.range().start - 1) as u32
}

/// A name, and where it stands.
#[derive(Clone, Copy)]
struct Named {
    at: u32,
    digest: u64,
}

/// What an allowed tool names: a function, a custom tool, or what its own `name` says.
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
    /// What is asked of a choice once all are known: each tool that is named and was not given is a mistake.
    #[inline]
    pub(super) fn choices(&mut self) -> Read {
        let choice = self.request.tool_choice;
        let names = matches!(choice, Some(ToolChoice::Named | ToolChoice::Allowed));
        if names || self.chosen.function.is_some() {
            return self.chosen();
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn chosen(&mut self) -> Read {
        let chosen = std::mem::take(&mut self.chosen);
        // Without any tools the choice itself is the mistake.
        let tools = chosen.names_of(&chosen.tools);
        if let Some(tools) = tools.filter(|_| chosen.tools.count > 0) {
            let known = self.known(tools)?;
            let expected = "the name of a tool in `tools`";
            if self.request.tool_choice == Some(ToolChoice::Allowed) {
                for at in &chosen.allowed {
                    let names = self.names(*at)?;
                    self.compare(names.counting(), &known, expected)?;
                }
            } else if let Some(at) = chosen.tool {
                let name = self.named_at(at)?;
                self.compare(std::iter::once(name), &known, expected)?;
            }
        }
        let functions = chosen.names_of(&chosen.functions);
        if let (Some(functions), Some(at)) = (functions, chosen.function) {
            let known = self.known(functions)?;
            let name = self.named_at(at)?;
            let expected = "the name of a function in `functions`";
            self.compare(std::iter::once(name), &known, expected)?;
        }
        Ok(())
    }

    /// The digests of names, in order.
    fn known(&mut self, names: &[u32]) -> Read<Vec<u64>> {
        let mut known = Vec::with_capacity(names.len());
        for at in names {
            known.push(self.named_at(*at)?.digest);
        }
        known.sort_unstable();
        Ok(known)
    }

    /// What names something must name what is known.
    fn compare(
        &mut self,
        mut names: impl Iterator<Item = Named>,
        known: &[u64],
        expected: &'static str,
    ) -> Read {
        let Some(first) = names.next() else {
            return Ok(());
        };
        let is_known = |name: Named| known.binary_search(&name.digest).is_ok();
        if is_known(first) || names.any(is_known) {
            return Ok(());
        }
        self.fault(first.at as usize, FaultKind::Value(expected))
    }

    /// What the allowed tool names that begins at a place. It may have no name.
    fn names(&mut self, at: u32) -> Read<Names> {
        let mut names = Names::default();
        let cursor = &mut self.at(at);
        cursor.object()?;
        while let Some(key) = cursor.key()? {
            match (&*key.cow(), cursor.peek()?) {
                ("type", Type::String) => {
                    let kind = cursor.string()?.cow();
                    names.kind = ["function", "custom"].iter().position(|it| **it == *kind);
                }
                ("function", Type::Object) => names.all[0] = self.name_in(cursor)?,
                ("custom", Type::Object) => names.all[1] = self.name_in(cursor)?,
                ("name", Type::String) => names.all[2] = self.named(cursor.string()?)?,
                _ => cursor.skip().map(drop)?,
            }
        }
        Ok(names)
    }

    /// The name in an object that comes next.
    fn name_in(&mut self, cursor: &mut Cursor<'a>) -> Read<Option<Named>> {
        let mut name = None;
        cursor.object()?;
        while let Some(key) = cursor.key()? {
            if *key.cow() == *"name" && cursor.peek()? == Type::String {
                name = self.named(cursor.string()?)?;
            } else {
                cursor.skip()?;
            }
        }
        Ok(name)
    }

    /// The name that begins at a place.
    fn named_at(&mut self, at: u32) -> Read<Named> {
        let digest = self.at(at).string()?;
        let digest = self.digest(digest)?;
        Ok(Named { at, digest })
    }

    /// None where it is empty.
    fn named(&mut self, name: Str<'a>) -> Read<Option<Named>> {
        let (at, digest) = (place(name), self.digest(name)?);
        Ok(Some(Named { at, digest }).filter(|_| !name.bytes().is_empty()))
    }

    /// Reads again what begins at a place.
    fn at(&self, at: u32) -> Cursor<'a> {
        Cursor::within(self.text, at as usize, usize::MAX)
    }
}
