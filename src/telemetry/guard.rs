use std::time::{Duration, Instant};

use http::{StatusCode, response::Parts};

use crate::{
    error::{Error, Kind},
    ext::Served,
    media,
    meter::{Ending, Settle, Tally},
    observe::{Event, Finished, Watch},
    time::{DefaultTimer, Timer, lately},
};

/// What is known of a request until its end is told.
pub(super) struct Guard {
    watch: Watch,
    begun: Instant,
    status: Option<StatusCode>,
    stream: bool,
    served: Option<Served>,
    error: Option<Error>,
    first_event: Option<Duration>,
}

impl Guard {
    pub(super) fn new(watch: Watch) -> Self {
        Self {
            watch,
            begun: lately(&DefaultTimer::default()),
            status: None,
            stream: false,
            served: None,
            error: None,
            first_event: None,
        }
    }

    pub(super) fn head(&mut self, parts: &Parts) {
        self.status = Some(parts.status);
        self.served = parts.extensions.get().cloned();
        self.error = parts.extensions.get().cloned();
        self.stream = media::is_events(&parts.headers);
    }

    fn elapsed(&self) -> Duration {
        let now = DefaultTimer::default().now();
        now.saturating_duration_since(self.begun)
    }

    /// Bytes go out: comments aside, the first of a stream are its first event.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        if self.stream && self.first_event.is_none() && !bytes.starts_with(b":") {
            let after = self.elapsed();
            self.first_event = Some(after);
            self.watch.on(&Event::FirstEvent { after });
        }
    }
}

impl Settle for Guard {
    fn settle(self, ending: Ending, tally: Option<&Tally>) {
        let (late, cancelled) = match ending {
            Ending::Complete => (None, false),
            Ending::Failed(error) => (Some(error.unwrap_or_else(broke_off)), false),
            Ending::Cancelled => (None, true),
        };
        let seen = tally.map(Tally::seen);
        let seen = seen.as_ref();
        let mut finished = Finished::after(self.elapsed());
        finished.status = self.status;
        finished.error = self.error.as_ref().or(late.as_ref());
        finished.cancelled = cancelled;
        finished.stream = self.stream;
        finished.served = self.served.as_ref();
        finished.model = seen.and_then(|seen| seen.model.as_deref());
        // The prompt is not read out here: who reads the answer has put its estimate there.
        finished.usage = seen.and_then(|seen| seen.used(0));
        finished.first_event = self.first_event;
        self.watch.on(&Event::Finished(finished));
    }
}

/// Of a transport's error, and of a panic, no more is known.
fn broke_off() -> Error {
    Error::new(Kind::Internal, "The answer broke off.")
}
