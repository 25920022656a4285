use super::*;

#[tokio::test]
async fn sockets_send_without_delay() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let uri = format!("http://{}", listener.local_addr().expect("bound"));
    let mut http = sockets(ClientConfig::default());
    let socket = http.call(uri.parse().expect("a URI")).await;
    let socket = socket.expect("connected").into_inner();
    assert!(socket.nodelay().expect("told"));
}

#[tokio::test]
async fn sockets_alone_carry_nothing_that_wants_tls() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let uri = format!("https://{}", listener.local_addr().expect("bound"));
    let mut http = sockets(ClientConfig::default());
    let refused = http.call(uri.parse().expect("a URI")).await;
    assert!(refused.is_err(), "with TLS it is around them");
    listener.set_nonblocking(true).expect("set");
    let accepted = listener.accept().map(|_| ());
    assert!(accepted.is_err(), "nobody has connected");
}

#[tokio::test]
async fn a_request_waits_until_it_has_a_connection() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let addr = listener.local_addr().expect("bound");
    for (scheme, waits) in [("https", true), ("http", false)] {
        if waits && !cfg!(any(feature = "tls-ring", feature = "tls-aws-lc")) {
            continue;
        }
        let sending = Sending::new();
        let mut request = Request::post(format!("{scheme}://{addr}"));
        let extensions = request.extensions_mut().expect("sound");
        extensions.insert(sending.clone());
        let call = Client::default().call(request.body(Full::new("hi")).expect("a request"));
        assert!(sending.is_waiting(), "{scheme}");
        let call = tokio::spawn(call);
        let (mut socket, _) = listener.accept().await.expect("a connection");
        // The greeting of TLS, which nobody answers, or the request to its end.
        let mut read = Vec::new();
        while read.is_empty() || !(waits || read.ends_with(b"hi")) {
            socket.read_buf(&mut read).await.expect("sent");
        }
        assert_eq!(sending.is_waiting(), waits, "{scheme}");
        if waits {
            call.abort();
            continue;
        }
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        socket.write_all(answer.as_bytes()).await.expect("sent");
        let answer = call.await.expect("no panic").expect("an answer");
        assert_eq!(answer.status(), 200);
    }
}

/// What is told of an upstream that says this to a request, and closes the connection.
async fn told_of(says: &'static [u8]) -> BoxError {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let addr = listener.local_addr().expect("bound");
    let upstream = async {
        let (mut socket, _) = listener.accept().await.expect("a connection");
        let mut read = Vec::new();
        while !read.ends_with(b"hi") {
            socket.read_buf(&mut read).await.expect("sent");
        }
        socket.write_all(says).await.expect("open");
    };
    let request = Request::post(format!("http://{addr}")).body(Full::new("hi"));
    let call = Client::default().call(request.expect("a request"));
    let (answer, ()) = tokio::join!(call, upstream);
    answer.expect_err("no answer")
}

#[tokio::test]
async fn an_upstream_that_breaks_off_was_reached() {
    for says in [
        &b"SSH-2.0-OpenSSH\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
    ] {
        let error = told_of(says).await;
        let said = says.escape_ascii();
        let error = error
            .downcast::<Error>()
            .unwrap_or_else(|error| panic!("{said}: {error}"));
        assert_eq!(error.kind(), Kind::BadUpstream, "{said}");
        assert_eq!(error.code(), Some("bad_upstream_response"), "{said}");
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_was_not_reached() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let uri = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let request = Request::post(uri).body(Full::new("hi")).expect("a request");
    let error = Client::default().call(request).await.expect_err("nobody");
    assert!(
        error.downcast::<Error>().is_err(),
        "it says nothing of its own"
    );
}

#[test]
fn each_thread_may_have_a_pool_of_its_own() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let uri = format!("http://{}", listener.local_addr().expect("bound"));
    let accepted = std::thread::spawn(move || {
        let mut accepted = Vec::new();
        for _ in 0..2 {
            let (mut socket, _) = listener.accept().expect("a connection");
            accepted.push(std::thread::spawn(move || answer_all(&mut socket)));
        }
        accepted
            .into_iter()
            .map(|one| one.join().expect("served"))
            .collect::<Vec<_>>()
    });
    let client = Client::new(ClientConfig {
        pool_per_thread: true,
        ..ClientConfig::default()
    });
    // Both at once, lest one has ended before the other begins and its pool is taken over.
    let both = Arc::new(std::sync::Barrier::new(2));
    let threads = [3, 5].map(|requests| {
        let (mut client, uri, both) = (client.clone(), uri.clone(), Arc::clone(&both));
        std::thread::spawn(move || {
            both.wait();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                for _ in 0..requests {
                    let request = Request::post(&uri)
                        .body(Full::default())
                        .expect("a request");
                    let mut answer = client.call(request).await.expect("answered").into_body();
                    while poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut answer), cx))
                        .await
                        .is_some()
                    {}
                    tokio::task::yield_now().await;
                }
            });
            both.wait();
        })
    });
    for thread in threads {
        thread.join().expect("answered");
    }
    drop(client);
    let mut answered = accepted.join().expect("served");
    answered.sort_unstable();
    assert_eq!(answered, [3, 5]);
}

/// How many requests there were until the connection closed.
fn answer_all(socket: &mut std::net::TcpStream) -> usize {
    use std::io::{Read, Write};
    let (mut said, mut requests) = (Vec::new(), 0);
    let mut read = [0; 1024];
    while let Ok(length @ 1..) = socket.read(&mut read) {
        said.extend_from_slice(&read[..length]);
        while let Some(end) = said.windows(4).position(|four| four == b"\r\n\r\n") {
            said.drain(..end + 4);
            requests += 1;
            socket
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                .expect("sent");
        }
    }
    requests
}

#[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
#[tokio::test]
async fn a_handshake_that_is_not_done_in_time_is_the_connections_time_out() {
    // It takes connections, and never says a word of TLS.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("bound");
    let mut client = Client::new(ClientConfig {
        connect_timeout: Duration::from_millis(100),
        ..ClientConfig::default()
    });
    let request = Request::post(format!("https://{at}")).body(Full::default());
    let asked = client.call(request.expect("a request"));
    let asked = tokio::time::timeout(Duration::from_secs(20), asked).await;
    let error = asked.expect("bounded").expect_err("nobody shakes hands");
    let error = error.downcast::<Error>().expect("ours");
    assert_eq!(error.time_out(), Some(TimeOut::Connect));
    listener.accept().expect("it was connected to");
}

#[tokio::test]
async fn a_connection_that_is_not_made_in_time_is_a_time_out_of_its_own() {
    // A socket whose queue is full answers nobody who asks for one more connection.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let listener = socket.listen(1).expect("listening");
    let at = listener.local_addr().expect("bound");
    let short = Duration::from_millis(100);
    let mut waiting = Vec::new();
    while let Ok(socket) = std::net::TcpStream::connect_timeout(&at, short) {
        waiting.push(socket);
        assert!(waiting.len() < 100, "the queue never fills");
    }
    let mut client = Client::new(ClientConfig {
        connect_timeout: short,
        ..ClientConfig::default()
    });
    let ask = |client: &mut Client, uri: String| {
        client.call(Request::post(uri).body(Full::default()).expect("a request"))
    };
    let error = ask(&mut client, format!("http://{at}"))
        .await
        .expect_err("nobody accepts");
    let error = error.downcast::<Error>().expect("ours");
    assert_eq!(error.time_out(), Some(TimeOut::Connect));
    assert_eq!(error.code(), Some("upstream_timeout"));
    assert!(StdError::source(&*error).is_some(), "for the operator");
    // One that is refused is not late.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = closed.local_addr().expect("bound");
    drop(closed);
    let error = ask(&mut client, format!("http://{at}"))
        .await
        .expect_err("refused");
    assert!(error.downcast::<Error>().is_err());
}
