use super::*;
use crate::{
    error::{Class, Kind},
    provider::openai::Vendor,
};

fn error(status: u16, body: &str) -> Error {
    let status = StatusCode::from_u16(status).expect("a status");
    read(status, &HeaderMap::new(), body.as_bytes())
}

#[test]
fn classes() {
    for (status, body, class, code) in [
        (401, "no", Class::Credential, Some("upstream_unauthorized")),
        (402, "{}", Class::Quota, Some("upstream_unauthorized")),
        (
            404,
            r#"{"error":{"code":"model_not_found"}}"#,
            Class::ModelGone,
            Some("upstream_model_not_found"),
        ),
        (
            429,
            r#"{"error":{"code":"rate_limit_exceeded"}}"#,
            Class::RateLimit,
            Some("upstream_rate_limited"),
        ),
        (
            429,
            r#"{"error":{"type":"insufficient_quota"}}"#,
            Class::Quota,
            Some("upstream_rate_limited"),
        ),
        (
            500,
            "<html>",
            Class::Transient,
            Some("bad_upstream_response"),
        ),
        (503, "", Class::Overload, Some("upstream_overloaded")),
        (529, "", Class::Overload, Some("upstream_overloaded")),
        (504, "", Class::Transient, Some("upstream_timeout")),
        (408, "", Class::Transient, Some("upstream_timeout")),
        (
            400,
            r#"{"error":{"message":"bad","param":"n","code":"invalid_value"}}"#,
            Class::Caller,
            Some("invalid_value"),
        ),
        (
            400,
            r#"{"error":"This model's maximum context length is 8"}"#,
            Class::ContextLength,
            Some("context_length_exceeded"),
        ),
        (422, r#"[{"detail":"nope"}]"#, Class::Caller, None),
        // xAI's refusal of a key.
        (
            400,
            r#"{"code":"invalid-argument","error":"Incorrect API key provided: xa***bc."}"#,
            Class::Credential,
            Some("upstream_unauthorized"),
        ),
        // Google's, where it is compatible.
        (
            400,
            r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]"#,
            Class::Credential,
            Some("upstream_unauthorized"),
        ),
        // Anthropic's of an account.
        (
            400,
            r#"{"error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API."}}"#,
            Class::Quota,
            Some("upstream_unauthorized"),
        ),
        // Moonshot's.
        (
            429,
            r#"{"error":{"type":"exceeded_current_quota_error","message":"check your plan"}}"#,
            Class::Quota,
            Some("upstream_rate_limited"),
        ),
        // Together's and Perplexity's of a prompt that is too long.
        (
            403,
            r#"{"error":{"message":"This is beyond the maximum context length of 8 tokens"}}"#,
            Class::ContextLength,
            Some("context_length_exceeded"),
        ),
        (
            400,
            r#"{"error":{"type":"too_many_prompt_tokens","code":400,"message":"no"}}"#,
            Class::ContextLength,
            Some("context_length_exceeded"),
        ),
        // Those of others.
        (
            400,
            r#"{"error":{"code":"invalid_request_error","message":"This model's maximum context length is 8 tokens"}}"#,
            Class::ContextLength,
            Some("context_length_exceeded"),
        ),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 1 + 2 > 2"}}"#,
            Class::ContextLength,
            Some("context_length_exceeded"),
        ),
        (
            422,
            r#"{"error":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2","error_type":"validation"}"#,
            Class::ContextLength,
            Some("context_length_exceeded"),
        ),
        (
            400,
            r#"{"error":{"code":"string_above_max_length","message":"x"}}"#,
            Class::ContextLength,
            Some("string_above_max_length"),
        ),
        // Groq's flex tier.
        (
            498,
            r#"{"error":{"message":"Flex tier capacity exceeded"}}"#,
            Class::Overload,
            Some("upstream_overloaded"),
        ),
        // Groq's and OpenAI's of a request that is more than the account may send in a minute.
        (
            413,
            r#"{"error":{"message":"Request too large for model `llama` in organization `org_01abc` on tokens per minute (TPM): Limit 6000, Requested 12328, please reduce your message size and try again.","type":"tokens","code":"rate_limit_exceeded"}}"#,
            Class::TooLarge,
            Some("context_length_exceeded"),
        ),
        (
            429,
            r#"{"error":{"message":"Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 342389. The input or output tokens must be reduced in order to run successfully.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#,
            Class::TooLarge,
            Some("context_length_exceeded"),
        ),
        // One whose bytes are too many is no prompt that is too long.
        (
            413,
            r#"{"error":{"message":"Request too large for this endpoint: at most 20 MB"}}"#,
            Class::Caller,
            None,
        ),
        // And of one that has to wait.
        (
            429,
            r#"{"error":{"message":"Rate limit reached for model `llama` on tokens per minute (TPM): Limit 6000, Used 5034, Requested 1443. Please try again in 4.77s.","type":"tokens","code":"rate_limit_exceeded"}}"#,
            Class::RateLimit,
            Some("upstream_rate_limited"),
        ),
        // xAI's, Fireworks' and Moonshot's, by their words.
        (
            429,
            r#"{"code":"Some resource has been exhausted","error":"Your team x has either used all available credits or reached its monthly spending limit. To continue making API requests, please purchase more credits or raise your spending limit."}"#,
            Class::Quota,
            Some("upstream_rate_limited"),
        ),
        (
            403,
            r#"{"code":"permission-denied","error":"Your team x has either used all available credits or reached its monthly spending limit."}"#,
            Class::Quota,
            Some("upstream_unauthorized"),
        ),
        (
            412,
            r#"{"error":{"message":"Account x is suspended, possibly due to reaching the monthly spending limit or failure to pay past invoices.","param":null,"code":"PRECONDITION_FAILED","type":"error"}}"#,
            Class::Quota,
            Some("upstream_unauthorized"),
        ),
        (412, "{}", Class::Transient, Some("bad_upstream_response")),
        (
            429,
            r#"{"error":{"message":"The engine is currently overloaded, please try again later","type":"engine_overloaded_error"}}"#,
            Class::Overload,
            Some("upstream_overloaded"),
        ),
        // OpenRouter's and xAI's of what they found in the prompt: the client's, though it is a 403.
        (
            403,
            r#"{"error":{"message":"needs moderation","code":403,"metadata":{"reasons":["sexual"],"flagged_input":"x"}}}"#,
            Class::ContentPolicy,
            None,
        ),
        (
            403,
            r#"{"code":"The caller does not have permission to execute the specified operation","error":"Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"}"#,
            Class::ContentPolicy,
            None,
        ),
        // OpenAI's, DeepSeek's and Alibaba's of the same, as if the request were wrong.
        (
            400,
            r#"{"error":{"message":"Invalid prompt: your prompt was flagged as potentially violating our usage policy.","type":"invalid_request_error","param":null,"code":"invalid_prompt"}}"#,
            Class::ContentPolicy,
            Some("invalid_prompt"),
        ),
        (
            400,
            r#"{"error":{"message":"Content Exists Risk","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#,
            Class::ContentPolicy,
            Some("invalid_request_error"),
        ),
        (
            400,
            r#"{"error":{"message":"Input data may contain inappropriate content.","type":"data_inspection_failed","code":"data_inspection_failed"}}"#,
            Class::ContentPolicy,
            Some("data_inspection_failed"),
        ),
        // Of the key or its account, of a model, of nobody knows what.
        (
            403,
            r#"{"error":{"message":"Key limit exceeded (total limit)","code":403}}"#,
            Class::Credential,
            Some("upstream_unauthorized"),
        ),
        (
            403,
            r#"{"error":"Your newly created team doesn't have any credits yet."}"#,
            Class::Quota,
            Some("upstream_unauthorized"),
        ),
        (
            403,
            r#"{"error":{"message":"Your API key may not use the model `m`"}}"#,
            Class::Forbidden,
            Some("upstream_unauthorized"),
        ),
        (
            403,
            "<html>",
            Class::Forbidden,
            Some("upstream_unauthorized"),
        ),
        // Google's where it does not serve.
        (
            400,
            r#"[{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}]"#,
            Class::Region,
            Some("upstream_unauthorized"),
        ),
        // Alibaba's of an account, Mistral's of a model.
        (
            400,
            r#"{"error":{"message":"Access denied","type":"Arrearage","code":"Arrearage"}}"#,
            Class::Quota,
            Some("upstream_unauthorized"),
        ),
        (
            400,
            r#"{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500"}"#,
            Class::ModelGone,
            Some("upstream_model_not_found"),
        ),
        // Mistral, too, counts in thousands.
        (
            429,
            r#"{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300"}"#,
            Class::RateLimit,
            Some("upstream_rate_limited"),
        ),
        (
            429,
            r#"{"error":{"message":"Rate limit exceeded","code":"1300"}}"#,
            Class::RateLimit,
            Some("upstream_rate_limited"),
        ),
        // Z.ai's numbers before its statuses: 429 stands for all of these but the last.
        (
            429,
            r#"{"error":{"code":"1113","message":"in arrears"}}"#,
            Class::Quota,
            Some("upstream_rate_limited"),
        ),
        (
            429,
            r#"{"error":{"code":"1308","message":"used up until tomorrow"}}"#,
            Class::Quota,
            Some("upstream_rate_limited"),
        ),
        (
            429,
            r#"{"error":{"code":1302,"message":"too many at once"}}"#,
            Class::RateLimit,
            Some("upstream_rate_limited"),
        ),
        (
            429,
            r#"{"error":{"code":"1312","message":"busy"}}"#,
            Class::Overload,
            Some("upstream_overloaded"),
        ),
        (
            400,
            r#"{"error":{"code":"1211","message":"no such model"}}"#,
            Class::ModelGone,
            Some("upstream_model_not_found"),
        ),
        (
            400,
            r#"{"error":{"code":"1261","message":"too long"}}"#,
            Class::ContextLength,
            Some("context_length_exceeded"),
        ),
        (
            400,
            r#"{"error":{"code":"1301","message":"sensitive"}}"#,
            Class::ContentPolicy,
            None,
        ),
    ] {
        let error = error(status, body);
        assert_eq!(
            (error.class(), error.code()),
            (Some(class), code),
            "{status} {body}"
        );
    }
}

#[test]
fn a_prompt_that_is_too_long_is_known_by_its_words() {
    for message in [
        "This model's maximum context length is 8 tokens",
        "The input (9 tokens) is longer than the model's context length (8 tokens).",
        "Invalid request: Your request exceeded model token limit: 8",
        "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 8]",
    ] {
        let body = serde_json::json!({"error": {"message": message}}).to_string();
        assert_eq!(
            error(400, &body).class(),
            Some(Class::ContextLength),
            "{body}"
        );
    }
}

#[test]
fn numbers_are_read_as_whose_they_are() {
    let body = br#"{"error":{"code":"1301","message":"x"}}"#;
    for (vendor, status, class) in [
        ("zai", 429, Class::ContentPolicy),
        ("plain", 429, Class::RateLimit),
        ("plain", 400, Class::ContentPolicy),
        ("mistral", 429, Class::RateLimit),
        ("mistral", 400, Class::Caller),
    ] {
        let vendor = Vendor::named(vendor).expect("known");
        let status = StatusCode::from_u16(status).expect("a status");
        let error = read_of(vendor.numbers(), status, &HeaderMap::new(), body);
        assert_eq!(error.class(), Some(class), "{vendor:?} {status}");
    }
}

#[test]
fn the_callers_fault_is_told_without_our_secrets() {
    let told = error(
        400,
        r#"{"error":{"message":"bad key sk-abcdef123 at https://host/v1, see n","param":"n"}}"#,
    );
    assert_eq!(told.message(), "bad key […] at […] see n");
    let whose = error(
        413,
        r#"{"error":"too large in organization `org_01abc` or org-9xyz"}"#,
    );
    assert_eq!(whose.message(), "too large in organization […] or […]");
    assert_eq!((told.param(), told.kind()), (Some("n"), Kind::Format));
}

#[test]
fn an_error_under_200_is_one() {
    assert!(check(Bytes::from_static(b"{\"error\":{\"message\":\"x\"}}")).is_err());
    assert!(check(Bytes::from_static(b"<html>")).is_err());
    // OpenRouter's, and of Google's compatible endpoint.
    for (body, class, code) in [
        (
            r#"{"error":{"code":429,"message":"x"},"user_id":"u"}"#,
            Class::RateLimit,
            "upstream_rate_limited",
        ),
        (
            r#"[{ "error":{"code":503,"status":"UNAVAILABLE"}}]"#,
            Class::Overload,
            "upstream_overloaded",
        ),
        (
            r#"{"error":{"code":"context_length_exceeded","message":"x"}}"#,
            Class::ContextLength,
            "context_length_exceeded",
        ),
        // Flat ones, and one of a choice.
        (
            r#"{"object":"error","message":"x","type":"rate_limited","code":"3505"}"#,
            Class::RateLimit,
            "upstream_rate_limited",
        ),
        (
            r#"{"detail":"This model's maximum context length is 5 tokens"}"#,
            Class::ContextLength,
            "context_length_exceeded",
        ),
        (
            r#"{"error":null,"choices":[{"message":{},"error":{"code":429}}]}"#,
            Class::RateLimit,
            "upstream_rate_limited",
        ),
    ] {
        let error = check(Bytes::from_static(body.as_bytes())).expect_err("it is one");
        assert_eq!(
            (error.class(), error.code()),
            (Some(class), Some(code)),
            "{body}"
        );
    }
    for body in [
        r#"{}"#,
        r#"{"choices":[]}"#,
        r#"{"choices":null,"usage":{}}"#,
        r#"{"choices":[{"message":{"content":"a"},"finish_reason":"error"},"error"]}"#,
        r#"{"choices":[{"index":0,"error":{"code":502}}]}"#,
        r#"{"choices":[{"message":{"content":"a"},"finish_reason":"abort"}]}"#,
        r#"{"choices":[{"message":{},"finish_reason":"stop"},{"finish_reason" : "network_error"}]}"#,
        r#"{"choices":[{"finish_reason":"insufficient_system_resource","message":{}}]}"#,
    ] {
        let error = check(Bytes::from_static(body.as_bytes())).expect_err("no answer");
        assert_eq!(error.class(), Some(Class::Transient), "{body}");
    }
    for body in [
        r#" {"choices":[{"message":{}}],"error":null} "#,
        r#"{"choices":[{"message":{"content":"\"error\""},"error":null}]}"#,
        r#"{"choices":[{"message":{"content":"\"finish_reason\":\"abort\""},"finish_reason":"content_filter"}]}"#,
    ] {
        assert!(check(Bytes::from_static(body.as_bytes())).is_ok(), "{body}");
    }
}

#[test]
fn googles_compatible_endpoint_says_when_to_come_back() {
    let base = "https://generativelanguage.googleapis.com/v1beta/openai";
    let google = crate::provider::openai::OpenAi::new(base).expect("a URL");
    assert_eq!(google.vendor().name(), "gemini");
    let refused = |quota: &str| {
        let body = serde_json::json!([{"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED", "details": [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"}]}}]);
        let body = body.to_string();
        let error = crate::provider::Translate::error(
            &google,
            StatusCode::TOO_MANY_REQUESTS,
            &HeaderMap::new(),
            body.as_bytes(),
        );
        (
            error.class(),
            error.retry_after().map(|wait| wait.as_millis()),
        )
    };
    let minute = refused("GenerateRequestsPerMinutePerProject");
    assert_eq!(minute, (Some(Class::RateLimit), Some(34_400)));
    assert_eq!(
        refused("GenerateRequestsPerDayPerProject").0,
        Some(Class::Quota)
    );
}
