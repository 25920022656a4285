//! A client that leaves at any moment, whatever is waited for then: nothing stays held, what limits count
//! is what is charged, and what no upstream was asked costs nothing.

#![cfg(feature = "mock")]

#[path = "support/books.rs"]
mod books;
#[path = "support/late.rs"]
mod late;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use late::Far;
use tower::{Layer as _, ServiceExt as _, util::BoxCloneService};
use tower_completions::{
    Dialect, Principal,
    auth::Keys,
    body::{BoxBody, BoxError, Full},
    cache::CacheLayer,
    cost::{CostLayer, DrainLayer, MemoryLedger, Price, Prices},
    idempotency::IdempotencyLayer,
    limit::{Limiter, Limits, Memory, Rate, TokenLimitLayer},
    mock::{Clock, Script, Upstream},
    parse::ChatBody,
    provider::{ParallelLayer, Provider, openai::OpenAi},
    reframe::ReframeLayer,
    router::{Candidate, Hedge, Model, Router, Table},
    stack::Gateway,
};

type Providers = Router<Provider<Far<Upstream>, OpenAi>, Table>;
type Inside = BoxCloneService<Request<ChatBody>, Response<BoxBody>, Infallible>;
type Service = BoxCloneService<Request<Full>, Response<BoxBody>, Infallible>;

/// A service that limits and accounting are put around.
fn inside<S, B>(service: S) -> Inside
where
    S: tower::Service<Request<ChatBody>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    BoxCloneService::new(service.map_response(|response| response.map(BoxBody::new)))
}

const ALL: u64 = 1_000_000_000_000;

/// Two upstreams far away, one caller with limits and an account.
struct Scene {
    a: Far<Upstream>,
    b: Far<Upstream>,
    ledger: MemoryLedger,
    limiter: Limiter<Far<Memory<Clock>>>,
    caller: Principal,
    /// How often each ledger, store and client is looked at before it says anything.
    looks: u32,
}

/// What is counted and charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Used {
    tokens: u64,
    money: i128,
    charged: i128,
}

const NOTHING: Used = Used {
    tokens: 0,
    money: 0,
    charged: 0,
};

impl Scene {
    fn new(looks: u32) -> Self {
        let memory = Memory::with_timer(Clock::new());
        let limits = Limits::new()
            .money(Rate::per_day(ALL))
            .tokens_per_minute(100_000)
            .max_concurrent(8);
        let ledger = MemoryLedger::new();
        ledger.grant("demo", "5".parse().expect("an amount"));
        Self {
            a: Far::new(Upstream::new(), looks),
            b: Far::new(Upstream::new(), looks),
            ledger,
            limiter: Limiter::with_store(Far::new(memory, looks)),
            caller: Principal::new("demo").attach(limits),
            looks,
        }
    }

    fn router(&self, hedge: Option<Hedge>) -> Providers {
        let provider = |name: &'static str, client: &Far<Upstream>| {
            let translate = OpenAi::new("http://upstream/v1").expect("a URL");
            Provider::new(name, client.clone(), translate).with_keys([format!("sk-{name}")])
        };
        let model = Model::new("m")
            .target(Candidate::new("a", "x"))
            .target(Candidate::new("b", "y").priority(1));
        let builder = Router::builder(Table::new([model]).expect("sound"))
            .provider("a", provider("a", &self.a))
            .provider("b", provider("b", &self.b));
        let builder = match hedge {
            Some(hedge) => builder.hedge(hedge),
            None => builder,
        };
        builder.build().expect("sound")
    }

    fn cost(&self) -> CostLayer<Far<MemoryLedger>> {
        let price = Price::new("1", "2").expect("decimals");
        let ledger = Far::new(self.ledger.clone(), self.looks);
        CostLayer::new(Prices::new().with("m", price), ledger)
    }

    /// All layers.
    fn gateway(&self, hedge: Option<Hedge>) -> Service {
        let keys = Keys::new();
        keys.insert("sk-demo", self.caller.clone());
        let gateway = Gateway::builder(keys)
            .cost_layer(self.cost())
            .limiter(self.limiter.clone())
            .build(self.router(hedge));
        BoxCloneService::new(gateway)
    }

    /// Limits and accounting alone.
    fn around(&self, inner: Inside) -> Service {
        let cost = self.cost();
        let tokens = TokenLimitLayer::new(self.limiter.clone()).quote(cost.quoter());
        let caller = self.caller.clone();
        let service = tower::ServiceBuilder::new()
            .map_request(move |mut request: Request<Full>| {
                request.extensions_mut().insert(caller.clone());
                request
            })
            .map_response(|response: Response<_>| response.map(BoxBody::new))
            .layer(tokens)
            .layer(cost)
            .layer(ReframeLayer::new(Dialect::openai()))
            .service(inner);
        BoxCloneService::new(service)
    }

    /// Around a cache.
    fn cached(&self) -> Service {
        let cache = CacheLayer::new(Duration::from_secs(60));
        self.around(inside(cache.layer(self.router(None))))
    }

    /// Around answers under a key, which stand outside as a rule.
    fn keyed(&self) -> Service {
        let keyed = IdempotencyLayer::new().layer(self.router(None));
        self.around(inside(keyed))
    }

    /// Nothing is held or under way any more.
    async fn used(&self) -> Used {
        let charged = books::settled(&self.ledger, "demo").spent.pico();
        for upstream in [&self.a, &self.b] {
            assert_eq!(upstream.inner.log().counts().open, 0, "left open");
        }
        let report = self.limiter.standing(&self.caller).await.expect("memory");
        assert_eq!(report.concurrent.expect("a limit").in_use, 0, "a slot");
        Used {
            tokens: 100_000 - report.tokens.expect("a limit").remaining,
            money: i128::from(ALL - report.money.expect("a limit").remaining),
            charged,
        }
    }

    fn calls(&self) -> u64 {
        let calls = [&self.a, &self.b].map(|it| it.calls.load(Ordering::Relaxed));
        calls.into_iter().sum()
    }
}

fn request(more: &str) -> Request<Full> {
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"one two three"}}],"max_tokens":9{more}}}"#
    );
    Request::post("/v1/chat/completions")
        .header("authorization", "Bearer sk-demo")
        .body(Full::new(body))
        .expect("a request")
}

/// A client that looks at its answer now and then.
enum Client {
    Asks(Pin<Box<dyn Future<Output = Result<Response<BoxBody>, Infallible>>>>),
    Reads(BoxBody),
    Has,
}

impl Client {
    fn new(service: &Service, request: Request<Full>) -> Self {
        Self::Asks(Box::pin(service.clone().oneshot(request)))
    }

    /// Looks once; some time goes by after it.
    async fn look(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        match self {
            Self::Asks(call) => {
                if let Poll::Ready(Ok(response)) = call.as_mut().poll(&mut cx) {
                    *self = Self::Reads(response.into_body());
                }
            }
            Self::Reads(body) => match Pin::new(body).poll_frame(&mut cx) {
                Poll::Ready(None) => *self = Self::Has,
                Poll::Ready(Some(frame)) => drop(frame.expect("whole")),
                Poll::Pending => {}
            },
            Self::Has => {}
        }
        tokio::time::advance(Duration::from_millis(10)).await;
    }

    fn has_it(&self) -> bool {
        matches!(self, Self::Has)
    }
}

/// A client that leaves after so many looks, for each number there is until its answer is whole.
async fn leaves_at_every_look(
    name: &str,
    scene: impl Fn() -> Scene,
    service: impl Fn(&Scene) -> Service,
    ask: impl Fn() -> Request<Full>,
) {
    for looks in 0.. {
        assert!(looks < 1_000, "{name}: there is no end to it");
        let scene = scene();
        let mut client = Client::new(&service(&scene), ask());
        for _ in 0..looks {
            client.look().await;
        }
        let whole = client.has_it();
        drop(client);
        let (used, calls) = (scene.used().await, scene.calls());
        assert_eq!(used.money, used.charged, "{name}: after {looks} looks");
        if calls == 0 {
            assert_eq!(used, NOTHING, "{name}: nobody was asked in {looks} looks");
        } else {
            assert!(used.tokens > 0, "{name}: asked in {looks} looks");
        }
        if whole {
            assert!(looks > 2, "{name}: {looks} looks are few");
            assert_eq!(used.charged, 13_000_000, "{name}: {used:?}");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_nobody_upstream_costs_nothing() {
    for streams in ["", r#","stream":true"#] {
        for looks in [0, 1, 3] {
            let name = format!("gateway {looks}{streams}");
            let scene = || Scene::new(looks);
            let service = |scene: &Scene| scene.gateway(None);
            leaves_at_every_look(&name, scene, service, || request(streams)).await;
            let keyed = || {
                let mut request = request(streams);
                let key = http::HeaderValue::from_static("k");
                request.headers_mut().insert("idempotency-key", key);
                request
            };
            let name = format!("idempotency {looks}{streams}");
            leaves_at_every_look(&name, scene, service, keyed).await;
            let name = format!("cache {looks}{streams}");
            leaves_at_every_look(&name, scene, Scene::cached, || request(streams)).await;
        }
    }
}

/// Two of one answer, of whom one leaves at each look, and the other stays.
#[tokio::test(start_paused = true)]
async fn who_shares_an_answer_may_leave_at_any_moment() {
    let keyed = |streams: &str| {
        let mut request = request(streams);
        let key = http::HeaderValue::from_static("k");
        request.headers_mut().insert("idempotency-key", key);
        request
    };
    for streams in ["", r#","stream":true"#] {
        for (shares, cached, leaver) in [
            ("key", false, 0),
            ("key", false, 1),
            ("cache", true, 0),
            ("cache", true, 1),
        ] {
            let name = format!("{shares}{streams}, {leaver} leaves");
            for looks in 0.. {
                assert!(looks < 1_000, "{name}: there is no end to it");
                let scene = Scene::new(1);
                let service = if cached {
                    scene.cached()
                } else {
                    scene.gateway(None)
                };
                let mut clients = [0, 1].map(|_| Some(Client::new(&service, keyed(streams))));
                let mut had_it = false;
                for look in 0..1_000 {
                    if look == looks {
                        let left = clients[leaver].take();
                        had_it = left.is_some_and(|client| client.has_it());
                    }
                    for client in clients.iter_mut().flatten() {
                        client.look().await;
                    }
                    if look > looks && clients.iter().flatten().all(Client::has_it) {
                        break;
                    }
                }
                assert!(
                    clients[1 - leaver].take().is_some_and(|it| it.has_it()),
                    "{name}: {looks}"
                );
                let used = scene.used().await;
                assert_eq!(used.money, used.charged, "{name}: after {looks} looks");
                // Under one key they pay for one. Through the cache each pays for itself: who has left an
                // estimate, of eleven tokens in and four out at the most.
                let left = used.charged - 13_000_000;
                let most = if cached { 19_000_000 } else { 0 };
                assert!((0..=most).contains(&left), "{name}: {used:?} after {looks}");
                if had_it {
                    break;
                }
            }
        }
    }
}

/// A service of a scene, and its name.
type Way<'a> = (&'static str, &'a dyn Fn(&Scene) -> Service);

/// Two of one answer who both leave, each at any look: what an upstream was asked is paid for by one at least.
#[tokio::test(start_paused = true)]
async fn an_answer_that_all_have_left_is_paid_for_once_it_was_asked_for() {
    let gateway = |scene: &Scene| scene.gateway(None);
    let ways: [Way<'_>; 3] = [
        ("gateway", &gateway),
        ("cache", &Scene::cached),
        ("key inside", &Scene::keyed),
    ];
    for (way, service) in ways {
        for (first, second) in (0..30).flat_map(|one| (0..30).map(move |two| (one, two))) {
            let name = format!("{way}, after {first} and {second} looks");
            let scene = Scene::new(5);
            let service = service(&scene);
            let mut clients = [first, second].map(|leaves| {
                let mut request = request("");
                let key = http::HeaderValue::from_static("k");
                request.headers_mut().insert("idempotency-key", key);
                (leaves, Some(Client::new(&service, request)))
            });
            for look in 0..30 {
                for (leaves, client) in &mut clients {
                    if look == *leaves {
                        *client = None;
                    }
                    if let Some(client) = client {
                        client.look().await;
                    }
                }
            }
            drop(clients);
            let (used, calls) = (scene.used().await, scene.calls());
            assert_eq!(used.money, used.charged, "{name}");
            assert_eq!(used.tokens > 0, calls > 0, "{name}: {used:?}");
        }
    }
}

/// The first is slow, so that the second is asked beside it.
#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_two_upstreams_pays_once() {
    for streams in ["", r#","stream":true"#] {
        let scene = || {
            let scene = Scene::new(2);
            let slow = Script::echo().with_delay(Duration::from_millis(300));
            scene.a.inner.queue(slow);
            scene
        };
        let hedge = Hedge::after(Duration::from_millis(40));
        let service = |scene: &Scene| scene.gateway(Some(hedge));
        leaves_at_every_look("hedge", scene, service, || request(streams)).await;
    }
}

/// One of two upstreams has refused, and the other has not been asked yet.
#[tokio::test(start_paused = true)]
async fn a_hedge_that_waits_behind_a_refusal_costs_nothing() {
    for refuses in ["first", "rival"] {
        let mut unsent = 0;
        for looks in 0..60 {
            let mut scene = Scene::new(0);
            let (near, far) = match refuses {
                "first" => (&scene.a, &mut scene.b),
                _ => (&scene.b, &mut scene.a),
            };
            near.inner
                .queue(Script::rate_limited("2").with_delay(Duration::from_millis(60)));
            *far = Far::new(far.inner.clone(), 20);
            let hedge = Hedge::after(Duration::from_millis(40));
            let mut client = Client::new(&scene.gateway(Some(hedge)), request(""));
            for _ in 0..looks {
                client.look().await;
            }
            let (near, far) = match refuses {
                "first" => (&scene.a, &scene.b),
                _ => (&scene.b, &scene.a),
            };
            let asked = near.inner.log().counts().open > 0;
            let [called, answers] = [near, far].map(|it| it.calls.load(Ordering::Relaxed) > 0);
            drop(client);
            let used = scene.used().await;
            let name = format!("{refuses} refuses, {looks} looks");
            assert_eq!(used.tokens > 0, asked || answers, "{name}: {used:?}");
            assert_eq!(used.money, used.charged, "{name}");
            unsent += u32::from(called && !asked && !answers);
        }
        assert!(unsent > 5, "{refuses}: {unsent}");
    }
}

/// One of two requests for an answer's choices has been refused and will be sent again, and the other is under
/// way.
#[tokio::test(start_paused = true)]
async fn a_request_in_parts_waits_only_so_long_as_all_of_them_do() {
    for looks in [0, 5] {
        let mut waiting = 0;
        for looked in 0..60 {
            let scene = Scene::new(looks);
            scene.a.inner.queue(Script::rate_limited("1"));
            let slow = Script::echo().with_delay(Duration::from_millis(200));
            scene.a.inner.queue(slow.clone());
            scene.b.inner.queue(slow);
            let service = inside(ParallelLayer::new().layer(scene.router(None)));
            let mut client = Client::new(&scene.around(service), request(r#","n":2"#));
            for _ in 0..looked {
                client.look().await;
            }
            let calls = scene.calls();
            drop(client);
            let used = scene.used().await;
            assert_eq!(used.money, used.charged, "{looked} of {looks}");
            assert_eq!(used.tokens > 0, calls > 0, "{looked} of {looks}: {used:?}");
            waiting += u32::from(calls == 0);
        }
        assert!(waiting > looks, "{waiting}");
    }
}

/// Where an upstream gives one answer at a time, each call has the prompt.
#[tokio::test(start_paused = true)]
async fn who_leaves_several_answers_pays_for_the_prompt_of_each() {
    let used = async |n: i128, more: &'static str, hedged: bool| {
        let scene = Scene::new(0);
        for _ in 0..n {
            scene.a.inner.queue(Script::silent());
        }
        let parallel = ParallelLayer::new();
        let service = if hedged {
            // In each attempt, beside which there may be a rival.
            let translate = OpenAi::new("http://upstream/v1").expect("a URL");
            let provider = Provider::new("a", scene.a.clone(), translate).with_keys(["sk-a"]);
            let model = Model::new("m").target(Candidate::new("a", "x"));
            let router = Router::builder(Table::new([model]).expect("sound"))
                .provider("a", parallel.layer(provider))
                .hedge(Hedge::after(Duration::from_secs(60)));
            inside(router.build().expect("sound"))
        } else {
            inside(parallel.layer(scene.router(None)))
        };
        let mut client = Client::new(&scene.around(service), request(more));
        for _ in 0..9 {
            client.look().await;
        }
        assert_eq!(i128::from(scene.calls()), n);
        drop(client);
        scene.used().await
    };
    for hedged in [false, true] {
        let one = used(1, "", hedged).await;
        assert!(one.tokens > 0 && one.charged > 0, "{one:?}");
        let three = Used {
            tokens: 3 * one.tokens,
            money: 3 * one.money,
            charged: 3 * one.charged,
        };
        assert_eq!(used(3, r#","n":3"#, hedged).await, three, "{hedged}");
    }
}

/// A detached call goes on, wherever it stands.
#[tokio::test(start_paused = true)]
async fn what_goes_on_without_its_client_is_paid_for() {
    for looks in 1..30 {
        let scene = Scene::new(5);
        let (rests, rest) = std::sync::mpsc::channel();
        let drain = DrainLayer::new(move |rest| {
            let _ = rests.send(rest);
        });
        let service = scene.around(inside(drain.layer(scene.router(None))));
        let mut client = Client::new(&service, request(""));
        for _ in 0..looks {
            client.look().await;
        }
        drop(client);
        if let Ok(rest) = rest.try_recv() {
            rest.await;
        }
        let (used, calls) = (scene.used().await, scene.calls());
        assert_eq!(used.money, used.charged, "{looks} looks");
        assert_eq!(used.tokens > 0, calls > 0, "{looks} looks: {used:?}");
    }
}

/// What an upstream has refused costs nothing, and nor does the pause that follows.
#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_in_a_pause_between_attempts_pays_nothing() {
    let scene = Scene::new(0);
    for upstream in [&scene.a, &scene.b] {
        upstream.inner.queue(Script::rate_limited("2"));
    }
    let mut client = Client::new(&scene.gateway(None), request(""));
    for _ in 0..20 {
        client.look().await;
    }
    assert_eq!((scene.calls(), client.has_it()), (2, false));
    drop(client);
    assert_eq!(scene.used().await, NOTHING);
}
