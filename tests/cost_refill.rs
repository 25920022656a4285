//! A stream that sets no bound outgrows its hold: it is given more in time, and ends without money.

#[path = "support/books.rs"]
mod books;

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt, service_fn};
use tower_completions::{
    Principal,
    body::{BoxError, Full},
    cost::{
        Amount, Budgets, CostLayer, Denied, Ledger, MemoryHold, MemoryLedger, Most, Period, Price,
        Prices, RunOut, Scope,
    },
    meter::{Outcome, Tally},
    parse::ChatBody,
    wire::Usage,
};

/// A stream of events that relay ten tokens each; says whether it was dropped before its end.
struct Stream {
    events: VecDeque<&'static str>,
    tally: Tally,
    cut: Arc<AtomicBool>,
}

impl Body for Stream {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(event) = self.events.pop_front() else {
            self.tally.end(Outcome::Complete);
            return Poll::Ready(None);
        };
        if event == END {
            self.tally.record_usage(Usage::new(8, 100));
        } else if event == CACHED {
            let mut usage = Usage::new(8, 0);
            usage.cached_input = 5;
            self.tally.record_usage(usage);
        } else {
            self.tally.relayed(40);
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(event.as_bytes())))))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.cut.store(!self.events.is_empty(), Ordering::SeqCst);
    }
}

const EVENT: &str = "data: {\"id\":\"x-1\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"…\"}}]}\n\n";
/// The provider counts a prompt of which it had a part in its cache.
const CACHED: &str = "data: {\"id\":\"x-1\",\"choices\":[]}\n\n";
const END: &str = "data: [DONE]\n\n";

/// 1 USD a million tokens in, 2 out: 1 and 2 million picodollars a token.
const fn pico(tokens_in: i128, tokens_out: i128) -> Amount {
    Amount::from_pico(tokens_in * 1_000_000 + tokens_out * 2_000_000)
}

async fn send<L: Ledger>(
    ledger: &L,
    run_out: RunOut,
    fields: &str,
) -> (
    impl Body<Data = Bytes, Error = BoxError> + use<L>,
    Arc<AtomicBool>,
) {
    send_within(ledger, run_out, fields, Budgets::new(), None).await
}

/// A stream of a hundred tokens in ten events, for a request whose hold begins with ten tokens.
async fn send_within<L: Ledger>(
    ledger: &L,
    run_out: RunOut,
    fields: &str,
    budgets: Budgets,
    max_cost: Option<Amount>,
) -> (
    impl Body<Data = Bytes, Error = BoxError> + use<L>,
    Arc<AtomicBool>,
) {
    send_events(ledger, run_out, fields, budgets, max_cost, &[EVENT; 10]).await
}

async fn send_events<L: Ledger>(
    ledger: &L,
    run_out: RunOut,
    fields: &str,
    budgets: Budgets,
    max_cost: Option<Amount>,
    events: &[&'static str],
) -> (
    impl Body<Data = Bytes, Error = BoxError> + use<L>,
    Arc<AtomicBool>,
) {
    let cut = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cut);
    let events = events.to_vec();
    let inner = service_fn(move |_: Request<ChatBody>| {
        let tally = Tally::new();
        let mut events: VecDeque<_> = events.iter().copied().collect();
        events.push_back(END);
        let mut response = Response::new(Stream {
            events,
            tally: tally.clone(),
            cut: Arc::clone(&flag),
        });
        response.extensions_mut().insert(tally);
        let kind = http::HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert("content-type", kind);
        async { Ok::<_, Infallible>(response) }
    });
    let prices = Prices::new().with("m", Price::new("1", "2").expect("decimals"));
    let layer = CostLayer::new(prices, ledger.clone())
        .expected_output(10)
        .budgets(budgets)
        .run_out(run_out);
    let text = format!(
        r#"{{"model":"m","stream":true,{fields}"messages":[{{"role":"user","content":"hi"}}]}}"#
    );
    let mut request = Request::new(Full::new(text));
    request.extensions_mut().insert(Principal::new("a"));
    if let Some(max) = max_cost {
        let max = max.to_string().parse().expect("a header");
        request.headers_mut().insert("x-max-cost", max);
    }
    let response = layer.layer(inner).oneshot(request).await;
    (response.expect("infallible").into_body(), cut)
}

async fn text(body: impl Body<Data = Bytes, Error = BoxError>) -> String {
    let bytes = body.collect().await.expect("no transport error").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn granted(tokens_in: i128, tokens_out: i128) -> MemoryLedger {
    let ledger = MemoryLedger::new();
    ledger.grant("a", pico(tokens_in, tokens_out));
    ledger
}

#[track_caller]
fn spent(ledger: &MemoryLedger) -> Amount {
    books::settled(ledger, "a").spent
}

#[tokio::test]
async fn a_stream_is_given_more_while_there_is_money() {
    let ledger = granted(8, 120);
    let (body, cut) = send(&ledger, RunOut::Error, "").await;
    assert_eq!(ledger.statement("a").held, pico(8, 10));
    let text = text(body).await;
    assert_eq!(text.matches("x-1").count(), 10);
    assert!(text.ends_with(END) && !text.contains("error"));
    assert!(!cut.load(Ordering::SeqCst));
    assert_eq!(spent(&ledger), pico(8, 100));
    assert_eq!(ledger.statement("a").overrun, Amount::ZERO);
}

#[tokio::test]
async fn without_money_it_ends_with_an_error() {
    let ledger = granted(8, 45);
    let (body, cut) = send(&ledger, RunOut::Error, "").await;
    let text = text(body).await;
    assert_eq!(text.matches("x-1").count(), 5, "{text}");
    assert!(text.contains(r#""code":"insufficient_balance""#), "{text}");
    assert!(!text.contains("[DONE]"));
    assert!(cut.load(Ordering::SeqCst), "the upstream is cancelled");
    // The fifth event was on its way when the money for half of it was left: that half is overrun.
    assert_eq!(spent(&ledger), pico(8, 45));
    assert_eq!(ledger.statement("a").overrun, pico(0, 5));
}

#[tokio::test]
async fn or_as_at_the_limit_of_its_length() {
    let ledger = granted(8, 40);
    let fields = r#""stream_options":{"include_usage":true},"#;
    let (body, cut) = send(&ledger, RunOut::Length, fields).await;
    let text = text(body).await;
    assert!(cut.load(Ordering::SeqCst));
    let tail: Vec<_> = text.split("\n\n").skip(4).collect();
    assert_eq!(
        tail,
        [
            r#"data: {"id":"x-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"length"}],"usage":null}"#,
            r#"data: {"id":"x-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[],"usage":{"prompt_tokens":8,"completion_tokens":40,"total_tokens":48}}"#,
            "data: [DONE]",
            "",
        ]
    );
    assert_eq!(spent(&ledger), pico(8, 40));
}

#[tokio::test]
async fn then_what_is_said_has_the_parts_that_are_charged() {
    let ledger = granted(8, 40);
    let fields = r#""stream_options":{"include_usage":true},"#;
    let events = [&[CACHED][..], &[EVENT; 10]].concat();
    let budgets = Budgets::new();
    let sent = send_events(&ledger, RunOut::Length, fields, budgets, None, &events);
    let text = text(sent.await.0).await;
    let usage = r#""usage":{"prompt_tokens":8,"completion_tokens":40,"total_tokens":48,"prompt_tokens_details":{"cached_tokens":5}}"#;
    assert!(text.contains(usage), "{text}");
}

#[tokio::test]
async fn then_each_choice_that_is_open_is_finished() {
    const FINISH: &str =
        "data: {\"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\": \"stop\"}]}\n\n";
    for (second, finished) in [(EVENT, [1, 1, 1]), (FINISH, [1, 0, 1])] {
        let ledger = granted(24, 60);
        let mut events = [EVENT; 10];
        events[1] = second;
        let budgets = Budgets::new();
        let body = send_events(&ledger, RunOut::Length, r#""n":3,"#, budgets, None, &events);
        let text = text(body.await.0).await;
        let count = |index| {
            let finish =
                format!(r#""choices":[{{"index":{index},"delta":{{}},"finish_reason":"length"}}]"#);
            text.matches(&finish).count()
        };
        assert_eq!([count(0), count(1), count(2)], finished, "{text}");
        assert!(text.ends_with(END), "{text}");
    }
}

#[tokio::test]
async fn a_bound_is_held_from_the_start_and_never_topped_up() {
    // What ten tokens of the request's own bound come to is held; the text may well be longer.
    let ledger = granted(8, 10);
    let (body, _) = send(&ledger, RunOut::Error, r#""max_tokens":10,"#).await;
    let text = text(body).await;
    assert!(text.ends_with(END));
    assert_eq!(spent(&ledger), pico(8, 10));
}

/// A ledger far away: its answer to an extension takes until it is let.
#[derive(Clone)]
struct Far {
    ledger: MemoryLedger,
    answers: Arc<Semaphore>,
    dead: bool,
}

impl Ledger for Far {
    type Hold = MemoryHold;
    type Future = <MemoryLedger as Ledger>::Future;
    type Extending = BoxFuture<'static, Result<(), Denied>>;

    fn hold(&self, account: &str, most: Most) -> Self::Future {
        self.ledger.hold(account, most)
    }

    fn extend(&self, hold: &mut MemoryHold, by: Amount) -> Self::Extending {
        let extended = if self.dead {
            Err(Denied::Unavailable)
        } else {
            self.ledger.extend(hold, by).into_inner()
        };
        let answers = Arc::clone(&self.answers);
        Box::pin(async move {
            answers.acquire().await.expect("open").forget();
            extended
        })
    }

    fn settle(&self, hold: MemoryHold, charge: Amount) -> Amount {
        self.ledger.settle(hold, charge)
    }
}

#[tokio::test]
async fn what_is_covered_goes_on_while_the_ledger_is_asked() {
    let ledger = granted(8, 200);
    let far = Far {
        ledger: ledger.clone(),
        answers: Arc::new(Semaphore::new(0)),
        dead: false,
    };
    let (body, _) = send(&far, RunOut::Error, "").await;
    let mut body = Box::pin(body);
    // Ten tokens are covered: the first event goes out, then it waits for the ledger.
    assert!(body.frame().now_or_never().is_some());
    assert!(body.frame().now_or_never().is_none());
    far.answers.add_permits(1);
    assert!(body.frame().now_or_never().is_some());
    assert!(body.frame().now_or_never().is_none());
    // It may be dropped then, and holds nothing.
    drop(body);
    assert_eq!(spent(&ledger), pico(8, 20));
    let (body, _) = send(&far, RunOut::Error, "").await;
    far.answers.add_permits(100);
    assert!(text(body).await.ends_with(END));
    assert_eq!(spent(&ledger), pico(16, 120));
}

#[tokio::test]
async fn a_ledger_that_is_gone_ends_the_stream_too() {
    let ledger = granted(8, 200);
    let far = Far {
        ledger: ledger.clone(),
        answers: Arc::new(Semaphore::new(100)),
        dead: true,
    };
    let (body, cut) = send(&far, RunOut::Length, "").await;
    let text = text(body).await;
    assert!(text.contains(r#""code":"ledger_unavailable""#), "{text}");
    assert!(!text.contains("[DONE]"));
    assert!(cut.load(Ordering::SeqCst));
    assert_eq!(spent(&ledger), pico(8, 10));
}

#[tokio::test]
async fn a_budget_bounds_what_outgrows_its_hold() {
    let ledger = MemoryLedger::new();
    let budgets = Budgets::new().with(Scope::Global, pico(8, 45), Period::Day);
    let (body, cut) = send_within(&ledger, RunOut::Error, "", budgets.clone(), None).await;
    let text = text(body).await;
    assert_eq!(text.matches("x-1").count(), 5, "{text}");
    assert!(text.contains(r#""code":"budget_exceeded""#), "{text}");
    assert!(!text.contains("[DONE]"));
    assert!(cut.load(Ordering::SeqCst), "the upstream is cancelled");
    assert_eq!(spent(&ledger), pico(8, 50));
    let standing = budgets.standing(&Principal::new("a"), unix());
    assert_eq!(
        (standing[0].held, standing[0].spent),
        (Amount::ZERO, pico(8, 50))
    );
}

#[tokio::test]
async fn what_a_client_will_pay_at_most_bounds_it_too() {
    let ledger = granted(8, 1000);
    let max = Some(pico(8, 45));
    let (body, cut) = send_within(&ledger, RunOut::Error, "", Budgets::new(), max).await;
    let text = text(body).await;
    assert_eq!(text.matches("x-1").count(), 5, "{text}");
    assert!(text.contains(r#""code":"max_cost_exceeded""#), "{text}");
    assert!(cut.load(Ordering::SeqCst), "the upstream is cancelled");
    assert_eq!(spent(&ledger), pico(8, 45), "no more than was said");
}

#[tokio::test]
async fn room_in_a_budget_comes_back_when_the_account_has_none() {
    let ledger = granted(8, 45);
    let budgets = Budgets::new().with(Scope::Global, pico(8, 1000), Period::Day);
    let (body, _) = send_within(&ledger, RunOut::Error, "", budgets.clone(), None).await;
    text(body).await;
    let standing = budgets.standing(&Principal::new("a"), unix());
    assert_eq!(standing[0].held, Amount::ZERO);
}

fn unix() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}
