//! The example gateway beside a bare reverse proxy, over loopback.
//!
//! `scripts/side-by-side` builds everything and runs it. One binary plays every part, each in a
//! process of its own so that its CPU time and memory can be read: the upstream, the floor (hyper
//! forwarding bytes and nothing else), and the load with the report.

mod case;
mod floor;
mod load;
mod process;
mod report;
mod run;
mod upstream;

use std::{env, net::SocketAddr};

fn main() {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    match args.as_slice() {
        ["upstream"] => runtime.block_on(upstream::serve()),
        ["floor", upstream] => {
            let upstream: SocketAddr = upstream.parse().expect("the upstream's address");
            runtime.block_on(floor::serve(upstream));
        }
        // For a profiler: the load alone, on whatever listens.
        ["load", address, model, connections, seconds] => {
            let kind = case::Kind::ALL
                .into_iter()
                .find(|kind| kind.model() == *model)
                .expect("a kind's model");
            let seen = runtime.block_on(load::run(
                address.parse().expect("an address"),
                kind,
                connections.parse().expect("a number of connections"),
                seconds.parse().expect("seconds"),
                load::Pace::Closed,
            ));
            println!("{} answers, {} failures", seen.whole.len(), seen.failed);
        }
        ["run", gateway, out, rest @ ..] => {
            let seconds = rest
                .first()
                .map_or(2.0, |s| s.parse().expect("seconds a run"));
            let rounds = rest.get(1).map_or(5, |n| n.parse().expect("rounds"));
            let only = rest.get(2).copied().unwrap_or_default();
            let plan = run::Plan {
                gateway: gateway.into(),
                out: out.into(),
                seconds,
                rounds,
                only: only.to_owned(),
            };
            runtime.block_on(run::run(&plan));
        }
        // `cargo bench` runs every bench; this one needs more than it gives.
        _ => println!("side_by_side: run scripts/side-by-side"),
    }
}
