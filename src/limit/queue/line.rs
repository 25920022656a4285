//! Who waits, and whose turn it is. Pure: no clock, no store.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    task::Waker,
};

use smallvec::SmallVec;

use crate::limit::{Key, Refusal};

/// What is counted in one place: a rule's name, the key under it, and what is counted there. A
/// request that has its slot must not wait for its tokens behind one that waits for a slot.
pub(super) type Place = (Arc<str>, Key, u8);
pub(super) type Places = SmallVec<[Place; 2]>;

/// One unit of cost at weight one, in virtual time.
const STEP: u64 = 1 << 16;

/// Of so many keys at most it is known where they stand though nobody waits under them.
const AWAY: usize = 1024;

/// All that wait: a lane for each key, oldest first; between the lanes by start-time fair queueing.
///
/// Whoever is first for a place has it: while it tries or waits for that place, nobody behind it may
/// try what needs the place too. Those that need other places pass.
#[derive(Debug, Default)]
pub(super) struct Line {
    lanes: HashMap<Place, Lane>,
    /// The lanes by the virtual time and the arrival of their first.
    order: BTreeMap<(u64, u64), Place>,
    /// Where keys stand under which nobody waits just now, ahead of the virtual time: whoever comes one by
    /// one would else be served before all others each time.
    away: HashMap<Place, u64>,
    /// The virtual time: that of the lane served last.
    now: u64,
    arrivals: u64,
    waiting: usize,
}

#[derive(Debug)]
struct Lane {
    waiters: VecDeque<Waiter>,
    /// Where it stands in virtual time.
    pass: u64,
    weight: u32,
    /// What its first was told last.
    told: Option<Refusal>,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    places: Places,
    cost: u64,
    state: State,
    waker: Option<Waker>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// To try as soon as it is its turn.
    Ready,
    /// Its turn; `again` when something was freed since.
    Trying { again: bool },
    /// Waits for one place.
    Blocked(Place),
}

/// Whether to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Try,
    Wait,
}

/// Whom to wake, once the line is no longer locked.
pub(super) type Woken = Vec<Waker>;

/// Whom to wake no more: to be dropped once the line is no longer locked, as it may be the last of a task,
/// which is dropped with it.
pub(super) type Dropped = Option<Waker>;

impl Line {
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn waiting_under(&self, lane: &Place) -> usize {
        self.lanes.get(lane).map_or(0, |lane| lane.waiters.len())
    }

    /// What the first of a lane was told last.
    pub(super) fn told(&self, lane: &Place) -> Option<Refusal> {
        self.lanes.get(lane)?.told.clone()
    }

    /// Joins at the end of a lane.
    pub(super) fn join(
        &mut self,
        place: Place,
        places: Places,
        cost: u64,
        weight: u32,
    ) -> (u64, Woken) {
        self.arrivals += 1;
        self.waiting += 1;
        let id = self.arrivals;
        let (now, away) = (self.now, &mut self.away);
        let lane = self.lanes.entry(place.clone()).or_insert_with(|| Lane {
            waiters: VecDeque::new(),
            pass: away.remove(&place).map_or(now, |pass| pass.max(now)),
            weight: weight.max(1),
            told: None,
        });
        lane.weight = weight.max(1);
        lane.waiters.push_back(Waiter {
            id,
            places,
            cost,
            state: State::Ready,
            waker: None,
        });
        if lane.waiters.len() == 1 {
            self.order.insert((lane.pass, id), place);
        }
        (id, self.grant())
    }

    /// Whether it is this waiter's turn; wakes it when it will be, and no longer whom it had woken before.
    pub(super) fn turn(&mut self, lane: &Place, id: u64, waker: &Waker) -> (Turn, Dropped) {
        let Some(waiter) = self.find(lane, id) else {
            return (Turn::Try, None);
        };
        if matches!(waiter.state, State::Trying { .. }) {
            return (Turn::Try, None);
        }
        if waiter.waker.as_ref().is_some_and(|it| it.will_wake(waker)) {
            return (Turn::Wait, None);
        }
        (Turn::Wait, waiter.waker.replace(waker.clone()))
    }

    /// It has tried, and waits for a place.
    pub(super) fn block(&mut self, lane: &Place, id: u64, on: Place, told: Refusal) -> Woken {
        if let Some(waiter) = self.find(lane, id) {
            waiter.state = match waiter.state {
                State::Trying { again: true } => State::Ready,
                _ => State::Blocked(on),
            };
        }
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.told = Some(told);
        }
        self.grant()
    }

    /// It may be worth another try.
    pub(super) fn ready(&mut self, lane: &Place, id: u64) -> Woken {
        if let Some(waiter) = self.find(lane, id) {
            if matches!(waiter.state, State::Blocked(_)) {
                waiter.state = State::Ready;
            }
        }
        self.grant()
    }

    /// Something came free in these places.
    pub(super) fn freed(&mut self, places: &[Place]) -> Woken {
        for lane in self.lanes.values_mut() {
            let Some(first) = lane.waiters.front_mut() else {
                continue;
            };
            match &mut first.state {
                State::Blocked(on) if places.contains(on) => first.state = State::Ready,
                State::Trying { again } => {
                    *again |= first.places.iter().any(|place| places.contains(place));
                }
                _ => {}
            }
        }
        self.grant()
    }

    /// Leaves the line, served or not.
    pub(super) fn leave(&mut self, place: &Place, id: u64, served: bool) -> (Dropped, Woken) {
        let Some(lane) = self.lanes.get_mut(place) else {
            return (None, Woken::new());
        };
        let Some(at) = lane.waiters.iter().position(|waiter| waiter.id == id) else {
            return (None, Woken::new());
        };
        self.waiting -= 1;
        if at == 0 {
            self.order.remove(&(lane.pass, id));
        }
        let mut gone = lane.waiters.remove(at);
        let waker = gone.as_mut().and_then(|waiter| waiter.waker.take());
        if let Some(waiter) = gone.filter(|_| served) {
            self.now = self.now.max(lane.pass);
            let step = waiter.cost.max(1).saturating_mul(STEP) / u64::from(lane.weight);
            lane.pass = lane.pass.saturating_add(step.max(1));
        }
        match lane.waiters.front() {
            Some(next) if at == 0 => {
                self.order.insert((lane.pass, next.id), place.clone());
            }
            Some(_) => {}
            None => {
                let pass = lane.pass;
                self.lanes.remove(place);
                self.goes_away(place, pass);
            }
        }
        (waker, self.grant())
    }

    /// Nobody waits under a key any more.
    fn goes_away(&mut self, place: &Place, pass: u64) {
        if self.waiting == 0 {
            // Nobody is waited before.
            return self.away.clear();
        }
        if pass <= self.now {
            return;
        }
        self.away.insert(place.clone(), pass);
        if self.away.len() > AWAY {
            self.away.retain(|_, pass| *pass > self.now);
        }
        if self.away.len() > AWAY {
            // Time goes on to where half of them are forgotten: whoever comes then gains nothing by it.
            let mut passes: Vec<u64> = self.away.values().copied().collect();
            let (_, middle, _) = passes.select_nth_unstable(AWAY / 2);
            self.now = *middle;
            self.away.retain(|_, pass| *pass > self.now);
        }
    }

    /// Gives every first its turn whose places nobody before it claims.
    fn grant(&mut self) -> Woken {
        let mut woken = Woken::new();
        // Who tries already is not disturbed, not even by a newcomer that comes before it.
        let tries = |lane: &Lane| {
            let first = lane.waiters.front()?;
            matches!(first.state, State::Trying { .. }).then(|| first.places.clone())
        };
        let mut claimed: HashSet<Place> = self.lanes.values().filter_map(tries).flatten().collect();
        for place in self.order.values() {
            let first = self
                .lanes
                .get_mut(place)
                .and_then(|it| it.waiters.front_mut());
            let Some(first) = first else { continue };
            if first.state == State::Ready && !first.places.iter().any(|it| claimed.contains(it)) {
                first.state = State::Trying { again: false };
                woken.extend(first.waker.take());
            }
            match &first.state {
                State::Ready => {}
                State::Trying { .. } => claimed.extend(first.places.iter().cloned()),
                State::Blocked(on) => {
                    claimed.insert(on.clone());
                }
            }
        }
        woken
    }

    fn find(&mut self, lane: &Place, id: u64) -> Option<&mut Waiter> {
        let lane = self.lanes.get_mut(lane)?;
        lane.waiters.iter_mut().find(|waiter| waiter.id == id)
    }
}
