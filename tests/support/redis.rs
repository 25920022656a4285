//! A private `redis-server` on a loopback port of its own.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

#[allow(clippy::duplicate_mod, reason = "a test may have both servers")]
#[path = "certificates.rs"]
pub mod certificates;

/// Whether there is no such program, so that its tests are left out. `scripts/test` installs it, and
/// sets `SERVERS`: then none is.
pub fn missing() -> bool {
    let found = Command::new("redis-server").arg("--version").output();
    let missing = found.is_err();
    assert!(
        !missing || std::env::var_os("SERVERS").is_none(),
        "no redis-server"
    );
    if missing {
        eprintln!("left out: there is no redis-server");
    }
    missing
}

pub struct Server {
    child: Child,
    port: u16,
    /// Where it is reached by TLS, and its certificates.
    tls: Option<(u16, tempfile::TempDir)>,
}

impl Server {
    pub fn start() -> Self {
        Self::start_as(Self::on)
    }

    /// One that can be reached by TLS as well, at 127.0.0.1 and by no other name.
    pub fn start_with_tls() -> Self {
        Self::start_as(|port| {
            let directory = tempfile::tempdir().expect("a directory");
            certificates::make(directory.path());
            Self::begin(port, Some((free_port(), directory)))
        })
    }

    fn start_as(on: impl Fn(u16) -> Option<Self>) -> Self {
        // A port may be taken by another between our look and the server's start: then try the next.
        for _ in 0..10 {
            if let Some(server) = on(free_port()) {
                return server;
            }
        }
        panic!("no redis-server could be started: is the Debian package installed?");
    }

    /// Starts one on this port, if that is free.
    pub fn on(port: u16) -> Option<Self> {
        Self::begin(port, None)
    }

    fn begin(port: u16, tls: Option<(u16, tempfile::TempDir)>) -> Option<Self> {
        let mut command = Command::new("redis-server");
        if let Some((port, directory)) = &tls {
            command.args(["--tls-port", &port.to_string(), "--tls-auth-clients", "no"]);
            for (setting, file) in [
                ("--tls-cert-file", "server.pem"),
                ("--tls-key-file", "server.key"),
                ("--tls-ca-cert-file", "root.pem"),
            ] {
                command.arg(setting).arg(directory.path().join(file));
            }
        }
        let child = command
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &port.to_string(), "--dir", "/tmp"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let mut server = Self { child, port, tls };
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(20) {
            if server.child.try_wait().expect("our child").is_some() {
                return None;
            }
            if server.command("PING").as_deref() == Some("+PONG\r\n") {
                return Some(server);
            }
            std::thread::yield_now();
        }
        None
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Where it is reached by TLS, and the certificate that proves its name.
    pub fn tls(&self) -> (String, Vec<u8>) {
        let (port, directory) = self.tls.as_ref().expect("it was started with TLS");
        let root = std::fs::read(directory.path().join("root.pem")).expect("it was made");
        (format!("rediss://127.0.0.1:{port}"), root)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends an inline command; what comes back in one read.
    pub fn command(&self, line: &str) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(format!("{line}\r\n").as_bytes()).ok()?;
        let mut bytes = vec![0; 65_536];
        let count = stream.read(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
    }

    /// Stops it in the middle of whatever it does.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill").success());
    }

    pub fn kill(mut self) -> u16 {
        self.end();
        self.port
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    free.local_addr().expect("bound").port()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
