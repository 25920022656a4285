//! The example's configuration file is read without a panic; a mistake is told of in words, and what is
//! without one can be read again the same.
#![no_main]
#![allow(dead_code, unused_imports, missing_debug_implementations)]

// The example's own files, which know each other by their names in its root.
#[path = "../../examples/gateway/app.rs"]
mod app;
#[path = "../../examples/gateway/awake.rs"]
mod awake;
#[path = "../../examples/gateway/capability.rs"]
mod capability;
#[path = "../../examples/gateway/cards.rs"]
mod cards;
#[path = "../../examples/gateway/config/mod.rs"]
mod config;
#[path = "../../examples/gateway/connection.rs"]
mod connection;
#[path = "../../examples/gateway/ledger.rs"]
mod ledger;
#[path = "../../examples/gateway/metrics.rs"]
mod metrics;
#[path = "../../examples/gateway/money.rs"]
mod money;
#[path = "../../examples/gateway/moves.rs"]
mod moves;
#[path = "../../examples/gateway/panics.rs"]
mod panics;
#[path = "../../examples/gateway/patience.rs"]
mod patience;
#[path = "../../examples/gateway/prices.rs"]
mod prices;
#[path = "../../examples/gateway/read.rs"]
mod read;
#[path = "../../examples/gateway/rest.rs"]
mod rest;
#[path = "../../examples/gateway/routes.rs"]
mod routes;
#[path = "../../examples/gateway/routing.rs"]
mod routing;
#[path = "../../examples/gateway/streams.rs"]
mod streams;
#[path = "../../examples/gateway/trust.rs"]
mod trust;
#[path = "../../examples/gateway/upstreams.rs"]
mod upstreams;
#[path = "../../examples/gateway/values.rs"]
mod values;

use config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match Config::look(text) {
        Ok((first, mistakes)) => {
            let (again, same) = Config::look(text).expect("read before");
            assert_eq!(format!("{first:?}"), format!("{again:?}"));
            assert_eq!(mistakes, same);
            assert!(mistakes.iter().all(|mistake| !mistake.trim().is_empty()));
        }
        Err(mistake) => assert!(!mistake.trim().is_empty()),
    }
});
