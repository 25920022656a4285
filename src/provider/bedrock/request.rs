use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    content::{self, Block},
    model::Family,
};
use crate::{
    error::{Error, Kind},
    provider::{
        Notes,
        notes::unsupported,
        structured,
        support::{Without, settle},
    },
    wire::chat::{AllowedMode, Raw, Request, Role, Schema as ByName, Stop, Tool, ToolChoice},
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
    messages: Vec<content::Turn<'a>>,
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
struct Tools<'a> {
    tools: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Entry<'a> {
    ToolSpec(Spec<'a>),
    CachePoint(content::CachePoint),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'a, str>>,
    input_schema: Schema,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
struct Schema {
    json: Box<RawValue>,
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
    schema: &'a str,
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
pub(super) fn body(body: &[u8], model: &str, notes: &mut Notes) -> Result<Bytes, Error> {
    let request = Request::parse(body).map_err(|error| {
        Error::new(Kind::Format, "The request is not of the expected shape.")
            .with_code("invalid_type")
            .with_source(error)
    })?;
    settle(&request, UNSUPPORTED, TAKEN, notes)?;
    let family = Family::of(model);
    let mut fields = Map::new();
    let mut inference = Inference {
        max_tokens: request.max_output().map(|tokens| tokens.max(1)),
        ..Inference::default()
    };
    family.think(&request, &mut inference.max_tokens, &mut fields, notes)?;
    sample(&request, &family, &mut inference, &mut fields, notes)?;
    let (mut system, mut messages) = content::conversation(&request)?;
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
    let text = serde_json::to_vec(&whole).expect("strings and numbers serialise into memory");
    Ok(text.into())
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
        let thinks = fields.contains_key("thinking");
        if !family.samples(name, value, inference.temperature.is_some(), thinks) {
            if value < 1.0 {
                notes.unsupported(name)?;
            }
            continue;
        }
        if value < asked {
            notes.changed(name);
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
            Family::Claude(_) => drop(fields.insert("top_k".into(), value)),
            Family::Nova => {
                fields.insert("inferenceConfig".into(), json!({ "topK": value }));
            }
            _ => notes.without("top_k")?,
        }
    }
    Ok(())
}

/// The tools, and with them the one whose arguments are the answer: it must be called, or another.
fn answering<'a>(
    by: &'a ByName<'_>,
    tools: Option<Tools<'a>>,
    request: &Request<'_>,
    fields: &mut Map<String, Value>,
) -> Result<Tools<'a>, Error> {
    let declared = request.tools.iter().flatten();
    if declared
        .clone()
        .any(|tool| tool.name() == Some(structured::ANSWER))
    {
        return Err(unsupported("tools"));
    }
    let callable = declared.count() > 0 && !matches!(request.tool_choice, Some(ToolChoice::None));
    let mut all = tools.map_or_else(Vec::new, |tools| tools.tools);
    all.push(Entry::ToolSpec(Spec {
        name: structured::ANSWER.into(),
        description: Some(structured::purpose(by)),
        input_schema: Schema {
            json: schema(by.schema),
        },
        strict: None,
    }));
    let mut choice = match &request.tool_choice {
        // A tool of the client's is called first; its result is asked about again.
        Some(ToolChoice::Named(name)) => json!({ "type": "tool", "name": name }),
        _ if callable => json!({ "type": "any" }),
        _ => json!({ "type": "tool", "name": structured::ANSWER }),
    };
    choice["disable_parallel_tool_use"] = true.into();
    fields.insert("tool_choice".into(), choice);
    Ok(Tools {
        tools: all,
        tool_choice: None,
    })
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
            let Some(schema) = by.schema.map(|raw| raw.get()) else {
                return notes.unsupported("response_format").map(|()| (None, None));
            };
            if family.knows_schemas() {
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
            if structured::fits(schema) && !family.thinks_manually(fields) {
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

/// The tools and the choice among them.
///
/// There is no `none`: the tools are left out, unless the conversation has calls already, which the
/// service refuses without the tools. Then a Claude is told in its own words.
fn tools<'a>(
    request: &'a Request<'_>,
    family: &Family,
    fields: &mut Map<String, Value>,
    notes: &mut Notes,
) -> Result<Option<Tools<'a>>, Error> {
    let called = request
        .messages
        .iter()
        .any(|message| message.role == Role::Tool || !message.calls().is_empty());
    let declared = request.tools.as_deref().unwrap_or_default();
    if declared.is_empty() {
        return Ok(called.then(|| {
            forbid(family, fields);
            of_history(request)
        }));
    }
    let forbidden = matches!(request.tool_choice, Some(ToolChoice::None));
    if forbidden && !called {
        return Ok(None);
    }
    let allowed = match &request.tool_choice {
        Some(ToolChoice::Allowed(_, names)) => Some(names),
        _ => None,
    };
    let mut entries = Vec::with_capacity(declared.len());
    for tool in declared {
        let name = tool.name().ok_or_else(|| unsupported("tools"))?;
        if allowed.is_some_and(|names| names.iter().all(|allowed| &**allowed != name)) {
            continue;
        }
        entries.push(Entry::ToolSpec(spec(tool, name)));
        if let Some(mark) = &tool.cache_control {
            entries.push(Entry::CachePoint(content::CachePoint::of(mark)));
        }
    }
    let mut choice = match &request.tool_choice {
        None | Some(ToolChoice::Auto | ToolChoice::None) => None,
        Some(ToolChoice::Allowed(AllowedMode::Auto, _)) => None,
        Some(ToolChoice::Required | ToolChoice::Allowed(..)) => Some(json!({ "any": {} })),
        Some(ToolChoice::Named(name)) => Some(json!({ "tool": { "name": name } })),
    };
    if entries.is_empty() {
        // Nothing is allowed: fine when nothing is asked for.
        if choice.is_some() {
            notes.unsupported("tool_choice")?;
        }
        return Ok(called.then(|| of_history(request)));
    }
    if choice.is_some() && family.thinks_manually(fields) {
        // A forced tool and manual thinking exclude each other.
        notes.unsupported("tool_choice")?;
        choice = None;
    }
    if forbidden {
        if !forbid(family, fields) {
            notes.unsupported("tool_choice")?;
        }
    } else if request.parallel_tool_calls == Some(false) {
        match family {
            Family::Claude(_) => {
                let kind = match choice.take() {
                    None => json!({ "type": "auto" }),
                    Some(any) if any.get("any").is_some() => json!({ "type": "any" }),
                    Some(one) => json!({ "type": "tool", "name": one["tool"]["name"] }),
                };
                let mut own = kind;
                own["disable_parallel_tool_use"] = true.into();
                fields.insert("tool_choice".into(), own);
            }
            _ => notes.without("parallel_tool_calls")?,
        }
    }
    Ok(Some(Tools {
        tools: entries,
        tool_choice: choice,
    }))
}

/// Tells a model not to call anything; `false` when there is no way to.
fn forbid(family: &Family, fields: &mut Map<String, Value>) -> bool {
    let claude = matches!(family, Family::Claude(_));
    if claude {
        fields.insert("tool_choice".into(), json!({ "type": "none" }));
    }
    claude
}

fn spec<'a>(tool: &'a Tool<'_>, name: &'a str) -> Spec<'a> {
    let function = tool.function.as_ref();
    let described = function
        .map(|it| &it.description)
        .or(tool.custom.as_ref().map(|it| &it.description));
    Spec {
        name: name.into(),
        description: described
            .and_then(|text| text.as_deref())
            .filter(|text| !text.is_empty())
            .map(Cow::Borrowed),
        input_schema: Schema {
            json: match function {
                Some(function) => schema(function.parameters),
                None => raw(FREE_TEXT),
            },
        },
        strict: function.and_then(|it| it.strict).filter(|strict| *strict),
    }
}

const EMPTY: &str = r#"{"type":"object","properties":{}}"#;

/// A tool that takes free text is one with a single string.
const FREE_TEXT: &str =
    r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#;

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).expect("this is JSON")
}

/// A function's schema, which must be said to be one of an object.
fn schema(parameters: Option<Raw<'_>>) -> Box<RawValue> {
    let Some(text) = parameters.map(|raw| raw.get()) else {
        return raw(EMPTY);
    };
    match serde_json::from_str::<Map<String, Value>>(text) {
        Ok(schema) if schema.contains_key("type") => raw(text),
        Ok(schema) if !schema.is_empty() => raw(&text.replacen('{', r#"{"type":"object","#, 1)),
        _ => raw(EMPTY),
    }
}

/// The tools that a conversation has called, for a request that names none any more.
fn of_history<'a>(request: &'a Request<'_>) -> Tools<'a> {
    let mut names: Vec<&str> = Vec::new();
    for call in request.messages.iter().flat_map(|message| message.calls()) {
        if !names.contains(&call.name()) {
            names.push(call.name());
        }
    }
    if names.is_empty() {
        names.push("unknown");
    }
    let entry = |name: &'a str| {
        Entry::ToolSpec(Spec {
            name: name.into(),
            description: None,
            input_schema: Schema { json: raw(EMPTY) },
            strict: None,
        })
    };
    Tools {
        tools: names.into_iter().map(entry).collect(),
        tool_choice: None,
    }
}
