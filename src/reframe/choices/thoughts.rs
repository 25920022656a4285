//! What a delta has thought, under the two names of one thing: `reasoning_content`, and `reasoning`,
//! the older one, which goes out under the other.

use std::ops::Range;

use super::super::pass::Pass;
use crate::wire::json::Type;

/// The thoughts of one delta.
#[derive(Default)]
pub(super) struct Thoughts {
    /// Under the older name: where its key is, and its value.
    older: Option<(Range<usize>, Thought)>,
    /// Under the name that goes out.
    content: Option<Thought>,
}

/// The value of a thought.
pub(super) struct Thought {
    pub(super) at: Range<usize>,
    /// Whether it is one: a string that is not empty, or what stands in the place of one.
    pub(super) says: bool,
}

impl Thought {
    fn new(kind: Type, at: Range<usize>) -> Self {
        let says = match kind {
            // What a list or an object means nobody knows: a text takes its place.
            Type::Null | Type::Array | Type::Object => false,
            Type::String => at.len() > 2,
            _ => true,
        };
        Self { at, says }
    }
}

impl Thoughts {
    /// A `reasoning_content`; whether it stays where it is, as the other does not tell it already.
    #[inline]
    pub(super) fn content(
        &mut self,
        kind: Type,
        at: Range<usize>,
        pass: &mut Pass<'_, '_>,
    ) -> bool {
        let thought = Thought::new(kind, at);
        if let Some((key, other)) = self.older.take_if(|(_, other)| other.says) {
            pass.edits.replace(key, "reasoning_content");
            // What is no string is told by the other already.
            let both = [&thought.at, &other.at].map(|at| pass.text.as_bytes()[at.start] == b'"');
            if both == [true; 2] && thought.says {
                let at = &thought.at;
                pass.seen.changed = true;
                pass.seen.content += (at.len() as u64).saturating_sub(other.at.len() as u64);
                let text = pass.text[at.clone()].to_owned();
                pass.edits.replace(other.at.clone(), text);
            }
            self.content = Some(other);
            return false;
        }
        if !matches!(kind, Type::Array | Type::Object) {
            pass.thought(kind, &thought.at);
        }
        self.content = Some(thought);
        true
    }

    /// A `reasoning`; whether it stays where it is, as the other does not stand in its place.
    #[inline]
    pub(super) fn older(
        &mut self,
        key: Range<usize>,
        kind: Type,
        at: Range<usize>,
        pass: &mut Pass<'_, '_>,
    ) -> bool {
        let thought = Thought::new(kind, at);
        let Some(other) = &mut self.content else {
            pass.thought(kind, &thought.at);
            self.older = Some((key, thought));
            return true;
        };
        let Thought { at, says } = thought;
        if says && other.says {
            pass.seen.content += (at.len() as u64).saturating_sub(other.at.len() as u64);
        } else if says {
            other.says = true;
            let spelled = match kind {
                Type::String => &pass.text[at.start + 1..at.end - 1],
                _ => &pass.text[at],
            };
            pass.seen.changed = true;
            pass.seen.content += spelled.len() as u64;
            let text = format!("\"{spelled}\"");
            pass.edits.replace(other.at.clone(), text);
        }
        false
    }

    /// The delta has ended: what it has as `reasoning_content` now.
    #[inline]
    pub(super) fn close(self, pass: &mut Pass<'_, '_>) -> Option<Thought> {
        match (self.older, self.content) {
            (Some((key, thought)), None) => {
                pass.edits.replace(key, "reasoning_content");
                Some(thought)
            }
            (_, thought) => thought,
        }
    }
}
