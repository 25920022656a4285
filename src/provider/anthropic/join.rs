//! What neighbouring messages of the assistant are together: one turn.

use crate::{
    error::Error,
    provider::{Notes, support::THOUGHTS},
};

/// What a block of the assistant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provider) enum Is {
    /// What was thought, signed.
    Thought,
    Call,
    /// A text, an image.
    Other,
}

/// Puts what one message says behind what those before it said. `true` if thoughts were lost.
///
/// Thoughts are bound to the answer that they belong to, and refused behind a text or among those of
/// another answer. Only what led to the first call must come back: that stands first, and of later
/// messages none does. Source: the provider's page on extended thinking, 2026-11.
pub(in crate::provider) fn join<B>(
    turn: &mut Vec<B>,
    mut more: Vec<B>,
    is: impl Fn(&B) -> Is,
) -> bool {
    // From the end, where calls stand: a message is not looked through again for each behind it.
    let any = |all: &[B], kind| all.iter().rev().any(|block| is(block) == kind);
    let before = turn.len() + more.len();
    if any(&more, Is::Thought) {
        let first_call = any(&more, Is::Call) && !any(turn, Is::Call);
        if first_call || is_thought_alone(turn, &is) {
            turn.retain(|block| is(block) != Is::Thought);
            let thoughts = more
                .iter()
                .take_while(|block| is(block) == Is::Thought)
                .count();
            turn.splice(..0, more.drain(..thoughts));
        } else {
            more.retain(|block| is(block) != Is::Thought);
        }
    }
    turn.append(&mut more);
    turn.len() < before
}

/// Whether a turn says nothing but what was thought, which is refused. A message may: another may follow
/// with what it was thought for.
pub(in crate::provider) fn is_thought_alone<B>(turn: &[B], is: impl Fn(&B) -> Is) -> bool {
    !turn.is_empty() && turn.iter().all(|block| is(block) == Is::Thought)
}

/// Takes away a last turn of that kind, which is announced.
pub(in crate::provider) fn without_thoughts_alone<T>(
    turns: &mut Vec<T>,
    is_thought_alone: impl Fn(&T) -> bool,
    notes: &mut Notes,
) -> Result<(), Error> {
    if turns.last().is_some_and(is_thought_alone) {
        turns.pop();
        notes.without(THOUGHTS)?;
    }
    Ok(())
}
