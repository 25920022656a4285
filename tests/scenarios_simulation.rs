//! Fifty targets that fail at random, under paused time: what gets through, what is asked for it,
//! and what is left when all is over.
//!
//! `scripts/simulation` runs the long form: a day and 100 000 requests. Here it is three quarters of
//! an hour. Faults come upon each target every half hour or so and last some five minutes; one in
//! three hundred streams breaks in the middle besides, which nothing can mend.

#![cfg(feature = "mock")]

#[path = "support/books.rs"]
mod books;

use std::{
    num::NonZeroU32,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::{task::JoinSet, time::Instant};
use tower::ServiceExt as _;
use tower_completions::{
    Principal,
    auth::Keys,
    body::Full,
    cost::{MemoryLedger, Price, Prices},
    limit::{Limiter, Limits},
    mock::{Fault, Script, Upstream},
    observe::Breaker,
    provider::{Provider, openai::OpenAi},
    router::{Balance, Candidate, Model, Router, Table},
    stack::Gateway,
};

const TARGETS: usize = 50;
/// Requests that one target serves at once.
const LIMIT: u64 = 4;

/// SplitMix64.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A time with this mean, exponentially spread, in milliseconds.
    fn after(&mut self, mean: Duration) -> u64 {
        let even = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        (-(1.0 - even).ln() * mean.as_millis() as f64) as u64
    }
}

/// When a target is ill, and with what: from, until, which.
type Illness = Vec<(u64, u64, u64)>;

fn illness(random: &mut Random, length: u64, blackout: (u64, u64)) -> Illness {
    let mut all = Vec::new();
    let mut at = random.after(Duration::from_secs(1800));
    while at < length {
        let until = at + random.after(Duration::from_secs(300));
        all.push((at, until, random.next() % 7));
        at = until + random.after(Duration::from_secs(1800));
    }
    all.push((blackout.0, blackout.1, random.next() % 7));
    all
}

fn ill(all: &Illness, now: u64) -> Option<u64> {
    let mut found = all
        .iter()
        .filter(|(from, until, _)| (*from..*until).contains(&now));
    found.next_back().map(|(.., which)| *which)
}

fn act(illness: Option<u64>, random: u64) -> Script {
    let usual = Duration::from_millis(100 + random % 400);
    match illness {
        Some(0) => Script::failed(),
        Some(1) => Script::overloaded(),
        Some(2) => Script::rate_limited("20"),
        Some(3) => Script::reset(),
        Some(4) => Script::silent(),
        Some(5) => Script::html(),
        Some(_) => Script::error(StatusCode::BAD_GATEWAY, "x", "x", "x")
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("1")),
        None if random / 400 % 300 == 0 => {
            Script::echo().with_delay(usual).with_fault(2, Fault::Cut)
        }
        None => Script::echo()
            .with_delay(usual)
            .with_event_delay(Duration::from_millis(20)),
    }
}

#[derive(Debug, Default)]
struct Tally {
    requests: u64,
    good: u64,
    /// Of those that came while a target was well.
    due: u64,
    due_good: u64,
}

#[test]
fn what_can_get_through_does() {
    let day = std::env::var_os("SIMULATE_A_DAY").is_some();
    let (length, requests) = if day {
        (86_400_000, 100_000)
    } else {
        (2_700_000, 3_000)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(simulate(length, requests));
    assert_eq!(runtime.metrics().num_alive_tasks(), 0, "a task was left");
}

async fn simulate(length: u64, requests: u64) {
    let start = Instant::now();
    let now = move || u64::try_from(start.elapsed().as_millis()).expect("no more than a day");
    let mut random = Random(7);
    // Nobody is well for a while in the middle.
    let blackout = (length / 2, length / 2 + 300_000);
    let ills: Arc<Vec<_>> = Arc::new(
        (0..TARGETS)
            .map(|_| illness(&mut random, length, blackout))
            .collect(),
    );

    let most = Arc::new(AtomicU64::new(0));
    let in_blackout = Arc::new(AtomicU64::new(0));
    let mut upstreams = Vec::new();
    let mut model = Model::new("m").balance(Balance::LeastLoad);
    for at in 0..TARGETS {
        let own: Arc<OnceLock<Upstream>> = Arc::default();
        let (me, most, ills) = (Arc::clone(&own), Arc::clone(&most), Arc::clone(&ills));
        let asked = Arc::clone(&in_blackout);
        let draws = AtomicU64::new(at as u64 * 1_000_003);
        let upstream = Upstream::new().with_fn(move |_| {
            let open = me.get().map_or(0, |me| me.log().counts().open);
            most.fetch_max(open, Ordering::Relaxed);
            if (blackout.0..blackout.1).contains(&now()) {
                asked.fetch_add(1, Ordering::Relaxed);
            }
            let draw = draws.fetch_add(1, Ordering::Relaxed);
            Some(act(ill(&ills[at], now()), Random(draw).next()))
        });
        let _ = own.set(upstream.clone());
        upstreams.push(upstream);
        let limit = NonZeroU32::new(LIMIT as u32).expect("not 0");
        model = model.target(Candidate::new(format!("p{at}"), "x").max_concurrent(limit));
    }
    let mut builder = Router::builder(Table::new([model]).expect("sound"))
        .attempt_timeout(Duration::from_secs(10))
        .total_timeout(Duration::from_secs(60));
    for (at, upstream) in upstreams.iter().enumerate() {
        let translate = OpenAi::new("http://upstream/v1").expect("a URL");
        let name = format!("p{at}");
        let provider = Provider::new(name.as_str(), upstream.clone(), translate);
        let provider = provider.with_keys(["sk-1"]);
        builder = builder.provider(name, provider);
    }
    let router = builder.build().expect("sound");
    let principal = Principal::new("demo").attach(Limits::new().max_concurrent(1_000));
    let keys = Keys::new();
    keys.insert("sk-demo", principal.clone());
    let (ledger, limiter) = (MemoryLedger::new(), Limiter::new());
    ledger.grant("demo", "1000".parse().expect("an amount"));
    let prices = Prices::new().with("m", Price::new("1", "2").expect("decimals"));
    let gateway = Gateway::builder(keys)
        .cost(prices, ledger.clone())
        .limiter(limiter.clone())
        .build(router.clone());

    let mut tasks = JoinSet::new();
    let mut tally = Tally::default();
    let mut asked_in_blackout = 0;
    let gap = Duration::from_millis(length / requests);
    for nth in 0..requests {
        tokio::time::sleep(gap).await;
        let at = now();
        if (blackout.0..blackout.1).contains(&at) {
            asked_in_blackout += 1;
        }
        let gateway = gateway.clone();
        let ills = Arc::clone(&ills);
        let draw = random.next();
        tasks.spawn(async move {
            let stream = draw % 2 == 0;
            let body = format!(
                r#"{{"model":"m","messages":[{{"role":"user","content":"one two three {nth}"}}],"stream":{stream}}}"#
            );
            let request = Request::post("/v1/chat/completions")
                .header("authorization", "Bearer sk-demo")
                .header("content-type", "application/json")
                .body(Full::new(body))
                .expect("a request");
            let response = gateway.oneshot(request).await.expect("infallible");
            let status = response.status();
            // One in a hundred clients leaves in the middle.
            if draw >> 8 & 127 == 0 {
                let mut body = response.into_body();
                let _ = body.frame().await;
                return None;
            }
            let bytes = response.into_body().collect().await.expect("never an error").to_bytes();
            let whole = if stream {
                bytes.ends_with(b"data: [DONE]\n\n")
            } else {
                bytes.starts_with(b"{\"choices\"")
            };
            // Well from its coming to its end, so that it could have answered.
            let until = at + 1_000;
            let well = |all: &Illness| ill(all, at).is_none() && ill(all, until).is_none();
            let due = ills.iter().any(well);
            Some((due, status == 200 && whole))
        });
        while let Some(done) = tasks.try_join_next() {
            count(&mut tally, done.expect("no panic"));
        }
    }
    while let Some(done) = tasks.join_next().await {
        count(&mut tally, done.expect("no panic"));
    }

    let calls: u64 = upstreams.iter().map(|one| one.log().counts().calls).sum();
    let goodput = tally.due_good as f64 / tally.due as f64;
    let health = router.health();
    let open = health
        .iter()
        .filter(|one| one.breaker != Breaker::Closed)
        .count();
    println!(
        "{tally:?}: goodput {:.3} % while a target was well; {calls} calls for {requests} requests; \
         {} for {asked_in_blackout} while none was; at most {} at once on a target; {open} breakers open",
        goodput * 100.0,
        in_blackout.load(Ordering::Relaxed),
        most.load(Ordering::Relaxed),
    );
    assert!(goodput >= 0.99, "{goodput}");
    assert!(most.load(Ordering::Relaxed) <= LIMIT);
    let amplified = in_blackout.load(Ordering::Relaxed) as f64 / asked_in_blackout as f64;
    assert!(amplified <= 1.1, "{amplified}");
    // The budget's own rule: a tenth of what is answered, what it had saved, and one each ten seconds.
    let tens = length as f64 / 10_000.0;
    assert!(
        calls as f64 <= requests as f64 * 1.1 + 60.0 + tens,
        "{calls}"
    );
    // Nothing is left.
    assert!(health.iter().all(|one| one.in_flight == 0), "{health:?}");
    assert!(upstreams.iter().all(|one| one.log().counts().open == 0));
    books::settled(&ledger, "demo");
    let standing = limiter.standing(&principal).await.expect("in memory");
    assert_eq!(standing.concurrent.map_or(0, |slots| slots.in_use), 0);
}

fn count(tally: &mut Tally, done: Option<(bool, bool)>) {
    let Some((due, good)) = done else { return };
    tally.requests += 1;
    tally.good += u64::from(good);
    tally.due += u64::from(due);
    tally.due_good += u64::from(due && good);
}
