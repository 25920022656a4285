use std::{
    convert::Infallible,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, response};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Answer, Body, Notes, RateHeaders, Translate,
    body::Told,
    customs,
    cut::Spellings,
    functions,
    rest::{Judge, Rest},
    service::{Config, unreachable},
    translate::{Asked, Framing, TranslateStream},
};
use crate::{
    body::{BoxError, Full, Pieces},
    dialect::Dialect,
    error::{Class, Error, Kind},
    ext::Sending,
    media,
    meter::Tally,
    observe::Calls,
    wire::Counting,
};

/// The most of a refusal's body that is read, in bytes.
const REFUSAL: usize = 64 << 10;

pin_project! {
    /// The response of a `Provider`. Dropping it drops the client's future.
    pub struct ResponseFuture<C, B, T>
    where
        C: Service<Request<Full>>,
    {
        #[pin]
        state: State<C, B, C::Future>,
        asked: Asked,
        notes: Notes,
        key: Spellings,
        calls: Option<Calls>,
        config: Arc<Config<T>>,
    }
}

pin_project! {
    #[project = StateProj]
    pub(super) enum State<C, B, F> {
        Refused { error: Option<Error> },
        // In a box: nearly all clients are ready before.
        Waiting { waiting: Option<Box<(C, Request<Full>)>> },
        Calling { #[pin] call: F },
        Collecting { head: Option<response::Parts>, #[pin] body: B, read: Pieces },
    }
}

impl<C: Service<Request<Full>>, B> State<C, B, C::Future> {
    /// Asks a client that is ready.
    pub(super) fn calling(
        client: &mut C,
        request: Request<Full>,
        sending: Option<&Sending>,
    ) -> Self {
        let call = Sending::sends(sending, || client.call(request));
        Self::Calling { call }
    }

    /// Asks one once it is ready.
    pub(super) fn waiting(client: C, request: Request<Full>) -> Self {
        let waiting = Some(Box::new((client, request)));
        Self::Waiting { waiting }
    }

    /// Asks nobody.
    pub(super) fn refused(error: Error) -> Self {
        Self::Refused { error: Some(error) }
    }
}

impl<C: Service<Request<Full>>, B, T> ResponseFuture<C, B, T> {
    pub(super) fn new(
        state: State<C, B, C::Future>,
        notes: Notes,
        asked: Asked,
        key: Spellings,
        calls: Option<Calls>,
        config: Arc<Config<T>>,
    ) -> Self {
        Self {
            state,
            asked,
            notes,
            key,
            calls,
            config,
        }
    }
}

impl<C: Service<Request<Full>>, B, T> fmt::Debug for ResponseFuture<C, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("provider::ResponseFuture")
    }
}

impl<C, B, T> Future for ResponseFuture<C, B, T>
where
    C: Service<Request<Full>, Response = Response<B>>,
    C::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
    T: Translate,
{
    type Output = Result<Response<Body<B, T::Stream>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = ready!(self.as_mut().answer(cx));
        self.notes.write_headers(response.headers_mut());
        let counting = self.config.translate.counting();
        if counting != Counting::Plain {
            response.extensions_mut().insert(counting);
        }
        Poll::Ready(Ok(response))
    }
}

impl<C, B, T> ResponseFuture<C, B, T>
where
    C: Service<Request<Full>, Response = Response<B>>,
    C::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
    T: Translate,
{
    fn answer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<Body<B, T::Stream>>> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Refused { error } => {
                    let error = error.take().expect("polled after completion");
                    return Poll::Ready(refuse(error, None));
                }
                StateProj::Waiting { waiting } => {
                    let (client, _) = &mut **waiting.as_mut().expect("sent once");
                    match ready!(client.poll_ready(cx)) {
                        Err(error) => State::refused(unreachable(error)),
                        Ok(()) => {
                            let (mut client, request) = *waiting.take().expect("looked at above");
                            let sending = request.extensions().get::<Sending>().cloned();
                            State::calling(&mut client, request, sending.as_ref())
                        }
                    }
                }
                StateProj::Calling { call } => match ready!(call.poll(cx)) {
                    Err(error) => State::refused(unreachable(error)),
                    Ok(response) => {
                        if let Some(calls) = this.calls.take() {
                            calls.answered(response.status());
                        }
                        let (mut head, body) = response.into_parts();
                        // What the client has added to the request, beside our own.
                        if let Some(theirs) = head.extensions.remove::<Spellings>() {
                            *this.key = mem::take(this.key).and(theirs);
                        }
                        if head.status.is_success() && is_packed(&head.headers) {
                            let error = nonsense("it is compressed, which nobody had asked for");
                            return Poll::Ready(refuse(error, RateHeaders::read(&head.headers)));
                        }
                        if let Some(state) = streams(&head, this.asked, this.config) {
                            let limit = this.config.max_bytes;
                            return Poll::Ready(stream(
                                &head, body, state, this.key, this.asked, limit,
                            ));
                        }
                        State::Collecting {
                            head: Some(head),
                            body,
                            read: Pieces::default(),
                        }
                    }
                },
                StateProj::Collecting {
                    head,
                    mut body,
                    read,
                } => {
                    let refusal = head.as_ref().is_some_and(|head| !head.status.is_success());
                    let limit = if refusal {
                        REFUSAL
                    } else {
                        this.config.max_bytes
                    };
                    let ended = loop {
                        match ready!(body.as_mut().poll_frame(cx)) {
                            None => break Ok(()),
                            Some(Err(error)) => break Err(cut().with_cause(error)),
                            Some(Ok(frame)) => {
                                if let Ok(chunk) = frame.into_data() {
                                    read.push(chunk);
                                }
                                if read.len() > limit {
                                    break Err(nonsense("it is too large"));
                                }
                            }
                        }
                    };
                    let head = head.take().expect("polled after completion");
                    let limits = RateHeaders::read(&head.headers);
                    if refusal {
                        // What could be read of it must do.
                        let body = this.key.cut(read.take());
                        let translate = &this.config.translate;
                        let error = translate.error(head.status, &head.headers, &body);
                        return Poll::Ready(refuse(error, limits));
                    }
                    let answer = ended.and_then(|()| {
                        let body = this.key.cut(read.take());
                        this.config.translate.answer(this.asked, body)
                    });
                    return Poll::Ready(match answer {
                        Err(error) => refuse(error, limits),
                        Ok(answer) => whole(answer, this.asked, head.headers, limits),
                    });
                }
            };
            this.state.set(next);
        }
    }
}

/// What the layers outside put into an answer fits in: a map that grows is made anew.
pub(super) const HEADERS: usize = 12;

/// The map that the upstream's headers came in, with room for ours. One that is much larger than they
/// need is not kept: a server may hold on to it for the next request of its connection.
fn emptied(mut theirs: HeaderMap) -> HeaderMap {
    if !is_kept(&theirs) {
        return HeaderMap::with_capacity(HEADERS);
    }
    theirs.clear();
    theirs.reserve(HEADERS);
    theirs
}

fn is_kept(theirs: &HeaderMap) -> bool {
    // What a name has beside its first value no capacity tells of.
    theirs.capacity() <= 2 * HEADERS && theirs.len() <= 2 * HEADERS
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Whether the body is in a coding. A client that unpacks takes the header away, or its value.
fn is_packed(headers: &HeaderMap) -> bool {
    let coding = headers.get(header::CONTENT_ENCODING);
    let coding = coding.map(HeaderValue::as_bytes);
    coding.is_some_and(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

fn is_stream(headers: &HeaderMap, framing: Option<Framing>) -> bool {
    // Some servers send a stream with no content type at all; JSON and HTML are never one.
    media::essence(headers).is_none_or(|kind| {
        let array = matches!(framing, Some(Framing::JsonArray | Framing::SseOrJsonArray));
        [
            "text/event-stream",
            "application/x-ndjson",
            "application/vnd.amazon.eventstream",
        ]
        .iter()
        .chain(array.then_some(&"application/json"))
        .any(|stream| kind.eq_ignore_ascii_case(stream.as_bytes()))
    })
}

/// What translates a successful answer's events, if it has any: `None` for what comes whole.
#[inline(always)]
fn streams<T: Translate>(
    head: &response::Parts,
    asked: &Asked,
    config: &Config<T>,
) -> Option<Option<T::Stream>> {
    // Some stream what was to come whole: that passes, too, and is folded outside, where an error in it keeps
    // its class.
    let may = head.status.is_success() && (asked.stream || media::is_events(&head.headers));
    if !may {
        return None;
    }
    let state = config.translate.stream(asked);
    let framing = state.as_ref().map(T::Stream::framing);
    is_stream(&head.headers, framing).then_some(state)
}

/// A whole answer, translated, under a head of its own.
#[inline(always)]
fn whole<B, S>(
    answer: Answer,
    asked: &Asked,
    theirs: HeaderMap,
    limits: Option<RateHeaders>,
) -> Response<Body<B, S>> {
    let told = match &asked.customs {
        _ if asked.functions => functions::deprecated(&answer.body),
        Some(names) => customs::answer(names, &answer.body),
        None => None,
    };
    let body = told.map_or(answer.body, Into::into);
    let mut response = Response::new(Body::whole(body));
    *response.headers_mut() = emptied(theirs);
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    let tally = match answer.usage {
        Some(usage) => {
            let tally = Tally::new();
            tally.record_usage(usage);
            tally
        }
        None => Tally::unread(),
    };
    response.extensions_mut().insert(tally);
    if let Some(limits) = limits {
        response.extensions_mut().insert(limits);
    }
    response
}

fn stream<B, S: super::TranslateStream>(
    head: &response::Parts,
    body: B,
    state: Option<S>,
    key: &Spellings,
    asked: &Asked,
    limit: usize,
) -> Response<Body<B, S>> {
    // There for a stream that passes as it is, too: who reads it outside writes here, and a router
    // in between learns how it ended.
    let tally = if state.is_some() {
        Tally::new()
    } else {
        Tally::unread()
    };
    let typed = media::kind(&head.headers).is_some();
    let told = Told::of(asked);
    let passes = state.is_none() && matches!(told, Told::AsTheyAre);
    let body = if passes && !typed {
        Body::untyped(body, key.clone(), limit)
    } else {
        Body::stream(body, state, &tally, key.clone(), told)
    };
    let rest = head.extensions.get::<Rest>();
    let judge = rest.map(|rest| Judge::new(rest.clone(), &tally));
    let mut response = Response::new(body.judged_by(judge));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().reserve(HEADERS);
    let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.extensions_mut().insert(tally);
    if let Some(limits) = RateHeaders::read(&head.headers) {
        response.extensions_mut().insert(limits);
    }
    response
}

fn refuse<B, S>(error: Error, limits: Option<RateHeaders>) -> Response<Body<B, S>> {
    let mut response = error.response(&Dialect::openai()).map(Body::refusal);
    if let Some(limits) = limits {
        response.extensions_mut().insert(limits);
    }
    response
}

/// The upstream broke off its answer.
pub(super) fn cut() -> Error {
    Error::new(Kind::BadUpstream, "The upstream cut its answer short.").with_class(Class::Transient)
}

/// The upstream's answer makes no sense.
pub(crate) fn nonsense(why: &'static str) -> Error {
    Error::new(
        Kind::BadUpstream,
        format!("The upstream's answer cannot be used: {why}."),
    )
    .with_class(Class::Transient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_packed_by_a_coding_that_is_named() {
        for (coding, packed) in [
            ("gzip", true),
            ("identity", false),
            ("", false),
            ("GZIP, br", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
            assert_eq!(is_packed(&headers), packed, "{coding:?}");
        }
        assert!(!is_packed(&HeaderMap::new()));
    }

    #[test]
    fn a_large_map_of_headers_is_not_kept() {
        let mut cookies = HeaderMap::with_capacity(HEADERS);
        let mut names = HeaderMap::new();
        for at in 0..200 {
            let name = http::HeaderName::try_from(format!("x-{at}")).expect("a name");
            names.insert(name, HeaderValue::from_static("a"));
            cookies.append(header::SET_COOKIE, HeaderValue::from_static("a=b"));
        }
        // Of one name, too, whose values no capacity tells of.
        assert!(!is_kept(&names) && !is_kept(&cookies));
        for theirs in [names, cookies] {
            let ours = emptied(theirs);
            assert!(ours.is_empty() && !ours.contains_key(header::SET_COOKIE));
            assert!((HEADERS..=2 * HEADERS).contains(&ours.capacity()));
        }
        let mut small = HeaderMap::new();
        small.append(header::SET_COOKIE, HeaderValue::from_static("a=b"));
        small.append(header::SET_COOKIE, HeaderValue::from_static("c=d"));
        assert!(is_kept(&small) && emptied(small).is_empty());
    }
}
