//! One answer as a stream. What it says goes over as it is spelled.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{fault::nonsense, outgoing::on_one_line};
use crate::{
    error::{Error, upstream},
    wire::Members,
};

/// Turns one answer into a stream that says the same, with the usage last.
///
/// ```
/// let answer = br#"{"id":"a","created":1,"model":"m","choices":[{"index":0,
///     "message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;
/// let stream = tower_completions::reframe::unfold(answer)?;
/// assert!(stream.starts_with(b"data: {") && stream.ends_with(b"data: [DONE]\n\n"));
/// # Ok::<(), tower_completions::Error>(())
/// ```
///
/// # Errors
/// It is not a `chat.completion`, has no choices, or says that it failed.
pub fn unfold(answer: &[u8]) -> Result<Bytes, Error> {
    let wrong = || nonsense("The provider sent an answer that is not a chat completion.");
    let text = answer;
    let answer: Members<'_> = serde_json::from_slice(text).map_err(|_| wrong())?;
    let says = |name| answer.get(name).filter(|value| value.get() != "null");
    let choices = says("choices");
    if says("error").is_some()
        || (choices.is_none() && (says("message").is_some() || says("detail").is_some()))
    {
        return Err(upstream::in_stream(&String::from_utf8_lossy(text)));
    }
    let choices = choices.ok_or_else(wrong)?;
    let choices: Vec<Members<'_>> = serde_json::from_str(choices.get()).map_err(|_| wrong())?;
    if choices.is_empty() {
        return Err(nonsense("The provider sent an answer without choices."));
    }
    let usage = says("usage");
    let frame = answer.without(&["usage"]);
    let mut out = Vec::with_capacity(2 * text.len());
    let mut write = |choices: &str, usage: Option<&RawValue>| {
        out.extend_from_slice(b"data: ");
        let from = out.len();
        let mut with = vec![
            ("object", "\"chat.completion.chunk\""),
            ("choices", choices),
        ];
        with.extend(usage.map(|usage| ("usage", usage.get())));
        frame.write(&with, &mut out);
        on_one_line(&mut out[from..]);
        out.extend_from_slice(b"\n\n");
    };
    let mut list = Vec::new();
    for (position, choice) in choices.iter().enumerate() {
        let position = position.to_string();
        let index = choice.get("index").map_or(&*position, RawValue::get);
        let delta = choice.get("message").map_or("{}", RawValue::get);
        let delta = numbered(delta);
        let finish = choice.get("finish_reason").map(RawValue::get);
        let finish = finish.filter(|json| *json != "null");
        let finish = finish.unwrap_or(match delta {
            // Only one with calls has been written anew.
            Cow::Owned(_) => "\"tool_calls\"",
            Cow::Borrowed(_) => "\"stop\"",
        });
        list.clear();
        list.push(b'[');
        let kept = choice.without(&["message"]);
        let with = [
            ("index", index),
            ("delta", &*delta),
            ("finish_reason", "null"),
        ];
        kept.write(&with, &mut list);
        list.push(b']');
        write(&String::from_utf8_lossy(&list), None);
        let end = format!(r#"[{{"index":{index},"delta":{{}},"finish_reason":{finish}}}]"#);
        write(&end, None);
    }
    if usage.is_some() {
        write("[]", usage);
    }
    out.extend_from_slice(b"data: [DONE]\n\n");
    Ok(out.into())
}

/// A message as a delta: its calls with the index that each must have there.
fn numbered(message: &str) -> Cow<'_, str> {
    let Ok(members) = serde_json::from_str::<Members<'_>>(message) else {
        return message.into();
    };
    let calls = members.get("tool_calls").map(RawValue::get);
    let calls = calls.and_then(|calls| serde_json::from_str::<Vec<Members<'_>>>(calls).ok());
    let Some(calls) = calls.filter(|calls| !calls.is_empty()) else {
        return message.into();
    };
    let mut list = vec![b'['];
    for (at, call) in calls.iter().enumerate() {
        if at > 0 {
            list.push(b',');
        }
        call.write(&[("index", &at.to_string())], &mut list);
    }
    list.push(b']');
    let mut out = Vec::with_capacity(message.len() + list.len());
    let calls = String::from_utf8_lossy(&list);
    members.write(&[("tool_calls", &*calls)], &mut out);
    String::from_utf8_lossy(&out).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_answer() {
        for none in [
            "{}",
            "[]",
            r#"{"choices":[]}"#,
            r#"{"choices":[1]}"#,
            r#"{"choices":{}}"#,
        ] {
            assert!(unfold(none.as_bytes()).is_err(), "{none}");
        }
        for failed in [
            r#"{"error":{"code":429},"choices":[{}]}"#,
            r#"{"object":"error","message":"slow","code":429}"#,
        ] {
            let error = unfold(failed.as_bytes()).expect_err("it says so");
            assert_eq!(error.code(), Some("upstream_rate_limited"), "{failed}");
        }
    }

    #[test]
    fn an_end_without_a_reason_is_an_ordinary_one() {
        for (choice, reason) in [
            (r#""message":{"content":"a"}"#, "stop"),
            (
                r#""message":{"tool_calls":[]},"finish_reason":null"#,
                "stop",
            ),
            (
                r#""message":{"tool_calls":[{"id":"a"}]},"finish_reason":null"#,
                "tool_calls",
            ),
        ] {
            let answer = format!(r#"{{"choices":[{{{choice}}}]}}"#);
            let out = unfold(answer.as_bytes()).expect("an answer");
            let out = String::from_utf8_lossy(&out).into_owned();
            let end = format!(r#""finish_reason":"{reason}"}}]"#);
            assert!(out.contains(&end), "{out}");
        }
    }

    #[test]
    fn all_stays_as_it_is_spelled() {
        let answer = r#"{"id":"x","zbig":123456789012345678901234567890,"object":"chat.completion","ze":1e5,"model":"u","zz":-0,
"zs":"\u00e9\/","choices":[{"message":{"role":"assistant","content":"h\u00e9","unk":{"b":1.10, "a":1}},"zc":1.0,"finish_reason":"stop"}],"usage":{"cost":0.000100}}"#;
        let head = r#"{"id":"x","zbig":123456789012345678901234567890,"object":"chat.completion.chunk","ze":1e5,"model":"u","zz":-0,"zs":"\u00e9\/","choices":"#;
        let chunk = |rest: &str| format!("data: {head}{rest}}}\n\n");
        let stream = [
            chunk(
                r#"[{"zc":1.0,"finish_reason":null,"index":0,"delta":{"role":"assistant","content":"h\u00e9","unk":{"b":1.10, "a":1}}}]"#,
            ),
            chunk(r#"[{"index":0,"delta":{},"finish_reason":"stop"}]"#),
            chunk(r#"[],"usage":{"cost":0.000100}"#),
            "data: [DONE]\n\n".to_owned(),
        ];
        let out = unfold(answer.as_bytes()).expect("an answer");
        assert_eq!(out, stream.concat());
        // A line end within a value may not end the line.
        let spaced = answer.replace(", \"a\"", ",\r\n\"a\"");
        let out = unfold(spaced.as_bytes()).expect("an answer");
        assert_eq!(out, stream.concat().replace(", \"a\"", ",  \"a\""));
    }
}
