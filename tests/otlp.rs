//! The spans of the example gateway, as a collector gets them.

mod support;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread,
};

use support::Gateway;

const CONFIG: &str = include_str!("fixtures/gateway.toml");

/// Takes what is exported until nobody exports any more, and returns all of it.
fn collect(listener: TcpListener) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        // The end of the program closes its one connection.
        let (mut socket, _) = listener.accept().expect("a connection");
        let mut reader = BufReader::new(socket.try_clone().expect("cloned"));
        loop {
            let (mut line, mut length) = (String::new(), 0);
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return all;
            }
            assert!(line.starts_with("POST /v1/traces "), "{line}");
            while line != "\r\n" {
                line.clear();
                reader.read_line(&mut line).expect("a head");
                let (name, value) = line.split_once(':').unwrap_or_default();
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse().expect("a length");
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            all.append(&mut body);
            socket
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .expect("answered");
        }
    })
}

#[tokio::test]
async fn spans_are_exported_whole_and_say_nothing_private() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let collector = format!("http://{}/", listener.local_addr().expect("bound"));
    let spans = collect(listener);
    let mut gateway = Gateway::run(CONFIG, &[], &["--otlp", &collector]);
    for more in ["", r#""stream":true,"#] {
        let body = format!(
            r#"{{{more}"model":"mock/echo","messages":[{{"role":"user","content":"canary-prompt"}}]}}"#
        );
        let answer = gateway.post("sk-demo", &body).await;
        assert!(answer.body.contains("canary-prompt"), "{}", answer.body);
    }
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    let spans = spans.join().expect("collected");
    let count = |text: &str| memchr::memmem::find_iter(&spans, text).count();
    assert_eq!(count("gen_ai.operation.name"), 2, "a span a request");
    assert!(count("gen_ai.usage.output_tokens") == 2 && count("attempt") >= 2);
    assert!(count("mock/echo") >= 2 && count("tower-completions") >= 1);
    assert_eq!(count("canary-prompt") + count("sk-demo"), 0);
}
