//! The example gateway under ten times the load that it takes, judged by counts and by its CPU time, which other
//! programs change little. `scripts/abuse` does the same by the clock.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, http::HeaderMap, routing::post};
use serde_json::{Value, json};
use support::{Client, Gateway};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    time::timeout,
};

const ASK: &str = r#"{"model":"a","messages":[{"role":"user","content":"Merhaba"}]}"#;

/// So many requests the flooding key may have at once.
const SLOTS: u64 = 8;

/// An upstream takes this long for an answer: a round, of which each answer takes one.
const ROUND: Duration = Duration::from_millis(50);
const ROUNDS: u64 = 20;

/// An upstream whose answers come when the next round begins.
#[derive(Clone)]
struct Upstream {
    calls: Arc<AtomicU64>,
    round: watch::Sender<u64>,
    /// How many are asked and have not answered.
    open: watch::Sender<u64>,
}

impl Upstream {
    async fn start() -> (Self, String) {
        let this = Self {
            calls: Arc::default(),
            round: watch::Sender::new(0),
            open: watch::Sender::new(0),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("bound");
        let upstream = this.clone();
        let answer = move |_: HeaderMap| {
            let upstream = upstream.clone();
            async move { upstream.answer().await }
        };
        let app = Router::new().route("/v1/chat/completions", post(answer));
        tokio::spawn(async move { axum::serve(listener, app).await });
        (this, format!("http://{addr}/v1"))
    }

    async fn answer(self) -> Json<Value> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut rounds = self.round.subscribe();
        let now = *rounds.borrow_and_update();
        self.open.send_modify(|open| *open += 1);
        let _ = rounds.wait_for(|round| *round > now).await;
        self.open.send_modify(|open| *open -= 1);
        Json(json!({
            "id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": "ok"}}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }))
    }
}

/// The CPU time that a process has used, in its own code and in the system's.
fn used(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    let mut fields = fields
        .split(' ')
        .skip(11)
        .map(|field| field.parse().unwrap_or(0));
    // In hundredths of a second on Linux, whatever the kernel's own.
    let ticks: u64 = fields.by_ref().take(2).sum();
    Duration::from_millis(ticks * 10)
}

/// Clients that ask, each on a connection of its own.
struct Crowd {
    upstream: Upstream,
    /// Those that wait for nothing.
    idle: Vec<Client>,
    answers: mpsc::UnboundedReceiver<(Client, u16)>,
    answered: mpsc::UnboundedSender<(Client, u16)>,
    refused: u64,
}

impl Crowd {
    async fn new(gateway: &Gateway, upstream: &Upstream, clients: usize) -> Self {
        let mut idle = Vec::new();
        for _ in 0..clients {
            idle.push(gateway.connect().await.with_key("sk-flood"));
        }
        let (answered, answers) = mpsc::unbounded_channel();
        Self {
            upstream: upstream.clone(),
            idle,
            answers,
            answered,
            refused: 0,
        }
    }

    /// All who wait for nothing ask. Ends when each has been refused or is being served: nobody is kept waiting
    /// for who was there before.
    async fn ask(&mut self) -> u64 {
        let asking: Vec<_> = self.idle.drain(..).collect();
        let mut left = asking.len() as u64;
        for mut client in asking {
            let answered = self.answered.clone();
            tokio::spawn(async move {
                let status = client.post(ASK).await.status.as_u16();
                let _ = answered.send((client, status));
            });
        }
        let mut open = self.upstream.open.subscribe();
        while *open.borrow_and_update() < left {
            tokio::select! {
                Some((client, status)) = self.answers.recv() => {
                    assert_eq!(status, 429);
                    self.refused += 1;
                    left -= 1;
                    self.idle.push(client);
                }
                _ = open.changed() => {}
            }
        }
        left
    }

    /// A round's answers; how many. Who is refused asks again in the next one, ten times as soon as the clients of
    /// the API's own makers do.
    async fn round(&mut self) -> u64 {
        let under_way = self.ask().await;
        assert!(under_way <= SLOTS, "{under_way} at once");
        self.upstream.round.send_modify(|round| *round += 1);
        for _ in 0..under_way {
            let (client, status) = self.answers.recv().await.expect("asked");
            assert_eq!(status, 200);
            self.idle.push(client);
        }
        under_way
    }
}

/// What the gateway gets done of the load that it takes, and of ten times as much, in rounds of 50 ms.
async fn done() -> [f64; 2] {
    let (upstream, url) = Upstream::start().await;
    let gateway = Gateway::start(&format!(
        "[[providers]]\nname = \"far\"\nkind = \"openai\"\nbase_url = \"{url}\"\n\
         [[models]]\nid = \"a\"\ntargets = [{{ provider = \"far\", model = \"m\" }}]\n\
         price = {{ input = \"1\", output = \"2\" }}\n\
         [[keys]]\nname = \"demo\"\nsecret = \"sk-demo\"\n\
         [[keys]]\nname = \"flood\"\nsecret = \"sk-flood\"\nmax_concurrent = {SLOTS}\n"
    ));
    let mut done = [0.0; 2];
    for (done, clients) in done.iter_mut().zip([SLOTS, 10 * SLOTS]) {
        let mut crowd = Crowd::new(&gateway, &upstream, clients as usize).await;
        // What is done once is not of the load.
        crowd.round().await;
        let (calls, before) = (upstream.calls.load(Ordering::Relaxed), used(gateway.pid()));
        crowd.refused = 0;
        let mut served = 0;
        for _ in 0..ROUNDS {
            let round = timeout(Duration::from_secs(60), crowd.round());
            served += round.await.expect("who is refused is told at once");
        }
        let each = (used(gateway.pid()) - before) / u32::try_from(ROUNDS).expect("few");
        // What is refused is refused before anybody is asked.
        assert_eq!(upstream.calls.load(Ordering::Relaxed) - calls, served);
        // A core that needs longer for a round than it takes gets the less done.
        let pace = (ROUND.as_secs_f64() / each.as_secs_f64().max(1e-9)).min(1.0);
        println!(
            "{clients}: {served} served, {} refused, {each:?} a round",
            crowd.refused
        );
        *done = served as f64 * pace;
    }
    done
}

/// What else the machine does makes a process use more time, never less: the best of three counts.
#[tokio::test]
async fn ten_times_the_load_gets_as_much_done() {
    let mut ratios = Vec::new();
    while ratios.len() < 3 && ratios.iter().all(|ratio| *ratio < 0.9) {
        let [once, ten_times] = done().await;
        ratios.push(ten_times / once);
    }
    assert!(ratios.iter().any(|ratio| *ratio >= 0.9), "{ratios:.2?}");
}

/// Another key's request is served while all slots of the flooding one are taken and the others are refused.
#[tokio::test]
async fn another_key_is_served_all_the_while() {
    let (upstream, url) = Upstream::start().await;
    let gateway = Gateway::start(&format!(
        "[[providers]]\nname = \"far\"\nkind = \"openai\"\nbase_url = \"{url}\"\n\
         [[models]]\nid = \"a\"\ntargets = [{{ provider = \"far\", model = \"m\" }}]\n\
         [[keys]]\nname = \"demo\"\nsecret = \"sk-demo\"\n\
         [[keys]]\nname = \"flood\"\nsecret = \"sk-flood\"\nmax_concurrent = {SLOTS}\n"
    ));
    let mut crowd = Crowd::new(&gateway, &upstream, 10 * SLOTS as usize).await;
    let mut other = gateway.connect().await;
    for _ in 0..ROUNDS {
        let held = crowd.ask().await;
        let asks = tokio::spawn(async move { (other.post(ASK).await.status.as_u16(), other) });
        let mut open = upstream.open.subscribe();
        let reaches = open.wait_for(|open| *open > held);
        let reaches = timeout(Duration::from_secs(60), reaches).await;
        drop(reaches.expect("it is not kept waiting").expect("there"));
        upstream.round.send_modify(|round| *round += 1);
        let (status, client) = asks.await.expect("no panic");
        assert_eq!(status, 200);
        other = client;
        for _ in 0..held {
            let (client, status) = crowd.answers.recv().await.expect("asked");
            assert_eq!(status, 200);
            crowd.idle.push(client);
        }
    }
}
