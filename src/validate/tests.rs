use bytes::Bytes;

use super::{
    Images, Models, Policy, Report, Support, UnknownMembers, check::check, policy::AnyModel,
};
use crate::{
    dialect::Dialect,
    error::{Error, Kind},
    parse::Chat,
    wire::request::Name,
};

const MESSAGES: &str = r#""model":"m","messages":[{"role":"user","content":"hi"}]"#;

fn with(members: &str) -> String {
    if members.is_empty() {
        return format!("{{{MESSAGES}}}");
    }
    format!("{{{MESSAGES},{members}}}")
}

fn judge(text: &str, policy: &Policy) -> Result<Chat, Error> {
    let mut chat = Chat::parse(Bytes::copy_from_slice(text.as_bytes()))?;
    check(&mut chat, &Dialect::openai(), policy, &AnyModel, None)?;
    Ok(chat)
}

#[track_caller]
fn refused(text: &str, kind: Kind, code: &str, param: &str) {
    let error = judge(text, &Policy::default()).expect_err(text);
    assert_eq!(
        (error.kind(), error.code(), error.param()),
        (kind, Some(code), Some(param)),
        "{text}: {error}"
    );
    assert!(error.message().contains(param), "{error}");
}

#[track_caller]
fn taken(text: &str) {
    if let Err(error) = judge(text, &Policy::default()) {
        panic!("{text}: {error}");
    }
}

/// Members that are taken at the top level.
const TAKEN: &[&str] = &[
    "",
    r#""temperature":0"#,
    r#""temperature":2.0"#,
    r#""temperature":null"#,
    r#""temperature":1e-3"#,
    r#""top_p":0"#,
    r#""top_p":1"#,
    r#""top_p":null"#,
    r#""n":1"#,
    r#""n":128"#,
    r#""n":1.0"#,
    r#""n":1e2"#,
    r#""n":null"#,
    r#""max_tokens":1"#,
    r#""max_tokens":null,"max_completion_tokens":5"#,
    r#""max_completion_tokens":9007199254740993"#,
    r#""stop":null"#,
    r#""stop":"""#,
    r#""stop":["a"]"#,
    r#""stop":["a","b","c","d"]"#,
    r#""frequency_penalty":-2,"presence_penalty":2"#,
    r#""frequency_penalty":null,"presence_penalty":null"#,
    r#""logit_bias":null"#,
    r#""logit_bias":{}"#,
    r#""logit_bias":{"50256":-100,"0":100}"#,
    r#""logprobs":false"#,
    r#""logprobs":null"#,
    r#""logprobs":true,"top_logprobs":0"#,
    r#""logprobs":true,"top_logprobs":20"#,
    r#""top_logprobs":null"#,
    r#""seed":-9223372036854775808"#,
    r#""seed":9223372036854775807"#,
    r#""seed":null"#,
    r#""stream":true"#,
    r#""stream":null"#,
    r#""stream":true,"stream_options":{}"#,
    r#""stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}"#,
    r#""stream_options":null"#,
    r#""tools":[]"#,
    r#""tools":[{"type":"function","function":{"name":"f"}}]"#,
    r#""tools":[{"function":{"strict":null,"parameters":{},"name":"a-B_9","description":""},"type":"function"}]"#,
    r#""tools":[{"type":"custom","custom":{"name":"c","format":{"type":"text"}}}]"#,
    r#""tools":[{"type":"custom","custom":{"name":"c","format":{"type":"grammar","grammar":{"definition":"x","syntax":"lark"}}}}]"#,
    r#""tool_choice":"none""#,
    r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"auto""#,
    r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required""#,
    r#""tool_choice":{"type":"function","function":{"name":"f"}},"tools":[{"type":"function","function":{"name":"f"}}]"#,
    r#""tool_choice":{"custom":{"name":"f"},"type":"custom"},"tools":[{"type":"custom","custom":{"name":"f"}}]"#,
    r#""tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}}]}},"tools":[{"type":"function","function":{"name":"f"}}]"#,
    r#""parallel_tool_calls":false"#,
    r#""functions":[{"name":"f"}],"function_call":"auto""#,
    r#""functions":[{"name":"f","parameters":{"a":[{}]}}],"function_call":{"name":"f"}"#,
    r#""response_format":{"type":"text"}"#,
    r#""response_format":{"type":"json_object"}"#,
    r#""response_format":{"json_schema":{"name":"s","schema":{},"strict":null},"type":"json_schema"}"#,
    r#""reasoning_effort":"none""#,
    r#""reasoning_effort":"max""#,
    r#""reasoning_effort":null"#,
    r#""verbosity":"low""#,
    r#""verbosity":null"#,
    r#""modalities":["text"]"#,
    r#""modalities":null"#,
    r#""modalities":["text","audio"],"audio":{"voice":"alloy","format":"pcm16"}"#,
    r#""audio":{"voice":{"id":"v"},"format":"wav"}"#,
    r#""audio":null"#,
    r#""prediction":null"#,
    r#""prediction":{"type":"content","content":"x"}"#,
    r#""prediction":{"type":"content","content":[{"type":"text","text":"x"}]}"#,
    r#""web_search_options":{}"#,
    r#""web_search_options":{"search_context_size":"low","user_location":null}"#,
    r#""web_search_options":{"user_location":{"type":"approximate","approximate":{"country":"NZ","timezone":"x"}}}"#,
    r#""service_tier":"flex""#,
    r#""service_tier":null"#,
    r#""store":true"#,
    r#""store":null"#,
    r#""metadata":null"#,
    r#""metadata":{"a":"b"}"#,
    r#""user":"u""#,
    r#""safety_identifier":null"#,
    r#""prompt_cache_key":"k""#,
    r#""prompt_cache_retention":"24h""#,
    r#""prompt_cache_options":{"mode":"explicit","ttl":"30m"}"#,
    r#""moderation":{"model":"omni","policy":{"input":{"mode":"block"},"output":{"mode":"score"}}}"#,
    r#""unknown":{"any":[1,{"a":1}]},"other":null"#,
    r#""t\u0065mperature":1"#,
];

#[test]
fn what_the_api_takes_is_taken() {
    for members in TAKEN {
        taken(&with(members));
    }
}

/// Members with a value of the wrong type, and the path that is told.
const WRONG_TYPE: &[(&str, &str)] = &[
    (r#""temperature":"1""#, "temperature"),
    (r#""temperature":true"#, "temperature"),
    (r#""top_p":[]"#, "top_p"),
    (r#""n":1.5"#, "n"),
    (r#""n":"1""#, "n"),
    (r#""max_tokens":{}"#, "max_tokens"),
    (r#""max_completion_tokens":"5""#, "max_completion_tokens"),
    (r#""stop":5"#, "stop"),
    (r#""stop":["a",5]"#, "stop[1]"),
    (r#""stop":[null]"#, "stop[0]"),
    (r#""frequency_penalty":"0""#, "frequency_penalty"),
    (r#""logit_bias":[]"#, "logit_bias"),
    (r#""logit_bias":{"5":"1"}"#, "logit_bias.5"),
    (r#""logit_bias":{"5":1.5}"#, "logit_bias.5"),
    (r#""logprobs":1"#, "logprobs"),
    (r#""logprobs":true,"top_logprobs":"1""#, "top_logprobs"),
    (r#""seed":1.5"#, "seed"),
    (r#""stream":"true""#, "stream"),
    (r#""stream":1"#, "stream"),
    (r#""stream":true,"stream_options":[]"#, "stream_options"),
    (
        r#""stream":true,"stream_options":{"include_usage":"yes"}"#,
        "stream_options.include_usage",
    ),
    (r#""tools":null"#, "tools"),
    (r#""tools":{}"#, "tools"),
    (r#""tools":[5]"#, "tools[0]"),
    (r#""tools":[{"type":5}]"#, "tools[0].type"),
    (
        r#""tools":[{"type":"function","function":[]}]"#,
        "tools[0].function",
    ),
    (
        r#""tools":[{"type":"function","function":{"name":5}}]"#,
        "tools[0].function.name",
    ),
    (
        r#""tools":[{"type":"function","function":{"name":"f","parameters":[]}}]"#,
        "tools[0].function.parameters",
    ),
    (
        r#""tools":[{"type":"function","function":{"name":"f","strict":1}}]"#,
        "tools[0].function.strict",
    ),
    (
        r#""tools":[{"type":"function","function":{"name":"f","description":null}}]"#,
        "tools[0].function.description",
    ),
    (r#""tool_choice":null"#, "tool_choice"),
    (r#""tool_choice":5"#, "tool_choice"),
    (r#""parallel_tool_calls":null"#, "parallel_tool_calls"),
    (r#""functions":{}"#, "functions"),
    (r#""function_call":null"#, "function_call"),
    (r#""response_format":null"#, "response_format"),
    (r#""response_format":"text""#, "response_format"),
    (
        r#""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":"x"}}"#,
        "response_format.json_schema.schema",
    ),
    (r#""reasoning_effort":1"#, "reasoning_effort"),
    (r#""modalities":"text""#, "modalities"),
    (r#""modalities":[1]"#, "modalities[0]"),
    (r#""audio":{"voice":5,"format":"wav"}"#, "audio.voice"),
    (
        r#""prediction":{"type":"content","content":5}"#,
        "prediction.content",
    ),
    (
        r#""prediction":{"type":"content","content":null}"#,
        "prediction.content",
    ),
    (r#""web_search_options":null"#, "web_search_options"),
    (
        r#""web_search_options":{"user_location":{"type":"approximate","approximate":{"city":1}}}"#,
        "web_search_options.user_location.approximate.city",
    ),
    (r#""service_tier":true"#, "service_tier"),
    (r#""store":"no""#, "store"),
    (r#""metadata":[]"#, "metadata"),
    (r#""metadata":{"a":1}"#, "metadata.a"),
    (r#""metadata":{"a":null}"#, "metadata.a"),
    (r#""user":null"#, "user"),
    (r#""prompt_cache_options":null"#, "prompt_cache_options"),
    (r#""moderation":{"model":1}"#, "moderation.model"),
];

#[test]
fn wrong_types_are_faults_of_format() {
    for (members, param) in WRONG_TYPE {
        refused(&with(members), Kind::Format, "invalid_type", param);
    }
}

/// Members with a value out of range, or at odds with another.
const WRONG_VALUE: &[(&str, &str)] = &[
    (r#""temperature":2.0001"#, "temperature"),
    (r#""temperature":-0.1"#, "temperature"),
    (r#""top_p":1.1"#, "top_p"),
    (r#""n":0"#, "n"),
    (r#""n":129"#, "n"),
    (r#""n":-1"#, "n"),
    (r#""n":1e30"#, "n"),
    (r#""max_tokens":0"#, "max_tokens"),
    (r#""max_tokens":-5"#, "max_tokens"),
    (r#""max_completion_tokens":0"#, "max_completion_tokens"),
    (r#""max_tokens":5,"max_completion_tokens":5"#, "max_tokens"),
    (r#""stop":[]"#, "stop"),
    (r#""stop":["a","b","c","d","e"]"#, "stop"),
    (r#""frequency_penalty":2.1"#, "frequency_penalty"),
    (r#""presence_penalty":-3"#, "presence_penalty"),
    (r#""logit_bias":{"5":101}"#, "logit_bias.5"),
    (r#""logit_bias":{"x":1}"#, "logit_bias.x"),
    (r#""top_logprobs":5"#, "top_logprobs"),
    (r#""logprobs":false,"top_logprobs":5"#, "top_logprobs"),
    (r#""logprobs":true,"top_logprobs":21"#, "top_logprobs"),
    (r#""logprobs":true,"top_logprobs":-1"#, "top_logprobs"),
    (r#""seed":9223372036854775808"#, "seed"),
    (
        r#""stream_options":{"include_usage":true}"#,
        "stream_options",
    ),
    (r#""stream":false,"stream_options":{}"#, "stream_options"),
    (r#""tools":[{"type":"retrieval"}]"#, "tools[0].type"),
    (
        r#""tools":[{"type":"function","function":{"name":""}}]"#,
        "tools[0].function.name",
    ),
    (
        r#""tools":[{"type":"function","function":{"name":"a b"}}]"#,
        "tools[0].function.name",
    ),
    (
        r#""tools":[{"type":"custom","custom":{"name":"c","format":{"type":"x"}}}]"#,
        "tools[0].custom.format.type",
    ),
    (
        r#""tools":[{"type":"custom","custom":{"name":"c","format":{"type":"grammar","grammar":{"definition":"x","syntax":"bnf"}}}}]"#,
        "tools[0].custom.format.grammar.syntax",
    ),
    (r#""tool_choice":"auto""#, "tool_choice"),
    (r#""tool_choice":"required","tools":[]"#, "tool_choice"),
    (r#""tool_choice":"any""#, "tool_choice"),
    (
        r#""tool_choice":{"type":"function","function":{"name":"f"}}"#,
        "tool_choice",
    ),
    (r#""functions":[]"#, "functions"),
    (r#""function_call":"required""#, "function_call"),
    (
        r#""response_format":{"type":"xml"}"#,
        "response_format.type",
    ),
    (
        r#""response_format":{"type":"json_schema","json_schema":{"name":"a.b"}}"#,
        "response_format.json_schema.name",
    ),
    (r#""reasoning_effort":"extreme""#, "reasoning_effort"),
    (r#""verbosity":"loud""#, "verbosity"),
    (r#""modalities":["video"]"#, "modalities[0]"),
    (r#""modalities":["audio"]"#, "modalities"),
    (r#""audio":{"voice":"a","format":"ogg"}"#, "audio.format"),
    (
        r#""prediction":{"type":"x","content":"y"}"#,
        "prediction.type",
    ),
    (
        r#""web_search_options":{"search_context_size":"huge"}"#,
        "web_search_options.search_context_size",
    ),
    (
        r#""web_search_options":{"user_location":{"type":"exact","approximate":{}}}"#,
        "web_search_options.user_location.type",
    ),
    (r#""service_tier":"gold""#, "service_tier"),
    (r#""prompt_cache_retention":"1h""#, "prompt_cache_retention"),
    (
        r#""prompt_cache_options":{"ttl":"1h"}"#,
        "prompt_cache_options.ttl",
    ),
    (
        r#""moderation":{"model":"m","policy":{"input":{"mode":"x"}}}"#,
        "moderation.policy.input.mode",
    ),
];

#[test]
fn wrong_values_are_faults_of_value() {
    for (members, param) in WRONG_VALUE {
        refused(&with(members), Kind::Value, "invalid_value", param);
    }
}

#[test]
fn lengths_are_in_characters() {
    let name = |count| {
        format!(
            r#""tools":[{{"type":"function","function":{{"name":"{}"}}}}]"#,
            "a".repeat(count)
        )
    };
    taken(&with(&name(64)));
    refused(
        &with(&name(65)),
        Kind::Value,
        "invalid_value",
        "tools[0].function.name",
    );
    let id = |count| format!(r#""safety_identifier":"{}""#, "é".repeat(count));
    taken(&with(&id(128)));
    refused(
        &with(&id(129)),
        Kind::Value,
        "invalid_value",
        "safety_identifier",
    );
    let value = |count| format!(r#""metadata":{{"k":"{}"}}"#, "\\u00e9".repeat(count));
    taken(&with(&value(512)));
    refused(
        &with(&value(513)),
        Kind::Value,
        "invalid_value",
        "metadata.k",
    );
    let pairs = |count| {
        let pairs: Vec<String> = (0..count).map(|at| format!(r#""k{at}":"v""#)).collect();
        format!(r#""metadata":{{{}}}"#, pairs.join(","))
    };
    taken(&with(&pairs(16)));
    refused(&with(&pairs(17)), Kind::Value, "invalid_value", "metadata");
}

fn messages(messages: &str) -> String {
    format!(r#"{{"model":"m","messages":[{messages}]}}"#)
}

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
    ] {
        refused(&text, Kind::Format, "duplicate_key", param);
    }
    // What only the model sees is the model's business.
    taken(&with(
        r#""tools":[{"type":"function","function":{"name":"f","parameters":{"a":1,"a":2}}}]"#,
    ));
}

#[test]
fn policies_have_their_errors() {
    let refused = |members: &str, policy: &Policy, param: &str| {
        let error = judge(&with(members), policy).expect_err(members);
        assert_eq!(error.param(), Some(param), "{error}");
        error
    };
    let mut policy = Policy {
        max_n: 2,
        max_output_tokens: Some(100),
        unknown: UnknownMembers::Refuse,
        ..Policy::default()
    };
    refused(r#""n":3"#, &policy, "n");
    refused(r#""max_tokens":101"#, &policy, "max_tokens");
    let error = refused(r#""metadata":{"x":"y"},"top_k":1"#, &policy, "top_k");
    assert_eq!(error.code(), Some("unknown_parameter"));
    let nested = messages(r#"{"role":"user","content":"x","extra":{"a":1}}"#);
    let error = judge(&nested, &policy).expect_err("nested");
    assert_eq!(error.param(), Some("messages[0].extra"));

    policy.unknown = UnknownMembers::Allow(["extra".into(), "top_k".into()].into());
    assert!(judge(&nested, &policy).is_ok());
    refused(r#""top_k":1,"min_p":1"#, &policy, "min_p");

    policy.unknown = UnknownMembers::Drop;
    let chat = judge(&nested, &policy).expect("dropped");
    assert_eq!(chat.bytes(), messages(r#"{"role":"user","content":"x"}"#));
    let chat = judge(&with(r#""top_k":1,"n":1"#), &policy).expect("dropped");
    assert_eq!(chat.bytes(), with(r#""n":1"#));

    policy.default_output_tokens = Some(50);
    let chat = judge(&with(""), &policy).expect("filled");
    assert_eq!(chat.max_output_tokens(), Some(50));
    let chat = judge(&with(r#""max_tokens":60"#), &policy).expect("kept");
    assert_eq!(chat.max_output_tokens(), Some(60));

    let image = |url: &str| {
        messages(&format!(
            r#"{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]}}"#
        ))
    };
    policy.images = Images::Secure;
    assert!(judge(&image("HTTPS://x"), &policy).is_ok());
    let error = judge(&image("http://x"), &policy).expect_err("in the clear");
    assert_eq!(error.param(), Some("messages[0].content[0].image_url.url"));
    policy.images = Images::Any;
    assert!(judge(&image("gs://x"), &policy).is_ok());
}

#[test]
fn the_first_mistake_or_all() {
    let text = with(r#""temperature":3.5,"n":"x""#);
    let first = judge(&text, &Policy::default()).expect_err("mistakes");
    assert_eq!(
        first.message(),
        "`temperature` must be a number between 0 and 2, got 3.5"
    );
    let policy = Policy {
        report: Report::All,
        ..Policy::default()
    };
    let all = judge(&text, &policy).expect_err("mistakes");
    assert!(
        all.message().contains("`temperature`") && all.message().contains("`n`"),
        "{all}"
    );
}

#[test]
fn what_came_is_cut_and_escaped() {
    let text = with(&format!(
        r#""service_tier":"{}\u0000""#,
        "x\u{202e}".repeat(100)
    ));
    let error = judge(&text, &Policy::default()).expect_err("no such tier");
    let got = error.message().split("got ").nth(1).expect("what came");
    assert!(got.len() <= 64 + '…'.len_utf8(), "{got}");
    assert!(got.contains("\\u202e") && got.ends_with('…'), "{got}");
}

struct Small;

impl Models for Small {
    fn support(&self, _: &str, parameter: Name) -> Support {
        match parameter {
            Name::Temperature => Support::Refuse,
            Name::TopP => Support::Drop,
            _ => Support::Yes,
        }
    }

    fn context_window(&self, _: &str) -> Option<u64> {
        Some(100)
    }
}

#[test]
fn models_have_their_contract() {
    let run = |text: &str, dialect: &Dialect| {
        let mut chat = Chat::parse(Bytes::copy_from_slice(text.as_bytes()))?;
        let dropped = check(&mut chat, dialect, &Policy::default(), &Small, None)?;
        Ok::<_, Error>((chat.bytes(), dropped))
    };
    let openai = Dialect::openai();
    let error = run(&with(r#""temperature":1"#), &openai).expect_err("not supported");
    assert_eq!(error.code(), Some("unsupported_parameter"));
    assert_eq!(error.status(&Dialect::strict()), 400);
    let (bytes, dropped) = run(&with(r#""top_p":1,"n":1"#), &openai).expect("dropped");
    assert_eq!(
        (bytes, &dropped[..]),
        (with(r#""n":1"#).into(), &["top_p".into()][..])
    );
    // A default is never put in for a model that refuses the parameter.
    let (bytes, _) = run(&with(""), &Dialect::osiris()).expect("as it came");
    assert_eq!(bytes, with(""));
    let long = messages(&format!(
        r#"{{"role":"user","content":"{}"}}"#,
        "x".repeat(1000)
    ));
    let error = run(&long, &openai).expect_err("too long");
    assert_eq!(error.code(), Some("context_length_exceeded"));
}

#[test]
fn defaults_are_those_of_the_dialect() {
    let filled = |text: &str, dialect: &Dialect| {
        let mut chat = Chat::parse(Bytes::copy_from_slice(text.as_bytes())).expect("readable");
        check(&mut chat, dialect, &Policy::default(), &AnyModel, None).expect("taken");
        chat.bytes()
    };
    let own = r#""temperature":0,"top_p":0.5"#;
    assert_eq!(filled(&with(own), &Dialect::onysoft()), with(own));
    assert_eq!(
        filled(&with(r#""temperature":null"#), &Dialect::onysoft()),
        with(r#""temperature":0.7,"top_p":1"#)
    );
    assert_eq!(filled(&with(""), &Dialect::openai()), with(""));
}
