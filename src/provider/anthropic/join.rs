//! What neighbouring messages of one side are together: one turn.

use serde::Serialize;

use crate::{
    error::Error,
    provider::{Notes, support::THOUGHTS},
};

/// What one side says in a row.
#[derive(Serialize)]
pub(in crate::provider) struct Turn<B> {
    pub(in crate::provider) role: &'static str,
    pub(in crate::provider) content: Vec<B>,
}

/// What a block of the assistant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provider) enum Is {
    /// What was thought, signed.
    Thought,
    Call,
    /// A text, an image.
    Other,
}

/// A block of a turn.
pub(in crate::provider) trait Block {
    fn is(&self) -> Is;
}

/// The turns of a conversation, message by message.
pub(in crate::provider) struct Turns<B>(Vec<Turn<B>>);

impl<B: Block> Turns<B> {
    pub(in crate::provider) const fn new() -> Self {
        Self(Vec::new())
    }

    /// One message more, which goes on with the last turn where that is of the same side.
    pub(in crate::provider) fn say(
        &mut self,
        role: &'static str,
        content: Vec<B>,
        notes: &mut Notes,
    ) -> Result<(), Error> {
        if role == "user" && !content.is_empty() {
            self.without_thoughts_alone(notes)?;
        }
        match self.0.last_mut() {
            Some(last) if last.role == role => {
                if join(&mut last.content, content) {
                    notes.without(THOUGHTS)?;
                }
            }
            _ if content.is_empty() => {}
            _ => self.0.push(Turn { role, content }),
        }
        Ok(())
    }

    /// All of them, once there is no message more.
    pub(in crate::provider) fn end(mut self, notes: &mut Notes) -> Result<Vec<Turn<B>>, Error> {
        self.without_thoughts_alone(notes)?;
        Ok(self.0)
    }

    /// Takes away a last turn that is thoughts alone, which is announced.
    fn without_thoughts_alone(&mut self, notes: &mut Notes) -> Result<(), Error> {
        let last = self.0.last();
        if last.is_some_and(|turn| is_thought_alone(&turn.content)) {
            self.0.pop();
            notes.without(THOUGHTS)?;
        }
        Ok(())
    }
}

/// Puts what one message says behind what those before it said. `true` if thoughts were lost.
///
/// Thoughts are bound to the answer that they belong to, and refused behind a text or among those of
/// another answer. Only what led to the first call must come back: that stands first, and of later
/// messages none does. Source: the provider's page on extended thinking, 2026-11.
fn join<B: Block>(turn: &mut Vec<B>, mut more: Vec<B>) -> bool {
    // From the end, where calls stand: a message is not looked through again for each behind it.
    let any = |all: &[B], kind| all.iter().rev().any(|block| block.is() == kind);
    let before = turn.len() + more.len();
    if any(&more, Is::Thought) {
        let first_call = any(&more, Is::Call) && !any(turn, Is::Call);
        if first_call || is_thought_alone(turn) {
            turn.retain(|block| block.is() != Is::Thought);
            let thoughts = more
                .iter()
                .take_while(|block| block.is() == Is::Thought)
                .count();
            turn.splice(..0, more.drain(..thoughts));
        } else {
            more.retain(|block| block.is() != Is::Thought);
        }
    }
    turn.append(&mut more);
    turn.len() < before
}

/// Whether a turn says nothing but what was thought, which is refused. A message may: another may follow
/// with what it was thought for.
fn is_thought_alone<B: Block>(turn: &[B]) -> bool {
    !turn.is_empty() && turn.iter().all(|block| block.is() == Is::Thought)
}
