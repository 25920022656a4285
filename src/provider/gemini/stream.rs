use std::fmt;

use bytes::BytesMut;

use super::{
    error,
    pieces::Pieces,
    read::{Call, Candidate, Counts, Finish, Part, Piece, Response, finish},
    response::{Id, Ids, broken, charged, citation, detail, extra, logprobs, named, of_server},
};
use crate::{
    error::Error,
    provider::{
        Asked, Framing, TranslateStream,
        chunks::Chunks,
        completion::Picture,
        future::cut,
        json::{Object, Reader, Spelled, Words},
        nonsense,
    },
    wire::{Usage, json::Fault, placed::Place},
};

/// The most candidates of one answer.
const MOST: u64 = 128;

/// The state of a stream of responses.
pub struct Stream {
    asked: Asked,
    /// From the first event on.
    begun: Option<(Chunks, Ids)>,
    choices: Vec<Choice>,
    counts: Option<Counts>,
    searches: u64,
    over: bool,
    is_folded: bool,
}

impl fmt::Debug for Stream {
    /// Nothing of what was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Default)]
struct Choice {
    begun: bool,
    calls: u64,
    written: u64,
    /// How many entries of `reasoning_details`, `annotations` and `images` have been sent.
    details: u64,
    annotations: u64,
    images: u64,
    /// Kept until the end: more may come behind it, and only the end of the stream is the end.
    reason: Option<&'static str>,
    /// Whether the last that came of it says that it ends, and not why.
    ends_somehow: bool,
    /// The call whose arguments come in pieces. In a box: hardly any does.
    open: Option<Box<Open>>,
}

/// A call whose arguments come in pieces. Name and id as they are spelled.
#[derive(Clone, Debug)]
struct Open {
    ordinal: u64,
    name: String,
    id: String,
    pieces: Pieces,
}

impl Open {
    fn is(&self, call: &Call<'_>) -> bool {
        let same = |ours: &str, theirs: Spelled<'_>| theirs.is_empty() || *ours == *theirs.0;
        same(&self.name, call.name) && same(&self.id, call.id)
    }
}

impl Stream {
    pub(in crate::provider) fn new(asked: &Asked) -> Self {
        Self {
            asked: asked.clone(),
            begun: None,
            choices: Vec::new(),
            counts: None,
            searches: 0,
            over: false,
            is_folded: false,
        }
    }

    /// One that becomes an answer in one piece.
    pub(super) fn folded(asked: &Asked) -> Self {
        Self {
            is_folded: true,
            ..Self::new(asked)
        }
    }

    /// The prompt was refused, or what has not ended yet of its answer.
    fn block(&mut self, message: Spelled<'_>, out: &mut BytesMut) {
        let Some((chunks, _)) = &self.begun else {
            return;
        };
        if self.choices.is_empty() {
            chunks.role(out, 0);
            self.choices.push(Choice {
                begun: true,
                ..Choice::default()
            });
        }
        for (index, choice) in (0..).zip(&mut self.choices) {
            if !choice.begun || choice.reason.is_some() {
                continue;
            }
            if !message.is_empty() {
                chunks.delta(out, index, |delta| delta.string("refusal", message));
            }
            choice.reason = Some("content_filter");
        }
    }

    fn candidate(&mut self, candidate: &Candidate<'_>, out: &mut BytesMut) -> Result<(), Error> {
        let Some((chunks, ids)) = &self.begun else {
            return Ok(());
        };
        let index = candidate.index;
        if index >= MOST {
            return Err(nonsense("it has too many candidates"));
        }
        let at = usize::try_from(index).unwrap_or(0);
        if self.choices.len() <= at {
            self.choices.resize(at + 1, Choice::default());
        }
        let choice = &mut self.choices[at];
        if !choice.begun {
            choice.begun = true;
            chunks.role(out, index);
        }
        for part in &candidate.parts {
            choice.part(part, index, chunks, ids, out)?;
        }
        for source in candidate.sources.iter().filter(|it| !it.uri.is_empty()) {
            chunks.entry(out, index, "annotations", choice.annotations, |it| {
                citation(it, source.uri, source.title, choice.written);
            });
            choice.annotations += 1;
        }
        if let Some(json) = candidate.logprobs.and_then(logprobs) {
            chunks.choice(out, index, Some(&json), None, |_| {});
        }
        self.searches = self.searches.max(candidate.searches);
        match candidate.finish {
            None if candidate.parts.is_empty() => {}
            None => choice.ends_somehow = false,
            Some("FINISH_REASON_UNSPECIFIED") => choice.ends_somehow = true,
            Some(reason) => match finish(reason, choice.calls > 0) {
                Finish::Reason(reason) => {
                    let refusal = candidate.refusal(reason);
                    if !refusal.is_empty() && choice.reason.is_none() {
                        chunks.delta(out, index, |it| it.string("refusal", refusal));
                    }
                    choice.reason = Some(reason);
                }
                Finish::Broken => return Err(broken(reason, candidate.message)),
            },
        }
        Ok(())
    }
}

impl Choice {
    /// Why it ended, where it did.
    fn ended(&self) -> Option<&'static str> {
        match self.reason.or(self.ends_somehow.then_some("stop")) {
            // They may have come behind the reason.
            Some("stop") if self.calls > 0 => Some("tool_calls"),
            reason => reason,
        }
    }

    fn part(
        &mut self,
        part: &Part<'_>,
        index: u64,
        chunks: &Chunks,
        ids: &Ids,
        out: &mut BytesMut,
    ) -> Result<(), Error> {
        match part.text {
            Some(text) if text.is_empty() => {}
            Some(text) if part.thought => {
                chunks.delta(out, index, |it| it.string("reasoning_content", text));
            }
            Some(text) => {
                self.written += text.length();
                chunks.delta(out, index, |it| it.string("content", text));
            }
            None => {}
        }
        let mut id = None;
        if let Some(piece) = &part.piece {
            id = self.piece(piece, part, index, chunks, ids, out)?;
        }
        if let Some(call) = &part.call {
            self.close(index, chunks, out);
            let given = ids.call(call, index, self.calls);
            chunks.delta(out, index, |delta| {
                delta.one("tool_calls", |one: &mut Object<'_>| {
                    one.number("index", self.calls);
                    one.string("id", given.words());
                    one.string("type", "function");
                    one.object("function", |function| {
                        function.string("name", call.name);
                        function.json_text("arguments", call.args.unwrap_or("{}"));
                    });
                    extra(one, part);
                });
            });
            self.calls += 1;
            id = Some(text_of(&given));
        }
        if let Some((name, json)) = part.of_server {
            let place = Place {
                characters: self.written,
                calls: self.calls,
            };
            let entry = of_server(name, json, part.signature, place);
            chunks.entry(out, index, "reasoning_details", self.details, |it| {
                it.members(&entry);
            });
            self.details += 1;
        } else if !part.signature.is_empty() {
            let entry = detail(id.as_deref().map(Words::Plain), part.signature);
            chunks.entry(out, index, "reasoning_details", self.details, |it| {
                it.members(&entry);
            });
            self.details += 1;
        }
        match &part.inline {
            Some(inline) if inline.is_audio() => {
                chunks.delta(out, index, |it| {
                    it.object("audio", |it| inline.media().write_audio(ids.answer(), it));
                });
            }
            Some(inline) => {
                chunks.entry(out, index, "images", self.images, |it| {
                    Picture::There(inline.media()).write(it);
                });
                self.images += 1;
            }
            None => {}
        }
        if let Some(uri) = part.image.filter(|uri| !uri.is_empty()) {
            chunks.entry(out, index, "images", self.images, |it| {
                Picture::At(uri.into()).write(it);
            });
            self.images += 1;
        }
        Ok(())
    }

    /// A part of a call whose arguments come in pieces; the id of the call.
    fn piece(
        &mut self,
        piece: &Piece<'_>,
        part: &Part<'_>,
        index: u64,
        chunks: &Chunks,
        ids: &Ids,
        out: &mut BytesMut,
    ) -> Result<Option<String>, Error> {
        piece.check()?;
        let call = &piece.call;
        if self.open.as_ref().is_some_and(|open| !open.is(call)) {
            self.close(index, chunks, out);
        }
        let mut id = None;
        if self.open.is_none() && !call.name.is_empty() {
            let given = ids.call(call, index, self.calls);
            chunks.delta(out, index, |delta| {
                delta.one("tool_calls", |one: &mut Object<'_>| {
                    one.number("index", self.calls);
                    one.string("id", given.words());
                    one.string("type", "function");
                    one.object("function", |function| {
                        function.string("name", call.name);
                        function.string("arguments", "");
                    });
                    extra(one, part);
                });
            });
            self.open = Some(Box::new(Open {
                ordinal: self.calls,
                name: call.name.0.to_owned(),
                id: call.id.0.to_owned(),
                pieces: Pieces::default(),
            }));
            self.calls += 1;
            id = Some(text_of(&given));
        }
        match (&mut self.open, piece.values) {
            (Some(open), Some(values)) => open.pieces.push(values)?,
            (None, Some(_)) => return Err(nonsense("a piece of arguments is of no call")),
            (_, None) => {}
        }
        if !piece.goes_on {
            self.close(index, chunks, out);
        }
        Ok(id)
    }

    /// The call whose arguments came in pieces has ended.
    fn close(&mut self, index: u64, chunks: &Chunks, out: &mut BytesMut) {
        if let Some(open) = self.open.take() {
            chunks.arguments(out, index, open.ordinal, &*open.pieces.json());
        }
    }
}

fn text_of(id: &Id<'_>) -> String {
    match id {
        Id::Theirs(id) => id.plain().into_owned(),
        Id::Ours(id) => id.clone(),
    }
}

impl TranslateStream for Stream {
    fn framing(&self) -> Framing {
        // Some that stand in for the API send the one where they are asked for the other.
        Framing::SseOrJsonArray
    }

    fn event(&mut self, _: Option<&str>, data: &[u8], out: &mut BytesMut) -> Result<(), Error> {
        if self.over || data.trim_ascii().is_empty() {
            return Ok(());
        }
        // An event is an object; some errors come in a list of one.
        if data.starts_with(b"[") {
            return Err(error::in_stream(data));
        }
        let bad = |why: Fault| nonsense("an event of its stream is not JSON").with_source(why);
        let mut reader = Reader::new(data).ok_or_else(|| nonsense("its stream is not UTF-8"))?;
        let response = Response::read(&mut reader).map_err(bad)?;
        if response.is_error {
            return Err(error::in_stream(data));
        }
        if let Some(counts) = response.usage {
            self.counts.get_or_insert_default().update(counts);
        }
        if self.begun.is_none() {
            let ids = Ids::new(response.id, &self.asked);
            let model = named(response.model, &self.asked);
            let chunks = Chunks::new(ids.answer(), self.asked.created, model);
            let chunks = chunks.folded(self.is_folded);
            self.begun = Some((chunks, ids));
        }
        for candidate in &response.candidates {
            self.candidate(candidate, out)?;
        }
        if response.blocked.is_some() {
            self.block(response.block_message, out);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut BytesMut) -> Result<(), Error> {
        let Some((chunks, _)) = &self.begun else {
            return Err(cut());
        };
        let mut begun = self.choices.iter().filter(|choice| choice.begun);
        if self.choices.is_empty() || begun.any(|choice| choice.ended().is_none()) {
            return Err(cut());
        }
        for (index, choice) in (0..).zip(&mut self.choices) {
            choice.close(index, chunks, out);
            if let Some(reason) = choice.ended() {
                chunks.finish(out, index, reason);
            }
        }
        if let Some(usage) = self.usage() {
            chunks.usage(out, &usage, self.counts.and_then(|counts| counts.tier));
        }
        Chunks::done(out);
        self.over = true;
        Ok(())
    }

    fn usage(&self) -> Option<Usage> {
        let mut usage = self.counts?.usage()?;
        usage.web_searches = charged(self.searches, &self.asked);
        Some(usage)
    }
}
