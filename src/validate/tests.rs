use bytes::Bytes;

use super::{
    Capabilities, Catalog, Images, Models, Policy, Report, Support, UnknownMembers,
    check::{Taken, check},
    model::AnyModel,
};
use crate::{
    dialect::Dialect,
    error::{Error, Kind},
    ext::Principal,
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
    check(&mut chat, &Dialect::openai(), policy, &AnyModel, None).map_err(|it| it.error)?;
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
    r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none""#,
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
    (r#""tool_choice":"none""#, "tool_choice"),
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
fn an_object_has_at_most_256_members_that_are_unknown() {
    let extra = |count: usize, last: &str| {
        let keys: Vec<_> = (1..count).map(|at| format!(r#""k{at}":{at}"#)).collect();
        let keys = keys.join(",");
        messages(&format!(r#"{{"role":"user","content":"x",{keys},{last}}}"#))
    };
    taken(&extra(256, r#""l":1"#));
    let error = judge(&extra(257, r#""l":1"#), &Policy::default()).expect_err("too many");
    assert_eq!(error.code(), Some("invalid_value"));
    for at in [1, 100, 255] {
        let text = extra(256, &format!(r#""\u006b{at}":1"#));
        let param = format!("messages[0].k{at}");
        refused(&text, Kind::Format, "duplicate_key", &param);
    }
    // Of all objects together there may be many more.
    let many = vec![r#"{"role":"user","content":"x","a":1,"b":2,"c":3}"#; 2000];
    let many = messages(&many.join(","));
    taken(&many);
    let refuse = policy(|it| it.unknown = UnknownMembers::Refuse);
    let error = judge(&many, &refuse).expect_err("not known");
    assert_eq!(error.code(), Some("unknown_parameter"));
}

#[test]
fn biases_are_many_but_not_without_end() {
    let biases = |count: usize| {
        let all: Vec<_> = (0..count).map(|at| format!(r#""{at}":1"#)).collect();
        with(&format!(r#""logit_bias":{{{}}}"#, all.join(",")))
    };
    taken(&biases(4096));
    refused(&biases(4097), Kind::Value, "invalid_value", "logit_bias");
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

/// A policy with one thing changed.
fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy);
    policy
}

#[track_caller]
fn forbidden(text: &str, policy: &Policy, code: &str, param: &str) -> Error {
    taken(text);
    let error = judge(text, policy).expect_err(text);
    assert_eq!(
        (error.code(), error.param()),
        (Some(code), Some(param)),
        "{error}"
    );
    error
}

#[test]
fn each_cap_has_a_default_and_an_error() {
    let (n, tokens) = (
        policy(|it| it.max_n = 2),
        policy(|it| it.max_output_tokens = Some(100)),
    );
    assert!(judge(&with(r#""n":2"#), &n).is_ok());
    let error = forbidden(&with(r#""n":3"#), &n, "invalid_value", "n");
    assert_eq!(error.message(), "`n` must be at most 2 here, got 3");
    assert_eq!(error.status(&Dialect::strict()), 422);
    assert!(judge(&with(r#""max_tokens":100"#), &tokens).is_ok());
    for name in ["max_tokens", "max_completion_tokens"] {
        forbidden(
            &with(&format!(r#""{name}":101"#)),
            &tokens,
            "invalid_value",
            name,
        );
    }
    let two = messages(r#"{"role":"user","content":"x"},{"role":"user","content":"x"}"#);
    assert!(judge(&two, &policy(|it| it.max_messages = 2)).is_ok());
    forbidden(
        &two,
        &policy(|it| it.max_messages = 1),
        "invalid_value",
        "messages",
    );
    let tools = with(
        r#""tools":[{"type":"custom","custom":{"name":"a"}},{"type":"custom","custom":{"name":"b"}}]"#,
    );
    assert!(judge(&tools, &policy(|it| it.max_tools = 2)).is_ok());
    forbidden(
        &tools,
        &policy(|it| it.max_tools = 1),
        "invalid_value",
        "tools",
    );
    let functions = with(r#""functions":[{"name":"a"},{"name":"b"}]"#);
    forbidden(
        &functions,
        &policy(|it| it.max_tools = 1),
        "invalid_value",
        "tools",
    );
    let images = images(&["https://x", "data:image/png;base64,AA"]);
    assert!(judge(&images, &policy(|it| it.max_images = 2)).is_ok());
    forbidden(
        &images,
        &policy(|it| it.max_images = 1),
        "invalid_value",
        "messages",
    );
    // Beyond the defaults as well.
    let many = vec![r#"{"role":"user","content":"x"}"#; 100_001].join(",");
    let error = judge(&messages(&many), &Policy::default()).expect_err("too many");
    assert_eq!(
        error.message(),
        "At most 100000 messages are allowed here, got 100001"
    );
}

fn images(urls: &[&str]) -> String {
    let parts: Vec<_> = urls
        .iter()
        .map(|url| format!(r#"{{"type":"image_url","image_url":{{"url":"{url}"}}}}"#))
        .collect();
    messages(&format!(
        r#"{{"role":"user","content":[{}]}}"#,
        parts.join(",")
    ))
}

#[test]
fn image_addresses_are_those_of_the_policy() {
    let (any, secure) = (
        policy(|it| it.images = Images::Any),
        policy(|it| it.images = Images::Secure),
    );
    for url in ["HTTPS://x", "data:image/png;base64,AA", r"\u0068ttps:x"] {
        assert!(judge(&images(&[url]), &secure).is_ok(), "{url}");
    }
    let place = "messages[0].content[1].image_url.url";
    let error = forbidden(
        &images(&["https://x", "http://x"]),
        &secure,
        "invalid_value",
        place,
    );
    assert!(error.message().contains("an https or data URL"), "{error}");
    for url in [
        "gs://x",
        "file:///etc/passwd",
        "",
        "https",
        "//x",
        "javascript:x",
    ] {
        let text = images(&["https://x", url]);
        let error = judge(&text, &Policy::default()).expect_err(url);
        assert_eq!(error.param(), Some(place), "{url}");
        assert!(judge(&text, &any).is_ok(), "{url}");
    }
}

#[test]
fn members_that_are_unknown_are_kept_dropped_refused_or_listed() {
    let refuse = policy(|it| it.unknown = UnknownMembers::Refuse);
    let drop = policy(|it| it.unknown = UnknownMembers::Drop);
    let nested = messages(
        r#"{"role":"user","content":[{"type":"text","text":"x","y":0}],"extra":{"a":1}},{"role":"user","content":"x","extra":2}"#,
    );
    assert_eq!(
        judge(&nested, &Policy::default()).expect("kept").bytes(),
        nested
    );
    forbidden(
        &with(r#""metadata":{"x":"y"},"top_k":1"#),
        &refuse,
        "unknown_parameter",
        "top_k",
    );
    forbidden(
        &nested,
        &refuse,
        "unknown_parameter",
        "messages[0].content[0].y",
    );
    let listed =
        policy(|it| it.unknown = UnknownMembers::Allow(["extra".into(), "y".into()].into()));
    assert!(judge(&nested, &listed).is_ok());
    forbidden(
        &with(r#""extra":1,"min_p":1"#),
        &listed,
        "unknown_parameter",
        "min_p",
    );

    let dropping = |text: &str| {
        let mut chat = Chat::parse(Bytes::copy_from_slice(text.as_bytes())).expect("readable");
        let taken = check(&mut chat, &Dialect::openai(), &drop, &AnyModel, None).expect("taken");
        (chat.bytes(), taken.dropped.join(" "))
    };
    let (bytes, names) = dropping(&nested);
    assert_eq!(
        bytes,
        messages(
            r#"{"role":"user","content":[{"type":"text","text":"x"}]},{"role":"user","content":"x"}"#
        )
    );
    assert_eq!(names, "messages[].content[].y messages[].extra");
    let (bytes, names) = dropping(&with(r#""top_k":1,"n":1"#));
    assert_eq!((bytes, &names[..]), (with(r#""n":1"#).into(), "top_k"));
}

#[test]
fn output_tokens_have_a_default_when_the_operator_gives_one() {
    let limited = policy(|it| it.default_output_tokens = Some(50));
    let sent = |text: &str| judge(text, &limited).expect("taken").bytes();
    assert_eq!(
        judge(&with(""), &Policy::default()).expect("taken").bytes(),
        with("")
    );
    assert_eq!(sent(&with("")), with(r#""max_completion_tokens":50"#));
    assert_eq!(
        sent(&with(r#""max_tokens":null"#)),
        with(r#""max_tokens":null,"max_completion_tokens":50"#)
    );
    assert_eq!(
        sent(&with(r#""max_tokens":60"#)),
        with(r#""max_tokens":60"#)
    );
    let older = catalog(
        Capabilities::new()
            .max_output_tokens(40)
            .parameter(Name::MaxCompletionTokens, Support::Rename(Name::MaxTokens)),
    );
    let mut chat = Chat::parse(with("").into()).expect("readable");
    check(&mut chat, &Dialect::openai(), &limited, &older, None).expect("taken");
    assert_eq!(chat.bytes(), with(r#""max_tokens":40"#));
}

#[test]
fn the_first_mistake_or_all() {
    let text = with(r#""temperature":3.5,"n":"x","top_k":1,"max_tokens":9"#);
    let mut policy = Policy {
        max_output_tokens: Some(5),
        unknown: UnknownMembers::Refuse,
        ..Policy::default()
    };
    // What has no format comes before what has a bad value, wherever they stand.
    let first = judge(&text, &policy).expect_err("mistakes");
    assert_eq!(
        first.message(),
        "`n` must be an integer between 1 and 128, got \"x\""
    );
    assert_eq!(first.status(&Dialect::strict()), 400);
    policy.report = Report::All;
    let mut chat = Chat::parse(text.into()).expect("readable");
    let models = catalog(Capabilities::new().parameter(Name::Temperature, Support::Refuse));
    let refusal =
        check(&mut chat, &Dialect::openai(), &policy, &models, None).expect_err("mistakes");
    let mistakes = refusal.mistakes.expect("all of them");
    let params: Vec<_> = mistakes
        .iter()
        .map(|it| it.param().expect("a field"))
        .collect();
    assert_eq!(
        params,
        ["n", "temperature", "max_tokens", "top_k", "temperature"]
    );
    assert_eq!(
        (refusal.error.param(), refusal.error.code()),
        (Some("n"), Some("invalid_type"))
    );
    for mistake in mistakes.iter() {
        assert!(
            refusal.error.message().contains(mistake.message()),
            "{}",
            refusal.error
        );
    }
}

#[test]
fn a_missing_model_is_not_also_an_unknown_one() {
    let policy = Policy {
        report: Report::All,
        ..Policy::default()
    };
    let models = catalog(Capabilities::new());
    let mut chat = Chat::parse(Bytes::from_static(b"{}")).expect("readable");
    let refusal =
        check(&mut chat, &Dialect::openai(), &policy, &models, None).expect_err("mistakes");
    assert_eq!(
        refusal.error.message(),
        "`model` is required; `messages` is required"
    );
}

#[test]
fn of_very_many_mistakes_some_are_told_and_the_rest_counted() {
    // The one of format comes last and is told first.
    let many = (0..500)
        .map(|_| r#"{"role":"x","content":"y"}"#)
        .collect::<Vec<_>>()
        .join(",");
    let text = format!(r#"{{"model":"m","messages":[{many}],"n":"x"}}"#);
    let error = judge(&text, &Policy::default()).expect_err("mistakes");
    assert_eq!(error.param(), Some("n"));
    let policy = Policy {
        report: Report::All,
        ..Policy::default()
    };
    let error = judge(&text, &policy).expect_err("mistakes");
    assert!(error.message().starts_with("`n` must be"), "{error}");
    assert!(error.message().ends_with("; and 485 more"), "{error}");
    assert!(error.message().len() < 4000);
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

/// A request at a model; the bytes that are sent, and what was done to them.
fn at(models: &dyn Models, text: &str, dialect: &Dialect) -> Result<(Bytes, Taken), Error> {
    let mut chat = Chat::parse(Bytes::copy_from_slice(text.as_bytes()))?;
    let taken = check(&mut chat, dialect, &Policy::default(), models, None);
    let taken = taken.map_err(|refusal| refusal.error)?;
    Ok((chat.bytes(), taken))
}

fn catalog(capabilities: Capabilities) -> Catalog {
    Catalog::new().model("m", ["alias"], capabilities)
}

#[test]
fn no_default_is_put_in_that_a_fallback_would_refuse() {
    let onysoft = Dialect::onysoft();
    let plain = Capabilities::new().context_window(100_000);
    let (sent, _) = at(&catalog(plain.clone()), &with(""), &onysoft).expect("taken");
    assert_eq!(sent, with(r#""temperature":0.7,"top_p":1"#));
    let fallback = Capabilities::of("o3")
        .context_window(1)
        .parameter(Name::Seed, Support::Refuse);
    let models = catalog(plain.falling_back_to(&fallback));
    for given in ["", r#""seed":5"#, r#""temperature":1"#] {
        let (sent, taken) = at(&models, &with(given), &onysoft).expect("its own limits hold");
        assert_eq!(sent, with(given));
        assert!(taken.dropped.is_empty() && taken.mapped.is_empty());
    }
}

#[test]
fn a_parameter_is_refused_dropped_or_mapped() {
    let openai = Dialect::openai();
    let models = catalog(
        Capabilities::new()
            .parameter(Name::Temperature, Support::Refuse)
            .parameter(Name::Seed, Support::Drop)
            .parameter(Name::MaxTokens, Support::Rename(Name::MaxCompletionTokens))
            .parameter(Name::ReasoningEffort, Support::Only("\"high\"".into()))
            .parameter(
                Name::TopP,
                Support::Clamp {
                    min: 0.01,
                    max: 0.99,
                },
            ),
    );
    let error = at(&models, &with(r#""temperature":1"#), &openai).expect_err("refused");
    assert_eq!(error.code(), Some("unsupported_parameter"));
    assert_eq!(error.param(), Some("temperature"));
    assert_eq!(error.status(&Dialect::strict()), 400);
    for (given, sent, dropped, mapped) in [
        (r#""temperature":null"#, r#""temperature":null"#, "", ""),
        (r#""seed":5,"n":1"#, r#""n":1"#, "seed", ""),
        (
            r#""max_tokens":7"#,
            r#""max_completion_tokens":7"#,
            "",
            "max_tokens",
        ),
        (
            r#""reasoning_effort":"low""#,
            r#""reasoning_effort":"high""#,
            "",
            "reasoning_effort",
        ),
        (
            r#""reasoning_effort":"high""#,
            r#""reasoning_effort":"high""#,
            "",
            "",
        ),
        (r#""top_p":1.0,"n":1"#, r#""top_p":0.99,"n":1"#, "", "top_p"),
        (r#""top_p":0"#, r#""top_p":0.01"#, "", "top_p"),
        (r#""top_p":0.50"#, r#""top_p":0.50"#, "", ""),
    ] {
        let (bytes, taken) = at(&models, &with(given), &openai).expect(given);
        assert_eq!(bytes, with(sent), "{given}");
        assert_eq!(
            (taken.dropped.join(","), taken.mapped.join(",")),
            (dropped.into(), mapped.into())
        );
    }
}

#[test]
fn a_renamed_parameter_that_is_there_already_is_dropped_and_said() {
    let models =
        catalog(Capabilities::new().parameter(Name::User, Support::Rename(Name::SafetyIdentifier)));
    let text = with(r#""safety_identifier":"a","user":"b""#);
    let (bytes, taken) = at(&models, &text, &Dialect::openai()).expect("taken");
    assert_eq!(bytes, with(r#""safety_identifier":"a""#));
    assert_eq!(
        (&taken.dropped[..], &taken.mapped[..]),
        (&["user".into()][..], &[][..])
    );
    let (bytes, taken) = at(
        &models,
        &with(r#""safety_identifier":null,"user":"b""#),
        &Dialect::openai(),
    )
    .expect("taken");
    assert_eq!(bytes, with(r#""safety_identifier":"b""#));
    assert_eq!(taken.mapped, ["user"]);
}

#[test]
fn a_prompt_that_cannot_fit_is_refused_with_the_estimate() {
    let long = |bytes: usize, members: &str| {
        let content = "x".repeat(bytes);
        format!(
            r#"{{"model":"alias","messages":[{{"role":"user","content":"{content}"}}]{members}}}"#
        )
    };
    let models = catalog(
        Capabilities::new()
            .context_window(100)
            .max_output_tokens(60),
    );
    let openai = Dialect::openai();
    let error = at(&models, &long(1000, ""), &openai).expect_err("too long");
    assert_eq!(error.code(), Some("context_length_exceeded"));
    assert_eq!(error.param(), Some("messages"));
    assert!(
        error.message().contains("about 257 tokens") && error.message().contains("window of 100")
    );
    // What may fit is the model's to judge: the estimate is no more than that.
    assert!(at(&models, &long(450, ""), &openai).is_ok());
    assert!(at(&models, &long(450, r#","max_tokens":2"#), &openai).is_ok());
    let error =
        at(&models, &long(450, r#","max_tokens":50"#), &openai).expect_err("with the answer");
    assert!(error.message().contains("and 50 are asked"), "{error}");
    let error =
        at(&models, &long(4, r#","max_completion_tokens":61"#), &openai).expect_err("too much");
    assert_eq!(
        (error.param(), error.code()),
        (Some("max_completion_tokens"), Some("invalid_value"))
    );
    assert_eq!(error.status(&Dialect::strict()), 422);
}

#[test]
fn a_default_is_never_put_in_for_a_model_that_refuses_the_parameter() {
    let osiris = Dialect::osiris();
    for support in [
        Support::Refuse,
        Support::Drop,
        Support::Perhaps,
        Support::Only("1".into()),
        Support::Rename(Name::TopP),
    ] {
        let models = catalog(Capabilities::new().parameter(Name::Temperature, support.clone()));
        for given in ["", r#""temperature":null"#] {
            let (bytes, taken) = at(&models, &with(given), &osiris).expect("taken");
            let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
            assert!(
                !text.contains(r#""temperature":1"#) && text.contains(r#""top_p":1"#),
                "{support:?} {text}"
            );
            assert!(taken.dropped.is_empty() && taken.mapped.is_empty());
        }
    }
    let o3 = catalog(Capabilities::of("o3"));
    let (bytes, _) = at(&o3, &with(""), &osiris).expect("taken");
    assert_eq!(bytes, with(""));
    let (bytes, _) =
        at(&o3, &with(r#""temperature":0.5"#), &osiris).expect("the model's to refuse");
    assert_eq!(bytes, with(r#""temperature":0.5"#));
    let (bytes, _) = at(&o3, &with(r#""reasoning_effort":"none""#), &osiris).expect("taken");
    assert_eq!(
        bytes,
        with(r#""reasoning_effort":"none","temperature":1,"top_p":1"#)
    );
}

#[test]
fn reasoning_models_are_told_by_their_name() {
    let perhaps = |model: &str| {
        let chat = Chat::parse(Bytes::from_static(b"{}")).expect("readable");
        let models = catalog(Capabilities::of(model));
        models.support("m", Name::Temperature, &chat) == Support::Perhaps
    };
    for model in [
        "o1",
        "o3-mini",
        "openai/o4-mini-2025-04-16",
        "gpt-5",
        "gpt-5.1",
        "gpt-5-nano",
        "gpt-6.1-sol",
    ] {
        assert!(perhaps(model), "{model}");
    }
    for model in [
        "gpt-4o",
        "o",
        "o10",
        "gpt-50",
        "gpt-5-chat-latest",
        "gpt-5.1-chat",
        "claude-sonnet-4",
        "llama-o1",
        "mock/echo",
    ] {
        assert!(!perhaps(model), "{model}");
    }
}

#[test]
fn the_model_is_known_and_allowed() {
    let models = catalog(Capabilities::new());
    let ask = |model: &str, caller: Option<&Principal>| {
        let text = with("").replace(r#""m""#, &format!("{model:?}"));
        let mut chat = Chat::parse(text.into()).expect("readable");
        let policy = Policy::default();
        let found = check(&mut chat, &Dialect::openai(), &policy, &models, caller);
        found
            .map(|_| ())
            .map_err(|it| it.error.code().map(str::to_owned).expect("a code"))
    };
    let caller = Principal::new("c").with_models(["m"]);
    assert_eq!(ask("alias", Some(&caller)), Ok(()));
    assert_eq!(ask("other", None), Err("model_not_found".into()));
    assert_eq!(ask("other", Some(&caller)), Err("model_not_allowed".into()));
    assert_eq!(
        ask("m", Some(&Principal::new("d").with_models(["x"]))),
        Err("model_not_allowed".into())
    );
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
