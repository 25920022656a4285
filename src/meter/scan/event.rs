//! One chunk of a stream or one whole answer, looked at for what it says of itself.

use crate::{
    error::{Error, upstream},
    meter::Tally,
    wire::{
        Counting, ServiceTier, Usage,
        json::{Cursor, Fault, Type},
        shape,
    },
};

/// Choices that are told apart.
const MAX_CHOICES: usize = 128;

/// What is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Chunk,
    Whole,
}

/// What is remembered of an answer from event to event.
#[derive(Debug)]
pub(crate) struct Answer {
    counting: Counting,
    choices: Vec<Choice>,
}

#[derive(Debug)]
struct Choice {
    index: u64,
    finished: bool,
    /// Some of its text has come in a delta.
    told: bool,
}

/// What one text says.
#[derive(Default)]
struct Seen {
    content: u64,
    usage: bool,
    failed: bool,
}

impl Answer {
    pub(crate) fn new(counting: Counting) -> Self {
        Self {
            counting,
            choices: Vec::new(),
        }
    }

    /// Whether there was a choice.
    pub(crate) fn has_begun(&self) -> bool {
        !self.choices.is_empty()
    }

    /// Whether every choice that was begun has been finished, and there was one.
    pub(crate) fn is_finished(&self) -> bool {
        self.has_begun() && self.choices.iter().all(|choice| choice.finished)
    }

    /// Notes what an event of a stream says; whether it is a chunk, and not an event of a kind of
    /// its own.
    ///
    /// # Errors
    /// It says that the answer has failed.
    pub(crate) fn event(&mut self, name: &[u8], text: &str, tally: &Tally) -> Result<bool, Error> {
        match name {
            b"" | b"message" => {}
            b"error" => return Err(upstream::in_stream(text)),
            _ if text.contains("\"choices\"") => {}
            _ => return Ok(false),
        }
        self.read(text, Form::Chunk, tally)?;
        Ok(true)
    }

    /// Notes what a whole answer says.
    ///
    /// # Errors
    /// It says that it has failed.
    pub(crate) fn whole(&mut self, text: &str, tally: &Tally) -> Result<(), Error> {
        self.read(text, Form::Whole, tally)
    }

    fn read(&mut self, text: &str, form: Form, tally: &Tally) -> Result<(), Error> {
        let mut seen = Seen::default();
        match self.top(text, form, &mut seen, tally) {
            Ok(()) => tally.relayed(seen.content),
            // Some put their error into an array.
            Err(_) if text.trim_start().starts_with('[') && text.contains("\"error\"") => {
                seen.failed = true;
            }
            // What is no JSON is the client's to find out: nothing is changed here.
            Err(_) => {}
        }
        if seen.failed {
            return Err(upstream::in_stream(text));
        }
        if seen.usage && self.is_finished() {
            tally.counts_are_whole(false);
        }
        Ok(())
    }

    fn top(&mut self, text: &str, form: Form, seen: &mut Seen, tally: &Tally) -> Result<(), Fault> {
        let c = &mut Cursor::new(text);
        // Some errors are flat objects, without a member that says so.
        let (mut said, mut answers) = (false, false);
        c.object()?;
        while let Some(key) = c.key()? {
            match (key.bytes(), c.peek()?) {
                (b"model", Type::String) => {
                    let model = c.string()?;
                    if tally.model().is_none() && !model.bytes().is_empty() {
                        tally.record_model(&*model.cow());
                    }
                }
                (b"service_tier", Type::String) => {
                    if let Some(tier) = ServiceTier::named(&c.string()?.cow()) {
                        tally.record_service_tier(tier);
                    }
                }
                (b"choices", Type::Array) => {
                    answers = true;
                    self.choices(c, form, seen, tally)?;
                }
                (b"usage", _) => {
                    answers = true;
                    self.usage(c, seen, tally)?;
                }
                (b"message" | b"detail", kind) => {
                    c.skip()?;
                    said |= kind != Type::Null;
                }
                (b"x_groq", Type::Object) => {
                    c.object()?;
                    while let Some(key) = c.key()? {
                        match key.bytes() {
                            b"usage" => self.usage(c, seen, tally)?,
                            _ => c.skip().map(drop)?,
                        }
                    }
                }
                (b"error", kind) => {
                    c.skip()?;
                    seen.failed |= kind != Type::Null;
                }
                _ => c.skip().map(drop)?,
            }
        }
        c.end()?;
        seen.failed |= said && !answers;
        Ok(())
    }

    fn usage(&self, c: &mut Cursor<'_>, seen: &mut Seen, tally: &Tally) -> Result<(), Fault> {
        if let Some(usage) = Usage::read(c, self.counting)? {
            tally.record_usage(usage);
            seen.usage = true;
        }
        Ok(())
    }

    fn choices(
        &mut self,
        c: &mut Cursor<'_>,
        form: Form,
        seen: &mut Seen,
        tally: &Tally,
    ) -> Result<(), Fault> {
        let mut position = 0;
        c.array()?;
        while c.element()? {
            if c.peek()? != Type::Object {
                c.skip()?;
                continue;
            }
            let mut index = position;
            let mut finished = form == Form::Whole;
            // In a chunk a message counts where no delta does.
            let (mut delta, mut message) = (None, None);
            c.object()?;
            while let Some(key) = c.key()? {
                match (key.bytes(), c.peek()?) {
                    (b"index", kind @ (Type::Number | Type::String)) => {
                        index = shape::place(c, kind).unwrap_or(position);
                    }
                    (b"delta", Type::Object) if form == Form::Chunk => {
                        let before = seen.content;
                        said(c, seen)?;
                        delta = Some(seen.content > before);
                    }
                    (b"message", Type::Object) if form == Form::Whole => said(c, seen)?,
                    (b"message", Type::Object) => {
                        message = Some(c.clone());
                        c.skip()?;
                    }
                    (b"finish_reason", Type::String) => {
                        let reason = c.string()?;
                        finished |= !matches!(reason.bytes(), b"" | b"null");
                        seen.failed |= upstream::breaks_off(reason.bytes());
                    }
                    (b"usage", Type::Object) => self.usage(c, seen, tally)?,
                    (b"error", Type::Object) => {
                        c.skip()?;
                        seen.failed = true;
                    }
                    _ => c.skip().map(drop)?,
                }
            }
            let known = self.choices.iter().position(|it| it.index == index);
            let told = known.is_some_and(|at| self.choices[at].told);
            if let (Some(mut message), None, false) = (message, delta, told) {
                said(&mut message, seen)?;
            }
            let told = delta.unwrap_or(false);
            match known {
                Some(at) => {
                    self.choices[at].finished |= finished;
                    self.choices[at].told |= told;
                }
                None if self.choices.len() < MAX_CHOICES => self.choices.push(Choice {
                    index,
                    finished,
                    told,
                }),
                None => {}
            }
            position += 1;
        }
        Ok(())
    }
}

/// Counts the generated text of a delta or a message.
fn said(c: &mut Cursor<'_>, seen: &mut Seen) -> Result<(), Fault> {
    // One of the two names stands for the other, and some send both.
    let mut reasoning = 0;
    c.object()?;
    while let Some(key) = c.key()? {
        match (key.bytes(), c.peek()?) {
            (b"content" | b"refusal", Type::String) => seen.content += length(c)?,
            (b"content", Type::Array) => parts(c, seen)?,
            // Digits that are spelled as a number.
            (b"content", Type::Number | Type::Bool) => seen.content += c.skip()?.len() as u64,
            (b"reasoning" | b"reasoning_content", Type::String) => {
                reasoning = length(c)?.max(reasoning);
            }
            (b"reasoning" | b"reasoning_content", Type::Number | Type::Bool) => {
                reasoning = (c.skip()?.len() as u64).max(reasoning);
            }
            (b"tool_calls", Type::Object) => call(c, seen)?,
            (b"tool_calls", Type::Array) => {
                c.array()?;
                while c.element()? {
                    call(c, seen)?;
                }
            }
            (b"function_call", Type::Object) => function(c, seen)?,
            (b"audio", Type::Object) => seen.content += speech(c)?,
            _ => c.skip().map(drop)?,
        }
    }
    seen.content += reasoning;
    Ok(())
}

fn length(c: &mut Cursor<'_>) -> Result<u64, Fault> {
    Ok(c.string()?.raw().len() as u64)
}

/// Bytes of sound in base64 that count as one of text. A second, of 24 000 samples of two bytes, has
/// 64 000; and OpenAI counts twenty tokens for it, each of which is taken for four bytes of text.
const SOUND: u64 = 800;

/// What the speech of a delta or a message counts for: its words, and its sound.
pub(crate) fn speech(c: &mut Cursor<'_>) -> Result<u64, Fault> {
    let mut content = 0;
    c.object()?;
    while let Some(key) = c.key()? {
        match (key.bytes(), c.peek()?) {
            (b"transcript", Type::String) => content += length(c)?,
            (b"data", Type::String) => content += length(c)?.div_ceil(SOUND),
            _ => c.skip().map(drop)?,
        }
    }
    Ok(content)
}

/// Content as an array of text and thinking.
fn parts(c: &mut Cursor<'_>, seen: &mut Seen) -> Result<(), Fault> {
    c.array()?;
    while c.element()? {
        if c.peek()? != Type::Object {
            c.skip()?;
            continue;
        }
        c.object()?;
        while let Some(key) = c.key()? {
            match (key.bytes(), c.peek()?) {
                (b"text" | b"thinking", Type::String) => seen.content += length(c)?,
                (b"thinking", Type::Array) => parts(c, seen)?,
                _ => c.skip().map(drop)?,
            }
        }
    }
    Ok(())
}

fn call(c: &mut Cursor<'_>, seen: &mut Seen) -> Result<(), Fault> {
    if c.peek()? != Type::Object {
        return c.skip().map(drop);
    }
    c.object()?;
    while let Some(key) = c.key()? {
        match (key.bytes(), c.peek()?) {
            (b"function" | b"custom", Type::Object) => function(c, seen)?,
            _ => c.skip().map(drop)?,
        }
    }
    Ok(())
}

fn function(c: &mut Cursor<'_>, seen: &mut Seen) -> Result<(), Fault> {
    c.object()?;
    while let Some(key) = c.key()? {
        match (key.bytes(), c.peek()?) {
            (b"arguments" | b"input", Type::String) => seen.content += length(c)?,
            (b"arguments", Type::Object) => seen.content += c.skip()?.len() as u64,
            _ => c.skip().map(drop)?,
        }
    }
    Ok(())
}
