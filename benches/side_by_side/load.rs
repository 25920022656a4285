//! The load: HTTP/1.1 written and read by hand, so that the generator is not what is measured.

use std::{
    net::SocketAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use crate::case::{Kind, WRITTEN, since_1970};

/// What a run of load has seen, times in microseconds and sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) whole: Vec<u32>,
    pub(crate) first: Vec<u32>,
    pub(crate) failed: usize,
    pub(crate) seconds: f64,
}

impl Seen {
    pub(crate) fn rate(&self) -> f64 {
        self.whole.len() as f64 / self.seconds
    }
}

pub(crate) fn quantile(sorted: &[u32], q: f64) -> f64 {
    let at = (sorted.len() as f64 * q) as usize;
    f64::from(
        sorted
            .get(at.min(sorted.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0),
    )
}

/// A connection that asks one thing again and again.
pub(crate) struct Asker {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Asker {
    pub(crate) async fn connect(addr: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(128 << 10),
        })
    }

    /// Sends a request and reads to the first byte of content; gives the length of the head.
    async fn begin(&mut self, request: &[u8]) -> std::io::Result<usize> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = at + 4;
                if !self.buffer.starts_with(b"HTTP/1.1 200") {
                    let text = String::from_utf8_lossy(&self.buffer);
                    return Err(std::io::Error::other(text.into_owned()));
                }
                if self.buffer.len() > head {
                    return Ok(head);
                }
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> std::io::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// One request: when its content began, or how old that was if it is timed, and when it was whole.
    pub(crate) async fn ask(
        &mut self,
        kind: Kind,
        request: &[u8],
    ) -> std::io::Result<(Duration, Duration)> {
        let begun = Instant::now();
        let head = self.begin(request).await?;
        let first = match kind {
            Kind::Timed => loop {
                if let Some(ago) = self.since_written() {
                    break ago;
                }
                self.more().await?;
            },
            _ => begun.elapsed(),
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        let length = text
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next()?.parse::<usize>().ok());
        loop {
            let over = match length {
                Some(length) => self.buffer.len() >= head + length,
                None => self.buffer.ends_with(b"\r\n0\r\n\r\n"),
            };
            if over {
                return Ok((first, begun.elapsed()));
            }
            self.more().await?;
        }
    }

    /// How long ago what was just read was written, as it says itself, where it does.
    fn since_written(&self) -> Option<Duration> {
        let text = std::str::from_utf8(&self.buffer).ok()?;
        let digits = text.split(WRITTEN).nth(1)?.split('.').next()?;
        let written = Duration::from_micros(digits.parse().ok()?);
        since_1970().checked_sub(written)
    }

    /// Opens a stream and leaves it after its first event.
    pub(crate) async fn open(&mut self, request: &[u8]) -> std::io::Result<()> {
        self.begin(request).await.map(drop)
    }
}

/// How fast requests come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Each connection asks as soon as it is answered.
    Closed,
    /// So many a second over all connections, whether answers come or not: a late answer counts
    /// from when its request was due.
    Open(f64),
}

/// The moments at which requests are due, each told when it has come to one connection after the
/// other: none waits for another's lock, nor for more than its own last answer. On a thread of its own
/// that sleeps in between: who waits awake takes the time of those who are measured.
fn clock(rate: f64, begun: Instant, end: Instant, tell: Vec<mpsc::UnboundedSender<Instant>>) {
    thread::spawn(move || {
        for (number, connection) in (0_u32..).zip(tell.iter().cycle()) {
            let next = begun + Duration::from_secs_f64(f64::from(number) / rate);
            if next >= end {
                break;
            }
            thread::sleep(next.saturating_duration_since(Instant::now()));
            // It may have broken off: its failure is counted.
            let _ = connection.send(next);
        }
    });
}

pub(crate) async fn run(
    addr: SocketAddr,
    kind: Kind,
    connections: usize,
    seconds: f64,
    pace: Pace,
) -> Seen {
    let request: Arc<[u8]> = kind.request().into();
    let mut failed = 0;
    let mut askers = Vec::new();
    for _ in 0..connections {
        match Asker::connect(addr).await {
            Ok(asker) => askers.push(asker),
            Err(_) => failed += 1,
        }
    }
    let begun = Instant::now();
    let end = begun + Duration::from_secs_f64(seconds);
    let mut due: Vec<_> = askers.iter().map(|_| None).collect();
    if let Pace::Open(rate) = pace {
        let (tell, told): (Vec<_>, Vec<_>) =
            askers.iter().map(|_| mpsc::unbounded_channel()).unzip();
        clock(rate, begun, end, tell);
        due = told.into_iter().map(Some).collect();
    }
    let mut tasks = Vec::new();
    for (mut asker, mut due) in askers.into_iter().zip(due) {
        let request = Arc::clone(&request);
        tasks.push(tokio::spawn(async move {
            let mut seen = Seen::default();
            loop {
                let mut late = Duration::ZERO;
                if let Some(due) = &mut due {
                    let Some(due) = due.recv().await else {
                        break;
                    };
                    late = due.elapsed();
                }
                if due.is_none() && Instant::now() >= end {
                    break;
                }
                match asker.ask(kind, &request).await {
                    Ok((first, whole)) => {
                        seen.first.push((first + late).as_micros() as u32);
                        seen.whole.push((whole + late).as_micros() as u32);
                    }
                    Err(error) => {
                        if seen.failed == 0 {
                            eprintln!("{kind:?}: {error}");
                        }
                        seen.failed += 1;
                        match Asker::connect(addr).await {
                            Ok(fresh) => asker = fresh,
                            Err(_) => break,
                        }
                    }
                }
            }
            seen
        }));
    }
    let mut all = Seen {
        failed,
        ..Seen::default()
    };
    for task in tasks {
        let seen = task.await.expect("no panic");
        all.whole.extend(seen.whole);
        all.first.extend(seen.first);
        all.failed += seen.failed;
    }
    all.seconds = begun.elapsed().as_secs_f64();
    all.whole.sort_unstable();
    all.first.sort_unstable();
    all
}
