//! Reading one chunk of a stream, or one whole answer, and gathering what must change in it.

use std::ops::Range;

use super::{
    config::Config,
    edits::{Edits, Object, Pinned, With},
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

/// Tool calls that one choice may have.
const MAX_CALLS: usize = 1024;
/// Choices that one answer may have.
const MAX_CHOICES: usize = 128;

/// What is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `chat.completion.chunk`
    Chunk,
    /// `chat.completion`
    Whole,
}

/// What was found in one text.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// It says that the answer has failed.
    pub(super) failed: bool,
    /// The top-level `usage`, null or not: its value.
    pub(super) usage_at: Option<Range<usize>>,
    /// Usage was stated, wherever.
    pub(super) usage: bool,
    /// How many choices there were; `None` when there is no array of them.
    pub(super) choices: Option<usize>,
    /// A choice was finished.
    pub(super) finish: bool,
    /// Bytes of generated text.
    pub(super) content: u64,
    /// The string of generated text, when there is just one.
    pub(super) word: Option<Range<usize>>,
    words: u32,
    /// The string that hides the length of the text.
    pub(super) filler: Option<Range<usize>>,
    /// The text changed what is known of the answer, so that its like would mean something else.
    changed: bool,
}

impl Seen {
    /// Generated text, without its quotes.
    fn text(&mut self, at: Range<usize>) {
        self.content += at.len() as u64;
        self.words += 1;
        self.word = Some(at);
    }

    /// Whether the like of this text, with another word, would do the same.
    pub(super) fn is_steady(&self) -> bool {
        self.words == 1 && !(self.changed || self.usage || self.finish || self.failed)
    }
}

/// What is remembered of one choice.
#[derive(Clone, Debug)]
struct Choice {
    index: u64,
    finished: bool,
    calls: Vec<Call>,
}

#[derive(Clone, Debug)]
struct Call {
    /// Its index at the upstream.
    upstream: u64,
    id: Box<str>,
}

/// Reads the texts of one answer, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) config: Config,
    pub(super) tally: Tally,
    pub(super) pinned: Pinned,
    pub(super) edits: Edits,
    /// The last usage that was stated, as it was spelled; kept only when it must be sent again.
    pub(super) usage_text: Vec<u8>,
    choices: Vec<Choice>,
    model_told: bool,
    tier_told: bool,
    /// The usage in the tally is what was read here.
    counts: bool,
}

/// Why a text is not an answer.
#[derive(Debug)]
enum Bad {
    Json(Fault),
    Limit(&'static str),
}

impl From<Fault> for Bad {
    fn from(fault: Fault) -> Self {
        Self::Json(fault)
    }
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
            choices: Vec::new(),
            model_told: false,
            tier_told: false,
            counts: false,
        }
    }

    /// Whether every choice that was begun has been finished, and there was one.
    pub(super) fn is_finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|choice| choice.finished)
    }

    /// Whether a choice was begun.
    pub(super) fn has_begun(&self) -> bool {
        !self.choices.is_empty()
    }

    /// Whether the id or the model is still open and this text has none to give nor a choice, so
    /// that it can wait for one that has.
    pub(super) fn names_nothing(&self, text: &str) -> bool {
        /// Whether it has a choice, an id, a model.
        fn look(text: &str) -> Result<[bool; 3], Fault> {
            let mut cursor = Cursor::new(text);
            cursor.object()?;
            let mut found = [false; 3];
            while let Some(key) = cursor.key()? {
                let kind = cursor.peek()?;
                let long = cursor.skip()?.len() > 2;
                match key.bytes() {
                    b"choices" => found[0] = long,
                    b"id" => found[1] = long && kind == Type::String,
                    b"model" => found[2] = long && kind == Type::String,
                    _ => {}
                }
            }
            Ok(found)
        }
        let id = self.pinned.id.is_none() && self.config.id == IdFormat::Upstream;
        let model = self.pinned.model.is_none();
        (id || model)
            && look(text).is_ok_and(|[choice, has_id, has_model]| {
                !choice && ((id && !has_id) || (model && !has_model))
            })
    }

    /// Takes id, time and, where it is the upstream's, model from a text, without reading it on.
    pub(super) fn pin(&mut self, text: &str) {
        let mut cursor = Cursor::new(text);
        // A text that is not JSON pins nothing; reading it will say so.
        let _ = self.pin_from(&mut cursor);
    }

    fn pin_from(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        cursor.object()?;
        while let Some(key) = cursor.key()? {
            match (key.bytes(), cursor.peek()?) {
                (b"id", Type::String) if self.pinned.id.is_none() => {
                    let id = cursor.string()?;
                    if self.config.id == IdFormat::Upstream && !id.bytes().is_empty() {
                        self.pinned.id = Some(quoted(id.raw()));
                    }
                }
                (b"created", Type::Number) if self.pinned.created.is_none() => {
                    let number = cursor.number()?;
                    if number.as_u64().is_some_and(|at| at > 0) {
                        self.pinned.created = Some(number.text().into());
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
            self.pinned.created = Some(self.config.now.to_string().into());
        }
        if self.pinned.model.is_none() {
            self.pinned.model = Some(self.config.asked.clone());
        }
    }

    /// `"id":…,"object":…,"created":…,"model":…` for an event of our own making.
    pub(super) fn head(&mut self, object: &str) -> String {
        self.pin_the_rest();
        let part = |part: &Option<Box<str>>| part.as_deref().unwrap_or("null").to_owned();
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
        if self.pinned.id.is_none() || self.pinned.created.is_none() || self.pinned.model.is_none()
        {
            self.pin(text);
            self.pin_the_rest();
        }
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
        while let Some(key) = c.key()? {
            let start = key.range().start - 1;
            object.key(start, &mut self.edits);
            let kind = c.peek()?;
            let at = c.at();
            match (key.bytes(), kind) {
                (b"id", _) => {
                    id = true;
                    let at = c.skip()?;
                    if Some(&text[at.clone()]) != self.pinned.id.as_deref() {
                        self.edits.replace(at, With::Id);
                    }
                }
                (b"object", _) => {
                    name = true;
                    let at = c.skip()?;
                    if &text[at.clone()] != form.object() {
                        self.edits.replace(at, form.object());
                    }
                }
                (b"created", _) => {
                    created = true;
                    let at = c.skip()?;
                    if Some(&text[at.clone()]) != self.pinned.created.as_deref() {
                        self.edits.replace(at, With::Created);
                    }
                }
                (b"model", _) => {
                    model = true;
                    let at = c.skip()?;
                    let spelled = &text[at.clone()];
                    if !self.model_told && kind == Type::String && spelled.len() > 2 {
                        self.tell_model(spelled);
                    }
                    if Some(spelled) != self.pinned.model.as_deref() {
                        self.edits.replace(at, With::Model);
                    }
                }
                (b"choices", Type::Array) => {
                    choices = true;
                    seen.choices = Some(self.choices(text, c, form, &mut seen)?);
                }
                (b"choices", _) => {
                    choices = true;
                    let at = c.skip()?;
                    self.edits.replace(at, "[]");
                }
                (b"usage", _) => {
                    self.usage(text, c, &mut seen)?;
                    seen.usage_at = Some(at..c.at());
                    if form == Form::Chunk && !self.config.include_usage {
                        object.remove(start, c.at(), &mut self.edits);
                        continue;
                    }
                }
                (b"error", kind) => {
                    c.skip()?;
                    seen.failed |= kind != Type::Null;
                }
                (b"message" | b"detail", kind) => {
                    c.skip()?;
                    said |= kind != Type::Null;
                }
                (b"service_tier", Type::String) if !self.tier_told => {
                    self.tell_tier(&c.string()?.cow());
                }
                (b"obfuscation", Type::String) => seen.filler = Some(c.string()?.range()),
                (b"x_groq", Type::Object) => {
                    c.object()?;
                    while let Some(key) = c.key()? {
                        if key.bytes() == b"usage" {
                            self.usage(text, c, &mut seen)?;
                        } else {
                            c.skip()?;
                        }
                    }
                }
                _ => c.skip().map(drop)?,
            }
            object.keep(c.at());
        }
        c.end()?;
        object.close(&mut self.edits);
        seen.failed |= said && seen.choices.is_none() && seen.usage_at.is_none();
        if !(id && name && created && model && choices) {
            let has = [id, name, created, model, choices];
            self.add_missing(form, &has, &mut object);
        }
        if form == Form::Chunk && self.config.include_usage {
            let alone = seen.choices == Some(0) && seen.usage;
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

    /// The first model that the upstream names is the one that answered.
    #[cold]
    fn tell_model(&mut self, spelled: &str) {
        if let Ok(model) = Cursor::new(spelled).string() {
            self.model_told = true;
            if self.tally.model().is_none() {
                self.tally.record_model(&*model.cow());
            }
        }
    }

    /// The tier that the answer names is the one that is priced, whatever was asked for.
    #[cold]
    fn tell_tier(&mut self, name: &str) {
        self.tier_told = true;
        if let Some(tier) = ServiceTier::named(name) {
            self.tally.record_service_tier(tier);
        }
    }

    /// A `usage`, wherever it stands.
    fn usage(&mut self, text: &str, c: &mut Cursor<'_>, seen: &mut Seen) -> Result<(), Bad> {
        if c.peek()? == Type::Null {
            return Ok(c.null()?);
        }
        let at = c.at();
        if let Some(usage) = Usage::read(c, self.config.counting)? {
            seen.usage = true;
            // What a provider has counted itself says more than what it tells in our terms.
            if self.counts || self.tally.usage().is_none() {
                self.counts = true;
                self.tally.record_usage(usage);
            }
            if self.config.include_usage {
                self.usage_text.clear();
                self.usage_text
                    .extend_from_slice(&text.as_bytes()[at..c.at()]);
            }
        }
        Ok(())
    }

    fn choices(
        &mut self,
        text: &str,
        c: &mut Cursor<'_>,
        form: Form,
        seen: &mut Seen,
    ) -> Result<usize, Bad> {
        c.array()?;
        let mut position = 0;
        while c.element()? {
            if c.peek()? != Type::Object {
                c.skip()?;
                continue;
            }
            self.choice(text, c, form, position, seen)?;
            position += 1;
        }
        Ok(position)
    }

    fn choice(
        &mut self,
        text: &str,
        c: &mut Cursor<'_>,
        form: Form,
        position: usize,
        seen: &mut Seen,
    ) -> Result<(), Bad> {
        c.object()?;
        let mut object = Object::new(c.at());
        let mut index = None;
        // A delta before its index waits until that is known.
        let mut waiting = None;
        let mut delta = false;
        let mut finish = None;
        while let Some(key) = c.key()? {
            let start = key.range().start - 1;
            object.key(start, &mut self.edits);
            let kind = c.peek()?;
            match (key.bytes(), kind) {
                (b"index", Type::Number) => index = c.number()?.as_u64(),
                (name, _) if name == form.member() => {
                    delta = true;
                    match index {
                        Some(index) => self.delta(text, c, form, index, seen)?,
                        None => {
                            waiting = Some(c.clone());
                            c.skip()?;
                        }
                    }
                }
                // Some repeat the whole message so far beside the delta.
                (b"message", _) => {
                    c.skip()?;
                    object.remove(start, c.at(), &mut self.edits);
                    continue;
                }
                (b"finish_reason", Type::String) => {
                    let at = c.at();
                    let reason = c.string()?.bytes();
                    finish = Some((at..c.at(), reason));
                }
                (b"usage", Type::Object) => {
                    self.usage(text, c, seen)?;
                    object.remove(start, c.at(), &mut self.edits);
                    continue;
                }
                _ => c.skip().map(drop)?,
            }
            object.keep(c.at());
        }
        object.close(&mut self.edits);
        if let Some(mut c) = waiting {
            let index = index.unwrap_or(position as u64);
            self.delta(text, &mut c, form, index, seen)?;
        }
        if index.is_none() {
            object.add(format!("\"index\":{position}"), &mut self.edits);
        }
        let index = index.unwrap_or(position as u64);
        let (at, new) = self.at_choice(index)?;
        seen.changed |= new;
        if !delta {
            let member = match form {
                Form::Chunk if new => r#""delta":{"role":"assistant"}"#,
                Form::Chunk => r#""delta":{}"#,
                Form::Whole => r#""message":{"role":"assistant","content":null}"#,
            };
            object.add(member, &mut self.edits);
        }
        if let Some((range, reason)) = finish {
            let called = !self.choices[at].calls.is_empty();
            let canonical = canonical_reason(reason, called);
            if let Some(canonical) = canonical {
                self.edits.replace(range, canonical);
            }
            if canonical != Some("null") {
                self.choices[at].finished = true;
                seen.finish = true;
                seen.failed |= reason == b"error";
            }
        }
        Ok(())
    }

    /// The state of a choice, and whether it is new.
    fn at_choice(&mut self, index: u64) -> Result<(usize, bool), Bad> {
        match self.choices.iter().position(|choice| choice.index == index) {
            Some(at) => Ok((at, false)),
            None if self.choices.len() == MAX_CHOICES => Err(Bad::Limit("choices")),
            None => {
                self.choices.push(Choice {
                    index,
                    finished: false,
                    calls: Vec::new(),
                });
                Ok((self.choices.len() - 1, true))
            }
        }
    }

    /// A delta, or the message of a whole answer.
    fn delta(
        &mut self,
        text: &str,
        c: &mut Cursor<'_>,
        form: Form,
        index: u64,
        seen: &mut Seen,
    ) -> Result<(), Bad> {
        let (choice, new) = self.at_choice(index)?;
        seen.changed |= new;
        let new = new || form == Form::Whole;
        if c.peek()? != Type::Object {
            let at = c.skip()?;
            let empty = if new {
                "{\"role\":\"assistant\"}"
            } else {
                "{}"
            };
            self.edits.replace(at, empty);
            return Ok(());
        }
        c.object()?;
        let mut object = Object::new(c.at());
        let mut role = false;
        let mut reasoning: Option<(usize, Range<usize>, usize)> = None;
        let mut reasoning_content = false;
        let mut parts = None;
        while let Some(key) = c.key()? {
            let start = key.range().start - 1;
            object.key(start, &mut self.edits);
            let kind = c.peek()?;
            match (key.bytes(), kind) {
                (b"role", _) => {
                    role = true;
                    let at = c.skip()?;
                    if new && kind != Type::String {
                        self.edits.replace(at, "\"assistant\"");
                    }
                }
                (b"content" | b"refusal", Type::String) => {
                    seen.text(c.string()?.range());
                }
                (b"content", Type::Array) => parts = Some(c.skip()?),
                (b"reasoning_content", _) => {
                    reasoning_content = true;
                    let at = c.skip()?;
                    if kind == Type::String {
                        seen.text(at.start + 1..at.end - 1);
                    }
                }
                (b"reasoning", Type::String | Type::Null) => {
                    let at = c.skip()?;
                    if kind == Type::String && !reasoning_content {
                        seen.text(at.start + 1..at.end - 1);
                    }
                    reasoning = Some((start, key.range(), at.end));
                    if reasoning_content {
                        object.remove(start, at.end, &mut self.edits);
                        reasoning = None;
                        continue;
                    }
                }
                (b"tool_calls", Type::Array) => self.calls(text, c, choice, form, seen)?,
                (b"function_call", Type::Object) => {
                    seen.changed = true;
                    seen.content += c.skip()?.len() as u64;
                }
                _ => c.skip().map(drop)?,
            }
            object.keep(c.at());
        }
        object.close(&mut self.edits);
        if let Some((_, key, _)) = reasoning {
            // Beside a `reasoning_content` that came later it keeps its own name: both are kept.
            if !reasoning_content {
                self.edits.replace(key, "reasoning_content");
            }
        }
        if let Some(at) = parts {
            seen.changed = true;
            self.parts(text, at, &mut object, seen);
        }
        if new && !role {
            object.add("\"role\":\"assistant\"", &mut self.edits);
        }
        Ok(())
    }

    /// Content as an array of text and thinking parts becomes a string, and the thinking
    /// `reasoning_content`. An array with anything else stays as it is.
    #[cold]
    fn parts(&mut self, text: &str, at: Range<usize>, object: &mut Object, seen: &mut Seen) {
        let Ok(serde_json::Value::Array(parts)) = serde_json::from_str(&text[at.clone()]) else {
            return;
        };
        let (mut content, mut thinking) = (String::new(), String::new());
        for part in &parts {
            match part["type"].as_str() {
                Some("text") => content.push_str(part["text"].as_str().unwrap_or_default()),
                Some("thinking") => {
                    for piece in part["thinking"].as_array().into_iter().flatten() {
                        thinking.push_str(piece["text"].as_str().unwrap_or_default());
                    }
                    thinking.push_str(part["thinking"].as_str().unwrap_or_default());
                }
                Some("reference") => {}
                _ => return,
            }
        }
        let content = serde_json::Value::String(content).to_string();
        // As it is spelled, like all other text, without the quotes.
        seen.content += content.len() as u64 - 2;
        self.edits.replace(at, content);
        if !thinking.is_empty() {
            let thinking = serde_json::Value::String(thinking).to_string();
            seen.content += thinking.len() as u64 - 2;
            object.add(format!("\"reasoning_content\":{thinking}"), &mut self.edits);
        }
    }

    fn calls(
        &mut self,
        text: &str,
        c: &mut Cursor<'_>,
        choice: usize,
        form: Form,
        seen: &mut Seen,
    ) -> Result<(), Bad> {
        c.array()?;
        let mut position = 0;
        while c.element()? {
            if c.peek()? == Type::Object {
                self.call(text, c, choice, form, position, seen)?;
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
        text: &str,
        c: &mut Cursor<'_>,
        choice: usize,
        form: Form,
        position: u64,
        seen: &mut Seen,
    ) -> Result<(), Bad> {
        let said = Said::look(&mut c.clone())?;
        let (ours, new) = self.which(choice, &said, position)?;
        seen.changed |= new;
        c.object()?;
        let mut object = Object::new(c.at());
        let [mut index, mut id, mut kind] = [false; 3];
        while let Some(key) = c.key()? {
            let start = key.range().start - 1;
            object.key(start, &mut self.edits);
            let value = c.peek()?;
            match (key.bytes(), value) {
                (b"index", _) => {
                    index = true;
                    let at = c.skip()?;
                    if form == Form::Chunk && said.index != Some(ours as u64) {
                        self.edits.replace(at, ours.to_string());
                    }
                }
                (b"id", _) => {
                    id = true;
                    let at = c.skip()?;
                    if !new {
                        object.remove(start, at.end, &mut self.edits);
                        continue;
                    }
                    if said.id.is_none() {
                        let own = &self.choices[choice].calls[ours].id;
                        self.edits.replace(at, format!("\"{own}\""));
                    }
                }
                (b"type", value) => {
                    kind = true;
                    let at = c.skip()?;
                    if !new {
                        object.remove(start, at.end, &mut self.edits);
                        continue;
                    }
                    if value != Type::String {
                        self.edits.replace(at, said.kind());
                    }
                }
                (b"function" | b"custom", Type::Object) => {
                    self.function(text, c, new, seen)?;
                }
                _ => c.skip().map(drop)?,
            }
            object.keep(c.at());
        }
        object.close(&mut self.edits);
        if !index && form == Form::Chunk {
            object.add(format!("\"index\":{ours}"), &mut self.edits);
        }
        if new && !id {
            let own = &self.choices[choice].calls[ours].id;
            object.add(format!("\"id\":\"{own}\""), &mut self.edits);
        }
        if new && !kind {
            object.add(format!("\"type\":{}", said.kind()), &mut self.edits);
        }
        Ok(())
    }

    fn function(
        &mut self,
        text: &str,
        c: &mut Cursor<'_>,
        new: bool,
        seen: &mut Seen,
    ) -> Result<(), Bad> {
        c.object()?;
        let mut object = Object::new(c.at());
        while let Some(key) = c.key()? {
            let start = key.range().start - 1;
            object.key(start, &mut self.edits);
            match (key.bytes(), c.peek()?) {
                (b"name", _) if !new => {
                    let at = c.skip()?;
                    object.remove(start, at.end, &mut self.edits);
                    continue;
                }
                (b"arguments" | b"input", Type::String) => {
                    seen.text(c.string()?.range());
                }
                (b"arguments", Type::Object) => {
                    let at = c.skip()?;
                    let spelled = &text[at.clone()];
                    seen.changed = true;
                    seen.content += spelled.len() as u64;
                    let spelled = serde_json::Value::from(spelled).to_string();
                    self.edits.replace(at, spelled);
                }
                _ => c.skip().map(drop)?,
            }
            object.keep(c.at());
        }
        object.close(&mut self.edits);
        Ok(())
    }

    /// Which of our calls a fragment belongs to, and whether it opens it.
    ///
    /// Fragments go by their index. A fragment with another id and a name opens another call all
    /// the same: some put all parallel calls at index 0.
    fn which(
        &mut self,
        choice: usize,
        said: &Said<'_>,
        position: u64,
    ) -> Result<(usize, bool), Bad> {
        let calls = &mut self.choices[choice].calls;
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

impl Form {
    fn object(self) -> &'static str {
        match self {
            Self::Chunk => "\"chat.completion.chunk\"",
            Self::Whole => "\"chat.completion\"",
        }
    }

    fn member(self) -> &'static [u8] {
        match self {
            Self::Chunk => b"delta",
            Self::Whole => b"message",
        }
    }
}

/// OpenAI's name of a finish reason, quoted, when it has another; `null` when it is none.
fn canonical_reason(reason: &[u8], called: bool) -> Option<&'static str> {
    match reason {
        b"stop" | b"length" | b"tool_calls" | b"content_filter" | b"function_call" => None,
        b"" if called => Some("\"tool_calls\""),
        b"" => Some("null"),
        b"eos" | b"eos_token" | b"stop_sequence" | b"end_turn" => Some("\"stop\""),
        b"model_length" | b"max_tokens" => Some("\"length\""),
        _ => None,
    }
}

fn quoted(raw: &str) -> Box<str> {
    format!("\"{raw}\"").into()
}
