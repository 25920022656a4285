//! How fast a target is.

use std::{sync::atomic::Ordering, time::Duration};

use super::{Millis, State};

/// How long an answer seen counts in full; for each time of this length the latency is halved.
const FADES: Millis = 10_000;

/// A latency, and when it was seen, as a number to compare with others' at any time.
///
/// A latency that is halved for each ten seconds of silence falls by the same part in the same time
/// whatever it is, so which of two is less does not change with time: the one whose logarithm, in
/// units of ten seconds, is less when the time that it was seen at is added.
pub(super) fn pace_of(micros: u64, seen: Millis) -> u64 {
    let micros = micros.max(1);
    let zeros = micros.leading_zeros();
    // In 1024ths; between powers of two as if the logarithm were straight.
    let fraction = ((micros << zeros) << 1) >> 54;
    let log = (u64::from(63 - zeros) << 10) + fraction;
    ((log * FADES) >> 10).saturating_add(seen)
}

impl State {
    /// A head after this long; one eighth of the difference is taken over, a slower one at once.
    pub(crate) fn took(&self, micros: u64, now: Millis) {
        let old = self.latency(now);
        let new = if micros > old {
            micros
        } else {
            old - (old - micros) / 8
        };
        self.saw(new, now);
        // Nineteen small steps down weigh as much as one up, so it settles where one in twenty is
        // slower.
        let slow = self.slow.load(Ordering::Relaxed);
        let step = slow / 256 + 1;
        let slow = match micros {
            _ if slow == 0 => micros,
            slower if slower > slow => slow + 19 * step,
            _ => slow.saturating_sub(step),
        };
        self.slow.store(slow, Ordering::Relaxed);
    }

    /// No head after this long, and then it was no longer waited for: it takes at least so long, which
    /// tells nothing of one that is slower as a rule.
    pub(crate) fn was_waited_for(&self, micros: u64, now: Millis) {
        if micros > self.latency(now) {
            self.saw(micros, now);
        }
        let slow = self.slow.load(Ordering::Relaxed);
        if slow > 0 && micros > slow {
            self.slow
                .store(slow + 19 * (slow / 256 + 1), Ordering::Relaxed);
        }
    }

    /// Whether it has kept those who wait for longer than it takes as a rule: it takes at least so long, then,
    /// and that is noted.
    #[inline]
    pub(crate) fn hangs(&self, now: Millis) -> bool {
        match self.silence.length(now) {
            0 => false,
            silence => self.hangs_for(silence, now),
        }
    }

    #[cold]
    fn hangs_for(&self, silence: Millis, now: Millis) -> bool {
        let micros = silence.saturating_mul(1_000);
        let longer = micros > self.latency(now);
        if longer {
            self.saw(micros, now);
        }
        longer
    }

    /// A failure counts as an answer that took at least a second and twice as long as before.
    pub(crate) fn failed(&self, now: Millis) {
        let worse = self.latency(now).saturating_mul(2);
        let worse = worse.clamp(1_000_000, 60_000_000);
        self.saw(worse, now);
    }

    fn saw(&self, latency: u64, now: Millis) {
        self.latency.store(latency, Ordering::Relaxed);
        self.seen.store(now, Ordering::Relaxed);
        self.pace.store(pace_of(latency, now), Ordering::Relaxed);
    }

    /// How it compares with others in time to a head, less being better; 0 before the first.
    pub(crate) fn pace(&self) -> u64 {
        self.pace.load(Ordering::Relaxed)
    }

    /// The smoothed time to a head in microseconds; it fades while nothing is heard.
    #[inline]
    pub(crate) fn latency(&self, now: Millis) -> u64 {
        let latency = self.latency.load(Ordering::Relaxed);
        let silent = now.saturating_sub(self.seen.load(Ordering::Relaxed));
        if silent < FADES {
            return latency;
        }
        latency >> (silent / FADES).min(63)
    }

    /// The time to a head that one answer in twenty exceeds; none before the first.
    pub(crate) fn slow(&self) -> Option<Duration> {
        let micros = self.slow.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros))
    }
}
