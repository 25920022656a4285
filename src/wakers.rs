//! Those who wait for one thing that any of them drives.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
};

/// All who wait for one answer, behind one waker.
#[derive(Default)]
pub(crate) struct Wakers(Mutex<Vec<Place>>);

#[derive(Default)]
enum Place {
    #[default]
    Free,
    /// Taken by somebody who does not wait now.
    Taken,
    Waiting(Waker),
}

impl Wakers {
    fn places(&self) -> MutexGuard<'_, Vec<Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more.
    pub(crate) fn enter(&self) -> usize {
        let mut places = self.places();
        let free = places.iter().position(|place| matches!(place, Place::Free));
        let at = free.unwrap_or_else(|| {
            places.push(Place::Free);
            places.len() - 1
        });
        places[at] = Place::Taken;
        at
    }

    /// Who has this place is to be woken, too, and no longer whom it was asked for before: what comes back
    /// is to be dropped where nothing is locked, as it may be the last of a task, which is dropped with it.
    #[must_use]
    pub(crate) fn wait(&self, at: usize, waker: &Waker) -> Option<Waker> {
        let mut places = self.places();
        if matches!(&places[at], Place::Waiting(own) if own.will_wake(waker)) {
            return None;
        }
        match mem::replace(&mut places[at], Place::Waiting(waker.clone())) {
            Place::Waiting(before) => Some(before),
            Place::Free | Place::Taken => None,
        }
    }

    /// It waits no more: what it waited for has come to it.
    pub(crate) fn go_on(&self, at: usize) {
        let _waker = mem::replace(&mut self.places()[at], Place::Taken);
    }

    /// Whoever comes next may have its place.
    pub(crate) fn leave(&self, at: usize) {
        let _waker = mem::replace(&mut self.places()[at], Place::Free);
    }

    /// Whether somebody is at the places just now.
    #[cfg(test)]
    pub(crate) fn is_held(&self) -> bool {
        self.0.try_lock().is_err()
    }

    #[cfg(test)]
    pub(crate) fn hold_up(&self) -> impl Sized + use<'_> {
        self.places()
    }

    pub(crate) fn wake_all(&self) {
        // Woken outside of the lock: a waker may do anything.
        let mut waiting = Vec::new();
        for place in self.places().iter_mut() {
            if matches!(place, Place::Waiting(_)) {
                if let Place::Waiting(waker) = mem::replace(place, Place::Taken) {
                    waiting.push(waker);
                }
            }
        }
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}
