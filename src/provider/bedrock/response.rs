use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    error::Error,
    provider::{
        Answer, Asked,
        chunks::Spent,
        completion::{self, Choice, Media, Picture},
        json::{Object, Spelled, count, readable},
        nonsense,
        structured::ANSWER,
    },
    wire::{ServiceTier, Usage, chat::Text, placed::Place},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Converse<'a> {
    #[serde(borrow)]
    output: Output<'a>,
    #[serde(default)]
    stop_reason: Option<Text<'a>>,
    #[serde(default, deserialize_with = "readable")]
    usage: Option<Counts>,
    #[serde(borrow, default)]
    service_tier: Option<Served<'a>>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    message: Message<'a>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Vec<Block<'a>>,
}

/// A block has one of these members; of one that is not known, none.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_use: Option<ToolUse<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Reasoning<'a>>,
    #[serde(borrow, default)]
    citations_content: Option<Cited<'a>>,
    #[serde(borrow, default, deserialize_with = "readable")]
    image: Option<Image<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse<'a> {
    #[serde(borrow)]
    tool_use_id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    /// `server_tool_use` ran at the provider and is not the client's call.
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reasoning<'a> {
    #[serde(borrow, default)]
    reasoning_text: Option<Thought<'a>>,
    #[serde(borrow, default)]
    redacted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Thought<'a> {
    #[serde(borrow, default)]
    text: Text<'a>,
    #[serde(borrow, default)]
    signature: Option<Text<'a>>,
}

/// A text that has its sources beside it.
#[derive(Deserialize)]
struct Cited<'a> {
    #[serde(borrow, default)]
    content: Vec<CitedText<'a>>,
    #[serde(borrow, default, deserialize_with = "readable")]
    citations: Option<Vec<Citation<'a>>>,
}

#[derive(Deserialize)]
struct CitedText<'a> {
    #[serde(borrow, default)]
    text: Text<'a>,
}

/// Where a text was found. Source: the service's reference of `Citation`, read 2026-11.
#[derive(Deserialize)]
pub(super) struct Citation<'a> {
    #[serde(borrow, default)]
    title: Option<Text<'a>>,
    #[serde(borrow, default)]
    location: Option<Location<'a>>,
}

#[derive(Deserialize)]
struct Location<'a> {
    #[serde(borrow, default)]
    web: Option<Web<'a>>,
}

#[derive(Deserialize)]
struct Web<'a> {
    #[serde(borrow, default)]
    url: Text<'a>,
}

impl Citation<'_> {
    /// Its address; those into the client's own documents have none, and no counterpart.
    pub(super) fn url(&self) -> Option<&Text<'_>> {
        let web = self.location.as_ref()?.web.as_ref()?;
        Some(&web.url).filter(|url| !url.is_empty())
    }

    /// Writes it as the annotation of a range of the answer, in characters.
    pub(super) fn write(&self, url: &Text<'_>, it: &mut Object<'_>, from: u64, to: u64) {
        let none = Text::default();
        it.string("type", "url_citation");
        it.object("url_citation", |it| {
            it.string("url", url);
            it.string("title", self.title.as_ref().unwrap_or(&none));
            it.number("start_index", from);
            it.number("end_index", to);
        });
    }
}

/// An image that the model made. Source: the service's references of `ImageBlock`, `ImageBlockStart` and
/// `ImageBlockDelta`, read 2026-11.
#[derive(Deserialize)]
pub(super) struct Image<'a> {
    #[serde(borrow, default)]
    pub(super) format: Text<'a>,
    #[serde(borrow, default)]
    pub(super) source: Source<'a>,
}

/// What an image is made of: its bytes, or where they lie.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Source<'a> {
    #[serde(borrow)]
    pub(super) bytes: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) s3_location: Option<Bucket<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Bucket<'a> {
    #[serde(borrow, default)]
    pub(super) uri: Text<'a>,
}

impl<'a> Source<'a> {
    /// Its bytes in base64, as they are spelled.
    pub(super) fn data(&self) -> Option<Spelled<'a>> {
        let spelled = self.bytes?.get().strip_prefix('"')?.strip_suffix('"')?;
        Some(Spelled(spelled)).filter(|data| !data.is_empty())
    }
}

/// The type of an image by the service's name of its format.
pub(super) fn media_type(format: &str) -> &'static str {
    match format {
        "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        _ => "image/png",
    }
}

/// How the request was served.
#[derive(Debug, Deserialize)]
pub(super) struct Served<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
}

impl Served<'_> {
    pub(super) fn tier(&self) -> Option<ServiceTier> {
        ServiceTier::named(&self.kind)
    }
}

/// The service's counts. `inputTokens` excludes what was read from or written to the cache.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Counts {
    #[serde(deserialize_with = "count")]
    input_tokens: Option<u64>,
    #[serde(deserialize_with = "count")]
    output_tokens: Option<u64>,
    #[serde(deserialize_with = "count")]
    cache_read_input_tokens: Option<u64>,
    #[serde(deserialize_with = "count")]
    cache_write_input_tokens: Option<u64>,
    #[serde(deserialize_with = "long_lived")]
    cache_details: u64,
}

/// Of the tokens written to the cache, those that stay for an hour.
fn long_lived<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    struct Detail {
        #[serde(default)]
        ttl: String,
        #[serde(default, rename = "inputTokens", deserialize_with = "count")]
        tokens: Option<u64>,
    }
    let details: Option<Vec<Detail>> = readable(deserializer)?;
    let long = details.iter().flatten().filter(|it| it.ttl == "1h");
    Ok(long.fold(0, |sum, it| it.tokens.unwrap_or(0).saturating_add(sum)))
}

impl Counts {
    /// `None` where no count could be read.
    pub(super) fn usage(&self) -> Option<Usage> {
        if self.input_tokens.is_none() && self.output_tokens.is_none() {
            return None;
        }
        let read = self.cache_read_input_tokens.unwrap_or(0);
        let written = self.cache_write_input_tokens.unwrap_or(0);
        let plain = self.input_tokens.unwrap_or(0);
        let long = self.cache_details.min(written);
        let input = plain.saturating_add(read).saturating_add(written);
        let mut usage = Usage::new(input, self.output_tokens.unwrap_or(0));
        usage.cached_input = read;
        usage.cache_write = written - long;
        usage.cache_write_1h = long;
        Some(usage)
    }
}

/// The reason in the API's words; an unknown one is an ordinary end.
///
/// # Errors
/// What the model wrote cannot be used, as the service itself says.
pub(super) fn finish_reason(reason: &str) -> Result<&'static str, Error> {
    Ok(match reason {
        "tool_use" => "tool_calls",
        "max_tokens" | "model_context_window_exceeded" => "length",
        "guardrail_intervened" | "content_filtered" => "content_filter",
        "malformed_model_output" | "malformed_tool_use" => {
            let error = nonsense("the model wrote what cannot be read");
            return Err(error.with_source(reason.to_owned()));
        }
        _ => "stop",
    })
}

/// An entry of `reasoning_details`, in the form that Anthropic's own API has: the signatures are
/// the same, so that a conversation may go on at either.
pub(super) fn signed(entry: &mut Object<'_>, text: &str, signature: &str, place: Place) {
    entry.string("type", "thinking");
    entry.string("thinking", text);
    entry.string("signature", signature);
    put(entry, place);
}

/// The same for reasoning that is not shown.
pub(super) fn redacted(entry: &mut Object<'_>, data: &str, place: Place) {
    entry.string("type", "redacted_thinking");
    entry.string("data", data);
    put(entry, place);
}

fn put(entry: &mut Object<'_>, place: Place) {
    if let Some((name, place)) = place.member() {
        entry.raw(name, &place);
    }
}

/// How many characters a text has.
pub(super) fn characters(text: &Text<'_>) -> u64 {
    match text.spelled() {
        Some(spelled) => Spelled(spelled).length(),
        None => text.chars().count() as u64,
    }
}

pub(super) fn answer(asked: &Asked, body: &[u8]) -> Result<Answer, Error> {
    let converse: Converse<'_> = serde_json::from_slice(body)
        .map_err(|error| nonsense("it is not a message").with_source(error))?;
    let mut choice = Choice::default();
    let mut so_far = Place::default();
    let reason = converse.stop_reason;
    let reason = finish_reason(reason.as_deref().unwrap_or("end_turn"))?;
    for block in &converse.output.message.content {
        if let Some(text) = &block.text {
            so_far.characters += characters(text);
            choice.text(text);
        }
        if let Some(cited) = &block.citations_content {
            let from = so_far.characters;
            for piece in &cited.content {
                so_far.characters += characters(&piece.text);
                choice.text(&piece.text);
            }
            for citation in cited.citations.iter().flatten() {
                if let Some(url) = citation.url() {
                    choice.annotation(|it| citation.write(url, it, from, so_far.characters));
                }
            }
        }
        if let Some(image) = &block.image {
            let kind = Spelled(media_type(&image.format));
            if let Some(data) = image.source.data() {
                choice.images.push(Picture::There(Media { kind, data }));
            } else if let Some(at) = &image.source.s3_location {
                choice.images.push(Picture::At((&at.uri).into()));
            }
        }
        if let Some(call) = &block.tool_use {
            let input = call.input.map_or("{}", RawValue::get);
            if call.kind.as_deref() == Some("server_tool_use") {
                // What the provider's own tools did is not the client's to answer.
            } else if &*call.name == ANSWER {
                // The answer itself, by its schema.
                choice.json(input);
            } else if call.name.is_empty() {
                return Err(nonsense("a call has no name"));
            } else {
                so_far.calls += 1;
                choice.call(&call.tool_use_id, &call.name, input, |_| {});
            }
        }
        let Some(reasoning) = &block.reasoning_content else {
            continue;
        };
        if let Some(thought) = &reasoning.reasoning_text {
            if let Some(signature) = &thought.signature {
                choice.entry(|entry| signed(entry, &thought.text, signature, so_far));
            }
            choice.reasoning(&thought.text);
        }
        if let Some(data) = &reasoning.redacted_content {
            choice.entry(|entry| redacted(entry, data, so_far));
        }
    }
    choice.reason = match reason {
        // It was a tool of the provider's own, or the answer's.
        "tool_calls" if !choice.has_calls() => Some("stop"),
        reason => Some(reason),
    };
    let spent = Spent {
        usage: converse.usage.and_then(|counts| counts.usage()),
        tier: converse.service_tier.and_then(|served| served.tier()),
    };
    Ok(completion::asked(asked, choice, spent))
}
