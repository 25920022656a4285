//! A private `redis-server` on a loopback port of its own.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

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
}

impl Server {
    pub fn start() -> Self {
        // A port may be taken by another between our look and the server's start: then try the next.
        for _ in 0..10 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let port = free.local_addr().expect("bound").port();
            drop(free);
            if let Some(server) = Self::on(port) {
                return server;
            }
        }
        panic!("no redis-server could be started: is the Debian package installed?");
    }

    /// Starts one on this port, if that is free.
    pub fn on(port: u16) -> Option<Self> {
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &port.to_string(), "--dir", "/tmp"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let mut server = Self { child, port };
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

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
