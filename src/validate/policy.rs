use std::sync::Arc;

use crate::wire::request::Name;

/// What an operator allows beyond what the API does. Everything is allowed unless said.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use]
pub struct Policy {
    /// The most answers to one request (`n`). Default: 128, as the API says.
    pub max_n: u32,
    /// The most output tokens that may be asked for. Default: no such limit.
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
    /// They are left out, and `x-params-dropped` says so of those at the top level.
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
    /// All that were found, in one message.
    All,
}

/// What becomes of a parameter at a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Support {
    /// The model takes it.
    Yes,
    /// The model does not know it: it is left out, and `x-params-dropped` says so.
    Drop,
    /// The model refuses it, and so does the validator: 400 `unsupported_parameter`.
    Refuse,
}

/// What is known of the models that clients ask for.
pub trait Models: Send + Sync {
    /// The id of the model that a name stands for: itself, or what it is an alias of.
    fn id(&self, name: &str) -> Arc<str> {
        Arc::from(name)
    }

    /// Whether a model is configured at all; one that is not is a 404. Default: every one is.
    fn knows(&self, _model: &str) -> bool {
        true
    }

    /// What becomes of a parameter. Default: it is taken.
    fn support(&self, _model: &str, _parameter: Name) -> Support {
        Support::Yes
    }

    /// The largest prompt and answer together, in tokens. Default: unknown.
    fn context_window(&self, _model: &str) -> Option<u64> {
        None
    }
}

/// Nothing is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnyModel;

impl Models for AnyModel {}
