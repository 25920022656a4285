use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, header, response::Parts};
use http_body::Body as HttpBody;
use serde_json::value::RawValue;

use super::{
    body::{ParallelBody, Which, merged},
    future::{Merge, refuse},
    numbered, unreadable,
    usage::{Account, note, sum},
};
use crate::{
    body::BoxError,
    error::Error,
    meter::{Outcome, Tally},
    provider::{chunks::write_usage, future::cut, nonsense},
    sse,
    wire::Members,
};

/// Several streams as one.
pub(super) fn merge<B>(
    answers: Vec<(Parts, Pin<Box<B>>)>,
    how: Merge,
) -> Response<ParallelBody<B>> {
    let tally = Tally::new();
    let mut first = None;
    let mut strands = Vec::with_capacity(answers.len());
    let mut accounts = Vec::with_capacity(answers.len());
    for (head, body) in answers {
        accounts.push(Account::new(&head));
        let decoder = sse::Decoder::new().at_end(sse::AtEnd::Flush);
        strands.push(Some(Strand { body, decoder }));
        first.get_or_insert(head);
    }
    let Some(mut first) = first else {
        return refuse(cut());
    };
    first.headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    let streams = Streams {
        strands,
        accounts,
        how,
        names: Vec::new(),
        tally: tally.clone(),
        heard: 0,
        out: Vec::new(),
        over: false,
    };
    // Whoever leaves before the first chunk has been read owes the prompts all the same.
    streams.count();
    merged(first, tally, Which::Streams { streams })
}

/// Several streams becoming one.
pub(super) struct Streams<B> {
    /// `None` where one has ended.
    strands: Vec<Option<Strand<B>>>,
    accounts: Vec<Account>,
    how: Merge,
    /// `id`, `created` and `model` of the first chunk, which are everyone's.
    names: Vec<(&'static str, Box<str>)>,
    tally: Tally,
    /// How often their upstreams had been heard without a chunk.
    heard: u32,
    out: Vec<u8>,
    over: bool,
}

struct Strand<B> {
    body: Pin<Box<B>>,
    decoder: sse::Decoder,
}

impl<B> Streams<B> {
    pub(super) fn is_over(&self) -> bool {
        self.over && self.out.is_empty()
    }

    /// Notes what all have used so far, and whether each has said so.
    fn count(&self) -> bool {
        let (usage, complete) = sum(&self.accounts, self.how.prompt);
        note(&self.accounts, usage, &self.tally);
        complete
    }
}

impl<B> Streams<B>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        for nth in 0..self.strands.len() {
            while let Some(strand) = self.strands.get_mut(nth).and_then(Option::as_mut) {
                let Poll::Ready(frame) = strand.body.as_mut().poll_frame(cx) else {
                    break;
                };
                let read = match frame {
                    None => self.ended(nth),
                    Some(Err(error)) => Err(cut().with_cause(error)),
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(chunk) => self.take(nth, chunk),
                        Err(_) => Ok(()),
                    },
                };
                self.count();
                if let Err(error) = read {
                    self.fail(&error);
                }
            }
        }
        if !self.over && self.strands.iter().all(Option::is_none) {
            self.finish();
        }
        if !self.out.is_empty() {
            return Poll::Ready(Some(mem::take(&mut self.out).into()));
        }
        if self.over {
            return Poll::Ready(None);
        }
        let noted = self.accounts.iter().filter_map(Account::noted);
        let heard = noted.map(Tally::heard).fold(0, u32::wrapping_add);
        if mem::replace(&mut self.heard, heard) != heard {
            self.tally.hear();
        }
        Poll::Pending
    }

    fn take(&mut self, nth: usize, chunk: Bytes) -> Result<(), Error> {
        if let Some(strand) = self.strands.get_mut(nth).and_then(Option::as_mut) {
            strand.decoder.push(chunk);
        }
        while let Some(strand) = self.strands.get_mut(nth).and_then(Option::as_mut) {
            let Some(event) = strand.decoder.next() else {
                break;
            };
            self.event(nth, &event.map_err(broken)?)?;
        }
        Ok(())
    }

    fn event(&mut self, nth: usize, event: &sse::Event) -> Result<(), Error> {
        // Whatever comes of it: each was sent.
        self.tally.hear();
        let data = event.data();
        if sse::is_done(data) {
            return self.close(nth, Account::has_begun);
        }
        if data.trim_ascii().is_empty() {
            return Ok(());
        }
        let text = std::str::from_utf8(data);
        let text = text.map_err(|error| nonsense("it is not UTF-8").with_source(error))?;
        match self.accounts[nth].event(event.name().unwrap_or_default(), text) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => {
                // As it was told; what ended this one ends all.
                sse::write_event(&mut self.out, event.name(), data);
                let outcome = self.accounts[nth].noted().and_then(Tally::outcome);
                self.end(outcome.unwrap_or(Outcome::Failed(error)));
                return Ok(());
            }
        }
        let chunk: Members<'_> = serde_json::from_str(text).map_err(unreadable)?;
        let choices = chunk.choices().map_err(unreadable)?;
        if choices.is_empty() {
            return Ok(());
        }
        for name in ["id", "created", "model"] {
            let value = chunk.get(name).map(RawValue::get);
            let known = self.names.iter().any(|(known, _)| *known == name);
            if let Some(value) = value.filter(|value| !known && names(value)) {
                self.names.push((name, value.into()));
            }
        }
        let mut list = vec![b'['];
        numbered(&choices, nth, self.how.per_call, &mut list);
        list.push(b']');
        let list = String::from_utf8_lossy(&list);
        let mut with = vec![("choices", &*list)];
        with.extend(self.names.iter().map(|(name, json)| (*name, &**json)));
        if chunk.get("usage").is_some() {
            with.push(("usage", "null"));
        }
        self.out.extend_from_slice(b"data: ");
        chunk.write(&with, &mut self.out);
        self.out.extend_from_slice(b"\n\n");
        Ok(())
    }

    /// Its bytes have ended: behind `[DONE]`, or where every choice has been finished.
    fn ended(&mut self, nth: usize) -> Result<(), Error> {
        while let Some(strand) = self.strands.get_mut(nth).and_then(Option::as_mut) {
            let whole = strand.decoder.next();
            let unfinished = whole.is_none();
            let Some(event) = whole.or_else(|| strand.decoder.finish()) else {
                return self.close(nth, Account::is_finished);
            };
            match self.event(nth, &event.map_err(broken)?) {
                // An event without its blank line may be cut anywhere.
                Err(error) if unfinished => return Err(cut().with_source(error)),
                read => read?,
            }
        }
        Ok(())
    }

    /// Nothing more comes of one.
    fn close(&mut self, nth: usize, is_whole: fn(&Account) -> bool) -> Result<(), Error> {
        if !is_whole(&self.accounts[nth]) {
            return Err(cut());
        }
        self.accounts[nth].complete();
        self.strands[nth] = None;
        Ok(())
    }

    fn finish(&mut self) {
        let complete = self.count();
        if let Some(usage) = self.tally.usage().filter(|_| complete) {
            let mut counts = BytesMut::new();
            write_usage(&mut counts, &usage);
            let counts = String::from_utf8_lossy(&counts);
            let mut with = vec![("object", "\"chat.completion.chunk\""), ("choices", "[]")];
            with.extend(self.names.iter().map(|(name, json)| (*name, &**json)));
            with.push(("usage", &counts));
            self.out.extend_from_slice(b"data: ");
            Members(Vec::new()).write(&with, &mut self.out);
            self.out.extend_from_slice(b"\n\n");
        }
        self.out.extend_from_slice(b"data: [DONE]\n\n");
        self.end(Outcome::Complete);
    }

    fn fail(&mut self, error: &Error) {
        self.out.extend_from_slice(&error.event());
        self.end(Outcome::Failed(error.clone()));
    }

    /// The upstreams that still run are dropped here.
    fn end(&mut self, outcome: Outcome) {
        self.over = true;
        self.strands.clear();
        self.tally.end(outcome);
    }
}

/// Whether the value of an `id`, `created` or `model` says one.
fn names(value: &str) -> bool {
    !matches!(value, "null" | "0" | "\"\"")
}

fn broken(error: sse::Error) -> Error {
    nonsense("its stream is broken").with_source(error)
}
