//! The small option objects at the top level.

use super::{
    fault::FaultKind,
    index::ToolChoice,
    known::{keys, words},
    name::Name,
    reader::{Null, OBJECT, Read, Reader},
};
use crate::wire::json::Type;

keys!(StreamOptions {
    IncludeUsage = "include_usage",
    IncludeObfuscation = "include_obfuscation",
});

keys!(Audio {
    Voice = "voice",
    Format = "format",
});

keys!(Id { Id = "id", });

keys!(Prediction {
    Type = "type",
    Content = "content",
});

keys!(WebSearch {
    SearchContextSize = "search_context_size",
    UserLocation = "user_location",
});

keys!(UserLocation {
    Type = "type",
    Approximate = "approximate",
});

keys!(Place {
    Country = "country",
    Region = "region",
    City = "city",
    Timezone = "timezone",
});

keys!(CacheOptions {
    Mode = "mode",
    Ttl = "ttl",
});

keys!(Moderation {
    Model = "model",
    Policy = "policy",
});

keys!(Policy {
    Input = "input",
    Output = "output",
});

keys!(Mode { Mode = "mode", });

impl Reader<'_, '_> {
    pub(super) fn stream_options(&mut self) -> Read {
        if self.want(Type::Object, Null::Absent, OBJECT)? {
            self.members(|reader, key| {
                let value = reader.bool(Null::Refused)?;
                if let StreamOptions::IncludeUsage = key {
                    reader.request.include_usage = value == Some(true);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    pub(super) fn modalities(&mut self) -> Read {
        const EXPECTED: &str = "one of `text`, `audio`";
        if self.want(Type::Array, Null::Absent, "an array of strings")? {
            self.items(0..=usize::MAX, "", |reader| {
                if !reader.want(Type::String, Null::Refused, EXPECTED)? {
                    return Ok(());
                }
                let words = words!("text", "audio");
                let note = |reader: &mut Self, found| {
                    reader.request.audio_asked |= found == Some(1);
                };
                let found = reader.word(words, Null::Refused, EXPECTED)?;
                note(reader, found);
                reader.later_words(words, EXPECTED, note)
            })?;
        }
        Ok(())
    }

    pub(super) fn audio(&mut self) -> Read {
        if !self.want(Type::Object, Null::Absent, OBJECT)? {
            return Ok(());
        }
        let seen = self.members(|reader, key| match key {
            Audio::Voice => match reader.cursor.peek()? {
                Type::String => reader.any_text(Null::Refused),
                Type::Object => {
                    let seen = reader.members(|reader, _: Id| reader.any_text(Null::Refused))?;
                    reader.require(seen, Id::Id)
                }
                found => {
                    reader.mismatch(found, Null::Refused, "a string or an object with an `id`")
                }
            },
            Audio::Format => reader
                .word(
                    words!("wav", "aac", "mp3", "flac", "opus", "pcm16"),
                    Null::Refused,
                    "one of `wav`, `aac`, `mp3`, `flac`, `opus`, `pcm16`",
                )
                .map(drop),
        })?;
        self.require(seen, Audio::Voice)?;
        self.require(seen, Audio::Format)
    }

    pub(super) fn prediction(&mut self) -> Read {
        if !self.want(Type::Object, Null::Absent, OBJECT)? {
            return Ok(());
        }
        let seen = self.members(|reader, key| match key {
            Prediction::Type => reader
                .word(words!("content"), Null::Refused, "`content`")
                .map(drop),
            Prediction::Content => reader.text_or_text_parts(),
        })?;
        self.require(seen, Prediction::Type)?;
        self.require(seen, Prediction::Content)
    }

    pub(super) fn web_search_options(&mut self) -> Read {
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        self.members(|reader, key| match key {
            WebSearch::SearchContextSize => {
                let expected = "one of `low`, `medium`, `high`";
                let words = words!("low", "medium", "high");
                reader.word(words, Null::Refused, expected).map(drop)
            }
            WebSearch::UserLocation => reader.user_location(),
        })?;
        Ok(())
    }

    fn user_location(&mut self) -> Read {
        if !self.want(Type::Object, Null::Absent, OBJECT)? {
            return Ok(());
        }
        let seen = self.members(|reader, key| match key {
            UserLocation::Type => reader
                .word(words!("approximate"), Null::Refused, "`approximate`")
                .map(drop),
            UserLocation::Approximate => {
                if reader.want(Type::Object, Null::Refused, OBJECT)? {
                    reader.members(|reader, _: Place| reader.any_text(Null::Refused))?;
                }
                Ok(())
            }
        })?;
        self.require(seen, UserLocation::Type)?;
        self.require(seen, UserLocation::Approximate)
    }

    pub(super) fn prompt_cache_options(&mut self) -> Read {
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        self.members(|reader, key| match key {
            CacheOptions::Mode => {
                let expected = "one of `implicit`, `explicit`";
                let words = words!("implicit", "explicit");
                reader.word(words, Null::Refused, expected).map(drop)
            }
            CacheOptions::Ttl => reader.word(words!("30m"), Null::Refused, "`30m`").map(drop),
        })?;
        Ok(())
    }

    pub(super) fn moderation(&mut self) -> Read {
        if !self.want(Type::Object, Null::Absent, OBJECT)? {
            return Ok(());
        }
        let seen = self.members(|reader, key| match key {
            Moderation::Model => reader.any_text(Null::Refused),
            Moderation::Policy => {
                if reader.want(Type::Object, Null::Absent, OBJECT)? {
                    reader.members(|reader, _: Policy| reader.moderation_mode())?;
                }
                Ok(())
            }
        })?;
        self.require(seen, Moderation::Model)
    }

    fn moderation_mode(&mut self) -> Read {
        if self.want(Type::Object, Null::Absent, OBJECT)? {
            let seen = self.members(|reader, _: Mode| {
                let expected = "one of `score`, `block`";
                reader
                    .word(words!("score", "block"), Null::Refused, expected)
                    .map(drop)
            })?;
            self.require(seen, Mode::Mode)?;
        }
        Ok(())
    }

    /// What several members ask of one another, once all are known.
    pub(super) fn rules(&mut self) -> Read {
        const fn bits(names: &[Name]) -> u64 {
            match names {
                [first, rest @ ..] => 1 << *first as u32 | bits(rest),
                [] => 0,
            }
        }
        const ASKING: u64 = bits(&[
            Name::StreamOptions,
            Name::TopLogprobs,
            Name::ToolChoice,
            Name::Modalities,
        ]);
        const LIMITS: u64 = bits(&[Name::MaxTokens, Name::MaxCompletionTokens]);
        let request = &self.request;
        if request.present & ASKING == 0 && request.present & LIMITS != LIMITS {
            return Ok(());
        }
        let mut broken = Vec::new();
        let mut rule = |name: Name, holds: bool, rule: &'static str| {
            if let Some(member) = request.member(name).filter(|_| !holds) {
                broken.push((member.value.start, FaultKind::Rule(rule)));
            }
        };
        if request.has(Name::StreamOptions) {
            let holds = request.stream == Some(true);
            rule(
                Name::StreamOptions,
                holds,
                "is only allowed when `stream` is true",
            );
        }
        if request.has(Name::TopLogprobs) {
            let holds = request.logprobs == Some(true);
            rule(
                Name::TopLogprobs,
                holds,
                "is only allowed when `logprobs` is true",
            );
        }
        if request.has(Name::ToolChoice) {
            // That none is called can be said of none.
            let holds = request.tools > 0 || request.tool_choice == Some(ToolChoice::None);
            rule(
                Name::ToolChoice,
                holds,
                "is only allowed when `tools` are given",
            );
        }
        if request.has(Name::MaxTokens) {
            let holds = !request.has(Name::MaxCompletionTokens);
            let text = "must not be given together with `max_completion_tokens`";
            rule(Name::MaxTokens, holds, text);
        }
        let holds = !request.audio_asked || request.has(Name::Audio);
        rule(
            Name::Modalities,
            holds,
            "asks for audio, which needs `audio` to be given",
        );
        for (at, kind) in broken {
            self.fault(at, kind)?;
        }
        Ok(())
    }
}
