use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use serde_json::Value;
use tokio::sync::watch;

/// How many requests are kept; the oldest go first.
const KEPT: usize = 1024;

/// What an upstream has been asked, and how its answers ended. Clones share one log.
#[derive(Clone)]
pub struct Log(Arc<Shared>);

struct Shared {
    counts: watch::Sender<Counts>,
    requests: Mutex<VecDeque<Seen>>,
}

/// Numbers of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Requests received.
    pub calls: u64,
    /// Answers not yet ended, those still without a head included.
    pub open: u64,
    /// Answers sent to their end, or to the failure that was scripted.
    pub finished: u64,
    /// Answers that the caller dropped before.
    pub cancelled: u64,
}

impl Log {
    pub(super) fn new() -> Self {
        Self(Arc::new(Shared {
            counts: watch::Sender::new(Counts::default()),
            requests: Mutex::new(VecDeque::new()),
        }))
    }

    /// The numbers now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        *self.0.counts.borrow()
    }

    /// Waits until the numbers satisfy a condition, and gives them: how a test waits for a
    /// cancellation to arrive over a socket. Dropping the future changes nothing.
    pub async fn until(&self, condition: impl FnMut(&Counts) -> bool) -> Counts {
        let mut counts = self.0.counts.subscribe();
        match counts.wait_for(condition).await {
            Ok(counts) => *counts,
            // The sender lives in `self`, so it cannot be gone.
            Err(_) => self.counts(),
        }
    }

    /// The requests seen, oldest first: the last 1024 of them.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        let requests = self
            .0
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        requests.iter().cloned().collect()
    }

    /// The request seen last.
    #[must_use]
    pub fn last(&self) -> Option<Seen> {
        let requests = self
            .0
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        requests.back().cloned()
    }

    pub(super) fn record(&self, seen: Seen) {
        let mut requests = self
            .0
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if requests.len() == KEPT {
            requests.pop_front();
        }
        requests.push_back(seen);
    }

    /// Counts a call; the answer to it is open until what is returned is dropped.
    pub(super) fn open(&self) -> (u64, Open) {
        let mut number = 0;
        self.0.counts.send_modify(|counts| {
            counts.calls += 1;
            counts.open += 1;
            number = counts.calls;
        });
        let open = Open {
            log: self.clone(),
            finished: false,
        };
        (number, open)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts().fmt(f)
    }
}

/// An answer under way.
#[derive(Debug)]
pub(super) struct Open {
    log: Log,
    finished: bool,
}

impl Open {
    pub(super) fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.log.0.counts.send_modify(|counts| {
            counts.open -= 1;
            if self.finished {
                counts.finished += 1;
            } else {
                counts.cancelled += 1;
            }
        });
    }
}

/// A request that an upstream has seen. Its `Debug` shows neither headers nor body.
#[derive(Clone)]
pub struct Seen {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Seen {
    /// The request's method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Its target as it came: absolute from a client in memory, a path over a socket.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The path of its target.
    #[must_use]
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// The request's headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A header as text; `None` when it is absent or no text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The request's body, whole.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The JSON text of the value at a JSON pointer (RFC 6901), such as `/messages/0/role`; `""` is
    /// the whole body. `None` when it is absent or the body is no JSON.
    #[must_use]
    pub fn json(&self, pointer: &str) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        body.pointer(pointer).map(Value::to_string)
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen")
            .field("method", &self.method)
            .field("path", &self.path())
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish_non_exhaustive()
    }
}
