//! Messages and their parts, read again where somebody wants them.

use std::{fmt, ops::Range};

use super::known::{Words, words};
use crate::wire::json::{Cursor, Str, Type};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is named as in the API")]
pub enum Role {
    User,
    Assistant,
    System,
    Tool,
    Developer,
    Function,
}

impl Role {
    pub(super) const ALL: [Self; 6] = [
        Self::User,
        Self::Assistant,
        Self::System,
        Self::Tool,
        Self::Developer,
        Self::Function,
    ];
    pub(super) const WORDS: &'static Words = words!(
        "user",
        "assistant",
        "system",
        "tool",
        "developer",
        "function",
    );

    /// As it is spelled in the request.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
            Self::Tool => "tool",
            Self::Developer => "developer",
            Self::Function => "function",
        }
    }
}

/// The messages of a request, in order. Over a text with faults it gives what it can.
#[derive(Clone)]
pub struct Messages<'a> {
    text: &'a [u8],
    cursor: Option<Cursor<'a>>,
}

impl fmt::Debug for Messages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").finish_non_exhaustive()
    }
}

/// One message.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Message<'a> {
    /// Who speaks; `None` when that is missing or unknown.
    pub role: Option<Role>,
    /// What is said.
    pub content: Content<'a>,
    /// The whole object.
    pub range: Range<usize>,
}

/// What a message says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Content<'a> {
    /// Nothing: absent, null, or of no type that is known.
    None,
    /// A text.
    Text(Str<'a>),
    /// Parts.
    Parts(Parts<'a>),
}

/// The parts of a message, in order.
#[derive(Clone)]
pub struct Parts<'a> {
    text: &'a [u8],
    cursor: Option<Cursor<'a>>,
}

impl fmt::Debug for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// One part of a message.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Part<'a> {
    /// A text, or a refusal.
    Text(Str<'a>),
    /// An image, by its address.
    Image(Str<'a>),
    /// Anything else: the range of the whole object.
    Other(Range<usize>),
}

impl<'a> Messages<'a> {
    pub(super) fn new(text: &'a [u8], at: Option<usize>) -> Self {
        Self {
            text,
            cursor: at.and_then(|at| array(text, at)),
        }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let range = next(&mut self.cursor)?;
        let mut message = Message {
            role: None,
            content: Content::None,
            range: range.clone(),
        };
        each_member(self.text, range.start, |key, kind, at| {
            if key == *"role" && kind == Type::String {
                let role = string(self.text, at);
                let found = Role::ALL
                    .into_iter()
                    .find(|known| role.is_some_and(|role| role == *known.as_str()));
                message.role = found;
            } else if key == *"content" {
                message.content = match kind {
                    Type::String => string(self.text, at).map_or(Content::None, Content::Text),
                    Type::Array => Content::Parts(Parts {
                        text: self.text,
                        cursor: array(self.text, at),
                    }),
                    _ => Content::None,
                };
            }
        });
        Some(message)
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let range = next(&mut self.cursor)?;
        let mut kind = None;
        let mut text = None;
        let mut url = None;
        each_member(self.text, range.start, |key, found, at| {
            if key == *"type" {
                kind = string(self.text, at);
            } else if key == *"text" || key == *"refusal" {
                text = string(self.text, at);
            } else if key == *"image_url" && found == Type::Object {
                each_member(self.text, at, |key, _, at| {
                    if key == *"url" {
                        url = string(self.text, at);
                    }
                });
            }
        });
        let is = |name: &str| kind.is_some_and(|kind| kind == *name);
        Some(match (text, url) {
            (Some(text), _) if is("text") || is("refusal") => Part::Text(text),
            (_, Some(url)) if is("image_url") => Part::Image(url),
            _ => Part::Other(range),
        })
    }
}

fn array(text: &[u8], at: usize) -> Option<Cursor<'_>> {
    let mut cursor = Cursor::within(text, at, usize::MAX);
    cursor.array().ok()?;
    Some(cursor)
}

/// The range of the next element.
fn next(cursor: &mut Option<Cursor<'_>>) -> Option<Range<usize>> {
    let inside = cursor.as_mut()?;
    if let Ok(true) = inside.element() {
        if let Ok(range) = inside.skip() {
            return Some(range);
        }
    }
    *cursor = None;
    None
}

fn string(text: &[u8], at: usize) -> Option<Str<'_>> {
    Cursor::within(text, at, usize::MAX).string().ok()
}

/// Calls `each` with every key, the type of its value and where that begins.
fn each_member<'a>(text: &'a [u8], at: usize, mut each: impl FnMut(Str<'a>, Type, usize)) {
    let mut cursor = Cursor::within(text, at, usize::MAX);
    if cursor.object().is_err() {
        return;
    }
    while let Ok(Some(key)) = cursor.key() {
        let Ok(kind) = cursor.peek() else { return };
        each(key, kind, cursor.at());
        if cursor.skip().is_err() {
            return;
        }
    }
}
