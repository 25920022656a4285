//! Money in memory: one hold and its settlement, and the price of a usage.

#![allow(missing_docs)]

mod support;

use futures_util::FutureExt;
use tower_completions::{
    cost::{Ledger, MemoryLedger, Price},
    wire::Usage,
};

fn main() {
    support::main(|bench| {
        let ledger = MemoryLedger::new();
        ledger.grant("demo", "100000000".parse().expect("an amount"));
        let price = Price::new("0.15", "0.60").and_then(|it| it.cached_input("0.075"));
        let price = price.expect("decimals");
        let mut usage = Usage::new(1200, 300);
        usage.cached_input = 1000;
        bench.case("price", || price.of(&usage));
        let (most, cost) = (price.ceiling(1200, 4096), price.of(&usage));
        bench.case("hold_settle", || {
            let hold = ledger
                .hold("demo", most.into())
                .now_or_never()
                .expect("ready");
            ledger.settle(hold.expect("enough"), cost)
        });
    });
}
