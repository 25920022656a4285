//! The table under a model of its locks: every order of steps of two threads, up to two
//! interruptions of each, and not just those that a machine happens to take.

mod sync {
    pub(super) use loom::sync::{
        Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic,
    };
    pub(super) use std::sync::PoisonError;
}

#[expect(clippy::duplicate_mod, reason = "the same file over other locks")]
#[path = "../table.rs"]
mod table;

use foldhash::quality::FixedState;
use loom::{sync::Arc, thread};

use self::table::{Act, Table, in_order, visit};
use super::Key;

/// What is taken of one key.
#[derive(Default)]
struct Taken(u32);

type Modelled = Table<Taken, FixedState>;

fn model(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(run);
}

fn name() -> std::sync::Arc<str> {
    "key".into()
}

fn entry(table: &Modelled, key: &str) -> Arc<table::Entry<Taken>> {
    let (rule, key) = (name(), Key::new(key));
    table
        .get(&rule, &key)
        .or_else(|| table.insert(&rule, &key, usize::MAX))
        .expect("there is no end")
}

/// Takes one of each, or of none.
struct One {
    fits: bool,
}

impl Act<Taken, ()> for One {
    fn check(&mut self, state: &mut Taken, (): &mut ()) {
        self.fits &= state.0 < 2;
    }

    fn conclude(&mut self, state: &mut Taken) {
        state.0 += u32::from(self.fits);
    }
}

/// One of each key, unless one of them has two taken already; the entries while it is held.
fn take(table: &Modelled, keys: [&str; 2]) -> Option<[Arc<table::Entry<Taken>>; 2]> {
    let mut targets = keys.map(|key| (entry(table, key), ()));
    in_order(&mut targets);
    let mut one = One { fits: true };
    visit(&mut targets, &mut one);
    one.fits.then(|| targets.map(|(entry, ())| entry))
}

fn taken(table: &Modelled, key: &str) -> u32 {
    table
        .get("key", &Key::new(key))
        .map_or(0, |entry| entry.lock().0)
}

#[test]
fn all_or_nothing_in_whatever_order_the_keys_are_named() {
    model(|| {
        let table = Arc::new(Modelled::new(1, FixedState::default()));
        let first = take(&table, ["a", "b"]).expect("nothing is taken");
        let other = {
            let table = Arc::clone(&table);
            thread::spawn(move || take(&table, ["b", "a"]).is_some())
        };
        let own = take(&table, ["a", "b"]).is_some();
        let other = other.join().expect("no panic");
        assert!(own ^ other, "one of the two fits");
        assert_eq!((taken(&table, "a"), taken(&table, "b")), (2, 2));
        for entry in first {
            entry.lock().0 -= 1;
        }
        assert_eq!((taken(&table, "a"), taken(&table, "b")), (1, 1));
    });
}

#[test]
fn a_sweep_forgets_nothing_that_anybody_has_taken_or_is_about_to() {
    model(|| {
        let table = Arc::new(Modelled::new(1, FixedState::default()));
        drop(entry(&table, "a"));
        let sweeper = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.sweep(|state| state.0 == 0))
        };
        let held = take(&table, ["a", "b"]).expect("nothing is taken");
        sweeper.join().expect("no panic");
        assert_eq!((taken(&table, "a"), taken(&table, "b")), (1, 1));
        assert_eq!(table.len(), 2);
        drop(held);
    });
}

#[test]
fn there_are_never_more_entries_than_there_may_be() {
    model(|| {
        let table = Arc::new(Modelled::new(2, FixedState::default()));
        let insert = |table: &Modelled, key| table.insert(&name(), &Key::new(key), 1).is_some();
        let other = {
            let table = Arc::clone(&table);
            thread::spawn(move || insert(&table, "a"))
        };
        let own = insert(&table, "b");
        let other = other.join().expect("no panic");
        assert!(own ^ other, "room for one");
        assert_eq!(table.len(), 1);
    });
}
