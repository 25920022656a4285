//! The spans of the example gateway, as a collector gets them.

mod support;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread,
};

use support::Gateway;
use tower_completions::mock::{Seen, Server, Upstream};

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
    assert_eq!(
        count("gen_ai.operation.name"),
        4,
        "a span a request and an attempt"
    );
    assert_eq!(count("chat mock/echo"), 4, "each called by its model");
    assert!(count("gen_ai.usage.output_tokens") == 2);
    assert!(count("mock/echo") >= 2 && count("tower-completions") >= 1);
    assert_eq!(count("canary-prompt") + count("sk-demo"), 0);
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A completion with the client's `traceparent`: what is exported, and what the upstream was told.
async fn traced(routing: &str) -> (Vec<u8>, Vec<(Option<String>, Option<String>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let collector = format!("http://{}/", listener.local_addr().expect("bound"));
    let spans = collect(listener);
    let upstream = Upstream::new();
    let server = Server::start(upstream.clone()).await.expect("a port");
    let config = format!(
        "{CONFIG}\n{routing}\n[[providers]]\nname = \"far\"\nkind = \"openai\"\nbase_url = \"{}\"\n\
         [[models]]\nid = \"far\"\ntargets = [{{ provider = \"far\", model = \"mock/echo\" }}]\n\
         price = {{ input = \"1\", output = \"2\" }}\n",
        server.base_url()
    );
    let mut gateway = Gateway::run(&config, &[], &["--otlp", &collector]);
    let mut client = gateway.connect().await.with_key("sk-demo");
    let body = r#"{"model":"far","messages":[{"role":"user","content":"hi"}]}"#;
    let mut request = client.request(http::Method::POST, "/v1/chat/completions", body);
    for (name, value) in [("traceparent", PARENT), ("tracestate", "a=1")] {
        let value = http::HeaderValue::from_static(value);
        request.headers_mut().insert(name, value);
    }
    let answer = client.send(request).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    drop(client);
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    let header = |seen: &Seen, name: &str| seen.header(name).map(str::to_owned);
    let seen = upstream.log().requests();
    let told = seen.iter();
    let told = told.map(|seen| (header(seen, "traceparent"), header(seen, "tracestate")));
    (spans.join().expect("collected"), told.collect())
}

#[tokio::test]
async fn spans_belong_to_the_trace_of_the_client_and_the_upstream_is_told() {
    let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes();
    let parent = 0xb7ad_6b71_6920_3331_u64.to_be_bytes();
    for routing in ["", "[routing]\ntrace_upstream = false\n"] {
        let (spans, told) = traced(routing).await;
        let count = |bytes: &[u8]| memchr::memmem::find_iter(&spans, bytes).count();
        assert_eq!(count(&trace), 2, "the request and its attempt");
        assert_eq!(count(&parent), 1, "the parent of the request");
        let [(told, state)] = &told[..] else {
            panic!("{told:?}");
        };
        if !routing.is_empty() {
            assert_eq!((told, state), (&None, &None));
            continue;
        }
        let told = told.as_deref().expect("our own");
        assert!(told.starts_with(&PARENT[..36]) && told != PARENT, "{told}");
        let attempt = u64::from_str_radix(&told[36..52], 16).expect("an id");
        assert_eq!(count(&attempt.to_be_bytes()), 1, "the span of the attempt");
        assert_eq!(state.as_deref(), Some("a=1"));
    }
}
