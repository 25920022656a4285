//! The conversation brought into what a vendor reads: changed where it must be, else left as it is.

mod ids;
mod parts;
mod reader;
#[cfg(test)]
mod tests;

use self::reader::Reader;
use crate::{
    error::Error,
    parse::Chat,
    provider::{Notes, said::Left},
    wire::json::Cursor,
};

/// What a vendor's models do not read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Speech {
    /// Instructions of the role `developer`; they go under the older name, `system`.
    pub(super) no_developer: bool,
    /// Parts of other types than these, which follow the contract.
    pub(super) parts: Option<&'static [&'static str]>,
    /// Whose texts are to be of one piece.
    pub(super) flat: Flat,
    /// Whether a message of calls must have a content, if an empty one.
    pub(super) filled: bool,
    /// Whether an image must come as data; one by its address is a part of another type.
    pub(super) inline_images: bool,
    /// Members of messages other than these, which are refused there: dropped and announced, save
    /// those that say nothing.
    pub(super) members: Option<&'static [&'static str]>,
    /// Ids of calls that are not nine letters and digits; others are brought into that form.
    pub(super) short_ids: bool,
    /// Whether results of calls are to be answered before anything else is said, and instructions are
    /// refused behind an answer: there they go as the user's.
    pub(super) ordered: bool,
    /// Whether earlier reasoning is read, under the name `reasoning` alone.
    pub(super) reasoning: bool,
}

/// Whose content is a text: several are joined, without anything between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Flat {
    /// Texts may be parts of any content.
    #[default]
    Never,
    /// Everybody's but the user's.
    ButUsers,
    /// Everybody's.
    Always,
}

impl Flat {
    fn is_of(self, role: &str) -> bool {
        match self {
            Self::Never => false,
            Self::ButUsers => role != "user",
            Self::Always => true,
        }
    }
}

/// Fits the conversation by edits of the text that came, so that what is said is copied once, into the
/// body. One that was set whole before is fitted by itself and set again.
pub(super) fn fit(chat: &mut Chat, speech: Speech, notes: &mut Notes) -> Result<(), Error> {
    let all = speech.members.is_none();
    if all
        && !(speech.no_developer
            || speech.parts.is_some()
            || speech.flat != Flat::Never
            || speech.short_ids
            || speech.ordered
            || speech.filled
            || speech.reasoning)
    {
        return Ok(());
    }
    chat.below("messages", |chat| edit(chat, speech, notes))
}

fn edit(chat: &mut Chat, speech: Speech, notes: &mut Notes) -> Result<(), Error> {
    let Some(place) = chat.place("messages") else {
        return Ok(());
    };
    let text = chat.original().clone();
    let mut reader = Reader::new(
        Cursor::within(&text, place.start, usize::MAX),
        speech,
        chat.touched(),
    );
    // What is of no such shape is the vendor's to refuse.
    if reader.messages().is_err() {
        return Ok(());
    }
    for others in reader.others {
        let mut left = Left::of(others.at);
        for part in &others.parts {
            left.out(*part, notes)?;
        }
        left.check(others.alone)?;
    }
    for name in reader.dropped {
        notes.without(format!("messages[].{}", name.cow()))?;
    }
    for name in reader.marks {
        notes.without(format!("messages[].content[].{}", name.cow()))?;
    }
    if reader.answered {
        notes.changed("messages");
    }
    if reader.instructed {
        notes.changed("messages[].role");
    }
    if reader.refused {
        notes.changed("messages[].refusal");
    }
    reader.edits.apply(chat);
    Ok(())
}
