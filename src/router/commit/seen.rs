use std::collections::VecDeque;

use bytes::Bytes;
use http_body::Frame;

use super::look::{Look, look};
use crate::{
    body::BoxError,
    error::{Class, Error, Kind},
    sse::Decoder,
};

/// What has been read of a stream.
#[derive(Default)]
pub(super) struct Seen {
    decoder: Decoder,
    pub(super) frames: VecDeque<Frame<Bytes>>,
    pub(super) bytes: usize,
    pub(super) events: u32,
}

impl Seen {
    /// Takes what the body gave; what it tells, if anything.
    pub(super) fn take(&mut self, frame: Option<Result<Frame<Bytes>, BoxError>>) -> Option<Look> {
        let cut = || {
            let error = Error::new(Kind::BadUpstream, "The upstream cut its answer.");
            error.with_class(Class::Transient)
        };
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Some(Look::Broken(cut().with_source(error))),
            None => {
                return Some(match self.decoder.finish() {
                    Some(Ok(event)) if matches!(look(&event), Look::Content) => Look::Content,
                    _ => Look::Broken(cut()),
                });
            }
        };
        let data = frame.data_ref().cloned();
        self.frames.push_back(frame);
        let data = data?;
        self.bytes += data.len();
        self.decoder.push(data);
        while let Some(event) = self.decoder.next() {
            match event {
                Ok(event) => {
                    self.events += 1;
                    let seen = look(&event);
                    if !matches!(seen, Look::Lifecycle) {
                        return Some(seen);
                    }
                }
                Err(error) => return Some(Look::Broken(cut().with_source(error))),
            }
        }
        None
    }
}
