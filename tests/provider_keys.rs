//! Our own key in an upstream's words: neither the caller nor the operator's log reads it.

use std::{convert::Infallible, error::Error as _, fmt::Write as _};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tower::{Layer, ServiceExt};
use tower_completions::{
    Error, Target,
    body::Full,
    meter::{Outcome, Tally},
    parse::{Chat, ParseLayer},
    provider::{
        self, Notes, Provider, Translate, anthropic::Anthropic, azure, cohere::Cohere,
        gemini::Gemini, ollama::Ollama, openai::OpenAi,
    },
};

/// No prefix gives it away, and encoders of JSON escape some of it.
const KEY: &str = "Zx9+operator/7f==";

/// All that is told after an answer: its text, and each error with its sources.
async fn told<T: Translate>(translate: T, stream: bool, status: u16, pieces: Vec<Bytes>) -> String {
    let kind = match (stream, status) {
        (true, 200) => "text/event-stream",
        _ => "application/json",
    };
    let client = tower::service_fn(move |_: Request<Full>| {
        let frames = pieces.clone().into_iter();
        let frames = frames.map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
        let response = Response::builder()
            .status(status)
            .header("content-type", kind)
            .body(StreamBody::new(futures_util::stream::iter(frames)));
        async move { Ok::<_, Infallible>(response.expect("a response")) }
    });
    let provider = Provider::new("p", client, translate).with_keys(["other-key", KEY]);
    let body = format!(
        r#"{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"Hi"}}]}}"#
    );
    let mut request = Request::post("/").body(Full::new(body)).expect("a request");
    request
        .extensions_mut()
        .insert(Target::new("p", "m").with_key(1));
    let response = ParseLayer::new().layer(provider).oneshot(request).await;
    let (head, body) = response.expect("infallible").into_parts();
    let text = body.collect().await.expect("whole").to_bytes();
    let mut all = String::from_utf8(text.to_vec()).expect("UTF-8");
    let failed = match head.extensions.get::<Tally>().and_then(Tally::outcome) {
        Some(Outcome::Failed(error)) => Some(error),
        _ => None,
    };
    for error in head
        .extensions
        .get::<Error>()
        .cloned()
        .into_iter()
        .chain(failed)
    {
        write!(all, "\n{error}").expect("a string takes all");
        let mut source = error.source();
        while let Some(error) = source {
            write!(all, "\n{error}").expect("a string takes all");
            source = error.source();
        }
    }
    all
}

/// The error in the provider's shape, with the key spelled in each way, in each form of an answer:
/// never told, and what surrounds it is.
async fn check<T: Translate>(translate: T, shape: &str, events: bool) {
    for spelled in [KEY, "Zx9+operator\\/7f==", "Zx9\\u002Boperator/7f=="] {
        let error = shape.replace("WORDS", &format!("the key {spelled} is none"));
        let event = match events {
            true => format!("data: {error}\n\n"),
            false => format!("{error}\n"),
        };
        let refused = told(translate.clone(), false, 400, vec![error.clone().into()]).await;
        let whole = told(translate.clone(), false, 200, vec![error.clone().into()]).await;
        let at_once = told(translate.clone(), true, 200, vec![event.clone().into()]).await;
        let bytes = event.bytes().map(|byte| Bytes::from(vec![byte])).collect();
        let by_byte = told(translate.clone(), true, 200, bytes).await;
        for (form, all) in [
            ("refused", refused),
            ("whole", whole),
            ("at once", at_once),
            ("byte by byte", by_byte),
        ] {
            assert!(!all.contains("operator"), "{form} {shape}: {all}");
            assert!(all.contains("the key […] is none"), "{form} {shape}: {all}");
        }
    }
}

#[tokio::test]
async fn our_key_is_cut_out_of_every_message() {
    let error = r#"{"error":{"type":"invalid_request_error","message":"WORDS","code":400}}"#;
    check(OpenAi::new("http://host/v1").expect("a URL"), error, true).await;
    let v1 = azure::Azure::new("http://host", azure::Api::V1, None);
    check(v1.expect("a URL"), error, true).await;
    let own = r#"{"type":"error","error":{"type":"invalid_request_error","message":"WORDS"}}"#;
    check(Anthropic::new("http://host").expect("a URL"), own, true).await;
    let own = r#"{"error":{"code":400,"message":"WORDS","status":"INVALID_ARGUMENT"}}"#;
    check(Gemini::new("http://host").expect("a URL"), own, true).await;
    let own = r#"{"message":"WORDS"}"#;
    check(Cohere::new("http://host").expect("a URL"), own, true).await;
    let own = r#"{"error":"WORDS"}"#;
    check(Ollama::new("http://host").expect("a URL"), own, false).await;
}

/// OpenAI's API, asked for the credential of each request.
#[derive(Clone)]
struct Asked(OpenAi);

impl Translate for Asked {
    type Stream = <OpenAi as Translate>::Stream;

    fn request(
        &self,
        chat: &Chat,
        target: &Target,
        notes: &mut Notes,
    ) -> Result<Request<Full>, Error> {
        self.0.request(chat, target, notes)
    }

    fn answer(&self, asked: &provider::Asked, body: Bytes) -> Result<provider::Answer, Error> {
        self.0.answer(asked, body)
    }

    fn stream(&self, asked: &provider::Asked) -> Option<Self::Stream> {
        self.0.stream(asked)
    }

    fn error(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
        self.0.error(status, headers, body)
    }
}

/// The head that goes up, and what is answered.
async fn sent<T: Translate>(translate: T, key: &str) -> String {
    let client = tower::service_fn(|request: Request<Full>| {
        let headers = request.headers();
        let hidden = headers
            .values()
            .filter(|value| value.is_sensitive())
            .count();
        let bytes: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name} {:?}", value.as_bytes()))
            .collect();
        let head = format!("{bytes:?} {hidden}").replace('"', "'");
        let answer = format!(
            r#"{{"choices":[{{"message":{{}}}}],"x":"{}"}}"#,
            head.replace('\\', "/")
        );
        async move { Ok::<_, Infallible>(Response::new(Full::new(answer))) }
    });
    let provider = Provider::new("p", client, translate).with_keys([key]);
    let request = Request::post("/").body(Full::new(
        r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#,
    ));
    let layered = ParseLayer::new().layer(provider);
    let response = layered.oneshot(request.expect("a request")).await;
    let response = response.expect("infallible");
    let status = response.status();
    let body = response.into_body().collect().await.expect("whole");
    format!("{status} {:?}", body.to_bytes())
}

#[tokio::test]
async fn a_credential_made_once_is_the_one_that_is_asked_for() {
    let openai = || OpenAi::new("http://upstream/v1").expect("a URL");
    for key in [
        "sk-a",
        "",
        " ",
        "a b",
        "\t",
        "k\u{e9}y",
        "a\nb",
        "\0",
        "x-long-key-of-many-letters",
    ] {
        let known = sent(openai(), key).await;
        assert_eq!(known, sent(Asked(openai()), key).await, "{key:?}");
        let sendable = !key.contains(['\n', '\0']);
        assert_eq!(
            known.contains("authorization"),
            sendable,
            "{key:?}: {known}"
        );
    }
}
