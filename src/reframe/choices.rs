//! The choices of an answer: which have begun, what has been told of each, and which are finished.

mod choice;
mod delta;
mod finish;
mod thoughts;

use smallvec::SmallVec;

use super::{
    calls::Calls,
    pass::{Bad, Pass},
};
use crate::wire::json::{Cursor, Type};

/// Choices that one answer may have.
const MAX_CHOICES: usize = 128;

/// The choices of one answer so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Choices {
    // Nearly always there is one.
    list: SmallVec<[Choice; 1]>,
}

/// What is remembered of one choice.
#[derive(Clone, Debug)]
struct Choice {
    index: u64,
    finished: bool,
    /// Some of its text has come in a delta.
    told: bool,
    calls: Calls,
}

impl Choices {
    /// Whether every choice that was begun has been finished, and there was one.
    pub(super) fn is_finished(&self) -> bool {
        !self.list.is_empty() && self.list.iter().all(|choice| choice.finished)
    }

    /// The choices that have not said why they end, each with the reason that shows.
    pub(super) fn unfinished(&self) -> impl Iterator<Item = (u64, &'static str)> {
        let open = self.list.iter().filter(|choice| !choice.finished);
        open.map(|choice| match choice.calls.is_empty() {
            true => (choice.index, "stop"),
            false => (choice.index, "tool_calls"),
        })
    }

    /// Whether a choice was begun.
    pub(super) fn has_begun(&self) -> bool {
        !self.list.is_empty()
    }

    /// Whether nothing has been said of a choice before.
    pub(super) fn is_new(&self, index: u64) -> bool {
        self.list.iter().all(|choice| choice.index != index)
    }

    /// Whether one more may begin.
    pub(super) fn has_room(&self) -> bool {
        self.list.len() < MAX_CHOICES
    }

    /// The first choice goes on, may finish, and says something or not; whether it begins.
    pub(super) fn first(&mut self, finished: bool, told: bool) -> bool {
        if let Some(choice) = self.list.iter_mut().find(|choice| choice.index == 0) {
            choice.finished |= finished;
            choice.told |= told;
            return false;
        }
        self.list.push(Choice {
            index: 0,
            finished,
            told,
            calls: Calls::default(),
        });
        true
    }

    /// Reads the array; how many choices there were.
    pub(super) fn read(
        &mut self,
        c: &mut Cursor<'_>,
        pass: &mut Pass<'_, '_>,
    ) -> Result<usize, Bad> {
        c.array()?;
        let mut position = 0;
        while c.element()? {
            if c.peek()? != Type::Object {
                return Err(Bad::Shape("choices[]"));
            }
            self.choice(c, position, pass)?;
            position += 1;
        }
        Ok(position)
    }

    /// The state of a choice, and whether it is new.
    fn at_choice(&mut self, index: u64) -> Result<(usize, bool), Bad> {
        match self.list.iter().position(|choice| choice.index == index) {
            Some(at) => Ok((at, false)),
            None if self.list.len() == MAX_CHOICES => Err(Bad::Limit("choices")),
            None => {
                self.list.push(Choice {
                    index,
                    finished: false,
                    told: false,
                    calls: Calls::default(),
                });
                Ok((self.list.len() - 1, true))
            }
        }
    }
}
