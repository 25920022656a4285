//! What the provider has written to be sent back: entries of `reasoning_details`, and signatures in calls.

use std::borrow::Cow;

use serde::Deserialize;

use super::parts::{Kinds, Part};
use crate::wire::chat::{Raw, ToolCall};

/// An entry of `reasoning_details`, by who has written it.
pub(super) enum Entry<'a> {
    Signature(Detail<'a>),
    /// A part that the provider's own tools wrote.
    OfServer(Part<'a>),
    /// Another provider, or nobody that can be told.
    Foreign,
}

impl<'a> Entry<'a> {
    pub(super) fn read(raw: &Raw<'a>) -> Self {
        let detail: Option<Detail<'a>> = serde_json::from_str(raw.get()).ok();
        if let Some(detail) = detail.filter(|it| it.kind == "thought_signature") {
            return Self::Signature(detail);
        }
        let read: Option<OfServer<'a>> = serde_json::from_str(raw.get()).ok();
        let part = read.and_then(|entry| entry.part.part());
        part.map_or(Self::Foreign, Self::OfServer)
    }
}

/// A signature, of a call or of what was said.
#[derive(Deserialize)]
pub(super) struct Detail<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) signature: Cow<'a, str>,
}

#[derive(Deserialize)]
struct OfServer<'a> {
    #[serde(borrow)]
    part: Written<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(borrow, default)]
    executable_code: Option<Raw<'a>>,
    #[serde(borrow, default)]
    code_execution_result: Option<Raw<'a>>,
    #[serde(borrow, default)]
    tool_call: Option<Raw<'a>>,
    #[serde(borrow, default)]
    tool_response: Option<Raw<'a>>,
    #[serde(borrow, default)]
    file_data: Option<Raw<'a>>,
    #[serde(borrow, default)]
    thought_signature: Option<Cow<'a, str>>,
}

impl<'a> Written<'a> {
    fn part(self) -> Option<Part<'a>> {
        let kind = None
            .or(self.executable_code.map(Kinds::ExecutableCode))
            .or(self.code_execution_result.map(Kinds::CodeExecutionResult))
            .or(self.tool_call.map(Kinds::ToolCall))
            .or(self.tool_response.map(Kinds::ToolResponse))
            .or(self.file_data.map(Kinds::Made))?;
        let mut part = Part::new(kind);
        part.thought_signature = self.thought_signature;
        Some(part)
    }
}

#[derive(Deserialize)]
struct Extra<'a> {
    #[serde(borrow)]
    google: Google<'a>,
}

#[derive(Deserialize)]
struct Google<'a> {
    #[serde(borrow)]
    thought_signature: Cow<'a, str>,
}

/// A call's signature, from the call or from the details.
pub(super) fn signature<'a>(call: &ToolCall<'a>, details: &[Detail<'a>]) -> Option<Cow<'a, str>> {
    let extra: Option<Extra<'a>> = call
        .extra_content
        .and_then(|raw| serde_json::from_str(raw.get()).ok());
    extra
        .map(|extra| extra.google.thought_signature)
        .or_else(|| {
            let mut of_call = details
                .iter()
                .filter(|it| it.id.as_deref() == Some(&*call.id));
            of_call.next().map(|detail| detail.signature.clone())
        })
}
