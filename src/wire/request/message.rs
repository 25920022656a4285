//! Messages and their parts.

use std::num::NonZeroU32;

use super::{
    fault::FaultKind,
    found::{Early, Tag},
    reader::{Null, Read, Reader, Seen, digest, keys},
    view::Role,
};
use crate::wire::json::{Str, Type};

const OBJECT: &str = "an object";
const PARTS: &str = "an array of at least 1 content part";
const ROLES: &str = "one of `developer`, `system`, `user`, `assistant`, `tool`, `function`";
const CALL: &str = "one of `function`, `custom`";

/// How many calls of one message can be answered; of more, any id is taken.
const MAX_CALLS: usize = 1024;

keys!(Message {
    Role = "role",
    Content = "content",
    ToolCallId = "tool_call_id",
    ToolCalls = "tool_calls",
    Name = "name",
    FunctionCall = "function_call",
    Refusal = "refusal",
    Audio = "audio",
});

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

keys!(ToolCall {
    Id = "id",
    Type = "type",
    Function = "function",
    Custom = "custom",
});

keys!(FunctionCall {
    Name = "name",
    Arguments = "arguments",
});

keys!(CustomCall {
    Name = "name",
    Input = "input",
});

keys!(Id { Id = "id", });

/// What a content turned out to be, judged once the role is known.
#[derive(Clone, Copy)]
enum Content {
    Absent,
    Null(usize),
    Text,
    /// Where the array stands; what was in it is in [`Reader::parts`].
    Parts(usize),
    /// Of a type that no role takes; already noted.
    Wrong,
}

/// What the parts were that were read last.
#[derive(Default)]
pub(super) struct Parts {
    /// Where the `type` of each kind first stands.
    kinds: [Option<u32>; 5],
    count: usize,
}

const KINDS: &[&str] = &["text", "image_url", "input_audio", "file", "refusal"];
const TEXT: usize = 0;
const IMAGE: usize = 1;
const REFUSAL: usize = 4;

impl<'a> Reader<'a> {
    pub(super) fn message(&mut self) -> Read {
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        let mut role = None;
        let mut role_at = 0;
        let mut content = Content::Absent;
        let mut answers: Option<Str<'a>> = None;
        let mut told = false;
        let seen = self.members(|reader, key| {
            match key {
                Message::Role => {
                    let word = reader.word(Role::NAMES, Null::Refused, ROLES)?;
                    role = word.map(|at| Role::ALL[usize::from(at)]);
                    role_at = 1;
                }
                Message::Content => content = reader.content()?,
                Message::Name => reader.any_text(Null::Refused)?,
                Message::ToolCallId => answers = reader.text(Null::Refused, "a string")?,
                Message::ToolCalls => {
                    // From here on only the calls of this message can be answered.
                    reader.calls.clear();
                    reader.tool_calls()?;
                    reader.calls.sort_unstable();
                    told = true;
                }
                Message::FunctionCall => {
                    told |= reader.cursor.peek()? == Type::Object;
                    reader.function_call(Null::Absent)?;
                }
                Message::Refusal => {
                    told |= reader.cursor.peek()? == Type::String;
                    reader.counted_text(Null::Absent)?;
                }
                Message::Audio => {
                    told |= reader.cursor.peek()? == Type::Object;
                    reader.earlier_audio()?;
                }
            }
            Ok(())
        })?;
        let Some(role) = role else {
            if role_at == 0 {
                self.require(seen, Message::Role);
            }
            return Ok(());
        };
        self.judge(seen, role, content, told);
        match role {
            Role::Tool => {
                self.require(seen, Message::ToolCallId);
                if let Some(id) = answers {
                    self.judge_answer(id);
                }
            }
            Role::Function => self.require(seen, Message::Name),
            _ => {}
        }
        Ok(())
    }

    /// Whether a role may have such a content.
    fn judge(&mut self, seen: Seen, role: Role, content: Content, told: bool) {
        match (role, content) {
            (_, Content::Wrong)
            | (Role::Assistant | Role::Function, Content::Null(_))
            | (_, Content::Text) => {}
            (Role::Assistant, Content::Absent) => {
                if !told {
                    self.require(seen, Message::Content);
                }
            }
            (_, Content::Absent) => self.require(seen, Message::Content),
            (_, Content::Null(at)) => {
                let expected = "a string or an array of content parts";
                self.fault(at, FaultKind::Type(expected));
            }
            (Role::Function, Content::Parts(at)) => {
                self.fault(at, FaultKind::Type("a string"));
            }
            (_, Content::Parts(at)) => {
                let Parts { kinds, count } = self.parts;
                let (allowed, expected): (&[usize], _) = match role {
                    Role::User => (
                        &[0, 1, 2, 3],
                        "one of `text`, `image_url`, `input_audio`, `file`",
                    ),
                    Role::Assistant => (&[TEXT, REFUSAL], "one of `text`, `refusal`"),
                    Role::Tool => (&[TEXT, IMAGE], "one of `text`, `image_url`"),
                    _ => (&[TEXT], "`text`"),
                };
                for (kind, first) in kinds.iter().enumerate() {
                    if let Some(first) = first.filter(|_| !allowed.contains(&kind)) {
                        self.fault(first as usize, FaultKind::Value(expected));
                    }
                }
                if role == Role::Assistant && kinds[REFUSAL].is_some() && count > 1 {
                    let rule = "must be any number of `text` parts or exactly one `refusal`";
                    self.fault(at, FaultKind::Rule(rule));
                }
            }
        }
    }

    fn judge_answer(&mut self, id: Str<'a>) {
        if self.calls.len() < MAX_CALLS && self.calls.binary_search(&digest(id)).is_err() {
            let rule =
                "must be the id of a call in the `tool_calls` of an earlier assistant message";
            self.fault(id.range().start - 1, FaultKind::Rule(rule));
        }
    }

    fn content(&mut self) -> Read<Content> {
        Ok(match self.cursor.peek()? {
            Type::String => {
                let text = self.cursor.next_string()?;
                self.request.found.sums.text_bytes += text.bytes().len() as u32;
                Content::Text
            }
            Type::Array => {
                let at = self.cursor.at();
                self.parts = Parts::default();
                let count = self.items(1..=usize::MAX, PARTS, Self::part)?;
                self.parts.count = count;
                self.request.found.sums.parts += count as u32;
                Content::Parts(at)
            }
            Type::Null => {
                let at = self.cursor.at();
                self.cursor.null()?;
                Content::Null(at)
            }
            found => {
                let expected = "a string or an array of content parts";
                self.mismatch(found, Null::Refused, expected)?;
                Content::Wrong
            }
        })
    }

    /// A string, or an array of parts that are all text.
    pub(super) fn text_or_text_parts(&mut self) -> Read {
        match self.content()? {
            Content::Null(at) => {
                self.fault(at, FaultKind::Type("a string or an array of text parts"));
            }
            Content::Parts(_) => {
                let kinds = self.parts.kinds;
                for first in kinds[1..].iter().flatten() {
                    self.fault(*first as usize, FaultKind::Value("`text`"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A part, whose kind and place are noted.
    fn part(&mut self) -> Read {
        const EXPECTED: &str = "one of `text`, `image_url`, `input_audio`, `file`, `refusal`";
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        let (mut tag, mut early, mut type_at) = (Tag::Open, Early::default(), 0);
        let seen = self.members(|reader, key| {
            let (kinds, read): (_, fn(&mut Self) -> Read) = match key {
                Part::Type => {
                    reader.cursor.peek()?;
                    type_at = reader.cursor.at();
                    tag = reader.tag(KINDS, EXPECTED, &mut early)?;
                    return Ok(());
                }
                Part::Text => (1 << TEXT, Self::part_text),
                Part::ImageUrl => (1 << IMAGE, Self::image_url),
                Part::InputAudio => (1 << 2, Self::input_audio),
                Part::File => (1 << 3, Self::file),
                Part::Refusal => (1 << REFUSAL, Self::part_text),
                Part::CacheBreakpoint => (!(1 << REFUSAL), Self::cache_breakpoint),
            };
            reader.only_in(kinds, tag, &mut early, read)
        })?;
        let Tag::Is(kind) = tag else {
            self.require(seen, Part::Type);
            return Ok(());
        };
        let kind = usize::from(kind);
        let payload = [
            Part::Text,
            Part::ImageUrl,
            Part::InputAudio,
            Part::File,
            Part::Refusal,
        ];
        self.require(seen, payload[kind]);
        self.parts.kinds[kind].get_or_insert(type_at as u32);
        Ok(())
    }

    fn part_text(&mut self) -> Read {
        self.counted_text(Null::Refused)
    }

    fn counted_text(&mut self, null: Null) -> Read {
        if let Some(text) = self.text(null, "a string")? {
            self.request.found.sums.text_bytes += text.bytes().len() as u32;
        }
        Ok(())
    }

    fn image_url(&mut self) -> Read {
        const DETAIL: &[&str] = &["auto", "low", "high", "original"];
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
        self.require(seen, ImageUrl::Url);
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
        let is = |scheme: &str| {
            if !url.is_escaped() {
                let start = url.bytes().get(..scheme.len());
                return start.is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()));
            }
            let start = url.chars().take(scheme.len());
            start.map(|c| c.to_ascii_lowercase()).eq(scheme.chars())
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
                    reader.word(&["wav", "mp3"], Null::Refused, "one of `wav`, `mp3`")?;
                }
            }
            Ok(())
        })?;
        self.require(seen, InputAudio::Data);
        self.require(seen, InputAudio::Format);
        Ok(())
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
                .word(&["explicit"], Null::Refused, "`explicit`")
                .map(drop),
            Breakpoint::Ttl => {
                let expected = "one of `30m`, `12h`";
                reader
                    .word(&["30m", "12h"], Null::Refused, expected)
                    .map(drop)
            }
        })?;
        self.require(seen, Breakpoint::Mode);
        Ok(())
    }

    fn tool_calls(&mut self) -> Read {
        if self.want(Type::Array, Null::Refused, "an array of tool calls")? {
            let count = self.items(0..=usize::MAX, "", Self::tool_call)?;
            self.request.found.sums.tool_calls += count as u32;
        }
        Ok(())
    }

    fn tool_call(&mut self) -> Read {
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        let (mut tag, mut early) = (Tag::Open, Early::default());
        let seen = self.members(|reader, key| {
            match key {
                ToolCall::Id => {
                    if let Some(id) = reader.text(Null::Refused, "a string")? {
                        if reader.calls.len() < MAX_CALLS {
                            reader.calls.push(digest(id));
                        }
                    }
                }
                ToolCall::Type => tag = reader.tag(&["function", "custom"], CALL, &mut early)?,
                ToolCall::Function => reader.only_in(1, tag, &mut early, |reader| {
                    reader.function_call(Null::Refused)
                })?,
                ToolCall::Custom => reader.only_in(2, tag, &mut early, Self::custom_call)?,
            }
            Ok(())
        })?;
        self.require(seen, ToolCall::Id);
        self.require(seen, ToolCall::Type);
        match tag {
            Tag::Is(0) => self.require(seen, ToolCall::Function),
            Tag::Is(_) => self.require(seen, ToolCall::Custom),
            _ => {}
        }
        Ok(())
    }

    fn function_call(&mut self, null: Null) -> Read {
        if !self.want(Type::Object, null, OBJECT)? {
            return Ok(());
        }
        let seen = self.members(|reader, _: FunctionCall| reader.counted_text(Null::Refused))?;
        self.require(seen, FunctionCall::Name);
        self.require(seen, FunctionCall::Arguments);
        Ok(())
    }

    fn custom_call(&mut self) -> Read {
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        let seen = self.members(|reader, _: CustomCall| reader.counted_text(Null::Refused))?;
        self.require(seen, CustomCall::Name);
        self.require(seen, CustomCall::Input);
        Ok(())
    }

    fn earlier_audio(&mut self) -> Read {
        if self.want(Type::Object, Null::Absent, OBJECT)? {
            let seen = self.members(|reader, _: Id| reader.any_text(Null::Refused))?;
            self.require(seen, Id::Id);
        }
        Ok(())
    }
}
