//! Layers put into an existing axum application, beside its other routes.
//!
//! ```text
//! cargo run --example axum_app -- 127.0.0.1:3000
//! curl 127.0.0.1:3000/v1/chat/completions -H 'authorization: Bearer sk-demo' \
//!   --json '{"model":"parrot","messages":[{"role":"user","content":"hi"}]}'
//! ```

use std::error::Error;

use axum::{
    Extension, Json, Router,
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_completions::{
    Dialect, Principal,
    auth::{AuthLayer, Keys},
    cost::{CostLayer, MemoryLedger, Price, Prices},
    limit::{Limits, RateLimitLayer},
    parse::Chat,
    reframe::ReframeLayer,
    validate::ValidateLayer,
    wire::request::Content,
};

/// The application's own handler: it knows nothing of keys, limits, prices or streams.
async fn complete(
    Extension(caller): Extension<Principal>,
    // The layers have parsed the request; `Json` would do it again.
    Extension(chat): Extension<Chat>,
) -> Json<Value> {
    let said = match chat.messages().last().map(|message| message.content) {
        Some(Content::Text(text)) => text.cow(),
        _ => "".into(),
    };
    let content = format!("{} says: {said}", caller.id());
    let tokens = |text: &str| text.split_whitespace().count();
    let (input, output) = (tokens(&said), tokens(&content));
    Json(json!({
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": content },
            "finish_reason": "stop",
        }],
        "usage": { "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output },
    }))
}

fn app() -> Result<Router, Box<dyn Error>> {
    let keys = Keys::new();
    let limits = Limits::new().requests_per_minute(3).max_concurrent(2);
    keys.insert("sk-demo", Principal::new("demo").attach(limits));
    let ledger = MemoryLedger::new();
    ledger.grant("demo", "1.00".parse()?);
    let prices = Prices::new().with("parrot", Price::new("1", "2")?);
    let dialect = Dialect::openai();

    // A request meets them in this order.
    let completions = ServiceBuilder::new()
        .layer(AuthLayer::new(keys))
        .layer(RateLimitLayer::default())
        .layer(ValidateLayer::new(dialect.clone()))
        .layer(CostLayer::new(prices, ledger))
        // The handler answers whole; who asked for a stream gets one.
        .layer(ReframeLayer::new(dialect).convert());

    // `layer` would stand around the 405 for other methods too, and ask it for a key.
    let completions = post(complete).route_layer(completions);
    Ok(Router::new()
        .route("/", get(async || "an application with routes of its own\n"))
        .route("/v1/chat/completions", completions))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // Without TCP_NODELAY the kernel holds back the end of every short stream for 40 ms.
    let listener = axum::serve::ListenerExt::tap_io(listener, |socket| {
        let _ = socket.set_nodelay(true);
    });
    axum::serve(listener, app()?).await?;
    Ok(())
}
