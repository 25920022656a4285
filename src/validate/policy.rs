use std::sync::Arc;

/// What an operator allows beyond what the API does. Everything is allowed unless said.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use]
pub struct Policy {
    /// The most answers to one request (`n`). Default: 128, as the API says.
    pub max_n: u32,
    /// The most output tokens that may be asked for; to hold those who ask for none to a limit, set
    /// [`default_output_tokens`](Self::default_output_tokens). Default: no such limit.
    pub max_output_tokens: Option<u64>,
    /// The most messages. Default: 100 000.
    pub max_messages: usize,
    /// The most tools. Default: 1024.
    pub max_tools: usize,
    /// The most images. Default: 1000.
    pub max_images: usize,
    /// Members that the API does not know. Default: kept, byte for byte.
    pub unknown: UnknownMembers,
    /// Which addresses images may have. Default: `https:`, `http:` and `data:`.
    pub images: Images,
    /// The output tokens asked for when the client names no limit. Default: none, it is left to the
    /// model.
    pub default_output_tokens: Option<u64>,
    /// How many mistakes are told. Default: the first.
    pub report: Report,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_n: 128,
            max_output_tokens: None,
            max_messages: 100_000,
            max_tools: 1024,
            max_images: 1000,
            unknown: UnknownMembers::Keep,
            images: Images::Web,
            default_output_tokens: None,
            report: Report::First,
        }
    }
}

/// What becomes of members that the API does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnknownMembers {
    /// They travel on as they came.
    Keep,
    /// They are left out, and `x-params-dropped` names them; indices are left out of a name, so that
    /// `messages[].x` stands for all of its kind.
    Drop,
    /// Those of these names travel on, at whatever level; the others are refused as below.
    Allow(Arc<[Box<str>]>),
    /// They are refused: 400 `unknown_parameter`.
    Refuse,
}

/// Which addresses images may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Images {
    /// Any.
    Any,
    /// `https:`, `http:` and `data:`.
    Web,
    /// `https:` and `data:`.
    Secure,
}

/// How many mistakes of a request are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report {
    /// The first.
    First,
    /// All that were found, in one message; each by itself is in the response's extension
    /// [`Mistakes`](super::Mistakes). Kind, code and field are the first's. A request with more than
    /// [`ReadLimits::max_faults`](crate::parse::ReadLimits::max_faults) is not read to its end, and of
    /// that one the first alone is told.
    All,
}
