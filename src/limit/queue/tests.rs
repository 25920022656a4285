use std::{
    future::{Future as _, Pending, pending},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use super::{line::*, *};
use crate::limit::{
    Ask, Decision, Demand, Hold as _, Key, Limits, Memory, Rate, Refusal, Report, Retry,
    Store as _, Unit, Weights,
};
use crate::time::{NoTimer, Timer};

fn place(rule: &str, key: &str) -> Place {
    (rule.into(), Key::new(key), 0)
}

fn told() -> Refusal {
    Refusal::new("global".into(), None, Retry::Release, Report::default())
}

/// Whoever has a turn, in a line where all wait for one place, is served until nobody is left.
fn served(line: &mut Line, mut waiters: Vec<(&'static str, u64)>) -> Vec<(&'static str, u64)> {
    let mut order = Vec::new();
    while !waiters.is_empty() {
        let mut tries = waiters.iter().enumerate().filter(|(_, (key, id))| {
            line.turn(&place("key", key), *id, Waker::noop()).0 == Turn::Try
        });
        let at = tries.next().expect("somebody's turn").0;
        assert!(tries.next().is_none(), "one at a time");
        let (key, id) = waiters.remove(at);
        line.leave(&place("key", key), id, true);
        order.push((key, id));
    }
    assert_eq!(line.waiting(), 0);
    order
}

#[test]
fn keys_take_turns_by_weight_and_the_oldest_of_a_key_goes_first() {
    let mut line = Line::default();
    let mut waiters = Vec::new();
    for (key, weight, count) in [("a", 1, 9), ("b", 3, 9)] {
        for _ in 0..count {
            let places = [place("key", key), place("global", "*")];
            let (id, _) = line.join(place("key", key), places.into_iter().collect(), 1, weight);
            waiters.push((key, id));
        }
    }
    let order = served(&mut line, waiters);
    let first: Vec<_> = order.iter().take(12).map(|(key, _)| *key).collect();
    assert_eq!(first.iter().filter(|key| **key == "b").count(), 9);
    for key in ["a", "b"] {
        let ids: Vec<_> = order
            .iter()
            .filter(|it| it.0 == key)
            .map(|it| it.1)
            .collect();
        assert!(ids.is_sorted(), "{ids:?}");
    }
}

#[test]
fn costs_are_shared_not_counts() {
    let mut line = Line::default();
    let mut waiters = Vec::new();
    for (key, cost, count) in [("large", 10, 3), ("small", 1, 30)] {
        for _ in 0..count {
            let places = [place("key", key), place("global", "*")];
            let (id, _) = line.join(place("key", key), places.into_iter().collect(), cost, 1);
            waiters.push((key, id));
        }
    }
    let order = served(&mut line, waiters);
    let half = order.iter().take(11).filter(|it| it.0 == "large").count();
    assert!((1..=2).contains(&half), "{order:?}");
}

#[test]
fn a_newcomer_is_served_soon_but_gains_nothing_by_having_been_away() {
    let mut line = Line::default();
    let join = |line: &mut Line, key: &'static str| {
        let places = [place("key", key), place("global", "*")];
        (
            key,
            line.join(place("key", key), places.into_iter().collect(), 1, 1)
                .0,
        )
    };
    let mut waiters: Vec<_> = (0..10).map(|_| join(&mut line, "old")).collect();
    for _ in 0..5 {
        let (key, id) = waiters.remove(0);
        line.leave(&place("key", key), id, true);
    }
    waiters.extend((0..5).map(|_| join(&mut line, "new")));
    let order: Vec<_> = served(&mut line, waiters).iter().map(|it| it.0).collect();
    let new = order[..4].iter().filter(|key| **key == "new").count();
    assert!((2..=3).contains(&new), "{order:?}");
}

#[test]
fn who_comes_one_by_one_gets_no_more_than_its_turns() {
    let mut line = Line::default();
    let all = place("global", "*");
    let join = |line: &mut Line, key: &'static str, weight| {
        let places = [place("key", key), place("global", "*")];
        let places = places.into_iter().collect();
        line.join(place("key", key), places, 1, weight).0
    };
    let mut backlog: Vec<_> = (0..40).map(|_| join(&mut line, "many", 1)).collect();
    // It comes again as soon as it was served, and is out of the line in between.
    let mut one = join(&mut line, "one", 3);
    let mut counts = [0, 0];
    for _ in 0..40 {
        let firsts = [
            (place("key", "many"), backlog[0]),
            (place("key", "one"), one),
        ];
        let turn = |line: &mut Line, (lane, id): &(Place, u64)| {
            line.turn(lane, *id, Waker::noop()).0 == Turn::Try
        };
        // There is nothing to be had, then one.
        while let Some((lane, id)) = firsts.iter().find(|first| turn(&mut line, first)) {
            line.block(lane, *id, all.clone(), told());
        }
        line.freed(std::slice::from_ref(&all));
        let mut served = (0..2).filter(|at| turn(&mut line, &firsts[*at]));
        let at = served.next().expect("somebody's turn");
        assert_eq!(served.next(), None, "one at a time");
        let (lane, id) = &firsts[at];
        line.leave(lane, *id, true);
        counts[at] += 1;
        if at == 0 {
            backlog.remove(0);
        } else {
            one = join(&mut line, "one", 3);
        }
    }
    assert!((9..=11).contains(&counts[0]), "{counts:?}");
}

#[test]
fn nobody_waits_behind_a_limit_that_is_not_its_own() {
    let mut line = Line::default();
    let (a, b) = (place("key", "a"), place("key", "b"));
    let all = || place("global", "*");
    let (first, _) = line.join(a.clone(), [a.clone(), all()].into_iter().collect(), 1, 1);
    let (second, _) = line.join(b.clone(), [b.clone(), all()].into_iter().collect(), 1, 1);
    assert_eq!(line.turn(&a, first, Waker::noop()).0, Turn::Try);
    assert_eq!(line.turn(&b, second, Waker::noop()).0, Turn::Wait);
    // It waits for a limit of its own: the other goes on.
    line.block(&a, first, a.clone(), told());
    assert_eq!(line.turn(&b, second, Waker::noop()).0, Turn::Try);
    // Both wait for the shared one: the first has it, and the second must not overtake it.
    line.block(&b, second, all(), told());
    line.ready(&a, first);
    assert_eq!(line.turn(&a, first, Waker::noop()).0, Turn::Try);
    line.block(&a, first, all(), told());
    line.freed(&[all()]);
    assert_eq!(line.turn(&a, first, Waker::noop()).0, Turn::Try);
    assert_eq!(line.turn(&b, second, Waker::noop()).0, Turn::Wait);
}

#[test]
fn what_came_free_during_a_try_is_tried_again() {
    let mut line = Line::default();
    let a = place("key", "a");
    let (id, _) = line.join(a.clone(), [a.clone()].into_iter().collect(), 1, 1);
    assert_eq!(line.turn(&a, id, Waker::noop()).0, Turn::Try);
    line.freed(std::slice::from_ref(&a));
    line.block(&a, id, a.clone(), told());
    assert_eq!(line.turn(&a, id, Waker::noop()).0, Turn::Try);
    line.block(&a, id, a.clone(), told());
    assert_eq!(line.turn(&a, id, Waker::noop()).0, Turn::Wait);
}

fn ask(key: &str, own: &Limits, all: &Limits, weights: Weights) -> Ask {
    let demand = |rule: &str, key: &str, limits: &Limits| Demand {
        rule: rule.into(),
        key: Key::new(key),
        limits: limits.clone(),
    };
    Ask::new(
        [demand("key", key, own), demand("global", "*", all)],
        weights,
    )
}

fn slot() -> Weights {
    Weights::new().with(Unit::Requests, 1).with_slot()
}

#[tokio::test(start_paused = true)]
async fn all_are_admitted_in_time_and_none_beyond_the_limit() {
    let queue = Queue::new(Memory::new()).timeout(Duration::from_secs(60));
    let own = Limits::new().requests(Rate::per_second(10).burst(1));
    let all = Limits::new().max_concurrent(2);
    let most = Arc::new(Mutex::new((0, 0)));
    let mut tasks = Vec::new();
    for at in 0..60 {
        let ask = ask(["a", "b", "c"][at % 3], &own, &all, slot());
        let (queue, most) = (queue.clone(), Arc::clone(&most));
        tasks.push(tokio::spawn(async move {
            let Ok(Decision::Admitted(hold, _)) = queue.take(ask).await else {
                panic!("there is time enough");
            };
            {
                let mut most = most.lock().expect("unpoisoned");
                most.0 += 1;
                most.1 = most.1.max(most.0);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            most.lock().expect("unpoisoned").0 -= 1;
            hold.settle(&slot());
        }));
    }
    let begin = tokio::time::Instant::now();
    for task in tasks {
        task.await.expect("no panic");
    }
    // Twenty of each key, ten a second; the shared slots hold nobody up for long.
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(1900), "{took:?}");
    assert!(took <= Duration::from_millis(2500), "{took:?}");
    assert_eq!(*most.lock().expect("unpoisoned"), (0, 2));
    assert_eq!(queue.stats().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_backlog_is_served_beside_who_asks_again_and_again() {
    let queue = Queue::new(Memory::new()).timeout(Duration::from_secs(60));
    let (own, all) = (
        Limits::new(),
        Limits::new().requests(Rate::per_second(10).burst(1)),
    );
    let own = own.max_concurrent(1_000);
    let begin = tokio::time::Instant::now();
    let take = move |key: &str| {
        let take = queue.take(ask(key, &own, &all, slot()));
        async move {
            let Ok(Decision::Admitted(hold, _)) = take.await else {
                panic!("there is time enough");
            };
            hold.settle(&slot());
            begin.elapsed()
        }
    };
    let backlog: Vec<_> = (0..20).map(|_| tokio::spawn(take("many"))).collect();
    let again = take.clone();
    let one = tokio::spawn(async move {
        for _ in 0..20 {
            again("one").await;
        }
    });
    let mut soon = 0;
    for waits in backlog {
        let took = waits.await.expect("no panic");
        soon += u32::from(took <= Duration::from_secs(2));
    }
    one.await.expect("no panic");
    assert!(
        (9..=12).contains(&soon),
        "{soon} of twenty in half of the time"
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_line_and_a_deadline_refuse() {
    let queue = Queue::new(Memory::new())
        .timeout(Duration::from_secs(5))
        .length(3);
    let own = Limits::new().max_concurrent(1);
    let none = Limits::new();
    let take = || queue.take(ask("a", &own, &none, slot()));
    let Ok(Decision::Admitted(hold, _)) = take().await else {
        panic!("nothing is used");
    };
    let begin = tokio::time::Instant::now();
    let (mut a, mut b, mut c) = (pin!(take()), pin!(take()), pin!(take()));
    assert!(futures_util::poll!(&mut a).is_pending());
    assert!(futures_util::poll!(&mut b).is_pending());
    assert!(futures_util::poll!(&mut c).is_pending());
    let full = take().await;
    assert!(matches!(full, Ok(Decision::Refused(it)) if it.retry == Retry::Release));
    assert!(begin.elapsed() < Duration::from_millis(1));
    let late = a.await;
    assert!(matches!(late, Ok(Decision::Refused(it)) if it.retry == Retry::Release));
    assert_eq!(begin.elapsed(), Duration::from_secs(5));
    drop(hold);
    let stats = queue.stats();
    assert_eq!((stats.full, stats.expired, stats.waiting), (1, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_in_time_or_can_never_be_is_refused_at_once() {
    let queue = Queue::new(Memory::new()).timeout(Duration::from_secs(5));
    let own = Limits::new().requests_per_minute(1);
    let none = Limits::new();
    let begin = tokio::time::Instant::now();
    let take = |limits: &Limits| queue.take(ask("a", limits, &none, slot()));
    let Ok(Decision::Admitted(hold, _)) = take(&own).await else {
        panic!("nothing is used");
    };
    hold.settle(&slot());
    let refused = take(&own).await;
    assert!(
        matches!(refused, Ok(Decision::Refused(it)) if it.retry == Retry::After(Duration::from_secs(60)))
    );
    let never = take(&Limits::new().requests_per_minute(0)).await;
    assert!(matches!(never, Ok(Decision::Refused(it)) if it.retry == Retry::Never));
    let mut shadow = ask("a", &own, &none, slot());
    shadow.wait = false;
    assert!(matches!(queue.take(shadow).await, Ok(Decision::Refused(_))));
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(queue.stats().waiting, 0);
}

/// Nobody could be told that the deadline is over.
#[tokio::test(start_paused = true)]
async fn without_a_timer_nobody_waits() {
    let queue = Queue::with_timer(Memory::new(), NoTimer);
    let own = Limits::new().max_concurrent(1);
    let none = Limits::new();
    let take = || queue.take(ask("a", &own, &none, slot()));
    let first = take().await;
    assert!(matches!(first, Ok(Decision::Admitted(..))));
    let second = futures_util::poll!(pin!(take()));
    assert!(matches!(second, Poll::Ready(Ok(Decision::Refused(it))) if it.retry == Retry::Release));
    assert_eq!(queue.stats().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_poll_nobody_is_forgotten() {
    for polls in 0..6 {
        let queue = Queue::new(Memory::new());
        let own = Limits::new().max_concurrent(1);
        let none = Limits::new();
        let take = || queue.take(ask("a", &own, &none, slot()));
        let Ok(Decision::Admitted(first, _)) = take().await else {
            panic!("nothing is used");
        };
        let mut leaving = Box::pin(take());
        let mut staying = Box::pin(take());
        for at in 0..polls {
            let done = futures_util::poll!(&mut leaving).is_ready();
            let _ = futures_util::poll!(&mut staying);
            if done {
                break;
            }
            if at == 2 {
                tokio::time::advance(Duration::from_millis(150)).await;
            }
        }
        let mut first = Some(first);
        if polls > 3 {
            drop(first.take());
            let _ = futures_util::poll!(&mut leaving);
        }
        drop(leaving);
        drop(first);
        let Ok(Decision::Admitted(hold, report)) = staying.await else {
            panic!("it stayed");
        };
        assert_eq!(report.concurrent.map(|it| it.in_use), Some(1));
        drop(hold);
        assert_eq!(queue.stats().waiting, 0);
        let mut look = ask("a", &own, &none, slot());
        look.peek = true;
        let Ok(Decision::Admitted(_, report)) = queue.take(look).await else {
            panic!("a look");
        };
        assert_eq!(report.concurrent.map(|it| it.in_use), Some(0), "{polls}");
    }
}

/// A clock that stands.
#[derive(Clone)]
struct Still(Instant);

impl Timer for Still {
    type Sleep = Pending<()>;

    fn now(&self) -> Instant {
        self.0
    }

    fn sleep_until(&self, _: Instant) -> Pending<()> {
        pending()
    }
}

/// The last waker of a task that stands in the line, too: counts how often it could leave it where the
/// task is dropped.
struct Leaves(Queue<Memory, Still>, Arc<AtomicU32>);

impl Wake for Leaves {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Leaves {
    fn drop(&mut self) {
        let free = !self.0.is_held();
        self.1.fetch_add(u32::from(free), Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_task_that_nobody_is_to_wake_any_more_may_leave_the_line_at_once() {
    let queue = Queue::with_timer(Memory::new(), Still(Instant::now()));
    let own = Limits::new().max_concurrent(1);
    let take = || queue.take(ask("a", &own, &Limits::new(), slot()));
    let Ok(Decision::Admitted(_hold, _)) = take().await else {
        panic!("nothing is used");
    };
    let left = Arc::<AtomicU32>::default();
    let mut waits = Box::pin(take());
    let mut asked_by_another = || {
        let waker = Waker::from(Arc::new(Leaves(queue.clone(), Arc::clone(&left))));
        let polled = waits.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    };
    asked_by_another();
    asked_by_another();
    assert_eq!(left.load(Ordering::Relaxed), 1);
    drop(waits);
    assert_eq!(left.load(Ordering::Relaxed), 2);
}
