//! Vertex AI with a service account: tokens fetched once, renewed in time, never shown.

use std::{
    collections::HashMap,
    convert::Infallible,
    process::{Command, Stdio},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tower::{Layer, Service, ServiceExt};
use tower_completions::{
    body::Full,
    error::Class,
    parse::ParseLayer,
    provider::{
        Provider,
        vertex::{ServiceAccount, TokenLayer, Vertex},
    },
};

/// A key made for this run: none is kept in the repository.
static KEY: LazyLock<String> = LazyLock::new(|| {
    let made = Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
        ])
        .stderr(Stdio::null())
        .output()
        .expect("openssl runs");
    String::from_utf8(made.stdout).expect("PEM")
});

fn account() -> ServiceAccount {
    let file = json!({"type": "service_account", "project_id": "p", "private_key_id": "kid",
        "private_key": *KEY, "client_email": "gateway@p.iam", "token_uri": "https://tokens/token"});
    ServiceAccount::from_json(file.to_string().as_bytes()).expect("an account")
}

/// Google in memory: a token service whose answers wait for permits, and an API.
#[derive(Clone)]
struct Google {
    permits: Arc<Semaphore>,
    asked: Arc<Mutex<Vec<String>>>,
    bearers: Arc<Mutex<Vec<String>>>,
    failing: Arc<AtomicUsize>,
    /// The API refuses the first so many tokens.
    refused: Arc<AtomicUsize>,
    now: Arc<AtomicU64>,
}

impl Google {
    fn new() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(0)),
            asked: Arc::default(),
            bearers: Arc::default(),
            failing: Arc::default(),
            refused: Arc::default(),
            now: Arc::new(AtomicU64::new(1_000_000)),
        }
    }

    fn client(
        &self,
    ) -> impl Service<Request<Full>, Response = Response<Full>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static {
        let google = self.clone();
        tower::service_fn(move |request: Request<Full>| {
            let google = google.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.expect("whole").to_bytes();
                if head.uri.host() == Some("tokens") {
                    let nth = {
                        let mut asked = google.asked.lock().expect("not poisoned");
                        asked.push(String::from_utf8(body.to_vec()).expect("a form"));
                        asked.len()
                    };
                    google.permits.acquire().await.expect("open").forget();
                    if google.failing.load(Ordering::SeqCst) > 0 {
                        google.failing.fetch_sub(1, Ordering::SeqCst);
                        let mut response =
                            Response::new(Full::new("{\"error\":\"invalid_grant\"}"));
                        *response.status_mut() = StatusCode::BAD_REQUEST;
                        return Ok::<_, Infallible>(response);
                    }
                    let token = json!({"access_token": format!("token-{nth}"), "expires_in": 3600});
                    return Ok(Response::new(Full::new(token.to_string())));
                }
                let bearer = head.headers["authorization"].to_str().expect("text");
                google
                    .bearers
                    .lock()
                    .expect("not poisoned")
                    .push(bearer.to_owned());
                let nth = bearer.rsplit('-').next().expect("one piece");
                if nth.parse::<usize>().expect("a number") <= google.refused.load(Ordering::SeqCst)
                {
                    let words = json!({"error": {"code": 401, "message": "x", "status": "UNAUTHENTICATED"}});
                    let mut response = Response::new(Full::new(words.to_string()));
                    *response.status_mut() = StatusCode::UNAUTHORIZED;
                    return Ok(response);
                }
                let answer = json!({"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]});
                Ok(Response::new(Full::new(answer.to_string())))
            }
        })
    }

    fn layer(&self) -> TokenLayer {
        let now = Arc::clone(&self.now);
        let clock = move || UNIX_EPOCH + Duration::from_secs(now.load(Ordering::SeqCst));
        TokenLayer::with_clock(account(), clock)
    }

    fn tokens(&self) -> usize {
        self.asked.lock().expect("not poisoned").len()
    }
}

async fn ask<S, B>(service: S) -> (StatusCode, Option<Class>)
where
    S: Service<Request<Full>, Response = Response<B>, Error = Infallible>,
{
    let body = r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hi"}]}"#;
    let request = Request::post("/").body(Full::new(body)).expect("a request");
    let response = service.oneshot(request).await.expect("infallible");
    let error = response.extensions().get::<tower_completions::Error>();
    (
        response.status(),
        error.and_then(tower_completions::Error::class),
    )
}

macro_rules! gateway {
    ($google:expr, $layer:expr) => {{
        let client = $layer.clone().layer($google.client());
        let vertex = Vertex::at("https://api", "p", "global").expect("a URL");
        ParseLayer::new().layer(Provider::new("vertex", client, vertex))
    }};
}

#[tokio::test]
async fn a_token_is_cut_out_of_what_the_upstream_says() {
    let google = Google::new();
    google.permits.add_permits(2);
    let api = google.client();
    let quoting = tower::service_fn(move |request: Request<Full>| {
        let api = api.clone();
        async move {
            let bearer = request.headers().get("authorization").cloned();
            let mut response = api.oneshot(request).await?;
            if let Some(bearer) = bearer {
                let message = format!("{} is no good", bearer.to_str().expect("text"));
                let words = json!({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}});
                *response.body_mut() = Full::new(words.to_string());
                *response.status_mut() = StatusCode::BAD_REQUEST;
            }
            Ok::<_, Infallible>(response)
        }
    });
    let client = google.layer().layer(quoting);
    let vertex = Vertex::at("https://api", "p", "global").expect("a URL");
    let service = ParseLayer::new().layer(Provider::new("vertex", client, vertex));
    // The first token, and one that has taken its place.
    for nth in 1..=2 {
        let body = r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hi"}]}"#;
        let request = Request::post("/").body(Full::new(body)).expect("a request");
        let response = service.clone().oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let body = response.into_body().collect().await.expect("whole");
        let text = String::from_utf8(body.to_bytes().to_vec()).expect("UTF-8");
        assert!(text.contains("Bearer […] is no good"), "{text}");
        assert_eq!(google.tokens(), nth);
        google.now.fetch_add(3600, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_hundred_at_once_ask_for_one_token() {
    let google = Google::new();
    let layer = google.layer();
    let gateway = gateway!(google, layer);
    let all: Vec<_> = (0..100)
        .map(|_| tokio::spawn(ask(gateway.clone())))
        .collect();
    while google.tokens() == 0 {
        tokio::task::yield_now().await;
    }
    google.permits.add_permits(5);
    for one in all {
        assert_eq!(one.await.expect("no panic").0, 200);
    }
    assert_eq!(google.tokens(), 1);
    let bearers = google.bearers.lock().expect("not poisoned");
    assert!(bearers.len() == 100 && bearers.iter().all(|it| it == "Bearer token-1"));
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_and_the_old_one_serves_meanwhile() {
    let google = Google::new();
    let layer = google.layer();
    let gateway = gateway!(google, layer);
    google.permits.add_permits(1);
    assert_eq!(ask(gateway.clone()).await.0, 200);
    google.now.fetch_add(3600 - 299, Ordering::SeqCst);
    let renewing = tokio::spawn(ask(gateway.clone()));
    while google.tokens() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(gateway.clone()).await.0, 200);
    google.permits.add_permits(1);
    assert_eq!(renewing.await.expect("no panic").0, 200);
    assert_eq!(ask(gateway).await.0, 200);
    let bearers = google.bearers.lock().expect("not poisoned");
    let tokens = ["token-1", "token-1", "token-2", "token-2"].map(|it| format!("Bearer {it}"));
    assert_eq!(*bearers, tokens);
}

#[tokio::test]
async fn a_failure_is_told_to_all_that_waited_and_tried_again() {
    let google = Google::new();
    google.failing.store(1, Ordering::SeqCst);
    let layer = google.layer();
    let gateway = gateway!(google, layer);
    let all: Vec<_> = (0..10)
        .map(|_| tokio::spawn(ask(gateway.clone())))
        .collect();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    google.permits.add_permits(1);
    for one in all {
        assert_eq!(
            one.await.expect("no panic"),
            (StatusCode::BAD_GATEWAY, Some(Class::Credential))
        );
    }
    assert_eq!(google.tokens(), 1);
    google.permits.add_permits(1);
    assert_eq!(ask(gateway).await.0, 200);
}

const REFUSED: (StatusCode, Option<Class>) = (StatusCode::BAD_GATEWAY, Some(Class::Credential));

#[tokio::test]
async fn a_token_that_is_refused_is_asked_for_anew_once() {
    let google = Google::new();
    let layer = google.layer();
    let gateway = gateway!(google, layer);
    google.permits.add_permits(9);
    assert_eq!(ask(gateway.clone()).await.0, 200);
    google.refused.store(1, Ordering::SeqCst);
    assert_eq!(ask(gateway.clone()).await, REFUSED);
    let all: Vec<_> = (0..100)
        .map(|_| tokio::spawn(ask(gateway.clone())))
        .collect();
    for one in all {
        assert_eq!(one.await.expect("no panic").0, 200);
    }
    assert_eq!(google.tokens(), 2);
}

#[tokio::test]
async fn tokens_that_are_all_refused_are_asked_for_at_intervals() {
    let google = Google::new();
    google.refused.store(usize::MAX, Ordering::SeqCst);
    let layer = google.layer();
    let gateway = gateway!(google, layer);
    google.permits.add_permits(9);
    for tokens in [1, 2, 2, 2] {
        assert_eq!(ask(gateway.clone()).await, REFUSED);
        assert_eq!(google.tokens(), tokens);
    }
    google.now.fetch_add(10, Ordering::SeqCst);
    for tokens in [2, 3, 3] {
        assert_eq!(ask(gateway.clone()).await, REFUSED);
        assert_eq!(google.tokens(), tokens);
    }
}

#[tokio::test]
async fn a_late_refusal_of_an_older_token_leaves_the_newer() {
    let google = Google::new();
    google.refused.store(1, Ordering::SeqCst);
    google.permits.add_permits(9);
    let (api, late) = (google.client(), Arc::new(Semaphore::new(0)));
    let (open, calls) = (Arc::clone(&late), Arc::new(AtomicUsize::new(0)));
    let client = google
        .layer()
        .layer(tower::service_fn(move |request: Request<Full>| {
            let is_token = request.uri().host() == Some("tokens");
            let waits = !is_token && calls.fetch_add(1, Ordering::SeqCst) == 0;
            let (api, open) = (api.clone(), Arc::clone(&open));
            async move {
                let response = api.oneshot(request).await;
                if waits {
                    open.acquire().await.expect("open").forget();
                }
                response
            }
        }));
    let vertex = Vertex::at("https://api", "p", "global").expect("a URL");
    let gateway = ParseLayer::new().layer(Provider::new("vertex", client, vertex));
    let first = tokio::spawn(ask(gateway.clone()));
    while google.bearers.lock().expect("not poisoned").is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(gateway.clone()).await, REFUSED);
    assert_eq!(ask(gateway.clone()).await.0, 200);
    google.now.fetch_add(60, Ordering::SeqCst);
    late.add_permits(1);
    assert_eq!(first.await.expect("no panic"), REFUSED);
    assert_eq!(ask(gateway).await.0, 200);
    assert_eq!(google.tokens(), 2);
}

#[tokio::test]
async fn a_request_that_is_given_up_leaves_the_fetch_to_the_next() {
    let google = Google::new();
    let layer = google.layer();
    let gateway = gateway!(google, layer);
    let first = tokio::spawn(ask(gateway.clone()));
    while google.tokens() == 0 {
        tokio::task::yield_now().await;
    }
    let second = tokio::spawn(ask(gateway));
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.expect_err("aborted").is_cancelled());
    google.permits.add_permits(1);
    assert_eq!(second.await.expect("no panic").0, 200);
    assert_eq!(google.tokens(), 2);
}

/// The assertion as another implementation of RS256 reads it.
#[tokio::test]
async fn the_assertion_is_a_signed_statement() {
    let google = Google::new();
    let layer = google.layer();
    google.permits.add_permits(1);
    assert_eq!(ask(gateway!(google, layer)).await.0, 200);
    let form = google.asked.lock().expect("not poisoned")[0].clone();
    let form: HashMap<&str, &str> = form
        .split('&')
        .filter_map(|it| it.split_once('='))
        .collect();
    assert_eq!(
        form["grant_type"],
        "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
    );
    let assertion = form["assertion"];
    let (signed, signature) = assertion.rsplit_once('.').expect("three parts");
    let (head, claims) = signed.split_once('.').expect("three parts");
    let json = |text: &str| -> Value { serde_json::from_slice(&decoded(text)).expect("JSON") };
    assert_eq!(
        json(head),
        json!({"alg": "RS256", "typ": "JWT", "kid": "kid"})
    );
    assert_eq!(
        json(claims),
        json!({"iss": "gateway@p.iam", "aud": "https://tokens/token", "iat": 1_000_000, "exp": 1_003_600,
            "scope": "https://www.googleapis.com/auth/cloud-platform"})
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    let (key, text, signature) = (
        file("key", KEY.as_bytes()),
        file("text", signed.as_bytes()),
        file("signature", &decoded(signature)),
    );
    let verified = Command::new("openssl")
        .args(["dgst", "-sha256", "-prverify"])
        .arg(key)
        .arg("-signature")
        .arg(signature)
        .arg(text)
        .output()
        .expect("openssl runs");
    assert!(verified.status.success(), "{verified:?}");
}

fn decoded(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    let (mut out, mut word, mut bits) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes() {
        word = word << 6 | u32::from(value(byte));
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push(word.checked_shr(bits).unwrap_or(0).to_le_bytes()[0]);
        }
    }
    out
}

#[test]
fn files_that_are_none() {
    for (file, why) in [
        (json!({}), "lacks"),
        (json!({"client_email": "a", "private_key": "hush"}), "PEM"),
        (
            json!({"client_email": "a", "private_key": *KEY, "token_uri": "no url"}),
            "token_uri",
        ),
    ] {
        let error = ServiceAccount::from_json(file.to_string().as_bytes()).expect_err(why);
        let text = format!("{error} {error:?}");
        assert!(text.contains(why) && !text.contains("hush"), "{text}");
    }
    assert!(!format!("{:?}", account()).contains("PRIVATE"));
}
