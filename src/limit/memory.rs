use std::{
    borrow::Borrow,
    fmt,
    future::{Ready, ready},
    hash::{Hash, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use dashmap::DashMap;
use foldhash::quality::RandomState;
use smallvec::SmallVec;

use super::{
    Ask, Decision, Demand, Hold, Key, Limits, Report, Retry, Slots, Store, Weights, Window,
    cell::{Cell, Now},
    gcra::Wait,
    verdict::Verdict,
};
use crate::{
    error::Error,
    time::{DefaultTimer, Timer},
};

/// How many keys are kept at most, unless said otherwise.
const CAPACITY: usize = 65_536;

/// Limits counted in this process.
///
/// A clone is the same store. It keeps at most 65 536 keys, some 300 bytes each, and forgets those
/// that have used nothing lately; when it is full of keys in use, further keys of a rule share one
/// count until there is room.
#[derive(Clone)]
pub struct Memory<T = DefaultTimer>(Arc<Shared<T>>);

struct Shared<T> {
    entries: DashMap<Place, Arc<Entry>, RandomState>,
    capacity: usize,
    /// Nanoseconds of the last sweep.
    swept: AtomicU64,
    timer: T,
    epoch: Instant,
    wall: Box<dyn Fn() -> SystemTime + Send + Sync>,
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
        let epoch = timer.now();
        Self(Arc::new(Shared {
            entries: DashMap::default(),
            capacity: CAPACITY,
            swept: AtomicU64::new(0),
            timer,
            epoch,
            wall: Box::new(SystemTime::now),
        }))
    }

    /// How many keys are kept at most. Default: 65 536. Empties the store: for its making only.
    #[must_use]
    pub fn capacity(self, keys: usize) -> Self {
        self.rebuild(|shared| shared.capacity = keys)
    }

    /// Where the time of day comes from, for limits by the calendar. Default: the system's clock.
    /// Empties the store: for its making only.
    #[must_use]
    pub fn wall_clock(self, wall: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.rebuild(|shared| shared.wall = Box::new(wall))
    }

    fn rebuild(self, change: impl FnOnce(&mut Shared<T>)) -> Self {
        let mut shared = Arc::into_inner(self.0).expect("configured before it is shared");
        change(&mut shared);
        Self(Arc::new(shared))
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
}

/// A rule's name and a key under it.
type Place = (Arc<str>, Key);

/// A place looked up without a clone of it.
trait Pair {
    fn pair(&self) -> (&str, &Key);
}

impl Pair for Place {
    fn pair(&self) -> (&str, &Key) {
        (&self.0, &self.1)
    }
}

impl Pair for Demand {
    fn pair(&self) -> (&str, &Key) {
        (&self.rule, &self.key)
    }
}

impl<'a> Borrow<dyn Pair + 'a> for Place {
    fn borrow(&self) -> &(dyn Pair + 'a) {
        self
    }
}

impl Hash for dyn Pair + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pair().hash(state);
    }
}

impl PartialEq for dyn Pair + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.pair() == other.pair()
    }
}

impl Eq for dyn Pair + '_ {}

type Entries = SmallVec<[Arc<Entry>; 2]>;

impl<T: Timer> Shared<T> {
    fn now(&self, calendar: bool) -> Now {
        let steady = self.timer.now().saturating_duration_since(self.epoch);
        let unix = if calendar {
            let since = (self.wall)().duration_since(SystemTime::UNIX_EPOCH);
            i64::try_from(since.unwrap_or(Duration::ZERO).as_nanos()).unwrap_or(i64::MAX)
        } else {
            0
        };
        Now {
            // A clock at its own epoch must not look like a cell never touched.
            steady: u64::try_from(steady.as_nanos()).unwrap_or(u64::MAX / 2),
            unix,
        }
    }

    fn decide(&self, ask: &Ask, shared: &Arc<Self>) -> Decision<MemoryHold<T>> {
        let calendar = ask.demands.iter().any(|demand| by_calendar(&demand.limits));
        let now = self.now(calendar);
        let mut targets: SmallVec<[(Arc<Entry>, &Demand); 2]> = SmallVec::new();
        for demand in &ask.demands {
            let entry = self.entry(demand, now);
            if !targets.iter().any(|(other, _)| Arc::ptr_eq(other, &entry)) {
                targets.push((entry, demand));
            }
        }
        // All threads lock in the same order.
        if targets.len() > 1 {
            targets.sort_unstable_by_key(|(entry, _)| Arc::as_ptr(entry));
        }
        let mut verdict = Verdict::default();
        let mut generations = SmallVec::new();
        if !visit(&targets, ask, now, &mut verdict, &mut generations) {
            return Decision::Refused(verdict.refusal());
        }
        let held = if ask.peek {
            SmallVec::new()
        } else {
            targets.into_iter().map(|(entry, _)| entry).collect()
        };
        let hold = MemoryHold {
            held,
            generations,
            reserved: ask.weights,
            since: now,
            store: Arc::clone(shared),
        };
        Decision::Admitted(hold, verdict.report)
    }

    fn entry(&self, demand: &Demand, now: Now) -> Arc<Entry> {
        if let Some(entry) = self.entries.get(demand as &dyn Pair) {
            return Arc::clone(&entry);
        }
        let place = (Arc::clone(&demand.rule), demand.key.clone());
        if self.entries.len() >= self.capacity {
            self.make_room(now);
            if self.entries.len() >= self.capacity {
                // Whatever key a caller may present, this one it cannot: longer keys are digests.
                let shared = (Arc::clone(&demand.rule), Key::new("\u{0}others"));
                return Arc::clone(&self.entries.entry(shared).or_default());
            }
        }
        Arc::clone(&self.entries.entry(place).or_default())
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
        // Under the shard's lock nobody can come by a clone of the only reference.
        self.entries
            .retain(|_, entry| Arc::strong_count(entry) > 1 || !entry.lock().is_idle(now));
    }
}

fn by_calendar(limits: &Limits) -> bool {
    limits
        .list()
        .iter()
        .any(|limit| matches!(limit.window, Window::Daily { .. }))
}

/// Checks each entry with those before it locked; takes from all of them, or from none.
fn visit(
    targets: &[(Arc<Entry>, &Demand)],
    ask: &Ask,
    now: Now,
    verdict: &mut Verdict,
    generations: &mut SmallVec<[u32; 2]>,
) -> bool {
    let Some(((entry, demand), rest)) = targets.split_first() else {
        return verdict.is_admitted();
    };
    let mut state = entry.lock();
    state.adapt(&demand.limits, now);
    generations.push(state.generation);
    if !ask.peek {
        state.check(demand, &ask.weights, now, verdict);
    }
    let admitted = visit(rest, ask, now, verdict, generations);
    if admitted && !ask.peek {
        state.commit(&ask.weights);
    }
    state.report(&ask.weights, now, &mut verdict.report);
    admitted
}

/// The state of one key.
#[derive(Default)]
struct Entry(Mutex<State>);

#[derive(Default)]
struct State {
    limits: Limits,
    cells: SmallVec<[Counted; 2]>,
    in_use: u32,
    /// Counts the changes of the limits.
    generation: u32,
}

struct Counted {
    cell: Cell,
    /// The generation it first stood in: what was reserved before is none of its business.
    born: u32,
}

impl Entry {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Brings the cells in line with the limits, with what has been used so far.
    fn adapt(&mut self, limits: &Limits, now: Now) {
        if self.limits.is(limits) {
            return;
        }
        if self.limits == *limits && self.cells.len() == limits.list().len() {
            self.limits = limits.clone();
            return;
        }
        self.generation = self.generation.wrapping_add(1);
        let old = std::mem::take(&mut self.cells);
        let mut old: Vec<_> = self.limits.list().iter().zip(old).map(Some).collect();
        for limit in limits.list() {
            // The same unit over the same time, else the same unit over any.
            let found = [true, false].into_iter().find_map(|exact| {
                old.iter_mut().find_map(|slot| {
                    slot.take_if(|(was, _)| {
                        was.unit == limit.unit
                            && (!exact || was.window.length() == limit.window.length())
                    })
                })
            });
            let counted = match found {
                Some((was, kept)) if was == limit => kept,
                Some((was, mut kept)) => {
                    let used = kept.cell.used(was, now);
                    Counted {
                        cell: Cell::new(limit, used, now),
                        born: kept.born,
                    }
                }
                None => Counted {
                    cell: Cell::new(limit, 0, now),
                    born: self.generation,
                },
            };
            self.cells.push(counted);
        }
        self.limits = limits.clone();
    }

    fn check(&mut self, demand: &Demand, weights: &Weights, now: Now, verdict: &mut Verdict) {
        for (limit, counted) in self.limits.list().iter().zip(&mut self.cells) {
            let Some(amount) = weights.get(limit.unit) else {
                continue;
            };
            let retry = match counted.cell.check(limit, amount, now) {
                Ok(()) => continue,
                Err(Wait::Nanos(wait)) => Retry::After(Duration::from_nanos(wait)),
                Err(Wait::Never) => Retry::Never,
            };
            verdict.deny(&demand.rule, Some(limit.unit), retry);
        }
        if let Some(most) = self.limits.concurrent().filter(|_| weights.slot()) {
            if most == 0 {
                verdict.deny(&demand.rule, None, Retry::Never);
            } else if self.in_use >= most {
                verdict.deny(&demand.rule, None, Retry::Release);
            }
        }
    }

    fn commit(&mut self, weights: &Weights) {
        for (limit, counted) in self.limits.list().iter().zip(&mut self.cells) {
            if let Some(amount) = weights.get(limit.unit) {
                counted.cell.commit(limit, amount);
            }
        }
        if weights.slot() {
            self.in_use = self.in_use.saturating_add(1);
        }
    }

    fn settle(
        &mut self,
        generation: u32,
        reserved: &Weights,
        actual: &Weights,
        since: Now,
        now: Now,
    ) {
        for (limit, counted) in self.limits.list().iter().zip(&mut self.cells) {
            let before = reserved.get(limit.unit);
            // A limit set since then has taken nothing.
            if let Some(before) = before.filter(|_| counted.born <= generation) {
                let after = actual.get(limit.unit).unwrap_or(before);
                counted.cell.settle(limit, before, after, since, now);
            }
        }
        if reserved.slot() {
            self.in_use = self.in_use.saturating_sub(1);
        }
    }

    fn report(&mut self, weights: &Weights, now: Now, report: &mut Report) {
        for (limit, counted) in self.limits.list().iter().zip(&mut self.cells) {
            if weights.get(limit.unit).is_some() {
                report.add(counted.cell.standing(limit, now));
            }
        }
        if let Some(limit) = self.limits.concurrent().filter(|_| weights.slot()) {
            report.add_slots(Slots {
                limit,
                in_use: self.in_use,
            });
        }
    }

    fn is_idle(&mut self, now: Now) -> bool {
        let cells = self.limits.list().iter().zip(&mut self.cells);
        self.in_use == 0
            && cells
                .into_iter()
                .all(|(limit, it)| it.cell.is_idle(limit, now))
    }
}

/// What one request has taken from a [`Memory`].
pub struct MemoryHold<T: Timer = DefaultTimer> {
    held: Entries,
    generations: SmallVec<[u32; 2]>,
    reserved: Weights,
    since: Now,
    store: Arc<Shared<T>>,
}

impl<T: Timer> MemoryHold<T> {
    fn end(&mut self, actual: &Weights) {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() {
            return;
        }
        // A request is given back or not, whenever that is; all else flows.
        let now = if self.since.unix == 0 && self.reserved.only_requests() {
            self.since
        } else {
            self.store.now(self.since.unix != 0)
        };
        for (entry, generation) in held.iter().zip(&self.generations) {
            entry
                .lock()
                .settle(*generation, &self.reserved, actual, self.since, now);
        }
    }
}

impl<T: Timer> Hold for MemoryHold<T> {
    fn settle(mut self, actual: &Weights) {
        self.end(actual);
    }
}

impl<T: Timer> Drop for MemoryHold<T> {
    fn drop(&mut self) {
        self.end(&super::nothing());
    }
}

impl<T: Timer> fmt::Debug for MemoryHold<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryHold")
            .field("reserved", &self.reserved)
            .finish_non_exhaustive()
    }
}
