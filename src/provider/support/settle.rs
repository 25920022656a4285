//! Which members of a request a provider has no counterpart of, as a table.

use serde_json::Value;

use crate::{
    error::Error,
    provider::Notes,
    wire::chat::{Content, Custom, Message, Request, Role, Schema},
};

/// What an answer is without a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provider) enum Without {
    /// One that means the same.
    Same,
    /// Another one.
    Other,
}

/// What small APIs have no counterpart of: Cohere's, Ollama's.
pub(in crate::provider) const SMALL: &[(&str, Without)] = &[
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
pub(in crate::provider) const MARKS: &str = "messages[].content[].cache_control";

/// In a list of what a provider takes: what was thought, as entries of its own kinds. It tells of those
/// of others itself.
pub(in crate::provider) const THOUGHTS: &str = "messages[].reasoning_details";

/// Goes through what a provider has no counterpart of. Values that ask for nothing (`n: 1`, a
/// penalty of 0, `logprobs: false`) pass unsaid. Members that nobody knows are dropped and
/// announced, save those that the provider takes.
pub(in crate::provider) fn settle(
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
    let mut spoken = request
        .messages
        .iter()
        .filter(|it| it.role == Role::Assistant);
    if !taken.contains(&THOUGHTS) && spoken.clone().any(has_thoughts) {
        notes.without(THOUGHTS)?;
    }
    // Reasoning goes back as the entries that its provider signed; text alone has no place.
    let unsigned = |message: &Message<'_>| {
        let text = message.reasoning_content.as_deref();
        text.is_some_and(|text| !text.is_empty()) && !has_thoughts(message)
    };
    if !taken.contains(&"reasoning_content") && spoken.any(unsigned) {
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

/// Whether a message has entries of what was thought.
fn has_thoughts(message: &Message<'_>) -> bool {
    let entries = message.reasoning_details.as_ref();
    entries.is_some_and(|entries| !entries.is_empty())
}

/// Whether what a tool takes has to follow a grammar.
fn is_constrained(tool: &Custom<'_>) -> bool {
    let format = tool
        .format
        .map(|raw| serde_json::from_str::<Value>(raw.get()));
    format.is_some_and(|format| format.is_ok_and(|format| format["type"] != "text"))
}

/// Tools whose schemas are to be kept strictly, for providers that keep to them as they do.
pub(in crate::provider) fn loosely(request: &Request<'_>, notes: &mut Notes) -> Result<(), Error> {
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

/// What the answer by a schema is for, where a provider is told the schema alone.
pub(in crate::provider) fn undescribed(
    schema: &Schema<'_>,
    notes: &mut Notes,
) -> Result<(), Error> {
    if schema
        .description
        .as_deref()
        .is_some_and(|text| !text.is_empty())
    {
        notes.without("response_format.json_schema.description")?;
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
}
