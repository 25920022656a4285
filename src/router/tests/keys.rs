//! A pool of which some keys are refused with a 403 that does not say why.

use std::num::NonZeroU32;

use super::*;

/// Says who was asked, and answers with what `status` gives for a model and a key.
fn pool(stage: &Stage, status: Status) -> Upstream {
    let stage = stage.clone();
    BoxCloneSyncService::new(service_fn(move |request: Request<Body>| {
        let target = request.extensions().get::<Target>().expect("set").clone();
        let asked = format!("{}#{}", target.provider, target.key);
        stage.asked.lock().expect("sound").push(asked);
        let answer = Response::builder().status(status(&target.model, target.key));
        let answer = answer.body(Full::new("{}")).expect("valid");
        std::future::ready(Ok(answer))
    }))
}

type Status = fn(&str, usize) -> u16;

fn router(stage: &Stage, keys: usize, status: Status) -> Router<Upstream, Live> {
    attempts(stage, keys, status, 3)
}

fn attempts(stage: &Stage, keys: usize, status: Status, most: u32) -> Router<Upstream, Live> {
    let models = ["plain", "file"].map(|name| {
        Model::new(name)
            .target(Candidate::new("a", name))
            .target(Candidate::new("b", name).priority(1))
    });
    Router::builder(Live::new(Table::new(models).expect("sound")))
        .service("a", pool(stage, status), keys)
        .service("b", pool(stage, |_, _| 200), 0)
        .attempts(NonZeroU32::new(most).expect("not 0"))
        .build()
        .expect("sound")
}

fn dead(router: &Router<Upstream, Live>) -> usize {
    router.health()[0].dead_keys
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_forbidden_what_another_may_is_buried_by_and_by() {
    let stage = Stage::default();
    let refuses = |_: &str, key| if key == 0 { 403 } else { 200 };
    let router = router(&stage, 2, refuses);
    for _ in 0..20 {
        let (status, _, attempts) = ask(&router, "plain").await;
        assert_eq!(status, 200);
        assert!(attempts <= 2);
    }
    let asked = stage.asked();
    assert!(!asked.contains('b'), "{asked}");
    assert_eq!(asked.matches("a#0").count(), 3, "{asked}");
    assert_eq!(dead(&router), 1);
    // For a time only.
    tokio::time::advance(Duration::from_secs(601)).await;
    for _ in 0..2 {
        assert_eq!(ask(&router, "plain").await.0, 200);
    }
    assert!(stage.asked().contains("a#0"));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_serves_others_is_not_buried_for_what_one_client_may_not_have() {
    let stage = Stage::default();
    let refuses = |model: &str, key| match (model, key) {
        ("file", 0) => 403,
        _ => 200,
    };
    let router = router(&stage, 2, refuses);
    for _ in 0..50 {
        for name in ["file", "plain", "plain"] {
            assert_eq!(ask(&router, name).await.0, 200);
        }
        assert_eq!(dead(&router), 0);
    }
    assert!(!stage.asked().contains('b'));
}

#[tokio::test(start_paused = true)]
async fn what_two_keys_are_forbidden_is_asked_elsewhere_and_buries_none() {
    let stage = Stage::default();
    let router = router(&stage, 8, |_, _| 403);
    for _ in 0..20 {
        assert_eq!(ask(&router, "plain").await, is(200, "", 3));
        let asked = stage.asked();
        assert!(asked.ends_with(" b#0"), "{asked}");
        assert_eq!(asked.matches("a#").count(), 2, "{asked}");
        assert_eq!(dead(&router), 0);
    }
}

/// A pool of one, and no other target.
#[tokio::test(start_paused = true)]
async fn what_the_only_key_is_forbidden_is_told() {
    let stage = Stage::new(&[(403, NONE); 9]);
    let router = super::router(&stage, 1, lone());
    for _ in 0..9 {
        assert_eq!(ask(&router, "m").await, is(502, "upstream_unauthorized", 1));
    }
    assert_eq!((dead(&router), ask(&router, "m").await.0), (0, 200));
}

/// With two attempts in all, the second is the fallback's.
#[tokio::test(start_paused = true)]
async fn the_last_attempt_goes_to_another_target_than_the_one_that_forbade() {
    let stage = Stage::default();
    let router = attempts(&stage, 2, |_, _| 403, 2);
    for _ in 0..20 {
        assert_eq!(ask(&router, "plain").await, is(200, "", 2));
        let asked = stage.asked();
        assert!(asked.ends_with(" b#0"), "{asked}");
    }
}

/// A day's tokens of one model: the key serves the others.
#[tokio::test(start_paused = true)]
async fn a_model_whose_quota_is_used_up_leaves_its_key_to_the_others() {
    let stage = Stage::default();
    let pool = {
        let stage = stage.clone();
        BoxCloneSyncService::new(service_fn(move |request: Request<Body>| {
            let target = request.extensions().get::<Target>().expect("set").clone();
            let asked = format!("{}#{}", target.model, target.key);
            stage.asked.lock().expect("sound").push(asked);
            let mut answer = Response::new(Full::new("{}"));
            if &*target.model == "file" && target.key == 0 {
                let error = Error::new(Kind::RateLimit, "used up").with_class(Class::ModelQuota);
                *answer.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
                answer.extensions_mut().insert(error);
            }
            std::future::ready(Ok(answer))
        }))
    };
    let models = ["plain", "file"].map(|name| Model::new(name).target(Candidate::new("a", name)));
    let router = Router::builder(Live::new(Table::new(models).expect("sound")))
        .service("a", pool, 2)
        .build()
        .expect("sound");
    for _ in 0..10 {
        for name in ["file", "plain"] {
            assert_eq!(ask(&router, name).await.0, 200);
        }
    }
    let asked = stage.asked();
    assert_eq!(asked.matches("file#0").count(), 1, "{asked}");
    assert!(asked.matches("plain#0").count() > 2, "{asked}");
    assert_eq!(dead(&router), 0);
    // Who looks after the targets is told, and asks this one with what it has left.
    assert_eq!(router.health()[1].dead_keys, 1);
    router
        .probe(crate::router::Probe::All, |_| Request::new(Body("file")))
        .await;
    let asked = stage.asked();
    assert_eq!(asked.matches("file#0").count(), 0, "{asked}");
    // For a time only.
    tokio::time::advance(Duration::from_secs(601)).await;
    for _ in 0..2 {
        assert_eq!(ask(&router, "file").await.0, 200);
    }
    assert!(stage.asked().contains("file#0"));
}
