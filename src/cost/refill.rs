//! A stream that nobody has bounded may outgrow its hold: it is given more in slices, in time, and
//! ends when there is no more to give.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use pin_project_lite::pin_project;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{
    Amount, Denied, Ledger,
    future::denial,
    guard::Guard,
    member::{self, Carrier},
};
use crate::{
    error::{Error, Kind},
    meter::{Once, Outcome, Tally},
    wire::Usage,
};

/// How a stream ends when the balance is used up while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunOut {
    /// With an error event, as any stream that breaks off: `insufficient_balance`.
    #[default]
    Error,
    /// As if the model had reached its limit: `finish_reason` is `length`, the usage is estimated.
    Length,
}

/// Bytes of text that one token is taken for.
const BYTES: u64 = 4;

/// A slice is halved so often before the balance counts as used up.
const HALVES: u32 = 5;

pin_project! {
    /// Makes the hold of a stream grow with it.
    pub(super) struct Refill<L: Ledger> {
        tally: Tally,
        // Bytes of generated text that the hold covers.
        covered: u64,
        slice: u64,
        halved: u32,
        ends: Option<End>,
        run_out: RunOut,
        include_usage: bool,
        // The first events, for what all chunks of the stream have in common.
        first: Option<Bytes>,
        // The choices that are finished: who ends the stream finishes the others.
        finished: Vec<u64>,
        // Whether what has gone out ends with a whole event.
        whole: bool,
        asked: u64,
        // What was made room for and is not held on the account yet.
        reserved: Amount,
        #[pin]
        extending: Option<L::Extending>,
    }
}

impl<L: Ledger> Refill<L> {
    /// For a stream whose hold covers so many tokens of output; slices have as many.
    pub(super) const fn new(
        tally: Tally,
        tokens: u64,
        run_out: RunOut,
        include_usage: bool,
    ) -> Self {
        Self {
            tally,
            covered: tokens.saturating_mul(BYTES),
            slice: tokens,
            halved: 0,
            ends: None,
            run_out,
            include_usage,
            first: None,
            finished: Vec::new(),
            whole: true,
            asked: 0,
            reserved: Amount::ZERO,
            extending: None,
        }
    }

    /// Ready when more may be relayed; with what the stream ends with, when it has to end. Asks for
    /// more when half of the last slice is left.
    pub(super) fn poll(
        self: Pin<&mut Self>,
        once: &mut Once<Box<Guard<L>>>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Bytes>> {
        let mut this = self.project();
        loop {
            if once.guard_mut().is_none() {
                // Settled: it ends by itself.
                return Poll::Ready(None);
            }
            let relayed = this.tally.content_bytes();
            let left = this.covered.saturating_sub(relayed);
            if let Some(extending) = this.extending.as_mut().as_pin_mut() {
                let extended = match extending.poll(cx) {
                    Poll::Ready(extended) => extended,
                    // What is covered still may go on meanwhile.
                    Poll::Pending if left > 0 => return Poll::Ready(None),
                    Poll::Pending => return Poll::Pending,
                };
                this.extending.set(None);
                if let (Err(_), Some(guard)) = (&extended, once.guard_mut()) {
                    guard.unreserve(*this.reserved);
                }
                match extended {
                    Ok(()) => {
                        let asked = this.asked.saturating_mul(BYTES);
                        *this.covered = this.covered.saturating_add(asked);
                    }
                    Err(Denied::Insufficient) if *this.halved < HALVES => *this.halved += 1,
                    Err(denied) => *this.ends = Some(End::of(denied)),
                }
                continue;
            }
            if let Some(end) = &*this.ends {
                if left > 0 || !*this.whole {
                    return Poll::Ready(None);
                }
                let ending = Ending {
                    tally: this.tally,
                    first: this.first.as_deref().unwrap_or_default(),
                    finished: this.finished,
                    include_usage: *this.include_usage,
                };
                return Poll::Ready(Some(match (end, *this.run_out) {
                    (End::Spent(_), RunOut::Length) => ending.length(once),
                    (End::Spent(error) | End::Failed(error), _) => ending.error(error.clone()),
                }));
            }
            if left > this.slice.saturating_mul(BYTES) / 2 {
                return Poll::Ready(None);
            }
            let Some(guard) = once.guard_mut() else {
                return Poll::Ready(None);
            };
            *this.asked = (*this.slice >> *this.halved).max(1);
            let by = guard.quote.more(*this.asked);
            if by == Amount::ZERO {
                // Nothing costs anything.
                *this.covered = u64::MAX;
                continue;
            }
            if let Err(error) = guard.reserve(by) {
                if *this.halved < HALVES {
                    *this.halved += 1;
                } else {
                    *this.ends = Some(End::Spent(error));
                }
                continue;
            }
            match &mut guard.hold {
                Some(hold) => {
                    *this.reserved = by;
                    let extending = guard.config.ledger.extend(hold, by);
                    this.extending.set(Some(extending));
                }
                // Only budgets, or the request's own ceiling, bound it.
                None => {
                    let asked = this.asked.saturating_mul(BYTES);
                    *this.covered = this.covered.saturating_add(asked);
                }
            }
        }
    }

    /// Keeps the first events, and who is finished, should the stream have to be ended.
    pub(super) fn relay(self: Pin<&mut Self>, events: &Bytes) {
        let this = self.project();
        *this.whole = events.ends_with(b"\n\n") || events.ends_with(b"\r\n\r\n");
        if *this.run_out != RunOut::Length {
            return;
        }
        if this.first.is_none() {
            *this.first = events
                .windows(6)
                .any(|it| it == b"data: ")
                .then(|| events.clone());
        }
        if member::carrier(events, Carrier::Finish).is_some() {
            this.finished.extend(finished(events));
        }
    }
}

/// Why a stream has to end, as its client is told.
enum End {
    /// What may be spent is: by the balance, a budget or the request's own ceiling.
    Spent(Error),
    /// The ledger does not say.
    Failed(Error),
}

impl End {
    fn of(denied: Denied) -> Self {
        match denied {
            Denied::Insufficient => Self::Spent(Error::new(
                Kind::Balance,
                "The balance was used up while the answer was on its way.",
            )),
            denied => Self::Failed(denial(denied)),
        }
    }
}

/// The choices that these events finish.
fn finished(events: &[u8]) -> Vec<u64> {
    #[derive(Deserialize)]
    struct Chunk {
        #[serde(default)]
        choices: Vec<Choice>,
    }
    #[derive(Deserialize)]
    struct Choice {
        #[serde(default)]
        index: u64,
        finish_reason: Option<IgnoredAny>,
    }
    let lines = events.split(|byte| *byte == b'\n');
    let chunks = lines.filter_map(|line| {
        let data = line.strip_prefix(b"data:")?;
        serde_json::from_slice::<Chunk>(data).ok()
    });
    let choices = chunks.flat_map(|chunk| chunk.choices);
    let done = choices.filter(|choice| choice.finish_reason.is_some());
    done.map(|choice| choice.index).collect()
}

struct Ending<'a> {
    tally: &'a Tally,
    first: &'a [u8],
    finished: &'a [u64],
    include_usage: bool,
}

/// What all chunks of a stream have in common, as it was written.
#[derive(Default, Deserialize)]
struct Common<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    created: Option<&'a RawValue>,
    #[serde(borrow)]
    model: Option<&'a RawValue>,
}

impl Ending<'_> {
    fn error(&self, error: Error) -> Bytes {
        let event = error.event();
        self.tally.end(Outcome::Failed(error));
        event
    }

    fn length<L: Ledger>(&self, once: &mut Once<Box<Guard<L>>>) -> Bytes {
        let (n, usage) = once
            .guard_mut()
            .map(|guard| &guard.quote)
            .map(|quote| (quote.extent.n, quote.usage(Some(&self.tally.seen()))))
            .unwrap_or_default();
        // What is charged is what is said.
        self.tally.record_usage(usage);
        self.tally.end(Outcome::Complete);
        let text = String::from_utf8_lossy(self.first);
        let common: Common<'_> = text
            .lines()
            .find_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
            .unwrap_or_default();
        let raw = |value: Option<&RawValue>| value.map_or("null", RawValue::get).to_owned();
        let head = format!(
            r#"data: {{"id":{},"object":"chat.completion.chunk","created":{},"model":{},"#,
            raw(common.id),
            raw(common.created),
            raw(common.model),
        );
        let null = if self.include_usage {
            r#","usage":null"#
        } else {
            ""
        };
        let mut out = String::new();
        for index in (0..n).filter(|index| !self.finished.contains(index)) {
            out.push_str(&format!(
                r#"{head}"choices":[{{"index":{index},"delta":{{}},"finish_reason":"length"}}]{null}}}"#
            ));
            out.push_str("\n\n");
        }
        if self.include_usage {
            let said = Usage {
                estimated: false,
                ..usage
            };
            let said = said.spelled();
            out.push_str(&format!("{head}\"choices\":[],\"usage\":{said}}}\n\n"));
        }
        out.push_str("data: [DONE]\n\n");
        Bytes::from(out)
    }
}
