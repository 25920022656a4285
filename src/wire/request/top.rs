//! The request object itself.

use std::ops::RangeInclusive;

use super::{
    fault::{FaultKind, Unreadable},
    keys::Distinct,
    known::{Known as _, Words, find, words},
    name::Name,
    reader::{Null, OBJECT, Read, Reader, duplicate},
    values::is_longer,
};
use crate::wire::json::{Key, Type};

/// How many members a request may have at the top level, and how many that the API does not know any
/// object in it.
pub const MAX_MEMBERS: usize = 256;

/// How many token ids may be biased; the API names no limit.
const MAX_BIASES: usize = 4096;

const COUNT: &str = "an integer of at least 1";

impl<'a> Reader<'a, '_> {
    /// Reads the whole text, of which so many members and elements were allowed.
    pub(super) fn all(&mut self, nodes: usize) -> Read {
        self.top()?;
        self.cursor.end()?;
        self.rules()?;
        self.choices()?;
        let nodes = nodes - self.cursor.budget();
        let request = &mut *self.request;
        request.counts = request.found.sums.counts(request.counts.messages, nodes);
        Ok(())
    }

    #[inline(never)]
    fn top(&mut self) -> Read {
        if !self.cursor.is_object() {
            // Not JSON at all is the worse mistake.
            self.cursor.pass()?;
            self.cursor.end()?;
            return Err(Box::new(Unreadable::NotAnObject));
        }
        let at = self.cursor.at();
        self.cursor.enter_here()?;
        let (mut seen, mut nulls) = (0u64, 0u64);
        let strangers = self.distinct.begin();
        let mut next = self.cursor.opening_key()?;
        let mut usual = None;
        while let Some(key) = next {
            let name = usual.or_else(|| find::<Name>(key));
            let start = self.cursor.value_at();
            match name {
                Some(name) => {
                    let bit = 1 << name.index();
                    if seen & bit != 0 {
                        return Err(duplicate(key.string.start()));
                    }
                    seen |= bit;
                    self.member(name)?;
                }
                None => {
                    self.note_unknown(at, strangers, key)?;
                    self.cursor.pass()?;
                }
            }
            let end = self.cursor.at();
            let null = end - start == 4 && self.text.get(start) == Some(&b'n');
            if let (true, Some(name)) = (null, name) {
                nulls |= 1 << name.index();
            }
            let entry = self.request.members.next();
            let entry = entry.ok_or_else(|| Box::new(Unreadable::TooManyMembers))?;
            entry.name = name;
            entry.null = null;
            entry.key = (key.string.start() - 1) as u32;
            entry.start = start as u32;
            entry.end = end as u32;
            (usual, next) = match self.usual_key() {
                Some((name, key)) => (Some(name), Some(key)),
                None => (None, self.cursor.later_key()?),
            };
        }
        self.distinct.judge(strangers, self.text)?;
        self.request.present = seen;
        self.request.nulls = nulls;
        self.request.object = at as u32..self.cursor.at() as u32;
        for name in [Name::Model, Name::Messages] {
            if seen & 1 << name.index() == 0 {
                self.fault(at, FaultKind::Missing(name.as_str()))?;
            }
        }
        Ok(())
    }

    /// The next key, if it is one that nearly every request has, spelled as nearly all spell it.
    #[inline(always)]
    fn usual_key(&mut self) -> Option<(Name, Key<'a>)> {
        let cursor = &mut self.cursor;
        let quote = cursor.quote_behind_comma()?;
        macro_rules! usual {
            ($($name:ident: $spelled:literal),*) => {
                None$(.or_else(|| Some((Name::$name, cursor.key_at_quote(quote, $spelled)?))))*
            };
        }
        match self.text.get(quote + 1)? {
            b'm' => {
                usual!(Messages: b"\"messages\":", Model: b"\"model\":", MaxTokens: b"\"max_tokens\":")
            }
            b's' => usual!(Stream: b"\"stream\":"),
            b't' => usual!(Temperature: b"\"temperature\":", Tools: b"\"tools\":"),
            _ => None,
        }
    }

    /// The value of a member: of those that nearly every request has right away.
    #[inline(always)]
    fn member(&mut self, name: Name) -> Read {
        match name {
            Name::Model => self.model(),
            Name::Messages => self.messages(),
            Name::Stream => self.stream(),
            Name::Temperature => self.number(0.0, 2.0, "a number between 0 and 2"),
            Name::MaxTokens => self.max_tokens(),
            _ => self.other_member(name),
        }
    }

    #[inline(never)]
    fn other_member(&mut self, name: Name) -> Read {
        match name {
            Name::Model | Name::Messages | Name::Stream | Name::Temperature | Name::MaxTokens => {
                self.member(name)
            }
            Name::StreamOptions => self.stream_options(),
            Name::TopP => self.number(0.0, 1.0, "a number between 0 and 1"),
            Name::FrequencyPenalty | Name::PresencePenalty => {
                self.number(-2.0, 2.0, "a number between -2 and 2")
            }
            Name::MaxCompletionTokens => self.max_completion_tokens(),
            Name::N => self.n(),
            Name::Stop => self.stop(),
            Name::Seed => self.any_integer(i64::MIN..=i64::MAX, "an integer of 64 bits"),
            Name::TopLogprobs => self.any_integer(0..=20, "an integer between 0 and 20"),
            Name::Logprobs => self.logprobs(),
            Name::Store => self.any_bool(Null::Absent),
            Name::ParallelToolCalls => self.any_bool(Null::Refused),
            Name::LogitBias => self.logit_bias(),
            Name::Tools => self.tools(),
            Name::ToolChoice => self.tool_choice(),
            Name::Functions => self.functions(),
            Name::FunctionCall => self.function_choice(),
            Name::ResponseFormat => self.response_format(),
            Name::ReasoningEffort => self.reasoning_effort(),
            Name::Verbosity => self.any_word(
                words!("low", "medium", "high"),
                "one of `low`, `medium`, `high`",
            ),
            Name::ServiceTier => self.any_word(
                words!("auto", "default", "flex", "scale", "priority", "fast"),
                "one of `auto`, `default`, `flex`, `scale`, `priority`, `fast`",
            ),
            Name::Modalities => self.modalities(),
            Name::Audio => self.audio(),
            Name::Prediction => self.prediction(),
            Name::WebSearchOptions => self.web_search_options(),
            Name::Metadata => self.metadata(),
            Name::User => self.any_text(Null::Refused),
            Name::SafetyIdentifier => {
                self.short_text(128, Null::Absent, "a string of at most 128 characters")
            }
            Name::PromptCacheKey => self.any_text(Null::Absent),
            Name::PromptCacheRetention => self.any_word(
                words!("in_memory", "in-memory", "24h"),
                "one of `in_memory`, `24h`",
            ),
            Name::PromptCacheOptions => self.prompt_cache_options(),
            Name::Moderation => self.moderation(),
        }
    }

    #[inline(never)]
    fn model(&mut self) -> Read {
        if let Some(model) = self.text(Null::Refused, "a string")? {
            self.cursor.spend_escaped(model)?;
            self.request.model = Some(model.boxed());
        }
        Ok(())
    }

    #[inline(never)]
    fn messages(&mut self) -> Read {
        if self.want(Type::Array, Null::Refused, "an array of messages")? {
            const EXPECTED: &str = "an array of at least 1 message";
            self.request.counts.messages = self.items(1..=usize::MAX, EXPECTED, Self::message)?;
        }
        Ok(())
    }

    #[inline(never)]
    fn stream(&mut self) -> Read {
        self.request.stream = self.bool(Null::Absent)?;
        Ok(())
    }

    #[inline(never)]
    fn logprobs(&mut self) -> Read {
        self.request.logprobs = self.bool(Null::Absent)?;
        Ok(())
    }

    #[inline(never)]
    fn any_bool(&mut self, null: Null) -> Read {
        self.bool(null).map(drop)
    }

    #[inline(never)]
    fn max_tokens(&mut self) -> Read {
        let count = self.integer(1..=i64::MAX, Null::Absent, COUNT)?;
        self.request.max_tokens = count.map(i64::unsigned_abs);
        Ok(())
    }

    #[inline(never)]
    fn max_completion_tokens(&mut self) -> Read {
        let count = self.integer(1..=i64::MAX, Null::Absent, COUNT)?;
        self.request.max_completion_tokens = count.map(i64::unsigned_abs);
        Ok(())
    }

    #[inline(never)]
    fn n(&mut self) -> Read {
        let n = self.integer(1..=128, Null::Absent, "an integer between 1 and 128")?;
        self.request.n = n.map(i64::unsigned_abs);
        Ok(())
    }

    #[inline(never)]
    fn any_integer(&mut self, range: RangeInclusive<i64>, expected: &'static str) -> Read {
        self.integer(range, Null::Absent, expected).map(drop)
    }

    #[inline(never)]
    fn any_word(&mut self, words: &'static Words, expected: &'static str) -> Read {
        self.word(words, Null::Absent, expected).map(drop)
    }

    #[inline(never)]
    fn reasoning_effort(&mut self) -> Read {
        let found = self.word(
            words!("none", "minimal", "low", "medium", "high", "xhigh", "max"),
            Null::Absent,
            "one of `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`",
        )?;
        self.request.effort_none = found == Some(0);
        Ok(())
    }

    fn stop(&mut self) -> Read {
        const EXPECTED: &str = "a string or an array of 1 to 4 strings";
        match self.cursor.peek()? {
            Type::String => drop(self.cursor.string()?),
            Type::Array => {
                self.items(1..=4, EXPECTED, |reader| {
                    if reader.want(Type::String, Null::Refused, "a string")? {
                        reader.any_text(Null::Refused)?;
                    }
                    Ok(())
                })?;
            }
            found => self.mismatch(found, Null::Absent, EXPECTED)?,
        }
        Ok(())
    }

    fn logit_bias(&mut self) -> Read {
        const EXPECTED: &str = "an object of at most 4096 members";
        if !self.want(Type::Object, Null::Absent, OBJECT)? {
            return Ok(());
        }
        self.entries(MAX_BIASES, EXPECTED, |reader, key, entries| {
            if !key.word.is_digits() {
                let expected = "a token id in decimal digits";
                reader.fault(key.string.start() - 1, FaultKind::Value(expected))?;
            }
            reader.bias()?;
            reader.later_biases(entries)
        })
    }

    fn bias(&mut self) -> Read {
        let expected = "an integer between -100 and 100";
        self.integer(-100..=100, Null::Refused, expected).map(drop)
    }

    /// Those behind the first, as long as their keys are of digits. There may be thousands, so that their
    /// place is kept in a cursor that nobody else sees.
    #[inline(never)]
    fn later_biases(&mut self, entries: &mut Entries) -> Read {
        let mut cursor = self.cursor.clone();
        let mut distinct = std::mem::take(&mut self.distinct);
        while let Some(key) = cursor.later_digits_key() {
            entries.note(&mut distinct, key);
            let at = cursor.at();
            if matches!(cursor.integer_here(), Some(-100..=100)) {
                continue;
            }
            cursor.back_to(at);
            self.cursor = cursor;
            self.bias()?;
            cursor = self.cursor.clone();
        }
        self.cursor = cursor;
        self.distinct = distinct;
        Ok(())
    }

    fn metadata(&mut self) -> Read {
        const EXPECTED: &str = "an object of at most 16 members";
        if !self.want(Type::Object, Null::Absent, "an object of strings")? {
            return Ok(());
        }
        self.entries(16, EXPECTED, |reader, key, entries| {
            if entries.are_too_many() {
                // They are refused as they are; how long each is nobody needs to know.
                return Ok(reader.cursor.pass()?);
            }
            if is_longer(key.string, 64) {
                let rule = "must have a key of at most 64 characters";
                reader.fault(key.string.start() - 1, FaultKind::Rule(rule))?;
            }
            reader.short_text(512, Null::Refused, "a string of at most 512 characters")
        })
    }

    /// The members of an object whose keys are the client's own, none twice.
    fn entries(
        &mut self,
        max: usize,
        expected: &'static str,
        mut each: impl FnMut(&mut Self, Key<'_>, &mut Entries) -> Read,
    ) -> Read {
        let at = self.cursor.at();
        self.cursor.enter_here()?;
        let keys = self.distinct.begin();
        let mut entries = Entries {
            keys,
            max,
            count: 0,
        };
        let mut next = self.cursor.opening_key()?;
        while let Some(key) = next {
            entries.note(&mut self.distinct, key);
            each(self, key, &mut entries)?;
            next = self.cursor.later_key()?;
        }
        if entries.are_too_many() {
            self.fault(at, FaultKind::Value(expected))?;
        }
        self.distinct.judge(keys, self.text)
    }
}

/// The members of such an object.
struct Entries {
    /// Where their keys begin among those that are kept.
    keys: usize,
    max: usize,
    count: usize,
}

impl Entries {
    fn are_too_many(&self) -> bool {
        self.count > self.max
    }

    #[inline(always)]
    fn note(&mut self, distinct: &mut Distinct, key: Key<'_>) {
        self.count += 1;
        // What is too much anyway is not kept.
        if !self.are_too_many() {
            distinct.push(self.keys, self.max, key);
        }
    }
}
