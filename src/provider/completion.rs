//! A whole `chat.completion`, put together from the pieces of a provider's answer.

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use super::{
    Answer, Asked, base64,
    chunks::{Spent, write_tier, write_usage},
    json::{Object, Spelled, Words, compact, quote},
};

/// One choice as it grows. Its texts stay where they are, and are joined when it is written.
#[derive(Debug, Default)]
pub(super) struct Choice<'a> {
    text: Texts<'a>,
    reasoning: Texts<'a>,
    refusal: Texts<'a>,
    /// Elements of JSON arrays, each already written.
    calls: BytesMut,
    details: BytesMut,
    annotations: BytesMut,
    citations: BytesMut,
    /// JSON.
    pub(super) logprobs: Option<String>,
    pub(super) images: Vec<Picture<'a>>,
    speech: Option<Speech<'a>>,
    pub(super) reason: Option<&'static str>,
}

/// An image of the answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Picture<'a> {
    There(Media<'a>),
    /// At an address.
    At(Words<'a>),
}

impl Picture<'_> {
    /// As those clients read it that know images in answers.
    pub(super) fn write(self, image: &mut Object<'_>) {
        image.string("type", "image_url");
        image.object("image_url", |it| match self {
            Self::There(media) => {
                let pieces = [
                    Words::Plain("data:"),
                    media.kind.into(),
                    Words::Plain(";base64,"),
                    media.data.into(),
                ];
                it.strings("url", pieces.into_iter());
            }
            Self::At(url) => it.string("url", url),
        });
    }

    /// At least so many bytes.
    fn len(&self) -> usize {
        match self {
            Self::There(media) => media.data.0.len(),
            Self::At(url) => url.len(),
        }
    }
}

/// An image or a sound of the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Media<'a> {
    pub(super) kind: Spelled<'a>,
    /// In base64.
    pub(super) data: Spelled<'a>,
}

impl Media<'_> {
    pub(super) fn write_audio(self, id: Words<'_>, audio: &mut Object<'_>) {
        write_audio(id, [self.data.into()].into_iter(), audio);
    }
}

/// Speech, and the id under which it may be named later.
#[derive(Debug)]
struct Speech<'a> {
    id: String,
    /// Each in base64 of its own.
    pieces: SmallVec<[Spelled<'a>; 1]>,
}

impl Speech<'_> {
    fn write(&self, audio: &mut Object<'_>) {
        let id = Words::Plain(&self.id);
        match &self.joined() {
            Some(whole) => write_audio(id, [Words::Plain(whole)].into_iter(), audio),
            None => write_audio(id, self.pieces.iter().map(|it| (*it).into()), audio),
        }
    }

    /// As one text in base64; `None` where the pieces are one as they stand, or cannot be read.
    fn joined(&self) -> Option<String> {
        let (_, before) = self.pieces.split_last()?;
        // Without padding each ends with a byte.
        let is_whole = |it: &Spelled<'_>| it.0.len() % 4 == 0 && !it.0.contains(['=', '\\']);
        if before.iter().all(is_whole) {
            return None;
        }
        let mut bytes = Vec::new();
        for piece in &self.pieces {
            bytes.append(&mut base64::decode(&piece.plain())?);
        }
        Some(base64::encode(&bytes))
    }
}

fn write_audio<'w>(id: Words<'_>, data: impl Iterator<Item = Words<'w>>, audio: &mut Object<'_>) {
    audio.string("id", id);
    audio.string("transcript", "");
    audio.number("expires_at", 0);
    // What is long comes last, so that it is not moved again for what is behind it.
    audio.strings("data", data);
}

/// A text in pieces.
#[derive(Debug, Default)]
struct Texts<'a>(SmallVec<[Piece<'a>; 1]>);

#[derive(Debug)]
enum Piece<'a> {
    There(Words<'a>),
    Made(String),
}

impl Piece<'_> {
    fn words(&self) -> Words<'_> {
        match self {
            Self::There(words) => *words,
            Self::Made(text) => Words::Plain(text),
        }
    }
}

impl<'a> Texts<'a> {
    fn push(&mut self, words: Words<'a>) {
        if !words.is_empty() {
            self.0.push(Piece::There(words));
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// At least so many bytes.
    fn len(&self) -> usize {
        self.0.iter().map(|piece| piece.words().len()).sum()
    }

    fn write(&self, name: &'static str, message: &mut Object<'_>) {
        message.strings(name, self.0.iter().map(Piece::words));
    }
}

impl<'a> Choice<'a> {
    pub(super) fn text(&mut self, words: impl Into<Words<'a>>) {
        self.text.push(words.into());
    }

    /// JSON that is the text itself.
    pub(super) fn json(&mut self, json: &str) {
        self.text.0.push(Piece::Made(compact(json).into_owned()));
    }

    pub(super) fn reasoning(&mut self, words: impl Into<Words<'a>>) {
        self.reasoning.push(words.into());
    }

    pub(super) fn refusal(&mut self, words: impl Into<Words<'a>>) {
        self.refusal.push(words.into());
    }

    /// A piece of speech; all of a choice are one sound.
    pub(super) fn speech(&mut self, id: &str, data: Spelled<'a>) {
        let speech = self.speech.get_or_insert_with(|| Speech {
            id: id.to_owned(),
            pieces: SmallVec::new(),
        });
        speech.pieces.push(data);
    }

    pub(super) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    /// A call; `arguments` is JSON, `extra` what the provider wants back with it.
    pub(super) fn call<'w>(
        &mut self,
        id: impl Into<Words<'w>>,
        name: impl Into<Words<'w>>,
        arguments: &str,
        extra: impl FnOnce(&mut Object<'_>),
    ) {
        next(&mut self.calls);
        let mut call = Object::open(&mut self.calls);
        call.string("id", id);
        call.string("type", "function");
        call.object("function", |function| {
            function.string("name", name);
            function.json_text("arguments", arguments);
        });
        extra(&mut call);
    }

    /// A call whose arguments are a text already, as the provider wrote it.
    pub(super) fn call_text<'w>(
        &mut self,
        id: impl Into<Words<'w>>,
        name: impl Into<Words<'w>>,
        arguments: impl Into<Words<'w>>,
    ) {
        next(&mut self.calls);
        let mut call = Object::open(&mut self.calls);
        call.string("id", id);
        call.string("type", "function");
        call.object("function", |function| {
            function.string("name", name);
            function.string("arguments", arguments);
        });
    }

    /// An entry of `reasoning_details`, which is JSON.
    pub(super) fn detail(&mut self, json: &str) {
        next(&mut self.details);
        self.details.put_slice(json.as_bytes());
    }

    /// The same, to be written.
    #[cfg(feature = "bedrock")]
    pub(super) fn entry(&mut self, write: impl FnOnce(&mut Object<'_>)) {
        next(&mut self.details);
        write(&mut Object::open(&mut self.details));
    }

    /// An entry of `annotations`.
    pub(super) fn annotation(&mut self, write: impl FnOnce(&mut Object<'_>)) {
        next(&mut self.annotations);
        write(&mut Object::open(&mut self.annotations));
    }

    /// An entry of `citations`, which is JSON: some rest on what has no address.
    pub(super) fn citation(&mut self, json: &str) {
        next(&mut self.citations);
        self.citations.put_slice(compact(json).as_bytes());
    }

    fn write(&self, out: &mut BytesMut, index: u64) {
        let mut choice = Object::open(out);
        choice.number("index", index);
        choice.object("message", |message| {
            message.string("role", "assistant");
            if self.text.is_empty() && self.has_calls() {
                message.raw("content", "null");
            } else {
                self.text.write("content", message);
            }
            if self.refusal.is_empty() {
                message.raw("refusal", "null");
            } else {
                self.refusal.write("refusal", message);
            }
            message.list("tool_calls", &self.calls);
            message.list("annotations", &self.annotations);
            message.list("citations", &self.citations);
            if !self.reasoning.is_empty() {
                self.reasoning.write("reasoning_content", message);
            }
            message.list("reasoning_details", &self.details);
            if let Some(speech) = &self.speech {
                message.object("audio", |it| speech.write(it));
            }
            if !self.images.is_empty() {
                message.each("images", &self.images, |it, image| image.write(it));
            }
        });
        choice.raw(
            "logprobs",
            &self.logprobs.as_deref().map_or("null".into(), compact),
        );
        choice.string("finish_reason", self.reason.unwrap_or("stop"));
    }
}

/// An answer of one choice under the names of what was asked.
pub(super) fn asked(asked: &Asked, choice: Choice<'_>, spent: Spent) -> Answer {
    answer(asked.id(), asked.created, &*asked.model, &[choice], spent)
}

/// The answer as the shell takes it.
pub(super) fn answer<'w>(
    id: impl Into<Words<'w>>,
    created: u64,
    model: impl Into<Words<'w>>,
    choices: &[Choice<'_>],
    spent: Spent,
) -> Answer {
    let answer = Answer::new(write(id, created, model, choices, &spent));
    match spent.usage {
        Some(usage) => answer.with_usage(usage),
        None => answer,
    }
}

fn write<'w>(
    id: impl Into<Words<'w>>,
    created: u64,
    model: impl Into<Words<'w>>,
    choices: &[Choice<'_>],
    spent: &Spent,
) -> Bytes {
    let texts: usize = choices
        .iter()
        .map(|it| {
            let speech = it.speech.iter().flat_map(|it| &it.pieces);
            let media = speech.map(|data| data.0.len());
            let media = media.chain(it.images.iter().map(Picture::len));
            let media: usize = media.map(|length| length + 128).sum();
            media + it.text.len() + it.reasoning.len() + it.refusal.len() + it.details.len()
        })
        .sum();
    let mut out = BytesMut::with_capacity(512 + texts);
    out.put_slice(b"{\"id\":");
    quote(&mut out, id.into());
    out.put_slice(b",\"object\":\"chat.completion\",\"created\":");
    out.put_slice(created.to_string().as_bytes());
    out.put_slice(b",\"model\":");
    quote(&mut out, model.into());
    out.put_slice(b",\"choices\":[");
    for (index, choice) in (0..).zip(choices) {
        if index > 0 {
            out.put_u8(b',');
        }
        choice.write(&mut out, index);
    }
    out.put_u8(b']');
    write_tier(&mut out, spent.tier);
    if let Some(usage) = &spent.usage {
        out.put_slice(b",\"usage\":");
        write_usage(&mut out, usage);
    }
    out.put_u8(b'}');
    out.freeze()
}

fn next(list: &mut BytesMut) {
    if !list.is_empty() {
        list.put_u8(b',');
    }
}
