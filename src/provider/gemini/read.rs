//! A `GenerateContentResponse`, borrowed from its JSON: a whole answer and an event of a stream are
//! the same.

use smallvec::SmallVec;

use super::names;
use crate::{
    error::Error,
    provider::{
        json::{Reader, Spelled},
        nonsense,
    },
    wire::{ServiceTier, Usage, json::Fault},
};

/// What came.
#[derive(Default)]
pub(in crate::provider) struct Response<'a> {
    pub(super) candidates: SmallVec<[Candidate<'a>; 1]>,
    /// Why the prompt was refused.
    pub(super) blocked: Option<&'a str>,
    pub(super) block_message: Spelled<'a>,
    pub(super) usage: Option<Counts>,
    pub(super) model: Spelled<'a>,
    pub(super) id: Spelled<'a>,
    pub(super) is_error: bool,
}

#[derive(Default)]
pub(in crate::provider) struct Candidate<'a> {
    pub(super) index: u64,
    pub(super) parts: SmallVec<[Part<'a>; 1]>,
    pub(super) finish: Option<&'a str>,
    /// What is said of the reason.
    pub(super) message: Spelled<'a>,
    /// JSON.
    pub(super) logprobs: Option<&'a str>,
    pub(super) sources: Vec<Source<'a>>,
    pub(super) searches: u64,
}

/// The members of all kinds of parts side by side.
#[derive(Default)]
pub(in crate::provider) struct Part<'a> {
    pub(super) text: Option<Spelled<'a>>,
    pub(super) thought: bool,
    pub(super) signature: Spelled<'a>,
    pub(super) call: Option<Call<'a>>,
    pub(super) piece: Option<Piece<'a>>,
    pub(super) inline: Option<Inline<'a>>,
    /// The address of an image.
    pub(super) image: Option<Spelled<'a>>,
    /// What its own tools were asked, or have found: its name and JSON.
    pub(super) of_server: Option<(&'static str, &'a str)>,
}

/// The parts that its own tools write.
const OF_SERVER: [&str; 4] = [
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
];

/// A file that it made, at an address. Source: the provider's reference of `FileData`, read 2026-11.
const FILE: &str = "fileData";

#[derive(Default)]
pub(in crate::provider) struct Call<'a> {
    pub(super) id: Spelled<'a>,
    pub(super) name: Spelled<'a>,
    /// JSON.
    pub(super) args: Option<&'a str>,
}

/// A part of a call whose arguments come in pieces, which Vertex AI is asked for by an option; an empty one
/// is the end of such a call.
pub(in crate::provider) struct Piece<'a> {
    /// Named where it begins.
    pub(super) call: Call<'a>,
    /// JSON: values with their paths.
    pub(super) values: Option<&'a str>,
    pub(super) goes_on: bool,
}

#[derive(Default)]
pub(in crate::provider) struct Inline<'a> {
    pub(super) kind: Spelled<'a>,
    pub(super) data: Spelled<'a>,
}

/// A page that the answer rests on.
#[derive(Default)]
pub(in crate::provider) struct Source<'a> {
    pub(super) uri: Spelled<'a>,
    pub(super) title: Spelled<'a>,
}

impl Piece<'_> {
    /// Arguments that came whole are of a call, which has a name.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.call.args.is_some() && self.call.name.is_empty() {
            return Err(nonsense("a call has no name"));
        }
        Ok(())
    }
}

impl<'a> Response<'a> {
    pub(in crate::provider) fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut response = Self::default();
        reader.object(|reader, key| {
            match key {
                "candidates" => reader.array(|reader| {
                    response.candidates.push(Candidate::read(reader)?);
                    Ok(())
                })?,
                "promptFeedback" => reader.object(|reader, key| {
                    match key {
                        "blockReason" => response.blocked = reader.string()?.map(|it| it.0),
                        "blockReasonMessage" => {
                            response.block_message = reader.string()?.unwrap_or_default();
                        }
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?,
                "usageMetadata" => response.usage = Some(Counts::read(reader)?),
                "modelVersion" => response.model = reader.string()?.unwrap_or_default(),
                "responseId" => response.id = reader.string()?.unwrap_or_default(),
                "error" => response.is_error = reader.raw()?.is_some(),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.end()?;
        Ok(response)
    }
}

impl<'a> Candidate<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut candidate = Self::default();
        reader.object(|reader, key| {
            match key {
                "index" => candidate.index = reader.count()?.unwrap_or(0),
                "content" => reader.object(|reader, key| {
                    if key != "parts" {
                        return reader.skip();
                    }
                    reader.array(|reader| {
                        candidate.parts.push(Part::read(reader)?);
                        Ok(())
                    })
                })?,
                "finishReason" => candidate.finish = reader.string()?.map(|it| it.0),
                "finishMessage" => candidate.message = reader.string()?.unwrap_or_default(),
                // What it repeats of others, by the Gemini API's name and by Vertex AI's.
                "citationMetadata" => reader.object(|reader, key| match key {
                    "citationSources" | "citations" => reader.array(|reader| {
                        candidate.sources.push(Source::named(reader)?);
                        Ok(())
                    }),
                    _ => reader.skip(),
                })?,
                "logprobsResult" => candidate.logprobs = reader.raw()?,
                "groundingMetadata" => reader.object(|reader, key| match key {
                    "groundingChunks" => reader.array(|reader| {
                        candidate.sources.push(Source::read(reader)?);
                        Ok(())
                    }),
                    "webSearchQueries" => reader.array(|reader| {
                        candidate.searches += 1;
                        reader.skip()
                    }),
                    _ => reader.skip(),
                })?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(candidate)
    }
}

impl<'a> Candidate<'a> {
    /// What is said of it where it was refused. Source: the provider's reference of `finishMessage`, 2026-11.
    pub(super) fn refusal(&self, reason: &str) -> Spelled<'a> {
        match reason {
            "content_filter" => self.message,
            _ => Spelled::default(),
        }
    }
}

impl<'a> Part<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut part = Self::default();
        reader.object(|reader, key| {
            match key {
                "text" => part.text = reader.string()?,
                "thought" => part.thought = reader.bool()?.unwrap_or(false),
                "thoughtSignature" => part.signature = reader.string()?.unwrap_or_default(),
                "functionCall" if !reader.is_null()? => {
                    let mut call = Call::default();
                    let (mut values, mut goes_on) = (None, false);
                    reader.object(|reader, key| {
                        match key {
                            "id" => call.id = reader.string()?.unwrap_or_default(),
                            "name" => call.name = names::back(reader.string()?.unwrap_or_default()),
                            "args" => call.args = reader.raw()?,
                            "partialArgs" => values = reader.raw()?,
                            "willContinue" => goes_on = reader.bool()?.unwrap_or(false),
                            _ => reader.skip()?,
                        }
                        Ok(())
                    })?;
                    let whole = values.is_none() && (call.args.is_some() || !goes_on);
                    if whole && !call.name.is_empty() {
                        part.call = Some(call);
                    } else {
                        part.piece = Some(Piece {
                            call,
                            values,
                            goes_on,
                        });
                    }
                }
                "inlineData" if !reader.is_null()? => {
                    let inline = part.inline.get_or_insert_default();
                    reader.object(|reader, key| {
                        match key {
                            "mimeType" => inline.kind = reader.string()?.unwrap_or_default(),
                            "data" => inline.data = reader.string()?.unwrap_or_default(),
                            _ => reader.skip()?,
                        }
                        Ok(())
                    })?;
                }
                FILE if !reader.is_null()? => {
                    let raw = reader.raw()?.unwrap_or_default();
                    let (mut kind, mut uri) = (Spelled::default(), Spelled::default());
                    Reader::over(raw).object(|reader, key| {
                        match key {
                            "mimeType" => kind = reader.string()?.unwrap_or_default(),
                            "fileUri" => uri = reader.string()?.unwrap_or_default(),
                            _ => reader.skip()?,
                        }
                        Ok(())
                    })?;
                    if kind.0.starts_with("image/") {
                        part.image = Some(uri);
                    } else {
                        part.of_server = Some((FILE, raw));
                    }
                }
                key => match OF_SERVER.iter().find(|name| **name == key) {
                    Some(name) => part.of_server = reader.raw()?.map(|raw| (*name, raw)),
                    None => reader.skip()?,
                },
            }
            Ok(())
        })?;
        Ok(part)
    }
}

impl<'a> Source<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut source = Self::default();
        reader.object(|reader, key| {
            match key {
                "web" | "maps" | "retrievedContext" => source = Self::named(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(source)
    }

    /// The same without what says where it was looked for.
    fn named(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut source = Self::default();
        reader.object(|reader, key| {
            match key {
                "uri" => source.uri = reader.string()?.unwrap_or_default(),
                "title" => source.title = reader.string()?.unwrap_or_default(),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(source)
    }
}

/// The provider's counts. Where its own tools ran they are those of one pass and may sink.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::provider) struct Counts {
    prompt: Option<u64>,
    candidates: Option<u64>,
    thoughts: Option<u64>,
    cached: Option<u64>,
    tools: Option<u64>,
    total: Option<u64>,
    audio_input: Option<u64>,
    image_input: Option<u64>,
    audio_output: Option<u64>,
    image_output: Option<u64>,
    /// How the request was served.
    pub(super) tier: Option<ServiceTier>,
}

impl Counts {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut counts = Self::default();
        reader.object(|reader, key| {
            match key {
                "promptTokenCount" => counts.prompt = reader.count()?,
                "candidatesTokenCount" => counts.candidates = reader.count()?,
                "thoughtsTokenCount" => counts.thoughts = reader.count()?,
                "cachedContentTokenCount" => counts.cached = reader.count()?,
                "toolUsePromptTokenCount" => counts.tools = reader.count()?,
                "totalTokenCount" => counts.total = reader.count()?,
                // The Gemini API's word for it, and Vertex AI's.
                "serviceTier" | "trafficType" => {
                    counts.tier = reader.string()?.and_then(|name| tier(name.0));
                }
                "promptTokensDetails" => each(reader, |kind, count| match kind {
                    "AUDIO" => counts.audio_input = count,
                    "IMAGE" => counts.image_input = count,
                    _ => {}
                })?,
                "candidatesTokensDetails" => each(reader, |kind, count| match kind {
                    "AUDIO" => counts.audio_output = count,
                    "IMAGE" => counts.image_output = count,
                    _ => {}
                })?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(counts)
    }

    fn members(&mut self) -> [&mut Option<u64>; 10] {
        [
            &mut self.prompt,
            &mut self.candidates,
            &mut self.thoughts,
            &mut self.cached,
            &mut self.tools,
            &mut self.total,
            &mut self.audio_input,
            &mut self.image_input,
            &mut self.audio_output,
            &mut self.image_output,
        ]
    }

    /// Takes what a later report says; what it leaves out stays.
    pub(super) fn update(&mut self, mut later: Self) {
        for (known, said) in self.members().into_iter().zip(later.members()) {
            *known = said.or(*known);
        }
        self.tier = later.tier.or(self.tier);
    }

    /// `None` where no count could be read.
    pub(super) fn usage(&self) -> Option<Usage> {
        let counts = [self.prompt, self.candidates, self.thoughts, self.total];
        if counts.iter().all(Option::is_none) {
            return None;
        }
        let prompt = self
            .prompt
            .unwrap_or(0)
            .saturating_add(self.tools.unwrap_or(0));
        let answer = self.candidates.unwrap_or(0);
        let thoughts = self.thoughts.unwrap_or(0);
        // Some answers count the thoughts among the candidates' tokens; the total tells.
        let within = self.total == Some(prompt.saturating_add(answer)) && thoughts <= answer;
        let output = if within {
            answer
        } else {
            answer.saturating_add(thoughts)
        };
        let mut usage = Usage::new(prompt, output);
        usage.cached_input = self.cached.unwrap_or(0).min(prompt);
        usage.audio_input = self.audio_input.unwrap_or(0).min(prompt);
        usage.image_input = self.image_input.unwrap_or(0).min(prompt);
        usage.reasoning = thoughts.min(output);
        usage.audio_output = self.audio_output.unwrap_or(0).min(output);
        usage.image_output = self.image_output.unwrap_or(0).min(output);
        Some(usage)
    }
}

/// How a request was served. Source: the provider's SDK for Python, 3.6.
fn tier(name: &str) -> Option<ServiceTier> {
    let name = name.to_ascii_lowercase();
    Some(match &*name {
        "standard" | "on_demand" => ServiceTier::Standard,
        "flex" | "on_demand_flex" => ServiceTier::Flex,
        "priority" | "on_demand_priority" => ServiceTier::Priority,
        _ => return None,
    })
}

/// Counts by modality.
fn each(reader: &mut Reader<'_>, mut take: impl FnMut(&str, Option<u64>)) -> Result<(), Fault> {
    reader.array(|reader| {
        let (mut kind, mut count) = ("", None);
        reader.object(|reader, key| {
            match key {
                "modality" => kind = reader.string()?.unwrap_or_default().0,
                "tokenCount" => count = reader.count()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        take(kind, count);
        Ok(())
    })
}

/// What a reason to stop means.
pub(super) enum Finish {
    /// In the API's words.
    Reason(&'static str),
    /// What the model wrote cannot be used.
    Broken,
}

/// `calls`: the candidate has calls, which the provider does not say in its reason.
pub(super) fn finish(reason: &str, calls: bool) -> Finish {
    Finish::Reason(match reason {
        "MAX_TOKENS" | "CONTINUATION" => "length",
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "LANGUAGE"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "IMAGE_OTHER"
        | "NO_IMAGE"
        | "ESCALATION"
        | "PUP_LIMITED_DISABLED"
        | "MODEL_ARMOR"
        | "OTHER" => "content_filter",
        "MALFORMED_FUNCTION_CALL"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MISSING_THOUGHT_SIGNATURE"
        | "MALFORMED_RESPONSE" => return Finish::Broken,
        _ if calls => "tool_calls",
        _ => "stop",
    })
}
