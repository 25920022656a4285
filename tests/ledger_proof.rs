//! What must hold of money whatever happens: nothing oversold, every hold settled once, and the sum of
//! charges the sum of what the provider counted. Long forms: `scripts/ledger`.

#[path = "support/books.rs"]
mod books;

use std::{
    future::{Future as _, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Poll, ready},
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::Request;
use http_body::Body;
use http_body_util::{BodyExt, StreamBody};
use tower::{Service, ServiceExt, service_fn};
use tower_completions::{
    Principal,
    auth::Keys,
    body::{BoxError, Full},
    cost::{Amount, Bill, Ledger, MemoryLedger, Price, Prices, Receipt, What},
    mock::{Fault, Script, Upstream},
    provider::{Provider, openai::OpenAi},
    stack::Gateway,
    wire::Usage,
};

const fn usd(pico: i128) -> Amount {
    Amount::from_pico(pico)
}

fn often(name: &str, short: u64) -> u64 {
    std::env::var(name).map_or(short, |n| n.parse().expect("a number"))
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

#[test]
fn concurrent_reservations_are_never_oversold() {
    let each = often("LEDGER_RESERVATIONS", 40_000) / 8;
    let ledger = MemoryLedger::new();
    ledger.grant("a", usd(60_000_000));
    let (out, admitted, refused) = (AtomicI64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let charged = AtomicI64::new(0);
    std::thread::scope(|scope| {
        for seed in 1..=8_u64 {
            let (ledger, out, admitted, refused) = (&ledger, &out, &admitted, &refused);
            let charged = &charged;
            scope.spawn(move || {
                let mut dice = Dice(seed * 0x9e37_79b9);
                let mut open = Vec::new();
                for _ in 0..each {
                    let amount = i64::try_from(dice.below(40_000_000)).expect("small");
                    let hold = ledger.hold("a", usd(amount.into()).into());
                    match hold.now_or_never().expect("ready") {
                        Ok(hold) => {
                            // Counted after it was given and before it is given back: never more
                            // than is really out.
                            let now = out.fetch_add(amount, Ordering::SeqCst) + amount;
                            let spent = charged.load(Ordering::SeqCst);
                            assert!(now + spent <= 60_000_000, "oversold: {now} + {spent}");
                            admitted.fetch_add(1, Ordering::Relaxed);
                            open.push((hold, amount));
                        }
                        Err(_) => {
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    if open.len() > 3 || dice.below(3) == 0 {
                        if let Some((hold, amount)) = open.pop() {
                            out.fetch_sub(amount, Ordering::SeqCst);
                            if dice.below(2) == 0 {
                                let taken = ledger.settle(hold, usd(dice.below(9).into()));
                                let taken = i64::try_from(taken.pico()).expect("small");
                                charged.fetch_add(taken, Ordering::SeqCst);
                            }
                        }
                    }
                }
                for (_, amount) in open {
                    out.fetch_sub(amount, Ordering::SeqCst);
                }
            });
        }
    });
    books::settled(&ledger, "a");
    let spent = i64::try_from(ledger.statement("a").spent.pico()).expect("small");
    assert_eq!(spent, charged.into_inner());
    let (admitted, refused) = (admitted.into_inner(), refused.into_inner());
    println!("{admitted} admitted, {refused} refused, none oversold");
    assert!(
        admitted > each && refused > each / 8,
        "{admitted} {refused}"
    );
}

fn prices() -> Prices {
    let price = Price::new("0.15", "0.60").and_then(|it| it.cached_input("0.075"));
    Prices::new().with("m", price.expect("decimals"))
}

fn request(stream: bool, bounded: bool) -> Request<Full> {
    let max = if bounded { r#""max_tokens":4000,"# } else { "" };
    let text = format!(
        r#"{{"model":"m",{max}"stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#
    );
    Request::post("/v1/chat/completions")
        .header("authorization", "Bearer sk-a")
        .body(Full::new(text))
        .expect("a request")
}

macro_rules! gateway {
    ($upstream:expr, $ledger:expr) => {{
        let keys = Keys::new();
        keys.insert("sk-a", Principal::new("a"));
        let translate = OpenAi::new("http://mock/v1").expect("a URL");
        Gateway::builder(keys)
            .cost(prices(), $ledger.clone())
            .build(Provider::new("mock", $upstream, translate))
    }};
}

/// How a request comes to its end.
#[derive(Clone, Copy, Debug)]
enum End {
    Drop,
    Panic,
    Abort,
    Error,
}

/// Fails at one of the polls of what is asked, counted over its future and its body.
#[derive(Clone)]
struct At {
    left: Arc<AtomicUsize>,
    panics: bool,
}

impl At {
    /// Whether this poll is to fail.
    fn strikes(&self) -> bool {
        let strikes = self.left.fetch_sub(1, Ordering::SeqCst) == 0;
        if strikes && self.panics {
            std::panic::resume_unwind(Box::new("scripted"));
        }
        strikes
    }

    fn client(self, mut upstream: Upstream) -> impl Client {
        service_fn(move |request: Request<Full>| {
            let (at, mut call) = (self.clone(), Box::pin(upstream.call(request)));
            poll_fn(move |cx| {
                if at.strikes() {
                    return Poll::Ready(Err(BoxError::from("reset")));
                }
                let response = ready!(call.as_mut().poll(cx))?;
                let (at, mut over) = (at.clone(), false);
                Poll::Ready(Ok(response.map(|body| {
                    let mut body = Box::pin(body);
                    StreamBody::new(futures_util::stream::poll_fn(move |cx| {
                        if over {
                            return Poll::Ready(None);
                        }
                        if at.strikes() {
                            over = true;
                            return Poll::Ready(Some(Err(BoxError::from("reset"))));
                        }
                        let frame = body.as_mut().poll_frame(cx);
                        frame.map(|it| it.map(|it| it.map_err(Into::into)))
                    }))
                })))
            })
        })
    }
}

/// What a provider asks.
trait Client:
    Service<
        Request<Full>,
        Response = http::Response<Self::Body>,
        Error = BoxError,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
    type Body: Body<Data = Bytes, Error = BoxError> + Send + 'static;
}

impl<S, B> Client for S
where
    S: Service<Request<Full>, Response = http::Response<B>, Error = BoxError>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error = BoxError> + Send + 'static,
{
    type Body = B;
}

/// The request ends in that way at a poll: its own, or one of what it asks. Returns false when it
/// ended by itself before.
async fn end_after(polls: usize, end: End, stream: bool, ledger: &MemoryLedger) -> bool {
    let script = Script::text("one two three four five").with_usage(7, 5, 0);
    let script = script.with_event_delay(std::time::Duration::from_millis(1));
    let at = match end {
        End::Panic | End::Error => polls,
        End::Drop | End::Abort => usize::MAX,
    };
    let at = At {
        left: Arc::new(AtomicUsize::new(at)),
        panics: matches!(end, End::Panic),
    };
    let left = Arc::clone(&at.left);
    let upstream = at.client(Upstream::new().with_model("m", script));
    let gateway = gateway!(upstream, ledger);
    let whole = async move {
        let response = gateway.oneshot(request(stream, true)).await;
        let mut body = response.expect("infallible").into_body();
        while let Some(Ok(_)) = body.frame().await {}
    };
    let mut whole = Box::pin(whole);
    match end {
        End::Drop => {
            for _ in 0..polls {
                if futures_util::poll!(&mut whole).is_ready() {
                    return false;
                }
                tokio::time::advance(std::time::Duration::from_millis(1)).await;
            }
            drop(whole);
            true
        }
        End::Abort => {
            let task = tokio::spawn(whole);
            for _ in 0..polls {
                tokio::task::yield_now().await;
                tokio::time::advance(std::time::Duration::from_millis(1)).await;
            }
            task.abort();
            task.await.is_err()
        }
        End::Panic => AssertUnwindSafe(whole).catch_unwind().await.is_err(),
        End::Error => {
            whole.await;
            // It came to that poll, and wrapped below it.
            left.load(Ordering::SeqCst) > usize::MAX / 2
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_poll_and_every_end_settles_once() {
    // Panics of the scripted kind are expected: their messages would bury a real one.
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = AssertUnwindSafe(async {
        for stream in [false, true] {
            for end in [End::Drop, End::Panic, End::Abort, End::Error] {
                // On past the last: then it has ended by itself before.
                let mut whole = 0;
                for polls in 0.. {
                    let ledger = MemoryLedger::new();
                    ledger.grant("a", usd(10_000_000_000));
                    let ended = end_after(polls, end, stream, &ledger).await;
                    books::settled(&ledger, "a");
                    let entries = ledger.entries("a");
                    let held = entries
                        .iter()
                        .filter(|it| matches!(it.what, What::Held { .. }))
                        .count();
                    let over = entries.iter().filter(|it| {
                        matches!(it.what, What::Settled { .. } | What::Released { .. })
                    });
                    assert_eq!(over.count(), held, "{stream} {end:?} {polls} {ended}");
                    assert!(held <= 1);
                    assert!(polls < 100, "{stream} {end:?}: it never ends by itself");
                    whole += u32::from(!ended);
                    if whole == 3 {
                        // A stream has its head, five words, the finish and the usage at least.
                        let points = polls - 2;
                        let least = if stream { 8 } else { 1 };
                        assert!(points >= least, "{stream} {end:?}: only {points}");
                        break;
                    }
                }
            }
        }
    })
    .catch_unwind()
    .await;
    drop(std::panic::take_hook());
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// Charges against what the mock has counted, over requests of which many fail.
#[tokio::test(start_paused = true)]
async fn the_sum_of_charges_is_the_invoice() {
    let requests = often("LEDGER_REQUESTS", 1_500);
    let price = Price::new("0.15", "0.60").and_then(|it| it.cached_input("0.075"));
    let price = price.expect("decimals");
    let ledger = MemoryLedger::new();
    ledger.grant("a", "1000000".parse().expect("an amount"));
    let upstream = Upstream::new();
    let gateway = gateway!(upstream.clone(), ledger);
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let (mut invoice, mut estimates, mut counted, mut free) = (Amount::ZERO, Amount::ZERO, 0, 0);
    for n in 0..requests {
        let (input, output) = (dice.below(200_000), 1 + dice.below(4_000));
        let cached = dice.below(input + 1);
        let said = Script::text("a few words of text").with_usage(input, output, cached);
        let stream = dice.below(2) == 0;
        let events = usize::try_from(dice.below(6)).expect("small");
        // Whether the mock's count reaches us, nothing comes at all, or it breaks off in between.
        let (script, reaches) = match dice.below(8) {
            0 => (Script::failed(), Some(false)),
            1 => (Script::overloaded(), Some(false)),
            2 => (Script::rate_limited("1"), Some(false)),
            3 => (Script::reset(), Some(false)),
            4 if stream => (said.with_fault(events, Fault::Cut), None),
            5 if stream => (said.with_fault(events, Fault::Error), None),
            _ => (said, Some(true)),
        };
        upstream.queue(script);
        let response = gateway.clone().oneshot(request(stream, true)).await;
        let response = response.expect("infallible");
        let whole = response.extensions().get::<Receipt>().cloned();
        let bill = response.extensions().get::<Bill>().cloned();
        // Some leave in the middle.
        let mut body = response.into_body();
        let leaves = stream && reaches == Some(true) && dice.below(4) == 0;
        let mut frames = 0;
        while let Some(Ok(_)) = body.frame().await {
            frames += 1;
            if leaves && frames == 2 {
                break;
            }
        }
        drop(body);
        let receipt = whole.or_else(|| bill.and_then(|bill| bill.receipt().cloned()));
        match (&receipt, reaches) {
            (Some(receipt), Some(true)) if !receipt.usage.estimated => {
                let mut usage = Usage::new(input, output);
                usage.cached_input = cached;
                assert_eq!(receipt.cost, price.of(&usage), "{n}");
                invoice = invoice.plus(price.of(&usage));
                counted += 1;
            }
            (Some(receipt), _) => {
                // Broken off or left: what was relayed, and said to be an estimate.
                assert_ne!(reaches, Some(false), "{n}: a failure is free");
                estimates = estimates.plus(receipt.cost);
            }
            (None, _) => {
                assert_ne!(reaches, Some(true), "{n}: never free");
                free += 1;
            }
        }
        let end = ledger.statement("a");
        assert_eq!(end.held, Amount::ZERO, "{n}");
        assert_eq!(end.spent, invoice.plus(estimates), "{n}: to the picodollar");
    }
    books::settled(&ledger, "a");
    assert_eq!(ledger.statement("a").overrun, Amount::ZERO);
    println!(
        "{requests} requests: {counted} by the invoice ({invoice}), {free} free, estimates of {estimates}"
    );
    assert!(counted > requests / 4 && free > requests / 4);
}

#[test]
fn a_panic_while_held_releases() {
    let ledger = MemoryLedger::new();
    ledger.grant("a", usd(10));
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let hold = ledger.hold("a", usd(5).into()).now_or_never();
        let _hold = hold.expect("ready").expect("enough");
        std::panic::resume_unwind(Box::new("scripted"));
    }));
    assert!(caught.is_err());
    books::settled(&ledger, "a");
}
