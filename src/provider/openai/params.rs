//! A request's parameters brought into what a vendor takes.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{models::Efforts, row::Fate, vendor::Vendor};
use crate::{error::Error, parse::Chat, provider::Notes, wire::request::Name};

/// Goes through the vendor's table. Members that ask for nothing go without a word.
pub(super) fn fit(
    chat: &mut Chat,
    vendor: Vendor,
    model: &str,
    notes: &mut Notes,
) -> Result<(), Error> {
    let row = vendor.row();
    let effort = chat.raw(Name::ReasoningEffort);
    let effort = effort.and_then(|json| serde_json::from_slice::<String>(json).ok());
    let reasons = (row.reasons)(model, effort.as_deref());
    for (param, fate) in row.params {
        let Some(json) = chat.member(param).map(str::to_owned) else {
            continue;
        };
        if json == "null" {
            chat.remove(param);
            continue;
        }
        let fate = match fate {
            Fate::CalledBy(which, name) if which(model) => &Fate::Called(name),
            Fate::RefusedReasoning | Fate::DroppedReasoning | Fate::UnforcedReasoning
                if !reasons =>
            {
                continue;
            }
            fate => fate,
        };
        one(chat, model, param, &json, fate, notes)?;
    }
    for (member, json) in row.adds {
        if chat.member(member).is_none() {
            chat.set(member, *json);
        }
    }
    Ok(())
}

fn one(
    chat: &mut Chat,
    model: &str,
    param: &'static str,
    json: &str,
    fate: &Fate,
    notes: &mut Notes,
) -> Result<(), Error> {
    let value = || serde_json::from_str::<Value>(json).unwrap_or_default();
    match *fate {
        Fate::Called(name) => {
            chat.remove(param);
            if chat.member(name).is_none_or(|json| json == "null") {
                chat.set(name, json);
            }
        }
        Fate::CalledBy(..) => {}
        Fate::Dropped => {
            if asks(param, &value()) {
                notes.without(param)?;
            }
            chat.remove(param);
        }
        Fate::Refused => {
            if asks(param, &value()) {
                notes.unsupported(param)?;
            }
            chat.remove(param);
        }
        Fate::Within(least, most) => {
            if let Some(number) = value().as_f64() {
                let fits = number.clamp(least, most);
                if fits != number {
                    notes.changed(param);
                    // Spelled so, an integer stays one.
                    chat.set(param, fits.to_string());
                }
            }
        }
        Fate::Values(values) => {
            let value = value();
            let known = |(from, _): &&(&str, &str)| value.as_str() == Some(from);
            if let Some((_, to)) = values.iter().find(known) {
                if to.is_empty() {
                    notes.without(param)?;
                    chat.remove(param);
                } else {
                    chat.set(param, Value::from(*to).to_string());
                }
            }
        }
        Fate::Efforts(of) => {
            let value = value();
            let asked = value.as_str().unwrap_or_default();
            let nearest = match of(model) {
                Efforts::Unknown => return Ok(()),
                Efforts::Of(all) => nearest(asked, all),
                Efforts::Never => None,
            };
            match nearest {
                Some(effort) if effort == asked => {}
                Some(effort) => {
                    notes.changed(param);
                    chat.set(param, Value::from(effort).to_string());
                }
                None => {
                    // Not to reason is what such a model does anyway.
                    if !(asked == "none" && of(model) == Efforts::Never) {
                        notes.unsupported(param)?;
                    }
                    chat.remove(param);
                }
            }
        }
        Fate::RefusedReasoning => {
            if !idle(param, &value()) {
                notes.unsupported(param)?;
            }
            chat.remove(param);
        }
        Fate::DroppedReasoning => {
            if !idle(param, &value()) {
                notes.without(param)?;
            }
            chat.remove(param);
        }
        Fate::UnforcedReasoning => {
            if forces(&value()) {
                notes.unsupported(param)?;
                chat.remove(param);
            }
        }
        Fate::Unforced => {
            if forces(&value()) {
                notes.unsupported(param)?;
            }
            if value() == "none" {
                chat.remove("tools");
            }
            chat.remove(param);
        }
        Fate::NoSchema => {
            if value()["type"] == "json_schema" {
                notes.unsupported(param)?;
                chat.remove(param);
            }
        }
        Fate::Listed => {
            if value().is_string() {
                chat.set(param, format!("[{json}]"));
            }
        }
        Fate::ListedAlone => match value() {
            Value::String(_) => chat.set(param, format!("[{json}]")),
            Value::Array(all) if all.len() > 1 => {
                notes.unsupported(param)?;
                chat.set(param, Value::from(&all[..1]).to_string());
            }
            _ => {}
        },
        Fate::CalledIf(name, ref lengths) => {
            let value = value();
            let length = value.as_str().map_or(0, |text| text.chars().count());
            let fate = if lengths.contains(&length) {
                Fate::Called(name)
            } else {
                Fate::Dropped
            };
            one(chat, model, param, json, &fate, notes)?;
        }
        Fate::SchemaAsValue => {
            // The order of a schema's members is the order in which a model writes them.
            if let Ok(Format {
                kind: "json_schema",
                json_schema: Some(it),
            }) = serde_json::from_str(json)
            {
                if it.description.is_some() {
                    notes.without("response_format.json_schema.description")?;
                }
                let schema = it.schema.map_or("{}", RawValue::get);
                chat.set(param, format!("{{\"type\":\"json\",\"value\":{schema}}}"));
            }
        }
        Fate::Thinking => {
            let off = value() == "none";
            let kind = if off { "disabled" } else { "enabled" };
            if off {
                chat.remove(param);
            }
            if chat.member("thinking").is_none() {
                chat.set("thinking", format!("{{\"type\":\"{kind}\"}}"));
            }
        }
        Fate::Switched(which, name, [on, off]) => {
            if !which(model) {
                return Ok(());
            }
            let reasons = value() != "none";
            if reasons {
                notes.changed(param);
            }
            chat.remove(param);
            if chat.member(name).is_none() {
                chat.set(name, if reasons { on } else { off });
            }
        }
        Fate::Counted => {
            let more = chat.member("top_logprobs");
            let more: u64 = more.and_then(|json| json.parse().ok()).unwrap_or(0);
            chat.remove("top_logprobs");
            match value() {
                Value::Bool(true) => chat.set(param, more.max(1).to_string()),
                Value::Bool(false) => chat.remove(param),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether a choice of tools is that one must be called.
fn forces(choice: &Value) -> bool {
    choice == "required" || choice.is_object()
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    json_schema: Option<Schema<'a>>,
}

#[derive(Deserialize)]
struct Schema<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    #[serde(borrow)]
    description: Option<&'a RawValue>,
}

/// The effort nearest to the one asked for; thinking is not the same as not thinking.
fn nearest(asked: &str, of: &[&'static str]) -> Option<&'static str> {
    const ALL: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
    // What some vendors call the one effort that there is.
    let named = |effort| {
        if effort == "default" {
            "medium"
        } else {
            effort
        }
    };
    let place = |effort| ALL.iter().position(|it| *it == named(effort));
    let wanted = place(asked)?;
    let like = |effort: &&&str| (**effort == "none") == (asked == "none");
    let near = |effort: &&&'static str| place(effort).map(|at| at.abs_diff(wanted));
    of.iter().filter(like).min_by_key(near).copied()
}

/// Whether a value is the one that a model keeps to that cannot be told.
fn idle(param: &str, value: &Value) -> bool {
    match param {
        "temperature" | "top_p" => value.as_f64() == Some(1.0),
        _ => !asks(param, value),
    }
}

/// Whether a value asks for anything beyond what happens without it.
fn asks(param: &str, value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => param == "parallel_tool_calls" && !value.is_null(),
        Value::Bool(true) => param != "parallel_tool_calls",
        Value::Number(number) => match param {
            "n" => number.as_f64() > Some(1.0),
            "seed" => true,
            _ => number.as_f64() != Some(0.0),
        },
        Value::String(text) => {
            !matches!((param, text.as_str()), ("service_tier", "auto" | "default"))
        }
        Value::Array(items) => match param {
            "modalities" => items.iter().any(|item| item != "text"),
            _ => !items.is_empty(),
        },
        Value::Object(members) => param == "web_search_options" || !members.is_empty(),
    }
}
