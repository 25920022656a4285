//! What one read of the upstream lets go out.

use std::{collections::VecDeque, mem, ops::Range};

use bytes::Bytes;

use crate::sse::Decoder;

/// From how many bytes on events that pass are a frame of their own, rather than copied to what was
/// written beside them.
const APART: usize = 4096;

/// Events on their way out: those that pass are a slice of the chunk, and only what is changed is
/// written.
#[derive(Clone, Debug, Default)]
pub(super) struct Outgoing {
    /// Frames that are ready and go first.
    #[expect(
        clippy::box_collection,
        reason = "there is seldom any, and an idle stream is to hold little"
    )]
    queue: Option<Box<VecDeque<Bytes>>>,
    /// Events that were changed or copied.
    out: Vec<u8>,
    /// Events in the chunk, side by side, that go out as they came, behind `out`.
    run: Range<usize>,
}

impl Outgoing {
    /// Whether no frame is ready beside the one that was given last.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_none()
    }

    /// Events go out as they came.
    #[inline]
    pub(super) fn pass(&mut self, chunk: &Bytes, range: Range<usize>) {
        if self.run.is_empty() {
            self.run = range;
        } else if self.run.end == range.start {
            self.run.end = range.end;
        } else {
            self.close_run(chunk);
            self.run = range;
        }
    }

    /// Where to write so many bytes, behind all else; whether they are the last of this read.
    #[inline]
    pub(super) fn room(&mut self, chunk: &Bytes, length: usize, last: bool) -> &mut Vec<u8> {
        if self.run.len() >= APART {
            self.close_run(chunk);
        }
        if self.out.is_empty() {
            // A buffer that is just full becomes the frame with no further allocation; for more
            // events there is room at once for all of this read.
            let length = self.run.len() + length;
            self.out.reserve_exact(if last {
                length
            } else {
                length.max(chunk.len() + chunk.len() / 4 + 128)
            });
        }
        self.behind(chunk)
    }

    /// Where to write what is not of this read.
    #[inline]
    pub(super) fn behind(&mut self, chunk: &Bytes) -> &mut Vec<u8> {
        if !self.run.is_empty() {
            self.close_run(chunk);
        }
        &mut self.out
    }

    /// Something else comes behind the events that pass.
    fn close_run(&mut self, chunk: &Bytes) {
        let run = mem::take(&mut self.run);
        if run.len() < APART {
            self.out.extend_from_slice(&chunk[run]);
        } else {
            self.close_out();
            self.queue(chunk.slice(run));
        }
    }

    fn close_out(&mut self) {
        if !self.out.is_empty() {
            let out = mem::take(&mut self.out);
            self.queue(out.into());
        }
    }

    fn queue(&mut self, frame: Bytes) {
        self.queue.get_or_insert_default().push_back(frame);
    }

    /// The first frame of all that is ready, after which the chunk is not needed any more.
    #[inline]
    pub(super) fn first(&mut self, decoder: &mut Decoder) -> Option<Bytes> {
        if self.out.is_empty() && self.queue.is_none() {
            let run = mem::take(&mut self.run);
            return (!run.is_empty()).then(|| decoder.take(run));
        }
        self.behind(decoder.chunk());
        if self.queue.is_none() {
            return Some(mem::take(&mut self.out).into());
        }
        self.close_out();
        self.next()
    }

    /// The next frame that is ready.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<Bytes> {
        // Nearly always there is none.
        self.queue.is_some().then(|| self.unqueue()).flatten()
    }

    #[cold]
    fn unqueue(&mut self) -> Option<Bytes> {
        let queue = self.queue.as_mut()?;
        let frame = queue.pop_front();
        if queue.is_empty() {
            self.queue = None;
        }
        frame
    }
}

/// Makes spaces of line ends, which may stand between the tokens of JSON but not in a line of data.
pub(super) fn on_one_line(json: &mut [u8]) {
    if memchr::memchr2(b'\n', b'\r', json).is_some() {
        for byte in json {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
}
