//! Limits in Redis, against a private server: what is shared, and at what price.

#![cfg(feature = "redis")]

#[path = "support/asks.rs"]
mod asks;
#[path = "support/redis.rs"]
mod server;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use asks::{decide, demand, one, patient, request, standing, tokens, until};
use server::Server;
use tower_completions::limit::{
    Ask, Decision, Hold as _, Limits, Rate, Retry, Store, Unit, Weights, Zone, redis::Leased,
    redis::Redis,
};

#[tokio::test]
async fn nodes_share_what_there_is() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let (a, b) = (
        patient(&server.url()).build(),
        patient(&server.url()).build(),
    );
    let limits = Limits::new().requests(Rate::per_day(10));
    let mut admitted = 0;
    for _ in 0..10 {
        for node in [&a, &b] {
            match decide(node, one("acme", &limits, request())).await {
                Ok((hold, report)) => {
                    admitted += 1;
                    assert_eq!(report.requests.expect("a limit").remaining, 10 - admitted);
                    hold.settle(&request());
                }
                Err(refusal) => {
                    let Retry::After(wait) = refusal.retry else {
                        panic!("{refusal:?}");
                    };
                    assert!(wait <= Duration::from_secs(8640), "{wait:?}");
                    assert!(wait > Duration::from_secs(8600), "{wait:?}");
                }
            }
        }
    }
    assert_eq!(admitted, 10);
    assert_eq!(
        a.stats().decided + b.stats().decided,
        20,
        "{:?} {:?}",
        a.stats(),
        b.stats()
    );
}

#[tokio::test]
async fn tokens_are_settled_and_debt_is_carried() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let store = patient(&server.url()).build();
    let limits = Limits::new().tokens(Rate::per_day(1000));
    let take = |amount| decide(&store, one("acme", &limits, tokens(amount)));
    let remaining = async || {
        store.flush().await;
        let report = standing(&store, "acme", &limits).await;
        let tokens = report.tokens.expect("a limit");
        (tokens.remaining, tokens.debt)
    };
    let (hold, report) = take(400).await.expect("room");
    assert_eq!(report.tokens.expect("a limit").remaining, 600);
    hold.settle(&tokens(100));
    assert_eq!(remaining().await, (900, 0));
    // Dropped, it gives everything back.
    drop(take(900).await.expect("room"));
    assert_eq!(remaining().await, (900, 0));
    let (hold, _) = take(900).await.expect("room");
    hold.settle(&tokens(1150));
    assert_eq!(remaining().await, (0, 250));
    let refusal = take(1).await.expect_err("in debt");
    let Retry::After(wait) = refusal.retry else {
        panic!("{refusal:?}");
    };
    let wanted = Duration::from_secs(86_400) * 251 / 1000;
    assert!(wait <= wanted && wait > wanted - Duration::from_secs(60));
    let never = take(1001).await.expect_err("too large");
    assert_eq!(never.retry, Retry::Never);
    assert_eq!(never.report.tokens.expect("a limit").debt, 250);
}

/// By the server's clock, which no test can move: the waits are short.
#[tokio::test]
async fn whoever_waits_as_told_is_admitted_and_in_debt_too() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let store = patient(&server.url()).build();
    let limits = Limits::new()
        .requests(Rate::new(50, Duration::from_secs(1)).burst(1))
        .tokens(Rate::new(10_000, Duration::from_secs(1)).burst(500));
    let weights = request().with(Unit::Tokens, 300);
    let take = || decide(&store, one("acme", &limits, weights));
    let mut waited = 0;
    for at in 0..20_u64 {
        let hold = match take().await {
            Ok((hold, _)) => hold,
            Err(refusal) => {
                let Retry::After(wait) = refusal.retry else {
                    panic!("{refusal:?}");
                };
                // As the headers say it.
                let told = Duration::from_millis(
                    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).expect("short"),
                );
                waited += 1;
                tokio::time::sleep(told).await;
                take().await.expect("it has waited as told").0
            }
        };
        // Now and then twice as much as was reserved, and more than there may be at once.
        hold.settle(&request().with(Unit::Tokens, 300 + at % 3 * 200));
        store.flush().await;
    }
    assert!(waited >= 10, "{waited}");
}

#[tokio::test]
async fn several_limits_admit_together_or_take_nothing() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let store = patient(&server.url()).build();
    let own = Limits::new().requests(Rate::per_day(10)).max_concurrent(9);
    let all = Limits::new().requests(Rate::per_day(3)).max_concurrent(2);
    let ask = || {
        Ask::new(
            [demand("key", "acme", &own), demand("global", "*", &all)],
            request().with_slot(),
        )
    };
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(decide(&store, ask()).await.expect("room").0);
    }
    let refusal = decide(&store, ask()).await.expect_err("no slot");
    assert_eq!((&*refusal.rule, refusal.retry), ("global", Retry::Release));
    assert_eq!(refusal.report.concurrent.expect("slots").in_use, 2);
    held.pop().expect("held").settle(&request());
    store.flush().await;
    held.push(decide(&store, ask()).await.expect("room").0);
    held.clear();
    store.flush().await;
    // The dropped ones gave their requests back, one was used.
    let report = standing(&store, "acme", &own).await;
    assert_eq!(report.requests.expect("a limit").remaining, 9);
    assert_eq!(report.concurrent.expect("slots").in_use, 0);
}

#[tokio::test]
async fn a_limit_changed_live_keeps_what_was_used() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let store = patient(&server.url()).build();
    let mut admitted = 0;
    let daily = |amount| Limits::new().requests_daily(amount, Zone::utc());
    let changes = [
        Limits::new().requests(Rate::per_day(5)),
        Limits::new().requests(Rate::per_day(8)),
        Limits::new().requests(Rate::per_day(6)),
        daily(8),
        daily(7),
        Limits::new().requests(Rate::new(8, Duration::from_secs(7 * 86_400))),
    ];
    for limits in changes {
        for _ in 0..10 {
            if let Ok((hold, _)) = decide(&store, one("acme", &limits, request())).await {
                hold.settle(&request());
                admitted += 1;
            }
        }
    }
    assert_eq!(admitted, 8);
}

/// What turns out to be used of a limit that counts over another time by now is owed there.
#[tokio::test]
async fn what_is_owed_when_a_limit_has_changed_is_owed_all_the_same() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let store = patient(&server.url()).build();
    let month = Limits::new().tokens(Rate::new(1000, Duration::from_secs(30 * 86_400)));
    let others = [
        Limits::new().tokens(Rate::new(1000, Duration::from_secs(7 * 86_400))),
        Limits::new().tokens_daily(1000, Zone::utc()),
    ];
    for (before, after) in [
        (&month, &others[0]),
        (&month, &others[1]),
        (&others[1], &month),
    ] {
        let key = format!("{before:?} {after:?}");
        let (hold, _) = decide(&store, one(&key, before, tokens(100)))
            .await
            .expect("room");
        let (other, _) = decide(&store, one(&key, after, tokens(1)))
            .await
            .expect("room");
        other.settle(&tokens(1));
        hold.settle(&tokens(600));
        store.flush().await;
        let left = standing(&store, &key, after).await.tokens;
        let left = left.expect("a limit").remaining;
        // What is used is never made less by converting it.
        assert!((397..=399).contains(&left), "{left}: {key}");
    }
}

#[tokio::test]
async fn a_day_of_the_calendar_is_counted_and_refunded() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let store = patient(&server.url()).build();
    let limits = Limits::new().tokens_daily(1000, Zone::utc());
    let (hold, _) = decide(&store, one("acme", &limits, tokens(1000)))
        .await
        .expect("room");
    let refusal = decide(&store, one("acme", &limits, tokens(1)))
        .await
        .expect_err("used up");
    let Retry::After(wait) = refusal.retry else {
        panic!("{refusal:?}");
    };
    assert!(wait <= Duration::from_secs(86_400));
    hold.settle(&tokens(300));
    store.flush().await;
    let report = standing(&store, "acme", &limits).await;
    assert_eq!(report.tokens.expect("a limit").remaining, 700);
}

/// The server's clock tells the day; the days that a node names are looked at for when they begin.
#[tokio::test]
async fn a_node_whose_clock_is_days_off_has_no_days_of_its_own() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let client = ::redis::Client::open(server.url()).expect("an address");
    let mut connection = client.get_connection().expect("it listens");
    let script = ::redis::Script::new(include_str!("../src/limit/redis/limits.lua"));
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = i64::try_from(since.expect("after 1970").as_secs()).expect("not for long");
    let day = |off: i64| (now.div_euclid(86_400) + off) * 86_400;
    for off in [-400, -4, -3, -2, -1, 0, 1, 2, 3, 400] {
        // The day of a node whose clock is so many days off: where it begins, where it ends, where the
        // next one does.
        let [begin, end, after] = [day(off), day(off + 1), day(off + 2)];
        let mut take = |cost: i64| -> Vec<i64> {
            let mut call = script.prepare_invoke();
            call.key(format!("h{off}")).key(format!("s{off}"));
            for arg in ["take", "0", "id", "1000", "-1", "1", "t/day/0", "d", "1"] {
                call.arg(arg);
            }
            call.arg(&[begin, end, after, cost, 1000]);
            call.invoke(&mut connection).expect("an answer")
        };
        let (first, second) = (take(600), take(600));
        assert_eq!(
            (first[0], second[0]),
            (1, 2),
            "{off} days: {first:?} {second:?}"
        );
        let end = second[5];
        assert!(
            (now..=now + 2 * 86_400).contains(&end),
            "{off} days: {end} of {now}"
        );
        assert_eq!(end % 86_400, 0);
    }
}

#[tokio::test]
async fn keys_lie_in_one_slot_and_expire() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let store = patient(&server.url()).tag("my{tag}").build();
    let limits = Limits::new()
        .requests_per_minute(60)
        .tokens_daily(1000, Zone::utc())
        .max_concurrent(3);
    let weights = request().with(Unit::Tokens, 5).with_slot();
    let (hold, _) = decide(&store, one("{a} b\r\nc", &limits, weights))
        .await
        .expect("room");
    let keys = server.command("KEYS *").expect("keys");
    assert_eq!(keys.matches("{mytag}").count(), 2, "{keys}");
    let script = "for _, k in ipairs(redis.call('KEYS', '*')) do if redis.call('PTTL', k) < 0 then return 0 end end return 1";
    let all_expire = server.command(&format!("EVAL \"{script}\" 0"));
    assert_eq!(all_expire.as_deref(), Some(":1\r\n"));
    hold.settle(&weights);
}

/// Two or more limiters under load take together what there is, exactly: the limit flows back so
/// slowly that nothing does meanwhile.
async fn under_load(nodes: usize) {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let limits = Limits::new()
        .requests(Rate::per_day(300))
        .tokens(Rate::per_day(20_000))
        .max_concurrent(7);
    let all = Limits::new().tokens(Rate::per_day(25_000));
    let (admitted, spent) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let stores: Vec<Redis> = (0..nodes).map(|_| patient(&server.url()).build()).collect();
    let mut tasks = Vec::new();
    for at in 0..24_usize {
        let store = stores[at % nodes].clone();
        let (own, all) = (limits.clone(), all.clone());
        let (admitted, spent) = (Arc::clone(&admitted), Arc::clone(&spent));
        tasks.push(tokio::spawn(async move {
            let weights = request().with(Unit::Tokens, 100).with_slot();
            loop {
                let key = if at % 2 == 0 { "even" } else { "odd" };
                let ask = Ask::new(
                    [demand("key", key, &own), demand("global", "*", &all)],
                    weights,
                );
                match decide(&store, ask).await {
                    Ok((hold, report)) => {
                        assert!(report.concurrent.expect("slots").in_use <= 7);
                        admitted.fetch_add(1, Ordering::Relaxed);
                        spent.fetch_add(90, Ordering::Relaxed);
                        tokio::task::yield_now().await;
                        hold.settle(&request().with(Unit::Tokens, 90));
                    }
                    Err(refusal) if refusal.retry == Retry::Release => {
                        tokio::task::yield_now().await;
                    }
                    Err(_) => break,
                }
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    for store in &stores {
        store.flush().await;
    }
    let spent = spent.load(Ordering::Relaxed);
    assert!(spent <= 25_000, "{spent}");
    // The last ones may have been refused while others held more than they used.
    assert!(spent > 25_000 - 24 * 100, "{spent}");
    let report = standing(&stores[0], "even", &limits).await;
    assert_eq!(report.concurrent.expect("slots").in_use, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_limiters_under_load_admit_no_more_than_the_limit() {
    under_load(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_limiters_under_load_admit_no_more_than_the_limit() {
    under_load(3).await;
}

#[tokio::test]
async fn a_dead_nodes_slots_expire_and_a_living_ones_do_not() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let ttl = Duration::from_secs(1);
    let living = patient(&server.url()).slot_ttl(ttl).build();
    let limits = Limits::new().max_concurrent(2);
    let weights = Weights::new().with_slot();
    let (mine, _) = decide(&living, one("acme", &limits, weights))
        .await
        .expect("room");
    // A node that dies: its runtime ends with everything on it, and nobody tells Redis.
    let url = server.url();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let dying = runtime.block_on(async {
            let store = patient(&url).slot_ttl(ttl).build();
            let limits = Limits::new().max_concurrent(2);
            let weights = Weights::new().with_slot();
            decide(&store, one("acme", &limits, weights)).await
        });
        drop(runtime);
        assert!(dying.is_ok());
    })
    .join()
    .expect("no panic");
    let full = decide(&living, one("acme", &limits, weights)).await;
    assert_eq!(full.expect_err("both are taken").retry, Retry::Release);
    until("the dead node's slot is free", async || {
        decide(&living, one("acme", &limits, weights)).await.is_ok()
    })
    .await;
    let begin = Instant::now();
    while begin.elapsed() < ttl * 2 {
        let report = standing(&living, "acme", &limits).await;
        assert!(report.concurrent.expect("slots").in_use >= 1);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    mine.settle(&weights);
    living.flush().await;
    let report = standing(&living, "acme", &limits).await;
    assert_eq!(report.concurrent.expect("slots").in_use, 0);
}

#[tokio::test]
async fn a_dropped_decision_gives_back_what_it_took() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let store = patient(&server.url()).build();
    let limits = Limits::new()
        .requests(Rate::per_day(100))
        .tokens(Rate::per_day(1000))
        .max_concurrent(50);
    let weights = request().with(Unit::Tokens, 10).with_slot();
    let _ = standing(&store, "acme", &limits).await;
    for polls in 0..40 {
        let mut take = Box::pin(store.take(one("acme", &limits, weights)));
        for _ in 0..polls {
            let done = std::future::poll_fn(|cx| {
                std::task::Poll::Ready(take.as_mut().poll(cx).is_ready())
            });
            if done.await {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    until("all is there again", async || {
        store.flush().await;
        let report = standing(&store, "acme", &limits).await;
        report.concurrent.expect("slots").in_use == 0
            && report.tokens.expect("a limit").remaining == 1000
            && report.requests.expect("a limit").remaining == 100
    })
    .await;
}

/// Redis is told of ended requests in the background; who comes after one on the same node is judged
/// as if it had been told.
#[tokio::test]
async fn what_this_node_has_given_back_is_there_for_the_next() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let store = patient(&server.url()).build();
    let slots = Limits::new().max_concurrent(1);
    let amounts = Limits::new().tokens(Rate::per_day(1000));
    for _ in 0..20 {
        let ask = one("acme", &slots, request().with_slot());
        let (hold, _) = decide(&store, ask).await.expect("the slot is free");
        hold.settle(&request());
        let report = standing(&store, "acme", &slots).await;
        assert_eq!(report.concurrent.expect("slots").in_use, 0);

        let ask = one("tokens", &amounts, tokens(900));
        let (hold, _) = decide(&store, ask).await.expect("room");
        hold.settle(&tokens(0));
    }
    // Only what is given back counts: who holds the slot keeps it.
    let ask = || one("acme", &slots, request().with_slot());
    let held = decide(&store, ask()).await.expect("the slot is free");
    let ended = one("other", &slots, request().with_slot());
    drop(decide(&store, ended).await.expect("a slot of its own"));
    let refusal = decide(&store, ask()).await.expect_err("taken");
    assert_eq!(refusal.retry, Retry::Release);
    drop(held);
}

/// A client that leaves while Redis is asked has taken something once the answer is there: who comes next on the
/// same node is judged as if that had been given back.
#[tokio::test]
async fn what_one_that_left_has_taken_is_there_for_the_next() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let store = patient(&server.url()).build();
    let slots = Limits::new().max_concurrent(1);
    let amounts = Limits::new().tokens(Rate::per_day(1000));
    let _ = standing(&store, "acme", &slots).await;
    for _ in 0..50 {
        for (limits, weights) in [(&slots, request().with_slot()), (&amounts, tokens(900))] {
            let mut left = Box::pin(store.take(one("acme", limits, weights)));
            let once = std::future::poll_fn(|cx| {
                std::task::Poll::Ready(left.as_mut().poll(cx).is_ready())
            });
            once.await;
            drop(left);
            let next = decide(&store, one("acme", limits, weights)).await;
            next.expect("nobody else is there").0.settle(&tokens(0));
        }
    }
    assert!(store.stats().late > 0, "{:?}", store.stats());
}

/// As many at a time as there are slots, each of whom waits for the end before it comes again: how many
/// are refused.
async fn refused_of_as_many_as_there_are_slots(store: impl Store) -> u32 {
    let limits = Limits::new().max_concurrent(64);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (store, limits) = (store.clone(), limits.clone());
        clients.spawn(async move {
            let mut refused = 0;
            for turn in 0..200 {
                let ask = one("acme", &limits, request().with_slot());
                let Decision::Admitted(hold, _) = store.take(ask).await.expect("Redis answers")
                else {
                    refused += 1;
                    continue;
                };
                for _ in 0..turn % 5 {
                    tokio::task::yield_now().await;
                }
                hold.settle(&request());
            }
            refused
        });
    }
    clients.join_all().await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn as_many_as_there_are_slots_are_never_refused() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    let store = patient(&server.url()).build();
    assert_eq!(refused_of_as_many_as_there_are_slots(store).await, 0);
    let leased = Leased::new(patient(&server.url()).tag("leased").build());
    assert_eq!(refused_of_as_many_as_there_are_slots(leased).await, 0);
}

/// Three rules of six limits: one script each time, admitted or refused.
#[tokio::test]
async fn a_decision_is_one_call_over_all_limits() {
    if server::missing() {
        return;
    }
    let server = Server::start();
    // No slot is renewed meanwhile.
    let hour = Duration::from_secs(3600);
    let store = patient(&server.url()).slot_ttl(hour).build();
    let own = Limits::new()
        .requests(Rate::per_day(50))
        .tokens(Rate::per_day(1_000_000))
        .max_concurrent(1000);
    let team = Limits::new().tokens_daily(10_000_000, Zone::utc());
    let all = Limits::new()
        .requests(Rate::per_second(1_000_000))
        .max_concurrent(1000);
    let ask = || {
        let demands = [
            demand("key", "acme", &own),
            demand("team", "research", &team),
            demand("global", "*", &all),
        ];
        Ask::new(demands, request().with(Unit::Tokens, 10).with_slot())
    };
    let mut held = vec![decide(&store, ask()).await.expect("nothing is used")];
    let calls = || {
        let stats = server.command("INFO commandstats").expect("an answer");
        let count = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            // What the script does inside is counted too, and what is asked here.
            let (calls, _) = rest.split_once(',')?;
            let ours = name.starts_with("eval") || name.starts_with("script");
            ours.then(|| calls.parse::<u64>().expect("a number"))
        };
        stats.lines().filter_map(count).sum::<u64>()
    };
    let before = calls();
    let mut refused = 0;
    for _ in 0..100 {
        match decide(&store, ask()).await {
            Ok(hold) => held.push(hold),
            Err(_) => refused += 1,
        }
    }
    assert_eq!((held.len(), refused), (50, 51));
    assert_eq!(calls() - before, 100);
}
