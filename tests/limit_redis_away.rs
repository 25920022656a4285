//! Limits in Redis when it is gone, through gateways, and leased.

#![cfg(feature = "redis")]

#[path = "support/asks.rs"]
mod asks;
#[path = "support/redis.rs"]
mod server;
mod support;

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use asks::{hasty, one, patient, request, standing, tokens, until};
use server::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower_completions::limit::{
    Ask, Decision, Hold as _, Limits, Rate, Refusal, Report, Retry, Store as _, Unit, Zone,
    redis::{Leased, LeasedHold, Outage, Redis},
};

/// How many of so many requests are admitted.
async fn admitted(store: &Redis, limits: &Limits, of: u64) -> u64 {
    let mut count = 0;
    for _ in 0..of {
        if let Ok(Decision::Admitted(hold, _)) = store.take(one("acme", limits, request())).await {
            hold.settle(&request());
            count += 1;
        }
    }
    count
}

#[tokio::test]
async fn killed_it_is_replaced_by_a_share_and_found_again() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let store = hasty(&server.url()).build();
    let limits = Limits::new().requests(Rate::per_day(10));
    until("the first decision", async || {
        let _ = admitted(&store, &limits, 1).await;
        store.stats().decided > 0
    })
    .await;
    let port = server.kill();
    let before = store.stats();
    until("an outage", async || {
        let _ = store.take(one("other", &limits, request())).await;
        store.stats().suspended > before.suspended
    })
    .await;
    // Half of ten, whatever Redis had given out before.
    let begin = Instant::now();
    let local = admitted(&store, &limits, 20).await;
    assert!((4..=5).contains(&local), "{local}");
    assert!(begin.elapsed() < Duration::from_secs(5));
    let stats = store.stats();
    assert!(stats.gone + stats.slow >= 3, "{stats:?}");
    assert!(stats.by_local_share >= 20, "{stats:?}");

    let server = Server::on(port).expect("the port is free again");
    until("Redis decides again", async || {
        let before = store.stats().decided;
        let _ = admitted(&store, &limits, 1).await;
        store.stats().decided > before
    })
    .await;
    drop(server);
}

#[tokio::test]
async fn closed_and_open_do_as_they_say() {
    // Nobody listens there.
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let url = format!("redis://{}", free.local_addr().expect("bound"));
    drop(free);
    let limits = Limits::new().requests_per_minute(1);
    let closed = hasty(&url).outage(Outage::Closed).build();
    let open = hasty(&url).outage(Outage::Open).build();
    for _ in 0..10 {
        let error = closed
            .take(one("acme", &limits, request()))
            .await
            .expect_err("closed");
        assert_eq!(error.code(), Some("limits_unavailable"));
        let told = open.take(one("acme", &limits, request())).await;
        assert!(matches!(told, Ok(Decision::Admitted(..))));
    }
    assert_eq!((closed.stats().closed, open.stats().open), (10, 10));
}

/// In front of a server: passes on so many calls of the script, and none of those after them.
async fn passes(server: &Server, calls: &Arc<AtomicU64>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let url = format!("redis://{}", listener.local_addr().expect("bound"));
    let (port, calls) = (server.port(), Arc::clone(calls));
    tokio::spawn(async move {
        let (store, _) = listener.accept().await.expect("one");
        let redis = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
        let (mut answers, mut asked) = redis.expect("it listens").into_split();
        let (mut asks, mut answered) = store.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut answers, &mut answered).await });
        let mut chunk = Vec::new();
        while asks.read_buf(&mut chunk).await.is_ok_and(|read| read > 0) {
            let called = chunk.windows(7).filter(|word| word == b"EVALSHA").count();
            let left = calls.load(Ordering::Relaxed).checked_sub(called as u64);
            let Some(left) = left else {
                return std::future::pending().await;
            };
            calls.store(left, Ordering::Relaxed);
            asked.write_all(&chunk).await.expect("it reads");
            chunk.clear();
        }
    });
    url
}

/// What Redis has said once stands, where it does not answer the same question again in time.
#[tokio::test]
async fn a_refusal_that_is_not_judged_again_in_time_stands() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let calls = Arc::new(AtomicU64::new(u64::MAX));
    let store = hasty(&passes(&server, &calls).await)
        .outage(Outage::Open)
        .budget(Duration::from_secs(1))
        .build();
    let many = Limits::new().requests(Rate::per_day(1000));
    until("the first decision", async || {
        let _ = admitted(&store, &many, 1).await;
        store.stats().decided > 0
    })
    .await;
    store.flush().await;
    let limits = Limits::new().max_concurrent(1);
    let take = || store.take(one("acme", &limits, request().with_slot()));
    let told = take().await.expect("it answers");
    let Decision::Admitted(hold, _) = told else {
        panic!("{told:?}");
    };
    let before = store.stats();
    // This question, and the end that is told behind it; not the question that is asked again.
    calls.store(2, Ordering::Relaxed);
    hold.settle(&request());
    let told = take().await.expect("it has answered");
    assert!(matches!(told, Decision::Refused(_)), "{told:?}");
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    let stats = store.stats();
    assert_eq!((stats.slow, stats.open), (before.slow, before.open));
    assert_eq!(stats.decided, before.decided + 1);
}

/// What fits into the limit and not into a share of it is to come again: a refusal for good would be
/// wrong as soon as Redis is back.
#[tokio::test]
async fn larger_than_the_share_is_not_larger_than_the_limit() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let url = format!("redis://{}", free.local_addr().expect("bound"));
    drop(free);
    let limits = Limits::new().tokens(Rate::per_minute(1000));
    let store = hasty(&url).build();
    for (amount, expected) in [
        (500, None),
        (501, Some(Retry::Release)),
        (1000, Some(Retry::Release)),
        (1001, Some(Retry::Never)),
    ] {
        let told = store.take(one("acme", &limits, tokens(amount))).await;
        let refused = match told.expect("a share decides") {
            Decision::Admitted(hold, _) => {
                hold.settle(&tokens(0));
                None
            }
            Decision::Refused(refusal) => Some(refusal.retry),
        };
        assert_eq!(refused, expected, "{amount}");
    }
}

#[tokio::test]
async fn paused_it_costs_its_budget_and_takes_nothing_unseen() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let budget = Duration::from_millis(20);
    let store = hasty(&server.url()).budget(budget).build();
    let limits = Limits::new().requests(Rate::per_day(1000));
    until("the first decision", async || {
        let _ = admitted(&store, &limits, 1).await;
        store.stats().decided > 0
    })
    .await;
    let before = store.stats();
    server.pause();
    let begin = Instant::now();
    let _ = admitted(&store, &limits, 100).await;
    // Three wait for the budget, the others for nothing: a slow machine may add to it.
    let took = begin.elapsed();
    let stats = store.stats();
    server.resume();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(stats.slow > before.slow, "{stats:?}");
    assert!(stats.suspended >= before.suspended + 50, "{stats:?}");
    until("Redis decides again", async || {
        let before = store.stats().decided;
        let _ = admitted(&store, &limits, 1).await;
        store.stats().decided > before
    })
    .await;
    // What it decided is counted there, and nothing else.
    until("what came late is given back", async || {
        store.flush().await;
        let stats = store.stats();
        let report = standing(&store, "acme", &limits).await;
        let used = 1000 - report.requests.map_or(0, |it| it.remaining);
        used <= stats.decided
    })
    .await;
}

/// Answers everything it is sent with the same bytes.
fn liar(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let url = format!("redis://{}", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            std::thread::spawn(move || {
                let mut bytes = [0; 65_536];
                while stream.read(&mut bytes).is_ok_and(|count| count > 0) {
                    if stream.write_all(answer).is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn nonsense_is_never_taken_for_an_answer() {
    let limits = Limits::new().requests(Rate::per_day(10)).max_concurrent(4);
    for answer in [
        b"+OK\r\n".as_slice(),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"*0\r\n",
        b"*2\r\n:1\r\n:5\r\n",
        b"*6\r\n:1\r\n:5\r\n:-1\r\n:-1\r\n:0\r\n:0\r\n",
        b"*6\r\n:1\r\n:5\r\n:1\r\n:-1\r\n:-7\r\n:0\r\n",
        b"*6\r\n:1\r\n:5\r\n:1\r\n:5\r\n:7\r\n:0\r\n",
        b"*6\r\n:2\r\n:5\r\n:1\r\n:-1\r\n:7\r\n:0\r\n",
        b"*6\r\n:1\r\n:5\r\n:1\r\n:-1\r\n:9223372036854775807\r\n:0\r\n",
        b"*6\r\n:9\r\n:5\r\n:1\r\n:-1\r\n:0\r\n:0\r\n",
        b"$-1\r\n",
        b"-OOM command not allowed\r\n",
        b"-MOVED 5 127.0.0.1:1\r\n",
        b"\x00\xff\x00\xff\r\n",
        b"*99999999\r\n",
    ] {
        let url = liar(answer);
        let store = hasty(&url).budget(Duration::from_millis(200)).build();
        let ask = || one("acme", &limits, request().with_slot());
        let mut held = Vec::new();
        for _ in 0..20 {
            if let Ok(Decision::Admitted(hold, _)) = store.take(ask()).await {
                held.push(hold);
            }
        }
        let stats = store.stats();
        let text = String::from_utf8_lossy(answer);
        assert_eq!(stats.decided, 0, "{text:?} {stats:?}");
        assert_eq!(stats.by_local_share, 20, "{text:?} {stats:?}");
        assert_eq!(held.len(), 2, "a half of four slots: {text:?}");
    }
}

/// An address that leads to one port, and to another later: connections stay where they led.
fn address(to: &Arc<AtomicU16>) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let url = format!("redis://{}", listener.local_addr().expect("bound"));
    let to = Arc::clone(to);
    std::thread::spawn(move || {
        for node in listener.incoming() {
            let port = to.load(Ordering::SeqCst);
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
            let (Ok(node), Ok(server)) = (node, server) else {
                continue;
            };
            for (from, to) in [(&node, &server), (&server, &node)] {
                let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else {
                    continue;
                };
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            }
        }
    });
    url
}

/// A fail-over may leave the former primary at work as a replica, which looks well and takes no writes.
#[tokio::test]
async fn a_server_that_has_become_a_replica_is_left_for_its_successor() {
    if server::missing() {
        return;
    }
    let (old, new) = (Server::start(), Server::start());
    let to = Arc::new(AtomicU16::new(old.port()));
    let store = hasty(&address(&to)).budget(Duration::from_secs(1)).build();
    let limits = Limits::new().requests_per_minute(600);
    let decides = async || {
        let before = store.stats().decided;
        let _ = store.take(one("acme", &limits, request())).await;
        store.stats().decided > before
    };
    until("the first decision", decides).await;
    let demoted = old.command("REPLICAOF 127.0.0.1 1");
    assert_eq!(demoted.as_deref(), Some("+OK\r\n"));
    until("an outage of some looks", async || {
        let _ = store.take(one("acme", &limits, request())).await;
        store.stats().suspended > 100
    })
    .await;
    let stats = store.stats();
    assert!(stats.nonsense <= 5, "found well in between: {stats:?}");
    to.store(new.port(), Ordering::SeqCst);
    until("the successor decides", decides).await;
    assert!(new.command("KEYS *").expect("keys").contains("acme"));
}

/// A configuration of the example gateway with its limits in this Redis.
fn gateway(url: &str, key: &str) -> String {
    format!(
        "[limits]\nstore = \"{url}\"\n\n[[providers]]\nname = \"mock\"\nkind = \"mock\"\n\n\
         [[models]]\nid = \"mock/echo\"\ntargets = [{{ provider = \"mock\", model = \"mock/echo\" }}]\n\n\
         [[keys]]\nname = \"demo\"\nsecret = \"sk-demo\"\n{key}"
    )
}

const HELLO: &str =
    r#"{"model":"mock/echo","max_tokens":5,"messages":[{"role":"user","content":"hello"}]}"#;

#[tokio::test]
async fn three_gateways_are_one_to_their_clients() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let config = gateway(
        &server.url(),
        "requests_per_minute = 6\ntokens_per_minute = 100000\nmax_concurrent = 4\n",
    );
    // However slow the machine: no node may decide alone.
    let config = config.replacen(
        "[limits]\n",
        "[limits]\nbudget_ms = 60000\noutage = \"closed\"\n",
        1,
    );
    let gateways = [(); 3].map(|()| support::Gateway::start(&config));
    let begin = Instant::now();
    let mut admitted = 0.0;
    for at in 0..60 {
        let answer = gateways[at % 3].post("sk-demo", HELLO).await;
        let headers = &answer.headers;
        assert_eq!(headers["x-ratelimit-limit-requests"], "6");
        match answer.status.as_u16() {
            200 => admitted += 1.0,
            429 => assert!(headers.contains_key("retry-after-ms")),
            status => panic!("{status}: {}", gateways[at % 3].log()),
        }
    }
    // One flows back every ten seconds. Three that count apart would have admitted three times six.
    let most = 6.0 + begin.elapsed().as_secs_f64() / 10.0 + 1.0;
    assert!((6.0..=most).contains(&admitted), "{admitted} of {most}");
    for gateway in &gateways {
        let log = gateway.log();
        assert!(!log.contains("Redis does not decide"), "{log}");
    }
    for gateway in &gateways {
        let told = gateway.get("sk-demo", "/v1/key").await;
        let json: serde_json::Value = serde_json::from_str(&told.body).expect("JSON");
        let requests = &json["data"]["requests"];
        assert_eq!(requests["limit"], 6);
        // What has flowed back since the first of them, at the very most.
        let back = begin.elapsed().as_secs_f64() / 10.0 + 1.0;
        let remaining = requests["remaining"].as_f64().expect("a number");
        assert!(6.0 + back - admitted >= remaining, "{json}");
        assert_eq!(json["data"]["tokens"]["limit"], 100_000);
        assert_eq!(json["data"]["concurrent"]["limit"], 4);
    }
}

#[tokio::test]
async fn gateways_may_lease() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let config = gateway(
        &server.url(),
        "requests_per_minute = 60\nmax_concurrent = 4\n",
    );
    // However slow the machine: Redis is in time until it is gone.
    let config = config.replacen(
        "[limits]\n",
        "[limits]\nmode = \"leased\"\noutage = \"closed\"\nnodes = 2\nbudget_ms = 60000\n",
        1,
    );
    let gateways = [(); 2].map(|()| support::Gateway::start(&config));
    for at in 0..20 {
        let answer = gateways[at % 2].post("sk-demo", HELLO).await;
        assert_eq!(answer.status, 200, "{}", gateways[at % 2].log());
    }
    server.kill();
    let mut refused = 0;
    for _ in 0..20 {
        let answer = gateways[0].post("sk-demo", HELLO).await;
        refused += u64::from(answer.status == 503);
    }
    assert!(refused > 10, "a slice of three, and then closed");
}

#[tokio::test]
async fn a_gateway_outlives_its_redis() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let config = gateway(&server.url(), "requests_per_minute = 60\n");
    // However slow the machine: Redis is in time until it is gone.
    let config = config.replacen("[limits]\n", "[limits]\nbudget_ms = 60000\n", 1);
    let gateway = support::Gateway::start(&config);
    assert_eq!(gateway.post("sk-demo", HELLO).await.status, 200);
    server.kill();
    for _ in 0..10 {
        assert_eq!(gateway.post("sk-demo", HELLO).await.status, 200);
    }
    let log = gateway.says("Redis does not decide").await;
    assert_eq!(log.matches("Redis does not decide").count(), 1, "{log}");
}

/// How often the server has run a script.
fn scripts_run(server: &Server) -> u64 {
    let stats = server.command("INFO commandstats").expect("an answer");
    let calls = stats.split("cmdstat_evalsha:calls=").nth(1);
    let digits = calls.and_then(|rest| rest.split(',').next());
    digits.and_then(|text| text.parse().ok()).unwrap_or(0)
}

async fn take_leased(store: &Leased, ask: Ask) -> Result<(LeasedHold, Report), Refusal> {
    match store.take(ask).await.expect("Redis answers") {
        Decision::Admitted(hold, report) => Ok((hold, report)),
        Decision::Refused(refusal) => Err(refusal),
    }
}

#[tokio::test]
async fn a_lease_decides_without_asking() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let store = Leased::new(patient(&server.url()).build());
    let limits = Limits::new()
        .requests(Rate::per_day(10_000))
        .tokens(Rate::per_day(10_000_000))
        .max_concurrent(100);
    let weights = request().with(Unit::Tokens, 1000).with_slot();
    let actual = request().with(Unit::Tokens, 700);
    for _ in 0..5000 {
        let ask = one("acme", &limits, weights);
        let (hold, _) = take_leased(&store, ask).await.expect("there is plenty");
        hold.settle(&actual);
    }
    // Slices of five hundred, the next one leased when half is gone.
    let run = scripts_run(&server);
    assert!(run <= 60, "{run} scripts for 5000 decisions");
    store.flush().await;
    let report = standing(store.redis(), "acme", &limits).await;
    assert_eq!(report.requests.expect("a limit").remaining, 5000);
    let left = report.tokens.expect("a limit").remaining;
    assert!((6_500_000..=6_501_000).contains(&left), "{left}");
    assert_eq!(report.concurrent.expect("slots").in_use, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leasing_nodes_share_exactly_what_there_is_when_nothing_flows_back() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let limits = Limits::new()
        .requests(Rate::per_day(2000))
        .max_concurrent(5);
    let stores: Vec<Leased> = (0..3)
        .map(|_| Leased::new(patient(&server.url()).build()))
        .collect();
    let (admitted, running) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = Vec::new();
    for at in 0..12_usize {
        let store = stores[at % 3].clone();
        let limits = limits.clone();
        let (admitted, running) = (Arc::clone(&admitted), Arc::clone(&running));
        tasks.push(tokio::spawn(async move {
            loop {
                let ask = one("acme", &limits, request().with_slot());
                match take_leased(&store, ask).await {
                    Ok((hold, _)) => {
                        assert!(running.fetch_add(1, Ordering::SeqCst) < 5);
                        admitted.fetch_add(1, Ordering::Relaxed);
                        tokio::task::yield_now().await;
                        running.fetch_sub(1, Ordering::SeqCst);
                        hold.settle(&request());
                    }
                    Err(it) if it.retry == Retry::Release => {
                        // Another node has all slots, used or not, until it gives some back.
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    Err(_) => break,
                }
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    let admitted = admitted.load(Ordering::Relaxed);
    // A slice is a hundred: a node may have been left with one when another was refused.
    assert!(admitted <= 2000, "{admitted}");
    assert!(admitted >= 2000 - 3 * 200, "{admitted}");
    for store in &stores {
        store.flush().await;
    }
    let report = standing(stores[0].redis(), "acme", &limits).await;
    let left = report.requests.expect("a limit").remaining;
    assert_eq!(left, 2000 - admitted, "what was not used is given back");
    assert_eq!(report.concurrent.expect("slots").in_use, 0);
}

#[tokio::test]
async fn leases_overshoot_by_no_more_than_is_said_and_nearly_so_much() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    // A slice is a hundred; all that was leased long ago is there again after two seconds.
    let limits = Limits::new().tokens(Rate::new(1000, Duration::from_secs(2)));
    let (nodes, slice) = (3, 100);
    let stores: Vec<Leased> = (0..nodes)
        .map(|_| Leased::new(patient(&server.url()).build()).slices(10))
        .collect();
    let take = async |store: &Leased, amount| {
        take_leased(store, one("acme", &limits, tokens(amount))).await
    };
    // The worst that a node may keep: one slice leased in advance, and one given back.
    for store in &stores {
        let (hold, _) = take(store, 2 * slice).await.expect("room");
        until("a slice is leased in advance", async || store.leases() >= 2).await;
        hold.settle(&tokens(slice));
    }
    until("all of it is there again", async || {
        let report = standing(stores[0].redis(), "acme", &limits).await;
        report.tokens.expect("a limit").remaining == 1000
    })
    .await;
    let begin = Instant::now();
    let mut admitted = 0;
    for store in &stores {
        // What it has leased, and then whatever else there is.
        while let Ok((hold, _)) = take(store, 10).await {
            hold.settle(&tokens(10));
            admitted += 10;
        }
    }
    let flow = 500.0 * begin.elapsed().as_secs_f64();
    let admitted = f64::from(admitted);
    let overshoot = admitted - 1000.0 - flow;
    let most = f64::from(nodes) * (2.0 * 100.0 + 10.0);
    assert!(overshoot <= most, "{overshoot} > {most}");
    // What flows back on the way is not all taken, so the time counts for the other side only.
    assert!(
        admitted >= 1000.0 + f64::from(nodes) * 2.0 * 100.0 * 0.9,
        "{admitted}"
    );
}

#[tokio::test]
async fn a_lease_outlasts_redis_and_debt_is_paid_from_the_next() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let redis = hasty(&server.url()).budget(Duration::from_secs(2));
    let store = Leased::new(redis.outage(Outage::Closed).build());
    let limits = Limits::new().tokens(Rate::per_day(100_000));
    let ask = |amount| one("acme", &limits, tokens(amount));
    let (hold, _) = take_leased(&store, ask(1000)).await.expect("room");
    // Nine thousand more than the slice that was leased.
    hold.settle(&tokens(14_000));
    let (hold, _) = take_leased(&store, ask(1)).await.expect("room");
    hold.settle(&tokens(1));
    store.flush().await;
    let report = standing(store.redis(), "acme", &limits).await;
    let left = report.tokens.expect("a limit").remaining;
    assert!((85_990..=85_999).contains(&left), "{left}");
    let (hold, _) = take_leased(&store, ask(1)).await.expect("room");
    hold.settle(&tokens(1));
    until("a whole slice is leased", async || {
        let (hold, _) = take_leased(&store, ask(1)).await.expect("room");
        hold.settle(&tokens(1));
        let mut look = ask(0);
        look.peek = true;
        let report = take_leased(&store, look).await.expect("a look").1;
        report.tokens.is_some() && store.leases() >= 3
    })
    .await;
    server.kill();
    let (hold, _) = take_leased(&store, ask(1000)).await.expect("leased before");
    drop(hold);
    let closed = store.take(ask(50_000)).await.expect_err("closed");
    assert_eq!(closed.code(), Some("limits_unavailable"));
}

/// However often the limits of a key change, what was leased of one goes back to that one.
#[tokio::test]
async fn what_is_leased_of_limits_that_change_goes_back_where_it_came_from() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let store = Leased::new(patient(&server.url()).build());
    let first = Limits::new().requests(Rate::per_day(1000));
    // So slowly that nothing flows back meanwhile.
    let second = Limits::new()
        .tokens(Rate::new(10_000, Duration::from_secs(100 * 86_400)))
        .requests(Rate::per_day(1000));
    let third = second.clone().output_tokens(Rate::per_day(1_000_000));
    let weights = request().with(Unit::Tokens, 10);
    for limits in [&first, &second, &third] {
        let (hold, _) = take_leased(&store, one("acme", limits, weights))
            .await
            .expect("there is plenty");
        hold.settle(&weights);
    }
    store.flush().await;
    let report = standing(store.redis(), "acme", &third).await;
    assert_eq!(report.requests.expect("a limit").remaining, 1000 - 3);
    assert_eq!(report.tokens.expect("a limit").remaining, 10_000 - 2 * 10);
}

/// A zone of the application panics once, in the task that asks for a lease: those that wait hear of
/// it at once, and the next asks anew.
#[tokio::test]
async fn a_call_for_a_lease_that_panics_is_over() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let redis = patient(&server.url()).outage(Outage::Open).build();
    let store = Leased::new(redis);
    let broken = AtomicBool::new(true);
    let zone = Zone::rule(move |_| {
        assert!(!broken.swap(false, Ordering::Relaxed), "a bug of the zone");
        0
    });
    let limits = Limits::new().tokens_daily(1000, zone);
    let begin = Instant::now();
    let ask = || one("acme", &limits, tokens(100));
    let (hold, report) = take_leased(&store, ask()).await.expect("open");
    drop(hold);
    assert_eq!(report, Report::default(), "nobody has decided");
    assert_eq!(store.redis().stats().gone, 1);
    let (_hold, report) = take_leased(&store, ask()).await.expect("room");
    assert_eq!(report.tokens.expect("Redis has decided").remaining, 900);
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(9), "{took:?} of a budget of ten");
}
