//! `Auth` through its public layer.

use std::{
    convert::Infallible,
    future::{Pending, pending},
};

use futures_util::FutureExt as _;
use http::{Request, Response, request::Parts};
use http_body_util::BodyExt;
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_completions::{
    Error, Principal,
    auth::{AuthLayer, Authenticate, Keys},
    body::Full,
    error::Kind,
};

fn keys() -> Keys {
    let keys = Keys::new();
    keys.insert("sk-good", Principal::new("good"));
    keys
}

async fn echo(request: Request<Full>) -> Result<Response<Full>, Infallible> {
    let id = request
        .extensions()
        .get::<Principal>()
        .expect("authenticated")
        .id()
        .to_owned();
    assert!(
        !format!("{:?}", request.headers()).contains("sk-"),
        "credentials are sensitive"
    );
    Ok(Response::new(Full::new(id)))
}

fn request(header: Option<(&str, &str)>) -> Request<Full> {
    let mut request = Request::builder();
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    request.body(Full::default()).expect("a request")
}

#[tokio::test]
async fn every_wrong_key_gets_the_same_401() {
    let service = AuthLayer::new(keys()).layer(service_fn(echo));
    let mut answers = Vec::new();
    for header in [
        None,
        Some(("authorization", "Bearer sk-bad")),
        Some(("authorization", "Bearer ")),
        Some(("authorization", "Basic c2stZ29vZDo=")),
        Some(("authorization", "sk-good")),
        Some(("x-api-key", "sk-bad")),
    ] {
        let response = service
            .clone()
            .oneshot(request(header))
            .await
            .expect("infallible");
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        assert_eq!(
            response.extensions().get::<Error>().expect("kept").kind(),
            Kind::Authentication
        );
        answers.push(
            response
                .into_body()
                .collect()
                .await
                .expect("a body")
                .to_bytes(),
        );
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let json: serde_json::Value = serde_json::from_slice(&answers[0]).expect("JSON");
    assert_eq!(json["error"]["type"], "authentication_error");
    assert_eq!(json["error"]["code"], "invalid_api_key");
    assert!(json["error"]["param"].is_null());
}

#[tokio::test]
async fn a_known_key_reaches_the_service_as_its_principal() {
    let service = AuthLayer::new(keys()).layer(service_fn(echo));
    for header in [
        ("authorization", "Bearer sk-good"),
        ("x-api-key", "sk-good"),
    ] {
        let response = service
            .clone()
            .oneshot(request(Some(header)))
            .await
            .expect("infallible");
        let body = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        assert_eq!(body, "good");
    }
}

#[tokio::test]
async fn an_own_authenticate_may_refuse_in_its_own_way() {
    let layer = AuthLayer::new(|_: &http::request::Parts| async {
        tokio::task::yield_now().await;
        Err::<Option<Principal>, _>(Error::new(Kind::Overloaded, "the key store is away"))
    });
    let response = layer
        .layer(service_fn(echo))
        .oneshot(request(None))
        .await
        .expect("infallible");
    assert_eq!(response.status(), 503);
}

#[tokio::test]
async fn the_service_that_was_made_ready_is_the_one_called() {
    // The mock panics when it is called unready, and its clones start unready.
    let (mock, mut handle) = tower_test::mock::pair::<Request<Full>, Response<Full>>();
    let mut service = AuthLayer::new(keys()).layer(mock);
    handle.allow(1);
    let call = service
        .ready()
        .await
        .expect("ready")
        .call(request(Some(("x-api-key", "sk-good"))));
    let answer = async {
        let (request, send) = handle.next_request().await.expect("a call");
        assert_eq!(
            request.extensions().get::<Principal>().expect("there").id(),
            "good"
        );
        send.send_response(Response::new(Full::default()));
    };
    let (response, ()) = tokio::join!(call, answer);
    assert_eq!(response.expect("answered").status(), 200);
}

#[tokio::test]
async fn a_service_made_ready_for_a_wrong_key_keeps_no_place() {
    let inner = ConcurrencyLimit::new(service_fn(echo), 1);
    let mut first = AuthLayer::new(keys()).layer(inner);
    let mut second = first.clone();
    let refused = first.ready().await.expect("ready").call(request(None));
    assert_eq!(refused.await.expect("infallible").status(), 401);
    let ready = second.ready().now_or_never().expect("the place is free");
    let call = ready
        .expect("ready")
        .call(request(Some(("x-api-key", "sk-good"))));
    assert_eq!(call.await.expect("infallible").status(), 200);
}

#[tokio::test]
async fn what_an_own_authenticate_knows_at_once_is_not_asked_again() {
    #[derive(Clone)]
    struct Names;

    impl Authenticate for Names {
        type Future = Pending<Result<Option<Principal>, Error>>;

        fn authenticate(&self, _: &Parts) -> Self::Future {
            pending()
        }

        fn authenticate_now(&self, parts: &Parts) -> Option<Result<Option<Principal>, Error>> {
            let name = parts.headers.get("x-api-key")?.to_str().ok()?;
            Some(match name {
                "away" => Err(Error::new(Kind::Overloaded, "the key store is away")),
                "nobody" => Ok(None),
                name => Ok(Some(Principal::new(name))),
            })
        }
    }

    let service = AuthLayer::new(Names).layer(service_fn(echo));
    for (name, status) in [("sk-me", 200), ("nobody", 401), ("away", 503)] {
        let call = service.clone().oneshot(request(Some(("x-api-key", name))));
        let response = call.now_or_never().expect("known at once");
        assert_eq!(response.expect("infallible").status(), status, "{name}");
    }
    let call = service.oneshot(request(None));
    assert!(call.now_or_never().is_none(), "the future is asked");
}

#[test]
fn the_service_is_send_sync_and_clone() {
    fn check<T: Send + Sync + Clone>(_: &T) {}
    check(&AuthLayer::new(keys()).layer(service_fn(echo)));
}

#[tokio::test]
async fn no_value_of_a_credential_is_shown() {
    let anybody = |_: &Parts| std::future::ready(Ok(Some(Principal::new("anybody"))));
    let service = AuthLayer::new(anybody).layer(service_fn(echo));
    let names = [
        "x-api-key",
        "authorization",
        "api-key",
        "x-goog-api-key",
        "cookie",
    ];
    for name in names {
        let request = Request::builder()
            .header(name, "sk-one")
            .header(name, "sk-two");
        let request = request.body(Full::default()).expect("a request");
        let response = service.clone().oneshot(request).await;
        assert_eq!(response.expect("infallible").status(), 200, "{name}");
    }
}
