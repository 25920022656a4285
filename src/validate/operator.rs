//! What the operator allows of what the API does.

use super::{
    check::Names,
    mistakes::{Findings, Refusal},
    policy::{Images, Policy, UnknownMembers},
};
use crate::{
    error::{Error, Kind},
    parse::{Chat, refused},
    wire::request::{Fault, FaultKind, path_at, pattern_at},
};

/// How many members below the top level are named when they are dropped; finding the path of each
/// takes a pass over the text.
const NAMED: usize = 8;

pub(super) fn allowed(
    chat: &Chat,
    policy: &Policy,
    findings: &mut Findings,
) -> Result<(), Refusal> {
    let request = chat.request();
    let counts = request.counts();
    if chat.n() > policy.max_n {
        findings.note(too_many("n", policy.max_n.into(), chat.n().into()))?;
    }
    if let Some(limit) = policy.max_output_tokens {
        for (param, asked) in [
            ("max_tokens", request.max_tokens()),
            ("max_completion_tokens", request.max_completion_tokens()),
        ] {
            if let Some(asked) = asked.filter(|asked| *asked > limit) {
                findings.note(too_many(param, limit, asked))?;
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
            findings.note(Error::new(Kind::Value, message).with_param(param))?;
        }
    }
    image_urls(chat, policy.images, findings)?;
    unknown(chat, policy, findings)
}

fn too_many(param: &'static str, limit: u64, got: u64) -> Error {
    let message = format!("`{param}` must be at most {limit} here, got {got}");
    Error::new(Kind::Value, message).with_param(param)
}

fn image_urls(chat: &Chat, images: Images, findings: &mut Findings) -> Result<(), Refusal> {
    let urls = chat.request().image_urls();
    let (at, expected) = match images {
        Images::Any => return Ok(()),
        Images::Web => (urls.other, "an https, http or data URL"),
        Images::Secure => (urls.http.or(urls.other), "an https or data URL"),
    };
    let Some(at) = at else { return Ok(()) };
    let kind = FaultKind::Value(expected);
    findings.note(refused(&Fault { at, kind }, chat.original()))
}

fn unknown(chat: &Chat, policy: &Policy, findings: &mut Findings) -> Result<(), Refusal> {
    let allowed = match &policy.unknown {
        UnknownMembers::Keep => return Ok(()),
        UnknownMembers::Drop => None,
        UnknownMembers::Refuse => Some(&[][..]),
        UnknownMembers::Allow(names) => Some(&names[..]),
    };
    let request = chat.request();
    if request.has_more_unknown() {
        let message = "The request has too many members that are not known";
        findings.note(Error::new(Kind::Format, message).with_code("unknown_parameter"))?;
    }
    let Some(allowed) = allowed else {
        return Ok(());
    };
    let mut told = 0;
    for unknown in request.unknown() {
        let name = chat.key_at(unknown.key);
        if allowed.iter().any(|allowed| **allowed == *name) {
            continue;
        }
        let path = path_at(chat.original(), unknown.key);
        let message = format!("`{path}` is not a known parameter");
        findings.note(
            Error::new(Kind::Format, message)
                .with_param(path)
                .with_code("unknown_parameter"),
        )?;
        told += 1;
        if told == NAMED {
            break;
        }
    }
    Ok(())
}

/// Leaves out what is not known, where that is the policy.
pub(super) fn drop_unknown(chat: &mut Chat, policy: &Policy, names: &mut Names) {
    if policy.unknown != UnknownMembers::Drop {
        return;
    }
    let top = chat.request().range().start;
    let unknown: Vec<_> = chat.request().unknown().collect();
    let mut keys: Vec<String> = Vec::new();
    for member in unknown {
        let key = chat.key_at(member.key).into_owned();
        if member.object == top {
            names.push(key.into());
        } else if !keys.contains(&key) && keys.len() < NAMED {
            names.push(pattern_at(chat.original(), member.key).into());
            keys.push(key);
        }
        chat.remove_unknown(member);
    }
}
