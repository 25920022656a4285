//! What `Cost` is tested with: an upstream that follows a script, a price, an account.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

#[path = "books.rs"]
mod books;

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_completions::{
    Dialect, Principal,
    body::{BoxError, Full},
    cost::{Amount, CostLayer, MemoryLedger, Price, Prices},
    meter::Tally,
    parse::ChatBody,
    wire::Usage,
};

/// One step of a scripted body.
#[derive(Clone)]
pub enum Step {
    Data(&'static str),
    Usage(u64, u64),
    Relay(u64),
    Break,
    Never,
}

pub struct Script {
    pub steps: VecDeque<Step>,
    pub tally: Tally,
}

impl Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            return match self.steps.pop_front() {
                None => Poll::Ready(None),
                Some(Step::Data(text)) => {
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
                }
                Some(Step::Usage(input, output)) => {
                    self.tally.record_usage(Usage::new(input, output));
                    continue;
                }
                Some(Step::Relay(bytes)) => {
                    self.tally.relayed(bytes);
                    continue;
                }
                Some(Step::Break) => Poll::Ready(Some(Err("reset".into()))),
                Some(Step::Never) => {
                    self.steps.push_front(Step::Never);
                    Poll::Pending
                }
            };
        }
    }
}

/// 1 USD a million tokens in, 2 out: 1 and 2 million picodollars a token.
pub fn book() -> Prices {
    Prices::new().with("m", Price::new("1", "2").expect("decimals"))
}

pub fn pico(tokens_in: i128, tokens_out: i128) -> Amount {
    Amount::from_pico(tokens_in * 1_000_000 + tokens_out * 2_000_000)
}

pub fn request(model: &str) -> Request<Full> {
    // 3 for the request, 4 for its message, 2 bytes of text: an estimate of 8 tokens.
    let text = format!(
        r#"{{"model":"{model}","max_tokens":10,"messages":[{{"role":"user","content":"hi"}}]}}"#
    );
    let mut request = Request::new(Full::new(text));
    request.extensions_mut().insert(Principal::new("a"));
    request
}

pub async fn send(
    ledger: &MemoryLedger,
    dialect: Dialect,
    kind: &'static str,
    steps: &[Step],
) -> Response<impl Body<Data = Bytes, Error = BoxError> + use<>> {
    let steps: VecDeque<Step> = steps.iter().cloned().collect();
    let inner = service_fn(move |_: Request<ChatBody>| {
        let tally = Tally::new();
        let mut response = Response::new(Script {
            steps: steps.clone(),
            tally: tally.clone(),
        });
        response.extensions_mut().insert(tally);
        response
            .headers_mut()
            .insert("content-type", http::HeaderValue::from_static(kind));
        async { Ok::<_, Infallible>(response) }
    });
    let layer = CostLayer::new(book(), ledger.clone()).dialect(&dialect);
    layer
        .layer(inner)
        .oneshot(request("m"))
        .await
        .expect("infallible")
}

pub fn rich() -> MemoryLedger {
    let ledger = MemoryLedger::new();
    ledger.grant("a", pico(1000, 0));
    ledger
}

/// What was spent; nothing may be held any more.
pub fn spent(ledger: &MemoryLedger) -> Amount {
    let end = books::settled(ledger, "a");
    assert_eq!(
        end.balance(),
        Some(pico(1000, 0).minus(end.spent)),
        "credited = available + spent"
    );
    end.spent
}

pub const EVENTS: &str = "text/event-stream";
