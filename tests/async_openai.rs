//! The example gateway as the `async-openai` client sees it.

mod support;

use async_openai::{
    Client,
    config::OpenAIConfig,
    error::OpenAIError,
    types::chat::{
        ChatCompletionRequestUserMessageArgs, CreateChatCompletionRequest,
        CreateChatCompletionRequestArgs,
    },
};
use futures_util::StreamExt;
use support::Gateway;

const CONFIG: &str = include_str!("fixtures/gateway.toml");

fn client(gateway: &Gateway, key: &str) -> Client<OpenAIConfig> {
    let config = OpenAIConfig::new()
        .with_api_base(format!("http://{}/v1", gateway.addr))
        .with_api_key(key);
    Client::with_config(config)
}

fn ask(model: &str, temperature: f32) -> CreateChatCompletionRequest {
    let message = ChatCompletionRequestUserMessageArgs::default()
        .content("Merhaba dünya")
        .build()
        .expect("a message");
    CreateChatCompletionRequestArgs::default()
        .model(model)
        .messages([message.into()])
        .temperature(temperature)
        .build()
        .expect("a request")
}

#[tokio::test]
async fn a_whole_answer() {
    let gateway = Gateway::start(CONFIG);
    let client = client(&gateway, "sk-demo");
    let answer = client.chat().create(ask("mock/echo", 1.0)).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.model, "mock/echo");
    let text = answer.choices[0].message.content.as_deref();
    assert_eq!(text, Some("Merhaba dünya"));
    let usage = answer.usage.expect("usage");
    assert_eq!(
        usage.total_tokens,
        usage.prompt_tokens + usage.completion_tokens
    );
    let models = client.models().list().await.expect("a list");
    assert!(models.data.iter().any(|model| model.id == "mock/echo"));
}

#[tokio::test]
async fn a_stream() {
    let gateway = Gateway::start(CONFIG);
    let client = client(&gateway, "sk-demo");
    let stream = client.chat().create_stream(ask("mock/echo", 1.0)).await;
    let mut stream = stream.expect("a stream");
    let (mut text, mut finished) = (String::new(), 0);
    while let Some(chunk) = stream.next().await {
        for choice in chunk.expect("a chunk").choices {
            text.push_str(choice.delta.content.as_deref().unwrap_or_default());
            finished += usize::from(choice.finish_reason.is_some());
        }
    }
    assert_eq!((text.as_str(), finished), ("Merhaba dünya", 1));
}

#[tokio::test]
async fn a_cut_stream_is_an_error_to_the_client() {
    let gateway = Gateway::start(CONFIG);
    let client = client(&gateway, "sk-demo");
    let stream = client.chat().create_stream(ask("mock/cut", 1.0)).await;
    let items: Vec<_> = stream.expect("a stream").collect().await;
    assert!(items.iter().any(Result::is_err), "it looks whole");
}

#[tokio::test]
async fn every_class_of_error() {
    let gateway = Gateway::start(CONFIG);
    for (key, model, temperature, status, code) in [
        ("sk-demo", "mock/echo", 3.0, 400, "invalid_value"),
        ("sk-wrong", "mock/echo", 1.0, 401, "invalid_api_key"),
        ("sk-poor", "mock/echo", 1.0, 402, "insufficient_balance"),
        ("sk-narrow", "mock/echo", 1.0, 403, "model_not_allowed"),
        ("sk-demo", "mock/none", 1.0, 404, "model_not_found"),
        // One without `retry-after`: the client sits out the other kind before it tells.
        ("sk-small", "mock/echo", 1.0, 429, "request_exceeds_limit"),
        ("sk-demo", "mock/error", 1.0, 502, "bad_upstream_response"),
        (
            "sk-demo",
            "mock/overloaded",
            1.0,
            503,
            "upstream_overloaded",
        ),
    ] {
        let client = client(&gateway, key);
        let refused = client.chat().create(ask(model, temperature)).await;
        let Err(OpenAIError::ApiError(error)) = refused else {
            panic!("{status}: {refused:?}");
        };
        assert_eq!(error.status_code.as_u16(), status, "{error}");
        // Of a 5xx it keeps the body as text.
        assert!(error.to_string().contains(code), "{error}");
        let streamed = client.chat().create_stream(ask(model, temperature)).await;
        let refused = match streamed {
            Err(_) => true,
            Ok(mut stream) => stream.next().await.is_none_or(|item| item.is_err()),
        };
        assert!(refused, "a stream in spite of {status}");
    }
}
