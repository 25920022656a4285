//! The whole gateway in one process, all layers on, over an upstream that costs nothing.

#![allow(missing_docs)]

mod support;

use std::{convert::Infallible, hint::black_box};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use tower::{ServiceExt, service_fn};
use tower_completions::{
    Principal,
    auth::Keys,
    body::Full,
    cost::{MemoryLedger, Price, Prices},
    limit::Limits,
    provider::{Provider, openai::OpenAi},
    router::{Candidate, Model, Router, Table},
    stack::Gateway,
};

const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Merhaba! Size nasil yardimci olabilirim?","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":9,"total_tokens":21}}"#;

fn ask(stream: bool) -> Request<Full> {
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"system","content":"You are helpful."}},{{"role":"user","content":"Merhaba, bana yardim eder misin?"}}],"temperature":0.7,"max_tokens":100,"stream":{stream}}}"#
    );
    Request::post("/v1/chat/completions")
        .header("authorization", "Bearer sk-demo")
        .header("content-type", "application/json")
        .body(Full::new(body))
        .expect("a request")
}

fn events(content: usize) -> Bytes {
    let chunk = |delta: &str, finish: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}]}}\n\n"
        )
    };
    let mut text = chunk(r#"{"role":"assistant","content":""}"#, "null");
    for _ in 0..content {
        text += &chunk(r#"{"content":" merhaba"}"#, "null");
    }
    text += &chunk("{}", "\"stop\"");
    text += "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":9,\"total_tokens\":21}}\n\ndata: [DONE]\n\n";
    Bytes::from(text)
}

fn main() {
    support::main(|bench| {
        let keys = Keys::new();
        let limits = Limits::new()
            .requests_per_minute(1 << 31)
            .tokens_per_minute(1 << 40)
            .max_concurrent(100);
        keys.insert("sk-demo", Principal::new("demo").attach(limits));
        let ledger = MemoryLedger::new();
        ledger.grant("demo", "100000000".parse().expect("an amount"));
        let prices = Prices::new().with("m", Price::new("0.15", "0.60").expect("decimals"));
        let gateway = |kind: &'static str, body: Bytes| {
            let upstream = service_fn(move |_: Request<Full>| {
                let mut response = Response::new(Full::new(body.clone()));
                let kind = HeaderValue::from_static(kind);
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                std::future::ready(Ok::<_, Infallible>(response))
            });
            let translate = OpenAi::new("http://upstream/v1").expect("a URL");
            let provider = Provider::new("p", upstream, translate).with_keys(["sk-upstream"]);
            let model = Model::new("m").target(Candidate::new("p", "m"));
            let table = Table::new([model]).expect("a table");
            let router = Router::builder(table)
                .provider("p", provider)
                .build()
                .expect("sound");
            Gateway::builder(keys.clone())
                .cost(prices.clone(), ledger.clone())
                .build(router)
        };
        // Outside of a runtime tokio's timers cannot be armed; nothing here waits for one.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let _inside = runtime.enter();
        let unary = gateway("application/json", Bytes::from_static(ANSWER.as_bytes()));
        bench.case("unary", || {
            let response = unary.clone().oneshot(ask(false)).now_or_never();
            let response = response.expect("ready").expect("infallible");
            assert_eq!(response.status(), 200);
            black_box(response.into_body().collect().now_or_never())
        });
        // The difference of the two, a hundredth of it, is what one more event costs.
        for (name, content) in [("stream_3", 1), ("stream_103", 101)] {
            let stream = gateway("text/event-stream", events(content));
            bench.case(name, || {
                let response = stream.clone().oneshot(ask(true)).now_or_never();
                let response = response.expect("ready").expect("infallible");
                assert_eq!(response.status(), 200);
                black_box(response.into_body().collect().now_or_never())
            });
        }
    });
}
