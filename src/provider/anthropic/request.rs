use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::model::{Model, Thinking, budget};
use crate::{
    error::{Error, Kind},
    wire::chat::{
        AllowedMode, Content, Message, Part, Raw, Request, Role, ToolChoice, parts_of, text_of,
    },
};

/// Translates a body; the model is the target's.
pub(super) fn body(body: &[u8], model: &str) -> Result<Bytes, Error> {
    let request = Request::parse(body).map_err(|error| {
        Error::new(Kind::Format, "The request is not of the expected shape.")
            .with_code("invalid_type")
            .with_source(error)
    })?;
    refuse(&request)?;
    let of = Model::of(model);
    let mut out = Map::new();
    let mut max = request.max_output().unwrap_or(of.max_output);
    out.insert("model".into(), model.into());
    think(&request, of, &mut max, &mut out)?;
    out.insert("max_tokens".into(), max.into());
    conversation(&request, &mut out)?;
    sampling(&request, of, &mut out)?;
    tools(&request, &mut out)?;
    if request.stream == Some(true) {
        out.insert("stream".into(), true.into());
    }
    if let Some(user) = request.end_user() {
        out.insert("metadata".into(), json!({ "user_id": user }));
    }
    let text = serde_json::to_vec(&out).expect("values serialise into memory");
    Ok(text.into())
}

fn unsupported(param: &str) -> Error {
    Error::new(
        Kind::Format,
        format!("`{param}` is not supported by this model's provider."),
    )
    .with_param(param.to_owned())
    .with_code("unsupported_parameter")
}

/// What changes the meaning of the answer and has no counterpart. Nothing is dropped unsaid, so
/// whatever asks for something is refused too; values that ask for nothing pass.
fn refuse(request: &Request<'_>) -> Result<(), Error> {
    let quiet = |value: Option<f64>| value.is_none_or(|value| value == 0.0);
    let text_only = request
        .modalities
        .as_ref()
        .is_none_or(|all| all.iter().all(|one| &**one == "text"));
    for (param, fine) in [
        ("n", request.n.is_none_or(|n| n.0 <= 1)),
        (
            "logit_bias",
            request.logit_bias.is_none_or(|it| it.get() == "{}"),
        ),
        ("logprobs", request.logprobs != Some(true)),
        ("frequency_penalty", quiet(request.frequency_penalty)),
        ("presence_penalty", quiet(request.presence_penalty)),
        ("seed", request.seed.is_none()),
        ("modalities", text_only),
        ("audio", request.audio.is_none()),
        ("web_search_options", request.web_search_options.is_none()),
        ("functions", request.functions.is_none()),
    ] {
        if !fine {
            return Err(unsupported(param));
        }
    }
    Ok(())
}

fn think(
    request: &Request<'_>,
    of: Model,
    max: &mut u64,
    out: &mut Map<String, Value>,
) -> Result<(), Error> {
    let Some(effort) = request.reasoning_effort.as_deref() else {
        return Ok(());
    };
    if effort == "none" {
        return Ok(());
    }
    match of.thinking {
        Thinking::None => return Err(unsupported("reasoning_effort")),
        Thinking::Budget => {
            let tokens = budget(effort);
            if request.max_output().is_none() {
                *max = (*max).max(tokens + 4096);
            }
            // Below 1024 no budget is legal, and it must leave room for an answer.
            let tokens = tokens.min(max.saturating_sub(1));
            if tokens >= 1024 {
                let thinking = json!({ "type": "enabled", "budget_tokens": tokens });
                out.insert("thinking".into(), thinking);
            }
        }
        Thinking::Adaptive { sampling } => {
            let effort = match effort {
                "minimal" => "low",
                "xhigh" if sampling => "high",
                effort => effort,
            };
            out.insert("thinking".into(), json!({ "type": "adaptive" }));
            out.insert("output_config".into(), json!({ "effort": effort }));
        }
    }
    Ok(())
}

fn sampling(request: &Request<'_>, of: Model, out: &mut Map<String, Value>) -> Result<(), Error> {
    for (name, value) in [
        ("temperature", request.temperature),
        ("top_p", request.top_p),
    ] {
        let Some(value) = value else { continue };
        if of.samples() {
            // Their scale ends where the API's own is half way: the hottest there is, is meant.
            out.insert(name.into(), value.clamp(0.0, 1.0).into());
        } else if (value - 1.0).abs() > f64::EPSILON {
            return Err(unsupported(name));
        }
    }
    if let Some(stop) = &request.stop {
        let texts = stop.0.iter().filter(|text| !text.trim().is_empty());
        let texts: Vec<&str> = texts.map(|text| &**text).collect();
        if !texts.is_empty() {
            out.insert("stop_sequences".into(), texts.into());
        }
    }
    let Some(format) = &request.response_format else {
        return Ok(());
    };
    match (&*format.kind, &format.json_schema) {
        ("text", _) => Ok(()),
        ("json_schema", Some(schema)) if of.structured => {
            let schema = schema.schema.map_or_else(|| json!({}), parsed);
            let config = out.entry("output_config").or_insert_with(|| json!({}));
            config["format"] = json!({ "type": "json_schema", "schema": schema });
            Ok(())
        }
        _ => Err(unsupported("response_format")),
    }
}

fn parsed(raw: Raw<'_>) -> Value {
    serde_json::from_str(raw.get()).unwrap_or(Value::Null)
}

fn tools(request: &Request<'_>, out: &mut Map<String, Value>) -> Result<(), Error> {
    let Some(tools) = request.tools.as_deref().filter(|tools| !tools.is_empty()) else {
        return Ok(());
    };
    let mut choice = match &request.tool_choice {
        None | Some(ToolChoice::Auto) => json!({ "type": "auto" }),
        Some(ToolChoice::Allowed(AllowedMode::Auto, _)) => json!({ "type": "auto" }),
        Some(ToolChoice::Required | ToolChoice::Allowed(..)) => json!({ "type": "any" }),
        Some(ToolChoice::None) => json!({ "type": "none" }),
        Some(ToolChoice::Named(name)) => json!({ "type": "tool", "name": name }),
    };
    let forced = choice["type"] == "any" || choice["type"] == "tool";
    if forced
        && out
            .get("thinking")
            .is_some_and(|it| it["type"] == "enabled")
    {
        // A forced tool and manual thinking exclude each other; the choice decides what happens.
        return Err(unsupported("tool_choice"));
    }
    let allowed = match &request.tool_choice {
        Some(ToolChoice::Allowed(_, names)) => Some(names),
        _ => None,
    };
    let mut list = Vec::with_capacity(tools.len());
    for tool in tools {
        let name = tool.name().ok_or_else(|| unsupported("tools"))?;
        if allowed.is_some_and(|names| names.iter().all(|allowed| &**allowed != name)) {
            continue;
        }
        let mut one = json!({ "name": name });
        if let Some(function) = &tool.function {
            let schema = function.parameters.map(parsed);
            let mut schema = schema.filter(Value::is_object).unwrap_or_else(|| json!({}));
            if schema.get("type").is_none() {
                schema["type"] = "object".into();
            }
            one["input_schema"] = schema;
            if let Some(description) = &function.description {
                one["description"] = (&**description).into();
            }
            if function.strict == Some(true) {
                one["strict"] = true.into();
            }
        } else {
            one["input_schema"] = json!({
                "type": "object",
                "properties": { "input": { "type": "string" } },
                "required": ["input"],
            });
            let custom = tool.custom.as_ref();
            if let Some(text) = custom.and_then(|custom| custom.description.as_deref()) {
                one["description"] = text.into();
            }
        }
        if let Some(mark) = &tool.cache_control {
            one["cache_control"] = ephemeral(mark.is_long());
        }
        list.push(one);
    }
    if request.parallel_tool_calls == Some(false) && choice["type"] != "none" {
        choice["disable_parallel_tool_use"] = true.into();
    }
    out.insert("tools".into(), list.into());
    out.insert("tool_choice".into(), choice);
    Ok(())
}

fn ephemeral(long: bool) -> Value {
    if long {
        json!({ "type": "ephemeral", "ttl": "1h" })
    } else {
        json!({ "type": "ephemeral" })
    }
}

fn conversation(request: &Request<'_>, out: &mut Map<String, Value>) -> Result<(), Error> {
    let mut system = Vec::new();
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for (at, message) in request.messages.iter().enumerate() {
        let (role, blocks) = match message.role {
            Role::System | Role::Developer => {
                system.extend(blocks(&message.content, at)?);
                continue;
            }
            Role::User => ("user", blocks(&message.content, at)?),
            Role::Assistant => ("assistant", spoken(message, at)?),
            Role::Tool => ("user", vec![result(message, at)?]),
            Role::Function => return Err(unsupported("functions")),
        };
        match turns.last_mut() {
            Some((last, all)) if *last == role => all.extend(blocks),
            _ if blocks.is_empty() => {}
            _ => turns.push((role, blocks)),
        }
    }
    if !system.is_empty() {
        out.insert("system".into(), system.into());
    }
    let turns = turns.into_iter();
    let turns: Vec<Value> = turns
        .map(|(role, content)| json!({ "role": role, "content": content }))
        .collect();
    out.insert("messages".into(), turns.into());
    Ok(())
}

fn result(message: &Message<'_>, at: usize) -> Result<Value, Error> {
    let content = match &message.content {
        Some(Content::Parts(_)) => blocks(&message.content, at)?.into(),
        content => Value::from(text_of(content).into_owned()),
    };
    Ok(json!({
        "type": "tool_result",
        "tool_use_id": message.tool_call_id,
        "content": content,
    }))
}

/// What the model said: its reasoning as it was, its text, its calls.
fn spoken(message: &Message<'_>, at: usize) -> Result<Vec<Value>, Error> {
    let details = message.reasoning_details.iter().flatten();
    let mut all: Vec<Value> = details
        .map(|raw| parsed(*raw))
        .filter(|one| one["type"] == "thinking" || one["type"] == "redacted_thinking")
        .collect();
    all.extend(blocks(&message.content, at)?);
    if let Some(refusal) = message.refusal.as_deref().filter(|text| !text.is_empty()) {
        all.push(json!({ "type": "text", "text": refusal }));
    }
    for (n, call) in message.calls().iter().enumerate() {
        let input: Map<String, Value> = serde_json::from_str(&call.arguments()).map_err(|_| {
            let param = format!("messages[{at}].tool_calls[{n}].function.arguments");
            let message = format!("`{param}` must be the text of a JSON object");
            Error::new(Kind::Format, message).with_param(param)
        })?;
        all.push(json!({
            "type": "tool_use", "id": call.id, "name": call.name(), "input": input,
        }));
    }
    Ok(all)
}

fn blocks(content: &Option<Content<'_>>, at: usize) -> Result<Vec<Value>, Error> {
    let mut all = Vec::new();
    for (n, part) in parts_of(content).iter().enumerate() {
        // Empty texts are refused upstream and say nothing.
        if part.text.as_deref().is_some_and(str::is_empty) {
            continue;
        }
        let mut one =
            block(part).ok_or_else(|| unsupported(&format!("messages[{at}].content[{n}]")))?;
        if let Some(mark) = part.breakpoint() {
            one["cache_control"] = ephemeral(mark.is_long());
        }
        all.push(one);
    }
    Ok(all)
}

fn block(part: &Part<'_>) -> Option<Value> {
    let base64 =
        |kind: &str, data: &str| json!({ "type": "base64", "media_type": kind, "data": data });
    if let Some(text) = part.text.as_deref().or(part.refusal.as_deref()) {
        return Some(json!({ "type": "text", "text": text }));
    }
    if let Some(image) = &part.image_url {
        let source = match image.data() {
            Some((kind, data)) => base64(kind, data),
            None => json!({ "type": "url", "url": image.url }),
        };
        return Some(json!({ "type": "image", "source": source }));
    }
    let file = part.file.as_ref()?;
    let source = match (&file.file_id, file.data()) {
        (Some(id), _) => json!({ "type": "file", "file_id": id }),
        (None, Some((kind, data))) if kind == "application/pdf" => base64(kind, data),
        _ => return None,
    };
    let mut document = json!({ "type": "document", "source": source });
    if let Some(name) = &file.filename {
        document["title"] = (&**name).into();
    }
    Some(document)
}
