//! Several answers where the upstream gives one at a time.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, header, response::Parts};
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use tower::util::{Oneshot, ServiceExt};
use tower_layer::Layer;
use tower_service::Service;

use super::{future::cut, nonsense, whole::UsageOut};
use crate::{
    body::{BoxError, Full},
    dialect::Dialect,
    error::{Error, Kind},
    meter::{Outcome, Tally},
    parse::ChatBody,
    sse,
    wire::{Counting, Usage, chat::Text, json::Cursor},
};

/// Asks an upstream that knows no `n` for several answers at once, and makes one of them.
///
/// It goes around a [`Provider`](super::Provider) or any service of its kind. A request for one
/// answer passes untouched. For more, as many are sent at the same time, each without `n`; the
/// choices of the merged answer are numbered in their order, the chunks of a merged stream come as
/// they are made, and the usage is the sum, so that a layer outside charges once. If one fails, its
/// failure is the answer and the others are dropped: a refusal before the head went out, an error
/// event after. Dropping the response or its body drops them all.
///
/// ```
/// use http_body_util::BodyExt;
/// use tower::{Layer, ServiceExt};
/// use tower_completions::{
///     body::Full, mock::Upstream, parse::ParseLayer,
///     provider::{ParallelLayer, Provider, openai::OpenAi},
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let provider = Provider::new("mock", Upstream::new(), OpenAi::new("http://upstream/v1")?);
/// let service = ParseLayer::new().layer(ParallelLayer::new().layer(provider));
/// let body = r#"{"model":"mock/echo","n":2,"messages":[{"role":"user","content":"hi"}]}"#;
/// let response = service.oneshot(http::Request::post("/").body(Full::new(body))?).await?;
/// let answer = response.into_body().collect().await.expect("whole").to_bytes();
/// let answer: serde_json::Value = serde_json::from_slice(&answer)?;
/// assert_eq!(answer["choices"][1]["index"], 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct ParallelLayer {
    most: u32,
}

impl ParallelLayer {
    /// At most 16 at once.
    pub const fn new() -> Self {
        Self { most: 16 }
    }

    /// The most answers that are asked for at once; a request for more is refused: 400
    /// `invalid_value`. Default: 16.
    pub const fn at_most(mut self, answers: u32) -> Self {
        self.most = answers;
        self
    }
}

impl Default for ParallelLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for ParallelLayer {
    type Service = Parallel<S>;

    fn layer(&self, inner: S) -> Parallel<S> {
        Parallel {
            inner,
            most: self.most,
        }
    }
}

/// See [`ParallelLayer`].
#[derive(Clone, Debug)]
pub struct Parallel<S> {
    inner: S,
    most: u32,
}

impl<S, B> Service<Request<ChatBody>> for Parallel<S>
where
    S: Service<Request<ChatBody>, Response = Response<B>> + Clone,
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Response = Response<ParallelBody<B>>;
    type Error = S::Error;
    type Future = ParallelFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ChatBody>) -> ParallelFuture<S, B> {
        let n = request.body().chat().n();
        if n <= 1 {
            let call = self.inner.call(request);
            return ParallelFuture {
                state: State::One { call },
            };
        }
        if n > self.most {
            let message = format!("`n` must be at most {} for this model, got {n}", self.most);
            let error = Error::new(Kind::Value, message)
                .with_param("n")
                .with_code("invalid_value");
            return ParallelFuture {
                state: State::Refused { error: Some(error) },
            };
        }
        request.body_mut().chat_mut().remove("n");
        // The service that was made ready serves the first; the others are made ready in time.
        let clone = self.inner.clone();
        let mut ready = Some(mem::replace(&mut self.inner, clone));
        let branches = (0..n)
            .map(|_| {
                let service = ready.take().unwrap_or_else(|| self.inner.clone());
                Branch {
                    call: Some(Box::pin(service.oneshot(request.clone()))),
                    answer: None,
                    text: BytesMut::new(),
                    ended: false,
                }
            })
            .collect();
        ParallelFuture {
            state: State::Many { branches },
        }
    }
}

pin_project! {
    /// The response of [`Parallel`]. Dropping it drops every request under way.
    pub struct ParallelFuture<S, B>
    where
        S: Service<Request<ChatBody>>,
    {
        #[pin]
        state: State<S, B, S::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, F>
    where
        S: Service<Request<ChatBody>>,
    {
        One { #[pin] call: F },
        Refused { error: Option<Error> },
        Many { branches: Vec<Branch<S, B>> },
    }
}

type Call<S> = Pin<Box<Oneshot<S, Request<ChatBody>>>>;

/// One of the requests, boxed: they move in a list, and asking is what costs.
struct Branch<S: Service<Request<ChatBody>>, B> {
    call: Option<Call<S>>,
    answer: Option<(Parts, Pin<Box<B>>)>,
    text: BytesMut,
    ended: bool,
}

impl<S: Service<Request<ChatBody>>, B> fmt::Debug for ParallelFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ParallelFuture")
    }
}

impl<S, B> Future for ParallelFuture<S, B>
where
    S: Service<Request<ChatBody>, Response = Response<B>> + Clone,
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<ParallelBody<B>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::One { call } => {
                let pass = |body| ParallelBody::of(Which::One { body });
                call.poll(cx).map_ok(|response| response.map(pass))
            }
            StateProj::Refused { error } => {
                let error = error.take().expect("polled after completion");
                Poll::Ready(Ok(refuse(error)))
            }
            StateProj::Many { branches } => poll_many(branches, cx),
        }
    }
}

fn poll_many<S, B>(
    branches: &mut Vec<Branch<S, B>>,
    cx: &mut Context<'_>,
) -> Poll<Result<Response<ParallelBody<B>>, S::Error>>
where
    S: Service<Request<ChatBody>, Response = Response<B>> + Clone,
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    for at in 0..branches.len() {
        let Some(call) = &mut branches[at].call else {
            continue;
        };
        let Poll::Ready(response) = call.as_mut().poll(cx) else {
            continue;
        };
        let (parts, body) = response?.into_parts();
        branches[at].call = None;
        if !parts.status.is_success() {
            // The others end here.
            branches.clear();
            let body = Which::Boxed {
                body: Box::pin(body),
            };
            return Poll::Ready(Ok(Response::from_parts(parts, ParallelBody::of(body))));
        }
        branches[at].answer = Some((parts, Box::pin(body)));
    }
    if branches.iter().any(|branch| branch.call.is_some()) {
        return Poll::Pending;
    }
    let heads = branches.iter().filter_map(|branch| branch.answer.as_ref());
    if heads.clone().all(|(parts, _)| is_stream(parts)) {
        let answers = branches.drain(..).filter_map(|branch| branch.answer);
        return Poll::Ready(Ok(merged_stream(answers.collect())));
    }
    let mut waiting = false;
    for branch in branches.iter_mut() {
        let Some((_, body)) = branch.answer.as_mut().filter(|_| !branch.ended) else {
            continue;
        };
        loop {
            match body.as_mut().poll_frame(cx) {
                Poll::Pending => {
                    waiting = true;
                    break;
                }
                Poll::Ready(None) => {
                    branch.ended = true;
                    break;
                }
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(chunk) = frame.into_data() {
                        branch.text.extend_from_slice(&chunk);
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    branches.clear();
                    return Poll::Ready(Ok(refuse(cut().with_source(error))));
                }
            }
        }
    }
    if waiting {
        return Poll::Pending;
    }
    let answers = mem::take(branches).into_iter();
    let answers = answers.filter_map(|branch| Some((branch.answer?.0, branch.text)));
    Poll::Ready(Ok(merged_whole(answers.collect())))
}

fn is_stream(parts: &Parts) -> bool {
    let kind = parts.headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

fn refuse<B>(error: Error) -> Response<ParallelBody<B>> {
    let own = |body| ParallelBody::of(Which::Own { body });
    error.response(&Dialect::openai()).map(own)
}

/// The head of the first, with a tally for all.
fn merged_head<B>(mut first: Parts, tally: &Tally, which: Which<B>) -> Response<ParallelBody<B>> {
    first.headers.remove(header::CONTENT_LENGTH);
    first.extensions.insert(tally.clone());
    Response::from_parts(first, ParallelBody::of(which))
}

/// The members of an object in their order, their values as text.
struct Members<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(member) = map.next_entry()? {
                    all.push(member);
                }
                Ok(Members(all))
            }
        }

        deserializer.deserialize_map(Each)
    }
}

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.0.iter().find(|(key, _)| &**key == name);
        found.map(|(_, value)| *value)
    }

    fn choices(&self) -> serde_json::Result<Vec<Self>> {
        let raw = self.get("choices").map_or("[]", RawValue::get);
        let choices: Option<Vec<Self>> = serde_json::from_str(raw)?;
        Ok(choices.unwrap_or_default())
    }

    fn usage(&self) -> Option<Usage> {
        let raw = self.get("usage")?.get();
        Usage::read(&mut Cursor::new(raw), Counting::Plain).ok()?
    }

    /// Writes them, those named in `with` replaced; what is there and not here comes last.
    fn write(&self, with: &[(&str, &str)], out: &mut Vec<u8>) {
        let mut first = true;
        let mut member = |name: &str, json: &str| {
            out.push(if mem::take(&mut first) { b'{' } else { b',' });
            serde_json::to_writer(&mut *out, name).expect("a string serialises into memory");
            out.push(b':');
            out.extend_from_slice(json.as_bytes());
        };
        for (name, value) in &self.0 {
            let replaced = with.iter().find(|(key, _)| *key == &**name);
            member(name, replaced.map_or(value.get(), |(_, json)| json));
        }
        for (name, json) in with {
            if self.get(name).is_none() {
                member(name, json);
            }
        }
        if first {
            out.push(b'{');
        }
        out.push(b'}');
    }
}

/// The choices of one answer under the number that they have among all.
fn numbered(choices: &[Members<'_>], nth: usize, out: &mut Vec<u8>) {
    for choice in choices {
        if out.len() > 1 {
            out.push(b',');
        }
        choice.write(&[("index", &nth.to_string())], out);
    }
}

fn unreadable(error: serde_json::Error) -> Error {
    nonsense("it is not a JSON object").with_source(error)
}

fn merged_whole<B>(answers: Vec<(Parts, BytesMut)>) -> Response<ParallelBody<B>> {
    let tally = Tally::new();
    match whole(&answers, &tally) {
        Err(error) => refuse(error),
        Ok(body) => {
            let mut answers = answers.into_iter();
            let Some((first, _)) = answers.next() else {
                return refuse(cut());
            };
            let body = Full::new(body);
            merged_head(first, &tally, Which::Own { body })
        }
    }
}

fn whole(answers: &[(Parts, BytesMut)], tally: &Tally) -> Result<Vec<u8>, Error> {
    let read: Result<Vec<Members<'_>>, _> = answers
        .iter()
        .map(|(_, text)| serde_json::from_slice(text))
        .collect();
    let read = read.map_err(unreadable)?;
    let mut choices = vec![b'['];
    for (nth, one) in read.iter().enumerate() {
        numbered(&one.choices().map_err(unreadable)?, nth, &mut choices);
    }
    choices.push(b']');
    let choices = String::from_utf8_lossy(&choices);
    let counted = |(parts, one): (&Parts, &Members<'_>)| {
        let noted = parts.extensions.get::<Tally>().and_then(Tally::usage);
        noted.or_else(|| one.usage())
    };
    let heads = answers.iter().map(|(parts, _)| parts);
    let usage = sum(heads.zip(&read).map(counted));
    let usage_json = usage.as_ref().map(|usage| {
        serde_json::to_string(&UsageOut::of(usage)).expect("numbers serialise into memory")
    });
    let mut with = vec![("choices", &*choices)];
    if let (Some(usage), Some(json)) = (usage, &usage_json) {
        tally.record_usage(usage);
        with.push(("usage", json));
    }
    let mut out = Vec::new();
    if let Some(first) = read.first() {
        first.write(&with, &mut out);
    }
    Ok(out)
}

fn merged_stream<B>(answers: Vec<(Parts, Pin<Box<B>>)>) -> Response<ParallelBody<B>> {
    let tally = Tally::new();
    let mut first = None;
    let mut branches = Vec::with_capacity(answers.len());
    for (parts, body) in answers {
        branches.push(Some(Strand {
            body,
            decoder: sse::Decoder::new(),
            tally: parts.extensions.get::<Tally>().cloned(),
        }));
        first.get_or_insert(parts);
    }
    let Some(mut first) = first else {
        return refuse(cut());
    };
    first.headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    let streams = Streams {
        usage: vec![None; branches.len()],
        branches,
        names: Vec::new(),
        tally: tally.clone(),
        out: Vec::new(),
        over: false,
    };
    merged_head(first, &tally, Which::Streams { streams })
}

/// Several streams becoming one.
struct Streams<B> {
    /// `None` where one has ended.
    branches: Vec<Option<Strand<B>>>,
    usage: Vec<Option<Usage>>,
    /// `id`, `created` and `model` of the first chunk, which are everyone's.
    names: Vec<(&'static str, Box<str>)>,
    tally: Tally,
    out: Vec<u8>,
    over: bool,
}

struct Strand<B> {
    body: Pin<Box<B>>,
    decoder: sse::Decoder,
    tally: Option<Tally>,
}

impl<B> Streams<B>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        for nth in 0..self.branches.len() {
            while let Some(strand) = self.branches.get_mut(nth).and_then(Option::as_mut) {
                let Poll::Ready(frame) = strand.body.as_mut().poll_frame(cx) else {
                    break;
                };
                let read = match frame {
                    None => self.ended(nth),
                    Some(Err(error)) => Err(cut().with_source(error)),
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(chunk) => self.take(nth, chunk),
                        Err(_) => Ok(()),
                    },
                };
                if let Err(error) = read {
                    self.fail(&error);
                }
            }
        }
        if !self.over && self.branches.iter().all(Option::is_none) {
            self.finish();
        }
        if !self.out.is_empty() {
            return Poll::Ready(Some(mem::take(&mut self.out).into()));
        }
        if self.over {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    }

    fn take(&mut self, nth: usize, chunk: Bytes) -> Result<(), Error> {
        if let Some(strand) = self.branches.get_mut(nth).and_then(Option::as_mut) {
            strand.decoder.push(chunk);
        }
        while let Some(strand) = self.branches.get_mut(nth).and_then(Option::as_mut) {
            let Some(event) = strand.decoder.next() else {
                break;
            };
            let broken = |error| nonsense("its stream is broken").with_source(error);
            self.event(nth, &event.map_err(broken)?)?;
        }
        Ok(())
    }

    fn event(&mut self, nth: usize, event: &sse::Event) -> Result<(), Error> {
        let data = event.data();
        if data.starts_with(b"[DONE]") {
            self.close(nth);
            return Ok(());
        }
        let chunk: Members<'_> = serde_json::from_slice(data).map_err(unreadable)?;
        if chunk
            .get("error")
            .is_some_and(|error| error.get() != "null")
        {
            // As it was told; what ended this one ends all.
            sse::write_event(&mut self.out, None, data);
            let inner = self.branches[nth].as_ref().and_then(|it| it.tally.as_ref());
            let outcome = inner.and_then(Tally::outcome);
            let outcome = outcome.unwrap_or_else(|| Outcome::Failed(cut()));
            self.end(outcome);
            return Ok(());
        }
        if let Some(usage) = chunk.usage() {
            self.usage[nth] = Some(usage);
        }
        let choices = chunk.choices().map_err(unreadable)?;
        if choices.is_empty() {
            return Ok(());
        }
        if self.names.is_empty() {
            for name in ["id", "created", "model"] {
                if let Some(value) = chunk.get(name) {
                    self.names.push((name, value.get().into()));
                }
            }
        }
        let mut list = vec![b'['];
        numbered(&choices, nth, &mut list);
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

    /// One has said all. Its own counts are taken where its chunks had none.
    fn close(&mut self, nth: usize) {
        let strand = self.branches[nth].take();
        let noted = strand.and_then(|strand| strand.tally?.usage());
        self.usage[nth] = self.usage[nth].or(noted);
        if let Some(usage) = sum(self.usage.iter().copied()) {
            self.tally.record_usage(usage);
        }
    }

    /// An end without `[DONE]` is none.
    fn ended(&mut self, nth: usize) -> Result<(), Error> {
        while let Some(strand) = self.branches.get_mut(nth).and_then(Option::as_mut) {
            let Some(event) = strand.decoder.finish() else {
                return Err(cut());
            };
            let broken = |error| nonsense("its stream is broken").with_source(error);
            self.event(nth, &event.map_err(broken)?)?;
        }
        Ok(())
    }

    fn finish(&mut self) {
        if let Some(usage) = sum(self.usage.iter().copied()) {
            let json = serde_json::to_string(&UsageOut::of(&usage));
            let json = json.expect("numbers serialise into memory");
            let names = Members(Vec::new());
            let mut with = vec![("object", "\"chat.completion.chunk\""), ("choices", "[]")];
            with.extend(self.names.iter().map(|(name, json)| (*name, &**json)));
            with.push(("usage", &json));
            self.out.extend_from_slice(b"data: ");
            names.write(&with, &mut self.out);
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
        self.branches.clear();
        self.tally.end(outcome);
    }
}

/// What was used by all, as soon as every one has said.
fn sum(each: impl IntoIterator<Item = Option<Usage>>) -> Option<Usage> {
    let mut each = each.into_iter();
    let first = each.next()??;
    each.try_fold(first, |mut all, one| {
        let one = one?;
        for (sum, count) in [
            (&mut all.input, one.input),
            (&mut all.cached_input, one.cached_input),
            (&mut all.cache_write, one.cache_write),
            (&mut all.cache_write_1h, one.cache_write_1h),
            (&mut all.audio_input, one.audio_input),
            (&mut all.image_input, one.image_input),
            (&mut all.output, one.output),
            (&mut all.reasoning, one.reasoning),
            (&mut all.audio_output, one.audio_output),
        ] {
            *sum = sum.saturating_add(count);
        }
        Some(all)
    })
}

pin_project! {
    /// The body of [`Parallel`]: the only one's, or several in one.
    pub struct ParallelBody<B> {
        #[pin]
        which: Which<B>,
    }
}

pin_project! {
    #[project = WhichProj]
    enum Which<B> {
        One { #[pin] body: B },
        Boxed { body: Pin<Box<B>> },
        Own { body: Full },
        Streams { streams: Streams<B> },
    }
}

impl<B> ParallelBody<B> {
    const fn of(which: Which<B>) -> Self {
        Self { which }
    }
}

impl<B> fmt::Debug for ParallelBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ParallelBody")
    }
}

impl<B> HttpBody for ParallelBody<B>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().which.project() {
            WhichProj::One { body } => body.poll_frame(cx).map_err(Into::into),
            WhichProj::Boxed { body } => body.as_mut().poll_frame(cx).map_err(Into::into),
            WhichProj::Own { body } => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            WhichProj::Streams { streams } => {
                let chunk = ready!(streams.poll(cx));
                Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.which {
            Which::One { body } => body.is_end_stream(),
            Which::Boxed { body } => body.is_end_stream(),
            Which::Own { body } => body.is_end_stream(),
            Which::Streams { streams } => streams.over && streams.out.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.which {
            Which::One { body } => body.size_hint(),
            Which::Boxed { body } => body.size_hint(),
            Which::Own { body } => body.size_hint(),
            Which::Streams { .. } => SizeHint::default(),
        }
    }
}
