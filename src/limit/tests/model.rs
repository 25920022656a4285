//! The cells against plain arithmetic, and against one another in threads.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    Ask, Decision, Demand, Hold as _, Key, Limits, Memory, Rate, Retry, Unit, Weights,
    bucket::Bucket,
    gcra::{Gcra, Pacer},
};

/// A small generator of numbers that look random (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

/// How many decisions the model is asked; `LIMIT_DECISIONS` asks for more.
fn decisions() -> u64 {
    let asked = std::env::var("LIMIT_DECISIONS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(200_000)
}

/// Everything ever put in, taken back and flowed off, kept apart in whole numbers.
#[derive(Default)]
struct Model {
    level: u128,
    at: u64,
    put: u128,
    back: u128,
}

#[test]
fn the_bucket_is_exact_and_never_admits_too_much() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut left = decisions();
    while left > 0 {
        let bits = 1 + numbers.below(32);
        let amount = 1 + numbers.below(1 << bits);
        let per = 1 + numbers.below(86_400_000_000_000);
        let burst = 1 + numbers.below(amount * 2);
        let rate = Rate::new(amount, std::time::Duration::from_nanos(per)).burst(burst);
        let (mut bucket, mut model) = (Bucket::default(), Model::default());
        let mut open: Vec<u64> = Vec::new();
        let mut owed = 0_u128;
        let (mut now, mut latest) = (0_u64, 0_u64);
        for _ in 0..left.min(1000) {
            // Clocks run, stand and now and then go back.
            now = match numbers.below(10) {
                0 => now.saturating_sub(numbers.below(per)),
                1..4 => now,
                _ => now + numbers.below(per / 4 + 2),
            };
            latest = latest.max(now);
            let flowed = u128::from(now.saturating_sub(model.at)) * u128::from(amount);
            model.level = model.level.saturating_sub(flowed);
            model.at = model.at.max(now);
            bucket.advance(&rate, now);
            if numbers.below(3) == 0 && !open.is_empty() {
                let at = numbers.below(open.len() as u64);
                let reserved = open.swap_remove(usize::try_from(at).expect("an index"));
                let actual = numbers.below(reserved.saturating_mul(5) / 4 + 2);
                if actual > reserved {
                    bucket.add(&rate, actual - reserved);
                    model.level += u128::from(actual - reserved) * u128::from(per);
                    model.put += u128::from(actual - reserved);
                    owed += u128::from(actual - reserved);
                } else {
                    bucket.refund(&rate, reserved - actual);
                    let scaled = u128::from(reserved - actual) * u128::from(per);
                    model.level = model.level.saturating_sub(scaled);
                    model.back += u128::from(reserved - actual);
                }
                continue;
            }
            let weight = match numbers.below(8) {
                0 => numbers.below(1 << 32),
                _ => numbers.below(burst + 1),
            };
            let room = u128::from(burst) * u128::from(per);
            let fits = model.level + u128::from(weight) * u128::from(per) <= room;
            assert_eq!(bucket.check(&rate, weight).is_ok(), fits);
            if fits {
                bucket.add(&rate, weight);
                model.level += u128::from(weight) * u128::from(per);
                model.put += u128::from(weight);
                open.push(weight);
            }
            // What was used in truth or is reserved, over all time: burst, flow and debt.
            let used = (model.put - model.back) * u128::from(per);
            let most = room + u128::from(latest) * u128::from(amount) + owed * u128::from(per);
            assert!(used <= most, "{used} > {most}");
        }
        left = left.saturating_sub(1000);
    }
}

#[test]
fn requests_never_exceed_burst_and_flow() {
    let mut numbers = Numbers(7);
    let mut left = decisions();
    while left > 0 {
        let amount = 1 + numbers.below(1 << 20);
        let per = 1_000_000_000 * (1 + numbers.below(86_400));
        let burst = 1 + numbers.below(amount);
        let rate = Rate::new(amount, std::time::Duration::from_nanos(per)).burst(burst);
        let pacer = Pacer::new(&rate);
        let (mut cell, mut now, mut admitted) = (Gcra::default(), 1_u64, 0_u128);
        for _ in 0..left.min(1000) {
            now += numbers.below(per / amount * 2 + 1);
            if let Ok(next) = cell.check(&rate, &pacer, now) {
                cell = next;
                admitted += 1;
            }
            if numbers.below(20) == 0 && admitted > 0 {
                cell.refund(&rate);
                admitted -= 1;
            }
            let most = u128::from(burst) * u128::from(per) + u128::from(now) * u128::from(amount);
            assert!(admitted * u128::from(per) <= most);
        }
        left = left.saturating_sub(1000);
    }
}

fn ask(key: &str, own: &Limits, all: &Limits) -> Ask {
    let demand = |rule: &str, key: &str, limits: &Limits| Demand {
        rule: rule.into(),
        key: Key::new(key),
        limits: limits.clone(),
    };
    Ask::new(
        [demand("key", key, own), demand("global", "*", all)],
        Weights::new()
            .with(Unit::Requests, 1)
            .with(Unit::Tokens, 10)
            .with_slot(),
    )
}

#[test]
fn sixty_four_threads_take_exactly_what_there_is() {
    let clock = super::Manual::new();
    let store = Memory::with_timer(clock);
    let own = Limits::new().requests_per_minute(40).max_concurrent(3);
    let all = Limits::new().tokens_per_minute(10_000).max_concurrent(16);
    let admitted = Arc::new(AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..64 {
            let (store, admitted) = (store.clone(), Arc::clone(&admitted));
            let ask = ask(&format!("key {}", thread % 32), &own, &all);
            scope.spawn(move || {
                loop {
                    match store.decide(&ask) {
                        Decision::Admitted(hold, report) => {
                            let slots = report.concurrent.expect("limited");
                            assert!(slots.in_use <= slots.limit);
                            admitted.fetch_add(1, Ordering::Relaxed);
                            std::thread::yield_now();
                            hold.settle(&Weights::new());
                        }
                        // Another thread has the slot and will free it.
                        Decision::Refused(it) if it.retry == Retry::Release => {
                            std::thread::yield_now();
                        }
                        Decision::Refused(_) => break,
                    }
                }
            });
        }
    });
    // The clock stands: of 32 keys with 40 requests each, 1 000 have their ten tokens.
    assert_eq!(admitted.load(Ordering::Relaxed), 1000);
}

/// Whatever the limits, what was used and what is owed: not a nanosecond early, and at the
/// millisecond that the headers tell.
#[test]
fn whoever_waits_as_told_is_admitted_and_nobody_sooner() {
    let mut numbers = Numbers(42);
    let mut waited = 0;
    for _ in 0..decisions() / 200 {
        let clock = super::Manual::new();
        let store = Memory::with_timer(clock.clone());
        let rate = |numbers: &mut Numbers, most: u64| {
            let amount = 1 + numbers.below(most);
            let per = std::time::Duration::from_nanos(1 + numbers.below(3_600_000_000_000));
            Rate::new(amount, per).burst(1 + numbers.below(amount))
        };
        let requests = rate(&mut numbers, 1000);
        let tokens = rate(&mut numbers, 1 << 20);
        let limits = Limits::new().requests(requests).tokens(tokens);
        let demand = Demand {
            rule: "key".into(),
            key: Key::new("acme"),
            limits,
        };
        for _ in 0..20 {
            let weight = numbers.below(tokens.capacity() + 1);
            let weights = Weights::new()
                .with(Unit::Requests, 1)
                .with(Unit::Tokens, weight);
            let ask = Ask::new([demand.clone()], weights);
            let hold = match store.decide(&ask) {
                Decision::Admitted(hold, _) => hold,
                Decision::Refused(refusal) => {
                    let Retry::After(wait) = refusal.retry else {
                        panic!("it fits: {refusal:?}");
                    };
                    waited += 1;
                    let early = wait.saturating_sub(std::time::Duration::from_nanos(1));
                    clock.advance(early);
                    assert!(matches!(store.decide(&ask), Decision::Refused(_)));
                    let told = wait.as_nanos().div_ceil(1_000_000) * 1_000_000;
                    let told = std::time::Duration::from_nanos(
                        u64::try_from(told).expect("a span that a test can have"),
                    );
                    clock.advance(told - early);
                    match store.decide(&ask) {
                        Decision::Admitted(hold, _) => hold,
                        Decision::Refused(refusal) => panic!("{wait:?}, {refusal:?}"),
                    }
                }
            };
            // Less than was reserved, or up to three times as much: that is debt.
            let used = numbers.below(weight.saturating_mul(3) + 2);
            hold.settle(&Weights::new().with(Unit::Tokens, used));
            clock.advance(std::time::Duration::from_nanos(numbers.below(1 << 30)));
        }
    }
    assert!(waited > 1000, "{waited}");
}
