//! Several answers from an upstream that gives one at a time.

use std::{
    convert::Infallible,
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt};
use tower_completions::{
    Error, Principal,
    body::{BoxError, Full},
    cost::{Amount, Bill, CostLayer, MemoryLedger, Price, Prices, Receipt, When},
    meter::{Outcome, Tally},
    parse::ParseLayer,
    provider::{ParallelLayer, Provider, anthropic::Anthropic, gemini::Gemini, openai::OpenAi},
};

/// A body that gives its frames one by one, waits for ever behind the last if told to, and counts
/// the bodies that are alive.
struct Scripted {
    frames: std::vec::IntoIter<Result<String, ()>>,
    hang: bool,
    alive: Arc<AtomicUsize>,
}

impl http_body::Body for Scripted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.frames.next() {
            Some(Ok(text)) => Poll::Ready(Some(Ok(Frame::data(text.into())))),
            Some(Err(())) => Poll::Ready(Some(Err("reset".into()))),
            None if self.hang => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Act {
    #[default]
    Whole,
    Refused,
    Cut,
    Hang,
}

#[derive(Clone, Default)]
struct Upstream {
    acts: Arc<Vec<Act>>,
    asked: Arc<Mutex<Vec<Value>>>,
    alive: Arc<AtomicUsize>,
}

/// A service that wants to be made ready before each call, as those with limits do.
#[derive(Clone)]
struct Strict {
    upstream: Upstream,
    ready: Arc<()>,
}

impl Upstream {
    fn new(acts: &[Act]) -> Self {
        Self {
            acts: Arc::new(acts.to_vec()),
            ..Self::default()
        }
    }

    fn answer(&self, body: &Value) -> Response<Scripted> {
        let mut asked = self.asked.lock().expect("not poisoned");
        let nth = asked.len();
        asked.push(body.clone());
        let act = self.acts.get(nth).copied().unwrap_or_default();
        self.alive.fetch_add(1, Ordering::SeqCst);
        let word = ["zero", "one", "two"].get(nth).copied().unwrap_or("more");
        let mut frames: Vec<Result<String, ()>> = if body["stream"] == true {
            [
                json!({"type": "message_start", "message": {"id": format!("msg_{nth}"), "model": "claude", "usage": {"input_tokens": 5}}}),
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}),
                json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2 + nth}}),
                json!({"type": "message_stop"}),
            ]
            .iter()
            .map(|event| Ok(format!("data: {event}\n\n")))
            .collect()
        } else {
            let message = json!({"id": format!("msg_{nth}"), "type": "message", "model": "claude", "stop_reason": "end_turn",
                "content": [{"type": "text", "text": word}], "usage": {"input_tokens": 5, "output_tokens": 2 + nth}});
            vec![Ok(message.to_string())]
        };
        match act {
            Act::Cut if body["stream"] == true => {
                frames.truncate(3);
                frames.push(Err(()));
            }
            Act::Cut => frames = vec![Err(())],
            Act::Hang if body["stream"] == true => frames.truncate(3),
            Act::Hang => frames.clear(),
            Act::Whole | Act::Refused => {}
        }
        let kind = if body["stream"] == true {
            "text/event-stream"
        } else {
            "application/json"
        };
        Response::builder()
            .status(if act == Act::Refused { 529 } else { 200 })
            .header("content-type", kind)
            .body(Scripted {
                frames: frames.into_iter(),
                hang: act == Act::Hang,
                alive: Arc::clone(&self.alive),
            })
            .expect("a response")
    }
}

impl Service<Request<Full>> for Strict {
    type Response = Response<Scripted>;
    type Error = Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = Arc::new(());
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full>) -> Self::Future {
        // A clone shares the token, so only one that was made ready itself holds it alone.
        assert_eq!(
            Arc::strong_count(&self.ready),
            1,
            "called without being ready"
        );
        self.ready = Arc::new(());
        let upstream = self.upstream.clone();
        Box::pin(async move {
            let body = request
                .into_body()
                .collect()
                .await
                .expect("whole")
                .to_bytes();
            Ok(upstream.answer(&serde_json::from_slice(&body).expect("JSON")))
        })
    }
}

async fn ask(
    upstream: &Upstream,
    n: u32,
    stream: bool,
) -> Response<impl http_body::Body<Data = Bytes, Error: std::fmt::Debug>> {
    let client = Strict {
        upstream: upstream.clone(),
        ready: Arc::new(()),
    };
    let translate = Anthropic::new("https://upstream").expect("a URL");
    let provider = Provider::new("anthropic", client, translate);
    let service = ParseLayer::new().layer(ParallelLayer::new().at_most(3).layer(provider));
    let body = json!({"model": "claude-sonnet-4-5", "n": n, "stream": stream, "seed": 1,
        "messages": [{"role": "user", "content": "Hi"}]});
    let request = Request::post("/").body(Full::new(body.to_string()));
    let response = service.oneshot(request.expect("a request")).await;
    response.expect("infallible")
}

async fn text<B>(response: Response<B>) -> (http::response::Parts, String)
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let (head, body) = response.into_parts();
    let text = body.collect().await.expect("whole").to_bytes();
    (head, String::from_utf8(text.to_vec()).expect("UTF-8"))
}

fn usage(head: &http::response::Parts) -> Option<(u64, u64)> {
    let usage = head.extensions.get::<Tally>().and_then(Tally::usage);
    usage.map(|it| (it.input, it.output))
}

#[tokio::test]
async fn whole_answers_in_order_and_one_sum() {
    let upstream = Upstream::default();
    let (head, body) = text(ask(&upstream, 3, false).await).await;
    assert_eq!(head.status, 200);
    assert_eq!(head.headers["x-params-dropped"], "seed");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    for (nth, word) in ["zero", "one", "two"].iter().enumerate() {
        assert_eq!(answer["choices"][nth]["index"], nth);
        assert_eq!(answer["choices"][nth]["message"]["content"], *word);
    }
    assert_eq!(answer["usage"]["prompt_tokens"], 15);
    assert_eq!(answer["usage"]["completion_tokens"], 2 + 3 + 4);
    assert_eq!(usage(&head), Some((15, 9)));
    let asked = upstream.asked.lock().expect("not poisoned");
    assert!(asked.iter().all(|body| body.get("n").is_none()) && asked.len() == 3);
}

#[tokio::test]
async fn one_answer_passes_untouched() {
    let upstream = Upstream::default();
    let (head, body) = text(ask(&upstream, 1, false).await).await;
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(answer["choices"].as_array().map(Vec::len), Some(1));
    assert_eq!(usage(&head), Some((5, 2)));
}

#[tokio::test]
async fn streams_in_one() {
    let upstream = Upstream::default();
    let (head, body) = text(ask(&upstream, 2, true).await).await;
    assert_eq!(
        head.headers["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let data: Vec<&str> = body
        .split("\n\n")
        .filter_map(|it| it.strip_prefix("data: "))
        .collect();
    assert_eq!(data.last(), Some(&"[DONE]"));
    let chunks: Vec<Value> = data[..data.len() - 1]
        .iter()
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect();
    for (nth, word) in ["zero", "one"].iter().enumerate() {
        let of: Vec<&Value> = chunks
            .iter()
            .map(|chunk| &chunk["choices"][0])
            .filter(|choice| choice["index"] == nth)
            .collect();
        assert_eq!(of[0]["delta"]["role"], "assistant");
        assert!(of.iter().any(|choice| choice["delta"]["content"] == *word));
        assert_eq!(
            of.last().map(|it| &it["finish_reason"]),
            Some(&json!("stop"))
        );
    }
    assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]));
    let (last, rest) = chunks.split_last().expect("some");
    assert_eq!(
        (&last["choices"], &last["usage"]["total_tokens"]),
        (&json!([]), &json!(10 + 5))
    );
    assert!(rest.iter().all(|chunk| chunk["usage"].is_null()));
    assert_eq!(usage(&head), Some((10, 5)));
    let outcome = head.extensions.get::<Tally>().and_then(Tally::outcome);
    assert!(matches!(outcome, Some(Outcome::Complete)));
    assert_eq!(upstream.alive.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn one_refusal_refuses_all_and_ends_the_others() {
    for stream in [false, true] {
        let upstream = Upstream::new(&[Act::Hang, Act::Refused, Act::Hang]);
        let (head, _) = text(ask(&upstream, 3, stream).await).await;
        assert_eq!(head.status, 503);
        assert!(head.extensions.get::<Error>().is_some());
        assert_eq!(upstream.alive.load(Ordering::SeqCst), 0, "{stream}");
    }
    let upstream = Upstream::new(&[Act::Whole, Act::Cut]);
    let (head, _) = text(ask(&upstream, 2, false).await).await;
    assert_eq!(head.status, 502);
}

#[tokio::test]
async fn a_cut_stream_ends_all_with_an_error() {
    let upstream = Upstream::new(&[Act::Hang, Act::Cut]);
    let (head, body) = text(ask(&upstream, 2, true).await).await;
    assert_eq!(head.status, 200);
    assert!(
        body.contains("zero") && body.contains("\"error\""),
        "{body}"
    );
    assert!(!body.contains("[DONE]"));
    let counted = head.extensions.get::<Tally>().and_then(Tally::usage);
    let counted = counted.expect("what was asked is owed");
    assert_eq!((counted.input, counted.output), (10, 2), "{counted:?}");
    assert!(counted.estimated);
    let outcome = head.extensions.get::<Tally>().and_then(Tally::outcome);
    assert!(matches!(outcome, Some(Outcome::Failed(_))));
    assert_eq!(upstream.alive.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn leaving_ends_every_upstream() {
    let upstream = Upstream::new(&[Act::Hang, Act::Hang, Act::Hang]);
    let response = ask(&upstream, 3, true).await;
    assert_eq!(upstream.alive.load(Ordering::SeqCst), 3);
    let mut body = Box::pin(response.into_body());
    assert!(body.frame().await.is_some());
    drop(body);
    assert_eq!(upstream.alive.load(Ordering::SeqCst), 0);
    let upstream = Upstream::new(&[Act::Hang, Act::Hang, Act::Hang]);
    let asking = ask(&upstream, 3, false);
    let mut asking = tokio_test::task::spawn(asking);
    assert!(asking.poll().is_pending());
    drop(asking);
    assert_eq!(upstream.alive.load(Ordering::SeqCst), 0);
}

/// Answers of a compatible upstream, one after the other, to `n` calls.
async fn of_family(
    bodies: &'static [&'static str],
    stream: bool,
) -> (http::response::Parts, String) {
    let turn = Arc::new(AtomicUsize::new(0));
    let client = tower::service_fn(move |_: Request<Full>| {
        let body = bodies[turn.fetch_add(1, Ordering::SeqCst)];
        async move {
            let kind = if stream {
                "text/event-stream"
            } else {
                "application/json"
            };
            let response = Response::builder().header("content-type", kind);
            Ok::<_, Infallible>(response.body(Full::new(body)).expect("a response"))
        }
    });
    let translate = OpenAi::new("https://api.perplexity.ai").expect("a URL");
    let provider = Provider::new("p", client, translate);
    let service = ParseLayer::new().layer(ParallelLayer::new().layer(provider));
    let body = json!({"model": "m", "n": bodies.len(), "stream": stream,
        "messages": [{"role": "user", "content": "Hi"}]});
    let request = Request::post("/").body(Full::new(body.to_string()));
    let response = service.oneshot(request.expect("a request")).await;
    text(response.expect("infallible")).await
}

#[tokio::test]
async fn the_sum_has_every_count() {
    const USAGE: &str = r#""usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14,"num_search_queries":2,"cost":0.25}"#;
    let whole: &str = Box::leak(
        format!(r#"{{"id":"a","model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"x"}},"finish_reason":"stop"}}],{USAGE}}}"#).into_boxed_str(),
    );
    let stream: &str = Box::leak(
        format!("data: {{\"id\":\"a\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"x\"}},\"finish_reason\":\"stop\"}}],{USAGE}}}\n\ndata: [DONE]\n\n").into_boxed_str(),
    );
    for (body, streamed) in [(whole, false), (stream, true)] {
        let bodies: &'static [&'static str] = Box::leak(Box::new([body; 3]));
        let (head, body) = of_family(bodies, streamed).await;
        let tally = head.extensions.get::<Tally>().expect("a tally");
        let usage = tally.usage().expect("counts");
        assert_eq!((usage.input, usage.output), (30, 12), "{streamed} {body}");
        assert_eq!(usage.web_searches, 6, "{streamed}");
        assert_eq!(usage.reported_cost, Some(750_000_000_000), "{streamed}");
        assert!(!usage.estimated && !usage.clamped);
        assert_eq!(tally.model().as_deref(), Some("m"));
    }
}

#[tokio::test]
async fn a_count_that_is_missing_is_estimated_once_for_its_own() {
    const NONE: &str = r#"{"id":"a","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"12345678"},"finish_reason":"stop"}]}"#;
    const ODD: &str = r#"{"id":"a","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":-1}}"#;
    let usage = |head: &http::response::Parts| {
        let tally = head.extensions.get::<Tally>();
        tally.and_then(Tally::usage).expect("counts")
    };
    // The prompt was sent to both, and what the other said of it holds for this one.
    let (head, _) = of_family(&[NONE, ODD], false).await;
    let counted = usage(&head);
    // What is negative is taken for what was seen, as what is missing.
    assert_eq!((counted.input, counted.output), (20, 3), "{counted:?}");
    assert!(counted.estimated && counted.clamped);
    // Nobody has said anything: each prompt is estimated.
    let (one, _) = of_family(&[NONE, NONE], false).await;
    let (three, _) = of_family(&[NONE, NONE, NONE], false).await;
    let (one, three) = (usage(&one), usage(&three));
    assert_eq!(one.input * 3, three.input * 2, "{one:?} {three:?}");
    assert!(one.input > 0 && one.estimated);
    assert_eq!((one.output, three.output), (4, 6));
}

#[tokio::test]
async fn models_that_know_n_keep_it() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let sent = Arc::clone(&asked);
    let client = tower::service_fn(move |request: Request<Full>| {
        let sent = Arc::clone(&sent);
        async move {
            let body = request
                .into_body()
                .collect()
                .await
                .expect("whole")
                .to_bytes();
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            sent.lock().expect("not poisoned").push(body["n"].clone());
            Ok::<_, Infallible>(Response::new(Full::new(r#"{"choices":[{"message":{}}]}"#)))
        }
    });
    let provider = Provider::new(
        "p",
        client,
        OpenAi::new("https://upstream/v1").expect("a URL"),
    );
    let layer = ParallelLayer::new().of_models(|model| model.starts_with("claude"));
    let service = ParseLayer::new().layer(layer.layer(provider));
    for model in ["claude", "gpt"] {
        let body = json!({"model": model, "n": 2, "messages": [{"role": "user", "content": "Hi"}]});
        let request = Request::post("/").body(Full::new(body.to_string()));
        let response = service.clone().oneshot(request.expect("a request")).await;
        assert_eq!(response.expect("infallible").status(), 200);
    }
    let asked = asked.lock().expect("not poisoned");
    assert_eq!(*asked, [Value::Null, Value::Null, json!(2)]);
}

/// As Gemini answers: so many candidates as are asked for, at most eight; streamed, the last first.
fn candidates(body: &Value, stream: bool) -> String {
    let count = body["generationConfig"]["candidateCount"].as_u64();
    let count = count.unwrap_or(1);
    assert!(count <= 8, "{body}");
    let candidate = |index: u64| {
        let text = format!("{index} of {count}");
        json!({"index": index, "content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP"})
    };
    let usage = json!({"promptTokenCount": 5, "candidatesTokenCount": 2 * count, "totalTokenCount": 5 + 2 * count});
    let answer = |candidates: Vec<Value>| json!({"candidates": candidates, "usageMetadata": usage, "responseId": "r", "modelVersion": "g"});
    if !stream {
        return answer((0..count).map(candidate).collect()).to_string();
    }
    (0..count)
        .rev()
        .map(|index| format!("data: {}\r\n\r\n", answer(vec![candidate(index)])))
        .collect()
}

#[tokio::test]
async fn more_than_the_upstream_gives_at_once_are_shared_out() {
    // How many are asked for, and of whom.
    for (n, shares) in [
        (1, &[1][..]),
        (8, &[8]),
        (9, &[8, 1]),
        (11, &[8, 3]),
        (16, &[8, 8]),
    ] {
        for stream in [false, true] {
            let asked = Arc::new(Mutex::new(Vec::new()));
            let sent = Arc::clone(&asked);
            let client = tower::service_fn(move |request: Request<Full>| {
                let sent = Arc::clone(&sent);
                async move {
                    let body = request.into_body().collect().await;
                    let body = body.expect("whole").to_bytes();
                    let body: Value = serde_json::from_slice(&body).expect("JSON");
                    let count = &body["generationConfig"]["candidateCount"];
                    let count = count.as_u64().unwrap_or(1);
                    sent.lock().expect("not poisoned").push(count);
                    let kind = if stream {
                        "text/event-stream"
                    } else {
                        "application/json"
                    };
                    let response = Response::builder().header("content-type", kind);
                    let response = response.body(Full::new(candidates(&body, stream)));
                    Ok::<_, Infallible>(response.expect("a response"))
                }
            });
            let translate = Gemini::new("https://upstream").expect("a URL");
            let provider = Provider::new("gemini", client, translate);
            let eight = NonZeroU32::new(8).expect("not zero");
            let layer = ParallelLayer::new().per_call(eight);
            let service = ParseLayer::new().layer(layer.layer(provider));
            let body = json!({"model": "gemini-2.5-flash", "n": n, "stream": stream,
                "messages": [{"role": "user", "content": "Hi"}]});
            let request = Request::post("/").body(Full::new(body.to_string()));
            let response = service.oneshot(request.expect("a request")).await;
            let (head, body) = text(response.expect("infallible")).await;
            assert_eq!(head.status, 200, "{body}");
            assert_eq!(*asked.lock().expect("not poisoned"), shares, "{n}");
            let mut choices: Vec<(u64, String)> = if stream {
                let events = body.lines().filter_map(|line| line.strip_prefix("data: {"));
                let events = events.map(|data| serde_json::from_str(&format!("{{{data}")));
                let events = events.map(|event: Result<Value, _>| event.expect("JSON"));
                let choices = events.map(|event| event["choices"][0].clone());
                let said = choices.filter_map(|choice| {
                    let text = choice["delta"]["content"].as_str()?;
                    let index = choice["index"].as_u64()?;
                    Some((index, text.to_owned()))
                });
                let said = said.filter(|(_, text)| !text.is_empty());
                said.collect()
            } else {
                let answer: Value = serde_json::from_str(&body).expect("JSON");
                let choices = answer["choices"].as_array().expect("a list").iter();
                let choices = choices.map(|choice| {
                    let text = choice["message"]["content"].as_str().expect("a text");
                    (choice["index"].as_u64().expect("a number"), text.to_owned())
                });
                choices.collect()
            };
            if stream {
                choices.sort();
            }
            let wanted: Vec<(u64, String)> = (0..n)
                .map(|index| {
                    let share = shares[usize::try_from(index / 8).expect("small")];
                    (index, format!("{} of {share}", index % 8))
                })
                .collect();
            assert_eq!(choices, wanted);
            let calls = shares.len() as u64;
            assert_eq!(usage(&head), Some((5 * calls, 2 * n)), "{n} {stream}");
        }
    }
}

#[tokio::test]
async fn too_many_are_refused() {
    let upstream = Upstream::default();
    let (head, _) = text(ask(&upstream, 4, false).await).await;
    assert_eq!(head.status, 400);
    let error = head.extensions.get::<Error>().expect("an error");
    assert_eq!(
        (error.param(), error.code()),
        (Some("n"), Some("invalid_value"))
    );
    assert!(upstream.asked.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn each_call_is_charged_as_a_request_of_its_own() {
    // A dollar and two a million tokens, ten times as much for long prompts, a cent a request and a tenth of one
    // for each image that it shows.
    let long = Price::new("10", "20").expect("decimals");
    let price = Price::new("1", "2")
        .and_then(|it| it.request("0.01"))
        .and_then(|it| it.image("0.001"));
    let price = price.expect("decimals").when(When::new().above(9), &long);
    for stream in [false, true] {
        let upstream = Upstream::default();
        let client = Strict {
            upstream: upstream.clone(),
            ready: Arc::new(()),
        };
        let translate = Anthropic::new("https://upstream").expect("a URL");
        let provider = Provider::new("anthropic", client, translate);
        let ledger = MemoryLedger::new();
        ledger.grant("a", "1".parse().expect("an amount"));
        let layer = CostLayer::new(Prices::new().with("m", price.clone()), ledger.clone());
        let service = layer.layer(ParallelLayer::new().layer(provider));
        let body = json!({"model": "m", "n": 3, "stream": stream, "max_tokens": 20, "messages": [{"role": "user",
            "content": [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "https://a/b"}}]}]});
        let mut request = Request::new(Full::new(body.to_string()));
        request.extensions_mut().insert(Principal::new("a"));
        let (head, _) = text(service.oneshot(request).await.expect("infallible")).await;
        let receipt = head.extensions.get::<Receipt>().cloned();
        let bill = head
            .extensions
            .get::<Bill>()
            .and_then(|it| it.receipt().cloned());
        let receipt = receipt.or(bill).expect("charged");
        assert_eq!(upstream.asked.lock().expect("not poisoned").len(), 3);
        // Five tokens in each, which is no long prompt, and 2 + 3 + 4 out.
        let tokens = Amount::from_pico(15 * 1_000_000 + 9 * 2_000_000);
        let all = tokens.plus("0.033".parse().expect("an amount"));
        assert_eq!(receipt.cost, all, "{stream} {}", receipt.to_json());
        assert_eq!(ledger.statement("a").spent, all);
    }
}
