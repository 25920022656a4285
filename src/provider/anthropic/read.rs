//! The shapes that answers and events are made of, borrowed from their JSON.

use crate::{
    provider::json::{Object, Reader, Spelled},
    wire::json::Fault,
};

/// A block of content, or one's delta: the members of all kinds side by side.
#[derive(Default)]
pub(super) struct Block<'a> {
    pub(super) kind: &'a str,
    pub(super) text: Spelled<'a>,
    pub(super) thinking: Spelled<'a>,
    pub(super) signature: Spelled<'a>,
    pub(super) id: Spelled<'a>,
    pub(super) name: Spelled<'a>,
    pub(super) partial_json: Spelled<'a>,
    pub(super) input: Option<&'a str>,
    pub(super) citations: Vec<Citation<'a>>,
    pub(super) stop: Stop<'a>,
}

impl<'a> Block<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut block = Self::default();
        reader.object(|reader, key| {
            match key {
                "type" => block.kind = reader.string()?.unwrap_or_default().0,
                "text" => block.text = reader.string()?.unwrap_or_default(),
                "thinking" => block.thinking = reader.string()?.unwrap_or_default(),
                "signature" => block.signature = reader.string()?.unwrap_or_default(),
                "id" => block.id = reader.string()?.unwrap_or_default(),
                "name" => block.name = reader.string()?.unwrap_or_default(),
                "partial_json" => block.partial_json = reader.string()?.unwrap_or_default(),
                "input" => block.input = reader.raw()?,
                "citation" => block.citations.push(Citation::read(reader)?),
                "citations" => reader.array(|reader| {
                    block.citations.push(Citation::read(reader)?);
                    Ok(())
                })?,
                _ => block.stop.member(reader, key)?,
            }
            Ok(())
        })?;
        Ok(block)
    }
}

/// Why the model stopped.
#[derive(Clone, Copy, Default)]
pub(super) struct Stop<'a> {
    pub(super) reason: Option<&'a str>,
    /// What a refusal is explained with.
    pub(super) explanation: Spelled<'a>,
}

impl<'a> Stop<'a> {
    /// Takes a member, or skips what is none of its own.
    pub(super) fn member(&mut self, reader: &mut Reader<'a>, key: &str) -> Result<(), Fault> {
        match key {
            "stop_reason" => self.reason = reader.string()?.map(|it| it.0),
            "stop_details" => reader.object(|reader, key| {
                match key {
                    "explanation" => self.explanation = reader.string()?.unwrap_or_default(),
                    _ => reader.skip()?,
                }
                Ok(())
            })?,
            _ => reader.skip()?,
        }
        Ok(())
    }
}

/// Where a statement of the answer was found.
#[derive(Default)]
pub(super) struct Citation<'a> {
    url: Spelled<'a>,
    title: Spelled<'a>,
}

impl<'a> Citation<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut citation = Self::default();
        reader.object(|reader, key| {
            match key {
                "url" => citation.url = reader.string()?.unwrap_or_default(),
                "title" => citation.title = reader.string()?.unwrap_or_default(),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(citation)
    }

    /// Whether it is one of the web; those into the client's own documents have no counterpart.
    pub(super) fn is_web(&self) -> bool {
        !self.url.is_empty()
    }

    /// Writes it as the annotation of a range of the answer, in characters.
    pub(super) fn write(&self, object: &mut Object<'_>, from: u64, to: u64) {
        object.string("type", "url_citation");
        object.object("url_citation", |it| {
            it.string("url", self.url);
            it.string("title", self.title);
            it.number("start_index", from);
            it.number("end_index", to);
        });
    }
}

/// The reason in the API's words; an unknown one is an ordinary end.
pub(super) fn finish_reason(reason: &str) -> &'static str {
    match reason {
        "max_tokens" | "model_context_window_exceeded" | "pause_turn" | "compaction" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        _ => "stop",
    }
}
