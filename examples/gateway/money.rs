//! What the file says of money beside prices and balances: its currency, the ledger's upkeep, and what
//! becomes of streams that run out of it or are left.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::task::JoinSet;
use tower_completions::cost::{CostLayer, Currency, DrainLayer, Ledger, Recovery, RunOut};

use crate::read::{Mistakes, Section, one_of, place};

/// The section `[ledger]`.
#[derive(Debug)]
pub struct Store {
    pub place: String,
    /// Of a file: what becomes of holds that a crash has left open.
    pub recovery: Recovery,
    /// Of a file: how many entries are kept one by one.
    pub keep_entries: Option<u64>,
    /// Of a file: whether unused space is given back at the start.
    pub compact: bool,
    /// Of a database: the file of certificates by which it is to prove its name.
    pub roots: Option<String>,
}

impl Store {
    pub fn read(root: &mut Section, mistakes: &mut Mistakes) -> Self {
        let mut section = root.section("ledger", mistakes);
        let prefixes = ["redb:", "postgres://", "postgresql://"];
        let place = place(&mut section, &prefixes, mistakes);
        let is_url = prefixes[1..].iter().any(|it| place.starts_with(it));
        // Its own words could quote a password that was not escaped.
        if is_url && place.contains("sslmode=verify-") {
            let expected = "sslmode=require has the database prove its name, as verify-full does elsewhere: write that";
            mistakes.add(&section.key("store"), expected);
        } else if is_url && place.parse::<tokio_postgres::Config>().is_err() {
            let expected = "not an address of the form \
                            postgres://[user[:password]@]host[:port][/database][?option=value]";
            mistakes.add(&section.key("store"), expected);
        }
        if !place.starts_with("redb:") {
            for name in ["recovery", "keep_entries", "compact"] {
                if section.has(name) {
                    mistakes.add(&section.key(name), "belongs to a store redb:PATH");
                }
            }
        }
        if !is_url && section.has("root_certificates") {
            let expected = "belongs to a store postgres://";
            mistakes.add(&section.key("root_certificates"), expected);
        }
        let recovery = one_of(&mut section, "recovery", &["void", "charge"], mistakes);
        let store = Self {
            place,
            recovery: match recovery.as_deref() {
                Some("charge") => Recovery::Charge,
                _ => Recovery::Void,
            },
            keep_entries: section.integer("keep_entries", 1..=1 << 40, mistakes),
            compact: section.flag("compact", mistakes).unwrap_or(false),
            roots: section.string("root_certificates", mistakes),
        };
        section.finish(mistakes);
        store
    }
}

/// The section `[cost]`: all as by default when absent.
#[derive(Debug)]
pub struct Options {
    run_out: RunOut,
    empty_answers_free: bool,
    expected_output: Option<u64>,
    /// For how long an answer is read whose client has gone; absent, its upstream is cancelled.
    drain: Option<Duration>,
    drain_bytes: Option<u64>,
}

impl Options {
    pub fn read(root: &mut Section, mistakes: &mut Mistakes) -> Self {
        let mut section = root.section("cost", mistakes);
        let run_out = one_of(&mut section, "run_out", &["error", "length"], mistakes);
        let drain = section.integer("drain_ms", 0..=86_400_000, mistakes);
        let options = Self {
            run_out: match run_out.as_deref() {
                Some("length") => RunOut::Length,
                _ => RunOut::Error,
            },
            empty_answers_free: section
                .flag("empty_answers_free", mistakes)
                .unwrap_or(false),
            expected_output: section.integer("expected_output", 1..=1 << 24, mistakes),
            drain: drain.filter(|ms| *ms > 0).map(Duration::from_millis),
            drain_bytes: section.integer("drain_bytes", 1..=1 << 32, mistakes),
        };
        if options.drain_bytes.is_some() && options.drain.is_none() {
            mistakes.add(&section.key("drain_bytes"), "needs drain_ms");
        }
        section.finish(mistakes);
        options
    }

    pub fn apply<L: Ledger>(&self, layer: CostLayer<L>) -> CostLayer<L> {
        let layer = layer.run_out(self.run_out);
        let layer = match self.expected_output {
            Some(tokens) => layer.expected_output(tokens),
            None => layer,
        };
        if self.empty_answers_free {
            layer.empty_answers_free()
        } else {
            layer
        }
    }

    /// What reads answers on whose clients have gone, if that is wanted.
    pub fn drain(&self, drains: &Drains) -> Option<DrainLayer> {
        let drains = drains.clone();
        let layer = DrainLayer::new(move |rest| drains.spawn(rest)).within(self.drain?);
        Some(match self.drain_bytes {
            Some(bytes) => layer.max_bytes(bytes),
            None => layer,
        })
    }
}

/// The currency of all money in the file. Default: US dollars.
pub fn currency(root: &mut Section, mistakes: &mut Mistakes) -> Currency {
    let Some(code) = root.string("currency", mistakes) else {
        return Currency::USD;
    };
    code.parse().unwrap_or_else(|error| {
        mistakes.add("currency", format!("{error}; got {code:?}"));
        Currency::USD
    })
}

/// Answers that are read on without their clients.
#[derive(Clone, Default)]
pub struct Drains(Arc<Mutex<JoinSet<()>>>);

impl Drains {
    fn spawn(&self, rest: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while set.try_join_next().is_some() {}
        // In a drop at the very end there may be no runtime: then it is dropped, which settles it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            set.spawn_on(rest, &runtime);
        }
    }

    /// Lets them end for so long, then drops what is left: each has settled when this returns.
    pub async fn end(&self, grace: Duration) {
        let mut set = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while set.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all).await.is_err() {
            tracing::warn!(
                left = set.len(),
                "answers still read for nobody are dropped"
            );
        }
        set.shutdown().await;
    }
}
