mod panics;
mod seats;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::{
    CacheLayer,
    store::{Kept, Key, Store},
};
use crate::{
    body::{BoxError, Full},
    error::{Error, Kind},
    ext::{Cached, Principal},
    meter::{Outcome, Tally},
    wire::Usage,
};

/// A body fed by the test; it counts how many are open.
struct Fed(
    mpsc::UnboundedReceiver<Result<Bytes, BoxError>>,
    Arc<AtomicU32>,
);

impl Body for Fed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0
            .poll_recv(cx)
            .map(|got| got.map(|got| got.map(Frame::data)))
    }
}

impl Drop for Fed {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

type Feed = mpsc::UnboundedSender<Result<Bytes, BoxError>>;

#[derive(Clone, Default)]
struct Upstream {
    calls: Arc<AtomicU32>,
    open: Arc<AtomicU32>,
    feeds: Arc<Mutex<Vec<Feed>>>,
    status: Option<u16>,
}

impl Upstream {
    fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// Sends to the upstream answer of this number; `None` ends it.
    fn say(&self, nth: usize, text: impl Into<Option<&'static str>>) {
        let mut feeds = self.feeds.lock().expect("sound");
        match text.into() {
            Some(text) => feeds[nth].send(Ok(text.into())).expect("open"),
            None => feeds[nth] = mpsc::unbounded_channel().0,
        }
    }

    fn layered(
        &self,
        layer: &CacheLayer,
    ) -> impl tower::Service<
        Request<Full>,
        Response = Response<impl Body<Data = Bytes, Error = BoxError> + use<>>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + use<> {
        let this = self.clone();
        layer.layer(service_fn(
            move |request: Request<crate::parse::ChatBody>| {
                let this = this.clone();
                async move {
                    this.calls.fetch_add(1, Ordering::Relaxed);
                    this.open.fetch_add(1, Ordering::Relaxed);
                    let (feed, fed) = mpsc::unbounded_channel();
                    this.feeds.lock().expect("sound").push(feed);
                    tokio::task::yield_now().await;
                    let kind = match request.body().chat().stream() {
                        true => "text/event-stream",
                        false => "application/json",
                    };
                    let response = Response::builder()
                        .status(this.status.unwrap_or(200))
                        .header("content-type", kind)
                        .header("set-cookie", "a=b")
                        .extension(Tally::new());
                    Ok::<_, Infallible>(response.body(Fed(fed, this.open.clone())).expect("valid"))
                }
            },
        ))
    }
}

fn ask(stream: bool, who: &'static str) -> Request<Full> {
    let body = format!(r#"{{"model":"m","messages":[],"stream":{stream}}}"#);
    let request = Request::post("/").header("content-type", "application/json");
    let request = request.extension(Principal::new(who));
    request.body(Full::new(body)).expect("valid")
}

async fn read<B: Body<Data = Bytes, Error = BoxError>>(response: Response<B>) -> String {
    let bytes = response.into_body().collect().await.expect("whole");
    String::from_utf8(bytes.to_bytes().to_vec()).expect("UTF-8")
}

fn how<B>(response: &Response<B>) -> &str {
    response.headers()["x-cache"].to_str().expect("text")
}

const EVENT: &str = "data: {\"choices\":[]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[tokio::test(start_paused = true)]
async fn a_kept_answer_is_given_again_to_the_same_caller_for_a_time() {
    let upstream = Upstream::default();
    let layer = CacheLayer::new(Duration::from_secs(60));
    let service = upstream.layered(&layer);
    for (stream, says) in [
        (false, &["{}"][..]),
        (true, &[EVENT, "data: [DO", "NE]\n\n"]),
    ] {
        let before = upstream.calls();
        let first = service.clone().oneshot(ask(stream, "a")).await.expect("ok");
        assert_eq!(how(&first), "miss");
        assert!(first.extensions().get::<Cached>().is_none());
        says.iter()
            .for_each(|text| upstream.say(before as usize, *text));
        upstream.say(before as usize, None);
        assert_eq!(read(first).await, says.concat());
        tokio::time::advance(Duration::from_secs(59)).await;
        let hit = service.clone().oneshot(ask(stream, "a")).await.expect("ok");
        assert_eq!(
            (how(&hit), hit.headers()["age"].as_bytes()),
            ("hit", &b"59"[..])
        );
        assert!(hit.extensions().get::<Cached>().is_some());
        assert!(!hit.headers().contains_key("set-cookie"));
        assert_eq!(read(hit).await, says.concat());
        assert_eq!(upstream.calls(), before + 1);
        // Another caller, another spelling, and the time: each is asked for anew.
        let other = service.clone().oneshot(ask(stream, "b")).await.expect("ok");
        assert_eq!(how(&other), "miss");
        tokio::time::advance(Duration::from_secs(1)).await;
        let late = service.clone().oneshot(ask(stream, "a")).await.expect("ok");
        assert_eq!(how(&late), "miss");
    }
    assert_eq!(upstream.open(), 0, "an answer that nobody reads is dropped");
}

/// What the first has noted of its reading is its own, whoever comes in its place.
#[tokio::test(start_paused = true)]
async fn who_comes_when_the_first_has_left_has_a_tally_of_its_own() {
    let upstream = Upstream::default();
    let layer = CacheLayer::new(Duration::ZERO);
    let service = upstream.layered(&layer);
    let come = async || service.clone().oneshot(ask(true, "a")).await.expect("ok");
    let tally = |response: &Response<_>| response.extensions().get::<Tally>().cloned();
    let first = come().await;
    let second = come().await;
    let noted = tally(&first).expect("the upstream's");
    noted.end(Outcome::Failed(Error::new(
        Kind::UpstreamTimeout,
        "no time",
    )));
    drop(first);
    let third = come().await;
    for (response, how_it_came) in [(second, "shared"), (third, "shared")] {
        assert_eq!(how(&response), how_it_came);
        let own = tally(&response).expect("one");
        assert!(own.outcome().is_none());
        assert!(own.claim(), "who reads it is further out");
    }
    assert_eq!(upstream.calls(), 1);
}

/// Some providers count the prompt at the beginning, and go on with it in their own tally. A stream that is made of
/// a whole answer has all its counts by then.
#[tokio::test(start_paused = true)]
async fn who_joins_a_stream_is_not_counted_as_at_its_head() {
    let at_its_head = Usage::new(11, 1);
    for whole in [false, true] {
        let layer = CacheLayer::new(Duration::ZERO);
        let service = layer.layer(service_fn(
            move |_: Request<crate::parse::ChatBody>| async move {
                let tally = Tally::new();
                tally.record_usage(at_its_head);
                if whole {
                    tally.end(Outcome::Complete);
                }
                let response = Response::builder().header("content-type", "text/event-stream");
                let response = response.extension(tally);
                Ok::<_, Infallible>(response.body(Full::new("data: [DONE]\n\n")).expect("valid"))
            },
        ));
        let come = async || service.clone().oneshot(ask(true, "a")).await.expect("ok");
        let (_first, second) = (come().await, come().await);
        assert_eq!(how(&second), "shared");
        let own = second.extensions().get::<Tally>().expect("one");
        assert_eq!(own.usage(), whole.then_some(at_its_head));
        assert_eq!(own.claim(), !whole, "who reads it is further out");
    }
}

#[tokio::test(start_paused = true)]
async fn many_at_once_ask_once() {
    let upstream = Upstream::default();
    let layer = CacheLayer::new(Duration::ZERO);
    let service = upstream.layered(&layer);
    let mut readers = Vec::new();
    for _ in 0..100 {
        let call = service.clone().oneshot(ask(true, "a"));
        readers.push(tokio::spawn(async move {
            let response = call.await.expect("ok");
            (how(&response).to_owned(), read(response).await)
        }));
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(upstream.calls(), 1);
    upstream.say(0, EVENT);
    tokio::time::sleep(Duration::from_millis(1)).await;
    // The first to come leaves, and the others go on.
    readers.remove(0).abort();
    tokio::time::sleep(Duration::from_millis(1)).await;
    upstream.say(0, DONE);
    upstream.say(0, None);
    for reader in readers {
        let (how, text) = reader.await.expect("no panic");
        assert_eq!((how.as_str(), text), ("shared", format!("{EVENT}{DONE}")));
    }
    assert_eq!((upstream.calls(), upstream.open()), (1, 0));
    // Nothing is kept for no time at all.
    let again = service.oneshot(ask(true, "a")).await.expect("ok");
    assert_eq!(how(&again), "miss");
}

#[tokio::test(start_paused = true)]
async fn the_last_to_leave_drops_the_upstream() {
    let upstream = Upstream::default();
    let layer = CacheLayer::new(Duration::from_secs(60));
    let service = upstream.layered(&layer);
    let first = service.clone().oneshot(ask(true, "a")).await.expect("ok");
    let second = service.clone().oneshot(ask(true, "a")).await.expect("ok");
    assert_eq!((how(&second), upstream.open()), ("shared", 1));
    drop(first);
    assert_eq!(upstream.open(), 1);
    drop(second);
    assert_eq!(upstream.open(), 0);
    // Also before the head.
    let call = service.clone().oneshot(ask(true, "a"));
    drop(tokio::time::timeout(Duration::ZERO, call).await);
    let third = service.oneshot(ask(true, "a")).await.expect("ok");
    assert_eq!(how(&third), "miss");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_whole_or_no_success_is_not_kept() {
    for (stream, says, status) in [
        (true, &[EVENT][..], None),
        (true, &[DONE, EVENT], None),
        (false, &["{\"error\":1}"], Some(503)),
    ] {
        let upstream = Upstream {
            status,
            ..Upstream::default()
        };
        let layer = CacheLayer::new(Duration::from_secs(60));
        let service = upstream.layered(&layer);
        for nth in 0..2 {
            let response = service.clone().oneshot(ask(stream, "a")).await.expect("ok");
            assert_eq!(how(&response), "miss");
            says.iter().for_each(|text| upstream.say(nth, *text));
            upstream.say(nth, None);
            assert_eq!(read(response).await, says.concat());
        }
    }
    // A body that breaks breaks for all.
    let upstream = Upstream::default();
    let layer = CacheLayer::new(Duration::from_secs(60));
    let service = upstream.layered(&layer);
    let first = service.clone().oneshot(ask(true, "a")).await.expect("ok");
    let second = service.clone().oneshot(ask(true, "a")).await.expect("ok");
    upstream.say(0, DONE);
    upstream.feeds.lock().expect("sound")[0]
        .send(Err("reset".into()))
        .expect("open");
    for response in [first, second] {
        let error = response.into_body().collect().await.expect_err("broken");
        assert_eq!(error.to_string(), "reset");
    }
    let third = service.oneshot(ask(true, "a")).await.expect("ok");
    assert_eq!(how(&third), "miss");
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_is_not_kept_and_a_slow_reader_is_cut_off() {
    let upstream = Upstream::default();
    let layer = CacheLayer::new(Duration::from_secs(60)).max_answer_bytes(64);
    let service = upstream.layered(&layer);
    let fast = service.clone().oneshot(ask(true, "a")).await.expect("ok");
    let slow = service.clone().oneshot(ask(true, "a")).await.expect("ok");
    for _ in 0..20 {
        upstream.say(0, EVENT);
    }
    upstream.say(0, DONE);
    upstream.say(0, None);
    assert_eq!(read(fast).await, format!("{}{DONE}", EVENT.repeat(20)));
    let error = slow.into_body().collect().await.expect_err("cut off");
    assert!(error.to_string().contains("behind"), "{error}");
    let again = service.oneshot(ask(true, "a")).await.expect("ok");
    assert_eq!(how(&again), "miss");
}

#[tokio::test(start_paused = true)]
async fn the_client_may_ask_for_a_new_answer() {
    let upstream = Upstream::default();
    let layer = CacheLayer::new(Duration::from_secs(60));
    let service = upstream.layered(&layer);
    let with = |value: &'static str| {
        let mut request = ask(false, "a");
        let value = http::HeaderValue::from_static(value);
        request.headers_mut().insert("cache-control", value);
        request
    };
    let feed = |nth, text| {
        upstream.say(nth, text);
        upstream.say(nth, None);
    };
    let unkept = service
        .clone()
        .oneshot(with("max-age=0, no-store"))
        .await
        .expect("ok");
    assert!(!unkept.headers().contains_key("x-cache"));
    feed(0, "{0}");
    assert_eq!(read(unkept).await, "{0}");
    for (nth, request, text) in [(1, ask(false, "a"), "{1}"), (2, with("No-Cache"), "{2}")] {
        let new = service.clone().oneshot(request).await.expect("ok");
        assert_eq!(how(&new), "miss");
        feed(nth, text);
        assert_eq!(read(new).await, text);
    }
    let hit = service.oneshot(ask(false, "a")).await.expect("ok");
    assert_eq!(read(hit).await, "{2}");
}

#[tokio::test(start_paused = true)]
async fn the_store_is_bounded_by_size_and_age() {
    let now = tokio::time::Instant::now().into_std();
    let mut store = Store::new(4_000, Duration::from_secs(10));
    let random = std::hash::RandomState::new();
    let key = |name: &'static str| Key::new(&random, None, Bytes::from_static(name.as_bytes()));
    let kept = |size: usize, after: u64| Kept {
        status: http::StatusCode::OK,
        headers: http::HeaderMap::new(),
        extensions: http::Extensions::new(),
        body: vec![0; size].into(),
        since: now + Duration::from_secs(after),
    };
    for name in ["a", "b", "c", "d"] {
        store.keep(key(name), kept(1_000, 0));
    }
    assert!(store.bytes() <= 4_000);
    assert_eq!(store.len(), (2, 2));
    assert!(store.find(&key("b"), now).is_none() && store.find(&key("d"), now).is_some());
    store.keep(key("e"), kept(9_000, 0));
    assert!(
        store.find(&key("e"), now).is_none(),
        "larger than all there is"
    );
    // The same again and again takes the place of one.
    for _ in 0..100 {
        store.keep(key("c"), kept(100, 1));
    }
    assert!(
        store.len().0 == 2 && store.len().1 <= 21,
        "{:?}",
        store.len()
    );
    store.keep(key("f"), kept(10, 12));
    assert_eq!(
        store.len(),
        (1, 1),
        "what is too old goes with the next that comes"
    );
    assert_eq!(store.bytes(), 512 + 1 + 10);
}
