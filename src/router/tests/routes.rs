//! Tables and routes of one's own.

use super::*;

/// Requests under way go on by the table that they began with; what is known of a target is kept.
#[tokio::test(start_paused = true)]
async fn a_table_is_replaced_under_requests() {
    let stage = Stage::new(&[(0, &[])]);
    let live = Live::new(Table::new(pair()).expect("sound"));
    let router = Router::builder(live.clone())
        .service("a", stage.upstream(), 0)
        .service("b", stage.upstream(), 0)
        .attempt_timeout(Duration::from_secs(20))
        .build()
        .expect("sound");
    let under_way = tokio::spawn({
        let router = router.clone();
        async move { ask(&router, "m").await }
    });
    tokio::task::yield_now().await;
    assert_eq!(stage.asked(), "a/x#0");
    let gone = Model::new("n").target(Candidate::new("b", "z"));
    live.replace([gone]).expect("sound");
    assert_eq!(ask(&router, "m").await, is(404, "model_not_found", 0));
    assert_eq!(ask(&router, "n").await, is(200, "", 1));
    assert_eq!(stage.asked(), "b/z#0");
    // It fails over to a target that no table has any more.
    assert_eq!(under_way.await.expect("no panic"), is(200, "", 2));
    assert_eq!(stage.asked(), "b/y#0");
    // A mistake replaces nothing.
    assert!(live.replace([Model::new("empty")]).is_err());
    assert_eq!(ask(&router, "n").await, is(200, "", 1));
}

/// A route of one's own: by a header, over models that it keeps.
#[tokio::test(start_paused = true)]
async fn a_route_may_be_anyones() {
    struct ByHeader(Arc<Model>, Arc<Model>);
    impl Route for ByHeader {
        fn plan(&self, model: &str, parts: &Parts) -> Result<Plan, Error> {
            if model != "m" {
                return Err(Error::new(Kind::NotFound, "not here").with_code("model_not_found"));
            }
            let (first, second) = (Arc::clone(&self.0), Arc::clone(&self.1));
            Ok(match parts.headers.contains_key("x-second") {
                true => Plan::new([second]),
                false => Plan::new([first, second]),
            })
        }
    }
    let stage = Stage::new(&[(500, &[])]);
    let model = |provider, name| {
        let model = Model::new(name).target(Candidate::new(provider, name));
        Arc::new(model.target(Candidate::new(provider, "reserve").priority(1)))
    };
    let router = Router::builder(ByHeader(model("a", "x"), model("b", "y")))
        .service("a", stage.upstream(), 0)
        .service("b", stage.upstream(), 0)
        .build()
        .expect("sound");
    let ask = async |header: Option<&'static str>| {
        let mut request = Request::new(Body("m"));
        if let Some(name) = header {
            let value = http::HeaderValue::from_static("1");
            request.headers_mut().insert(name, value);
        }
        let response = router.clone().oneshot(request).await;
        response.expect("infallible").status().as_u16()
    };
    assert_eq!(
        (ask(None).await, stage.asked().as_str()),
        (200, "a/x#0 a/reserve#0")
    );
    assert_eq!(
        (ask(Some("x-second")).await, stage.asked().as_str()),
        (200, "b/y#0")
    );
    let unknown = router.clone().oneshot(Request::new(Body("z"))).await;
    assert_eq!(unknown.expect("infallible").status(), 404);
}

/// Whose route it is makes no difference to what a key may use, nor to what a star stands for.
#[tokio::test(start_paused = true)]
async fn a_key_may_use_by_any_route_what_it_may_use_by_a_table() {
    struct Any(Arc<Model>);
    impl Route for Any {
        fn plan(&self, model: &str, _: &Parts) -> Result<Plan, Error> {
            let plan = Plan::new([Arc::clone(&self.0)]);
            let star = model.strip_prefix("any/");
            Ok(star.map_or(plan.clone(), |star| plan.with_star(star)))
        }
    }
    let model = || {
        let model = Model::new("any/*").alias("nick");
        model.target(Candidate::new("a", "at/*"))
    };
    let stage = Stage::new(&[]);
    let table = Table::new([model()]).expect("sound");
    let by_table = Router::builder(table)
        .service("a", stage.upstream(), 0)
        .build()
        .expect("sound");
    let by_own = Router::builder(Any(Arc::new(model())))
        .service("a", stage.upstream(), 0)
        .build()
        .expect("sound");
    for (asked, models, status, upstream) in [
        ("any/secret", Some("other/*"), 403, ""),
        ("any/secret", Some("any/public"), 403, ""),
        ("any/public", Some("any/public"), 200, "a/at/public#0"),
        ("any/public", None, 200, "a/at/public#0"),
        ("nick", Some("other/*"), 403, ""),
        ("nick", Some("nick"), 200, "a/at/*#0"),
    ] {
        let ask = || {
            let mut request = Request::new(Body(asked));
            if let Some(models) = models {
                let caller = Principal::new("k").with_models([models]);
                request.extensions_mut().insert(caller);
            }
            request
        };
        let answers = [
            by_table.clone().oneshot(ask()).await,
            by_own.clone().oneshot(ask()).await,
        ];
        for answer in answers {
            let answer = answer.expect("infallible");
            assert_eq!(answer.status().as_u16(), status, "{asked} {models:?}");
        }
        let both = [upstream, upstream].join(" ");
        assert_eq!(stage.asked(), both.trim(), "{asked} {models:?}");
    }
}
