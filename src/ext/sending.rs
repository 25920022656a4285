use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use http::Extensions;

/// Whether an upstream may have got a request, for whoever settles by it when the client leaves before
/// there is an answer: what was never sent costs nothing.
///
/// Put into the request by `TokenLimit` and `Cost`, where they hold something for it. Who keeps a request
/// waiting says so ([`waits`](Self::waits)), and takes it back ([`goes_on`](Self::goes_on)) before the
/// service inside is called; who sends it says that ([`begins`](Self::begins)). The router, the providers and
/// their client do, and so do the caches and limits here. Without a word from inside a request counts as sent
/// once the service inside has been polled.
///
/// ```
/// use tower_completions::Sending;
///
/// # let mut request = http::Request::new(());
/// # request.extensions_mut().insert(Sending::new());
/// let sending = request.extensions().get::<Sending>();
/// if let Some(sending) = sending {
///     sending.waits();
/// }
/// // So long as the request stands in a line of one's own, a client that leaves pays nothing. Then:
/// if let Some(sending) = sending {
///     sending.goes_on();
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sending(Arc<Node>);

/// What is said of a request, and of its parts where it is sent several times.
#[derive(Debug, Default)]
struct Node {
    word: Word,
    /// The request that it is a part of, and the age of that when the part was made.
    within: Option<(Sending, u32)>,
}

/// What was said of the request itself in the two lowest bits, above them its age, and above that how many calls
/// its parts have under way.
type Word = AtomicU32;

/// Nobody has said anything.
const UNSAID: u32 = 0;
const WAITS: u32 = 1;
/// It stays so, whoever else waits with the same request.
const SENT: u32 = 2;
const SAID: u32 = 0b11;
/// Counts the failures: what parts that were made before the last one say no longer counts.
const AGE: u32 = 0xfff << 2;
const YEAR: u32 = 1 << 2;
const PART: u32 = 1 << 14;

/// Whether anybody upstream may have it.
const fn is_out(word: u32) -> bool {
    word & SAID != WAITS || word >= PART
}

/// With how many calls it is out: those of its parts, and without any the one of its own.
const fn calls(word: u32) -> u32 {
    match word / PART {
        0 => is_out(word) as u32,
        parts => parts,
    }
}

impl Sending {
    /// Of a request of which nothing has been said.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// That of a request, which is given one if it has none.
    pub(crate) fn of(extensions: &mut Extensions) -> Self {
        extensions.get_or_insert_default::<Self>().clone()
    }

    /// That of one of several requests that are sent in this one's place, which waits. This one does, so long as
    /// all of them do.
    pub(crate) fn part(&self) -> Self {
        self.waits();
        let age = self.0.word.load(Ordering::Relaxed) & AGE;
        Self(Arc::new(Node {
            word: Word::new(WAITS),
            within: Some((self.clone(), age)),
        }))
    }

    /// The request waits here: unless it has been sent before, no upstream has got it.
    pub fn waits(&self) {
        self.turn(UNSAID, WAITS);
    }

    /// It has waited, and goes to the service inside, which speaks for itself from now on.
    pub fn goes_on(&self) {
        self.turn(WAITS, UNSAID);
    }

    /// It is sent now.
    pub fn begins(&self) {
        self.change(|word| word & !SAID | SENT);
    }

    /// All who have got it have refused it or failed: nobody has it any more.
    pub(crate) fn has_failed(&self) {
        self.change(|word| (word & AGE).wrapping_add(YEAR) & AGE | WAITS);
    }

    /// Whether it waits somewhere, and no upstream has got it.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !is_out(self.0.word.load(Ordering::Relaxed))
    }

    /// How many upstreams may have got it or a part of it: one at least, and at most as many as there are answers
    /// asked for, however many were tried for each.
    pub(crate) fn calls(&self, answers: u32) -> u32 {
        let out = calls(self.0.word.load(Ordering::Relaxed));
        out.clamp(1, answers.max(1))
    }

    /// It waits, and another has been sent in its place: as often as that one.
    pub(super) fn is_sent_as(&self, other: &Self) {
        let calls = calls(other.0.word.load(Ordering::Relaxed));
        self.change(|word| match word & SAID == WAITS {
            true => word & AGE | UNSAID | calls.wrapping_mul(PART),
            false => word,
        });
    }

    /// Sends a request by a call: who is called may know better when it goes out, and else it does so now.
    pub(crate) fn sends<T>(this: Option<&Self>, call: impl FnOnce() -> T) -> T {
        let Some(this) = this else {
            return call();
        };
        this.goes_on();
        let called = call();
        this.turn(UNSAID, SENT);
        called
    }

    fn turn(&self, from: u32, to: u32) {
        // Nearly every second turn is none, and to look is no more than a read.
        self.change(|word| match word & SAID == from {
            true => word & !SAID | to,
            false => word,
        });
    }

    fn change(&self, to: impl Fn(u32) -> u32) {
        let Node { word, within } = &*self.0;
        let mut old = word.load(Ordering::Relaxed);
        loop {
            let new = to(old);
            if new == old {
                return;
            }
            match word.compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed) {
                Err(other) => old = other,
                Ok(_) => {
                    let more = calls(new).wrapping_sub(calls(old));
                    if let Some((within, age)) = within.as_ref().filter(|_| more != 0) {
                        within.count(*age, more);
                    }
                    return;
                }
            }
        }
    }

    /// One of its parts is out with so many calls more, or fewer where that wraps. Two who say so at once may be
    /// heard in the wrong order, and the number be below none for a moment: out, as it is in that moment.
    fn count(&self, age: u32, more: u32) {
        self.change(|word| match word & AGE == age {
            true => word.wrapping_add(more.wrapping_mul(PART)),
            false => word,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_not_taken_back_by_another_that_waits() {
        let sending = Sending::new();
        assert!(!sending.is_waiting());
        sending.waits();
        assert!(sending.is_waiting());
        sending.goes_on();
        assert!(!sending.is_waiting());
        sending.begins();
        sending.waits();
        assert!(!sending.is_waiting());
        sending.has_failed();
        assert!(sending.is_waiting());
    }

    #[test]
    fn who_is_called_and_says_nothing_has_sent_it() {
        let sending = Sending::new();
        sending.waits();
        Sending::sends(Some(&sending), || sending.waits());
        assert!(sending.is_waiting());
        Sending::sends(Some(&sending), || {});
        sending.waits();
        assert!(!sending.is_waiting());
    }

    #[test]
    fn a_request_waits_so_long_as_all_its_parts_do() {
        let whole = Sending::new();
        let parts = [whole.part(), whole.part()];
        assert!(whole.is_waiting());
        for _ in 0..5_000 {
            parts[0].begins();
            assert!(!whole.is_waiting());
            Sending::sends(Some(&parts[1]), || {});
            parts[0].has_failed();
            assert!(!whole.is_waiting());
            parts[1].has_failed();
            assert!(whole.is_waiting());
        }
        // Of a part's own parts.
        let inner = parts[0].part();
        inner.begins();
        assert!(!whole.is_waiting() && !parts[0].is_waiting());
        parts[1].has_failed();
        assert!(!whole.is_waiting());
        parts[0].has_failed();
        assert!(whole.is_waiting());
    }

    #[test]
    fn what_is_said_of_a_part_counts_no_more_once_the_whole_has_failed() {
        let whole = Sending::new();
        let (early, late) = (whole.part(), whole.part());
        early.begins();
        whole.has_failed();
        assert!(whole.is_waiting());
        early.has_failed();
        late.begins();
        assert!(whole.is_waiting());
        let again = whole.part();
        again.begins();
        assert!(!whole.is_waiting());
        again.has_failed();
        assert!(whole.is_waiting());
    }

    #[test]
    fn parts_of_a_part_are_as_many_calls() {
        let whole = Sending::new();
        let attempt = whole.part();
        let parts = [attempt.part(), attempt.part(), attempt.part()];
        for (nth, part) in (1..).zip(&parts) {
            part.begins();
            assert_eq!((attempt.calls(3), whole.calls(3)), (nth, nth));
        }
        // A rival with the same three is no call beside them.
        let rival = whole.part();
        rival.part().begins();
        assert_eq!(whole.calls(3), 3);
        rival.has_failed();
        parts[1].has_failed();
        assert_eq!(whole.calls(3), 2);
        attempt.has_failed();
        assert!(whole.is_waiting());
        attempt.begins();
        assert_eq!(whole.calls(3), 1);
    }
}
