//! The durable ledger in a process that is killed, and in the example gateway.

#![cfg(feature = "ledger-redb")]

#[path = "support/books.rs"]
mod books;

use std::{
    collections::BTreeSet,
    io::Read,
    os::unix::fs::FileExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use tower_completions::cost::{Amount, Ledger, RedbLedger, What};

const fn usd(pico: i128) -> Amount {
    Amount::from_pico(pico)
}

const CHILD: &str = "LEDGER_REDB_CHILD";

/// What the process does that is killed: tells what is acknowledged, each by a line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_of_the_next() {
    let Ok(path) = std::env::var(CHILD) else {
        return;
    };
    let ledger = RedbLedger::open(&path).expect("opens");
    ledger
        .grant("a", usd(1), &std::process::id().to_string())
        .await
        .expect("written");
    println!("granted");
    let tasks = (0..8).map(|task| {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            for n in 0.. {
                let hold = ledger.hold("b", usd(5).into()).await.expect("unlimited");
                println!("held {}", hold.id());
                if (n + task) % 3 == 0 {
                    drop(hold);
                    continue;
                }
                let id = hold.id();
                ledger.settle(hold, usd(2));
                if n % 2 == 0 {
                    ledger.flush().await.expect("written");
                    println!("settled {id}");
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("goes on until it is killed");
    }
}

/// Runs it for a while and kills it; what it has said.
fn kill_one(path: &Path, after: Duration) -> String {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child_of_the_next", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("runs");
    let mut out = child.stdout.take().expect("piped");
    let reader = std::thread::spawn(move || {
        let mut said = String::new();
        let _ = out.read_to_string(&mut said);
        said
    });
    std::thread::sleep(after);
    let _ = Command::new("kill")
        .args(["-KILL", &child.id().to_string()])
        .status();
    child.wait().expect("ended");
    reader.join().expect("read")
}

/// `LEDGER_KILLS` says how often; `scripts/ledger` does it a thousand times.
#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let kills = std::env::var("LEDGER_KILLS").map_or(20_u64, |n| n.parse().expect("a number"));
    let dir = tempfile::tempdir().expect("a directory");
    let (mut held, mut settled, mut granted) = (0, 0, 0);
    for round in 0..kills {
        // A new file now and then: after a crash all of it is read, and half-made ones are a case too.
        let path = dir.path().join(format!("{}.redb", round / 10));
        let said = kill_one(&path, Duration::from_millis(round * 37 % 200));
        let ledger = RedbLedger::open(&path).expect("opens");
        let mismatches = ledger.reconcile().expect("readable");
        let entries = ledger.entries(0, usize::MAX).expect("readable");
        let ids = |wanted: fn(&What) -> bool| -> BTreeSet<String> {
            let wanted = entries.iter().filter(|entry| wanted(&entry.what));
            wanted
                .filter_map(|it| Some(it.what.hold()?.to_string()))
                .collect()
        };
        let in_file = (
            ids(|what| matches!(what, What::Held { .. })),
            ids(|what| matches!(what, What::Settled { .. })),
        );
        for line in said.lines() {
            match line.split_once(' ') {
                Some(("held", id)) => {
                    held += 1;
                    assert!(
                        in_file.0.contains(id),
                        "round {round}: the hold {id} is lost"
                    );
                }
                Some(("settled", id)) => {
                    settled += 1;
                    assert!(
                        in_file.1.contains(id),
                        "round {round}: the charge of {id} is lost"
                    );
                }
                _ => granted += usize::from(line == "granted"),
            }
        }
        for account in ["a", "b"] {
            books::conserved(ledger.statement(account), &mismatches);
        }
    }
    println!(
        "{kills} kills: {granted} grants, {held} holds, {settled} charges acknowledged, none lost"
    );
    assert!(held > 0 && settled > 0, "{held} {settled}");
}

/// How long the disk itself takes to sync what a transaction writes: some fifteen pages here and there.
fn syncs(dir: &Path, times: u64) -> Vec<Duration> {
    const PAGES: u64 = 4096;
    let file = std::fs::File::create(dir.join("syncs")).expect("a file");
    let page = [7; 4096];
    for at in 0..PAGES {
        file.write_all_at(&page, at * 4096).expect("written");
    }
    file.sync_data().expect("synced");
    let mut at = 1_u64;
    let mut sync = || {
        for _ in 0..15 {
            at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let page_at = (at >> 33) % PAGES;
            file.write_all_at(&page, page_at * 4096).expect("written");
        }
        let begun = std::time::Instant::now();
        file.sync_data().expect("synced");
        begun.elapsed()
    };
    (0..times).map(|_| sync()).collect()
}

fn shares(took: &mut [Duration]) -> String {
    took.sort();
    let share = |of_thousand: usize| took[(took.len() - 1) * of_thousand / 1000];
    let [median, p90, p99] = [500, 900, 990].map(share);
    let [worse, most] = [999, 1000].map(share);
    format!("median {median:.1?}, p90 {p90:.1?}, p99 {p99:.1?}, p99.9 {worse:.1?}, most {most:.1?}")
}

/// Holds at a steady rate, whoever waits for whom: `LEDGER_RATE` a second for `LEDGER_SECONDS`, each
/// timed from its arrival until it is durable, beside what the disk takes for a sync by itself.
/// `scripts/ledger rate` reports 5 000 a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durable_holds_at_a_rate() {
    let number = |name: &str, short: u64| -> u64 {
        std::env::var(name).map_or(short, |n| n.parse().expect("a number"))
    };
    let (rate, seconds) = (number("LEDGER_RATE", 200), number("LEDGER_SECONDS", 1));
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = RedbLedger::open(dir.path().join("ledger.redb")).expect("opens");
    for n in 0..100 {
        let account = format!("a{n}");
        let granted = ledger
            .grant(&account, usd(i128::from(u64::MAX)), "first")
            .await;
        assert!(granted.expect("written"));
    }
    let mut synced = syncs(dir.path(), seconds * 50);
    let begun = std::time::Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    let mut tasks = Vec::new();
    while begun.elapsed().as_secs() < seconds {
        tick.tick().await;
        let due = begun.elapsed().as_secs_f64() * rate as f64;
        while (tasks.len() as f64) < due {
            let (ledger, account) = (ledger.clone(), format!("a{}", tasks.len() % 100));
            tasks.push(tokio::spawn(async move {
                let came = std::time::Instant::now();
                let hold = ledger.hold(&account, usd(5_000_000).into()).await;
                let took = came.elapsed();
                ledger.settle(hold.expect("enough"), usd(2_000_000));
                took
            }));
        }
    }
    let mut took = Vec::new();
    for task in tasks {
        took.push(task.await.expect("no panic"));
    }
    ledger.flush().await.expect("written");
    let mismatches = ledger.reconcile().expect("readable");
    for n in 0..100 {
        books::conserved(ledger.statement(&format!("a{n}")), &mismatches);
    }
    synced.extend(syncs(dir.path(), seconds * 50));
    let holds = took.len();
    println!("{holds} holds at {rate}/s: {}", shares(&mut took));
    println!(
        "the disk's own syncs, before and after: {}",
        shares(&mut synced)
    );
    assert!(took.len() as u64 >= rate * seconds / 2);
}
