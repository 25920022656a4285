use std::fmt;

use bytes::BytesMut;

use super::{
    likely,
    response::{finish_reason, read},
};
use crate::{
    error::Error,
    provider::{Asked, Framing, TranslateStream, chunks::Chunks, future::cut},
    wire::Usage,
};

/// The state of a stream of lines.
pub struct Stream {
    asked: Asked,
    chunks: Chunks,
    begun: bool,
    calls: u64,
    usage: Option<Usage>,
    over: bool,
}

impl fmt::Debug for Stream {
    /// Nothing of what was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl Stream {
    pub(super) fn new(asked: &Asked) -> Self {
        Self {
            chunks: Chunks::asked(asked),
            asked: asked.clone(),
            begun: false,
            calls: 0,
            usage: None,
            over: false,
        }
    }
}

impl TranslateStream for Stream {
    fn framing(&self) -> Framing {
        Framing::JsonLines
    }

    fn event(&mut self, _: Option<&str>, data: &[u8], out: &mut BytesMut) -> Result<(), Error> {
        if self.over {
            return Ok(());
        }
        let line = read(data)?;
        if !std::mem::replace(&mut self.begun, true) {
            self.chunks.role(out, 0);
        }
        if let Some(message) = &line.message {
            if let Some(text) = message.thinking.as_ref().filter(|it| !it.is_empty()) {
                self.chunks.reasoning(out, 0, text);
            }
            if let Some(text) = message.content.as_ref().filter(|it| !it.is_empty()) {
                self.chunks.content(out, 0, text);
            }
            for call in message.tool_calls.iter().flatten() {
                call.check()?;
                let id = call.id(&self.asked, self.calls);
                self.chunks
                    .call(out, 0, self.calls, &id, &call.function.name);
                let arguments = call.function.text();
                self.chunks.arguments(out, 0, self.calls, &*arguments);
                self.calls += 1;
            }
        }
        if let Some(json) = likely::json(line.logprobs.as_deref()) {
            self.chunks.choice(out, 0, Some(&json), None, |_| {});
        }
        if line.done {
            self.over = true;
            self.usage = line.usage();
            let reason = finish_reason(line.done_reason.as_deref(), self.calls);
            self.chunks.finish(out, 0, reason);
            if let Some(usage) = &self.usage {
                self.chunks.usage(out, usage, None);
            }
            Chunks::done(out);
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut BytesMut) -> Result<(), Error> {
        if self.over { Ok(()) } else { Err(cut()) }
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }
}
