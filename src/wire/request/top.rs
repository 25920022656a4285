//! The request object itself.

use super::{
    fault::{FaultKind, Unreadable},
    index::Entry,
    name::Name,
    reader::{Known as _, Null, Read, Reader, duplicate, find, is_longer},
};
use crate::wire::json::{Str, Type};

/// How many members a request may have at the top level, and how many that the API does not know any
/// object in it.
pub const MAX_MEMBERS: usize = 256;

/// How many token ids may be biased; the API names no limit.
const MAX_BIASES: usize = 4096;

const COUNT: &str = "an integer of at least 1";

impl Reader<'_> {
    pub(super) fn top(&mut self) -> Read {
        if self.cursor.peek()? != Type::Object {
            // Not JSON at all is the worse mistake.
            self.cursor.pass()?;
            self.cursor.end()?;
            return Err(Box::new(Unreadable::NotAnObject));
        }
        let at = self.cursor.at();
        self.request.members.reserve(12);
        self.cursor.object()?;
        let (mut seen, mut nulls) = (0u64, 0u64);
        let strangers = self.distinct.begin();
        while let Some(key) = self.cursor.next_key()? {
            if self.request.members.len() == MAX_MEMBERS {
                return Err(Box::new(Unreadable::TooManyMembers));
            }
            let name = find::<Name>(key);
            let null = self.cursor.peek()? == Type::Null;
            let start = self.cursor.at();
            match name {
                Some(name) => {
                    let bit = 1 << name.index();
                    if seen & bit != 0 {
                        return Err(duplicate(key));
                    }
                    seen |= bit;
                    nulls |= bit * u64::from(null);
                    self.member(name)?;
                }
                None => {
                    self.note_unknown(at, strangers, key)?;
                    self.cursor.pass()?;
                }
            }
            self.request.members.push(Entry {
                name,
                null,
                key: (key.range().start - 1) as u32,
                start: start as u32,
                end: self.cursor.at() as u32,
            });
        }
        self.distinct.judge(strangers, self.text)?;
        self.request.present = seen;
        self.request.nulls = nulls;
        self.request.object = at as u32..self.cursor.at() as u32;
        for name in [Name::Model, Name::Messages] {
            if seen & 1 << name.index() == 0 {
                self.fault(at, FaultKind::Missing(name.as_str()));
            }
        }
        Ok(())
    }

    fn member(&mut self, name: Name) -> Read {
        match name {
            Name::Model => {
                if let Some(model) = self.text(Null::Refused, "a string")? {
                    self.request.model = Some(model.cow().into());
                }
            }
            Name::Messages => {
                if self.want(Type::Array, Null::Refused, "an array of messages")? {
                    let count = self.items(
                        1..=usize::MAX,
                        "an array of at least 1 message",
                        Self::message,
                    )?;
                    self.request.counts.messages = count;
                }
            }
            Name::Stream => self.request.stream = self.bool(Null::Absent)?,
            Name::StreamOptions => self.stream_options()?,
            Name::Temperature => self.number(0.0..=2.0, "a number between 0 and 2")?,
            Name::TopP => self.number(0.0..=1.0, "a number between 0 and 1")?,
            Name::FrequencyPenalty | Name::PresencePenalty => {
                self.number(-2.0..=2.0, "a number between -2 and 2")?;
            }
            Name::MaxTokens => {
                let count = self.integer(1..=i64::MAX, Null::Absent, COUNT)?;
                self.request.max_tokens = count.map(i64::unsigned_abs);
            }
            Name::MaxCompletionTokens => {
                let count = self.integer(1..=i64::MAX, Null::Absent, COUNT)?;
                self.request.max_completion_tokens = count.map(i64::unsigned_abs);
            }
            Name::N => {
                let n = self.integer(1..=128, Null::Absent, "an integer between 1 and 128")?;
                self.request.n = n.map(i64::unsigned_abs);
            }
            Name::Stop => self.stop()?,
            Name::Seed => {
                let range = i64::MIN..=i64::MAX;
                self.integer(range, Null::Absent, "an integer of 64 bits")?;
            }
            Name::TopLogprobs => {
                self.integer(0..=20, Null::Absent, "an integer between 0 and 20")?;
            }
            Name::Logprobs => self.request.logprobs = self.bool(Null::Absent)?,
            Name::Store => drop(self.bool(Null::Absent)?),
            Name::ParallelToolCalls => drop(self.bool(Null::Refused)?),
            Name::LogitBias => self.logit_bias()?,
            Name::Tools => self.tools()?,
            Name::ToolChoice => self.tool_choice()?,
            Name::Functions => self.functions()?,
            Name::FunctionCall => self.function_choice()?,
            Name::ResponseFormat => self.response_format()?,
            Name::ReasoningEffort => {
                const WORDS: &[&str] =
                    &["none", "minimal", "low", "medium", "high", "xhigh", "max"];
                let found = self.word(
                    WORDS,
                    Null::Absent,
                    "one of `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`",
                )?;
                self.request.effort_none = found == Some(0);
            }
            Name::Verbosity => {
                let expected = "one of `low`, `medium`, `high`";
                self.word(&["low", "medium", "high"], Null::Absent, expected)?;
            }
            Name::ServiceTier => {
                self.word(
                    &["auto", "default", "flex", "scale", "priority", "fast"],
                    Null::Absent,
                    "one of `auto`, `default`, `flex`, `scale`, `priority`, `fast`",
                )?;
            }
            Name::Modalities => self.modalities()?,
            Name::Audio => self.audio()?,
            Name::Prediction => self.prediction()?,
            Name::WebSearchOptions => self.web_search_options()?,
            Name::Metadata => self.metadata()?,
            Name::User => self.any_text(Null::Refused)?,
            Name::SafetyIdentifier => {
                self.short_text(128, Null::Absent, "a string of at most 128 characters")?;
            }
            Name::PromptCacheKey => self.any_text(Null::Absent)?,
            Name::PromptCacheRetention => {
                self.word(
                    &["in_memory", "in-memory", "24h"],
                    Null::Absent,
                    "one of `in_memory`, `24h`",
                )?;
            }
            Name::PromptCacheOptions => self.prompt_cache_options()?,
            Name::Moderation => self.moderation()?,
        }
        Ok(())
    }

    fn stop(&mut self) -> Read {
        const EXPECTED: &str = "a string or an array of 1 to 4 strings";
        match self.cursor.peek()? {
            Type::String => drop(self.cursor.string()?),
            Type::Array => {
                self.items(1..=4, EXPECTED, |reader| reader.any_text(Null::Refused))?;
            }
            found => self.mismatch(found, Null::Absent, EXPECTED)?,
        }
        Ok(())
    }

    fn logit_bias(&mut self) -> Read {
        const EXPECTED: &str = "an object of at most 4096 members";
        if !self.want(Type::Object, Null::Absent, "an object")? {
            return Ok(());
        }
        self.entries(MAX_BIASES, EXPECTED, |reader, key| {
            if key.bytes().is_empty() || !key.chars().all(|c| c.is_ascii_digit()) {
                let expected = "a token id in decimal digits";
                reader.fault(key.range().start - 1, FaultKind::Value(expected));
            }
            reader.integer(-100..=100, Null::Refused, "an integer between -100 and 100")?;
            Ok(())
        })
    }

    fn metadata(&mut self) -> Read {
        const EXPECTED: &str = "an object of at most 16 members";
        if !self.want(Type::Object, Null::Absent, "an object of strings")? {
            return Ok(());
        }
        self.entries(16, EXPECTED, |reader, key| {
            if is_longer(key, 64) {
                let rule = "must have a key of at most 64 characters";
                reader.fault(key.range().start - 1, FaultKind::Rule(rule));
            }
            reader.short_text(512, Null::Refused, "a string of at most 512 characters")
        })
    }

    /// The members of an object whose keys are the client's own, none twice.
    fn entries(
        &mut self,
        max: usize,
        expected: &'static str,
        mut each: impl FnMut(&mut Self, Str<'_>) -> Read,
    ) -> Read {
        let at = self.cursor.at();
        self.cursor.object()?;
        let keys = self.distinct.begin();
        let mut count = 0;
        while let Some(key) = self.cursor.next_key()? {
            count += 1;
            // What is too much anyway is not kept.
            self.distinct.push(keys, max, key, self.text);
            each(self, key)?;
        }
        if count > max {
            self.fault(at, FaultKind::Value(expected));
        }
        self.distinct.judge(keys, self.text)
    }
}
