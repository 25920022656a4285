use bytes::BytesMut;

use super::response::{finish_reason, read};
use crate::{
    error::Error,
    provider::{Asked, Framing, TranslateStream, chunk::Chunks, future::cut},
    wire::Usage,
};

/// The state of a stream of lines.
#[derive(Debug)]
pub struct Stream {
    asked: Asked,
    chunks: Chunks,
    begun: bool,
    calls: usize,
    usage: Option<Usage>,
    over: bool,
}

impl Stream {
    pub(super) fn new(asked: &Asked) -> Self {
        Self {
            chunks: Chunks::new(asked),
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
            self.chunks.role(out);
        }
        if let Some(message) = &line.message {
            if let Some(text) = message.thinking.as_deref().filter(|it| !it.is_empty()) {
                self.chunks.reasoning(text, out);
            }
            if let Some(text) = message.content.as_deref().filter(|it| !it.is_empty()) {
                self.chunks.content(text, out);
            }
            for call in message.tool_calls.iter().flatten() {
                let id = call.id(&self.asked, self.calls);
                self.chunks.call(self.calls, &id, &call.function.name, out);
                self.chunks.arguments(self.calls, call.function.text(), out);
                self.calls += 1;
            }
        }
        if line.done {
            self.over = true;
            let usage = line.usage();
            self.usage = Some(usage);
            let reason = finish_reason(line.done_reason.as_deref(), self.calls);
            self.chunks.finish(reason, out);
            self.chunks.usage(&usage, out);
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
