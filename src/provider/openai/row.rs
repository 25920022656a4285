//! What a row of the table says of a vendor.

use std::ops::RangeInclusive;

use super::{foreign::Whose, models::Efforts, speech::Speech, vendor::Usage};
use crate::wire::Counting;

/// What becomes of one parameter.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// It is called so there.
    Called(&'static str),
    /// It is called so there, for the models that this says.
    CalledBy(fn(&str) -> bool, &'static str),
    /// Dropped and announced: the answer means the same.
    Dropped,
    /// Refused: the answer would mean something else.
    Refused,
    /// Brought into this range.
    Within(f64, f64),
    /// Some of its values are called otherwise; one without a name is dropped and announced, those
    /// that are not listed pass.
    Values(&'static [(&'static str, &'static str)]),
    /// `{"type":"json_schema"}` is refused, other formats pass.
    NoSchema,
    /// One text becomes a list of it.
    Listed,
    /// The same, and a list of more than one is refused.
    ListedAlone,
    /// It is called so there where it has so many characters, else dropped and announced.
    CalledIf(&'static str, RangeInclusive<usize>),
    /// The schema stands in a member of another shape: `{"type":"json","value":…}`.
    SchemaAsValue,
    /// `none` becomes `thinking: {"type":"disabled"}`, whatever else `enabled` beside the effort.
    Thinking,
    /// `true` becomes the number of alternatives, at least 1.
    Counted,
    /// The nearest of those efforts that a model takes; without one it is refused.
    Efforts(fn(&str) -> Efforts),
    /// Refused by models that reason, unless it is what they do anyway.
    RefusedReasoning,
    /// Without effect on models that reason: dropped and announced.
    DroppedReasoning,
    /// Tools cannot be forced on models that reason.
    UnforcedReasoning,
    /// For the models that this says, whether they reason is a member of this name, with these two
    /// values for yes and no; how hard cannot be told.
    Switched(fn(&str) -> bool, &'static str, [&'static str; 2]),
    /// Tools cannot be forced. Not to call any is not to have any.
    Unforced,
}

pub(super) struct Row {
    pub(super) name: &'static str,
    /// Hosts, each with all below it.
    pub(super) hosts: &'static [&'static str],
    pub(super) base_url: Option<&'static str>,
    pub(super) params: &'static [(&'static str, Fate)],
    /// Members of its own that are set where the client has not: name and JSON.
    pub(super) adds: &'static [(&'static str, &'static str)],
    pub(super) usage: Usage,
    pub(super) counting: Counting,
    pub(super) speech: Speech,
    /// Whose reasoning it is given back.
    pub(super) whose: Whose,
    /// Whether it knows `functions`, the deprecated form of tools.
    pub(super) functions: bool,
    /// Whether its tools are functions only, with no choice among a part of them.
    pub(super) only_functions: bool,
    /// Whether a model of it reasons, at this effort.
    pub(super) reasons: fn(&str, Option<&str>) -> bool,
    /// Whether a model of it reads what it has thought before as `reasoning` of a message, and under no
    /// other name.
    pub(super) remembers: fn(&str) -> bool,
}
