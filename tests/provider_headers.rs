//! No header of an upstream's answer, and none of the request to it, is in the provider's answer, though
//! its map may be the very one that they were in.

use std::{collections::BTreeSet, convert::Infallible};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Version, header};
use serde_json::json;
use tower::{Layer, ServiceExt, service_fn};
use tower_completions::{
    body::Full,
    parse::ParseLayer,
    provider::{Provider, openai::OpenAi},
};

const WHOLE: &str = r#"{"id":"a","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;
const STREAM: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// What an upstream may say that would break an answer, or is nobody's business; all `each` times, and many others.
fn odd(mut headers: HeaderMap, each: usize, many: usize) -> HeaderMap {
    for (name, value) in [
        ("set-cookie", "a=b"),
        ("content-length", "7"),
        ("transfer-encoding", "chunked"),
        ("connection", "close, x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("upgrade", "h2c"),
        ("proxy-authenticate", "Basic"),
        ("trailer", "x-trailer"),
        ("content-encoding", "identity"),
        ("openai-organization", "org-ours"),
        ("x-request-id", "r"),
    ] {
        for _ in 0..each {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_static(value));
        }
    }
    for at in 0..many {
        let name = HeaderName::try_from(format!("x-{at}")).expect("a name");
        headers.insert(name, HeaderValue::from_static("1"));
    }
    headers
}

#[tokio::test]
async fn an_answer_has_no_header_of_the_upstream() {
    for (stream, status, text, kind) in [
        (false, 200, WHOLE, "application/json"),
        (true, 200, STREAM, "text/event-stream"),
        (true, 200, WHOLE, "application/json"),
        (false, 200, "nonsense", "application/json"),
        (false, 429, "{}", "application/json"),
    ] {
        // The map is kept where they are few.
        for (version, each, many) in [
            (Version::HTTP_11, 1, 0),
            (Version::HTTP_11, 2, 90),
            (Version::HTTP_2, 1, 2),
        ] {
            let upstream = service_fn(move |request: Request<Full>| async move {
                // As hyper does, in the map that the request's were in, here with them.
                let headers = request.into_parts().0.headers;
                assert!(headers.contains_key(header::AUTHORIZATION));
                let mut response = Response::new(Full::new(text));
                *response.headers_mut() = odd(headers, each, many);
                let kind = HeaderValue::from_static(kind);
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                *response.status_mut() = status.try_into().expect("a status");
                *response.version_mut() = version;
                Ok::<_, Infallible>(response)
            });
            let translate = OpenAi::new("https://upstream/v1").expect("a URL");
            let provider = Provider::new("p", upstream, translate).with_keys(["sk-ours"]);
            let body = json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "Hi"}]});
            let request = Request::post("/").body(Full::new(body.to_string()));
            let response = ParseLayer::new()
                .layer(provider)
                .oneshot(request.expect("a request"))
                .await;
            let response = response.expect("infallible");
            assert_eq!(response.version(), Version::HTTP_11);
            let names: BTreeSet<_> = response.headers().keys().map(HeaderName::as_str).collect();
            let ours = BTreeSet::from(["content-type"]);
            assert_eq!(names, ours, "{status} {kind} {many}");
            assert_eq!(response.headers().len(), 1);
            let told = response.headers()[header::CONTENT_TYPE].as_bytes();
            assert!(told.starts_with(kind.as_bytes()), "{told:?}");
        }
    }
}
