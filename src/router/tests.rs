//! What outside sees of the router: status, attempts, who was asked with which key.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response, request::Parts};
use http_body_util::BodyExt as _;
use tower::{ServiceExt, service_fn, util::BoxCloneSyncService};

mod budgets;
mod keys;
mod large;
mod limits;
mod routes;
mod waits;

use super::{Candidate, Live, Model, Plan, Routable, Route, Router, Table};
use crate::{
    body::Full,
    error::{Class, Error, Kind},
    ext::{Principal, Served, Target},
    observe::Breaker,
};

#[derive(Clone, Debug)]
struct Body(&'static str);

impl Routable for Body {
    fn model(&self) -> &str {
        self.0
    }

    fn again(&self) -> Self {
        self.clone()
    }
}

/// A status, and the headers that go with it. 0 never answers.
type Act = (u16, &'static [(&'static str, &'static str)]);
const NONE: &[(&str, &str)] = &[];
type Upstream = BoxCloneSyncService<Request<Body>, Response<Full>, Infallible>;

#[derive(Clone, Default)]
struct Stage {
    script: Arc<Mutex<VecDeque<Act>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    /// Acts one after another; then 200 for ever.
    fn new(acts: &[Act]) -> Self {
        let stage = Self::default();
        stage.script.lock().expect("sound").extend(acts);
        stage
    }

    fn upstream(&self) -> Upstream {
        let stage = self.clone();
        BoxCloneSyncService::new(service_fn(move |request: Request<Body>| {
            let target = request.extensions().get::<Target>().expect("set").clone();
            let key = format!("#{}", target.key);
            let mut asked = stage.asked.lock().expect("sound");
            asked.push(format!("{}/{}{key}", target.provider, target.model));
            let act = stage.script.lock().expect("sound").pop_front();
            async move {
                let (status, headers) = act.unwrap_or((200, &[]));
                if status == 0 {
                    std::future::pending::<()>().await;
                }
                let mut response = Response::builder().status(status);
                for (name, value) in headers {
                    response = response.header(*name, *value);
                }
                Ok(response.body(Full::new("{}")).expect("valid"))
            }
        }))
    }

    fn asked(&self) -> String {
        std::mem::take(&mut *self.asked.lock().expect("sound")).join(" ")
    }
}

fn router(stage: &Stage, keys: usize, models: Vec<Model>) -> Router<Upstream, Live> {
    let table = Table::new(models).expect("sound");
    Router::builder(Live::new(table))
        .service("a", stage.upstream(), keys)
        .service("b", stage.upstream(), 0)
        .attempt_timeout(Duration::from_secs(20))
        .build()
        .expect("sound")
}

fn lone() -> Vec<Model> {
    vec![Model::new("m").target(Candidate::new("a", "x"))]
}

fn pair() -> Vec<Model> {
    let second = Candidate::new("b", "y").priority(1);
    vec![
        Model::new("m")
            .target(Candidate::new("a", "x"))
            .target(second),
    ]
}

/// Status, code and attempts of one request.
async fn ask(router: &Router<Upstream, Live>, model: &'static str) -> (u16, String, u32) {
    let response = router
        .clone()
        .oneshot(Request::new(Body(model)))
        .await
        .expect("infallible");
    let error = response.extensions().get::<Error>();
    let code = error.and_then(Error::code).unwrap_or_default().to_owned();
    let attempts = response.headers()["x-attempts"].to_str().expect("text");
    let attempts = attempts.parse().expect("a number");
    if let Some(served) = response.extensions().get::<Served>() {
        assert_eq!(served.attempts, attempts);
    }
    (response.status().as_u16(), code, attempts)
}

fn is(status: u16, code: &str, attempts: u32) -> (u16, String, u32) {
    (status, code.to_owned(), attempts)
}

#[tokio::test(start_paused = true)]
async fn each_failure_has_its_answer() {
    for (act, status, code, attempts) in [
        (400, 400, "invalid_request", 1),
        (401, 502, "upstream_unauthorized", 1),
        (402, 502, "upstream_unauthorized", 1),
        (403, 502, "upstream_unauthorized", 1),
        (404, 502, "upstream_model_not_found", 1),
        (413, 400, "invalid_request", 1),
        (422, 400, "invalid_request", 1),
        (429, 429, "upstream_rate_limited", 3),
        (500, 502, "bad_upstream_response", 3),
        (503, 503, "upstream_overloaded", 3),
        (529, 503, "upstream_overloaded", 3),
        (408, 504, "upstream_timeout", 3),
        (504, 504, "upstream_timeout", 3),
        (0, 504, "upstream_timeout", 3),
    ] {
        let stage = Stage::new(&[(act, NONE); 3]);
        let router = router(&stage, 0, lone());
        assert_eq!(ask(&router, "m").await, is(status, code, attempts), "{act}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_failure_is_not_seen() {
    for act in [408, 429, 500, 503, 0] {
        let stage = Stage::new(&[(act, &[])]);
        assert_eq!(
            ask(&router(&stage, 0, lone()), "m").await,
            is(200, "", 2),
            "{act}"
        );
        let stage = Stage::new(&[(act, &[])]);
        assert_eq!(
            ask(&router(&stage, 0, pair()), "m").await,
            is(200, "", 2),
            "{act}"
        );
        assert_eq!(stage.asked(), "a/x#0 b/y#0", "{act}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fallback_model_stands_in() {
    let stage = Stage::new(&[(503, &[]), (404, &[])]);
    let models = vec![
        Model::new("m")
            .target(Candidate::new("a", "x"))
            .fallback("n"),
        Model::new("n").target(Candidate::new("b", "y")),
    ];
    assert_eq!(
        ask(&router(&stage, 0, models), "m").await,
        is(502, "upstream_model_not_found", 2)
    );
    assert_eq!(stage.asked(), "a/x#0 b/y#0");
}

#[tokio::test(start_paused = true)]
async fn a_dead_key_is_remembered() {
    let stage = Stage::new(&[(401, &[])]);
    let router = router(&stage, 2, lone());
    assert_eq!(ask(&router, "m").await, is(200, "", 2));
    let first = stage.asked();
    let good = first.split(' ').next_back().expect("two").to_owned();
    for _ in 0..4 {
        assert_eq!(ask(&router, "m").await, is(200, "", 1));
        assert_eq!(stage.asked(), good);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_forbidden_is_asked_elsewhere_and_buries_no_key() {
    let stage = Stage::new(&[(403, NONE); 2]);
    let router = router(&stage, 2, pair());
    assert_eq!(ask(&router, "m").await, is(200, "", 3));
    assert_eq!(stage.asked(), "a/x#0 a/x#1 b/y#0");
    assert_eq!(router.health()[0].dead_keys, 0);
    for _ in 0..4 {
        assert_eq!(ask(&router, "m").await, is(200, "", 1));
        assert!(stage.asked().starts_with("a/x#"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_key_that_serves_lives() {
    let stage = Stage::new(&[(401, &[]), (401, &[])]);
    let router = router(&stage, 2, lone());
    assert_eq!(ask(&router, "m").await, is(502, "upstream_unauthorized", 2));
    let dead = || router.health()[0].dead_keys;
    assert_eq!(dead(), 2);
    // Nobody else is left, so a dead one is asked.
    assert_eq!(ask(&router, "m").await, is(200, "", 1));
    assert_eq!(dead(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_limited_target_rests_as_long_as_it_said() {
    let stage = Stage::new(&[(429, &[("retry-after", "30")])]);
    let router = router(&stage, 0, lone());
    assert_eq!(ask(&router, "m").await, is(429, "upstream_rate_limited", 1));
    assert_eq!(ask(&router, "m").await, is(429, "upstream_rate_limited", 0));
    assert_eq!(stage.asked(), "a/x#0");
    tokio::time::advance(Duration::from_secs(26)).await;
    let start = tokio::time::Instant::now();
    assert_eq!(ask(&router, "m").await, is(200, "", 1));
    assert!(start.elapsed() >= Duration::from_millis(3_900));
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_target_that_rests_is_overloaded_still() {
    let stage = Stage::new(&[(503, &[("retry-after", "30")])]);
    let router = router(&stage, 0, lone());
    assert_eq!(ask(&router, "m").await, is(503, "upstream_overloaded", 1));
    assert_eq!(ask(&router, "m").await, is(503, "upstream_overloaded", 0));
    assert_eq!(stage.asked(), "a/x#0");
}

#[tokio::test(start_paused = true)]
async fn every_upstream_down_is_hardly_amplified() {
    let stage = Stage::new(&[(500, NONE); 3_000]);
    let router = router(&stage, 0, pair());
    for _ in 0..1_000 {
        assert_ne!(ask(&router, "m").await.0, 200);
    }
    let asked = stage.asked().split(' ').count();
    assert!(asked <= 1_010, "{asked}");
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_is_passed_by_and_probed_later() {
    let stage = Stage::new(&[]);
    let router = router(&stage, 0, pair());
    for _ in 0..5 {
        stage.script.lock().expect("sound").push_back((500, &[]));
        assert_eq!(ask(&router, "m").await, is(200, "", 2));
    }
    stage.asked();
    assert_eq!(ask(&router, "m").await, is(200, "", 1));
    assert_eq!(stage.asked(), "b/y#0");
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(ask(&router, "m").await, is(200, "", 1));
    assert_eq!(stage.asked(), "a/x#0");
}

#[tokio::test(start_paused = true)]
async fn a_place_is_kept_until_the_body_ends() {
    let one = std::num::NonZeroU32::MIN;
    let stage = Stage::new(&[]);
    let models = vec![Model::new("m").target(Candidate::new("a", "x").max_concurrent(one))];
    let router = router(&stage, 0, models);
    let held = router.clone().oneshot(Request::new(Body("m"))).await;
    assert_eq!(ask(&router, "m").await, is(503, "no_upstream", 0));
    drop(held);
    assert_eq!(ask(&router, "m").await, is(200, "", 1));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_model_is_not_found() {
    let stage = Stage::new(&[]);
    assert_eq!(
        ask(&router(&stage, 0, lone()), "z").await,
        is(404, "model_not_found", 0)
    );
}

/// Each form that an upstream says it in, on one key of two: the other serves meanwhile.
#[tokio::test(start_paused = true)]
async fn a_limited_key_rests_for_its_own_time() {
    const DATE: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    const NONE_LEFT: (&str, &str) = ("x-ratelimit-remaining-requests", "0");
    let forms: [(&'static [(&str, &str)], u64); 8] = [
        (&[("retry-after", "90")], 90_000),
        (&[("retry-after-ms", "1500")], 1_500),
        (
            &[DATE, ("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")],
            30_000,
        ),
        (
            &[NONE_LEFT, ("x-ratelimit-reset-requests", "1m30.5s")],
            90_500,
        ),
        (&[NONE_LEFT, ("x-ratelimit-reset-requests", "250ms")], 250),
        (
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "10")],
            10_000,
        ),
        (
            &[
                DATE,
                ("anthropic-ratelimit-tokens-remaining", "0"),
                ("anthropic-ratelimit-tokens-reset", "1994-11-06T08:49:47Z"),
            ],
            10_000,
        ),
        // Ten minutes are believed, and no more.
        (&[("retry-after", "86400")], 600_000),
    ];
    for (headers, rest) in forms {
        let stage = Stage::new(&[(429, headers)]);
        let router = router(&stage, 2, lone());
        assert_eq!(ask(&router, "m").await, is(200, "", 2), "{headers:?}");
        let asked = stage.asked();
        let (limited, other) = asked.split_once(' ').expect("two");
        assert_ne!(limited, other);
        for wait in [0, rest - 2] {
            tokio::time::advance(Duration::from_millis(wait)).await;
            for _ in 0..4 {
                assert_eq!(ask(&router, "m").await, is(200, "", 1));
                assert_eq!(stage.asked(), other, "{headers:?}");
            }
        }
        tokio::time::advance(Duration::from_millis(2)).await;
        for _ in 0..2 {
            ask(&router, "m").await;
        }
        assert!(stage.asked().contains(limited), "{headers:?}");
    }
}

/// One probe at a time, until its body has ended: then everybody, or nobody for longer.
#[tokio::test(start_paused = true)]
async fn the_probe_is_judged_at_the_end_of_its_body() {
    let stage = Stage::new(&[]);
    let router = router(&stage, 0, pair());
    for _ in 0..5 {
        stage.script.lock().expect("sound").push_back((500, &[]));
        assert_eq!(ask(&router, "m").await, is(200, "", 2));
    }
    tokio::time::advance(Duration::from_secs(6)).await;
    stage.asked();
    let probe = router.clone().oneshot(Request::new(Body("m"))).await;
    let breaker = || router.health()[0].breaker;
    assert_eq!(
        (stage.asked().as_str(), breaker()),
        ("a/x#0", Breaker::HalfOpen)
    );
    for _ in 0..3 {
        assert_eq!(ask(&router, "m").await, is(200, "", 1));
        assert_eq!(stage.asked(), "b/y#0", "the probe is not over");
    }
    // One that nobody reads to its end says nothing: the next request is the probe.
    drop(probe);
    assert_eq!(breaker(), Breaker::HalfOpen);
    let probe = router.clone().oneshot(Request::new(Body("m"))).await;
    assert_eq!(stage.asked(), "a/x#0");
    let body = probe.expect("infallible").into_body();
    assert_eq!(breaker(), Breaker::HalfOpen);
    body.collect().await.expect("whole");
    assert_eq!(breaker(), Breaker::Closed);
}
