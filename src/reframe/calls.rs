//! Tool calls: counted from 0, named once.

use serde_json::{Map, Value};

use super::{
    edits::Object,
    pass::{Bad, Form, Pass},
};
use crate::{
    id,
    wire::{
        json::{Cursor, Fault, Type},
        shape,
    },
};

/// Tool calls that one choice may have.
const MAX_CALLS: usize = 1024;

/// The calls of one choice so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(Vec<Call>);

#[derive(Clone, Debug)]
struct Call {
    /// Its index at the upstream.
    upstream: u64,
    /// Its id at the upstream, or ours where it had none.
    id: Box<str>,
    /// As it is spelled; empty where it was opened without one.
    name: Box<str>,
    /// The fragment that opened it had arguments from brace to brace.
    whole: bool,
}

/// The call that a fragment belongs to.
enum Which {
    Known(usize),
    /// It opens this one, which goes out under an id of ours where the upstream has given none, or
    /// one that another call has.
    New(usize, Option<String>),
}

impl Calls {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fragments in one delta, or the calls of a whole message.
    pub(super) fn read(&mut self, c: &mut Cursor<'_>, pass: &mut Pass<'_, '_>) -> Result<(), Bad> {
        c.array()?;
        let mut position = 0;
        while c.element()? {
            if c.peek()? != Type::Object {
                return Err(Bad::Shape("tool_calls[]"));
            }
            self.call(c, position, pass)?;
            position += 1;
        }
        Ok(())
    }

    /// One fragment without a list around it.
    #[cold]
    pub(super) fn read_one(
        &mut self,
        c: &mut Cursor<'_>,
        pass: &mut Pass<'_, '_>,
    ) -> Result<(), Bad> {
        let at = c.clone().skip()?;
        if shape::is_nothing(&pass.text[at.clone()]) {
            c.skip()?;
            pass.edits.replace(at, "null");
            return Ok(());
        }
        pass.seen.changed = true;
        pass.edits.replace(at.start..at.start, "[");
        self.call(c, 0, pass)?;
        pass.edits.replace(at.end..at.end, "]");
        Ok(())
    }

    /// One fragment of a tool call.
    fn call(
        &mut self,
        c: &mut Cursor<'_>,
        position: u64,
        pass: &mut Pass<'_, '_>,
    ) -> Result<(), Bad> {
        let said = Said::look(&mut c.clone())?;
        let (ours, new, own) = match self.which(&said, position, pass.form)? {
            Which::Known(ours) => (ours, false, None),
            Which::New(ours, own) => (ours, true, own),
        };
        // Once, with its first fragment or when it comes.
        let named = !said.name.is_empty() && (new || self.0[ours].name.is_empty());
        if named {
            self.0[ours].name = said.name.into();
        }
        // The like of a fragment with a name has one that is known, and behind whole arguments it may be
        // another call.
        pass.seen.changed |= new || named || (!said.name.is_empty() && self.0[ours].whole);
        c.object()?;
        let mut object = Object::new(c.at());
        let [mut index, mut id, mut kind] = [false; 3];
        while let Some(key) = c.key()? {
            let start = key.range().start - 1;
            object.key(start, pass.edits);
            let value = c.peek()?;
            match (key.bytes(), value) {
                (b"index", kind) => {
                    index = true;
                    let at = c.skip()?;
                    let fits = shape::call(b"index", kind);
                    if !fits {
                        pass.is_nothing(&at, "tool_calls[]")?;
                    }
                    let is_ours = said.index == Some(ours as u64)
                        && pass.text[at.clone()].bytes().all(|it| it.is_ascii_digit());
                    match pass.form {
                        Form::Chunk if !is_ours => pass.edits.replace(at, ours.to_string()),
                        Form::Whole if !fits => pass.edits.replace(at, "null"),
                        _ => {}
                    }
                }
                (b"id", _) => {
                    id = true;
                    let at = c.skip()?;
                    if !new {
                        object.remove(start, at.end, pass.edits);
                        continue;
                    }
                    if let Some(own) = &own {
                        pass.edits.replace(at, format!("\"{own}\""));
                    }
                }
                (b"type", value) => {
                    kind = true;
                    let at = c.skip()?;
                    if !new {
                        object.remove(start, at.end, pass.edits);
                        continue;
                    }
                    if value != Type::String || at.len() == "\"\"".len() {
                        pass.edits.replace(at, said.kind());
                    }
                }
                (b"function" | b"custom", Type::Object) => {
                    function(c, named, pass)?;
                }
                (name, kind) => {
                    let at = c.skip()?;
                    if !shape::call(name, kind) {
                        pass.nothing(at, "tool_calls[]")?;
                    }
                }
            }
            object.keep(c.at());
        }
        object.close(pass.edits);
        if !index && pass.form == Form::Chunk {
            object.add(format!("\"index\":{ours}"), pass.edits);
        }
        if let Some(own) = own.filter(|_| !id) {
            object.add(format!("\"id\":\"{own}\""), pass.edits);
        }
        if new && !kind {
            object.add(format!("\"type\":{}", said.kind()), pass.edits);
        }
        Ok(())
    }

    /// Which of our calls a fragment belongs to.
    ///
    /// Fragments go by their index. A fragment with another id and a name opens another call all
    /// the same: some put all parallel calls at index 0. Some give all calls one id, too: one with
    /// another name, or with arguments of its own behind whole ones, is another call. Those of a
    /// whole message are each for themselves.
    fn which(&mut self, said: &Said<'_>, position: u64, form: Form) -> Result<Which, Bad> {
        let calls = &mut self.0;
        let upstream = said.index.unwrap_or(position);
        let by_id = || {
            said.id
                .and_then(|id| calls.iter().rposition(|call| *call.id == *id))
        };
        let at_index = || calls.iter().rposition(|call| call.upstream == upstream);
        let same = match at_index().filter(|_| form == Form::Chunk) {
            Some(at) => match said.id {
                Some(id) if !said.name.is_empty() && *calls[at].id != *id => by_id(),
                None if !said.name.is_empty() && said.index.is_none() => None,
                _ => Some(at),
            },
            None if said.index.is_none() && form == Form::Chunk => by_id(),
            None => None,
        };
        if let Some(at) = same.filter(|&at| !said.is_another(&calls[at])) {
            return Ok(Which::Known(at));
        }
        if calls.len() == MAX_CALLS {
            return Err(Bad::Limit("tool calls"));
        }
        let own = match said.id {
            Some(_) if by_id().is_none() => None,
            _ => Some(id::random("call_")),
        };
        calls.push(Call {
            upstream,
            id: said.id.or(own.as_deref()).unwrap_or_default().into(),
            name: said.name.into(),
            whole: said.is_whole(),
        });
        Ok(Which::New(calls.len() - 1, own))
    }
}

fn function(c: &mut Cursor<'_>, named: bool, pass: &mut Pass<'_, '_>) -> Result<(), Bad> {
    c.object()?;
    let mut object = Object::new(c.at());
    while let Some(key) = c.key()? {
        let start = key.range().start - 1;
        object.key(start, pass.edits);
        match (key.bytes(), c.peek()?) {
            (b"name", Type::String | Type::Null) if !named => {
                let at = c.skip()?;
                object.remove(start, at.end, pass.edits);
                continue;
            }
            (b"arguments" | b"input", Type::String) => {
                pass.seen.text(c.string()?.range());
            }
            (b"arguments", Type::Object) => {
                let at = c.skip()?;
                let spelled = &pass.text[at.clone()];
                pass.seen.changed = true;
                pass.seen.content += spelled.len() as u64;
                let spelled = Value::from(spelled).to_string();
                pass.edits.replace(at, spelled);
            }
            (b"arguments", kind @ (Type::Null | Type::Array)) => {
                let at = c.skip()?;
                if kind == Type::Array && !shape::is_nothing(&pass.text[at.clone()]) {
                    return Err(Bad::Shape("tool_calls[].function"));
                }
                pass.edits.replace(
                    at,
                    match pass.form {
                        Form::Chunk => "\"\"",
                        Form::Whole => "\"{}\"",
                    },
                );
            }
            (name, kind) => {
                let at = c.skip()?;
                if !shape::function(name, kind) {
                    pass.nothing(at, "tool_calls[].function")?;
                }
            }
        }
        object.keep(c.at());
    }
    object.close(pass.edits);
    Ok(())
}

/// What a fragment of a tool call says of itself.
#[derive(Debug, Default)]
struct Said<'a> {
    index: Option<u64>,
    /// As it is spelled, and not empty.
    id: Option<&'a str>,
    /// As it is spelled; empty without one.
    name: &'a str,
    /// As they are spelled, when they are a string.
    arguments: &'a str,
    /// They are an object instead.
    unquoted: bool,
    custom: bool,
}

impl<'a> Said<'a> {
    fn look(c: &mut Cursor<'a>) -> Result<Self, Fault> {
        let mut said = Self::default();
        c.object()?;
        while let Some(key) = c.key()? {
            match (key.bytes(), c.peek()?) {
                (b"index", kind @ (Type::Number | Type::String)) => {
                    said.index = shape::place(c, kind);
                }
                (b"id", Type::String) => {
                    said.id = Some(c.string()?.raw()).filter(|id| !id.is_empty());
                }
                (member @ (b"function" | b"custom"), Type::Object) => {
                    said.custom = member == b"custom";
                    c.object()?;
                    while let Some(key) = c.key()? {
                        match (key.bytes(), c.peek()?) {
                            (b"name", Type::String) => said.name = c.string()?.raw(),
                            (b"arguments", Type::String) => said.arguments = c.string()?.raw(),
                            (b"arguments", Type::Object) => {
                                said.unquoted = true;
                                c.skip()?;
                            }
                            _ => c.skip().map(drop)?,
                        }
                    }
                }
                _ => c.skip().map(drop)?,
            }
        }
        Ok(said)
    }

    /// Whether it is no fragment of a call that has its id.
    fn is_another(&self, call: &Call) -> bool {
        if self.name.is_empty() || self.id != Some(&*call.id) {
            return false;
        }
        let renamed = !call.name.is_empty() && *call.name != *self.name;
        renamed || (call.whole && self.is_whole() && self.is_object())
    }

    /// Whether the arguments look like all there are.
    fn is_whole(&self) -> bool {
        self.unquoted || self.arguments.starts_with('{') && self.arguments.ends_with('}')
    }

    /// Whether the arguments are an object: what looks like one may be within a string.
    fn is_object(&self) -> bool {
        let text = serde_json::from_str::<String>(&format!("\"{}\"", self.arguments));
        self.unquoted
            || text.is_ok_and(|text| serde_json::from_str::<Map<String, Value>>(&text).is_ok())
    }

    fn kind(&self) -> &'static str {
        if self.custom {
            "\"custom\""
        } else {
            "\"function\""
        }
    }
}
