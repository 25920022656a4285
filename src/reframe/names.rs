//! What an answer is called: its id, its time and its model, one of each for the whole of it.

use std::{ops::Range, sync::Arc};

use super::{
    edits::{Object, With},
    pass::Form,
    read::Reader,
};
use crate::{
    dialect::IdFormat,
    id,
    wire::{
        json::{Cursor, Fault, Type},
        tokens::is_time,
    },
};

/// What an answer has of the members that each has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Has {
    id: bool,
    object: bool,
    created: bool,
    model: bool,
    pub(super) choices: bool,
    /// One of the names says nothing, and must be made up.
    made_up: bool,
}

impl Has {
    fn all(&self) -> bool {
        self.id && self.object && self.created && self.model && self.choices
    }

    /// Whether a name stays as it is spelled: it is the pinned one, or says something where none is
    /// pinned yet.
    fn stays(
        &mut self,
        pinned: &mut Option<Arc<str>>,
        spelled: &str,
        says: bool,
        form: Form,
    ) -> bool {
        if pinned.is_none() && !says {
            self.made_up = true;
            return false;
        }
        same(pinned, spelled, form)
    }
}

impl Reader {
    /// Whether the id, the time or the model is still open, and this text has none to give nor
    /// anything of the answer, so that it can wait for one that has. At the most a role is in it.
    pub(super) fn may_wait(&self, text: &str) -> bool {
        let open = [
            self.pinned.id.is_none() && self.config.id == IdFormat::Upstream,
            self.pinned.created.is_none(),
            self.pinned.model.is_none(),
        ];
        open.contains(&true) && says_nothing(text, open).unwrap_or(false)
    }

    /// Takes id, time and, where it is the upstream's, model from a text, without reading it on.
    pub(super) fn pin(&mut self, text: &str) {
        let mut cursor = Cursor::new(text);
        // A text that is not JSON pins nothing; reading it will say so.
        let _ = self.pin_from(text, &mut cursor);
    }

    fn pin_from(&mut self, text: &str, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        cursor.object()?;
        while let Some(key) = cursor.key()? {
            match (key.bytes(), cursor.peek()?) {
                (b"id", Type::String) if self.pinned.id.is_none() => {
                    let id = cursor.string()?;
                    if self.config.id == IdFormat::Upstream && !id.bytes().is_empty() {
                        self.pinned.id = Some(quoted(id.raw()));
                    }
                }
                (b"created", _) if self.pinned.created.is_none() => {
                    let at = cursor.at();
                    let spelled = &text[at..cursor.skip()?.end];
                    if is_time(spelled.as_bytes()) {
                        self.pinned.created = Some(spelled.into());
                    }
                }
                (b"model", Type::String) if self.pinned.model.is_none() => {
                    let model = cursor.string()?;
                    if !model.bytes().is_empty() {
                        self.pinned.model = Some(quoted(model.raw()));
                    }
                }
                _ => cursor.skip().map(drop)?,
            }
        }
        Ok(())
    }

    /// What is not pinned is made up now.
    fn pin_the_rest(&mut self) {
        if self.pinned.id.is_none() {
            self.pinned.id = Some(quoted(&match self.config.id {
                IdFormat::Req => id::request(),
                _ => id::completion(),
            }));
        }
        if self.pinned.created.is_none() {
            self.pinned.created = Some(self.config.created().to_string().into());
        }
        if self.pinned.model.is_none() {
            self.pinned.model = Some(self.config.asked.clone());
        }
    }

    /// `"id":…,"object":…,"created":…,"model":…` for an event of our own making.
    pub(super) fn head(&mut self, object: &str) -> String {
        self.pin_the_rest();
        let part = |part: &Option<Arc<str>>| part.as_deref().unwrap_or("null").to_owned();
        format!(
            r#""id":{},"object":"{object}","created":{},"model":{}"#,
            part(&self.pinned.id),
            part(&self.pinned.created),
            part(&self.pinned.model),
        )
    }

    pub(super) fn id(
        &mut self,
        text: &str,
        at: Range<usize>,
        kind: Type,
        form: Form,
        has: &mut Has,
    ) {
        has.id = true;
        let spelled = &text[at.clone()];
        let says = self.config.id == IdFormat::Upstream && is_name(spelled, kind);
        if !has.stays(&mut self.pinned.id, spelled, says, form) {
            self.edits.replace(at, With::Id);
        }
    }

    pub(super) fn object(&mut self, text: &str, at: Range<usize>, form: Form, has: &mut Has) {
        has.object = true;
        if &text[at.clone()] != form.object() {
            self.edits.replace(at, form.object());
        }
    }

    pub(super) fn created(&mut self, text: &str, at: Range<usize>, form: Form, has: &mut Has) {
        has.created = true;
        let spelled = &text[at.clone()];
        let says = is_time(spelled.as_bytes());
        if !has.stays(&mut self.pinned.created, spelled, says, form) {
            self.edits.replace(at, With::Created);
        }
    }

    pub(super) fn model(
        &mut self,
        text: &str,
        at: Range<usize>,
        kind: Type,
        form: Form,
        has: &mut Has,
    ) {
        has.model = true;
        let spelled = &text[at.clone()];
        let says = is_name(spelled, kind);
        if says && !self.model_told {
            self.tell_model(spelled);
        }
        if !has.stays(&mut self.pinned.model, spelled, says, form) {
            self.edits.replace(at, With::Model);
        }
    }

    /// Puts in what a text has not, and keeps what a stream begins without: a later event's own would be
    /// another name.
    pub(super) fn name_all(&mut self, form: Form, has: &Has, object: &mut Object) {
        if form == Form::Chunk || has.made_up || !has.all() {
            self.pin_the_rest();
        }
        if !has.all() {
            self.add_missing(form, has, object);
        }
    }

    #[cold]
    fn add_missing(&mut self, form: Form, has: &Has, object: &mut Object) {
        let head = [
            (has.id, r#""id":"#, With::Id),
            (has.object, r#""object":"#, form.object().into()),
            (has.created, r#""created":"#, With::Created),
            (has.model, r#""model":"#, With::Model),
            (has.choices, r#""choices":"#, "[]".into()),
        ];
        for (has, key, value) in head {
            if !has {
                let value = self.pinned.text(&value).to_owned();
                object.add(format!("{key}{value}"), &mut self.edits);
            }
        }
    }

    /// The model that one whole answer names.
    pub(super) fn model_of_answer(&mut self, spelled: &str, at: Range<usize>) {
        if !self.model_told {
            self.tell_model(spelled);
        }
        if !same(&mut self.pinned.model, spelled, Form::Whole) {
            self.edits.replace(at, With::Model);
        }
    }

    /// The id, time and model that one chunk names.
    pub(super) fn names_of_chunk(&mut self, text: &str, names: [Range<usize>; 3]) {
        let [id, created, model] = names;
        self.edits.clear();
        if !same(&mut self.pinned.id, &text[id.clone()], Form::Chunk) {
            self.edits.replace(id, With::Id);
        }
        if !same(
            &mut self.pinned.created,
            &text[created.clone()],
            Form::Chunk,
        ) {
            self.edits.replace(created, With::Created);
        }
        if !self.model_told {
            self.tell_model(&text[model.clone()]);
        }
        if !same(&mut self.pinned.model, &text[model.clone()], Form::Chunk) {
            self.edits.replace(model, With::Model);
        }
    }

    /// The first model that the upstream names is the one that answered.
    #[cold]
    fn tell_model(&mut self, spelled: &str) {
        // Nearly always it means what it spells.
        let plain = spelled.get(1..spelled.len().saturating_sub(1));
        if let Some(model) = plain.filter(|model| !model.contains('\\')) {
            self.model_told = true;
            self.tally.record_first_model(model);
        } else if let Ok(model) = Cursor::new(spelled).string() {
            self.model_told = true;
            self.tally.record_first_model(&model.cow());
        }
    }
}

/// Whether a chunk has nothing of an answer, and leaves an id, a time or a model open.
fn says_nothing(text: &str, mut open: [bool; 3]) -> Result<bool, Fault> {
    let c = &mut Cursor::new(text);
    c.object()?;
    while let Some(key) = c.key()? {
        let kind = c.peek()?;
        if key.bytes() == b"choices" && kind == Type::Array {
            c.array()?;
            while c.element()? {
                if c.peek()? == Type::Object && choice_says(c)? {
                    return Ok(false);
                }
            }
            continue;
        }
        let value = &text[c.skip()?];
        let named = kind == Type::String && value.len() > 2;
        match key.bytes() {
            b"id" => open[0] &= !named,
            b"created" => open[1] &= !is_time(value.as_bytes()),
            b"model" => open[2] &= !named,
            b"error" | b"message" | b"detail" if kind != Type::Null => return Ok(false),
            _ => {}
        }
        if open == [false; 3] {
            // Nothing is to be waited for.
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a choice has more than a role.
fn choice_says(c: &mut Cursor<'_>) -> Result<bool, Fault> {
    c.object()?;
    let mut says = false;
    while let Some(key) = c.key()? {
        let kind = c.peek()?;
        match (key.bytes(), kind) {
            (b"delta", Type::Object) => {
                c.object()?;
                while let Some(key) = c.key()? {
                    let null = c.peek()? == Type::Null;
                    let empty = c.skip()?.len() == 2;
                    says |= key.bytes() != b"role" && !null && !empty;
                }
            }
            (b"finish_reason" | b"error" | b"message", kind) => {
                c.skip()?;
                says |= kind != Type::Null;
            }
            _ => {
                c.skip()?;
            }
        }
    }
    Ok(says)
}

/// Whether it is a string that is not empty.
fn is_name(spelled: &str, kind: Type) -> bool {
    kind == Type::String && spelled != "\"\""
}

/// Whether a name is the pinned one. In a stream the first is pinned; one answer has no second.
fn same(pinned: &mut Option<Arc<str>>, spelled: &str, form: Form) -> bool {
    match pinned {
        Some(pinned) => **pinned == *spelled,
        None => {
            if form == Form::Chunk {
                *pinned = Some(spelled.into());
            }
            true
        }
    }
}

fn quoted(raw: &str) -> Arc<str> {
    format!("\"{raw}\"").into()
}
