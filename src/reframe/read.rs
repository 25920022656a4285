//! Reading one chunk of a stream, or one whole answer, and gathering what must change in it.

use std::{ops::Range, sync::Arc};

use super::{
    choices::Choices,
    config::Config,
    edits::{Edits, Object, Pinned, With},
    pass::{Bad, Form, Pass, Seen},
};
use crate::{
    dialect::IdFormat,
    error::{Error, Kind},
    id,
    meter::Tally,
    wire::{
        ServiceTier, Usage,
        json::{Cursor, Fault, Type},
    },
};

/// Reads the texts of one answer, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) config: Config,
    pub(super) tally: Tally,
    pub(super) pinned: Pinned,
    pub(super) edits: Edits,
    /// The last usage that was stated, as it was spelled; kept only when it must be sent again.
    pub(super) usage_text: Vec<u8>,
    pub(super) choices: Choices,
    model_told: bool,
    tier_told: bool,
    /// The usage in the tally is what was read here.
    counts: bool,
}

impl Reader {
    pub(super) fn new(config: Config, tally: Tally) -> Self {
        let pinned = Pinned {
            model: config.model.clone(),
            ..Pinned::default()
        };
        Self {
            config,
            tally,
            pinned,
            edits: Edits::default(),
            usage_text: Vec::new(),
            choices: Choices::default(),
            model_told: false,
            tier_told: false,
            counts: false,
        }
    }

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

    /// Reads one text; the changes it needs are in `edits`.
    ///
    /// # Errors
    /// It is not JSON, or has more choices or calls than anything sensible.
    pub(super) fn read(&mut self, text: &str, form: Form) -> Result<Seen, Error> {
        self.edits.clear();
        self.answer(text, form).map_err(|bad| match bad {
            Bad::Json(fault) => Error::new(
                Kind::BadUpstream,
                "The provider sent an answer that is not valid JSON.",
            )
            .with_source(fault.to_string()),
            Bad::Limit(what) => Error::new(
                Kind::BadUpstream,
                format!("The provider sent an answer with too many {what}."),
            ),
        })
    }

    fn answer(&mut self, text: &str, form: Form) -> Result<Seen, Bad> {
        let mut seen = Seen::default();
        let mut cursor = Cursor::new(text);
        let c = &mut cursor;
        c.object()?;
        let mut object = Object::new(c.at());
        let [mut id, mut name, mut created, mut model, mut choices] = [false; 5];
        // Some errors are flat objects, without a member that says so.
        let mut said = false;
        // A name is missing that must be made up.
        let mut made_up = false;
        // Usage stands where it belongs.
        let mut on_top = false;
        while let Some(key) = c.next_key()? {
            let start = key.range().start - 1;
            object.key(start, &mut self.edits);
            let kind = c.peek()?;
            let at = c.at();
            match (key.bytes(), kind) {
                (b"id", kind) => {
                    id = true;
                    let at = c.next_value()?;
                    let spelled = &text[at.clone()];
                    let ours = self.config.id != IdFormat::Upstream;
                    if self.pinned.id.is_none()
                        && (ours || kind != Type::String || spelled == "\"\"")
                    {
                        made_up = true;
                        self.edits.replace(at, With::Id);
                    } else if !same(&mut self.pinned.id, spelled, form) {
                        self.edits.replace(at, With::Id);
                    }
                }
                (b"object", _) => {
                    name = true;
                    let at = c.next_value()?;
                    if &text[at.clone()] != form.object() {
                        self.edits.replace(at, form.object());
                    }
                }
                (b"created", _) => {
                    created = true;
                    let at = c.next_value()?;
                    let spelled = &text[at.clone()];
                    if self.pinned.created.is_none() && !is_time(spelled.as_bytes()) {
                        made_up = true;
                        self.edits.replace(at, With::Created);
                    } else if !same(&mut self.pinned.created, spelled, form) {
                        self.edits.replace(at, With::Created);
                    }
                }
                (b"model", _) => {
                    model = true;
                    let at = c.next_value()?;
                    let spelled = &text[at.clone()];
                    let named = kind == Type::String && spelled != "\"\"";
                    if !self.model_told && named {
                        self.tell_model(spelled);
                    }
                    if self.pinned.model.is_none() && !named {
                        made_up = true;
                        self.edits.replace(at, With::Model);
                    } else if !same(&mut self.pinned.model, spelled, form) {
                        self.edits.replace(at, With::Model);
                    }
                }
                (b"choices", Type::Array) => {
                    choices = true;
                    let mut pass = Pass {
                        text,
                        form,
                        edits: &mut self.edits,
                        seen: &mut seen,
                    };
                    seen.choices = Some(self.choices.read(c, &mut pass)?);
                    if let Some(at) = seen.inner_usage {
                        let mut inner = Cursor::within(text.as_bytes(), at, usize::MAX);
                        if self.usage(text, &mut inner, &mut seen)? {
                            seen.usage_elsewhere = Some(at..inner.at());
                        }
                    }
                }
                (b"choices", _) => {
                    choices = true;
                    let at = c.next_value()?;
                    self.edits.replace(at, "[]");
                }
                (b"usage", _) => {
                    on_top = self.usage(text, c, &mut seen)?;
                    seen.usage_at = Some(at..c.at());
                    if form == Form::Chunk && !self.config.include_usage {
                        object.remove(start, c.at(), &mut self.edits);
                        continue;
                    }
                }
                (b"error", kind) => {
                    c.next_value()?;
                    seen.failed |= kind != Type::Null;
                }
                (b"message" | b"detail", kind) => {
                    c.next_value()?;
                    said |= kind != Type::Null;
                }
                (b"service_tier", Type::String) if !self.tier_told => {
                    self.tell_tier(&c.string()?.cow());
                }
                (b"obfuscation", Type::String) => seen.filler = Some(c.string()?.range()),
                (b"x_groq", Type::Object) => {
                    c.object()?;
                    while let Some(key) = c.key()? {
                        if key.bytes() != b"usage" {
                            c.skip()?;
                            continue;
                        }
                        c.peek()?;
                        let at = c.at();
                        if self.usage(text, c, &mut seen)? {
                            seen.usage_elsewhere = Some(at..c.at());
                        }
                    }
                }
                (name, kind) => {
                    let usual: [&[u8]; 2] = [b"service_tier", b"system_fingerprint"];
                    seen.more |= kind != Type::Null && !usual.contains(&name);
                    c.next_value()?;
                }
            }
            object.keep(c.at());
        }
        c.end()?;
        object.close(&mut self.edits);
        if on_top {
            seen.usage_elsewhere = None;
        }
        seen.failed |= said && seen.choices.is_none() && seen.usage_at.is_none();
        let complete = id && name && created && model && choices;
        // What a stream begins without it keeps: a later event's own would be another name.
        if form == Form::Chunk || made_up || !complete {
            self.pin_the_rest();
        }
        if !complete {
            let has = [id, name, created, model, choices];
            self.add_missing(form, &has, &mut object);
        }
        if form == Form::Chunk && self.config.include_usage {
            let alone = seen.is_usage_alone();
            match seen.usage_at.clone() {
                None if !alone => object.add("\"usage\":null", &mut self.edits),
                Some(at) if !alone && text[at.clone()] != *"null" => {
                    self.edits.replace(at, "null");
                }
                _ => {}
            }
        }
        Ok(seen)
    }

    #[cold]
    fn add_missing(&mut self, form: Form, has: &[bool; 5], object: &mut Object) {
        let head = [
            (r#""id":"#, With::Id),
            (r#""object":"#, form.object().into()),
            (r#""created":"#, With::Created),
            (r#""model":"#, With::Model),
            (r#""choices":"#, "[]".into()),
        ];
        for ((key, value), has) in head.into_iter().zip(has) {
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

    /// The tier that the answer names is the one that is priced, whatever was asked for.
    #[cold]
    pub(super) fn tell_tier(&mut self, name: &str) {
        self.tier_told = true;
        if let Some(tier) = ServiceTier::named(name) {
            self.tally.record_service_tier(tier);
        }
    }

    /// A `usage`, wherever it stands; whether it says anything.
    fn usage(&mut self, text: &str, c: &mut Cursor<'_>, seen: &mut Seen) -> Result<bool, Bad> {
        if c.peek()? == Type::Null {
            c.null()?;
            return Ok(false);
        }
        let at = c.at();
        let usage = Usage::read(c, self.config.counting)?;
        let stated = usage.is_some();
        if let Some(usage) = usage {
            self.note_usage(usage, &text.as_bytes()[at..c.at()], seen);
        }
        Ok(stated)
    }

    /// Notes of which moment the counts are: those that come with the finish or behind it are of the whole
    /// answer. What a provider counts itself, it has done before its finish is read.
    pub(super) fn date_counts(&self, seen: &Seen) {
        if (seen.usage || !self.counts) && self.choices.is_finished() {
            self.tally.counts_are_whole(seen.is_usage_alone());
        }
    }

    pub(super) fn note_usage(&mut self, usage: Usage, spelled: &[u8], seen: &mut Seen) {
        seen.usage = true;
        let mut usage = usage.plausible();
        if usage.clamped && usage.input == 0 {
            // Those further out cannot tell.
            usage.input = self.config.input_estimate;
        }
        // What a provider has counted itself says more than what it tells in our terms.
        if self.counts {
            self.tally.record_usage(usage);
        } else {
            self.counts = self.tally.record_first_usage(usage);
        }
        if self.config.include_usage {
            self.usage_text.clear();
            self.usage_text.extend_from_slice(spelled);
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

/// Whether it is a number of seconds as OpenAI writes one.
pub(super) fn is_time(spelled: &[u8]) -> bool {
    spelled.len() <= 19 && !spelled.starts_with(b"0") && spelled.iter().all(u8::is_ascii_digit)
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
