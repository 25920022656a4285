//! Tool calls: counted from 0, named once.

use super::{
    edits::Object,
    pass::{Bad, Form, Pass},
};
use crate::{
    id,
    wire::json::{Cursor, Fault, Type},
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
    id: Box<str>,
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
            if c.peek()? == Type::Object {
                self.call(c, position, pass)?;
            } else {
                c.skip()?;
            }
            position += 1;
        }
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
        let (ours, new) = self.which(&said, position)?;
        pass.seen.changed |= new;
        c.object()?;
        let mut object = Object::new(c.at());
        let [mut index, mut id, mut kind] = [false; 3];
        while let Some(key) = c.key()? {
            let start = key.range().start - 1;
            object.key(start, pass.edits);
            let value = c.peek()?;
            match (key.bytes(), value) {
                (b"index", _) => {
                    index = true;
                    let at = c.skip()?;
                    if pass.form == Form::Chunk && said.index != Some(ours as u64) {
                        pass.edits.replace(at, ours.to_string());
                    }
                }
                (b"id", _) => {
                    id = true;
                    let at = c.skip()?;
                    if !new {
                        object.remove(start, at.end, pass.edits);
                        continue;
                    }
                    if said.id.is_none() {
                        let own = &self.0[ours].id;
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
                    if value != Type::String {
                        pass.edits.replace(at, said.kind());
                    }
                }
                (b"function" | b"custom", Type::Object) => {
                    function(c, new, pass)?;
                }
                _ => c.skip().map(drop)?,
            }
            object.keep(c.at());
        }
        object.close(pass.edits);
        if !index && pass.form == Form::Chunk {
            object.add(format!("\"index\":{ours}"), pass.edits);
        }
        if new && !id {
            let own = &self.0[ours].id;
            object.add(format!("\"id\":\"{own}\""), pass.edits);
        }
        if new && !kind {
            object.add(format!("\"type\":{}", said.kind()), pass.edits);
        }
        Ok(())
    }

    /// Which of our calls a fragment belongs to, and whether it opens it.
    ///
    /// Fragments go by their index. A fragment with another id and a name opens another call all
    /// the same: some put all parallel calls at index 0.
    fn which(&mut self, said: &Said<'_>, position: u64) -> Result<(usize, bool), Bad> {
        let calls = &mut self.0;
        let upstream = said.index.unwrap_or(position);
        let by_id = || {
            said.id
                .and_then(|id| calls.iter().rposition(|call| *call.id == *id))
        };
        let same = match calls.iter().rposition(|call| call.upstream == upstream) {
            Some(at) => match said.id {
                Some(id) if said.named && *calls[at].id != *id => by_id(),
                None if said.named && said.index.is_none() => None,
                _ => Some(at),
            },
            None if said.index.is_none() => by_id(),
            None => None,
        };
        if let Some(at) = same {
            return Ok((at, false));
        }
        if calls.len() == MAX_CALLS {
            return Err(Bad::Limit("tool calls"));
        }
        let id = said
            .id
            .map_or_else(|| id::random("call_").into(), Box::from);
        calls.push(Call { upstream, id });
        Ok((calls.len() - 1, true))
    }
}

fn function(c: &mut Cursor<'_>, new: bool, pass: &mut Pass<'_, '_>) -> Result<(), Bad> {
    c.object()?;
    let mut object = Object::new(c.at());
    while let Some(key) = c.key()? {
        let start = key.range().start - 1;
        object.key(start, pass.edits);
        match (key.bytes(), c.peek()?) {
            (b"name", _) if !new => {
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
                let spelled = serde_json::Value::from(spelled).to_string();
                pass.edits.replace(at, spelled);
            }
            (b"arguments", Type::Null) => {
                let at = c.skip()?;
                pass.edits.replace(
                    at,
                    match pass.form {
                        Form::Chunk => "\"\"",
                        Form::Whole => "\"{}\"",
                    },
                );
            }
            _ => c.skip().map(drop)?,
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
    named: bool,
    custom: bool,
}

impl<'a> Said<'a> {
    fn look(c: &mut Cursor<'a>) -> Result<Self, Fault> {
        let mut said = Self::default();
        c.object()?;
        while let Some(key) = c.key()? {
            match (key.bytes(), c.peek()?) {
                (b"index", Type::Number) => said.index = c.number()?.as_u64(),
                (b"id", Type::String) => {
                    said.id = Some(c.string()?.raw()).filter(|id| !id.is_empty());
                }
                (member @ (b"function" | b"custom"), Type::Object) => {
                    said.custom = member == b"custom";
                    c.object()?;
                    while let Some(key) = c.key()? {
                        if key.bytes() == b"name" && c.peek()? == Type::String {
                            said.named = !c.string()?.bytes().is_empty();
                        } else {
                            c.skip()?;
                        }
                    }
                }
                _ => c.skip().map(drop)?,
            }
        }
        Ok(said)
    }

    fn kind(&self) -> &'static str {
        if self.custom {
            "\"custom\""
        } else {
            "\"function\""
        }
    }
}
