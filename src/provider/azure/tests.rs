use super::*;
use crate::error::Class;

fn chat() -> Chat {
    let body = r#"{"messages":[{"role":"user","content":"hi"}],"model":"a","x":1.0}"#;
    Chat::parse(Bytes::from_static(body.as_bytes())).expect("a request")
}

#[test]
fn a_deployment_stays_in_its_segment() {
    let azure = Azure::new("http://host/", Api::Deployments, None).expect("a URL");
    let target = Target::new("azure", "../a?b/ü");
    let request = azure
        .request(&chat(), &target, &mut Notes::default())
        .expect("a request");
    assert_eq!(
        request.uri().to_string(),
        "http://host/openai/deployments/..%2Fa%3Fb%2F%C3%BC/chat/completions?api-version=2024-10-21"
    );
}

#[test]
fn credentials_are_sensitive() {
    let azure = Azure::new("http://host", Api::V1, Some("preview")).expect("a URL");
    let target = Target::new("azure", "a");
    let mut request = azure
        .request(&chat(), &target, &mut Notes::default())
        .expect("a request");
    assert_eq!(request.uri().query(), Some("api-version=preview"));
    azure.authorize(&mut request, "k").expect("a header");
    let key = &request.headers()["api-key"];
    assert!(key.is_sensitive() && key == "k");
    let entra = azure.with_auth(Auth::Bearer);
    entra.authorize(&mut request, "t").expect("a header");
    assert_eq!(request.headers()["authorization"], "Bearer t");
}

#[test]
fn errors() {
    let azure = Azure::new("http://host", Api::V1, None).expect("a URL");
    for (status, body, class) in [
        (
            400,
            r#"{"error":{"message":"filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{}}}}"#,
            Class::ContentPolicy,
        ),
        (
            404,
            r#"{"error":{"code":"DeploymentNotFound","message":"no"}}"#,
            Class::ModelGone,
        ),
        (
            401,
            r#"{"error":{"code":"401","message":"no"}}"#,
            Class::Credential,
        ),
        (
            429,
            r#"{"error":{"code":"RateLimitReached","message":"wait"}}"#,
            Class::RateLimit,
        ),
        (
            429,
            r#"{"error":{"code":"429","message":"wait"}}"#,
            Class::RateLimit,
        ),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        let error = azure.error(status, &HeaderMap::new(), body.as_bytes());
        assert_eq!(error.class(), Some(class), "{body}");
    }
}
