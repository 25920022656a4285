//! One list of benches, run in two ways: timed by criterion, and counted by valgrind.
//!
//! `cargo bench` times every case. `scripts/instructions` runs the same binary under callgrind with
//! `--count NAME N` for two values of N: the difference of the two totals is what N repetitions
//! cost, free of start-up and set-up.

use std::{env, hint::black_box};

use criterion::{Criterion, Throughput};

/// Takes the cases of one bench file.
pub(crate) struct Bench {
    mode: Mode,
    /// Bytes that one run reads, where a rate is wanted.
    pub(crate) bytes: Option<u64>,
}

enum Mode {
    Time(Box<Criterion>),
    Count { name: String, times: u64 },
    List,
}

impl Bench {
    /// A case: what is measured is one call of `run`.
    pub(crate) fn case<T>(&mut self, name: &str, mut run: impl FnMut() -> T) {
        match &mut self.mode {
            Mode::Time(criterion) => match self.bytes {
                None => {
                    criterion.bench_function(name, |bencher| bencher.iter(&mut run));
                }
                Some(bytes) => {
                    let mut group = criterion.benchmark_group("bytes");
                    group.throughput(Throughput::BytesDecimal(bytes));
                    // Each run is long already.
                    group.sample_size(10);
                    group.bench_function(name, |bencher| bencher.iter(&mut run));
                }
            },
            Mode::Count {
                name: wanted,
                times,
            } if wanted == name => {
                for _ in 0..*times {
                    black_box(run());
                }
            }
            Mode::Count { .. } => {}
            Mode::List => println!("{name}"),
        }
    }
}

/// Runs the cases as the command line asks for.
pub(crate) fn main(cases: impl FnOnce(&mut Bench)) {
    let args: Vec<String> = env::args().collect();
    let mode = match args.iter().position(|arg| arg == "--count") {
        Some(at) => Mode::Count {
            name: args[at + 1].clone(),
            times: args[at + 2].parse().expect("a number of repetitions"),
        },
        None if args.iter().any(|arg| arg == "--names") => Mode::List,
        None => Mode::Time(Box::new(Criterion::default().configure_from_args())),
    };
    let mut bench = Bench { mode, bytes: None };
    cases(&mut bench);
    if let Mode::Time(criterion) = &bench.mode {
        criterion.final_summary();
    }
}
