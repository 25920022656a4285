//! Members at the top level: their types, values and rules.

use super::{judge, messages, policy, refused, taken, with};
use crate::{
    error::Kind,
    validate::{Policy, UnknownMembers},
};

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
    r#""tool_choice":"none""#,
    r#""tools":[],"tool_choice":"none""#,
    r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"auto""#,
    r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required""#,
    r#""tool_choice":{"type":"function","function":{"name":"f"}},"tools":[{"type":"function","function":{"name":"f"}}]"#,
    r#""tool_choice":{"custom":{"name":"f"},"type":"custom"},"tools":[{"type":"custom","custom":{"name":"f"}}]"#,
    r#""tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}}]}},"tools":[{"type":"function","function":{"name":"f"}}]"#,
    // However a name is spelled, and whatever stands beside it.
    r#""tools":[{"type":"function","function":{"name":"\u0066"}},{"type":"custom","custom":{"name":"c"}}],"tool_choice":{"function":{"name":"g"},"custom":{"name":"\u0063"},"type":"custom"}"#,
    r#""tools":[{"custom":{"name":"g"},"type":"function","function":{"name":"f"}},{"type":"custom","custom":{"name":"c"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"custom","custom":{"name":"c"}},{"name":"f"},{},{"type":"mcp","server_label":"s"}]}}"#,
    r#""functions":[{"name":"f"},{"name":"g"}],"function_call":{"name":"g"}"#,
    r#""functions":[{"name":"f"}],"function_call":"auto""#,
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
    (
        r#""tool_choice":{"type":"function","function":{"name":"g"}},"tools":[{"type":"function","function":{"name":"f"}}]"#,
        "tool_choice.function.name",
    ),
    (
        r#""tools":[{"function":{"name":"f","description":"g"},"type":"function"},{"type":"custom","custom":{"name":"c"}}],"tool_choice":{"custom":{"name":"F"},"type":"custom"}"#,
        "tool_choice.custom.name",
    ),
    (
        r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"allowed_tools":{"tools":[{"type":"function","function":{"name":"f"}},{"function":{"name":"g"},"type":"function"}],"mode":"auto"},"type":"allowed_tools"}"#,
        "tool_choice.allowed_tools.tools[1].function.name",
    ),
    (
        r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","name":"g"}]}}"#,
        "tool_choice.allowed_tools.tools[0].name",
    ),
    (
        r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":""}}"#,
        "tool_choice.function.name",
    ),
    (
        r#""functions":[{"name":"f"}],"function_call":{"name":"g"}"#,
        "function_call.name",
    ),
    (r#""function_call":{"name":"g"}"#, "function_call.name"),
    (
        r#""tools":[{"type":"function","function":{"name":"g"}}],"functions":[{"name":"f"}],"function_call":{"name":"g"}"#,
        "function_call.name",
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
