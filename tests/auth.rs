//! `Auth` through its public layer.

use std::convert::Infallible;

use http::{Request, Response};
use http_body_util::BodyExt;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_completions::{
    Error, Principal,
    auth::{AuthLayer, Keys},
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

#[test]
fn the_service_is_send_sync_and_clone() {
    fn check<T: Send + Sync + Clone>(_: &T) {}
    check(&AuthLayer::new(keys()).layer(service_fn(echo)));
}
