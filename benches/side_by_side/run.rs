//! The measurement: floor and gateway in turn, the same load on each.

use std::{
    env, fs, io::Write as _, net::SocketAddr, path::PathBuf, process::Command, time::Duration,
};

use crate::{
    case::{EVENTS, Kind},
    load::{self, Asker, Pace, Seen, quantile},
    process::Part,
    report::{self, Row},
};

pub(crate) struct Plan {
    pub(crate) gateway: PathBuf,
    pub(crate) out: PathBuf,
    pub(crate) seconds: f64,
    pub(crate) rounds: usize,
    /// Only cases whose name contains this.
    pub(crate) only: String,
}

/// Every layer on, each with limits that the load does not reach.
fn config(upstream: SocketAddr) -> String {
    let mut text = format!(
        r#"
listen = "127.0.0.1:0"
[stream]
first_event_timeout_ms = 600000
idle_timeout_ms = 600000
keep_alive_ms = 60000
[[providers]]
name = "bench"
kind = "openai"
base_url = "http://{upstream}/v1"
api_keys = ["sk-upstream"]
[[keys]]
name = "bench"
secret = "sk-bench"
balance = "1000000.00"
requests_per_minute = 2000000000
tokens_per_minute = 2000000000
max_concurrent = 1000000
models = ["*"]
"#
    );
    for kind in Kind::ALL {
        let id = kind.model();
        text += &format!(
            "[[models]]\nid = \"{id}\"\ntargets = [{{ provider = \"bench\", model = \"{id}\" }}]\nprice = {{ input = \"0.15\", cached_input = \"0.075\", output = \"0.60\" }}\n"
        );
    }
    text
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

struct Parts {
    floor: Part,
    gateway: Part,
    upstream: Part,
    config: PathBuf,
    binary: PathBuf,
}

impl Parts {
    fn start(plan: &Plan) -> Self {
        let me = env::current_exe().expect("this binary");
        let upstream = Part::start(Command::new(&me).arg("upstream"));
        let floor = Part::start(
            Command::new(&me)
                .arg("floor")
                .arg(upstream.addr.to_string()),
        );
        let file = plan.out.join("gateway.toml");
        fs::write(&file, config(upstream.addr)).expect("a config file");
        let gateway = Part::start(Command::new(&plan.gateway).arg("--config").arg(&file));
        Self {
            floor,
            gateway,
            upstream,
            config: file,
            binary: plan.gateway.clone(),
        }
    }

    /// Fresh processes in the place of the two, so that one case's memory is not another's.
    fn restart(&mut self) {
        let me = env::current_exe().expect("this binary");
        self.floor = Part::start(
            Command::new(&me)
                .arg("floor")
                .arg(self.upstream.addr.to_string()),
        );
        self.gateway = Part::start(Command::new(&self.binary).arg("--config").arg(&self.config));
    }
}

/// Microseconds a request, of CPU and of waiting for it, and what was seen.
async fn measure(
    part: &Part,
    kind: Kind,
    connections: usize,
    seconds: f64,
    pace: Pace,
) -> ([f64; 2], Seen) {
    let before = part.cpu();
    let seen = load::run(part.addr, kind, connections, seconds, pace).await;
    let after = part.cpu();
    let requests = seen.whole.len().max(1) as f64;
    let each = |at: usize| (after[at] - before[at]) * 1e6 / requests;
    ([each(0), each(1)], seen)
}

/// Both in turn, round after round; the medians of each.
async fn compare(
    name: &str,
    parts: &Parts,
    plan: &Plan,
    kind: Kind,
    connections: usize,
    pace: Pace,
) -> Row {
    let mut cpu: [Vec<f64>; 2] = Default::default();
    let mut p50 = cpu.clone();
    let (mut p99, mut first, mut rate) = (cpu.clone(), cpu.clone(), cpu.clone());
    let mut waited = cpu.clone();
    let mut failed = 0;
    for part in [&parts.floor, &parts.gateway] {
        load::run(part.addr, kind, connections, 0.3, pace).await;
    }
    for _ in 0..plan.rounds {
        for (at, part) in [&parts.floor, &parts.gateway].into_iter().enumerate() {
            let ([spent, waits], seen) = measure(part, kind, connections, plan.seconds, pace).await;
            cpu[at].push(spent);
            waited[at].push(waits);
            p50[at].push(quantile(&seen.whole, 0.5));
            p99[at].push(quantile(&seen.whole, 0.99));
            first[at].push(quantile(&seen.first, 0.5));
            rate[at].push(seen.rate());
            failed += seen.failed;
        }
    }
    let mut ratios: Vec<f64> = cpu[0]
        .iter()
        .zip(&cpu[1])
        .map(|(floor, ours)| ours / floor)
        .collect();
    let row = Row {
        name: name.to_owned(),
        ratio: median(&mut ratios),
        cpu: cpu.map(|mut values| median(&mut values)),
        waited: waited.map(|mut values| median(&mut values)),
        p50: p50.map(|mut values| median(&mut values)),
        p99: p99.map(|mut values| median(&mut values)),
        first: first.map(|mut values| median(&mut values)),
        rate: rate.map(|mut values| median(&mut values)),
        failed,
    };
    println!("{}", row.line());
    let _ = std::io::stdout().flush();
    row
}

/// Connections of a load at fixed times: so many that a request does not wait for the one before.
const PACED: usize = 64;

/// The median of the medians and of the 99th percentiles of the load with no proxy in between: what it
/// adds itself, and the upstream.
async fn alone(upstream: &Part, plan: &Plan, kind: Kind, pace: Pace) -> [f64; 2] {
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let seen = load::run(upstream.addr, kind, PACED, plan.seconds, pace).await;
        p50.push(quantile(&seen.whole, 0.5));
        p99.push(quantile(&seen.whole, 0.99));
    }
    [median(&mut p50), median(&mut p99)]
}

/// Bytes of resident memory an open stream.
async fn idle(parts: &mut Parts, kind: Kind, streams: usize) -> Option<[f64; 2]> {
    parts.restart();
    let request = kind.request();
    let mut bytes = [0.0; 2];
    for (at, part) in [&parts.floor, &parts.gateway].into_iter().enumerate() {
        load::run(part.addr, Kind::Small, 4, 0.3, Pace::Closed).await;
        let before = part.memory();
        let mut open = Vec::with_capacity(streams);
        for _ in 0..streams {
            let mut asker = Asker::connect(part.addr).await.ok()?;
            if let Err(error) = asker.open(&request).await {
                eprintln!("idle: {error}");
                return None;
            }
            open.push(asker);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        bytes[at] = (part.memory() - before) / streams as f64;
    }
    Some(bytes)
}

pub(crate) async fn run(plan: &Plan) {
    fs::create_dir_all(&plan.out).expect("a folder for the results");
    let mut parts = Parts::start(plan);
    let wanted = |name: &str| name.contains(&plan.only);
    let mut rows = Vec::new();
    for (name, kind, connections) in [
        ("unary 300 B, 1 connection", Kind::Small, 1),
        ("unary 300 B, 32 connections", Kind::Small, 32),
        ("unary 300 B, 256 connections", Kind::Small, 256),
        ("request of 100 KB, 32 connections", Kind::LargeRequest, 32),
        ("answer of 100 KB, 32 connections", Kind::LargeAnswer, 32),
        ("stream of 100 events, 1 connection", Kind::Burst, 1),
        ("stream of 100 events, 32 connections", Kind::Burst, 32),
        ("stream of 100 events, 256 connections", Kind::Burst, 256),
        ("dribbled stream, 32 connections", Kind::Dribble, 32),
    ] {
        if wanted(name) {
            rows.push(compare(name, &parts, plan, kind, connections, Pace::Closed).await);
        }
    }
    // At fixed times, both at the same rate: a low one, and half of what the gateway bears, or what
    // `RATE` says.
    let mut paced = Vec::new();
    let top = rows
        .iter()
        .find(|row| row.name == "unary 300 B, 32 connections")
        .map(|row| row.rate[1] / 2.0);
    let half = env::var("RATE").ok().and_then(|n| n.parse().ok()).or(top);
    for (name, rate) in [
        ("unary 300 B, 2 000 a second", Some(2000.0)),
        ("unary 300 B, half load", half),
    ] {
        if let Some(rate) = rate.filter(|_| wanted(name)) {
            let pace = Pace::Open(rate);
            let row = compare(name, &parts, plan, Kind::Small, PACED, pace).await;
            let alone = alone(&parts.upstream, plan, Kind::Small, pace).await;
            let note = report::paced(&row, alone);
            println!("{note}");
            rows.push(row);
            paced.push(note);
        }
    }
    let mut first = None;
    let name = "first event";
    if wanted(name) {
        let row = compare(name, &parts, plan, Kind::Timed, 1, Pace::Closed).await;
        println!(
            "first event, from written upstream to read by the client: floor {:.0} µs, gateway {:.0} µs",
            row.first[0], row.first[1]
        );
        first = Some(row.first);
    }
    let mut memory = Vec::new();
    // A proxy holds two sockets a stream: 10,000 of them need a limit above 20,000 open files.
    let many = env::var("STREAMS").ok().and_then(|n| n.parse().ok());
    for (name, kind, streams) in [
        ("idle streams", Kind::Idle, 1_000),
        ("idle streams", Kind::Idle, many.unwrap_or(9_500)),
        (
            "idle streams after requests of 100 KB",
            Kind::Conversation,
            1_000,
        ),
    ] {
        if wanted(name) {
            if let Some(bytes) = idle(&mut parts, kind, streams).await {
                println!(
                    "{name} {streams}: floor {:.1} KiB, gateway {:.1} KiB each",
                    bytes[0] / 1024.0,
                    bytes[1] / 1024.0
                );
                memory.push((format!("{streams} {name}"), bytes));
            }
        }
    }
    let events = (EVENTS + 4) as f64;
    fs::write(
        plan.out.join("results.md"),
        report::markdown(&rows, &paced, first, &memory, events),
    )
    .expect("written");
    fs::write(plan.out.join("plot.svg"), report::svg(&rows)).expect("written");
    println!("results in {}", plan.out.display());
}
