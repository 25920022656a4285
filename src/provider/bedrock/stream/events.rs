//! What the events of a stream say.

use serde::Deserialize;

use super::super::response::{Citation, Counts, Image, Served};
use crate::{provider::json::readable, wire::chat::Text};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Start<'a> {
    #[serde(default)]
    pub(super) content_block_index: Option<u64>,
    #[serde(borrow)]
    pub(super) start: Starts<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Starts<'a> {
    #[serde(borrow, default)]
    pub(super) tool_use: Option<ToolUse<'a>>,
    #[serde(borrow, default, deserialize_with = "readable")]
    pub(super) image: Option<Image<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolUse<'a> {
    #[serde(borrow, default)]
    pub(super) tool_use_id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) name: Text<'a>,
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delta<'a> {
    #[serde(default)]
    pub(super) content_block_index: Option<u64>,
    #[serde(borrow)]
    pub(super) delta: Deltas<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Deltas<'a> {
    #[serde(borrow, default)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) tool_use: Option<Input<'a>>,
    #[serde(borrow, default)]
    pub(super) reasoning_content: Option<Reasoning<'a>>,
    #[serde(borrow, default, deserialize_with = "readable")]
    pub(super) citation: Option<Citation<'a>>,
    #[serde(borrow, default, deserialize_with = "readable")]
    pub(super) image: Option<Image<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Input<'a> {
    #[serde(borrow, default)]
    pub(super) input: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reasoning<'a> {
    #[serde(borrow, default)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) signature: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) redacted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BlockStop {
    #[serde(default)]
    pub(super) content_block_index: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stop<'a> {
    #[serde(borrow)]
    pub(super) stop_reason: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata<'a> {
    #[serde(default, deserialize_with = "readable")]
    pub(super) usage: Option<Counts>,
    #[serde(borrow, default)]
    pub(super) service_tier: Option<Served<'a>>,
}
