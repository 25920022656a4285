//! The few ways in which published chat-completions APIs differ, as a value.

use http::StatusCode;

/// How one endpoint presents itself. The presets are ordinary values: change a field to make your
/// own.
///
/// ```
/// use tower_completions::{Dialect, dialect::CostMember};
///
/// let mut mine = Dialect::strict();
/// mine.cost = CostMember::TopLevel;
/// assert_eq!(mine.value_status, 422);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dialect {
    /// The status of a request whose values are out of range: 400 or 422.
    pub value_status: StatusCode,
    /// The JSON number put in for an absent or null `temperature`.
    pub temperature: Option<&'static str>,
    /// The JSON number put in for an absent or null `top_p`.
    pub top_p: Option<&'static str>,
    /// How answers are named.
    pub id: IdFormat,
    /// Whether the cost is part of the JSON.
    pub cost: CostMember,
}

/// What the `id` of an answer and of its chunks looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdFormat {
    /// The upstream's own, or `chatcmpl-…` when it gives none.
    Upstream,
    /// `req_` and 24 hexadecimal digits, always ours.
    Req,
}

/// Where the cost of a request stands in its answer, beside the headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CostMember {
    /// Nowhere.
    Absent,
    /// At the top level: `"cost":{"amount":0.000061,"currency":"USD"}`.
    TopLevel,
    /// Inside the usage: `"usage":{…,"cost":0.000061}`.
    InUsage,
}

impl Dialect {
    /// OpenAI's own: nothing is filled in, every mistake is a 400, ids are the upstream's, the cost is in
    /// headers only.
    #[must_use]
    pub const fn openai() -> Self {
        Self {
            value_status: StatusCode::BAD_REQUEST,
            temperature: None,
            top_p: None,
            id: IdFormat::Upstream,
            cost: CostMember::Absent,
        }
    }

    /// As [`openai`](Self::openai), but: where the client names none, `temperature` 0.7 and `top_p` 1 are
    /// sent upstream; ids of answers and chunks are `req_` and 24 hexadecimal digits; the cost is a
    /// top-level member of the answer.
    #[must_use]
    pub const fn onysoft() -> Self {
        Self {
            temperature: Some("0.7"),
            top_p: Some("1"),
            id: IdFormat::Req,
            cost: CostMember::TopLevel,
            ..Self::openai()
        }
    }

    /// As [`openai`](Self::openai), but 422 for values out of range.
    #[must_use]
    pub const fn strict() -> Self {
        Self {
            value_status: StatusCode::UNPROCESSABLE_ENTITY,
            ..Self::openai()
        }
    }

    /// As [`openai`](Self::openai), but where the client names none, `temperature` 1 and `top_p` 1 are
    /// sent upstream.
    #[must_use]
    pub const fn osiris() -> Self {
        Self {
            temperature: Some("1"),
            top_p: Some("1"),
            ..Self::openai()
        }
    }

    /// The preset of this name: `openai`, `onysoft`, `strict` or `osiris`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "openai" => Some(Self::openai()),
            "onysoft" => Some(Self::onysoft()),
            "strict" => Some(Self::strict()),
            "osiris" => Some(Self::osiris()),
            _ => None,
        }
    }
}

impl Default for Dialect {
    fn default() -> Self {
        Self::openai()
    }
}
