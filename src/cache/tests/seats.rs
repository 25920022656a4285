//! Seats of one answer that are left and taken at the same moment.

use std::thread;

use super::{super::flight::Flight, super::service::Shared, *};
use crate::time::Reading;

#[test]
fn a_seat_is_nobody_elses_before_its_waker_is_gone() {
    let now = std::time::Instant::now();
    let shared = Arc::new(Shared::new(0, Duration::ZERO, Reading::new(move || now)));
    let key = shared.key(None, Bytes::new());
    type Call = std::future::Pending<Result<Response<Full>, Infallible>>;
    let flight = Arc::new(Flight::<Call, Full, Infallible>::new(None, key, shared, 0));
    let _first = flight.first();
    let second = flight.join(None).expect("a seat");
    let number = second.number();
    // Whoever leaves is held up where it takes its waker away.
    let wakers = flight.wakers().hold_up();
    let taken = thread::scope(|scope| {
        let leaves = scope.spawn(move || drop(second));
        while flight.is_taken(number) {
            thread::yield_now();
        }
        let comes = scope.spawn(|| flight.join(None).expect("a seat"));
        for _ in 0..1_000 {
            thread::yield_now();
        }
        let taken = comes.is_finished();
        drop(wakers);
        leaves.join().expect("no panic");
        let comes = comes.join().expect("no panic");
        taken && comes.number() == number
    });
    assert!(!taken);
}
