//! The Gemini API behind the example gateway: a private server plays the upstream.

mod support;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use support::Gateway;
use tokio::net::TcpListener;

type Seen = Arc<Mutex<Vec<Request<Bytes>>>>;

/// An upstream that answers whatever it is asked with these, and remembers what that was.
async fn upstream(unary: String, stream: String) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    let seen = Seen::default();
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (kept, unary, stream) = (Arc::clone(&kept), unary.clone(), stream.clone());
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                let (kept, unary, stream) = (Arc::clone(&kept), unary.clone(), stream.clone());
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.expect("whole").to_bytes();
                    let streamed = head.uri.path().contains(":stream");
                    kept.lock()
                        .expect("not poisoned")
                        .push(Request::from_parts(head, body));
                    let (kind, text) = if streamed {
                        ("text/event-stream", stream)
                    } else {
                        ("application/json; charset=UTF-8", unary)
                    };
                    let mut response = Response::new(Full::new(Bytes::from(text)));
                    let kind = kind.parse().expect("a header");
                    response.headers_mut().insert("content-type", kind);
                    Ok::<_, Infallible>(response)
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
        }
    });
    (format!("http://{addr}"), seen)
}

fn answer(text: &str, reason: &Value) -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": reason, "index": 0}],
        "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 2, "totalTokenCount": 6},
        "modelVersion": "gemini-2.5-flash", "responseId": "r1"})
}

#[tokio::test]
async fn unary_and_streamed_through_the_gateway() {
    let whole = answer("Merhaba", &json!("STOP"));
    let events = [answer("Mer", &Value::Null), answer("haba", &json!("STOP"))];
    let stream = events.iter().map(|event| format!("data: {event}\r\n\r\n"));
    let (base, seen) = upstream(whole.to_string(), stream.collect()).await;
    let gateway = Gateway::start(&format!(
        "[[providers]]\nname = \"g\"\nkind = \"gemini\"\nbase_url = \"{base}\"\napi_keys = [\"AIza-key\"]\n\n\
         [[models]]\nid = \"google/flash\"\ntargets = [{{ provider = \"g\", model = \"gemini-2.5-flash\" }}]\n\
         price = {{ input = \"1\", output = \"2\" }}\n\n[[keys]]\nname = \"demo\"\nsecret = \"sk-demo\"\n"
    ));
    let ask = |stream: bool| {
        json!({"model": "google/flash", "stream": stream, "user": "u", "stream_options": stream.then(|| json!({"include_usage": true})),
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]})
        .to_string()
    };

    let said = gateway.post("sk-demo", &ask(false)).await;
    assert_eq!(said.status, 200, "{}", said.body);
    let json = said.json();
    assert_eq!(json["choices"][0]["message"]["content"], "Merhaba");
    assert_eq!(json["model"], "google/flash");
    assert_eq!(json["usage"]["total_tokens"], 6);
    assert_eq!(said.header("x-completion-cost"), "0.000008");
    assert_eq!(said.header("x-params-dropped"), "user");

    let said = gateway.post("sk-demo", &ask(true)).await;
    assert_eq!(said.status, 200, "{}", said.body);
    let events = said.events();
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    let chunks: Vec<Value> = events[..events.len() - 1]
        .iter()
        .map(|event| serde_json::from_str(event).expect("JSON"))
        .collect();
    let text: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, "Merhaba");
    let last = chunks.last().expect("the usage");
    assert_eq!(
        (&last["choices"], &last["usage"]["prompt_tokens"]),
        (&json!([]), &json!(4))
    );

    let seen = seen.lock().expect("not poisoned");
    let paths: Vec<String> = seen.iter().map(|it| it.uri().to_string()).collect();
    assert_eq!(
        paths,
        [
            "/v1beta/models/gemini-2.5-flash:generateContent",
            "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
        ]
    );
    for request in seen.iter() {
        assert_eq!(request.headers()["x-goog-api-key"], "AIza-key");
        assert!(!request.headers().contains_key("authorization"));
        let body: Value = serde_json::from_slice(request.body()).expect("JSON");
        assert_eq!(
            body,
            json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
                "systemInstruction": {"parts": [{"text": "Be brief."}]}})
        );
    }
}

/// Tokens of images that the model made have a price of their own.
#[tokio::test]
async fn tokens_of_images_made_are_priced_as_such() {
    let answer = |parts: Value, reason: Value| {
        json!({"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": 0}],
            "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 10, "totalTokenCount": 14,
                "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 2}, {"modality": "IMAGE", "tokenCount": 8}]},
            "modelVersion": "gemini-2.5-flash-image", "responseId": "r1"})
    };
    let image = json!({"inlineData": {"mimeType": "image/png", "data": "AA=="}});
    let whole = answer(json!([{"text": "Here."}, image]), json!("STOP"));
    let events = [
        answer(json!([{"text": "Here."}]), Value::Null),
        answer(json!([image]), json!("STOP")),
    ];
    let stream = events.iter().map(|event| format!("data: {event}\r\n\r\n"));
    let (base, _) = upstream(whole.to_string(), stream.collect()).await;
    let gateway = Gateway::start(&format!(
        "[[providers]]\nname = \"g\"\nkind = \"gemini\"\nbase_url = \"{base}\"\napi_keys = [\"AIza-key\"]\n\n\
         [[models]]\nid = \"google/image\"\ntargets = [{{ provider = \"g\", model = \"gemini-2.5-flash-image\" }}]\n\
         price = {{ input = \"1\", output = \"2\", image_output = \"30\" }}\n\n[[keys]]\nname = \"demo\"\nsecret = \"sk-demo\"\n"
    ));
    let ask = |stream: bool| {
        json!({"model": "google/image", "stream": stream, "stream_options": stream.then(|| json!({"include_usage": true})),
            "messages": [{"role": "user", "content": "Draw."}]})
        .to_string()
    };
    // 4 · 1 + 2 · 2 + 8 · 30 millionths.
    let said = gateway.post("sk-demo", &ask(false)).await;
    assert_eq!(said.status, 200, "{}", said.body);
    assert_eq!(said.header("x-completion-cost"), "0.000248");
    let json = said.json();
    let details = &json["usage"]["completion_tokens_details"];
    assert_eq!(details["image_tokens"], 8);
    let images = &json["choices"][0]["message"]["images"];
    assert_eq!(images[0]["image_url"]["url"], "data:image/png;base64,AA==");

    let said = gateway.post("sk-demo", &ask(true)).await;
    let events = said.events();
    let last: Value = serde_json::from_str(&events[events.len() - 2]).expect("JSON");
    assert_eq!(
        last["usage"]["completion_tokens_details"]["image_tokens"],
        8
    );
    let key = gateway.get("sk-demo", "/v1/key").await.json();
    assert_eq!(key["data"]["spent"], "0.000496");
}

/// The API gives at most eight answers at once.
#[tokio::test]
async fn more_answers_than_it_gives_at_once_are_asked_for_in_several_calls() {
    let whole = answer("Hm", &json!("STOP")).to_string();
    let (base, seen) = upstream(whole, String::new()).await;
    let gateway = Gateway::start(&format!(
        "[[providers]]\nname = \"g\"\nkind = \"gemini\"\nbase_url = \"{base}\"\napi_keys = [\"AIza-key\"]\n\n\
         [[models]]\nid = \"m\"\ntargets = [{{ provider = \"g\", model = \"gemini-2.5-flash\" }}]\n\
         price = {{ input = \"1\", output = \"2\" }}\n\n[[keys]]\nname = \"demo\"\nsecret = \"sk-demo\"\n"
    ));
    let ask = json!({"model": "m", "n": 9, "messages": [{"role": "user", "content": "Hi"}]});
    let said = gateway.post("sk-demo", &ask.to_string()).await;
    assert_eq!(said.status, 200, "{}", said.body);
    let json = said.json();
    let choices = json["choices"].as_array().expect("a list");
    let numbers: Vec<u64> = choices
        .iter()
        .filter_map(|it| it["index"].as_u64())
        .collect();
    assert_eq!(numbers, [0, 8]);
    // Both calls, in one charge.
    assert_eq!(json["usage"]["total_tokens"], 12);
    assert_eq!(said.header("x-completion-cost"), "0.000016");
    let seen = seen.lock().expect("not poisoned");
    let mut counts: Vec<Value> = seen
        .iter()
        .map(|it| serde_json::from_slice::<Value>(it.body()).expect("JSON"))
        .map(|body| body["generationConfig"]["candidateCount"].clone())
        .collect();
    counts.sort_by_key(Value::as_u64);
    assert_eq!(counts, [Value::Null, json!(8)]);
}
