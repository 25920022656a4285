//! The parts of a content.

use std::num::NonZeroU32;

use super::{
    found::Tag,
    known::{Words, keys, words},
    reader::{Null, OBJECT, Read, Reader},
};
use crate::wire::json::{Str, Type};

keys!(Part {
    Type = "type",
    Text = "text",
    ImageUrl = "image_url",
    InputAudio = "input_audio",
    File = "file",
    Refusal = "refusal",
    CacheBreakpoint = "prompt_cache_breakpoint",
});

keys!(ImageUrl {
    Url = "url",
    Detail = "detail",
});

keys!(InputAudio {
    Data = "data",
    Format = "format",
});

keys!(File {
    FileData = "file_data",
    Filename = "filename",
    FileId = "file_id",
});

keys!(Breakpoint {
    Mode = "mode",
    Ttl = "ttl",
});

/// What the parts were that were read last.
#[derive(Default)]
pub(super) struct Parts {
    /// Where the `type` of each kind first stands.
    pub(super) kinds: [Option<u32>; 5],
    pub(super) count: usize,
}

const KINDS: &Words = words!("text", "image_url", "input_audio", "file", "refusal");
pub(super) const TEXT: usize = 0;
pub(super) const IMAGE: usize = 1;
pub(super) const REFUSAL: usize = 4;

impl<'a> Reader<'a, '_> {
    /// A part, whose kind and place are noted.
    pub(super) fn part(&mut self) -> Read {
        const EXPECTED: &str = "one of `text`, `image_url`, `input_audio`, `file`, `refusal`";
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        let (mut tag, early, mut type_at) = (Tag::Open, self.held.begin(), 0);
        let seen = self.members(|reader, key| {
            let (kinds, read): (_, fn(&mut Self) -> Read) = match key {
                Part::Type => {
                    type_at = reader.cursor.value_at();
                    tag = reader.tag(KINDS, EXPECTED, early)?;
                    return Ok(());
                }
                Part::Text => (1 << TEXT, Self::part_text),
                Part::ImageUrl => (1 << IMAGE, Self::image_url),
                Part::InputAudio => (1 << 2, Self::input_audio),
                Part::File => (1 << 3, Self::file),
                Part::Refusal => (1 << REFUSAL, Self::part_text),
                Part::CacheBreakpoint => (!(1 << REFUSAL), Self::cache_breakpoint),
            };
            reader.only_in(kinds, tag, read)
        })?;
        self.held.forget(early);
        let Tag::Is(kind) = tag else {
            return self.require(seen, Part::Type);
        };
        let kind = usize::from(kind);
        let payload = [
            Part::Text,
            Part::ImageUrl,
            Part::InputAudio,
            Part::File,
            Part::Refusal,
        ];
        self.require(seen, payload[kind])?;
        self.parts.kinds[kind].get_or_insert(type_at as u32);
        Ok(())
    }

    fn part_text(&mut self) -> Read {
        self.counted_text(Null::Refused)
    }

    pub(super) fn counted_text(&mut self, null: Null) -> Read {
        if let Some(text) = self.text(null, "a string")? {
            self.request.found.sums.text_bytes += text.bytes().len() as u32;
        }
        Ok(())
    }

    fn image_url(&mut self) -> Read {
        const DETAIL: &Words = words!("auto", "low", "high", "original");
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        let mut low = false;
        let seen = self.members(|reader, key| {
            match key {
                ImageUrl::Url => {
                    if let Some(url) = reader.text(Null::Refused, "a string")? {
                        reader.judge_image(url);
                    }
                }
                ImageUrl::Detail => {
                    let expected = "one of `auto`, `low`, `high`, `original`";
                    low = reader.word(DETAIL, Null::Refused, expected)? == Some(1);
                }
            }
            Ok(())
        })?;
        self.require(seen, ImageUrl::Url)?;
        if low {
            self.request.found.sums.low_images += 1;
        } else {
            self.request.found.sums.images += 1;
        }
        Ok(())
    }

    fn judge_image(&mut self, url: Str<'a>) {
        let at = url.range().start - 1;
        let url = url.beginning(6);
        if url.is_escaped() {
            let mut buffer = [0; 6 * 6];
            let meaning = url.resolve(&mut buffer).unwrap_or_default();
            self.judge_address(at, meaning);
        } else {
            self.judge_address(at, url.bytes());
        }
    }

    #[inline(always)]
    fn judge_address(&mut self, at: usize, meaning: &[u8]) {
        let is = |scheme: &str| {
            let start = meaning.get(..scheme.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
        };
        // Within an object, so not at the very beginning.
        let at = NonZeroU32::new(at as u32);
        let found = &mut self.request.found;
        if is("http:") {
            found.http_image = found.http_image.or(at);
        } else if !is("https:") && !is("data:") {
            found.other_image = found.other_image.or(at);
        }
    }

    fn input_audio(&mut self) -> Read {
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        let seen = self.members(|reader, key| {
            match key {
                InputAudio::Data => {
                    if let Some(data) = reader.text(Null::Refused, "a string")? {
                        reader.request.found.sums.audio_bytes += data.bytes().len() as u32;
                    }
                }
                InputAudio::Format => {
                    reader.word(words!("wav", "mp3"), Null::Refused, "one of `wav`, `mp3`")?;
                }
            }
            Ok(())
        })?;
        self.require(seen, InputAudio::Data)?;
        self.require(seen, InputAudio::Format)
    }

    fn file(&mut self) -> Read {
        if self.want(Type::Object, Null::Refused, OBJECT)? {
            self.request.found.sums.files += 1;
            self.members(|reader, key| {
                if let Some(text) = reader.text(Null::Refused, "a string")? {
                    if let File::FileData = key {
                        reader.request.found.sums.file_bytes += text.bytes().len() as u32;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn cache_breakpoint(&mut self) -> Read {
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        let seen = self.members(|reader, key| match key {
            Breakpoint::Mode => reader
                .word(words!("explicit"), Null::Refused, "`explicit`")
                .map(drop),
            Breakpoint::Ttl => {
                let expected = "one of `30m`, `12h`";
                reader
                    .word(words!("30m", "12h"), Null::Refused, expected)
                    .map(drop)
            }
        })?;
        self.require(seen, Breakpoint::Mode)
    }
}
