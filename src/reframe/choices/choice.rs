//! One choice of a text: its place, its delta, why it ends, and what does not belong there.

use std::ops::Range;

use super::{
    super::{
        edits::Object,
        pass::{Bad, Form, Pass},
    },
    Choices,
};
use crate::wire::{
    json::{Cursor, Type},
    shape,
};

/// What a choice has said so far.
#[derive(Default)]
struct Said<'t> {
    index: Option<u64>,
    /// It has a delta, or what takes the place of one.
    delta: bool,
    /// A delta before its index waits until that is known.
    waiting: Option<Cursor<'t>>,
    /// Why it ends, and where that stands.
    finish: Option<(Range<usize>, &'t [u8])>,
}

impl Choices {
    /// One of an array's choices, at this position there.
    pub(super) fn choice(
        &mut self,
        c: &mut Cursor<'_>,
        position: usize,
        pass: &mut Pass<'_, '_>,
    ) -> Result<(), Bad> {
        c.object()?;
        let mut object = Object::new(c.at());
        let mut said = Said::default();
        while let Some(key) = c.next_key()? {
            let start = key.range().start - 1;
            object.key(start, pass.edits);
            let kind = c.peek()?;
            let stays = match (key.bytes(), kind) {
                (b"index", _) => {
                    said.index = Some(index(c, kind, position, pass)?);
                    true
                }
                // In place of a delta that is none there may be a message.
                (b"delta", Type::Null)
                    if pass.form == Form::Chunk && (said.delta || Rest::of(c.clone())?.message) =>
                {
                    c.next_value()?;
                    false
                }
                (name, _) if name == pass.form.member() => {
                    said.delta = true;
                    match said.index {
                        Some(index) => self.tell(c, index, pass)?,
                        None => {
                            said.waiting = Some(c.clone());
                            c.next_value()?;
                        }
                    }
                    true
                }
                (b"message", kind) => {
                    let is_delta = kind == Type::Object
                        && !said.delta
                        && self.message(c, said.index, position, key.range(), pass)?;
                    if is_delta {
                        said.delta = true;
                    } else {
                        c.next_value()?;
                    }
                    is_delta
                }
                (b"error", Type::Object) => {
                    pass.seen.failed = true;
                    c.next_value()?;
                    true
                }
                (b"finish_reason", Type::String) => {
                    let at = c.at();
                    let reason = c.next_string()?.bytes();
                    said.finish = Some((at..c.at(), reason));
                    true
                }
                (b"usage", Type::Object) => {
                    pass.seen.inner_usage = Some(c.at());
                    c.next_value()?;
                    false
                }
                (name, kind) => {
                    let at = c.next_value()?;
                    if !shape::choice(name, pass.form.member(), kind) {
                        pass.nothing(at, "choices[]")?;
                    }
                    true
                }
            };
            if stays {
                object.keep(c.at());
            } else {
                object.remove(start, c.at(), pass.edits);
            }
        }
        object.close(pass.edits);
        self.complete(said, position, object, pass)
    }

    /// A message beside the delta or in its place: some repeat the whole of it so far, others have
    /// nothing else. Whether it is the delta, and has been read as one.
    #[cold]
    fn message(
        &mut self,
        c: &mut Cursor<'_>,
        index: Option<u64>,
        position: usize,
        key: Range<usize>,
        pass: &mut Pass<'_, '_>,
    ) -> Result<bool, Bad> {
        let rest = Rest::of(c.clone())?;
        let index = index.or(rest.index).unwrap_or(position as u64);
        let told = self.list.iter().any(|it| it.index == index && it.told);
        if rest.delta || told {
            return Ok(false);
        }
        pass.edits.replace(key, "delta");
        self.delta(c, index, pass)?;
        pass.seen.changed = true;
        Ok(true)
    }

    /// Once all of a choice has been read: what waited, what must be there, and why it ends.
    #[inline]
    fn complete(
        &mut self,
        said: Said<'_>,
        position: usize,
        mut object: Object,
        pass: &mut Pass<'_, '_>,
    ) -> Result<(), Bad> {
        let index = said.index.unwrap_or(position as u64);
        if let Some(mut c) = said.waiting {
            self.tell(&mut c, index, pass)?;
        }
        if said.index.is_none() {
            object.add(format!("\"index\":{position}"), pass.edits);
        }
        let (at, new) = self.at_choice(index)?;
        pass.seen.changed |= new;
        if !said.delta {
            let member = match pass.form {
                Form::Chunk if new => r#""delta":{"role":"assistant"}"#,
                Form::Chunk => r#""delta":{}"#,
                Form::Whole => r#""message":{"role":"assistant","content":null}"#,
            };
            object.add(member, pass.edits);
        }
        if let Some((range, reason)) = said.finish {
            self.list[at].finish(range, reason, pass);
        }
        Ok(())
    }
}

/// The number of a choice, which goes out as one.
#[inline]
fn index(
    c: &mut Cursor<'_>,
    kind: Type,
    position: usize,
    pass: &mut Pass<'_, '_>,
) -> Result<u64, Bad> {
    if let Some(plain) = c.plain_integer() {
        return Ok(plain);
    }
    let at = c.at();
    let index = if kind == Type::Null {
        // Some write null where they mean the first.
        c.next_value()?;
        position as u64
    } else {
        shape::place(c, kind).ok_or(Bad::Shape("choices[].index"))?
    };
    pass.edits.replace(at..c.at(), index.to_string());
    Ok(index)
}

/// What the rest of a choice has.
#[derive(Default)]
struct Rest {
    index: Option<u64>,
    delta: bool,
    message: bool,
}

impl Rest {
    /// Looks ahead from a value of the choice on.
    #[cold]
    fn of(mut c: Cursor<'_>) -> Result<Self, Bad> {
        let mut rest = Self::default();
        c.skip()?;
        while let Some(key) = c.key()? {
            match (key.bytes(), c.peek()?) {
                (b"index", Type::Number) => {
                    rest.index = c.number()?.as_u64();
                    continue;
                }
                (b"delta", Type::Object) => rest.delta = true,
                (b"message", Type::Object) => rest.message = true,
                _ => {}
            }
            c.skip()?;
        }
        Ok(rest)
    }
}
