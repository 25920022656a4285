use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
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
pub struct Sending(Arc<AtomicU8>);

/// Nobody has said anything.
const UNSAID: u8 = 0;
const WAITS: u8 = 1;
/// It stays so, whoever else waits with the same request.
const SENT: u8 = 2;

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
        self.0.store(SENT, Ordering::Relaxed);
    }

    /// All who have got it have refused it or failed: nobody has it any more.
    pub(crate) fn has_failed(&self) {
        self.turn(SENT, WAITS);
    }

    /// Whether it waits somewhere, and no upstream has got it.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.0.load(Ordering::Relaxed) == WAITS
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

    fn turn(&self, from: u8, to: u8) {
        let order = Ordering::Relaxed;
        // Nearly every second turn is none, and to look is no more than a read.
        if self.0.load(order) == from {
            let _ = self.0.compare_exchange(from, to, order, order);
        }
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
}
