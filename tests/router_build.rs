//! What a router is made of: what it refuses to be built from, and what it has unless told otherwise.

#[path = "support/routes.rs"]
mod routes;

use std::sync::Arc;

use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use tower::{ServiceExt, service_fn};
use tower_completions::{
    KeyPool as _, Principal,
    auth::Keys,
    body::Full,
    mock::{Script, Upstream},
    parse::ChatBody,
    provider::{BoxProvider, Provider, anthropic::Anthropic, openai::OpenAi},
    router::{Candidate, CommitLayer, Live, Mistake, Model, Plan, Router, Table},
    stack::Gateway,
};

use routes::{chat, code, pair, provider};

fn table() -> Table {
    Table::new(pair()).expect("sound")
}

/// Streams that fail before their first content, and whole answers that make no sense.
fn broken() -> [(&'static str, Script, bool); 4] {
    let events = |text: &'static str| {
        let kind = header::HeaderValue::from_static("text/event-stream");
        Script::bytes(StatusCode::OK, text).with_header(header::CONTENT_TYPE, kind)
    };
    let error = "data: {\"error\":{\"message\":\"x\",\"type\":\"overloaded_error\"}}\n\n";
    [
        ("an error event", events(error), true),
        ("a cut", events(": hi\n\n"), true),
        ("comments alone", Script::only_comments(), true),
        ("nonsense", Script::garbage(), false),
    ]
}

async fn through_a_gateway(script: Script, stream: bool, commit: bool) -> (u16, String, u64) {
    let (bad, good) = (Upstream::new().with_default(script), Upstream::new());
    let router = Router::builder(table())
        .provider("a", provider("a", &bad))
        .provider("b", provider("b", &good));
    let router = if commit {
        router
    } else {
        router.without_commit()
    };
    let keys = Keys::new();
    keys.insert("sk-demo", Principal::new("demo"));
    let gateway = Gateway::builder(keys).build(router.build().expect("sound"));
    let body = format!(
        r#"{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#
    );
    let request = Request::post("/v1/chat/completions")
        .header("authorization", "Bearer sk-demo")
        .body(Full::new(body))
        .expect("a request");
    let response = gateway.oneshot(request).await.expect("infallible");
    let status = response.status().as_u16();
    let text = response.into_body().collect().await.expect("whole");
    let text = String::from_utf8_lossy(&text.to_bytes()).into_owned();
    (status, text, good.log().counts().calls)
}

/// With nothing said of it: the client reads the answer of the target that has one.
#[tokio::test(start_paused = true)]
async fn a_gateway_falls_back_before_the_first_content() {
    for (name, script, stream) in broken() {
        let (status, text, asked) = through_a_gateway(script, stream, true).await;
        assert_eq!((status, asked), (200, 1), "{name}: {text}");
        assert_eq!(text.contains("[DONE]"), stream, "{name}: {text}");
        assert!(!text.contains("error"), "{name}: {text}");
    }
    // Where it was told not to, what fails in a stream is the client's to bear.
    let (_, script, _) = broken().into_iter().next().expect("four");
    let (status, text, asked) = through_a_gateway(script, true, false).await;
    assert_eq!((status, asked), (200, 0), "{text}");
    assert!(text.contains("error"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn how_far_a_stream_is_read_is_the_builders_to_say() {
    let slow = Upstream::new().with_default(Script::only_comments());
    let layer = CommitLayer::new().first_event_timeout(std::time::Duration::from_secs(3));
    let router = Router::builder(table())
        .provider("a", provider("a", &slow))
        .provider("b", provider("b", &Upstream::new()))
        .commit(layer)
        .build()
        .expect("sound");
    let begun = tokio::time::Instant::now();
    let response = router.oneshot(chat(r#","stream":true"#)).await;
    assert_eq!(response.expect("infallible").status(), 200);
    assert_eq!(begun.elapsed().as_secs(), 3);
}

#[test]
fn every_mistake_is_named() {
    let other = Model::new("n")
        .target(Candidate::new("opneai", "x"))
        .target(Candidate::new("opneai", "y"));
    let table = Table::new(pair().into_iter().chain([other])).expect("sound");
    let many = Provider::new(
        "b",
        Upstream::new(),
        OpenAi::new("http://u/v1").expect("a URL"),
    )
    .with_keys((0..65).map(|key| format!("sk-{key}")));
    let built = Router::builder(table)
        .provider("a", provider("a", &Upstream::new()))
        .provider("a", provider("a", &Upstream::new()))
        .provider("b", many)
        .key_concurrency("nobody", 3.try_into().expect("not 0"))
        .build();
    let error = built.expect_err("mistakes");
    assert_eq!(
        error.mistakes(),
        [
            Mistake::TwoProviders("a".into()),
            Mistake::TooManyKeys {
                provider: "b".into(),
                keys: 65
            },
            Mistake::UnknownProvider {
                provider: "opneai".into(),
                model: "n".into()
            },
            Mistake::LimitOfNobody("nobody".into()),
        ]
    );
    assert_eq!(
        error.to_string(),
        "two providers are called `a`; the provider `b` has 65 keys, which are more than 64; \
         the model `n` has a target at `opneai`, which is no provider; \
         there is a limit for the keys of `nobody`, which is no provider"
    );
}

/// A key that is refused is not used again, and the others are, without a word of how many there are.
#[tokio::test(start_paused = true)]
async fn the_keys_of_a_pool_are_counted_where_they_are() {
    let upstream = Upstream::new().with_fn(|seen| {
        let refused = seen.header("authorization") == Some("Bearer k0");
        let invalid = "invalid_request_error";
        refused.then(|| Script::error(StatusCode::UNAUTHORIZED, invalid, "invalid_api_key", "no"))
    });
    let translate = OpenAi::new("http://u/v1").expect("a URL");
    let provider = Provider::new("p", upstream.clone(), translate).with_keys(["k0", "k1", "k2"]);
    assert_eq!(provider.keys(), 3);
    let boxed = provider.clone().boxed();
    assert_eq!(boxed.keys(), 3);
    let table = || Table::new([Model::new("m").target(Candidate::new("p", "m"))]).expect("sound");
    let router = Router::builder(table()).provider("p", provider).build();
    let router = router.expect("sound");
    for _ in 0..4 {
        let response = router.clone().oneshot(chat("")).await.expect("infallible");
        assert_eq!(response.status(), 200);
    }
    let keys =
        |seen: &tower_completions::mock::Seen| seen.header("authorization").map(str::to_owned);
    let mut asked: Vec<_> = upstream.log().requests().iter().filter_map(keys).collect();
    asked.sort_unstable();
    asked.retain(|key| key == "Bearer k0");
    assert_eq!(asked.len(), 1);
    assert_eq!(router.health()[0].keys, 3);
    assert_eq!(router.health()[0].dead_keys, 1);
}

/// What only shows when it runs is the operator's mistake, and no lack of room.
#[tokio::test(start_paused = true)]
async fn a_provider_that_nobody_has_is_an_internal_error() {
    let model = Arc::new(Model::new("m").target(Candidate::new("opneai", "x")));
    for model in [Some(model), None] {
        let route = move |_: &str, _: &http::request::Parts| Ok(Plan::new(model.clone()));
        let router = Router::builder(route)
            .provider("a", provider("a", &Upstream::new()))
            .build()
            .expect("its models are not told");
        let response = router.oneshot(chat("")).await.expect("infallible");
        assert_eq!(
            (response.status().as_u16(), code(&response)),
            (500, "internal_error".into())
        );
        assert!(response.headers().get("retry-after").is_none());
    }
    // A table that is put in later.
    let live = Live::new(table());
    let router = Router::builder(live.clone())
        .provider("a", provider("a", &Upstream::new()))
        .provider("b", provider("b", &Upstream::new()))
        .build()
        .expect("sound");
    let at = |provider: &'static str| Model::new("m").target(Candidate::new(provider, "x"));
    live.replace([at("c")]).expect("sound");
    let status = async |router: &Router<_, _>| {
        let response = router.clone().oneshot(chat("")).await;
        response.expect("infallible").status().as_u16()
    };
    assert_eq!(status(&router).await, 500);
    // Beside one that there is it is passed over.
    live.replace([at("c").target(Candidate::new("b", "x"))])
        .expect("sound");
    assert_eq!(status(&router).await, 200);
}

/// Providers of several APIs, and a service of one's own, in one router.
#[tokio::test(start_paused = true)]
async fn providers_of_all_kinds_share_a_router() {
    let openai = Provider::new(
        "a",
        Upstream::new(),
        OpenAi::new("http://u/v1").expect("a URL"),
    );
    let failing = service_fn(async |_: Request<Full>| {
        Err::<Response<Full>, _>(std::io::Error::other("refused"))
    });
    let claude = Provider::new("b", failing, Anthropic::new("http://u").expect("a URL"));
    let own = BoxProvider::with_keys(
        service_fn(async |_: Request<ChatBody>| {
            Ok::<_, std::convert::Infallible>(Response::new(Full::new("{}")))
        }),
        0,
    );
    let model = Model::new("m")
        .target(Candidate::new("b", "claude-sonnet-4-5"))
        .target(Candidate::new("own", "x").priority(1))
        .target(Candidate::new("a", "x").priority(2));
    let router = Router::builder(Table::new([model]).expect("sound"))
        .provider("a", openai.boxed())
        .provider("b", claude.boxed())
        .provider("own", own)
        .build()
        .expect("sound");
    let response = router.oneshot(chat("")).await.expect("infallible");
    let seen = (routes::served(&response), code(&response));
    assert_eq!(seen, ("own/x".into(), String::new()));
}

/// A route is a function from a model's name to a plan.
#[tokio::test(start_paused = true)]
async fn a_closure_is_a_route() {
    let model = Arc::new(Model::new("any").target(Candidate::new("a", "*")));
    let router = Router::builder(move |asked: &str, _: &http::request::Parts| {
        Ok(Plan::new([Arc::clone(&model)]).with_star(asked))
    })
    .provider("a", provider("a", &Upstream::new()))
    .build()
    .expect("sound");
    let response = router.oneshot(chat("")).await.expect("infallible");
    assert_eq!(routes::served(&response), "a/m");
}
