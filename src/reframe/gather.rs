use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Body;

use super::{
    body::{Sleeping, broken, too_late},
    config::Config,
    fault::too_large,
    fold::Folder,
    machine::Machine,
    read::Reader,
    unfold::unfold,
    whole,
};
use crate::{
    body::{BoxError, Pieces},
    error::Error,
    meter::Tally,
    time::Timer,
};

/// What becomes of a body that is read to its end.
pub(super) enum Gather {
    /// An answer, as one.
    Whole(Pieces, Config, Tally),
    /// An answer, to be sent as a stream.
    Unfold(Pieces, Box<Machine>),
    /// A stream, to be sent as one answer.
    Fold(Box<Folder>),
}

impl Gather {
    /// Takes the next bytes; whether an event came with them.
    fn push(&mut self, chunk: Bytes) -> Result<bool, Error> {
        match self {
            Self::Whole(pieces, ..) | Self::Unfold(pieces, _) => {
                pieces.push(chunk);
                Ok(false)
            }
            Self::Fold(folder) => {
                let before = folder.events();
                folder.push(chunk)?;
                Ok(folder.events() != before)
            }
        }
    }

    /// Whether an event came that gave nothing to gather.
    fn has_heard(&mut self) -> bool {
        match self {
            Self::Whole(..) | Self::Unfold(..) => false,
            Self::Fold(folder) => folder.has_heard(),
        }
    }

    pub(super) fn finish(self) -> Result<Bytes, Error> {
        match self {
            Self::Whole(mut pieces, config, tally) => {
                whole::answer(&mut Reader::new(config, tally), &pieces.take())
            }
            Self::Unfold(mut pieces, mut machine) => {
                let stream = unfold(&pieces.take())?;
                // It ends with `[DONE]`, so that all of it is there.
                let mut all = Pieces::default();
                all.push(machine.push(stream).unwrap_or_default());
                while let Some(more) = machine.more() {
                    all.push(more);
                }
                // Nothing has gone out yet, so that it need not be told in the stream.
                machine.failure().map_or_else(|| Ok(all.take()), Err)
            }
            Self::Fold(mut folder) => folder.finish(),
        }
    }
}

/// Reads a body to its end.
pub(super) fn poll_read<B, T>(
    mut body: Pin<&mut B>,
    gather: &mut Gather,
    read: &mut usize,
    most: usize,
    mut sleeping: Sleeping<'_, T>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Error>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    T: Timer,
{
    let mut again = false;
    loop {
        let Poll::Ready(frame) = body.as_mut().poll_frame(cx) else {
            if gather.has_heard() {
                sleeping.clock.heard(sleeping.timer.now());
            }
            let due = ready!(sleeping.poll(cx));
            return Poll::Ready(Err(too_late(due)));
        };
        let Some(frame) = frame else {
            return Poll::Ready(Ok(()));
        };
        // An upstream that never pauses would never be asked for the time.
        if mem::replace(&mut again, true) && sleeping.clock.is_over(sleeping.timer.now()) {
            if let Poll::Ready(due) = sleeping.poll(cx) {
                return Poll::Ready(Err(too_late(due)));
            }
        }
        let Ok(chunk) = frame.map_err(|error| broken(error.into()))?.into_data() else {
            continue;
        };
        *read = read.saturating_add(chunk.len());
        if *read > most {
            return Poll::Ready(Err(too_large(most)));
        }
        if gather.push(chunk)? {
            sleeping.clock.event(sleeping.timer.now());
        }
        // Without a look at what is known to be nothing.
        if body.is_end_stream() {
            return Poll::Ready(Ok(()));
        }
    }
}
