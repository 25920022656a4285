//! When a silent stream must be looked at again.

use std::time::{Duration, Instant};

/// How long a stream may take, and how long it may be silent. `None` switches one off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// To the first event.
    pub(super) first: Option<Duration>,
    /// Between two events, of whatever kind.
    pub(super) idle: Option<Duration>,
    /// For the whole answer.
    pub(super) total: Option<Duration>,
    /// Between what goes out.
    pub(super) keep_alive: Option<Duration>,
}

impl Times {
    /// The same where nothing goes out meanwhile.
    pub(super) fn unseen(self) -> Self {
        Self {
            keep_alive: None,
            ..self
        }
    }
}

/// What silence has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing yet.
    Later,
    /// A comment is to go out.
    KeepAlive,
    /// No event came in time, not even the first.
    Silent,
    /// The next event did not come in time.
    Stalled,
    /// The whole took too long.
    TooLong,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    times: Times,
    /// When the whole must be over.
    ends: Option<Instant>,
    /// When the wait for the first event began.
    began: Option<Instant>,
    /// When the last event came.
    event: Option<Instant>,
    /// When something last went out.
    sent: Option<Instant>,
    /// Something may be due sooner than before. Otherwise all that is due only moves away.
    sooner: bool,
    /// Something was taken, and nobody has waited for more since.
    taken: bool,
}

impl Clock {
    pub(super) fn new(times: Times, now: Instant) -> Self {
        Self {
            times,
            ends: times.total.and_then(|total| now.checked_add(total)),
            began: Some(now),
            event: None,
            sent: None,
            sooner: true,
            taken: false,
        }
    }

    /// For what has no events: over at an instant, and nothing else is due.
    pub(super) fn until(ends: Option<Instant>) -> Self {
        Self {
            times: Times {
                first: None,
                idle: None,
                total: None,
                keep_alive: None,
            },
            ends,
            began: None,
            event: None,
            sent: None,
            sooner: true,
            taken: false,
        }
    }

    /// The same, over at an instant that is set already.
    pub(super) fn ending(self, ends: Option<Instant>) -> Self {
        let ends = ends.or(self.ends);
        Self { ends, ..self }
    }

    /// An event came.
    pub(super) fn event(&mut self, now: Instant) {
        self.sooner |= self.event.is_none();
        self.event = Some(now);
    }

    /// An event came that is no chunk: no silence, but not the beginning of an answer either.
    pub(super) fn heard(&mut self, now: Instant) {
        if self.event.is_some() {
            self.event = Some(now);
        }
    }

    /// Something goes out.
    pub(super) fn sent(&mut self, now: Instant) {
        self.sooner |= self.sent.is_none();
        self.sent = Some(now);
    }

    /// Something is taken; when more is wanted is up to whoever takes it.
    pub(super) fn taken(&mut self) {
        self.taken = true;
    }

    /// More is waited for: whether nobody did since something was taken.
    pub(super) fn waits(&mut self) -> bool {
        std::mem::take(&mut self.taken)
    }

    /// Nobody has waited since something went out: the silence is only as long as it was then.
    pub(super) fn paused(&mut self, now: Instant) {
        let sent = self.sent.zip(self.event);
        let silence = sent.map(|(sent, event)| sent.saturating_duration_since(event));
        self.event(now.checked_sub(silence.unwrap_or_default()).unwrap_or(now));
    }

    /// Whether something may be due sooner than when this was asked before.
    pub(super) fn comes_sooner(&mut self) -> bool {
        std::mem::take(&mut self.sooner)
    }

    /// When the whole must be over, when an event must have come, when something must go out.
    fn deadlines(&self) -> [Option<Instant>; 3] {
        let after = |since: Option<Instant>, wait: Option<Duration>| since?.checked_add(wait?);
        let silent = match self.event {
            None => after(self.began, self.times.first),
            event => after(event, self.times.idle),
        };
        [self.ends, silent, after(self.sent, self.times.keep_alive)]
    }

    /// When something will be due, or was; `None`: never.
    pub(super) fn next(&self) -> Option<Instant> {
        self.deadlines().into_iter().flatten().min()
    }

    /// Whether the whole has taken too long.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }

    /// What is due.
    pub(super) fn due(&self, now: Instant) -> Due {
        let [total, silent, keep_alive] = self
            .deadlines()
            .map(|due| due.is_some_and(|due| due <= now));
        if total {
            Due::TooLong
        } else if silent && self.event.is_none() {
            Due::Silent
        } else if silent {
            Due::Stalled
        } else if keep_alive {
            Due::KeepAlive
        } else {
            Due::Later
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_when() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let ms = |ms| Some(Duration::from_millis(ms));
        let times = Times {
            first: ms(30),
            idle: ms(60),
            total: ms(200),
            keep_alive: ms(15),
        };
        let mut clock = Clock::new(times, start);
        assert_eq!((clock.due(at(0)), clock.next()), (Due::Later, Some(at(30))));
        assert_eq!(clock.due(at(30)), Due::Silent);
        clock.heard(at(10));
        assert_eq!(clock.due(at(30)), Due::Silent);
        clock.event(at(20));
        clock.sent(at(20));
        assert_eq!(
            (clock.due(at(30)), clock.next()),
            (Due::Later, Some(at(35)))
        );
        assert_eq!(clock.due(at(35)), Due::KeepAlive);
        clock.sent(at(79));
        assert_eq!(
            (clock.due(at(79)), clock.next()),
            (Due::Later, Some(at(80)))
        );
        assert_eq!(clock.due(at(80)), Due::Stalled);
        clock.heard(at(80));
        assert_eq!(clock.due(at(80)), Due::Later);
        clock.event(at(190));
        assert_eq!(clock.due(at(200)), Due::TooLong);
        let never = Times {
            first: None,
            idle: None,
            total: None,
            keep_alive: None,
        };
        assert_eq!(Clock::new(never, start).next(), None);
    }
}
