//! The choices of an answer: roles, texts, finishes.

use std::ops::Range;

use smallvec::SmallVec;

use super::{
    calls::Calls,
    edits::Object,
    pass::{Bad, Form, Pass},
};
use crate::{
    error::upstream,
    meter::speech,
    wire::{
        json::{Cursor, Type},
        shape,
    },
};

/// Choices that one answer may have.
const MAX_CHOICES: usize = 128;

/// The choices of one answer so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Choices {
    // Nearly always there is one.
    list: SmallVec<[Choice; 1]>,
}

/// What is remembered of one choice.
#[derive(Clone, Debug)]
struct Choice {
    index: u64,
    finished: bool,
    /// Some of its text has come in a delta.
    told: bool,
    calls: Calls,
}

impl Choices {
    /// Whether every choice that was begun has been finished, and there was one.
    pub(super) fn is_finished(&self) -> bool {
        !self.list.is_empty() && self.list.iter().all(|choice| choice.finished)
    }

    /// The choices that have not said why they end, each with the reason that shows.
    pub(super) fn unfinished(&self) -> impl Iterator<Item = (u64, &'static str)> {
        let open = self.list.iter().filter(|choice| !choice.finished);
        open.map(|choice| match choice.calls.is_empty() {
            true => (choice.index, "stop"),
            false => (choice.index, "tool_calls"),
        })
    }

    /// Whether a choice was begun.
    pub(super) fn has_begun(&self) -> bool {
        !self.list.is_empty()
    }

    /// Reads the array; how many choices there were.
    pub(super) fn read(
        &mut self,
        c: &mut Cursor<'_>,
        pass: &mut Pass<'_, '_>,
    ) -> Result<usize, Bad> {
        c.array()?;
        let mut position = 0;
        while c.element()? {
            if c.peek()? != Type::Object {
                return Err(Bad::Shape("choices[]"));
            }
            self.choice(c, position, pass)?;
            position += 1;
        }
        Ok(position)
    }

    fn choice(
        &mut self,
        c: &mut Cursor<'_>,
        position: usize,
        pass: &mut Pass<'_, '_>,
    ) -> Result<(), Bad> {
        c.object()?;
        let mut object = Object::new(c.at());
        let mut index = None;
        // A delta before its index waits until that is known.
        let mut waiting = None;
        let mut delta = false;
        let mut finish = None;
        while let Some(key) = c.next_key()? {
            let start = key.range().start - 1;
            object.key(start, pass.edits);
            let kind = c.peek()?;
            let at = c.at();
            match (key.bytes(), kind) {
                (b"index", _) => {
                    if let Some(plain) = c.plain_integer() {
                        index = Some(plain);
                    } else if kind != Type::Null {
                        let place = shape::place(c, kind).ok_or(Bad::Shape("choices[].index"))?;
                        pass.edits.replace(at..c.at(), place.to_string());
                        index = Some(place);
                    } else {
                        // Some write null where they mean the first.
                        c.next_value()?;
                        pass.edits.replace(at..c.at(), position.to_string());
                        index = Some(position as u64);
                    }
                }
                // In place of a delta that is none there may be a message.
                (b"delta", Type::Null)
                    if pass.form == Form::Chunk && (delta || Rest::of(c.clone())?.message) =>
                {
                    c.next_value()?;
                    object.remove(start, c.at(), pass.edits);
                    continue;
                }
                (name, _) if name == pass.form.member() => {
                    delta = true;
                    match index {
                        Some(index) => self.tell(c, index, pass)?,
                        None => {
                            waiting = Some(c.clone());
                            c.next_value()?;
                        }
                    }
                }
                // Some repeat the whole message so far beside the delta, others have it in its place.
                (b"message", kind) => {
                    if kind == Type::Object && !delta {
                        let rest = Rest::of(c.clone())?;
                        let index = index.or(rest.index).unwrap_or(position as u64);
                        let told = self.list.iter().any(|it| it.index == index && it.told);
                        if !rest.delta && !told {
                            delta = true;
                            pass.edits.replace(key.range(), "delta");
                            self.delta(c, index, pass)?;
                            pass.seen.changed = true;
                            object.keep(c.at());
                            continue;
                        }
                    }
                    c.next_value()?;
                    object.remove(start, c.at(), pass.edits);
                    continue;
                }
                (b"error", Type::Object) => {
                    pass.seen.failed = true;
                    c.next_value()?;
                }
                (b"finish_reason", Type::String) => {
                    let reason = c.next_string()?.bytes();
                    finish = Some((at..c.at(), reason));
                }
                (b"usage", Type::Object) => {
                    pass.seen.inner_usage = Some(c.at());
                    c.next_value()?;
                    object.remove(start, c.at(), pass.edits);
                    continue;
                }
                (name, kind) => {
                    let at = c.next_value()?;
                    if !shape::choice(name, pass.form.member(), kind) {
                        pass.nothing(at, "choices[]")?;
                    }
                }
            }
            object.keep(c.at());
        }
        object.close(pass.edits);
        if let Some(mut c) = waiting {
            let index = index.unwrap_or(position as u64);
            self.tell(&mut c, index, pass)?;
        }
        if index.is_none() {
            object.add(format!("\"index\":{position}"), pass.edits);
        }
        let index = index.unwrap_or(position as u64);
        let (at, new) = self.at_choice(index)?;
        pass.seen.changed |= new;
        if !delta {
            let member = match pass.form {
                Form::Chunk if new => r#""delta":{"role":"assistant"}"#,
                Form::Chunk => r#""delta":{}"#,
                Form::Whole => r#""message":{"role":"assistant","content":null}"#,
            };
            object.add(member, pass.edits);
        }
        if let Some((range, reason)) = finish {
            let called = !self.list[at].calls.is_empty();
            let canonical = canonical_reason(reason, called);
            if let Some(canonical) = canonical {
                pass.edits.replace(range, canonical);
            }
            if canonical != Some("null") {
                self.list[at].finished = true;
                pass.seen.finish = true;
                pass.seen.failed |= upstream::breaks_off(reason);
            }
        }
        Ok(())
    }

    /// Whether nothing has been said of a choice before.
    pub(super) fn is_new(&self, index: u64) -> bool {
        self.list.iter().all(|choice| choice.index != index)
    }

    /// Whether one more may begin.
    pub(super) fn has_room(&self) -> bool {
        self.list.len() < MAX_CHOICES
    }

    /// The first choice goes on, may finish, and says something or not; whether it begins.
    pub(super) fn first(&mut self, finished: bool, told: bool) -> bool {
        if let Some(choice) = self.list.iter_mut().find(|choice| choice.index == 0) {
            choice.finished |= finished;
            choice.told |= told;
            return false;
        }
        self.list.push(Choice {
            index: 0,
            finished,
            told,
            calls: Calls::default(),
        });
        true
    }

    /// The state of a choice, and whether it is new.
    fn at_choice(&mut self, index: u64) -> Result<(usize, bool), Bad> {
        match self.list.iter().position(|choice| choice.index == index) {
            Some(at) => Ok((at, false)),
            None if self.list.len() == MAX_CHOICES => Err(Bad::Limit("choices")),
            None => {
                self.list.push(Choice {
                    index,
                    finished: false,
                    told: false,
                    calls: Calls::default(),
                });
                Ok((self.list.len() - 1, true))
            }
        }
    }

    /// As [`delta`](Self::delta), and remembers whether it said anything.
    fn tell(&mut self, c: &mut Cursor<'_>, index: u64, pass: &mut Pass<'_, '_>) -> Result<(), Bad> {
        let before = pass.seen.content;
        self.delta(c, index, pass)?;
        if pass.seen.content > before {
            let (choice, _) = self.at_choice(index)?;
            self.list[choice].told = true;
        }
        Ok(())
    }

    /// A delta, or the message of a whole answer.
    fn delta(
        &mut self,
        c: &mut Cursor<'_>,
        index: u64,
        pass: &mut Pass<'_, '_>,
    ) -> Result<(), Bad> {
        let (choice, new) = self.at_choice(index)?;
        pass.seen.changed |= new;
        let new = new || pass.form == Form::Whole;
        if c.peek()? != Type::Object {
            let at = c.next_value()?;
            if !shape::is_nothing(&pass.text[at.clone()]) {
                return Err(Bad::Shape("choices[].delta"));
            }
            let empty = if new {
                "{\"role\":\"assistant\"}"
            } else {
                "{}"
            };
            pass.edits.replace(at, empty);
            return Ok(());
        }
        c.object()?;
        let mut object = Object::new(c.at());
        let mut role = false;
        // The two names of one thing. Of the older one its key, where its value is, and whether that
        // says anything.
        let mut reasoning: Option<(Range<usize>, Range<usize>, bool)> = None;
        let mut reasoning_content: Option<(Range<usize>, bool)> = None;
        let mut parts = None;
        while let Some(key) = c.next_key()? {
            let start = key.range().start - 1;
            object.key(start, pass.edits);
            let kind = c.peek()?;
            match (key.bytes(), kind) {
                (b"role", _) => {
                    role = true;
                    let at = c.next_value()?;
                    if new && pass.text[at.clone()] != *"\"assistant\"" {
                        pass.edits.replace(at, "\"assistant\"");
                    }
                }
                (b"content" | b"refusal", Type::String) => {
                    pass.seen.text(c.next_string()?.range());
                }
                (b"content", Type::Array) => parts = Some(c.next_value()?),
                (b"reasoning_content", kind) if !matches!(kind, Type::Array | Type::Object) => {
                    let at = c.next_value()?;
                    let says = says(kind, &at);
                    if let Some((key, other, _)) = reasoning.take_if(|(.., says)| *says) {
                        pass.edits.replace(key, "reasoning_content");
                        // What is no string is told by the other already.
                        let both = [&at, &other].map(|at| pass.text.as_bytes()[at.start] == b'"');
                        if both == [true; 2] && says {
                            pass.seen.changed = true;
                            pass.seen.content +=
                                (at.len() as u64).saturating_sub(other.len() as u64);
                            pass.edits
                                .replace(other.clone(), pass.text[at.clone()].to_owned());
                        }
                        object.remove(start, at.end, pass.edits);
                        reasoning_content = Some((other, true));
                        continue;
                    }
                    pass.thought(kind, &at);
                    reasoning_content = Some((at, says));
                }
                (b"reasoning", kind) if !matches!(kind, Type::Array | Type::Object) => {
                    let at = c.next_value()?;
                    let says = says(kind, &at);
                    if let Some((other, other_says)) = &mut reasoning_content {
                        if says && *other_says {
                            pass.seen.content +=
                                (at.len() as u64).saturating_sub(other.len() as u64);
                        } else if says {
                            *other_says = true;
                            let spelled = match kind {
                                Type::String => &pass.text[at.start + 1..at.end - 1],
                                _ => &pass.text[at.clone()],
                            };
                            pass.seen.changed = true;
                            pass.seen.content += spelled.len() as u64;
                            pass.edits.replace(other.clone(), format!("\"{spelled}\""));
                        }
                        object.remove(start, at.end, pass.edits);
                        continue;
                    }
                    pass.thought(kind, &at);
                    reasoning = Some((key.range(), at, says));
                }
                (b"audio", Type::Object) => {
                    let at = c.next_value()?;
                    pass.seen.content += speech(&mut Cursor::new(&pass.text[at]))?;
                }
                (b"content", Type::Number | Type::Bool) => {
                    let at = c.next_value()?;
                    pass.quote(at);
                }
                (b"tool_calls", Type::Array) => self.list[choice].calls.read(c, pass)?,
                (b"tool_calls", Type::Object) => self.list[choice].calls.read_one(c, pass)?,
                (b"function_call", Type::Object) => {
                    pass.seen.changed = true;
                    pass.seen.content += c.next_value()?.len() as u64;
                }
                (name, kind) => {
                    let at = c.next_value()?;
                    if !shape::delta(name, kind) {
                        pass.nothing(at, "choices[].delta")?;
                    }
                }
            }
            object.keep(c.at());
        }
        object.close(pass.edits);
        if let (Some((key, ..)), None) = (reasoning, reasoning_content) {
            pass.edits.replace(key, "reasoning_content");
        }
        if let Some(at) = parts {
            pass.seen.changed = true;
            parts_to_text(at, &mut object, pass);
        }
        if new && !role {
            object.add("\"role\":\"assistant\"", pass.edits);
        }
        Ok(())
    }
}

/// Whether a thought is one: a string that is not empty, or what stands in the place of one.
fn says(kind: Type, at: &Range<usize>) -> bool {
    match kind {
        Type::Null => false,
        Type::String => at.len() > 2,
        _ => true,
    }
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

/// Content as an array of text and thinking parts becomes a string, and the thinking
/// `reasoning_content`. An array with anything else stays as it is.
#[cold]
fn parts_to_text(at: Range<usize>, object: &mut Object, pass: &mut Pass<'_, '_>) {
    let Ok(serde_json::Value::Array(parts)) = serde_json::from_str(&pass.text[at.clone()]) else {
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
    pass.seen.content += content.len() as u64 - 2;
    pass.edits.replace(at, content);
    if !thinking.is_empty() {
        let thinking = serde_json::Value::String(thinking).to_string();
        pass.seen.content += thinking.len() as u64 - 2;
        object.add(format!("\"reasoning_content\":{thinking}"), pass.edits);
    }
}

/// OpenAI's name of a finish reason, quoted, when it has another; `null` when it is none. One that
/// nobody has heard of stays.
fn canonical_reason(reason: &[u8], called: bool) -> Option<&'static str> {
    match reason {
        b"stop" | b"length" | b"tool_calls" | b"content_filter" | b"function_call" => None,
        b"" | b"STOP" if called => Some("\"tool_calls\""),
        // DashScope's own API spells null so.
        b"" | b"null" => Some("null"),
        b"STOP" | b"eos" | b"eos_token" | b"stop_sequence" | b"end_turn" => Some("\"stop\""),
        b"model_length" | b"max_tokens" | b"MAX_TOKENS" | b"model_context_window_exceeded" => {
            Some("\"length\"")
        }
        b"tool_use" => Some("\"tool_calls\""),
        // Google's compatible endpoint passes on its own words.
        b"SAFETY"
        | b"RECITATION"
        | b"BLOCKLIST"
        | b"PROHIBITED_CONTENT"
        | b"SPII"
        | b"IMAGE_SAFETY"
        | b"IMAGE_PROHIBITED_CONTENT"
        | b"refusal"
        | b"sensitive" => Some("\"content_filter\""),
        _ if reason.starts_with(b"content_filter:") => Some("\"content_filter\""),
        _ => None,
    }
}
