use std::{
    fmt,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use super::{
    Ask, Decision, Demand, Hold, Key, Report, Store, Weights,
    cell::Now,
    few::Few,
    state::State,
    table::{self, Act, visit},
    verdict::Verdict,
};
use crate::{
    error::Error,
    time::{DefaultTimer, Reading, Timer, lately, wall},
};
use foldhash::quality::RandomState;

/// How many keys are kept at most, unless said otherwise.
const CAPACITY: usize = 65_536;

/// In how many parts, each under a lock of its own.
const SHARDS: usize = 64;

type Entry = table::Entry<State>;

/// An entry that was taken from, and the generation of its limits then.
type Held = (Arc<Entry>, u32);

/// What an entry is asked for in a decision.
struct Mark<'a> {
    demand: &'a Demand,
    /// Of the state's limits, when it was taken from.
    generation: u32,
}

impl<'a> Mark<'a> {
    const fn new(demand: &'a Demand) -> Self {
        let generation = 0;
        Self { demand, generation }
    }
}

fn held((entry, mark): (Arc<Entry>, Mark<'_>)) -> Held {
    (entry, mark.generation)
}

/// Limits counted in this process.
///
/// A clone is the same store. It keeps at most 65 536 keys, some 300 bytes each, and forgets those
/// that have used nothing lately; when it is full of keys in use, further keys of a rule share one
/// count until there is room.
#[derive(Clone)]
pub struct Memory<T = DefaultTimer>(Arc<Shared<T>>);

struct Shared<T> {
    entries: table::Table<State, RandomState>,
    capacity: usize,
    /// Nanoseconds of the last sweep.
    swept: AtomicU64,
    timer: T,
    epoch: Instant,
    wall: Reading<SystemTime>,
}

impl Memory {
    /// An empty store on the default timer's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_timer(DefaultTimer::default())
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Timer> Memory<T> {
    /// An empty store on a clock of your own.
    pub fn with_timer(timer: T) -> Self {
        Self::make(timer, CAPACITY, Reading::new(wall))
    }

    /// How many keys are kept at most. Default: 65 536. What is returned is an empty store: clones of
    /// the one before go on as they are, and count apart.
    #[must_use]
    pub fn capacity(self, keys: usize) -> Self {
        Self::make(self.0.timer.clone(), keys, self.0.wall.clone())
    }

    /// Where the time of day comes from, for limits by the calendar. Default: the system's clock. What
    /// is returned is an empty store: clones of the one before go on as they are, and count apart.
    #[must_use]
    pub fn wall_clock(self, wall: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self::make(self.0.timer.clone(), self.0.capacity, Reading::new(wall))
    }

    fn make(timer: T, capacity: usize, wall: Reading<SystemTime>) -> Self {
        let epoch = timer.now();
        Self(Arc::new(Shared {
            entries: table::Table::new(SHARDS, RandomState::default()),
            capacity,
            swept: AtomicU64::new(0),
            timer,
            epoch,
            wall,
        }))
    }

    /// How many keys are kept now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Whether no key is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets every key that has used nothing lately. Done by itself when the store is full.
    pub fn sweep(&self) {
        let now = self.0.now(true);
        self.0.sweep(now);
    }

    /// Decides at once.
    pub fn decide(&self, ask: &Ask) -> Decision<MemoryHold<T>> {
        self.0.decide(ask, &self.0)
    }
}

impl<T> fmt::Debug for Memory<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("capacity", &self.0.capacity)
            .finish_non_exhaustive()
    }
}

impl<T: Timer> Store for Memory<T> {
    type Hold = MemoryHold<T>;
    type Take = Ready<Result<Decision<MemoryHold<T>>, Error>>;

    fn take(&self, ask: Ask) -> Self::Take {
        ready(Ok(self.decide(&ask)))
    }

    fn take_now(&self, ask: &Ask) -> Option<Result<Decision<MemoryHold<T>>, Error>> {
        Some(Ok(self.decide(ask)))
    }
}

/// One decision on its way through the entries.
struct Round<'a> {
    ask: &'a Ask,
    now: Now,
    /// When it counts as taken: not before any of the days it was taken from.
    since: Now,
    verdict: Verdict,
    report: &'a mut Report,
}

impl Act<State, Mark<'_>> for Round<'_> {
    #[inline]
    fn check(&mut self, state: &mut State, mark: &mut Mark<'_>) {
        state.adapt(&mark.demand.limits, self.now);
        mark.generation = state.generation();
        if !self.ask.peek {
            state.check(mark.demand, &self.ask.weights, self.now, &mut self.verdict);
            if self.now.unix != 0 {
                self.since.unix = self.since.unix.max(state.latest_day());
            }
        }
    }

    /// Takes from all of them, or from none.
    #[inline]
    fn conclude(&mut self, state: &mut State) {
        let take = !self.ask.peek && self.verdict.is_admitted();
        state.conclude(take, &self.ask.weights, self.now, self.report);
    }
}

impl<T: Timer> Shared<T> {
    fn now(&self, calendar: bool) -> Now {
        let steady = lately(&self.timer).saturating_duration_since(self.epoch);
        let unix = if calendar {
            let since = self.wall.now().duration_since(SystemTime::UNIX_EPOCH);
            i64::try_from(since.unwrap_or(Duration::ZERO).as_nanos()).unwrap_or(i64::MAX)
        } else {
            0
        };
        let nanos = steady.as_secs().saturating_mul(1_000_000_000);
        Now {
            // Far from the end, where the sums of cells are.
            steady: nanos
                .saturating_add(steady.subsec_nanos().into())
                .min(u64::MAX / 2),
            unix,
        }
    }

    #[inline]
    fn decide(&self, ask: &Ask, shared: &Arc<Self>) -> Decision<MemoryHold<T>> {
        let calendar = ask.demands.iter().any(|demand| demand.limits.by_calendar());
        let now = self.now(calendar);
        let mut report = Report::default();
        let mut round = Round {
            ask,
            now,
            since: now,
            verdict: Verdict::default(),
            report: &mut report,
        };
        let held = match &*ask.demands {
            [] => Few::None,
            [one] => {
                let mut target = (self.entry(one, now), Mark::new(one));
                visit(std::slice::from_mut(&mut target), &mut round);
                Few::One(held(target))
            }
            _ => self.visit_several(&mut round),
        };
        let (verdict, since) = (round.verdict, round.since);
        if !verdict.is_admitted() {
            return Decision::Refused(verdict.refusal(report));
        }
        let hold = MemoryHold {
            held: if ask.peek { Few::None } else { held },
            reserved: ask.weights,
            since,
            store: Arc::clone(shared),
        };
        Decision::Admitted(hold, report)
    }

    /// Visits the entries of all demands, each once.
    #[inline(never)]
    fn visit_several(&self, round: &mut Round<'_>) -> Few<Held> {
        let mut targets = Few::<(Arc<Entry>, Mark<'_>)>::default();
        for demand in &*round.ask.demands {
            let entry = self.entry(demand, round.now);
            if !targets.iter().any(|(other, _)| Arc::ptr_eq(other, &entry)) {
                targets.push((entry, Mark::new(demand)));
            }
        }
        table::in_order(&mut targets);
        visit(&mut targets, round);
        targets.into_iter().map(held).collect()
    }

    // Where it is asked for: a call costs a tenth of it.
    #[inline(always)]
    fn entry(&self, demand: &Demand, now: Now) -> Arc<Entry> {
        if let Some(entry) = self.entries.get(&demand.rule, &demand.key) {
            return entry;
        }
        self.new_entry(demand, now)
    }

    #[cold]
    fn new_entry(&self, demand: &Demand, now: Now) -> Arc<Entry> {
        let insert = |key: &Key, most| self.entries.insert(&demand.rule, key, most);
        if let Some(entry) = insert(&demand.key, self.capacity) {
            return entry;
        }
        self.make_room(now);
        insert(&demand.key, self.capacity)
            .unwrap_or_else(|| insert(&Key::others(), usize::MAX).expect("there is no end"))
    }

    /// Sweeps, unless that was done within the last second.
    fn make_room(&self, now: Now) {
        let swept = self.swept.load(Ordering::Relaxed);
        let due = swept == 0 || now.steady.saturating_sub(swept) >= 1_000_000_000;
        let claimed = due
            && self
                .swept
                .compare_exchange(
                    swept,
                    now.steady.max(1),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok();
        if claimed {
            self.sweep(self.now(true));
        }
    }

    fn sweep(&self, now: Now) {
        self.entries.sweep(|state| state.is_idle(now));
    }
}

/// What one request has taken from a [`Memory`].
pub struct MemoryHold<T: Timer = DefaultTimer> {
    held: Few<Held>,
    reserved: Weights,
    since: Now,
    store: Arc<Shared<T>>,
}

impl<T: Timer> MemoryHold<T> {
    fn end(&mut self, actual: &Weights) {
        // A request is given back or not, whenever that is; all else flows.
        let now = if self.since.unix == 0 && !self.reserved.flows() {
            self.since
        } else {
            self.store.now(self.since.unix != 0)
        };
        for (entry, generation) in self.held.iter() {
            let (since, reserved) = (self.since, &self.reserved);
            let mut state = entry.lock();
            state.settle(*generation, reserved, actual, since, now);
        }
        self.held = Few::None;
    }
}

impl<T: Timer> Hold for MemoryHold<T> {
    fn settle(mut self, actual: &Weights) {
        self.end(actual);
    }
}

impl<T: Timer> Drop for MemoryHold<T> {
    fn drop(&mut self) {
        if !self.held.is_empty() {
            self.end(&super::nothing());
        }
    }
}

impl<T: Timer> fmt::Debug for MemoryHold<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryHold")
            .field("reserved", &self.reserved)
            .finish_non_exhaustive()
    }
}
