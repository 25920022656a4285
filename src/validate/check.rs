use std::borrow::Cow;

use super::policy::{Images, Models, Policy, Report, Support, UnknownMembers};
use crate::{
    dialect::Dialect,
    error::{Error, Kind},
    ext::Principal,
    parse::Chat,
    wire::request::{Fault, FaultKind, Name, path_at},
};

/// The most mistakes that one message tells.
const TOLD: usize = 16;

/// Judges a request; gives the names of the parameters that were dropped for its model.
pub(super) fn check(
    chat: &mut Chat,
    dialect: &Dialect,
    policy: &Policy,
    models: &dyn Models,
    caller: Option<&Principal>,
) -> Result<Vec<Cow<'static, str>>, Error> {
    let text = chat.original().clone();
    let faults = chat.request().faults();
    if let Some(first) = faults.first() {
        let error = refused(first, &text);
        return Err(match policy.report {
            Report::All if faults.len() > 1 => all(faults, &text, &error),
            _ => error,
        });
    }
    allowed(chat, policy)?;
    let id = models.id(chat.model());
    if let Some(caller) = caller {
        if !caller.may_use(&id) && !caller.may_use(chat.model()) {
            let message = format!("The key may not use the model `{}`.", shown(chat.model()));
            return Err(Error::new(Kind::Permission, message)
                .with_param("model")
                .with_code("model_not_allowed"));
        }
    }
    if !models.knows(&id) {
        let message = format!("The model `{}` does not exist.", shown(chat.model()));
        return Err(Error::new(Kind::NotFound, message)
            .with_param("model")
            .with_code("model_not_found"));
    }
    fits(chat, models.context_window(&id))?;
    let mut dropped = parameters(chat, &id, models)?;
    dropped.extend(drop_unknown(chat, policy).into_iter().map(Cow::Owned));
    fill(chat, dialect, &id, models);
    if let Some(tokens) = policy.default_output_tokens {
        if chat.max_output_tokens().is_none() {
            limit(chat, tokens, &id, models);
        }
    }
    Ok(dropped)
}

fn refused(fault: &Fault, text: &[u8]) -> Error {
    let (kind, code) = match fault.kind {
        FaultKind::Missing(_) => (Kind::Format, "missing_required_parameter"),
        FaultKind::Type(_) => (Kind::Format, "invalid_type"),
        FaultKind::Value(_) | FaultKind::Rule(_) => (Kind::Value, "invalid_value"),
    };
    let error = Error::new(kind, fault.message(text)).with_code(code);
    match fault.path(text) {
        path if path.is_empty() => error,
        path => error.with_param(path),
    }
}

/// One message for all; the kind, code and field are the first's.
fn all(faults: &[Fault], text: &[u8], first: &Error) -> Error {
    let mut message = String::new();
    for fault in faults.iter().take(TOLD) {
        if !message.is_empty() {
            message.push_str("; ");
        }
        message.push_str(&fault.message(text));
    }
    if faults.len() > TOLD {
        message.push_str("; and more");
    }
    let mut error = Error::new(first.kind(), message);
    if let Some(code) = first.code() {
        error = error.with_code(code.to_owned());
    }
    if let Some(param) = first.param() {
        error = error.with_param(param.to_owned());
    }
    error
}

/// What this operator does not allow.
fn allowed(chat: &Chat, policy: &Policy) -> Result<(), Error> {
    let too_many = |param: &'static str, limit: u64, got: u64| {
        Error::new(
            Kind::Value,
            format!("`{param}` must be at most {limit} here, got {got}"),
        )
        .with_param(param)
    };
    let request = chat.request();
    let counts = request.counts();
    if chat.n() > policy.max_n {
        return Err(too_many("n", policy.max_n.into(), chat.n().into()));
    }
    if let Some(limit) = policy.max_output_tokens {
        for (param, asked) in [
            ("max_tokens", request.max_tokens()),
            ("max_completion_tokens", request.max_completion_tokens()),
        ] {
            if let Some(asked) = asked.filter(|asked| *asked > limit) {
                return Err(too_many(param, limit, asked));
            }
        }
    }
    let images = counts.images + counts.low_images;
    for (param, what, limit, got) in [
        ("messages", "messages", policy.max_messages, counts.messages),
        ("tools", "tools", policy.max_tools, counts.tools),
        ("messages", "images", policy.max_images, images),
    ] {
        if got > limit {
            let message = format!("At most {limit} {what} are allowed here, got {got}");
            return Err(Error::new(Kind::Value, message).with_param(param));
        }
    }
    images_allowed(chat, policy.images)?;
    unknown_allowed(chat, policy)
}

fn images_allowed(chat: &Chat, images: Images) -> Result<(), Error> {
    let urls = chat.request().image_urls();
    let (at, expected) = match images {
        Images::Any => return Ok(()),
        Images::Web => (urls.other, "an https, http or data URL"),
        Images::Secure => (urls.http.or(urls.other), "an https or data URL"),
    };
    let Some(at) = at else { return Ok(()) };
    let kind = FaultKind::Value(expected);
    Err(refused(&Fault { at, kind }, chat.original()))
}

fn unknown_allowed(chat: &Chat, policy: &Policy) -> Result<(), Error> {
    let allowed = match &policy.unknown {
        UnknownMembers::Keep => return Ok(()),
        UnknownMembers::Drop => None,
        UnknownMembers::Refuse => Some(&[][..]),
        UnknownMembers::Allow(names) => Some(&names[..]),
    };
    let request = chat.request();
    if request.has_more_unknown() {
        let message = "The request has too many members that are not known";
        return Err(Error::new(Kind::Format, message).with_code("unknown_parameter"));
    }
    let Some(allowed) = allowed else {
        return Ok(());
    };
    for unknown in request.unknown() {
        let name = chat.key_at(unknown.key);
        if allowed.iter().any(|allowed| **allowed == *name) {
            continue;
        }
        let path = path_at(chat.original(), unknown.key);
        let message = format!("`{path}` is not a known parameter");
        return Err(Error::new(Kind::Format, message)
            .with_param(path)
            .with_code("unknown_parameter"));
    }
    Ok(())
}

/// Leaves out what is not known, where that is the policy; the names of those at the top level.
fn drop_unknown(chat: &mut Chat, policy: &Policy) -> Vec<String> {
    if policy.unknown != UnknownMembers::Drop {
        return Vec::new();
    }
    let top = chat.request().range().start;
    let unknown: Vec<_> = chat.request().unknown().collect();
    let mut names = Vec::new();
    for member in unknown {
        if member.object == top {
            names.push(chat.key_at(member.key).into_owned());
        }
        chat.remove_unknown(member);
    }
    names
}

fn fits(chat: &Chat, window: Option<u64>) -> Result<(), Error> {
    let Some(window) = window else { return Ok(()) };
    let input = chat.input_estimate();
    if input <= window {
        return Ok(());
    }
    let message = format!(
        "The messages are about {input} tokens, more than the model's context window of {window}."
    );
    Err(Error::new(Kind::Format, message)
        .with_param("messages")
        .with_code("context_length_exceeded"))
}

fn parameters(
    chat: &mut Chat,
    id: &str,
    models: &dyn Models,
) -> Result<Vec<Cow<'static, str>>, Error> {
    let mut dropped = Vec::new();
    for member in chat.request().members().filter(|member| !member.is_null) {
        let Some(name) = member.name else { continue };
        match models.support(id, name) {
            Support::Yes => {}
            Support::Drop => dropped.push(Cow::Borrowed(name.as_str())),
            Support::Refuse => {
                let message = format!("`{}` is not supported by this model", name.as_str());
                return Err(Error::new(Kind::Format, message)
                    .with_param(name.as_str())
                    .with_code("unsupported_parameter"));
            }
        }
    }
    for name in &dropped {
        chat.remove(name);
    }
    Ok(dropped)
}

/// The dialect's defaults, where the model takes them.
fn fill(chat: &mut Chat, dialect: &Dialect, id: &str, models: &dyn Models) {
    for (name, default) in [
        (Name::Temperature, dialect.temperature),
        (Name::TopP, dialect.top_p),
    ] {
        let Some(default) = default else { continue };
        if !chat.request().has(name) && models.support(id, name) == Support::Yes {
            chat.set(name.as_str(), default);
        }
    }
}

/// Under the newer name, unless the model does not take it.
fn limit(chat: &mut Chat, tokens: u64, id: &str, models: &dyn Models) {
    let newer = models.support(id, Name::MaxCompletionTokens) == Support::Yes;
    let name = if newer {
        Name::MaxCompletionTokens
    } else {
        Name::MaxTokens
    };
    chat.set(name.as_str(), tokens.to_string());
}

fn shown(model: &str) -> String {
    model.chars().filter(|c| !c.is_control()).take(64).collect()
}
