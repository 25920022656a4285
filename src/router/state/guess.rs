//! The rest of a target, or of one of its keys, that was refused as too busy and not told for how long.
//!
//! It is a guess, and so it only says who is asked first: where nobody else is left the one whose rest ends
//! first is asked in spite of it.

use std::sync::atomic::Ordering;

use super::{Millis, Nth, State};

/// The first rest, and how long the others keep away from one that is being tried anew.
const FIRST: Millis = 1_000;
const LONGEST: Millis = 30_000;

/// A plain machine that is told the time. Without a length there is no rest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Guess {
    /// When it was last refused.
    since: Millis,
    until: Millis,
    length: Millis,
    /// Until when the others wait for one that was sent to see whether it serves again.
    tried: Millis,
}

impl Guess {
    pub(super) fn ends(&self) -> Millis {
        self.until.max(self.tried)
    }

    fn is_any(&self) -> bool {
        self.length > 0
    }

    /// One that was sent at `sent` was refused. The rest doubles each time that the first one after it is.
    fn refused(&mut self, sent: Millis, now: Millis, random: u64) {
        // What was under way when it began says nothing new.
        if self.is_any() && sent <= self.since {
            return;
        }
        let length = match self.length {
            0 => FIRST,
            // Asked in spite of it.
            length if sent < self.until => length,
            _ if sent - self.until > LONGEST => FIRST,
            length => (2 * length).min(LONGEST),
        };
        // Up to a quarter less, so that those who began it together do not end it together.
        let until = now.saturating_add(length - random % (length / 4));
        *self = Self {
            since: now,
            until,
            length,
            tried: 0,
        };
    }

    /// One is sent now: it tries it for the others when the rest is over.
    fn sends(&mut self, now: Millis) {
        if self.is_any() && self.ends() <= now {
            self.tried = now.saturating_add(FIRST);
        }
    }

    /// One that was sent since it was refused is served: it is forgotten.
    fn served(&mut self, sent: Millis) {
        if sent > self.since {
            *self = Self::default();
        }
    }
}

impl State {
    /// Whoever was sent at `sent` with this key was told that there were too many requests, and no more.
    pub(crate) fn rest_unsaid(&self, key: Option<Nth>, sent: Millis, now: Millis, random: u64) {
        let mut inner = self.lock();
        let key = usize::from(key.unwrap_or(0));
        if inner.guesses.len() <= key {
            inner.guesses.resize(key + 1, Guess::default());
        }
        inner.guesses[key].refused(sent, now, random);
        let until = inner.guesses[key].ends();
        self.resting.fetch_max(until, Ordering::Relaxed);
        self.guesses.store(true, Ordering::Relaxed);
    }

    /// A request is sent with this key.
    #[inline]
    pub(crate) fn sends(&self, key: Option<Nth>, now: Millis) {
        if self.guesses.load(Ordering::Relaxed) {
            self.tries(key, now);
        }
    }

    #[cold]
    fn tries(&self, key: Option<Nth>, now: Millis) {
        let mut inner = self.lock();
        if let Some(guess) = inner.guesses.get_mut(usize::from(key.unwrap_or(0))) {
            guess.sends(now);
            let until = guess.ends();
            self.resting.fetch_max(until, Ordering::Relaxed);
        }
    }

    /// One that was sent at `sent` with this key is served.
    #[inline]
    pub(crate) fn serves(&self, key: Option<Nth>, sent: Millis) {
        if self.guesses.load(Ordering::Relaxed) {
            self.forget(key, sent);
        }
    }

    #[cold]
    fn forget(&self, key: Option<Nth>, sent: Millis) {
        let mut inner = self.lock();
        if let Some(guess) = inner.guesses.get_mut(usize::from(key.unwrap_or(0))) {
            guess.served(sent);
        }
        let guesses = inner.guesses.iter().map(Guess::ends);
        let last = guesses.chain(inner.rests.iter().copied()).max();
        self.resting.store(last.unwrap_or(0), Ordering::Relaxed);
        let any = inner.guesses.iter().any(Guess::is_any);
        self.guesses.store(any, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::{keys::Keys, state::Can};

    /// Refused at `sent`, and at once: the rest that follows.
    fn rest(guess: &mut Guess, sent: Millis) -> Millis {
        guess.refused(sent, sent, 0);
        guess.ends() - sent
    }

    #[test]
    fn it_doubles_while_it_goes_on_and_not_for_what_was_under_way() {
        let (mut guess, mut now, mut rests) = (Guess::default(), 1_000, Vec::new());
        for _ in 0..7 {
            let length = rest(&mut guess, now);
            rests.push(length);
            // Sent before it was known.
            guess.refused(now, now + 500, 0);
            guess.refused(now - 900, now + 700, 0);
            assert_eq!(guess.ends(), now + length);
            now += length;
        }
        assert_eq!(rests, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        // Not asked for long: nobody knows.
        assert_eq!(rest(&mut guess, now + LONGEST + 1), FIRST);
    }

    #[test]
    fn asked_in_spite_of_it_it_begins_anew_and_is_no_longer() {
        let mut guess = Guess::default();
        assert_eq!(rest(&mut guess, 0), 1_000);
        assert_eq!(rest(&mut guess, 600), 1_000);
        assert_eq!(rest(&mut guess, 1_599), 1_000);
        assert_eq!(rest(&mut guess, 2_599), 2_000);
    }

    #[test]
    fn the_first_that_is_served_ends_it_and_none_that_was_sent_before() {
        let mut guess = Guess::default();
        rest(&mut guess, 100);
        guess.served(100);
        assert_eq!(guess.ends(), 1_100);
        guess.served(101);
        assert!(!guess.is_any() && guess.ends() == 0);
    }

    #[test]
    fn a_quarter_at_most_is_left_to_chance() {
        for random in [0, 1, 249, 250, u64::MAX] {
            let mut guess = Guess::default();
            guess.refused(0, 0, random);
            assert!((751..=1_000).contains(&guess.ends()), "{random}");
        }
    }

    #[test]
    fn one_at_a_time_tries_whether_it_is_over() {
        let (state, keys) = (State::default(), Keys::default());
        let can = |now| state.can(now, 9, &keys, 0);
        state.rest_unsaid(None, 0, 0, 0);
        let Can::Unsure(until, None) = can(0) else {
            panic!("{:?}", can(0));
        };
        assert_eq!(can(until), Can::Yes(None));
        state.sends(None, until);
        assert_eq!(can(until), Can::Unsure(until + FIRST, None));
        // Nothing is heard of that one: another.
        assert_eq!(can(until + FIRST), Can::Yes(None));
        state.sends(None, until + FIRST);
        state.serves(None, until + FIRST);
        assert_eq!(can(until + FIRST), Can::Yes(None));
        assert_eq!(state.resting_until(until + FIRST), None);
    }

    #[test]
    fn a_key_that_rests_by_guess_is_the_last_of_those_that_may_be_asked() {
        let (state, keys) = (State::default(), Keys::new(2));
        state.rest_unsaid(Some(0), 0, 0, 0);
        for _ in 0..3 {
            assert_eq!(state.can(10, 9, &keys, 0), Can::Yes(Some(1)));
        }
        keys.bury(Some(1), 9_000);
        for _ in 0..3 {
            let can = state.can(10, 9, &keys, 0);
            assert!(matches!(can, Can::Unsure(_, Some(0))), "{can:?}");
        }
        // Of two the one that is free first.
        keys.revive(Some(1));
        state.rest_unsaid(Some(1), 400, 400, 0);
        let can = state.can(500, 9, &keys, 0);
        assert!(matches!(can, Can::Unsure(_, Some(0))), "{can:?}");
        // What was said counts for more than what is guessed, and stays when that is forgotten.
        state.rest(Some(0), 60_000);
        state.serves(Some(1), 600);
        assert_eq!(state.can(600, 9, &keys, 0), Can::Yes(Some(1)));
        assert_eq!(state.can(600, 9, &keys, 0b10), Can::Resting(60_000));
    }
}
