use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use crate::{
    error::Error,
    wire::{ServiceTier, Usage},
};

/// How an answer ended, as the layer that understands it saw.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The answer is whole.
    Complete,
    /// The answer broke off; the client was told so.
    Failed(Error),
}

/// What is known so far of one answer, shared between the body that reads it and whoever settles.
///
/// The writer is the innermost body that understands the answer; readers ask at the end. All of it
/// is `None` or zero until it has been seen.
#[derive(Clone, Default)]
pub struct Tally(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Whether the slow half holds anything; most frames of a stream change nothing there.
    touched: AtomicBool,
    slow: Mutex<Slow>,
    content_bytes: AtomicU64,
    events: AtomicU64,
    /// Events of the upstream's that gave nothing to relay.
    heard: AtomicU32,
    /// Nobody reads the answer for it yet.
    unread: AtomicBool,
}

#[derive(Default)]
struct Slow {
    usage: Option<Usage>,
    model: Option<Arc<str>>,
    tier: Option<ServiceTier>,
    outcome: Option<Outcome>,
}

impl Tally {
    /// A tally of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A tally of an answer that passes unread: whoever reads it, further out, fills the tally.
    #[must_use]
    pub fn unread() -> Self {
        let tally = Self::default();
        tally.0.unread.store(true, Ordering::Relaxed);
        tally
    }

    /// Whether the caller is the one to read the answer: nobody has and nobody else will.
    #[must_use]
    pub fn claim(&self) -> bool {
        self.0.unread.swap(false, Ordering::AcqRel)
    }

    /// Whether somebody reads the answer, so that nobody else will.
    pub(crate) fn is_read(&self) -> bool {
        !self.0.unread.load(Ordering::Acquire)
    }

    fn write(&self, change: impl FnOnce(&mut Slow)) {
        change(&mut self.0.slow.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.touched.store(true, Ordering::Release);
    }

    fn read<T>(&self, look: impl FnOnce(&Slow) -> Option<T>) -> Option<T> {
        if !self.0.touched.load(Ordering::Acquire) {
            return None;
        }
        look(&self.0.slow.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes the usage; a later one replaces it, as cumulative reports do.
    pub fn record_usage(&self, usage: Usage) {
        self.write(|slow| slow.usage = Some(usage));
    }

    /// Notes the usage unless there is one; whether there was none.
    pub(crate) fn record_first_usage(&self, usage: Usage) -> bool {
        let mut first = false;
        self.write(|slow| {
            first = slow.usage.is_none();
            slow.usage.get_or_insert(usage);
        });
        first
    }

    /// The usage last seen.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.read(|slow| slow.usage)
    }

    /// Notes the model that the provider says has answered.
    pub fn record_model(&self, model: impl Into<Arc<str>>) {
        let model = model.into();
        self.write(|slow| slow.model = Some(model));
    }

    /// Notes the model unless there is one.
    pub(crate) fn record_first_model(&self, model: &str) {
        self.write(|slow| {
            slow.model.get_or_insert_with(|| model.into());
        });
    }

    /// The model that the provider says has answered.
    #[must_use]
    pub fn model(&self) -> Option<Arc<str>> {
        self.read(|slow| slow.model.clone())
    }

    /// Notes at which tier the provider says it served the request.
    pub fn record_service_tier(&self, tier: ServiceTier) {
        self.write(|slow| slow.tier = Some(tier));
    }

    /// At which tier the provider says it served the request.
    #[must_use]
    pub fn service_tier(&self) -> Option<ServiceTier> {
        self.read(|slow| slow.tier)
    }

    /// Notes how the answer ended; only the first ending counts.
    pub fn end(&self, outcome: Outcome) {
        self.write(|slow| {
            slow.outcome.get_or_insert(outcome);
        });
    }

    /// How the answer ended; `None` while it runs, or when it was dropped.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.read(|slow| slow.outcome.clone())
    }

    /// Counts an event of a stream that carried `content_bytes` of generated text, arguments and
    /// reasoning. What an interrupted stream is charged by when no usage came.
    pub fn relayed(&self, content_bytes: u64) {
        self.relayed_all(1, content_bytes);
    }

    /// Counts so many events at once, and what they carried together.
    pub(crate) fn relayed_all(&self, events: u64, content_bytes: u64) {
        self.0.events.fetch_add(events, Ordering::Relaxed);
        self.0
            .content_bytes
            .fetch_add(content_bytes, Ordering::Relaxed);
    }

    /// Notes that the upstream has said something that gives nothing to relay, such as a `ping`: nothing
    /// of it goes out, but whoever times the silences of the stream outside is to know.
    pub(crate) fn hear(&self) {
        self.0.heard.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was so, which begins anew behind the largest number: it is to be compared.
    pub(crate) fn heard(&self) -> u32 {
        self.0.heard.load(Ordering::Relaxed)
    }

    /// Generated bytes relayed so far.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.0.content_bytes.load(Ordering::Relaxed)
    }

    /// Whether the counts that have come are of an earlier moment: the answer is not complete, and
    /// what has been relayed, at a token for every four bytes, is more than twice that many tokens.
    /// Providers that count as they go begin with a placeholder.
    #[must_use]
    pub fn outran(&self, output: u64) -> bool {
        // Seldom so, and then the ending decides.
        runs_ahead(self.content_bytes(), output) && self.seen().outran(output)
    }

    /// Events relayed so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.0.events.load(Ordering::Relaxed)
    }
}

/// All that a tally says at one moment, for who needs most of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) usage: Option<Usage>,
    pub(crate) model: Option<Arc<str>>,
    pub(crate) tier: Option<ServiceTier>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) content_bytes: u64,
}

impl Tally {
    /// What has been seen so far, looked at once.
    pub(crate) fn seen(&self) -> Seen {
        let content_bytes = self.content_bytes();
        let look = |slow: &Slow| {
            Some(Seen {
                usage: slow.usage,
                model: slow.model.clone(),
                tier: slow.tier,
                outcome: slow.outcome.clone(),
                content_bytes,
            })
        };
        self.read(look).unwrap_or(Seen {
            content_bytes,
            ..Seen::default()
        })
    }
}

impl Seen {
    /// As [`Tally::outran`].
    pub(crate) fn outran(&self, output: u64) -> bool {
        !matches!(self.outcome, Some(Outcome::Complete)) && runs_ahead(self.content_bytes, output)
    }
}

/// Whether so many generated bytes, at a token for every four of them, are more than twice as many
/// tokens as were counted.
const fn runs_ahead(content_bytes: u64, output: u64) -> bool {
    content_bytes.div_ceil(4) > output.saturating_mul(2)
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tally")
            .field("usage", &self.usage())
            .field("model", &self.model())
            .field("outcome", &self.outcome())
            .field("content_bytes", &self.content_bytes())
            .field("events", &self.events())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_usage_and_the_first_ending_count() {
        let tally = Tally::new();
        assert!(tally.usage().is_none() && tally.outcome().is_none());
        let shared = tally.clone();
        shared.record_usage(Usage::new(1, 1));
        shared.record_usage(Usage::new(1, 2));
        shared.end(Outcome::Complete);
        shared.end(Outcome::Failed(Error::new(
            crate::error::Kind::Internal,
            "late",
        )));
        shared.relayed(3);
        assert_eq!(tally.usage(), Some(Usage::new(1, 2)));
        assert!(matches!(tally.outcome(), Some(Outcome::Complete)));
        assert_eq!((tally.events(), tally.content_bytes()), (1, 3));
    }

    #[test]
    fn counts_of_an_earlier_moment_are_outrun() {
        let tally = Tally::new();
        tally.relayed(36);
        assert!(tally.outran(1) && tally.outran(4) && !tally.outran(5));
        tally.end(Outcome::Complete);
        assert!(!tally.outran(0), "zero is zero when all is said");
    }
}
