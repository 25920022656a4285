//! Whose retries are whose.

use super::*;

/// All targets of `dead` fail; of `well` the first one does.
#[tokio::test(start_paused = true)]
async fn a_dead_model_leaves_the_retries_of_others_to_them() {
    let upstream = BoxCloneSyncService::new(service_fn(|request: Request<Body>| {
        let target = request.extensions().get::<Target>().expect("set");
        let status = if &*target.model == "good" { 200 } else { 500 };
        let answer = Response::builder().status(status);
        let answer = answer.body(Full::new("{}")).expect("valid");
        std::future::ready(Ok(answer))
    }));
    let names: Vec<String> = (0..9).map(|at| format!("bad-{at}")).collect();
    let mut dead = Model::new("dead");
    for name in &names {
        dead = dead.target(Candidate::new("a", name.as_str()));
    }
    let well = Model::new("well")
        .target(Candidate::new("a", "bad"))
        .target(Candidate::new("a", "good").priority(1));
    let live = Live::new(Table::new([dead.clone(), well.clone()]).expect("sound"));
    let router = Router::builder(live.clone()).service("a", upstream, 0);
    let router = router.build().expect("sound");
    let mut retries = 0;
    for _ in 0..9 {
        let (status, _, attempts) = ask(&router, "dead").await;
        assert_eq!(status, 502);
        retries += attempts - 1;
    }
    assert_eq!(retries, 10, "all that it has");
    // A table that is replaced gives it no new ones.
    live.replace([dead, well]).expect("sound");
    assert_eq!(ask(&router, "dead").await.2, 1);
    for _ in 0..4 {
        assert_eq!(ask(&router, "well").await, is(200, "", 2));
    }
}
