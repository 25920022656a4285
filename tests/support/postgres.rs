//! A private PostgreSQL on a random loopback port, stopped by its id.

#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tower_completions::cost::PostgresOptions;

#[allow(clippy::duplicate_mod, reason = "a test may have both servers")]
#[path = "certificates.rs"]
mod certificates;

pub struct Postgres {
    server: Option<Child>,
    port: u16,
    data: tempfile::TempDir,
    /// Whether it can be reached by TLS as well.
    tls: bool,
}

/// Whether it is not installed, so that its tests are left out. `scripts/test` installs it, and sets
/// `SERVERS`: then none is.
pub fn missing() -> bool {
    let missing = found().is_none();
    assert!(
        !missing || std::env::var_os("SERVERS").is_none(),
        "no PostgreSQL"
    );
    if missing {
        eprintln!("left out: there is no PostgreSQL");
    }
    missing
}

/// Debian keeps the server's programs out of the path, by version.
fn found() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    let mut found: Vec<_> = versions
        .map(|found| {
            found
                .flatten()
                .map(|version| version.path().join("bin"))
                .collect()
        })
        .unwrap_or_default();
    found.sort();
    found.pop()
}

/// The server refuses to run as root: then as its own user, and ended with this process.
fn command(program: &str, data: &Path) -> Command {
    let programs = found().expect("PostgreSQL: `scripts/test` installs it");
    let program = programs.join(program);
    let root = Command::new("id").arg("-u").output().expect("id runs");
    if root.stdout.trim_ascii() != b"0" {
        return Command::new(program);
    }
    let owned = Command::new("chown")
        .arg("-R")
        .arg("postgres")
        .arg(data)
        .status();
    assert!(owned.expect("chown runs").success());
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .args(["--pdeathsig=KILL", "--"])
        .arg(program);
    command
}

impl Postgres {
    pub async fn start() -> Self {
        Self::begin(false).await
    }

    /// One that can be reached by TLS as well, at 127.0.0.1 and by no other name.
    pub async fn start_with_tls() -> Self {
        Self::begin(true).await
    }

    async fn begin(tls: bool) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let made = command("initdb", data.path())
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=postgres",
                "--pgdata",
            ])
            .arg(data.path().join("data"))
            .current_dir("/")
            .output()
            .expect("initdb runs");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("a free port")
            .port();
        let mut this = Self {
            server: None,
            port,
            data,
            tls,
        };
        if tls {
            certificates::make(this.data.path());
        }
        this.run().await;
        this
    }

    /// Starts the server, again after `stop`, and waits until it answers.
    pub async fn run(&mut self) {
        let mut server = command("postgres", self.data.path());
        if self.tls {
            for (setting, file) in [("cert", "server.pem"), ("key", "server.key")] {
                let file = self.data.path().join(file);
                let setting = format!("ssl_{setting}_file={}", file.display());
                server.args(["-c", "ssl=on", "-c", &setting]);
            }
        }
        let server = server
            .arg("-D")
            .arg(self.data.path().join("data"))
            .args([
                "-p",
                &self.port.to_string(),
                "-c",
                "listen_addresses=127.0.0.1",
            ])
            .args([
                "-c",
                "unix_socket_directories=",
                "-c",
                "fsync=off",
                "-c",
                "max_connections=60",
            ])
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("postgres runs");
        self.server = Some(server);
        let begun = Instant::now();
        while let Err(error) = PostgresOptions::new(self.url()).connect().await {
            assert!(begun.elapsed().as_secs() < 60, "{error:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// A session beside a ledger's, in the clear.
    pub async fn beside(&self) -> tokio_postgres::Client {
        let url = self.url();
        let connecting = tokio_postgres::connect(&url, tokio_postgres::NoTls);
        let (client, connection) = connecting.await.expect("reachable");
        tokio::spawn(connection);
        client
    }

    /// The certificate that proves its name, in PEM.
    pub fn root_certificate(&self) -> Vec<u8> {
        std::fs::read(self.data.path().join("root.pem")).expect("it was made")
    }

    /// Ends the server, its clients' sessions included.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = Command::new("kill")
                .args(["-INT", &server.id().to_string()])
                .status();
            let _ = server.wait();
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}
