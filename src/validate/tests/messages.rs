//! Messages, and keys that stand twice.

use super::{messages, refused, taken, with};
use crate::error::Kind;

#[test]
fn messages_that_are_taken() {
    const CALL: &str = r#"{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":""}},{"custom":{"name":"c","input":"x"},"type":"custom","id":"b"}]}"#;
    for text in [
        r#"{"content":"x","role":"system","name":"n"}"#,
        r#"{"role":"developer","content":[{"type":"text","text":"x"}]}"#,
        r#"{"role":"user","content":""}"#,
        r#"{"role":"user","content":[{"text":"x","type":"text"},{"type":"image_url","image_url":{"url":"https://x/y","detail":"low"}}]}"#,
        r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}"#,
        r#"{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AA","format":"wav"}}]}"#,
        r#"{"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]}"#,
        r#"{"role":"user","content":[{"type":"text","text":"x","prompt_cache_breakpoint":{"mode":"explicit","ttl":"12h"}}]}"#,
        r#"{"role":"user","content":[{"type":"text","text":"x","image_url":null,"cache_control":{"type":"ephemeral"}}]}"#,
        r#"{"role":"assistant","content":"x","refusal":null,"audio":null,"function_call":null}"#,
        r#"{"role":"assistant","content":null,"refusal":"no"}"#,
        r#"{"role":"assistant","content":[{"type":"refusal","refusal":"no"}]}"#,
        r#"{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#,
        r#"{"role":"assistant","function_call":{"name":"f","arguments":"{"}}"#,
        r#"{"role":"assistant","audio":{"id":"a"}}"#,
        r#"{"role":"assistant","content":"x","reasoning_content":"y","reasoning_details":[{}]}"#,
        r#"{"role":"function","name":"f","content":null}"#,
        &format!(
            r#"{CALL},{{"role":"tool","tool_call_id":"a","content":"x"}},{{"role":"tool","tool_call_id":"b","content":[{{"type":"text","text":"x"}}]}}"#
        ),
    ] {
        taken(&messages(text));
    }
}

#[test]
fn messages_that_are_refused() {
    let (format, value) = (Kind::Format, Kind::Value);
    let (missing, kind, other) = (
        "missing_required_parameter",
        "invalid_type",
        "invalid_value",
    );
    for (text, class, code, param) in [
        ("5", format, kind, "messages[0]"),
        ("null", format, kind, "messages[0]"),
        (r#"{"content":"x"}"#, format, missing, "messages[0].role"),
        (
            r#"{"role":null,"content":"x"}"#,
            format,
            kind,
            "messages[0].role",
        ),
        (
            r#"{"role":"bot","content":"x"}"#,
            value,
            other,
            "messages[0].role",
        ),
        (r#"{"role":"user"}"#, format, missing, "messages[0].content"),
        (
            r#"{"role":"user","content":null}"#,
            format,
            kind,
            "messages[0].content",
        ),
        (
            r#"{"role":"user","content":5}"#,
            format,
            kind,
            "messages[0].content",
        ),
        (
            r#"{"role":"user","content":[]}"#,
            value,
            other,
            "messages[0].content",
        ),
        (
            r#"{"role":"user","content":["x"]}"#,
            format,
            kind,
            "messages[0].content[0]",
        ),
        (
            r#"{"role":"user","content":[{"text":"x"}]}"#,
            format,
            missing,
            "messages[0].content[0].type",
        ),
        (
            r#"{"role":"user","content":[{"type":"text"}]}"#,
            format,
            missing,
            "messages[0].content[0].text",
        ),
        (
            r#"{"role":"user","content":[{"type":"text","text":null}]}"#,
            format,
            kind,
            "messages[0].content[0].text",
        ),
        (
            r#"{"role":"user","content":[{"type":"video","video":1}]}"#,
            value,
            other,
            "messages[0].content[0].type",
        ),
        (
            r#"{"role":"user","content":[{"type":"refusal","refusal":"x"}]}"#,
            value,
            other,
            "messages[0].content[0].type",
        ),
        (
            r#"{"role":"system","content":[{"type":"image_url","image_url":{"url":"https://x"}}]}"#,
            value,
            other,
            "messages[0].content[0].type",
        ),
        (
            r#"{"role":"user","content":"x"},{"role":"user","content":[{"type":"image_url","image_url":{"url":5}}]}"#,
            format,
            kind,
            "messages[1].content[0].image_url.url",
        ),
        (
            r#"{"role":"user","content":[{"type":"image_url","image_url":"https://x"}]}"#,
            format,
            kind,
            "messages[0].content[0].image_url",
        ),
        (
            r#"{"role":"user","content":[{"type":"image_url","image_url":{}}]}"#,
            format,
            missing,
            "messages[0].content[0].image_url.url",
        ),
        (
            r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x","detail":"max"}}]}"#,
            value,
            other,
            "messages[0].content[0].image_url.detail",
        ),
        (
            r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}]}"#,
            value,
            other,
            "messages[0].content[0].image_url.url",
        ),
        (
            r#"{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AA","format":"ogg"}}]}"#,
            value,
            other,
            "messages[0].content[0].input_audio.format",
        ),
        (
            r#"{"role":"user","content":[{"type":"input_audio","input_audio":{"format":"wav"}}]}"#,
            format,
            missing,
            "messages[0].content[0].input_audio.data",
        ),
        (
            r#"{"role":"user","content":[{"type":"file","file":{"file_id":1}}]}"#,
            format,
            kind,
            "messages[0].content[0].file.file_id",
        ),
        (
            r#"{"role":"user","content":"x","name":null}"#,
            format,
            kind,
            "messages[0].name",
        ),
        (
            r#"{"role":"assistant"}"#,
            format,
            missing,
            "messages[0].content",
        ),
        (
            r#"{"role":"assistant","content":[{"type":"refusal","refusal":"a"},{"type":"text","text":"b"}]}"#,
            value,
            other,
            "messages[0].content",
        ),
        (
            r#"{"role":"assistant","tool_calls":null}"#,
            format,
            kind,
            "messages[0].tool_calls",
        ),
        (
            r#"{"role":"assistant","tool_calls":[{"type":"function","function":{"name":"f","arguments":""}}]}"#,
            format,
            missing,
            "messages[0].tool_calls[0].id",
        ),
        (
            r#"{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":{}}}]}"#,
            format,
            kind,
            "messages[0].tool_calls[0].function.arguments",
        ),
        (
            r#"{"role":"assistant","tool_calls":[{"id":"a","type":"x"}]}"#,
            value,
            other,
            "messages[0].tool_calls[0].type",
        ),
        (
            r#"{"role":"tool","content":"x"}"#,
            format,
            missing,
            "messages[0].tool_call_id",
        ),
        (
            r#"{"role":"tool","content":"x","tool_call_id":"a"}"#,
            value,
            other,
            "messages[0].tool_call_id",
        ),
        (
            r#"{"role":"function","content":"x"}"#,
            format,
            missing,
            "messages[0].name",
        ),
        (
            r#"{"role":"function","name":"f"}"#,
            format,
            missing,
            "messages[0].content",
        ),
        (
            r#"{"role":"function","name":"f","content":[{"type":"text","text":"x"}]}"#,
            format,
            kind,
            "messages[0].content",
        ),
    ] {
        refused(&messages(text), class, code, param);
    }
    refused(&messages(""), value, other, "messages");
    refused(r#"{"model":"m"}"#, format, missing, "messages");
    refused(r#"{"model":"m","messages":null}"#, format, kind, "messages");
    refused(
        r#"{"model":null,"messages":[{"role":"user","content":"x"}]}"#,
        format,
        kind,
        "model",
    );
    refused(
        r#"{"messages":[{"role":"user","content":"x"}]}"#,
        format,
        missing,
        "model",
    );
}

#[test]
fn keys_given_twice_are_refused_at_every_level_that_decides() {
    for (text, param) in [
        (with(r#""n":1,"n":1"#), "n"),
        (with(r#""m\u006fdel":"x""#), "model"),
        (with(r#""x":1,"\u0078":2"#), "x"),
        (
            with(r#""metadata":{"a":"b","c":"d","\u0061":"e"}"#),
            "metadata.a",
        ),
        (with(r#""logit_bias":{"5":1,"6":1,"5":2}"#), "logit_bias.5"),
        (
            messages(r#"{"role":"user","content":"x","é":1,"z":2,"\u00e9":3}"#),
            "messages[0].é",
        ),
        (
            messages(r#"{"role":"user","role":"user","content":"x"}"#),
            "messages[0].role",
        ),
        (
            messages(r#"{"role":"user","content":[{"type":"text","text":"x","text":"y"}]}"#),
            "messages[0].content[0].text",
        ),
        (
            messages(r#"{"role":"user","content":[{"type":"text","type":"file","text":"x"}]}"#),
            "messages[0].content[0].type",
        ),
        (
            with(r#""stream":true,"stream_options":{"include_usage":true,"include_usage":false}"#),
            "stream_options.include_usage",
        ),
        (
            with(r#""tools":[{"type":"function","function":{"name":"f","name":"g"}}]"#),
            "tools[0].function.name",
        ),
        (
            with(
                r#""tools":[],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"x":1,"type":"function","function":{"name":"f","n\u0061me":"g"}}]}}"#,
            ),
            "tool_choice.allowed_tools.tools[0].function.name",
        ),
    ] {
        refused(&text, Kind::Format, "duplicate_key", param);
    }
    // Entries of the allowed tools are otherwise anything.
    taken(&with(
        r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"mcp","function":5,"custom":{"name":[]},"x":{"a":1}}]}}"#,
    ));
    // What only the model sees is the model's business.
    taken(&with(
        r#""tools":[{"type":"function","function":{"name":"f","parameters":{"a":1,"a":2}}}]"#,
    ));
}
