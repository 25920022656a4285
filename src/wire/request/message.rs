//! Messages.

use super::{
    fault::FaultKind,
    found::Tag,
    known::{keys, words},
    objects::{Object, Seen},
    part::{IMAGE, Parts, REFUSAL, TEXT},
    reader::{Null, OBJECT, Read, Reader},
    view::Role,
};
use crate::wire::json::{Str, Type};

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

/// What a message says by the members that all have.
#[derive(Clone, Copy)]
struct Turn {
    role: Option<Role>,
    content: Content,
}

impl Turn {
    /// Whether nothing else is asked of such a message.
    #[inline(always)]
    fn is_plain(self) -> bool {
        let plain = matches!(
            self.role,
            Some(Role::User | Role::Assistant | Role::System | Role::Developer)
        );
        plain && matches!(self.content, Content::Text)
    }
}

impl<'a> Reader<'a, '_> {
    pub(super) fn message(&mut self) -> Read {
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        let mut object = self.object()?;
        let mut turn = Turn {
            role: None,
            content: Content::Absent,
        };
        // Nearly all begin with these two, in either order, and most have nothing else.
        if self.is_next(&mut object, Message::Role, b"\"role\":")? {
            turn.role = self.role()?;
            if self.is_next(&mut object, Message::Content, b",\"content\":")? {
                turn.content = self.content()?;
            }
        } else if self.is_next(&mut object, Message::Content, b"\"content\":")? {
            turn.content = self.content()?;
            if self.is_next(&mut object, Message::Role, b",\"role\":")? {
                turn.role = self.role()?;
            }
        }
        if turn.is_plain() && self.cursor.is_left() {
            return Ok(());
        }
        self.rest_of_message(object, turn)
    }

    #[inline(never)]
    fn rest_of_message(&mut self, mut object: Object, mut turn: Turn) -> Read {
        // With blanks among them, the two are as likely.
        self.cursor.pass_near_space();
        if self.is_next_spaced(&mut object, Message::Role, b"\"role\"")? {
            turn.role = self.role()?;
        }
        if self.is_next_spaced(&mut object, Message::Content, b"\"content\"")? {
            turn.content = self.content()?;
            if self.is_next_spaced(&mut object, Message::Role, b"\"role\"")? {
                turn.role = self.role()?;
            }
        }
        if turn.is_plain() && self.cursor.is_left_behind_blanks() {
            return Ok(());
        }
        let Turn {
            mut role,
            mut content,
        } = turn;
        let mut answers: Option<Str<'a>> = None;
        let mut told = false;
        while let Some(key) = self.next_member(&mut object)? {
            match key {
                Message::Role => {
                    self.cursor.pass_near_space();
                    role = self.role()?;
                    if self.is_next_spaced(&mut object, Message::Content, b"\"content\"")? {
                        content = self.content()?;
                    }
                }
                Message::Content => {
                    self.cursor.pass_near_space();
                    content = self.content()?;
                }
                Message::Name => self.any_text(Null::Refused)?,
                Message::ToolCallId => answers = self.text(Null::Refused, "a string")?,
                Message::ToolCalls => {
                    // From here on only the calls of this message can be answered.
                    self.calls.clear();
                    self.tool_calls()?;
                    self.calls.sort_unstable();
                    told = true;
                }
                Message::FunctionCall => {
                    told |= self.cursor.peek()? == Type::Object;
                    self.function_call(Null::Absent)?;
                }
                Message::Refusal => {
                    told |= self.cursor.peek()? == Type::String;
                    self.counted_text(Null::Absent)?;
                }
                Message::Audio => {
                    told |= self.cursor.peek()? == Type::Object;
                    self.earlier_audio()?;
                }
            }
        }
        self.request.found.sums.other_bytes += object.unread() as u32;
        let seen = self.seen(&object)?;
        let Some(role) = role else {
            // One that is unknown is noted already.
            return self.require(seen, Message::Role);
        };
        self.judge(seen, role, content, told)?;
        match role {
            Role::Tool => {
                self.require(seen, Message::ToolCallId)?;
                match answers {
                    Some(id) => self.judge_answer(id),
                    None => Ok(()),
                }
            }
            Role::Function => self.require(seen, Message::Name),
            _ => Ok(()),
        }
    }

    /// Whether a role may have such a content.
    fn judge(&mut self, seen: Seen, role: Role, content: Content, told: bool) -> Read {
        match (role, content) {
            (_, Content::Wrong)
            | (Role::Assistant | Role::Function, Content::Null(_))
            | (_, Content::Text) => {}
            (Role::Assistant, Content::Absent) if told => {}
            (_, Content::Absent) => self.require(seen, Message::Content)?,
            (_, Content::Null(at)) => {
                let expected = "a string or an array of content parts";
                self.fault(at, FaultKind::Type(expected))?;
            }
            (Role::Function, Content::Parts(at)) => {
                self.fault(at, FaultKind::Type("a string"))?;
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
                        self.fault(first as usize, FaultKind::Value(expected))?;
                    }
                }
                if role == Role::Assistant && kinds[REFUSAL].is_some() && count > 1 {
                    let rule = "must be any number of `text` parts or exactly one `refusal`";
                    self.fault(at, FaultKind::Rule(rule))?;
                }
            }
        }
        Ok(())
    }

    fn judge_answer(&mut self, id: Str<'a>) -> Read {
        if self.calls.len() >= MAX_CALLS {
            return Ok(());
        }
        let digest = self.digest(id)?;
        if self.calls.binary_search(&digest).is_err() {
            let rule =
                "must be the id of a call in the `tool_calls` of an earlier assistant message";
            self.fault(id.range().start - 1, FaultKind::Rule(rule))?;
        }
        Ok(())
    }

    #[inline(always)]
    fn role(&mut self) -> Read<Option<Role>> {
        // Most of a conversation is said by these two.
        if self.cursor.pass_here(b"\"user\"") {
            return Ok(Some(Role::User));
        }
        if self.cursor.pass_here(b"\"assistant\"") {
            return Ok(Some(Role::Assistant));
        }
        let word = self.word(Role::WORDS, Null::Refused, ROLES)?;
        Ok(word.map(|at| Role::ALL[usize::from(at)]))
    }

    #[inline(always)]
    fn content(&mut self) -> Read<Content> {
        if let Some(text) = self.cursor.string_here()? {
            self.request.found.sums.text_bytes += text.bytes().len() as u32;
            return Ok(Content::Text);
        }
        self.other_content()
    }

    #[inline(never)]
    fn other_content(&mut self) -> Read<Content> {
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
                self.fault(at, FaultKind::Type("a string or an array of text parts"))?;
            }
            Content::Parts(_) => {
                let kinds = self.parts.kinds;
                for first in kinds[1..].iter().flatten() {
                    self.fault(*first as usize, FaultKind::Value("`text`"))?;
                }
            }
            _ => {}
        }
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
        let (mut tag, early) = (Tag::Open, self.held.begin());
        let seen = self.members(|reader, key| {
            match key {
                ToolCall::Id => {
                    if let Some(id) = reader.text(Null::Refused, "a string")? {
                        if reader.calls.len() < MAX_CALLS {
                            let digest = reader.digest(id)?;
                            reader.calls.push(digest);
                        }
                    }
                }
                ToolCall::Type => tag = reader.tag(words!("function", "custom"), CALL, early)?,
                ToolCall::Function => {
                    reader.only_in(1, tag, |reader| reader.function_call(Null::Refused))?
                }
                ToolCall::Custom => reader.only_in(2, tag, Self::custom_call)?,
            }
            Ok(())
        })?;
        self.held.forget(early);
        self.require(seen, ToolCall::Id)?;
        self.require(seen, ToolCall::Type)?;
        match tag {
            Tag::Is(0) => self.require(seen, ToolCall::Function),
            Tag::Is(_) => self.require(seen, ToolCall::Custom),
            _ => Ok(()),
        }
    }

    fn function_call(&mut self, null: Null) -> Read {
        if !self.want(Type::Object, null, OBJECT)? {
            return Ok(());
        }
        let seen = self.members(|reader, _: FunctionCall| reader.counted_text(Null::Refused))?;
        self.require(seen, FunctionCall::Name)?;
        self.require(seen, FunctionCall::Arguments)
    }

    fn custom_call(&mut self) -> Read {
        if !self.want(Type::Object, Null::Refused, OBJECT)? {
            return Ok(());
        }
        let seen = self.members(|reader, _: CustomCall| reader.counted_text(Null::Refused))?;
        self.require(seen, CustomCall::Name)?;
        self.require(seen, CustomCall::Input)
    }

    fn earlier_audio(&mut self) -> Read {
        if self.want(Type::Object, Null::Absent, OBJECT)? {
            let seen = self.members(|reader, _: Id| reader.any_text(Null::Refused))?;
            self.require(seen, Id::Id)?;
        }
        Ok(())
    }
}
