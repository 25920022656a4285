use std::convert::Infallible;

use http_body::Frame;
use tokio::sync::mpsc;

use super::*;

/// Gives what it is sent, and ends when nobody sends any more.
struct Sent(mpsc::UnboundedReceiver<Bytes>);

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(cx)
            .map(|frame| frame.map(|data| Ok(Frame::data(data))))
    }
}

/// A body that is waited for, and what sends it.
fn one(ends: &Ends<Sent>) -> mpsc::UnboundedSender<Bytes> {
    let (sender, receiver) = mpsc::unbounded_channel();
    ends.wait(Sent(receiver));
    sender
}

fn open(ends: &Ends<Sent>) -> usize {
    ends.kept().open.len()
}

#[tokio::test(start_paused = true)]
async fn those_that_end_go_when_others_come() {
    let ends = Ends::default();
    let stays = one(&ends);
    for _ in 0..100 {
        drop(one(&ends));
    }
    assert!(open(&ends) <= 2, "{}", open(&ends));
    assert!(!stays.is_closed());
    let alive = tokio::runtime::Handle::current().metrics();
    assert_eq!(alive.num_alive_tasks(), 1, "one for all");
}

#[tokio::test(start_paused = true)]
async fn the_last_goes_by_itself_and_the_task_with_it() {
    let ends = Ends::default();
    drop(one(&ends));
    assert_eq!(open(&ends), 1);
    sleep(2 * PAUSE).await;
    assert_eq!(open(&ends), 0);
    assert!(!ends.kept().swept);
    drop(one(&ends));
    assert!(ends.kept().swept);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_is_let_go_after_a_second() {
    let ends = Ends::default();
    let begun = tokio::time::Instant::now();
    let silent = one(&ends);
    silent.closed().await;
    assert_eq!(begun.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_is_let_go_before() {
    let ends = Ends::default();
    let begun = tokio::time::Instant::now();
    let talks = one(&ends);
    for _ in 0..=BYTES / 1024 {
        talks.send(vec![b':'; 1024].into()).expect("it is read");
    }
    talks.closed().await;
    assert_eq!(begun.elapsed(), PAUSE);
}

#[test]
fn who_loses_its_runtime_is_looked_after_in_the_next() {
    let ends = Ends::default();
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build()
    };
    let silent = runtime().expect("a runtime").block_on(async { one(&ends) });
    assert!(!silent.is_closed() && !ends.kept().swept);
    runtime().expect("a runtime").block_on(async {
        drop(one(&ends));
        silent.closed().await;
    });
}

/// Says that it is open, and lets something happen when others look at it.
struct Slow(Box<dyn FnMut() + Send>);

impl Body for Slow {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        (self.0)();
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_looked_at_while_the_task_ends_is_not_left_alone() {
    let ends = Ends::default();
    let (dropped, gone) = tokio::sync::oneshot::channel::<()>();
    let (mut nth, of) = (0, ends.clone());
    ends.wait(Slow(Box::new(move || {
        let _held_by_the_body = &dropped;
        nth += 1;
        if nth == 2 {
            // Meanwhile the task has found that nothing is left.
            let mut kept = of.kept();
            kept.open.clear();
            kept.swept = false;
        }
    })));
    ends.wait(Slow(Box::new(|| {})));
    assert!(ends.kept().swept);
    drop(gone.await);
    assert!(ends.kept().open.is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_more_are_kept_than_there_is_room_for() {
    let ends = Ends::default();
    let silent: Vec<_> = (0..MOST + 100).map(|_| one(&ends)).collect();
    assert_eq!(open(&ends), MOST);
    let let_go = silent.iter().filter(|one| one.is_closed()).count();
    assert_eq!(let_go, 100);
    assert!(!silent.last().expect("many").is_closed(), "not the last");
}

#[test]
fn without_a_runtime_nothing_is_kept() {
    let ends = Ends::default();
    assert!(one(&ends).is_closed());
    assert_eq!(open(&ends), 0);
}

/// The end of one stream over HTTP/2 comes by itself: it gives its place back without a look at it. That of the
/// other never comes: it is reset after a second, and the connection stays.
#[tokio::test(start_paused = true)]
async fn streams_of_http2_leave_their_places() {
    use http::Request;
    use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

    let (client, server) = tokio::io::duplex(64 * 1024);
    let (asked, mut was_asked) = mpsc::unbounded_channel();
    let service = hyper::service::service_fn(move |_: Request<Incoming>| {
        let (sender, receiver) = mpsc::unbounded_channel();
        sender.send("last".into()).expect("it is read");
        asked.send(sender).expect("it is waited for");
        async { Ok::<_, Infallible>(http::Response::new(Sent(receiver))) }
    });
    let mut serves = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    serves.timer(TokioTimer::new()).max_concurrent_streams(1);
    tokio::spawn(serves.serve_connection(TokioIo::new(server), service));
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let connected = builder.handshake(TokioIo::new(client)).await;
    let (mut client, connection) = connected.expect("a connection");
    tokio::spawn(connection);
    let ends = Ends::default();
    let begun = tokio::time::Instant::now();
    let mut ask = async || {
        let request = Request::get("http://a/").body(crate::body::Full::new(""));
        let answer = client.send_request(request.expect("sound")).await;
        let mut body = answer.expect("an answer").into_body();
        std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx))
            .await
            .expect("a frame")
            .expect("data");
        ends.wait(body);
        was_asked.recv().await.expect("asked")
    };
    // The second waits for the place of the first, whose body is kept.
    let first = ask().await;
    drop(first);
    let second = ask().await;
    assert!(begun.elapsed() < PAUSE, "{:?}", begun.elapsed());
    assert_eq!(ends.kept().open.len(), 1);
    // The third for that of the second, which does not end.
    let _third = ask().await;
    let waited = begun.elapsed();
    assert!(waited >= 3 * PAUSE && waited < 5 * PAUSE, "{waited:?}");
    assert!(second.is_closed());
}
