//! What becomes of a request, told as it happens: the trait that logs, spans and metrics hang on.
//!
//! A [`Watch`] in the extensions of a request is told each [`Event`] by the layer that knows of it.
//! Without one, nothing is told and nothing is spent. Events name models, providers, numbers and
//! errors; never a prompt, an answer or a key.
//!
//! ```
//! use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
//! use tower_completions::observe::{Event, Gate, Watch};
//!
//! let admitted = Arc::new(AtomicUsize::new(0));
//! let count = Arc::clone(&admitted);
//! let watch = Watch::new(move |event: &Event<'_>| {
//!     if let Event::Admitted { .. } = event {
//!         count.fetch_add(1, Ordering::Relaxed);
//!     }
//! });
//!
//! let mut request = http::Request::new(());
//! request.extensions_mut().insert(watch);
//! Watch::tell(request.extensions(), || Event::Admitted { gate: Gate::Key });
//! assert_eq!(admitted.load(Ordering::Relaxed), 1);
//! ```

use std::{fmt, sync::Arc, time::Duration};

use http::{Extensions, HeaderMap, StatusCode, Uri, request::Parts};

use crate::{
    error::Error,
    ext::{Served, Target},
    wire::Usage,
};

/// What may refuse a request before it goes upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Gate {
    /// The caller's key.
    Key,
    /// Requests in a time, or at once.
    Requests,
    /// The shape and values of the request.
    Request,
    /// Tokens in a time.
    Tokens,
    /// Money: a hold was taken.
    Balance,
}

/// Whether a target is asked at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Breaker {
    /// It is asked.
    Closed,
    /// It is asked now and then, to see whether it is well again.
    HalfOpen,
    /// It is not asked.
    Open,
}

/// How a request ended, seen from outside all layers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finished<'a> {
    /// The status of the answer; `None` when the caller left before there was one.
    pub status: Option<StatusCode>,
    /// What went wrong, when it did.
    pub error: Option<&'a Error>,
    /// The caller left before the end.
    pub cancelled: bool,
    /// The answer was a stream of events.
    pub stream: bool,
    /// Who answered.
    pub served: Option<&'a Served>,
    /// The model that the provider says has answered.
    pub model: Option<&'a str>,
    /// What was used, when it is known.
    pub usage: Option<Usage>,
    /// From the arrival of the request.
    pub took: Duration,
    /// From the arrival of the request to the first event of a stream.
    pub first_event: Option<Duration>,
}

impl Finished<'_> {
    /// An end after so long, of which nothing else is known.
    #[must_use]
    pub fn after(took: Duration) -> Self {
        Self {
            status: None,
            error: None,
            cancelled: false,
            stream: false,
            served: None,
            model: None,
            usage: None,
            took,
            first_event: None,
        }
    }
}

/// Something that happened to a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A gate let the request pass.
    Admitted {
        /// The gate that did.
        gate: Gate,
    },
    /// The router has made its plan.
    Routed {
        /// The configured model that will be served first.
        model: &'a str,
        /// How many targets the plan has, fallbacks included.
        targets: usize,
    },
    /// An upstream is about to be asked.
    Attempting {
        /// Which attempt of this request, from 1.
        number: u32,
        /// Who is asked.
        target: &'a Target,
    },
    /// An attempt's request has been made, and goes to this server. A `Provider` tells it of each request that
    /// it makes: of several where an attempt asks for each answer by itself, and of none where the request
    /// cannot be put in the upstream's words.
    Calling {
        /// Which attempt of this request, from 1.
        number: u32,
        /// A name or an IP address, as it is configured.
        host: &'a str,
        /// The port, that of the scheme where none is configured.
        port: u16,
    },
    /// The head of an upstream's answer has come, to a request that was told as [`Calling`](Self::Calling).
    Answered {
        /// Which attempt of this request, from 1.
        number: u32,
        /// The upstream's own status, which the client may be told as another.
        status: StatusCode,
    },
    /// An upstream's answer has begun, or the attempt has failed. One that the caller did not wait for ends
    /// without this.
    Attempt {
        /// Which attempt of this request, from 1.
        number: u32,
        /// Who was asked.
        target: &'a Target,
        /// Why it failed, when it did.
        error: Option<&'a Error>,
        /// From the beginning of this attempt.
        took: Duration,
    },
    /// An attempt has been dropped, as another one of the same request answered first.
    Lost {
        /// Which attempt of this request, from 1.
        number: u32,
        /// Who was asked.
        target: &'a Target,
        /// From the beginning of this attempt.
        took: Duration,
    },
    /// A target's breaker has changed.
    Breaker {
        /// The target that the breaker is of.
        target: &'a Target,
        /// What it is now.
        state: Breaker,
    },
    /// The first event of a stream goes out.
    FirstEvent {
        /// From the arrival of the request.
        after: Duration,
    },
    /// The request has ended: its last byte went out, it was refused, or the caller left.
    Finished(Finished<'a>),
    /// What it cost has been booked.
    Settled {
        /// The charge in picodollars (10⁻¹² USD, or of the currency of the accounts).
        picodollars: u64,
        /// Of the usage, nothing was known: the charge is an estimate.
        estimated: bool,
        /// How much more was used than was held for it, as the charge: what the balance had not, and what
        /// is beyond the request's own ceiling, included.
        overrun: u64,
    },
}

/// Who is told of one request. Dropped when nothing more can happen to it.
///
/// A closure over [`Event`] will do. Nothing here may block or panic: it is called from `poll` and
/// from `Drop`.
pub trait Watcher: Send + Sync + 'static {
    /// Something happened.
    fn on(&self, event: &Event<'_>);

    /// A part of the request is about to be polled on this thread. Default: nothing.
    fn enter(&self) {}

    /// The poll has ended, also by a panic. Default: nothing.
    fn exit(&self) {}

    /// Whether it wants to be told what becomes of an attempt at the upstream, as [`Event::Calling`] and
    /// [`Event::Answered`]; asked right behind [`Event::Attempting`]. It may be told all the same, where another wants it.
    /// Default: it does.
    fn wants_calls(&self, _number: u32) -> bool {
        true
    }

    /// An attempt goes upstream, right behind [`Event::Attempting`]: puts into its headers what is to join
    /// the upstream's work to this request, such as `traceparent`. Of what is put in, only those headers
    /// travel that the router [forwards](crate::router::Builder::forward). Default: nothing.
    fn pass_on(&self, _number: u32, _headers: &mut HeaderMap) {}
}

impl<F> Watcher for F
where
    F: Fn(&Event<'_>) + Send + Sync + 'static,
{
    fn on(&self, event: &Event<'_>) {
        self(event);
    }
}

/// Who is told of requests: makes a [`Watcher`] for each.
///
/// A pair of them tells both.
pub trait Observe: Send + Sync + 'static {
    /// A request has arrived.
    fn begin(&self, parts: &Parts) -> Watch;
}

impl<F> Observe for F
where
    F: Fn(&Parts) -> Watch + Send + Sync + 'static,
{
    fn begin(&self, parts: &Parts) -> Watch {
        self(parts)
    }
}

impl<A: Observe, B: Observe> Observe for (A, B) {
    fn begin(&self, parts: &Parts) -> Watch {
        match (self.0.begin(parts).0, self.1.begin(parts).0) {
            (Some(one), Some(other)) => Watch::new(Both(one, other)),
            (one, other) => Watch(one.or(other)),
        }
    }
}

struct Both(Arc<dyn Watcher>, Arc<dyn Watcher>);

impl Watcher for Both {
    fn on(&self, event: &Event<'_>) {
        self.0.on(event);
        self.1.on(event);
    }

    fn enter(&self) {
        self.0.enter();
        self.1.enter();
    }

    fn exit(&self) {
        self.1.exit();
        self.0.exit();
    }

    fn wants_calls(&self, number: u32) -> bool {
        self.0.wants_calls(number) || self.1.wants_calls(number)
    }

    fn pass_on(&self, number: u32, headers: &mut HeaderMap) {
        self.0.pass_on(number, headers);
        self.1.pass_on(number, headers);
    }
}

/// Who is told of this request. Put into its extensions by whoever observes; clones are the same.
#[derive(Clone)]
pub struct Watch(Option<Arc<dyn Watcher>>);

impl Watch {
    /// Tells this watcher.
    pub fn new(watcher: impl Watcher) -> Self {
        Self(Some(Arc::new(watcher)))
    }

    /// Tells nobody.
    #[cfg(feature = "tracing")]
    pub(crate) const fn nobody() -> Self {
        Self(None)
    }

    /// Tells that something happened.
    pub fn on(&self, event: &Event<'_>) {
        if let Some(watcher) = &self.0 {
            watcher.on(event);
        }
    }

    /// Tells the watch of these extensions, if there is one; only then is the event made.
    pub fn tell<'a>(extensions: &Extensions, event: impl FnOnce() -> Event<'a>) {
        if let Some(watch) = extensions.get::<Self>() {
            watch.on(&event());
        }
    }

    /// For whoever makes the request of an attempt, and reads its answer; none if nobody wants to be told.
    pub(crate) fn calls(&self, number: u32) -> Option<Calls> {
        let watcher = self.0.as_ref().filter(|it| it.wants_calls(number))?;
        Some(Calls(Arc::new((Arc::clone(watcher), number))))
    }

    /// Puts in what goes upstream with an attempt.
    pub fn pass_on(&self, number: u32, headers: &mut HeaderMap) {
        if let Some(watcher) = &self.0 {
            watcher.pass_on(number, headers);
        }
    }

    /// Polls a part of the request within what the watcher takes as its scope.
    pub fn within<T>(&self, poll: impl FnOnce() -> T) -> T {
        struct Exit<'a>(&'a dyn Watcher);
        impl Drop for Exit<'_> {
            fn drop(&mut self) {
                self.0.exit();
            }
        }
        let _exit = self.0.as_deref().map(|watcher| {
            watcher.enter();
            Exit(watcher)
        });
        poll()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// Who is told of what becomes of one attempt upstream. Put into its request by the router, where a request is
/// watched.
#[derive(Clone)]
pub(crate) struct Calls(Arc<(Arc<dyn Watcher>, u32)>);

impl Calls {
    /// A request goes there. Of an address without a host, or of a scheme that has no port, nothing is told.
    pub(crate) fn to(&self, uri: &Uri) {
        let (watcher, number) = &*self.0;
        let of_scheme = || match uri.scheme_str()? {
            "https" => Some(443),
            "http" => Some(80),
            _ => None,
        };
        if let (Some(host), Some(port)) = (uri.host(), uri.port_u16().or_else(of_scheme)) {
            watcher.on(&Event::Calling {
                number: *number,
                // Brackets are a URI's way to write an address of IPv6, and no part of it.
                host: host.trim_start_matches('[').trim_end_matches(']'),
                port,
            });
        }
    }

    /// It was answered so.
    pub(crate) fn answered(&self, status: StatusCode) {
        let (watcher, number) = &*self.0;
        let number = *number;
        watcher.on(&Event::Answered { number, status });
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Calls")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Notes(Arc<Mutex<Vec<&'static str>>>, &'static str);

    impl Watcher for Notes {
        fn on(&self, _: &Event<'_>) {
            self.0.lock().expect("unpoisoned").push(self.1);
        }

        fn enter(&self) {
            self.0.lock().expect("unpoisoned").push("enter");
        }

        fn exit(&self) {
            self.0.lock().expect("unpoisoned").push("exit");
        }
    }

    #[test]
    fn a_pair_tells_both_and_leaves_what_it_entered_even_on_a_panic() {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let one = |name| {
            let notes = Arc::clone(&notes);
            move |_: &Parts| Watch::new(Notes(Arc::clone(&notes), name))
        };
        let (parts, ()) = http::Request::new(()).into_parts();
        let watch = (one("a"), one("b")).begin(&parts);
        watch.on(&Event::Admitted { gate: Gate::Key });
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            watch.within(|| panic!("in a poll"));
        }));
        assert!(panicked.is_err());
        let told = notes.lock().expect("unpoisoned").clone();
        assert_eq!(told, ["a", "b", "enter", "enter", "exit", "exit"]);
    }

    #[cfg(feature = "tracing")]
    #[test]
    fn a_pair_of_which_one_tells_nobody_is_the_other_alone() {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&notes);
        let one = move |_: &Parts| Watch::new(Notes(Arc::clone(&kept), "a"));
        let nobody = |_: &Parts| Watch::nobody();
        let (parts, ()) = http::Request::new(()).into_parts();
        let watch = (nobody, (one, nobody)).begin(&parts);
        watch.on(&Event::Admitted { gate: Gate::Key });
        watch.within(|| notes.lock().expect("unpoisoned").push("polled"));
        let told = notes.lock().expect("unpoisoned").clone();
        assert_eq!(told, ["a", "enter", "polled", "exit"]);
        let watch = (nobody, nobody).begin(&parts);
        watch.on(&Event::Admitted { gate: Gate::Key });
        assert_eq!(watch.within(|| 1), 1);
    }

    /// Wants nothing to do with calls, or does, and notes whether it is told of one.
    struct Wants(bool, Arc<Mutex<u32>>);

    impl Watcher for Wants {
        fn on(&self, event: &Event<'_>) {
            *self.1.lock().expect("unpoisoned") +=
                u32::from(matches!(event, Event::Answered { .. }));
        }

        fn wants_calls(&self, number: u32) -> bool {
            self.0 && number == 2
        }
    }

    #[test]
    fn calls_are_told_where_one_of_a_pair_wants_them() {
        let told = Arc::default();
        let one = |wants| {
            let told = Arc::clone(&told);
            move |_: &Parts| Watch::new(Wants(wants, Arc::clone(&told)))
        };
        let (parts, ()) = http::Request::new(()).into_parts();
        let neither = (one(false), one(false)).begin(&parts);
        assert!(neither.calls(2).is_none());
        let watch = (one(false), one(true)).begin(&parts);
        assert!(watch.calls(1).is_none());
        watch.calls(2).expect("wanted").answered(StatusCode::OK);
        assert_eq!(*told.lock().expect("unpoisoned"), 2, "both are");
    }
}
