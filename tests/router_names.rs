//! Models behind a pattern: what is learned of one says nothing of the others.

#![cfg(feature = "mock")]

#[path = "support/routes.rs"]
mod routes;

use std::num::NonZeroU32;

use http_body_util::BodyExt as _;
use routes::{Providers, attempts, served};
use tower::ServiceExt as _;
use tower_completions::{
    mock::{Script, Upstream},
    observe::Breaker,
    provider::{Provider, openai::OpenAi},
    router::{Candidate, Live, Model, Router, Table},
};

type Routed = Router<Providers, Live>;

fn models() -> Vec<Model> {
    let pattern = Model::new("p/*").target(Candidate::new("a", "*"));
    vec![pattern.target(Candidate::new("b", "*").priority(1))]
}

fn router(models: Vec<Model>) -> (Upstream, Upstream, Live, Routed) {
    let (a, b) = (Upstream::new(), Upstream::new());
    let live = Live::new(Table::new(models).expect("sound"));
    let provider = |name: &'static str, upstream: &Upstream| {
        let translate = OpenAi::new("http://upstream/v1").expect("a URL");
        Provider::new(name, upstream.clone(), translate).with_keys([format!("sk-{name}")])
    };
    let router = Router::builder(live.clone())
        .provider("a", provider("a", &a))
        .provider("b", provider("b", &b))
        .build()
        .expect("sound");
    (a, b, live, router)
}

async fn begin(
    router: &Routed,
    model: &str,
) -> http::Response<impl http_body::Body<Data = bytes::Bytes>> {
    let text = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"a"}}]}}"#);
    let chat = tower_completions::parse::Chat::parse(text.into()).expect("readable");
    let request = http::Request::new(tower_completions::parse::ChatBody::new(chat));
    router.clone().oneshot(request).await.expect("infallible")
}

/// Who served it, and the attempts.
async fn ask(router: &Routed, model: &str) -> (String, u32) {
    let response = begin(router, model).await;
    let said = (served(&response), attempts(&response));
    let _ = response.into_body().collect().await;
    said
}

#[tokio::test(start_paused = true)]
async fn one_that_is_down_takes_no_other_down() {
    let (a, _, live, router) = router(models());
    assert_eq!(ask(&router, "p/well").await, ("a/well".into(), 1));
    for _ in 0..50 {
        a.queue(Script::failed());
        ask(&router, "p/dead").await;
        if ask(&router, "p/dead").await == ("b/dead".into(), 1) {
            break;
        }
    }
    let breaker = |name: &str| {
        let health = router.health();
        let mut all = health.iter();
        let one = all.find(|it| &*it.target.provider == "a" && &*it.target.model == name);
        one.map(|it| it.breaker)
    };
    for _ in 0..2 {
        assert_eq!(breaker("dead"), Some(Breaker::Open));
        assert_eq!(breaker("well"), Some(Breaker::Closed));
        assert_eq!(ask(&router, "p/dead").await, ("b/dead".into(), 1));
        assert_eq!(ask(&router, "p/well").await, ("a/well".into(), 1));
        assert_eq!(ask(&router, "p/new").await, ("a/new".into(), 1));
        // It outlasts another table.
        live.replace(models()).expect("sound");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_limited_rests_alone() {
    let (a, _, _, router) = router(models());
    a.queue(Script::rate_limited("60"));
    assert_eq!(ask(&router, "p/x").await, ("b/x".into(), 2));
    assert_eq!(ask(&router, "p/x").await, ("b/x".into(), 1));
    assert_eq!(ask(&router, "p/y").await, ("a/y".into(), 1));
}

#[tokio::test(start_paused = true)]
async fn together_they_are_no_more_at_once_than_the_target_takes() {
    let one = NonZeroU32::MIN;
    let near = Candidate::new("a", "*").max_concurrent(one);
    let model = Model::new("p/*").target(near);
    let (_, _, _, router) = router(vec![model.target(Candidate::new("b", "*").priority(1))]);
    let open = begin(&router, "p/x").await;
    assert_eq!(served(&open), "a/x");
    assert_eq!(ask(&router, "p/y").await, ("b/y".into(), 1));
    assert_eq!(router.health()[0].in_flight, 1);
    drop(open);
    assert_eq!(ask(&router, "p/y").await, ("a/y".into(), 1));
    assert_eq!(router.health()[0].in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_target_with_a_name_of_its_own_is_one_for_all() {
    let near = Model::new("p/*").target(Candidate::new("a", "fixed"));
    let (a, _, _, router) = router(vec![near.target(Candidate::new("b", "*").priority(1))]);
    a.queue(Script::rate_limited("60"));
    assert_eq!(ask(&router, "p/x").await, ("b/x".into(), 2));
    assert_eq!(ask(&router, "p/y").await, ("b/y".into(), 1));
}

#[tokio::test(start_paused = true)]
async fn names_that_nobody_asks_for_twice_push_out_none_that_is_used() {
    let (a, _, _, router) = router(models());
    a.queue(Script::rate_limited("60"));
    for _ in 0..2 {
        ask(&router, "p/used").await;
    }
    for n in 0..2_000 {
        ask(&router, &format!("p/junk-{n}")).await;
    }
    // Two of the pattern, and two for each name.
    let known = router.health().len();
    assert!((400..=2 + 2 * 256).contains(&known), "{known}");
    assert_eq!(ask(&router, "p/used").await, ("b/used".into(), 1));
}

#[tokio::test(start_paused = true)]
async fn a_name_of_any_length_is_not_kept() {
    let (a, _, _, router) = router(models());
    for (length, known) in [(256, true), (257, false), (1 << 20, false)] {
        let name = "x".repeat(length);
        a.queue(Script::rate_limited("60"));
        let (by, attempts) = ask(&router, &format!("p/{name}")).await;
        assert_eq!((by.len(), attempts), (length + 2, 2));
        let health = router.health();
        let mut all = health.iter();
        assert_eq!(all.any(|it| *it.target.model == *name), known, "{length}");
    }
}
