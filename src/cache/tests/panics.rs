//! Code inside that panics: one reader's call or poll is it that does, and all the others have an error.

use super::*;

/// Pending until the test says go, then a panic; after that nothing ever wakes whoever asks again.
struct Trap {
    go: tokio::sync::oneshot::Receiver<()>,
    over: bool,
}

impl Trap {
    fn poll<V>(&mut self, cx: &mut Context<'_>) -> Poll<V> {
        if !self.over && Pin::new(&mut self.go).poll(cx).is_ready() {
            self.over = true;
            panic!("the code inside panics");
        }
        Poll::Pending
    }
}

struct Call {
    head: Option<Trap>,
    body: Option<Trap>,
}

impl Future for Call {
    type Output = Result<Response<TrapBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(trap) = &mut self.head {
            return trap.poll(cx);
        }
        let body = TrapBody(Some(EVENT), self.body.take().expect("one of both"));
        let response = Response::builder().header("content-type", "text/event-stream");
        Poll::Ready(Ok(response.body(body).expect("valid")))
    }
}

struct TrapBody(Option<&'static str>, Trap);

impl Body for TrapBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.0.take() {
            Some(text) => Poll::Ready(Some(Ok(Frame::data(text.into())))),
            None => self.1.poll(cx),
        }
    }
}

/// What each of three readers of one answer got: none where its task panicked.
async fn three(in_head: bool) -> (Vec<Option<(u16, Result<String, String>)>>, u32) {
    let (go, trap) = tokio::sync::oneshot::channel();
    let trap = Arc::new(Mutex::new(Some(Trap {
        go: trap,
        over: false,
    })));
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let inner = service_fn(move |_: Request<crate::parse::ChatBody>| {
        count.fetch_add(1, Ordering::Relaxed);
        let trap = trap.lock().expect("sound").take();
        match in_head {
            true => Call {
                head: trap,
                body: None,
            },
            false => Call {
                head: None,
                body: trap,
            },
        }
    });
    let service = CacheLayer::new(Duration::from_secs(60)).layer(inner);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let call = service.clone().oneshot(ask(true, "a"));
            tokio::spawn(async move {
                let response = call.await.expect("infallible");
                let status = response.status().as_u16();
                let body = response.into_body().collect().await;
                let text =
                    body.map(|body| String::from_utf8(body.to_bytes().to_vec()).expect("UTF-8"));
                (status, text.map_err(|error| error.to_string()))
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    go.send(()).expect("waited for");
    let mut got = Vec::new();
    for reader in readers {
        let ended = tokio::time::timeout(Duration::from_secs(1), reader).await;
        got.push(ended.expect("none hangs").ok());
    }
    (got, calls.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_the_head_is_a_refusal_for_all_others() {
    let (got, calls) = three(true).await;
    assert_eq!(calls, 1);
    assert_eq!(got.iter().filter(|one| one.is_none()).count(), 1);
    for (status, text) in got.into_iter().flatten() {
        assert_eq!(status, 500);
        assert!(text.expect("whole").contains("internal_error"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_body_breaks_it_off_for_all_others() {
    let (got, calls) = three(false).await;
    assert_eq!(calls, 1);
    assert_eq!(got.iter().filter(|one| one.is_none()).count(), 1);
    for (status, text) in got.into_iter().flatten() {
        assert_eq!(
            (status, text),
            (200, Err("the answer broke off".to_owned()))
        );
    }
}

/// Asks the same cache within its call, the same again and another, and then panics.
#[derive(Clone)]
struct Reentrant {
    cache: Arc<Mutex<Option<Cache>>>,
    met: tokio::sync::mpsc::UnboundedSender<Answer>,
}

type Cache = crate::parse::Parse<super::super::Cache<Reentrant>>;
type Answer = <Cache as tower::Service<Request<Full>>>::Future;

impl tower::Service<Request<crate::parse::ChatBody>> for Reentrant {
    type Response = Response<Full>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Full>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<crate::parse::ChatBody>) -> Self::Future {
        let cache = self.cache.lock().expect("sound").take();
        if let Some(mut cache) = cache {
            let again = tower::Service::call(&mut cache, ask(false, "a"));
            let other = tower::Service::call(&mut cache, ask(false, "b"));
            self.met.send(again).expect("open");
            self.met.send(other).expect("open");
            panic!("the code inside panics");
        }
        std::future::ready(Ok(Response::new(Full::new("{}"))))
    }
}

#[test]
fn no_lock_is_held_while_the_service_inside_is_called() {
    let (told, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (met, mut answers) = tokio::sync::mpsc::unbounded_channel();
        let place = Arc::default();
        let cache = Arc::clone(&place);
        let mut service = CacheLayer::new(Duration::from_secs(60)).layer(Reentrant { cache, met });
        *place.lock().expect("sound") = Some(service.clone());
        let call = std::panic::AssertUnwindSafe(|| {
            drop(tower::Service::call(&mut service, ask(false, "a")));
        });
        assert!(std::panic::catch_unwind(call).is_err());
        for status in [500, 200] {
            let waker = std::task::Waker::noop();
            let mut answer = Box::pin(answers.try_recv().expect("asked"));
            match answer.as_mut().poll(&mut Context::from_waker(waker)) {
                Poll::Ready(Ok(response)) => assert_eq!(response.status(), status),
                _ => panic!("nobody is waited for"),
            }
        }
        told.send(()).expect("waited for");
    });
    ended
        .recv_timeout(Duration::from_secs(20))
        .expect("neither locked for ever nor wrong");
}
