//! Messages and their parts.

use super::{
    fault::FaultKind,
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
    /// Where the array stands, and for each kind of part where its `type` first stands.
    Parts(usize, [Option<u32>; 5], usize),
    /// Of a type that no role takes; already noted.
    Wrong,
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
                    role = word.map(|at| Role::ALL[at]);
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
            (Role::Function, Content::Parts(at, ..)) => {
                self.fault(at, FaultKind::Type("a string"));
            }
            (_, Content::Parts(at, kinds, count)) => {
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
                let text = self.cursor.string()?;
                self.request.counts.text_bytes += text.bytes().len() as u64;
                Content::Text
            }
            Type::Array => {
                let at = self.cursor.at();
                let mut kinds = [None; 5];
                let count = self.items(1..=usize::MAX, PARTS, |reader| {
                    if let Some((kind, at)) = reader.part()? {
                        kinds[kind].get_or_insert(at as u32);
                    }
                    Ok(())
                })?;
                self.request.counts.parts += count;
                Content::Parts(at, kinds, count)
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
            Content::Parts(_, kinds, _) => {
                for first in kinds[1..].iter().flatten() {
                    self.fault(*first as usize, FaultKind::Value("`text`"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A part: its kind, and where the type stands.
    fn part(&mut self) -> Read<Option<(usize, usize)>> {
        const EXPECTED: &str = "one of `text`, `image_url`, `input_audio`, `file`, `refusal`";
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(None);
        }
        let tag = self.tag("type")?;
        let kind = tag.and_then(|tag| KINDS.iter().position(|kind| tag == **kind));
        let seen = self.members(|reader, key| match (key, kind) {
            (Part::Type, _) => {
                // Already known, but for what is wrong with it.
                reader.word(KINDS, Null::Refused, EXPECTED).map(drop)
            }
            (Part::Text, Some(TEXT)) | (Part::Refusal, Some(REFUSAL)) => {
                reader.counted_text(Null::Refused)
            }
            (Part::ImageUrl, Some(IMAGE)) => reader.image_url(),
            (Part::InputAudio, Some(2)) => reader.input_audio(),
            (Part::File, Some(3)) => reader.file(),
            (Part::CacheBreakpoint, Some(kind)) if kind != REFUSAL => reader.cache_breakpoint(),
            _ => reader.pass(),
        })?;
        let (Some(kind), Some(tag)) = (kind, tag) else {
            self.require(seen, Part::Type);
            return Ok(None);
        };
        let payload = [
            Part::Text,
            Part::ImageUrl,
            Part::InputAudio,
            Part::File,
            Part::Refusal,
        ];
        self.require(seen, payload[kind]);
        Ok(Some((kind, tag.range().start - 1)))
    }

    fn counted_text(&mut self, null: Null) -> Read {
        if let Some(text) = self.text(null, "a string")? {
            self.request.counts.text_bytes += text.bytes().len() as u64;
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
            self.request.counts.low_images += 1;
        } else {
            self.request.counts.images += 1;
        }
        Ok(())
    }

    fn judge_image(&mut self, url: Str<'a>) {
        let at = url.range().start - 1;
        let url = url.start(6);
        let is = |scheme: &str| {
            let start = url.chars().take(scheme.len());
            start.map(|c| c.to_ascii_lowercase()).eq(scheme.chars())
        };
        let kinds = &mut self.request.image_urls;
        if is("http:") {
            kinds.http.get_or_insert(at);
        } else if !is("https:") && !is("data:") {
            kinds.other.get_or_insert(at);
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
                        reader.request.counts.audio_bytes += data.bytes().len() as u64;
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
            self.request.counts.files += 1;
            self.members(|reader, key| {
                if let Some(text) = reader.text(Null::Refused, "a string")? {
                    if let File::FileData = key {
                        reader.request.counts.file_bytes += text.bytes().len() as u64;
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
            self.request.counts.tool_calls += count;
        }
        Ok(())
    }

    fn tool_call(&mut self) -> Read {
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        let kind = self.tag("type")?;
        let is = |name: &str| kind.is_some_and(|kind| kind == *name);
        let (function, custom) = (is("function"), is("custom"));
        let seen = self.members(|reader, key| match key {
            ToolCall::Id => {
                if let Some(id) = reader.text(Null::Refused, "a string")? {
                    if reader.calls.len() < MAX_CALLS {
                        reader.calls.push(digest(id));
                    }
                }
                Ok(())
            }
            ToolCall::Type => reader
                .word(&["function", "custom"], Null::Refused, CALL)
                .map(drop),
            ToolCall::Function if function => reader.function_call(Null::Refused),
            ToolCall::Custom if custom => reader.custom_call(),
            _ => reader.pass(),
        })?;
        self.require(seen, ToolCall::Id);
        self.require(seen, ToolCall::Type);
        if function {
            self.require(seen, ToolCall::Function);
        }
        if custom {
            self.require(seen, ToolCall::Custom);
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
