use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    error,
    model::Model,
    read::{Call, Candidate, Finish, Inline, Part, Response, finish},
    stream::Stream,
};
use crate::{
    error::Error,
    provider::{
        Answer, Asked, TranslateStream,
        chunks::Spent,
        completion,
        completion::{Choice, Media, Picture},
        json::{Object, Reader, Spelled, Words, compact},
        nonsense,
    },
    reframe::fold,
    sse::json_array,
    wire::{Usage, json::Fault, placed::Place},
};

/// Reads a whole answer.
pub(in crate::provider) fn answer(body: &[u8], asked: &Asked) -> Result<Answer, Error> {
    let bad = |why: Fault| nonsense("it is not an answer of the API").with_source(why);
    if body.trim_ascii_start().starts_with(b"[") {
        return listed(body, asked);
    }
    let mut reader = Reader::new(body).ok_or_else(|| nonsense("it is not UTF-8"))?;
    let response = Response::read(&mut reader).map_err(bad)?;
    if response.is_error {
        return Err(error::in_stream(body));
    }
    let ids = Ids::new(response.id, asked);
    let mut choices = Vec::with_capacity(response.candidates.len());
    let mut searches = 0;
    for candidate in &response.candidates {
        searches += candidate.searches;
        choices.push(choice(candidate, &ids)?);
    }
    if choices.is_empty() {
        let mut choice = Choice::default();
        if response.blocked.is_none() {
            return Err(nonsense("it has no candidates"));
        }
        choice.refusal(response.block_message);
        choice.reason = Some("content_filter");
        choices.push(choice);
    }
    let tier = response.usage.and_then(|counts| counts.tier);
    let counted = response.usage.and_then(|counts| counts.usage());
    let usage = counted.map(|mut usage: Usage| {
        usage.web_searches = charged(searches, asked);
        usage
    });
    let model = named(response.model, asked);
    Ok(completion::answer(
        ids.answer(),
        asked.created,
        model,
        &choices,
        Spent { usage, tier },
    ))
}

/// Reads an answer that comes as the list that it is streamed as, which some do that stand in for the
/// API; and an error, which comes so from the API itself.
fn listed(body: &[u8], asked: &Asked) -> Result<Answer, Error> {
    let mut decoder = json_array::Decoder::new();
    decoder.push(Bytes::copy_from_slice(body));
    let mut stream = Stream::folded(asked);
    let mut out = BytesMut::with_capacity(body.len());
    while let Some(element) = decoder.next().or_else(|| decoder.finish()) {
        let element = element.map_err(|why| nonsense("its list is broken").with_source(why))?;
        stream.event(None, element.data(), &mut out)?;
    }
    stream.finish(&mut out)?;
    let answer = Answer::new(fold(&out)?);
    Ok(match stream.usage() {
        Some(usage) => answer.with_usage(usage),
        None => answer,
    })
}

/// The searches that are charged: each that was made from the third generation on, before it the prompt
/// that led to any. Source: the provider's page on grounding with its search, read 2026-09.
pub(super) fn charged(searches: u64, asked: &Asked) -> u64 {
    if Model::of(&asked.model).third {
        searches
    } else {
        searches.min(1)
    }
}

/// The model that answered, else the one asked.
pub(super) fn named<'a>(model: Spelled<'a>, asked: &'a Asked) -> Words<'a> {
    if model.is_empty() {
        Words::Plain(&asked.model)
    } else {
        model.into()
    }
}

fn choice<'a>(candidate: &Candidate<'a>, ids: &Ids) -> Result<Choice<'a>, Error> {
    let mut choice = Choice::default();
    let mut calls = 0;
    let mut written = 0;
    for part in &candidate.parts {
        if let Some(text) = part.text {
            if part.thought {
                choice.reasoning(text);
            } else {
                written += text.length();
                choice.text(text);
            }
        }
        if let Some(call) = &part.call {
            let id = ids.call(call, candidate.index, calls);
            calls += 1;
            let (id, args) = (id.words(), call.args.unwrap_or("{}"));
            choice.call(id, call.name, args, |it| extra(it, part));
            if !part.signature.is_empty() {
                choice.detail(&detail(Some(id), part.signature));
            }
        } else if let Some((name, json)) = part.of_server {
            let place = Place {
                characters: written,
                calls,
            };
            choice.detail(&of_server(name, json, part.signature, place));
        } else if !part.signature.is_empty() {
            choice.detail(&detail(None, part.signature));
        }
        if let Some(piece) = &part.piece {
            if piece.values.is_some() {
                return Err(nonsense("the arguments of a call come in pieces"));
            }
            piece.check()?;
        }
        match &part.inline {
            Some(inline) if inline.is_audio() => {
                choice.speech(&ids.answer, inline.data);
            }
            Some(inline) => choice.images.push(Picture::There(inline.media())),
            None => {}
        }
        let image = part.image.filter(|uri| !uri.is_empty());
        choice
            .images
            .extend(image.map(|uri| Picture::At(uri.into())));
    }
    for source in candidate.sources.iter().filter(|it| !it.uri.is_empty()) {
        choice.annotation(|it| citation(it, source.uri, source.title, written));
    }
    choice.logprobs = candidate.logprobs.and_then(logprobs);
    let reason = candidate.finish.unwrap_or("STOP");
    match finish(reason, calls > 0) {
        Finish::Reason(reason) => {
            choice.reason = Some(reason);
            choice.refusal(candidate.refusal(reason));
        }
        Finish::Broken => return Err(broken(reason, candidate.message)),
    }
    Ok(choice)
}

/// The error for an answer that the provider itself calls broken.
pub(super) fn broken(reason: &str, message: Spelled<'_>) -> Error {
    let why = format!("{reason} {}", message.plain());
    nonsense("the model wrote a call that cannot be read").with_source(why.trim_end().to_owned())
}

/// Ids of calls to which the provider gave none, and of answers.
#[derive(Debug)]
pub(super) struct Ids {
    answer: String,
}

/// An id: the provider's, or one of ours.
pub(super) enum Id<'a> {
    Theirs(Spelled<'a>),
    Ours(String),
}

impl Id<'_> {
    pub(super) fn words(&self) -> Words<'_> {
        match self {
            Self::Theirs(id) => (*id).into(),
            Self::Ours(id) => Words::Plain(id),
        }
    }
}

impl Ids {
    pub(super) fn new(id: Spelled<'_>, asked: &Asked) -> Self {
        let answer = if id.is_empty() {
            asked.id().to_owned()
        } else {
            id.plain().into_owned()
        };
        Self { answer }
    }

    pub(super) fn answer(&self) -> Words<'_> {
        Words::Plain(&self.answer)
    }

    /// The id of a candidate's call by its ordinal.
    pub(super) fn call<'a>(&self, call: &Call<'a>, candidate: u64, ordinal: u64) -> Id<'a> {
        if call.id.is_empty() {
            Id::Ours(format!("call_{}_{candidate}_{ordinal}", self.answer))
        } else {
            Id::Theirs(call.id)
        }
    }
}

/// Puts a call's signature into it, where clients of Google's own compatible endpoint look for it.
pub(super) fn extra(call: &mut Object<'_>, part: &Part<'_>) {
    if !part.signature.is_empty() {
        call.object("extra_content", |extra| {
            extra.object("google", |google| {
                google.string("thought_signature", part.signature);
            });
        });
    }
}

/// An entry of `reasoning_details`: a signature, of a call or of the text.
pub(super) fn detail(call: Option<Words<'_>>, signature: Spelled<'_>) -> String {
    let mut out = BytesMut::new();
    {
        let mut entry = Object::open(&mut out);
        entry.string("type", "thought_signature");
        if let Some(id) = call {
            entry.string("id", id);
        }
        entry.string("signature", signature);
    }
    text(&out)
}

/// The same for a part that its own tools wrote, which it wants back at its place.
pub(super) fn of_server(
    name: &'static str,
    json: &str,
    signature: Spelled<'_>,
    place: Place,
) -> String {
    let mut out = BytesMut::new();
    {
        let mut entry = Object::open(&mut out);
        entry.string("type", "server_part");
        entry.object("part", |part| {
            part.raw(name, &compact(json));
            if !signature.is_empty() {
                part.string("thoughtSignature", signature);
            }
        });
        if let Some((name, place)) = place.member() {
            entry.raw(name, &place);
        }
    }
    text(&out)
}

impl<'a> Inline<'a> {
    pub(super) fn is_audio(&self) -> bool {
        self.kind.0.starts_with("audio/")
    }

    pub(super) fn media(&self) -> Media<'a> {
        Media {
            kind: self.kind,
            data: self.data,
        }
    }
}

/// A source on which the whole of the text so far rests.
pub(super) fn citation(it: &mut Object<'_>, uri: Spelled<'_>, title: Spelled<'_>, to: u64) {
    it.string("type", "url_citation");
    it.object("url_citation", |it| {
        it.string("url", uri);
        it.string("title", title);
        it.number("start_index", 0);
        it.number("end_index", to);
    });
}

fn text(out: &[u8]) -> String {
    String::from_utf8_lossy(out).into_owned()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Likelihoods {
    #[serde(default)]
    chosen_candidates: Vec<Token>,
    #[serde(default)]
    top_candidates: Vec<Top>,
}

#[derive(Deserialize)]
struct Top {
    #[serde(default)]
    candidates: Vec<Token>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    log_probability: f64,
}

impl Token {
    fn json(&self) -> Value {
        json!({
            "token": self.token,
            "logprob": self.log_probability,
            "bytes": self.token.as_bytes(),
        })
    }
}

/// Likelihoods in the API's form.
pub(super) fn logprobs(json: &str) -> Option<String> {
    let read: Likelihoods = serde_json::from_str(json).ok()?;
    let mut top = read.top_candidates.iter();
    let content: Vec<Value> = read
        .chosen_candidates
        .iter()
        .map(|token| {
            let top = top.next().map(|it| it.candidates.iter().map(Token::json));
            let mut one = token.json();
            one["top_logprobs"] = top
                .map(Iterator::collect::<Vec<_>>)
                .into_iter()
                .flatten()
                .collect();
            one
        })
        .collect();
    Some(json!({ "content": content, "refusal": null }).to_string())
}
