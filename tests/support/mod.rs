//! Runs the example gateway as a process and asks it as a client would.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::{
    io::{BufRead, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tower_completions::cost::Amount;

/// The example gateway.
pub fn binary() -> PathBuf {
    example("gateway")
}

/// An example as a program. Whoever builds all tests builds it with them; for a test file alone it
/// is built here, when it is missing or older than what it is made of.
fn example(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().expect("this test has a path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path = path.join("examples").join(name);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = [root.join("src"), root.join("examples")].map(newest);
    let built = path.metadata().and_then(|it| it.modified()).ok();
    if built < sources.into_iter().max() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--all-features", "--example", name]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let status = cargo.current_dir(root).status();
        assert!(status.expect("cargo runs").success(), "the example builds");
    }
    path
}

fn newest(folder: PathBuf) -> SystemTime {
    let entries = std::fs::read_dir(folder).expect("readable");
    let times = entries.map(|entry| {
        let entry = entry.expect("an entry");
        if entry.path().is_dir() {
            newest(entry.path())
        } else {
            let about = entry.metadata().and_then(|it| it.modified());
            about.expect("a time")
        }
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A gateway on a free port, ended with its handle.
pub struct Gateway {
    child: Child,
    pub addr: String,
    log: Arc<Mutex<String>>,
    _config: tempfile::NamedTempFile,
}

impl Gateway {
    /// Starts it with this configuration and waits until it listens.
    pub fn start(config: &str) -> Self {
        Self::start_with(config, &[])
    }

    /// The same, with variables in its environment.
    pub fn start_with(config: &str, env: &[(&str, &str)]) -> Self {
        Self::run(config, env, &[])
    }

    /// The same, with more arguments.
    pub fn run(config: &str, env: &[(&str, &str)], args: &[&str]) -> Self {
        let mut gateway = Self::run_unread(config, env, args);
        let errors = BufReader::new(gateway.child.stderr.take().expect("piped"));
        let kept = Arc::clone(&gateway.log);
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                let mut kept = kept.lock().expect("not poisoned");
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        gateway
    }

    /// The same, with a log that nobody reads.
    pub fn run_unread(config: &str, env: &[(&str, &str)], args: &[&str]) -> Self {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(config.as_bytes()).expect("written");
        let mut child = Command::new(binary())
            .arg("--config")
            .arg(file.path())
            .args(["--listen", "127.0.0.1:0"])
            .args(args)
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the example gateway is built with the tests");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("a line");
        let addr = line
            .trim()
            .strip_prefix("listening on http://")
            .unwrap_or_else(|| {
                let mut log = String::new();
                let errors = child
                    .stderr
                    .take()
                    .map(|mut errors| errors.read_to_string(&mut log));
                panic!("it says {line:?}: {errors:?} {log}")
            })
            .to_owned();
        Self {
            child,
            addr,
            log: Arc::default(),
            _config: file,
        }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("not poisoned").clone()
    }

    /// What it has logged, once that has this in it.
    pub async fn says(&self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let log = self.log();
            if log.contains(text) {
                return log;
            }
            assert!(begun.elapsed().as_secs() < 20, "never {text:?}: {log}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status();
        assert!(status.expect("kill runs").success());
    }

    /// Its exit code, once it has ended.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().expect("waited for").code()
    }

    /// A connection of its own.
    pub async fn connect(&self) -> Client {
        Client::connect(&self.addr).await
    }

    pub async fn post(&self, key: &str, body: &str) -> Answer {
        self.connect().await.with_key(key).post(body).await
    }

    pub async fn get(&self, key: &str, path: &str) -> Answer {
        self.connect().await.with_key(key).get(path).await
    }

    /// Waits until nothing is held for a key; granted = available + spent then. What was spent.
    pub async fn settled(&self, key: &str, granted: &str) -> Amount {
        let begun = Instant::now();
        loop {
            let standing = self.get(key, "/v1/key").await.json()["data"].clone();
            let amount = |name: &str| -> Amount {
                let text = standing[name].as_str();
                text.and_then(|it| it.parse().ok())
                    .unwrap_or_else(|| panic!("{standing}"))
            };
            let (held, spent) = (amount("held"), amount("spent"));
            let all = amount("balance").plus(held).plus(spent);
            assert_eq!(Ok(all), granted.parse(), "{standing}");
            if held == Amount::ZERO {
                return spent;
            }
            assert!(begun.elapsed().as_secs() < 20, "still held: {standing}");
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One of the small examples on a free port, ended with its handle.
pub struct Program {
    child: Child,
    addr: String,
}

impl Program {
    /// Starts it and waits until it listens.
    pub fn start(name: &str) -> Self {
        let mut child = Command::new(example(name))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the examples are built with the tests");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("a line");
        let addr = line.trim().strip_prefix("listening on http://");
        let addr = addr.expect("its address").to_owned();
        Self { child, addr }
    }

    /// A connection of its own.
    pub async fn connect(&self) -> Client {
        Client::connect(&self.addr).await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Client {
    send: SendRequest<Full<Bytes>>,
    key: Option<String>,
}

/// An answer read to its end; a body that broke off has what came before.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
    pub whole: bool,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    /// The payloads of a stream of events.
    pub fn events(&self) -> Vec<String> {
        self.body
            .split("\n\n")
            .filter_map(|event| event.strip_prefix("data: ").map(str::to_owned))
            .collect()
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("text"))
    }
}

impl Client {
    async fn connect(addr: &str) -> Self {
        let stream = TcpStream::connect(addr).await.expect("it listens");
        stream.set_nodelay(true).expect("set");
        let (send, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .expect("a handshake");
        tokio::spawn(connection);
        Self {
            send,
            key: Some("sk-demo".to_owned()),
        }
    }

    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned()).filter(|key| !key.is_empty());
        self
    }

    pub async fn open(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> http::Response<hyper::body::Incoming> {
        tokio::time::timeout(Duration::from_secs(30), self.send.send_request(request))
            .await
            .expect("an answer in time")
            .expect("an answer")
    }

    /// Asks for a completion, and reads the first piece of its stream.
    pub async fn begin(&mut self, body: &str) -> http::Response<hyper::body::Incoming> {
        let request = self.request(Method::POST, "/v1/chat/completions", body);
        let mut response = self.open(request).await;
        assert_eq!(response.status(), 200);
        let frame = response.body_mut().frame().await.expect("an event");
        frame.expect("a frame");
        response
    }

    pub fn request(&self, method: Method, path: &str, body: &str) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "gateway");
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        request
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .expect("a request")
    }

    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Answer {
        let response = self.open(request).await;
        let (head, mut body) = response.into_parts();
        let (mut text, mut whole) = (Vec::new(), true);
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => text.extend(frame.into_data().unwrap_or_default()),
                Err(_) => {
                    whole = false;
                    break;
                }
            }
        }
        let body = String::from_utf8(text).expect("UTF-8");
        Answer {
            status: head.status,
            headers: head.headers,
            body,
            whole,
        }
    }

    pub async fn post(&mut self, body: &str) -> Answer {
        let request = self.request(Method::POST, "/v1/chat/completions", body);
        self.send(request).await
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        let request = self.request(Method::GET, path, "");
        self.send(request).await
    }
}
