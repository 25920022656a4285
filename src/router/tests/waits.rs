//! What is sent where by who has not answered yet.

use super::{router as router_of, *};
use crate::router::Balance;

/// `a` is quick until it hangs, `b` is slow and steady; with `more`, the others of many are slower still.
fn router(
    hangs: &Arc<Mutex<bool>>,
    asked: &Arc<Mutex<Vec<String>>>,
    more: usize,
) -> Router<Upstream, Live> {
    let upstream = |name: String, takes: u64| {
        let (hangs, asked) = (Arc::clone(hangs), Arc::clone(asked));
        BoxCloneSyncService::new(service_fn(move |_: Request<Body>| {
            let silent = name == "a" && *hangs.lock().expect("sound");
            asked.lock().expect("sound").push(name.clone());
            async move {
                if silent {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(Duration::from_millis(takes)).await;
                Ok(Response::new(Full::new("{}")))
            }
        }))
    };
    let mut names = vec![("a".to_owned(), 20), ("b".to_owned(), 50)];
    names.extend((0..more).map(|at| (format!("c{at}"), 400)));
    let mut model = Model::new("m").balance(Balance::Fastest);
    for (name, _) in &names {
        model = model.target(Candidate::new(name.as_str(), "x"));
    }
    let table = Table::new([model]).expect("sound");
    let mut builder = Router::builder(Live::new(table));
    for (name, takes) in names {
        builder = builder.service(name.as_str(), upstream(name.clone(), takes), 0);
    }
    builder.build().expect("sound")
}

#[tokio::test(start_paused = true)]
async fn the_fastest_is_left_when_it_keeps_others_waiting() {
    for more in [0, 40] {
        let (hangs, asked) = (Arc::default(), Arc::default());
        let router = router(&hangs, &asked, more);
        for _ in 0..more + 10 {
            assert_eq!(ask(&router, "m").await.0, 200);
        }
        assert_eq!(asked.lock().expect("sound").last().expect("some"), "a");
        asked.lock().expect("sound").clear();
        *hangs.lock().expect("sound") = true;
        // Its attempts have 20 s; a request comes each 10 ms.
        let mut under_way = tokio::task::JoinSet::new();
        for _ in 0..1_000 {
            let request = Request::new(Body("m"));
            under_way.spawn(router.clone().oneshot(request));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let asked = asked.lock().expect("sound");
        let waiting = asked.iter().filter(|name| *name == "a").count();
        assert!((2..=20).contains(&waiting), "{more}: {waiting}");
    }
}

/// All that is left behind by those who go: nothing.
#[tokio::test(start_paused = true)]
async fn whoever_leaves_is_waited_for_no_longer() {
    let (hangs, asked) = (Arc::default(), Arc::default());
    let router = router(&hangs, &asked, 0);
    for _ in 0..10 {
        assert_eq!(ask(&router, "m").await.0, 200);
    }
    *hangs.lock().expect("sound") = true;
    let request = Request::new(Body("m"));
    let call = tokio::time::timeout(Duration::from_millis(5), router.clone().oneshot(request));
    assert!(call.await.is_err());
    *hangs.lock().expect("sound") = false;
    tokio::time::advance(Duration::from_millis(300)).await;
    asked.lock().expect("sound").clear();
    assert_eq!(ask(&router, "m").await.0, 200);
    assert_eq!(*asked.lock().expect("sound"), ["a"]);
}

/// Neither the long rest of the last one that was asked nor its silence on it is that of the others.
#[tokio::test(start_paused = true)]
async fn whoever_is_free_first_is_waited_for() {
    let stage = Stage::new(&[
        (500, NONE),
        (429, &[("retry-after", "3")]),
        (200, NONE),
        (429, &[("retry-after", "30")]),
    ]);
    let router = router_of(&stage, 0, pair());
    let start = tokio::time::Instant::now();
    assert_eq!(ask(&router, "m").await, is(200, "", 3));
    assert_eq!(stage.asked(), "a/x#0 b/y#0 a/x#0");
    assert!(start.elapsed() < Duration::from_secs(1));
    // The other rests still, and not for as long as this one wants to.
    assert_eq!(ask(&router, "m").await, is(200, "", 2));
    assert_eq!(stage.asked(), "a/x#0 b/y#0");
    let waited = start.elapsed();
    assert!((2_900..3_200).contains(&waited.as_millis()), "{waited:?}");
    // Of two that want longer than anybody waits nobody is asked again.
    let acts = [
        (429, [("retry-after", "30")]),
        (429, [("retry-after", "40")]),
    ];
    for (status, headers) in acts {
        let headers = Box::leak(Box::new(headers));
        stage
            .script
            .lock()
            .expect("sound")
            .push_back((status, headers));
    }
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(ask(&router, "m").await, is(429, "upstream_rate_limited", 2));
}
