use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    blocks::{Block, Turn},
    content,
    marks::thin_out,
    model::Family,
    tools::{Tools, answering, tools},
};
use crate::{
    error::Error,
    parse::Chat,
    provider::{
        Notes,
        anthropic::{request::only_top_p, schema::closed},
        structured,
        support::{MARKS, THOUGHTS, Without, parse, settle, strangers, write},
    },
    wire::chat::{Raw, Request, Schema as ByName, Stop},
};

/// What Converse has no counterpart of.
const UNSUPPORTED: &[(&str, Without)] = &[
    ("n", Without::Other),
    ("logit_bias", Without::Other),
    ("logprobs", Without::Other),
    ("modalities", Without::Other),
    ("audio", Without::Other),
    ("web_search_options", Without::Other),
    ("functions", Without::Other),
    ("moderation", Without::Other),
    ("frequency_penalty", Without::Same),
    ("presence_penalty", Without::Same),
    ("seed", Without::Same),
    ("prediction", Without::Same),
    ("verbosity", Without::Same),
    ("store", Without::Same),
    ("user", Without::Same),
    ("safety_identifier", Without::Same),
    ("prompt_cache_key", Without::Same),
    ("prompt_cache_retention", Without::Same),
    ("prompt_cache_options", Without::Same),
];

/// Members of Converse that a client may send under their own names.
const TAKEN: &[&str] = &[
    MARKS,
    THOUGHTS,
    "top_k",
    "guardrailConfig",
    "performanceConfig",
    "additionalModelRequestFields",
    "additionalModelResponseFieldPaths",
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Inference::is_empty")]
    inference_config: Inference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<Tools<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<Output<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<Tier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_metadata: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    additional_model_request_fields: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guardrail_config: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    performance_config: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_model_response_field_paths: Option<Raw<'a>>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Inference<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a str>,
}

impl Inference<'_> {
    fn is_empty(&self) -> bool {
        self.max_tokens.is_none()
            && self.temperature.is_none()
            && self.top_p.is_none()
            && self.stop_sequences.is_empty()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Output<'a> {
    text_format: TextFormat<'a>,
}

#[derive(Serialize)]
struct TextFormat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    structure: Structure<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Structure<'a> {
    json_schema: JsonSchema<'a>,
}

/// The schema is the text of JSON inside JSON.
#[derive(Serialize)]
struct JsonSchema<'a> {
    schema: Cow<'a, str>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

#[derive(Serialize)]
struct Tier {
    #[serde(rename = "type")]
    kind: &'static str,
}

/// Translates a body; the model stands in the URL, but what it takes depends on it.
pub(super) fn body(chat: &Chat, model: &str, notes: &mut Notes) -> Result<Bytes, Error> {
    let request = parse(chat)?;
    settle(&request, UNSUPPORTED, TAKEN, notes)?;
    strangers(chat, &[], notes)?;
    let family = Family::of(model);
    let mut fields = Map::new();
    let mut inference = Inference {
        max_tokens: request.max_output().map(|tokens| tokens.max(1)),
        ..Inference::default()
    };
    family.think(&request, &mut inference.max_tokens, &mut fields, notes)?;
    sample(&request, &family, &mut inference, &mut fields, notes)?;
    let (mut system, mut messages) = content::conversation(&request, notes)?;
    if matches!(family, Family::Claude(_)) {
        content::trim_last(&mut messages, notes);
    }
    let (output_config, answer) = format(&request, &family, &fields, &mut system, notes)?;
    if let Some(mark) = &request.cache_control {
        if let Some(last) = messages.last_mut() {
            last.content.push(Block::cache_point(mark));
        }
    }
    let mut tool_config = tools(&request, &family, &mut fields, notes)?;
    if let Some(schema) = answer {
        tool_config = Some(answering(schema, tool_config, &request, &mut fields)?);
    }
    thin_out(tool_config.as_mut(), &mut system, &mut messages, notes)?;
    let service_tier = tier(&request, notes)?;
    if let Some(own) = request.extra("additionalModelRequestFields") {
        // The client's own word on a field is the last one.
        match serde_json::from_str::<Map<String, Value>>(own.get()) {
            Ok(own) => fields.extend(own),
            Err(_) => notes.unsupported("additionalModelRequestFields")?,
        }
    }
    let whole = Body {
        system,
        messages,
        inference_config: inference,
        tool_config,
        output_config,
        service_tier,
        request_metadata: request.metadata.filter(|it| it.get().trim() != "{}"),
        additional_model_request_fields: fields,
        guardrail_config: request.extra("guardrailConfig"),
        performance_config: request.extra("performanceConfig"),
        additional_model_response_field_paths: request.extra("additionalModelResponseFieldPaths"),
    };
    Ok(write(&whole, chat.length()))
}

fn sample<'a>(
    request: &'a Request<'_>,
    family: &Family,
    inference: &mut Inference<'a>,
    fields: &mut Map<String, Value>,
    notes: &mut Notes,
) -> Result<(), Error> {
    for (name, value) in [
        ("temperature", request.temperature),
        ("top_p", request.top_p),
    ] {
        let Some(asked) = value else { continue };
        // The scale ends where the API's own is half way: the hottest there is, is meant.
        let value = asked.clamp(0.0, 1.0);
        if value < asked {
            notes.changed(name);
        }
        let thinks = fields.contains_key("thinking");
        let other = match name {
            "temperature" => only_top_p(request, notes),
            _ => inference.temperature.is_some(),
        };
        if !family.samples(value, other, thinks) {
            if value < 1.0 {
                notes.unsupported(name)?;
            }
            continue;
        }
        match name {
            "temperature" => inference.temperature = Some(value),
            _ => inference.top_p = Some(value),
        }
    }
    if let Some(Stop(texts)) = &request.stop {
        let texts = texts.iter().filter(|text| !text.is_empty());
        inference.stop_sequences = texts.map(|text| &**text).collect();
    }
    if let Some(top_k) = request.extra("top_k") {
        let value: Value = serde_json::from_str(top_k.get()).unwrap_or_default();
        match family {
            Family::Claude(of) if !of.samples() || fields.contains_key("thinking") => {
                notes.unsupported("top_k")?;
            }
            Family::Claude(_) => drop(fields.insert("top_k".into(), value)),
            Family::Nova => {
                fields.insert("inferenceConfig".into(), json!({ "topK": value }));
            }
            _ => notes.without("top_k")?,
        }
    }
    Ok(())
}

/// The schema that the answer must have. JSON without a schema is an instruction beside the others.
fn format<'a>(
    request: &'a Request<'_>,
    family: &Family,
    fields: &Map<String, Value>,
    system: &mut Vec<Block<'a>>,
    notes: &mut Notes,
) -> Result<(Option<Output<'a>>, Option<&'a ByName<'a>>), Error> {
    let Some(format) = &request.response_format else {
        return Ok((None, None));
    };
    match (&*format.kind, &format.json_schema) {
        ("text", _) => Ok((None, None)),
        ("json_object", _) => {
            notes.changed("response_format");
            let text = "Answer with one JSON object and nothing else, without a code fence.";
            system.push(Block::Text(text.into()));
            Ok((None, None))
        }
        ("json_schema", Some(by)) => {
            let Some(raw) = by.schema else {
                return notes.unsupported("response_format").map(|()| (None, None));
            };
            // Of others than Claude the service says whether they keep to a schema.
            let schema = match family {
                Family::Claude(of) => of.structured.then(|| closed(raw.0)).flatten(),
                _ => Some(Cow::Borrowed(raw.0)),
            };
            if let Some(schema) = schema {
                let schema = match schema {
                    Cow::Borrowed(raw) => Cow::Borrowed(raw.get()),
                    Cow::Owned(raw) => {
                        notes.changed("response_format");
                        Cow::Owned(raw.get().to_owned())
                    }
                };
                let json_schema = JsonSchema {
                    schema,
                    name: &by.name,
                    description: by.description.as_deref(),
                };
                let text_format = TextFormat {
                    kind: "json_schema",
                    structure: Structure { json_schema },
                };
                return Ok((Some(Output { text_format }), None));
            }
            // A tool can be forced, unless the model thinks.
            if structured::fits(raw.get()) && !family.is_unforced(fields) {
                notes.changed("response_format");
                return Ok((None, Some(by)));
            }
            notes.unsupported("response_format").map(|()| (None, None))
        }
        _ => notes.unsupported("response_format").map(|()| (None, None)),
    }
}

fn tier(request: &Request<'_>, notes: &mut Notes) -> Result<Option<Tier>, Error> {
    let kind = match request.service_tier.as_deref() {
        None | Some("auto") => return Ok(None),
        Some("default") => "default",
        Some("flex") => "flex",
        Some("priority" | "fast") => "priority",
        Some("reserved") => "reserved",
        Some(_) => return notes.without("service_tier").map(|()| None),
    };
    Ok(Some(Tier { kind }))
}
