//! Tools for providers that know functions only, and calls of them.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    error::{Error, Kind},
    provider::{Notes, notes::unsupported},
    wire::chat::{AllowedMode, Request, Tool, ToolCall, ToolChoice},
};

/// What must be called, among the tools that are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provider) enum Must {
    Nothing,
    Any,
    /// No call is allowed.
    Never,
}

/// The tools that a choice leaves, for providers without a choice by name: naming one is allowing
/// only that one. A choice that leaves none is refused if one must be called.
pub(in crate::provider) fn chosen<'a, 'r>(
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

/// A tool, declared as OpenAI does.
#[derive(Serialize)]
pub(in crate::provider) struct Declared<'a> {
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
pub(in crate::provider) fn declared<'r>(tool: &'r Tool<'_>) -> Declared<'r> {
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

/// The name of a call that goes back. One that a model made up may be outside of the alphabet and the length
/// that names of tools have, and is refused by providers so, with all that comes behind it.
pub(in crate::provider) fn named<'r>(call: &'r ToolCall<'_>, longest: usize) -> Cow<'r, str> {
    let name = call.name();
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if (1..=longest).contains(&name.len()) && name.chars().all(fits) {
        return name.into();
    }
    let spelled = name.chars().map(|c| if fits(c) { c } else { '_' });
    let fitted: String = spelled.take(longest).collect();
    if fitted.is_empty() {
        return "_".into();
    }
    fitted.into()
}

/// The arguments of a call as a JSON object.
///
/// # Errors
/// They are not the text of one; the path says where.
pub(in crate::provider) fn arguments(
    call: &ToolCall<'_>,
    at: usize,
    n: usize,
) -> Result<Box<RawValue>, Error> {
    let input = RawValue::from_string(call.arguments().into_owned()).ok();
    input
        .filter(|input| input.get().starts_with('{'))
        .ok_or_else(|| {
            let param = format!("messages[{at}].tool_calls[{n}].function.arguments");
            let message = format!("`{param}` must be the text of a JSON object");
            Error::new(Kind::Value, message)
                .with_param(param)
                .with_code("invalid_value")
        })
}
