use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    contents::conversation,
    model::{Model, Thinking, budget},
    names,
    own::Own,
    parts::Content,
};
use crate::{
    error::Error,
    parse::Chat,
    provider::{
        Notes,
        notes::unsupported,
        support::{THOUGHTS, Without, loosely, parse, settle, strangers, undescribed, write},
    },
    wire::chat::{AllowedMode, Raw, Request, ToolChoice},
};

/// Which of the two products is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provider) enum Door {
    /// The Gemini API.
    Api,
    /// Vertex AI.
    Vertex,
}

/// What the API has no counterpart of.
const UNSUPPORTED: &[(&str, Without)] = &[
    ("logit_bias", Without::Other),
    ("functions", Without::Other),
    ("moderation", Without::Other),
    ("prediction", Without::Same),
    ("verbosity", Without::Same),
    ("store", Without::Same),
    ("user", Without::Same),
    ("safety_identifier", Without::Same),
    ("parallel_tool_calls", Without::Same),
    ("cache_control", Without::Same),
    ("prompt_cache_key", Without::Same),
    ("prompt_cache_retention", Without::Same),
    ("prompt_cache_options", Without::Same),
];

/// Members of the provider's own that are passed on, and what models take of images from the third
/// generation on.
const TAKEN: &[&str] = &[
    "top_k",
    "safety_settings",
    "cached_content",
    "extra_body",
    THOUGHTS,
    "image_url.detail",
];

/// A body, and the tier that is asked for where it stands beside the body.
pub(in crate::provider) struct Translated {
    pub(in crate::provider) body: Bytes,
    pub(in crate::provider) tier: Option<&'static str>,
}

/// Translates a body; the model is the target's.
pub(in crate::provider) fn body(
    chat: &Chat,
    model: &str,
    door: Door,
    notes: &mut Notes,
) -> Result<Translated, Error> {
    let request = parse(chat)?;
    let of = Model::of(model);
    let taken = if of.third {
        TAKEN
    } else {
        &TAKEN[..TAKEN.len() - 1]
    };
    settle(&request, UNSUPPORTED, taken, notes)?;
    strangers(chat, &["images"], notes)?;
    loosely(&request, notes)?;
    let own = Own::read(&request, notes)?;
    let mut config = Map::new();
    sampling(&request, of, &mut config, notes)?;
    spoken(&request, &mut config, notes)?;
    think(&request, of, own.thinking, &mut config, notes)?;
    let mut schema = format(&request, &mut config, notes)?;
    let cached = own.cached_content.is_some();
    let (system, contents) = conversation(&request, of, door, cached, notes)?;
    let (tools, tool_config) = tools(&request, of, door, notes)?;
    if !(of.third || tools.is_empty()) && config.remove("responseMimeType").is_some() {
        // "Function calling with a response mime type: 'application/json' is unsupported"
        notes.unsupported("response_format")?;
        schema = None;
    }
    let labels = match door {
        Door::Vertex => request.metadata,
        Door::Api => {
            if request.metadata.is_some_and(|it| it.get().trim() != "{}") {
                notes.without("metadata")?;
            }
            None
        }
    };
    let service_tier = match request.service_tier.as_deref() {
        None | Some("auto") => None,
        Some("default") => Some("standard"),
        Some("flex") => Some("flex"),
        Some("priority" | "fast") => Some("priority"),
        Some(_) => {
            notes.without("service_tier")?;
            None
        }
    };
    // Vertex AI is told by a header, and serves as everybody is served without one.
    let (service_tier, tier) = match door {
        Door::Api => (service_tier, None),
        Door::Vertex => (None, service_tier.filter(|tier| *tier != "standard")),
    };
    let whole = Whole {
        contents,
        system_instruction: (!system.parts.is_empty()).then_some(system),
        tools,
        tool_config,
        generation_config: Config {
            rest: config,
            schema,
        },
        safety_settings: request.extra("safety_settings"),
        cached_content: own.cached_content,
        labels,
        service_tier,
    };
    Ok(Translated {
        body: write(&whole, chat.length()),
        tier,
    })
}

/// The body. What the client wrote as JSON keeps its text.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole<'a> {
    contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tools<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<Value>,
    #[serde(skip_serializing_if = "Config::is_empty")]
    generation_config: Config<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safety_settings: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_content: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
}

#[derive(Serialize)]
struct Config<'a> {
    #[serde(rename = "responseJsonSchema", skip_serializing_if = "Option::is_none")]
    schema: Option<Raw<'a>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Config<'_> {
    fn is_empty(&self) -> bool {
        self.schema.is_none() && self.rest.is_empty()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Tools<'a> {
    FunctionDeclarations(Vec<Declaration<'a>>),
    GoogleSearch(Map<String, Value>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<Cow<'a, RawValue>>,
}

fn sampling(
    request: &Request<'_>,
    of: Model,
    config: &mut Map<String, Value>,
    notes: &mut Notes,
) -> Result<(), Error> {
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            config.insert(name.to_owned(), value);
        }
    };
    let top_k = request.extra("top_k");
    for (param, name, value) in [
        (
            "temperature",
            "temperature",
            request.temperature.map(Into::into),
        ),
        ("top_p", "topP", request.top_p.map(Into::into)),
        (
            "top_k",
            "topK",
            top_k.and_then(|raw| serde_json::from_str(raw.get()).ok()),
        ),
    ] {
        if of.samples {
            put(name, value);
        } else if value.is_some_and(|value: Value| param == "top_k" || value != 1.0) {
            notes.without(param)?;
        }
    }
    put("maxOutputTokens", request.max_output().map(Into::into));
    match request.n {
        Some(n) if n.0 > 8 => notes.unsupported("n")?,
        Some(n) if n.0 > 1 => put("candidateCount", Some(n.0.into())),
        _ => {}
    }
    for (param, name, value) in [
        (
            "frequency_penalty",
            "frequencyPenalty",
            request.frequency_penalty,
        ),
        (
            "presence_penalty",
            "presencePenalty",
            request.presence_penalty,
        ),
    ] {
        match value {
            Some(value) if value != 0.0 && of.third => notes.without(param)?,
            Some(value) if !of.third => put(name, Some(value.into())),
            _ => {}
        }
    }
    if let Some(seed) = request.seed {
        // Theirs has 32 bits: the same one always becomes the same.
        #[expect(clippy::cast_possible_truncation, reason = "folded on purpose")]
        let folded = (seed.0 ^ (seed.0 >> 32)) as i32;
        let seed = i32::try_from(seed.0).unwrap_or_else(|_| {
            notes.changed("seed");
            folded
        });
        put("seed", Some(seed.into()));
    }
    if let Some(stop) = &request.stop {
        let texts: Vec<&str> = stop.0.iter().map(|text| &**text).collect();
        put("stopSequences", (!texts.is_empty()).then(|| texts.into()));
    }
    if request.logprobs == Some(true) {
        put("responseLogprobs", Some(true.into()));
        put("logprobs", request.top_logprobs.map(|n| n.0.into()));
    }
    Ok(())
}

/// What the answer may consist of beside text, and in which voice.
fn spoken(
    request: &Request<'_>,
    config: &mut Map<String, Value>,
    notes: &mut Notes,
) -> Result<(), Error> {
    let modalities = request.modalities.as_deref().unwrap_or_default();
    let speaks = modalities.iter().any(|one| &**one == "audio");
    if request.audio.is_some() && !speaks {
        notes.without("audio")?;
    }
    if modalities.iter().all(|one| &**one == "text") {
        return Ok(());
    }
    let names: Vec<String> = modalities
        .iter()
        .map(|one| one.to_ascii_uppercase())
        .collect();
    config.insert("responseModalities".into(), names.into());
    let Some(audio) = request.audio.filter(|_| speaks) else {
        return Ok(());
    };
    let audio: Value = serde_json::from_str(audio.get()).unwrap_or_default();
    if audio["format"] != "pcm16" {
        // It answers in one format, whatever is asked for.
        notes.changed("audio");
    }
    if audio["voice"].is_object() {
        // One that was made at another provider.
        notes.unsupported("audio")?;
    }
    if let Some(voice) = audio["voice"].as_str() {
        let voice = json!({ "voiceConfig": { "prebuiltVoiceConfig": { "voiceName": voice } } });
        config.insert("speechConfig".into(), voice);
    }
    Ok(())
}

/// `own`: what the client says in the provider's words, which are the last.
fn think(
    request: &Request<'_>,
    of: Model,
    own: Option<Value>,
    config: &mut Map<String, Value>,
    notes: &mut Notes,
) -> Result<(), Error> {
    if let Some(own) = own {
        config.insert("thinkingConfig".into(), own);
        if request.reasoning_effort.is_some() {
            notes.without("reasoning_effort")?;
        }
        return Ok(());
    }
    let Some(effort) = request.reasoning_effort.as_deref() else {
        return Ok(());
    };
    let thoughts = effort != "none";
    let thinking = match of.thinking {
        Thinking::None if thoughts => return notes.unsupported("reasoning_effort"),
        Thinking::None => return Ok(()),
        Thinking::Budget { least, some } => {
            let wanted = budget(effort);
            // Thinking counts towards the limit: it must leave room for an answer.
            let most = request.max_output().map_or(u64::MAX, |max| max / 4 * 3);
            let tokens = wanted.min(most).max(if wanted == 0 { least } else { some });
            if tokens != wanted {
                notes.changed("reasoning_effort");
            }
            json!({ "thinkingBudget": tokens, "includeThoughts": thoughts })
        }
        Thinking::Level { minimal, medium } => {
            let (level, same) = match effort {
                "none" if minimal => ("MINIMAL", false),
                "none" => ("LOW", false),
                "minimal" if minimal => ("MINIMAL", true),
                "minimal" => ("LOW", false),
                "low" => ("LOW", true),
                "medium" if medium => ("MEDIUM", true),
                "medium" => ("HIGH", false),
                "high" => ("HIGH", true),
                _ => ("HIGH", false),
            };
            if !same {
                notes.changed("reasoning_effort");
            }
            json!({ "thinkingLevel": level, "includeThoughts": thoughts })
        }
    };
    config.insert("thinkingConfig".into(), thinking);
    Ok(())
}

/// The schema that the answer must have.
fn format<'a>(
    request: &Request<'a>,
    config: &mut Map<String, Value>,
    notes: &mut Notes,
) -> Result<Option<Raw<'a>>, Error> {
    let Some(format) = &request.response_format else {
        return Ok(None);
    };
    match (&*format.kind, &format.json_schema) {
        ("text", _) => Ok(None),
        ("json_object", _) => {
            config.insert("responseMimeType".into(), "application/json".into());
            Ok(None)
        }
        ("json_schema", Some(schema)) => {
            config.insert("responseMimeType".into(), "application/json".into());
            undescribed(schema, notes)?;
            Ok(schema.schema)
        }
        _ => notes.unsupported("response_format").map(|()| None),
    }
}

fn tools<'a>(
    request: &'a Request<'_>,
    of: Model,
    door: Door,
    notes: &mut Notes,
) -> Result<(Vec<Tools<'a>>, Option<Value>), Error> {
    let mut all = Vec::new();
    let mut declared = Vec::new();
    for tool in request.tools.iter().flatten() {
        let name = tool.name().ok_or_else(|| unsupported("tools"))?;
        let function = tool.function.as_ref();
        let custom = tool.custom.as_ref();
        let described = function.map(|it| &it.description);
        let described = described.or(custom.map(|it| &it.description));
        declared.push(Declaration {
            name: names::fit(name),
            description: described.and_then(|text| text.as_deref()),
            parameters_json_schema: match function {
                Some(function) => function.parameters.map(|raw| Cow::Borrowed(raw.0)),
                None => Some(Cow::Owned(free_text())),
            },
        });
    }
    let mut config = None;
    if !declared.is_empty() {
        let names = |names: &[crate::wire::chat::Text<'_>]| -> Vec<String> {
            names
                .iter()
                .map(|name| names::fit(name).into_owned())
                .collect()
        };
        let calling = match &request.tool_choice {
            None => None,
            Some(ToolChoice::Auto) => Some(json!({ "mode": "AUTO" })),
            Some(ToolChoice::None) => Some(json!({ "mode": "NONE" })),
            Some(ToolChoice::Required) => Some(json!({ "mode": "ANY" })),
            Some(ToolChoice::Named(name)) => {
                Some(json!({ "mode": "ANY", "allowedFunctionNames": [names::fit(name)] }))
            }
            Some(ToolChoice::Allowed(mode, allowed)) => {
                let mode = match mode {
                    AllowedMode::Required => "ANY",
                    AllowedMode::Auto => "VALIDATED",
                };
                Some(json!({ "mode": mode, "allowedFunctionNames": names(allowed) }))
            }
        };
        config = calling.map(|calling| json!({ "functionCallingConfig": calling }));
        all.push(Tools::FunctionDeclarations(declared));
    }
    if let Some(options) = request.web_search_options {
        if all.is_empty() || of.third {
            // Neither how much is read nor where the user is can be told.
            let options: Value = serde_json::from_str(options.get()).unwrap_or_default();
            let size = &options["search_context_size"];
            if !(size.is_null() || size == "medium") || !options["user_location"].is_null() {
                notes.changed("web_search_options");
            }
            if door == Door::Api && !all.is_empty() {
                let config = config.get_or_insert_with(|| json!({}));
                beside_functions(config);
            }
            all.push(Tools::GoogleSearch(Map::new()));
        } else {
            notes.unsupported("web_search_options")?;
        }
    }
    Ok((all, config))
}

/// What the API wants to be told where it calls its own tools beside the client's, and what it takes then:
/// the mode without a word is `VALIDATED`, and `AUTO` is refused. Source: the provider's page on combining
/// tools, 2026-11; Vertex AI's reference does not have it.
fn beside_functions(config: &mut Value) {
    config["includeServerSideToolInvocations"] = true.into();
    if let Some(mode) = config.pointer_mut("/functionCallingConfig/mode") {
        if mode == "AUTO" {
            *mode = "VALIDATED".into();
        }
    }
}

/// A tool that takes free text is one with a single string.
fn free_text() -> Box<RawValue> {
    let schema =
        r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#;
    RawValue::from_string(schema.to_owned()).expect("this is JSON")
}
