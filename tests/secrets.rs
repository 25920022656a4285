//! `Debug` of whatever may hold a key, a prompt, an answer or a password shows none of it.

use std::{fmt::Debug, time::SystemTime};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, Request, header::AUTHORIZATION};
use tower::Layer;
use tower_completions::{
    Dialect, Principal, Target,
    auth::{AuthLayer, Keys},
    body::Full,
    limit::{ByHeader, KeyExtractor},
    meter::{Scanner, Tally},
    parse::{Chat, ChatBody, ParseLayer},
    provider::{
        Answer, Asked, Provider, Secret, Translate, TranslateStream,
        anthropic::Anthropic,
        azure::{Api, Azure},
        cohere::Cohere,
        gemini::Gemini,
        ollama::Ollama,
        openai::OpenAi,
    },
    reframe::ReframeLayer,
    sse::{self, Decode},
    stack::Gateway,
    wire::{Counting, request::Content, splice::Edit},
};

/// In everything below.
const CANARY: &str = "canary";

/// Neither as text, nor as the list of its bytes.
#[track_caller]
fn hides(value: &dyn Debug) {
    for shown in [format!("{value:?}"), format!("{value:#?}")] {
        let squeezed: String = shown.split_whitespace().collect();
        assert!(!squeezed.contains(CANARY), "{shown}");
        assert!(!squeezed.contains("99,97,110,97,114,121"), "{shown}");
    }
}

const BODY: &str = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"canary"},
    {"role":"user","content":[{"type":"text","text":"canary"},
        {"type":"image_url","image_url":{"url":"data:image/png;base64,canary"}}]},
    {"role":"assistant","tool_calls":[{"id":"c","type":"function",
        "function":{"name":"f","arguments":"canary"}}]}],
    "tools":[{"type":"function","function":{"name":"f","description":"canary"}}]}"#;

fn chat() -> Chat {
    Chat::parse(Bytes::from_static(BODY.as_bytes())).expect("readable")
}

#[test]
fn requests_and_answers_are_not_shown() {
    hides(&chat());
    hides(&ChatBody::new(chat()));
    hides(chat().request());
    hides(&chat().messages());
    for message in chat().messages() {
        hides(&message);
        if let Content::Parts(parts) = message.content {
            parts.for_each(|part| hides(&part));
        }
    }
    hides(&Full::new(BODY));
    hides(&Request::new(Full::new(BODY)));
    hides(&Answer::new(Bytes::from_static(BODY.as_bytes())));
    hides(&Edit::new(0..1, BODY.as_bytes()));
    hides(&ParseLayer::new().layer(Full::new(BODY)));
}

/// With an event that has come by half, in one piece and in two.
fn hides_its_input(mut decoder: impl Decode + Debug, half: &'static str) {
    decoder.push(Bytes::from_static(half.as_bytes()));
    hides(&decoder);
    let _ = decoder.next();
    hides(&decoder);
    decoder.push(Bytes::from_static(half.as_bytes()));
    hides(&decoder);
}

#[test]
fn streams_are_not_shown() {
    hides_its_input(
        sse::Decoder::new(),
        "event: canary\ndata: canary\ndata: canary",
    );
    hides_its_input(sse::ndjson::Decoder::new(), r#"{"canary":"#);
    hides_its_input(sse::json_array::Decoder::new(), r#"[{"canary":"#);
    let mut decoder = sse::Decoder::new();
    decoder.push(Bytes::from_static(b"data: canary\n\n"));
    hides(&decoder.next());
    let mut encoder = sse::Encoder::new();
    encoder.event(None, b"canary");
    hides(&encoder);
    let mut scanner = Scanner::stream(Tally::new(), Counting::Plain);
    scanner.push(Bytes::from_static(b"data: {\"canary\":"));
    hides(&scanner);
}

/// What a translation keeps of a stream between two events.
fn keeps_hidden<T: Translate>(translate: &T, events: &[&str])
where
    T::Stream: Debug,
{
    let asked = Asked::new(&chat(), &Target::new("p", "m"), SystemTime::now());
    let mut stream = translate.stream(&asked).expect("translated");
    let mut out = BytesMut::new();
    for event in events {
        stream
            .event(None, event.as_bytes(), &mut out)
            .expect("sound");
        hides(&stream);
    }
}

#[test]
fn what_translations_keep_of_a_stream_is_not_shown() {
    let base = "http://upstream";
    keeps_hidden(
        &Anthropic::new(base).expect("a URL"),
        &[
            r#"{"type":"message_start","message":{"id":"a","model":"m","usage":{"input_tokens":1,"output_tokens":1}}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"canary"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"canary"}}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"c","name":"f","input":{"a":"canary"}}}"#,
        ],
    );
    keeps_hidden(
        &Gemini::new(base).expect("a URL"),
        &[
            r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","willContinue":true,"partialArgs":[{"jsonPath":"$.a","stringValue":"canary","willContinue":true}]}}]}}]}"#,
        ],
    );
    keeps_hidden(
        &Cohere::new(base).expect("a URL"),
        &[
            r#"{"type":"message-start","id":"a","delta":{"message":{"role":"assistant"}}}"#,
            r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"canary"}}}}"#,
        ],
    );
    keeps_hidden(
        &Ollama::new(base).expect("a URL"),
        &[r#"{"model":"m","message":{"role":"assistant","content":"canary"},"done":false}"#],
    );
}

#[test]
fn keys_are_not_shown() {
    let keys = Keys::new();
    keys.insert(
        "sk-canary",
        Principal::new("demo").attach(CANARY.to_owned()),
    );
    hides(&keys);
    hides(&keys.find("sk-canary"));
    let layer = AuthLayer::new(keys.clone());
    hides(&layer);
    hides(&layer.layer(()));
    hides(&Secret::new("sk-canary"));
    let translate = OpenAi::new("http://upstream/v1").expect("a URL");
    let provider = Provider::new("p", (), translate).with_keys(["sk-canary"]);
    hides(&provider);
    hides(&Gateway::builder(keys));
    hides(&ReframeLayer::new(Dialect::openai()).layer(provider));
}

/// What a limit counts by a header is not the credential that the header has.
#[test]
fn a_limit_by_a_credential_does_not_keep_it() {
    for name in [
        "authorization",
        "proxy-authorization",
        "cookie",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
    ] {
        let name = HeaderName::from_static(name);
        let (head, ()) = Request::builder()
            .header(&name, "Bearer sk-canary")
            .body(())
            .expect("a request")
            .into_parts();
        let key = ByHeader(name).key(&head).expect("a key");
        hides(&key);
        assert!(!key.as_str().contains(CANARY), "{key:?}");
    }
    let other = Request::builder().header(AUTHORIZATION, "Bearer other");
    let (other, ()) = other.body(()).expect("a request").into_parts();
    let same = Request::builder().header(AUTHORIZATION, "Bearer other");
    let (same, ()) = same.body(()).expect("a request").into_parts();
    let by = ByHeader(AUTHORIZATION);
    assert_eq!(by.key(&other), by.key(&same), "still one key for each");
}

/// A user and a password in a URL are of no use to a provider, and are not told on.
#[test]
fn what_a_base_url_should_not_have_is_not_shown() {
    let base = "http://user:canary@upstream:8080/path?key=canary";
    let shown = format!(
        "{:?}",
        OpenAi::new("http://user:canary@upstream/v1").expect("a URL")
    );
    assert!(
        shown.contains("http://upstream/v1/chat/completions"),
        "{shown}"
    );
    hides(&OpenAi::new(base).expect("a URL"));
    hides(&Anthropic::new(base).expect("a URL"));
    hides(&Azure::new("http://user:canary@upstream", Api::V1, None).expect("a URL"));
    hides(&Cohere::new(base).expect("a URL"));
    hides(&Gemini::new("http://user:canary@upstream").expect("a URL"));
    hides(&Ollama::new(base).expect("a URL"));
}

#[cfg(feature = "bedrock")]
#[test]
fn what_bedrock_needs_is_not_shown() {
    use tower_completions::provider::bedrock::{AccessKey, Bedrock, SignLayer};

    let key = AccessKey::new("AKIA", "canary").with_session_token("canary");
    hides(&key);
    hides(&SignLayer::new(key, "eu-central-1", "bedrock"));
    hides(&Bedrock::new("http://user:canary@upstream").expect("a URL"));
    hides_its_input(sse::aws::Decoder::new(), "canarycanarycanary");
}

#[cfg(feature = "ledger-postgres")]
#[test]
fn the_password_of_a_database_is_not_shown() {
    use tower_completions::cost::PostgresOptions;

    hides(&PostgresOptions::new("postgres://user:canary@host/db"));
    hides(&PostgresOptions::new("host=h user=u password=canary"));
}

#[cfg(feature = "redis")]
#[test]
fn the_password_of_redis_is_not_shown() {
    use tower_completions::limit::redis::Redis;

    hides(&Redis::open("redis://user:canary@host").expect("an address"));
    let wrong = Redis::open("redis://user:canary@host:canary").expect_err("no address");
    hides(&wrong);
    assert!(!wrong.to_string().contains(CANARY), "{wrong}");
}

#[cfg(feature = "vertex")]
#[test]
fn a_file_that_is_no_service_account_is_not_shown() {
    use tower_completions::provider::vertex::{ServiceAccount, Vertex};

    let file = br#"{"client_email":"a@b","private_key":"canary","token_uri":"http://canary"}"#;
    // One that is an account is held to it in `tests/vertex.rs`.
    hides(&ServiceAccount::from_json(file).expect_err("no key"));
    hides(&Vertex::at("http://user:canary@upstream", "p", "l").expect("a URL"));
}

#[cfg(feature = "mock")]
#[tokio::test]
async fn what_the_mock_says_and_has_seen_is_not_shown() {
    use tower::ServiceExt;
    use tower_completions::mock::{Script, Upstream};

    let upstream = Upstream::new().with_default(Script::text(CANARY));
    hides(&Script::text(CANARY));
    let request = Request::post("http://upstream/v1/chat/completions")
        .header(AUTHORIZATION, "Bearer canary")
        .body(Full::new(BODY))
        .expect("a request");
    let response = upstream.clone().oneshot(request).await.expect("an answer");
    hides(&response);
    hides(&upstream);
    let seen = upstream.log().last().expect("seen");
    assert!(seen.body().windows(6).any(|part| part == b"canary"));
    hides(&seen);
    hides(upstream.log());
}
