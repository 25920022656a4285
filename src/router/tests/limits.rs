//! Upstreams that say that there are too many requests, and not for how long.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{router as router_of, *};

/// `a` refuses all while `busy` is more than 0, one less each time; `b` serves all.
fn router(stage: &Stage, busy: &Arc<AtomicU32>, models: Vec<Model>) -> Router<Upstream, Live> {
    let (stage, busy) = (stage.clone(), Arc::clone(busy));
    let upstream = BoxCloneSyncService::new(service_fn(move |request: Request<Body>| {
        let target = request.extensions().get::<Target>().expect("set");
        let mut asked = stage.asked.lock().expect("sound");
        asked.push(target.provider.to_string());
        let refuses = &*target.provider == "a"
            && busy
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .is_ok();
        let answer = Response::builder().status(if refuses { 429 } else { 200 });
        let answer = answer.body(Full::new("{}")).expect("valid");
        std::future::ready(Ok(answer))
    }));
    Router::builder(Live::new(Table::new(models).expect("sound")))
        .service("a", upstream.clone(), 0)
        .service("b", upstream, 0)
        .build()
        .expect("sound")
}

fn fallback() -> Vec<Model> {
    vec![
        Model::new("m")
            .target(Candidate::new("a", "x"))
            .fallback("n"),
        Model::new("n").target(Candidate::new("b", "y")),
    ]
}

#[tokio::test(start_paused = true)]
async fn one_that_is_always_limited_leaves_its_fallback_alone() {
    for models in [fallback(), pair()] {
        let (stage, busy) = (Stage::default(), Arc::new(u32::MAX.into()));
        let router = router(&stage, &busy, models);
        for _ in 0..1_000 {
            assert_eq!(ask(&router, "m").await.0, 200);
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        let asked = stage.asked();
        let vain = asked.matches('a').count();
        // After 1, 3, 7, 15 and 31 s, or somewhat sooner, and then twice or three times a minute.
        assert!((6..=9).contains(&vain), "{vain}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_serves_again_is_asked_by_all() {
    let (stage, busy) = (Stage::default(), Arc::new(1.into()));
    let router = router(&stage, &busy, pair());
    assert_eq!(ask(&router, "m").await, is(200, "", 2));
    assert_eq!(ask(&router, "m").await, is(200, "", 1));
    assert_eq!(stage.asked(), "a b b");
    let rests = router.health()[0].rests_for.expect("it rests");
    assert!((750..=1_000).contains(&rests.as_millis()), "{rests:?}");
    tokio::time::advance(rests).await;
    for _ in 0..3 {
        assert_eq!(ask(&router, "m").await, is(200, "", 1));
    }
    assert_eq!(stage.asked(), "a a a");
    assert_eq!(router.health()[0].rests_for, None);
}

#[tokio::test(start_paused = true)]
async fn targets_that_are_limited_at_the_same_time_are_not_all_tried_at_the_same_time() {
    let targets = ["x", "y", "z"].map(|name| Candidate::new("a", name));
    let model = targets.into_iter().fold(Model::new("m"), Model::target);
    let router = router(&Stage::default(), &Arc::new(u32::MAX.into()), vec![model]);
    assert_eq!(ask(&router, "m").await.0, 429);
    let health = router.health();
    let rests: std::collections::BTreeSet<_> = health.iter().map(|it| it.rests_for).collect();
    assert!(rests.len() == 3 && !rests.contains(&None), "{rests:?}");
}

/// A guess turns nobody away.
#[tokio::test(start_paused = true)]
async fn a_target_without_another_is_asked_all_the_same() {
    let acts = [(429, NONE), (200, NONE)].repeat(5);
    let stage = Stage::new(&acts);
    let router = router_of(&stage, 0, lone());
    for _ in 0..5 {
        assert_eq!(ask(&router, "m").await, is(200, "", 2));
    }
    // No attempts are left, and the next request finds it well.
    stage.script.lock().expect("sound").extend([(429, NONE); 3]);
    assert_eq!(ask(&router, "m").await, is(429, "upstream_rate_limited", 3));
    assert_eq!(ask(&router, "m").await, is(200, "", 1));
}

#[tokio::test(start_paused = true)]
async fn of_targets_that_all_rest_by_guess_the_first_to_be_free_is_asked() {
    let stage = Stage::new(&[(429, NONE); 2]);
    let router = Router::builder(Live::new(Table::new(pair()).expect("sound")))
        .service("a", stage.upstream(), 0)
        .service("b", stage.upstream(), 0)
        .attempts(NonZeroU32::new(2).expect("two"))
        .build()
        .expect("sound");
    assert_eq!(ask(&router, "m").await, is(429, "upstream_rate_limited", 2));
    assert_eq!(stage.asked(), "a/x#0 b/y#0");
    let health = router.health();
    let rests = [0, 1].map(|at: usize| health[at].rests_for.expect("it rests"));
    let first = match rests[0] < rests[1] {
        true => "a/x#0",
        false => "b/y#0",
    };
    assert_eq!(ask(&router, "m").await, is(200, "", 1));
    assert_eq!(stage.asked(), first);
    // It serves, so that it is the one to ask.
    assert_eq!(ask(&router, "m").await, is(200, "", 1));
    assert_eq!(stage.asked(), first);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_limited_rests_and_the_others_serve() {
    let stage = Stage::new(&[(429, NONE)]);
    let router = router_of(&stage, 2, lone());
    assert_eq!(ask(&router, "m").await, is(200, "", 2));
    let first = stage.asked();
    let (limited, other) = first.split_once(' ').expect("two");
    assert_ne!(limited, other);
    for _ in 0..4 {
        assert_eq!(ask(&router, "m").await, is(200, "", 1));
        assert_eq!(stage.asked(), other);
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    for _ in 0..2 {
        assert_eq!(ask(&router, "m").await, is(200, "", 1));
    }
    assert!(stage.asked().contains(limited));
}

/// An upstream that says that it may be asked at once is believed.
#[tokio::test(start_paused = true)]
async fn a_wait_of_nothing_is_no_rest() {
    let stage = Stage::new(&[(429, &[("retry-after", "0")])]);
    let router = router_of(&stage, 0, pair());
    assert_eq!(ask(&router, "m").await, is(200, "", 2));
    stage.asked();
    assert_eq!(ask(&router, "m").await, is(200, "", 1));
    assert_eq!(stage.asked(), "a/x#0");
}
