//! Which members of a request a provider has no counterpart of, as a table.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderValue, Uri, header};
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use smallvec::SmallVec;

use super::{Notes, notes::unsupported};
use crate::{
    body::Full,
    error::{Error, Kind},
    parse::Chat,
    wire::{
        Members,
        chat::{AllowedMode, Content, Custom, Message, Request, Role, Tool, ToolCall, ToolChoice},
        request::pattern_at,
    },
};

/// A request with a JSON body.
pub(super) fn post(uri: Uri, body: Bytes) -> http::Request<Full> {
    let mut request = http::Request::new(Full::new(body));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::USER_AGENT, super::AGENT),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    request
}

/// Writes a body of about the length of the one it is made of, so that no text is copied twice.
pub(super) fn write(body: &impl Serialize, length: usize) -> Bytes {
    let mut text = Vec::with_capacity(length + 512);
    serde_json::to_writer(&mut text, body).expect("values serialise into memory");
    text.into()
}

/// Reads a request as types.
pub(super) fn parse(chat: &Chat) -> Result<Request<'_>, Error> {
    chat.typed().map_err(|error| {
        Error::new(Kind::Format, "The request is not of the expected shape.")
            .with_code("invalid_type")
            .with_source(error)
    })
}

/// What must be called, among the tools that are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Must {
    Nothing,
    Any,
    /// No call is allowed.
    Never,
}

/// The tools that a choice leaves, for providers without a choice by name: naming one is allowing
/// only that one. A choice that leaves none is refused if one must be called.
pub(super) fn chosen<'a, 'r>(
    request: &'r Request<'a>,
    notes: &mut Notes,
) -> Result<(Vec<&'r Tool<'a>>, Must), Error> {
    let declared = request.tools.as_deref().unwrap_or_default();
    let (names, must) = match &request.tool_choice {
        None | Some(ToolChoice::Auto) => (None, Must::Nothing),
        Some(ToolChoice::None) => (None, Must::Never),
        Some(ToolChoice::Required) => (None, Must::Any),
        Some(ToolChoice::Named(name)) => (Some(std::slice::from_ref(name)), Must::Any),
        Some(ToolChoice::Allowed(AllowedMode::Auto, names)) => (Some(&names[..]), Must::Nothing),
        Some(ToolChoice::Allowed(AllowedMode::Required, names)) => (Some(&names[..]), Must::Any),
    };
    let mut left = Vec::with_capacity(declared.len());
    for tool in declared {
        let name = tool.name().ok_or_else(|| unsupported("tools"))?;
        if names.is_none_or(|names| names.iter().any(|allowed| &**allowed == name)) {
            left.push(tool);
        }
    }
    if left.is_empty() && must == Must::Any {
        notes.unsupported("tool_choice")?;
        return Ok((left, Must::Nothing));
    }
    Ok((left, must))
}

/// The schema of a tool's arguments, where one must be said: one that takes free text is one with
/// a single string.
fn arguments_schema<'a>(tool: &Tool<'a>) -> &'a str {
    match &tool.function {
        Some(function) => function
            .parameters
            .map_or(r#"{"type":"object","properties":{}}"#, |raw| raw.get()),
        None => {
            r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#
        }
    }
}

/// What a tool is for; an empty text says nothing.
fn described<'r>(tool: &'r Tool<'_>) -> Option<&'r str> {
    let function = tool.function.as_ref().map(|it| &it.description);
    function
        .or(tool.custom.as_ref().map(|it| &it.description))
        .and_then(|text| text.as_deref())
        .filter(|text| !text.is_empty())
}

/// The arguments of a call as a JSON object.
///
/// # Errors
/// They are not the text of one; the path says where.
pub(super) fn arguments(call: &ToolCall<'_>, at: usize, n: usize) -> Result<Box<RawValue>, Error> {
    let input = RawValue::from_string(call.arguments().into_owned()).ok();
    input
        .filter(|input| input.get().starts_with('{'))
        .ok_or_else(|| {
            let param = format!("messages[{at}].tool_calls[{n}].function.arguments");
            let message = format!("`{param}` must be the text of a JSON object");
            Error::new(Kind::Format, message)
                .with_param(param)
                .with_code("invalid_value")
        })
}

/// What only OpenAI's own models have in a message of the assistant.
///
/// # Errors
/// It is there; the path says where. Where the contract drops it, speech that was heard earlier is
/// left out if the message says something beside it.
pub(super) fn plain(message: &Message<'_>, at: usize, notes: &mut Notes) -> Result<(), Error> {
    if message.role == Role::Function {
        return Err(unsupported(format!("messages[{at}].role")));
    }
    if message.function_call.is_some() {
        return Err(unsupported(format!("messages[{at}].function_call")));
    }
    if message.audio.is_some() {
        let param = format!("messages[{at}].audio");
        if message.content.is_none() && message.calls().is_empty() {
            return Err(unsupported(param));
        }
        notes.unsupported(param)?;
    }
    Ok(())
}

/// A tool, declared as OpenAI does.
#[derive(Serialize)]
pub(super) struct Declared<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: Box<RawValue>,
}

/// A tool for providers that know functions only.
pub(super) fn declared<'r>(tool: &'r Tool<'_>) -> Declared<'r> {
    let parameters = RawValue::from_string(arguments_schema(tool).to_owned());
    Declared {
        kind: "function",
        function: Function {
            name: tool.name().unwrap_or_default(),
            description: described(tool),
            parameters: parameters.expect("what came as JSON is JSON"),
        },
    }
}

/// Where to stop.
pub(super) fn stops<'r>(request: &'r Request<'_>) -> Vec<&'r str> {
    let texts = request.stop.iter().flat_map(|stop| &stop.0);
    texts.map(|text| &**text).collect()
}

/// What an answer is without a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Without {
    /// One that means the same.
    Same,
    /// Another one.
    Other,
}

/// What small APIs have no counterpart of: Cohere's, Ollama's.
pub(super) const SMALL: &[(&str, Without)] = &[
    ("n", Without::Other),
    ("logit_bias", Without::Other),
    ("modalities", Without::Other),
    ("audio", Without::Other),
    ("web_search_options", Without::Other),
    ("functions", Without::Other),
    ("moderation", Without::Other),
    ("parallel_tool_calls", Without::Same),
    ("prediction", Without::Same),
    ("verbosity", Without::Same),
    ("store", Without::Same),
    ("metadata", Without::Same),
    ("service_tier", Without::Same),
    ("user", Without::Same),
    ("safety_identifier", Without::Same),
    ("prompt_cache_key", Without::Same),
    ("prompt_cache_retention", Without::Same),
    ("prompt_cache_options", Without::Same),
    ("cache_control", Without::Same),
];

/// In a list of what a provider takes: marks at the ends of prefixes to be cached.
pub(super) const MARKS: &str = "messages[].content[].cache_control";

/// Goes through what a provider has no counterpart of. Values that ask for nothing (`n: 1`, a
/// penalty of 0, `logprobs: false`) pass unsaid. Members that nobody knows are dropped and
/// announced, save those that the provider takes.
pub(super) fn settle(
    request: &Request<'_>,
    table: &[(&'static str, Without)],
    taken: &[&str],
    notes: &mut Notes,
) -> Result<(), Error> {
    for (param, without) in table {
        if !asks(request, param) {
            continue;
        }
        match without {
            Without::Same => notes.without(*param)?,
            Without::Other => notes.unsupported(*param)?,
        }
    }
    for (at, tool) in request.tools.iter().flatten().enumerate() {
        // As free text the call may be one that whoever asked cannot read.
        if tool.custom.as_ref().is_some_and(is_constrained) {
            notes.unsupported(format!("tools[{at}].custom.format"))?;
        }
    }
    for (name, _) in &request.rest {
        if !taken.contains(&&**name) {
            notes.without(name.as_str().to_owned())?;
        }
    }
    if request
        .messages
        .iter()
        .any(|message| message.name.is_some())
    {
        notes.without("messages[].name")?;
    }
    if !taken.contains(&MARKS) {
        marked(request, notes)?;
    }
    // Reasoning goes back as the entries that its provider signed; text alone has no place.
    let unsigned = |message: &Message<'_>| {
        message.role == Role::Assistant
            && message
                .reasoning_content
                .as_deref()
                .is_some_and(|text| !text.is_empty())
            && message.reasoning_details.is_none()
    };
    if !taken.contains(&"reasoning_content") && request.messages.iter().any(unsigned) {
        notes.without("messages[].reasoning_content")?;
    }
    let detailed = |content: &Content<'_>| {
        let mut images = content
            .parts()
            .iter()
            .filter_map(|part| part.image_url.as_ref());
        images.any(|image| {
            image
                .detail
                .as_deref()
                .is_some_and(|detail| detail != "auto")
        })
    };
    let mut contents = request
        .messages
        .iter()
        .filter_map(|message| message.content.as_ref());
    if !taken.contains(&"image_url.detail") && contents.any(detailed) {
        notes.without("messages[].content[].image_url.detail")?;
    }
    Ok(())
}

/// Names that are told of at most.
const NAMED: usize = 16;

/// Goes through what stands in messages and tools that the API does not know, and so no type has. It is
/// dropped and announced, each name once, save what every provider looks for itself, what is in `taken`,
/// and what says nothing.
pub(super) fn strangers(chat: &Chat, taken: &[&str], notes: &mut Notes) -> Result<(), Error> {
    const READ: &[&str] = &[
        "reasoning_content",
        "reasoning_details",
        "extra_content",
        // The place of a call in its stream, which clients send back.
        "index",
    ];
    let text = chat.original();
    let top = chat.request().range().start;
    let places = ["messages", "tools"].map(|name| chat.place(name));
    let gone = chat.touched();
    let mut told: SmallVec<[String; 2]> = SmallVec::new();
    for member in chat.request().unknown() {
        let here = |place: &Option<Range<usize>>| {
            place.as_ref().is_some_and(|it| it.contains(&member.key))
        };
        if member.object == top
            || !places.iter().any(here)
            || gone.binary_search(&member.key).is_ok()
        {
            continue;
        }
        let name = chat.key_at(member.key);
        if READ.contains(&&*name) || taken.contains(&&*name) || told.iter().any(|it| *it == *name) {
            continue;
        }
        // A part's and a tool's are told of elsewhere; a message has none.
        let is_mark = name == "cache_control" && !is_message(&text[member.object..]);
        if is_mark || !says(&text[member.key..]) {
            continue;
        }
        told.push(name.into_owned());
        notes.without(pattern_at(text, member.key))?;
        if told.len() == NAMED {
            break;
        }
    }
    Ok(())
}

/// The first JSON value of a text.
fn first<'a>(text: &'a [u8]) -> Option<&'a RawValue> {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<&'a RawValue>();
    values.next()?.ok()
}

/// Whether a text begins with a message.
fn is_message(text: &[u8]) -> bool {
    let members = first(text).map(|raw| serde_json::from_str::<Members<'_>>(raw.get()));
    members.is_some_and(|members| members.is_ok_and(|members| members.get("role").is_some()))
}

/// Whether the value behind a key says anything.
fn says(text: &[u8]) -> bool {
    let value = first(text).and_then(|key| {
        let behind = text.get(key.get().len()..)?.trim_ascii_start();
        first(behind.strip_prefix(b":")?)
    });
    let value = value.map(|raw| raw.get().trim_matches(['[', ']', '{', '}', '"', ' ', '\n']));
    value.is_none_or(|value| !matches!(value, "" | "null"))
}

/// Whether what a tool takes has to follow a grammar.
fn is_constrained(tool: &Custom<'_>) -> bool {
    let format = tool
        .format
        .map(|raw| serde_json::from_str::<Value>(raw.get()));
    format.is_some_and(|format| format.is_ok_and(|format| format["type"] != "text"))
}

/// Tools whose schemas are to be kept strictly, for providers that keep to them as they do.
pub(super) fn loosely(request: &Request<'_>, notes: &mut Notes) -> Result<(), Error> {
    let functions = request
        .tools
        .iter()
        .flatten()
        .filter_map(|tool| tool.function.as_ref());
    if functions
        .into_iter()
        .any(|function| function.strict == Some(true))
    {
        notes.without("tools[].function.strict")?;
    }
    Ok(())
}

/// Marks of what is to be cached, in either spelling, of parts and of tools.
fn marked(request: &Request<'_>, notes: &mut Notes) -> Result<(), Error> {
    let contents = request.messages.iter().filter_map(|it| it.content.as_ref());
    for part in contents.flat_map(Content::parts) {
        if part.prompt_cache_breakpoint.is_some() {
            notes.without("messages[].content[].prompt_cache_breakpoint")?;
        }
        if part.cache_control.is_some() {
            notes.without(MARKS)?;
        }
    }
    let mut tools = request.tools.iter().flatten();
    if tools.any(|tool| tool.cache_control.is_some()) {
        notes.without("tools[].cache_control")?;
    }
    Ok(())
}

/// Whether a member asks for anything beyond what happens without it.
fn asks(request: &Request<'_>, param: &str) -> bool {
    let quiet = |value: Option<f64>| value.is_none_or(|value| value == 0.0);
    match param {
        "n" => request.n.is_some_and(|n| n.0 > 1),
        "logit_bias" => request.logit_bias.is_some_and(|it| it.get().trim() != "{}"),
        "logprobs" => request.logprobs == Some(true),
        "top_logprobs" => request.top_logprobs.is_some_and(|n| n.0 > 0),
        "frequency_penalty" => !quiet(request.frequency_penalty),
        "presence_penalty" => !quiet(request.presence_penalty),
        "seed" => request.seed.is_some(),
        "modalities" => request
            .modalities
            .as_ref()
            .is_some_and(|all| all.iter().any(|one| &**one != "text")),
        "audio" => request.audio.is_some(),
        "web_search_options" => request.web_search_options.is_some(),
        "functions" => request
            .functions
            .as_ref()
            .is_some_and(|all| !all.is_empty()),
        "prediction" => request.prediction.is_some(),
        "verbosity" => request.verbosity.is_some(),
        // A provider that keeps nothing does what `false` asks for.
        "store" => request.store == Some(true),
        "metadata" => request.metadata.is_some_and(|it| it.get().trim() != "{}"),
        "user" => request.user.is_some(),
        "safety_identifier" => request.safety_identifier.is_some(),
        "prompt_cache_key" => request.prompt_cache_key.is_some(),
        "prompt_cache_retention" => request.prompt_cache_retention.is_some(),
        "prompt_cache_options" => request.prompt_cache_options.is_some(),
        "moderation" => request.moderation.is_some(),
        "cache_control" => request.cache_control.is_some(),
        "parallel_tool_calls" => {
            request.parallel_tool_calls == Some(false) && request.tools.is_some()
        }
        "reasoning_effort" => request.reasoning_effort.is_some(),
        "service_tier" => request
            .service_tier
            .as_deref()
            .is_some_and(|tier| tier != "auto" && tier != "default"),
        "stop" => request.stop.as_ref().is_some_and(|stop| !stop.0.is_empty()),
        "temperature" => request.temperature.is_some(),
        "top_p" => request.top_p.is_some(),
        "response_format" => request
            .response_format
            .as_ref()
            .is_some_and(|format| &*format.kind != "text"),
        _ => unreachable!("`{param}` is in a table and not known here"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provider::{Contract, Unsupported};

    /// Each member with a value that asks for something, and one that asks for nothing.
    fn cases() -> Vec<(&'static str, Value, Option<Value>)> {
        vec![
            ("n", json!(2), Some(json!(1))),
            ("logit_bias", json!({"1": 1}), Some(json!({}))),
            ("logprobs", json!(true), Some(json!(false))),
            ("top_logprobs", json!(3), Some(json!(0))),
            ("frequency_penalty", json!(0.5), Some(json!(0))),
            ("presence_penalty", json!(-1), Some(json!(0.0))),
            ("seed", json!(0), None),
            (
                "modalities",
                json!(["text", "audio"]),
                Some(json!(["text"])),
            ),
            ("audio", json!({"voice": "x", "format": "wav"}), None),
            ("web_search_options", json!({}), None),
            ("functions", json!([{"name": "f"}]), Some(json!([]))),
            (
                "prediction",
                json!({"type": "content", "content": "x"}),
                None,
            ),
            ("verbosity", json!("low"), None),
            ("store", json!(true), Some(json!(false))),
            ("metadata", json!({"a": "b"}), Some(json!({}))),
            ("user", json!("u"), None),
            ("safety_identifier", json!("u"), None),
            ("prompt_cache_key", json!("k"), None),
            ("prompt_cache_retention", json!("24h"), None),
            ("prompt_cache_options", json!({}), None),
            ("moderation", json!({"model": "m"}), None),
            ("cache_control", json!({"type": "ephemeral"}), None),
            ("reasoning_effort", json!("low"), None),
            ("service_tier", json!("flex"), Some(json!("auto"))),
            ("stop", json!("x"), Some(json!([]))),
            ("temperature", json!(1), None),
            ("top_p", json!(1), None),
            (
                "response_format",
                json!({"type": "json_object"}),
                Some(json!({"type": "text"})),
            ),
        ]
    }

    #[test]
    fn what_asks_for_nothing_passes_unsaid() {
        for (param, asking, quiet) in cases() {
            for without in [Without::Same, Without::Other] {
                for (value, asks) in [(Some(&asking), true), (quiet.as_ref(), false)] {
                    let mut body = json!({"model": "m", "messages": []});
                    body[param] = value.cloned().unwrap_or_default();
                    let body = body.to_string();
                    let request = Request::parse(body.as_bytes()).expect("a request");
                    let mut notes = Notes::default();
                    let refused = settle(&request, &[(param, without)], &[], &mut notes).is_err();
                    assert_eq!(refused, asks && without == Without::Other, "{body}");
                    let dropped = usize::from(asks && without == Without::Same);
                    assert_eq!(notes.dropped().len(), dropped, "{body}");
                }
            }
        }
    }

    #[test]
    fn what_messages_lose_is_told_once() {
        let body = json!({"model": "m", "mine": 1, "yours": 2, "messages": [
            {"role": "user", "name": "a", "content": [
                {"type": "image_url", "image_url": {"url": "https://x", "detail": "high"}}]},
            {"role": "user", "name": "b", "content": "x"},
            {"role": "assistant", "content": "x", "reasoning_content": "because"},
        ]})
        .to_string();
        let request = Request::parse(body.as_bytes()).expect("a request");
        let mut notes = Notes::default();
        settle(&request, &[], &["yours"], &mut notes).expect("nothing is refused");
        assert_eq!(
            notes.dropped(),
            [
                "mine",
                "messages[].name",
                "messages[].reasoning_content",
                "messages[].content[].image_url.detail"
            ]
        );
    }

    #[test]
    fn what_no_type_has_is_told_by_its_place_once() {
        let call = json!({"id": "c", "type": "function", "index": 0, "extra_content": {"mine": 1},
            "function": {"name": "f", "arguments": "{}"}});
        let body = json!({"model": "m", "top": 1,
            "tools": [{"type": "function", "function": {"name": "f", "defer": true}}],
            "messages": [
                {"role": "user", "cache_control": {"type": "ephemeral"},
                 "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}, "fresh": 0}]},
                {"role": "assistant", "content": "x", "annotations": [ ], "parsed": null, "ours": 1,
                 "reasoning_content": "because", "reasoning_details": [{}], "tool_calls": [call]},
                {"role": "assistant", "content": "x", "mine": [1], "gone": 1},
                {"role": "assistant", "content": "x", "mine": [2]}]});
        let mut chat = Chat::parse(body.to_string().into()).expect("a request");
        let gone = |member: &crate::wire::request::UnknownMember| chat.key_at(member.key) == "gone";
        let gone = chat.request().unknown().find(gone).expect("it is there");
        chat.remove_unknown(gone);
        let mut notes = Notes::default();
        strangers(&chat, &["ours"], &mut notes).expect("nothing is refused");
        assert_eq!(
            sorted(notes.dropped()),
            [
                "messages[].cache_control",
                "messages[].content[].fresh",
                "messages[].mine",
                "tools[].function.defer",
            ]
        );
        let mut notes = Notes::new(Contract::new(Unsupported::Refuse));
        let error = strangers(&chat, &[], &mut notes).expect_err("refused");
        assert_eq!(error.code(), Some("unsupported_parameter"));
    }

    fn sorted(names: &[std::borrow::Cow<'static, str>]) -> Vec<String> {
        let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
        names.sort_unstable();
        names
    }
}
