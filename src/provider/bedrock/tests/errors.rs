use super::*;

#[test]
fn refusals() {
    let long = "The model returned the following errors: Input is too long for requested model.";
    for (status, code, message, class) in [
        (
            400,
            "ValidationException:http://internal/",
            "bad",
            Class::Caller,
        ),
        (400, "ValidationException", long, Class::ContextLength),
        (
            400,
            "ValidationException",
            "The provided model identifier is invalid.",
            Class::ModelGone,
        ),
        (
            400,
            "ValidationException",
            "Invocation of model ID x with on-demand throughput isn\u{2019}t supported. Retry your request with the ID or ARN of an inference profile that contains this model.",
            Class::ModelGone,
        ),
        (400, "ServiceQuotaExceededException", "x", Class::Quota),
        (403, "AccessDeniedException", "x", Class::Forbidden),
        (
            403,
            "AccessDeniedException",
            "Authentication failed: Please make sure your API Key is valid.",
            Class::Credential,
        ),
        (403, "UnrecognizedClientException", "x", Class::Credential),
        (403, "InvalidSignatureException", "x", Class::Credential),
        (403, "ExpiredTokenException", "x", Class::Credential),
        (404, "ResourceNotFoundException", "x", Class::ModelGone),
        (408, "ModelTimeoutException", "x", Class::Transient),
        (424, "ModelErrorException", "x", Class::Transient),
        (429, "ThrottlingException", "x", Class::RateLimit),
        (
            429,
            "ThrottlingException",
            "Too many tokens per day, please wait before trying again.",
            Class::ModelQuota,
        ),
        (
            429,
            "ThrottlingException",
            "Too many tokens, please wait before trying again.",
            Class::RateLimit,
        ),
        (429, "ModelNotReadyException", "x", Class::Overload),
        (500, "InternalServerException", "x", Class::Transient),
        (503, "ServiceUnavailableException", "x", Class::Overload),
        (418, "", "x", Class::Transient),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        let body = json!({"message": message}).to_string();
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_str(code).expect("text");
        headers.insert("x-amzn-errortype", kind);
        let by_header = error::read(status, &headers, body.as_bytes());
        assert_eq!(by_header.class(), Some(class), "{code}");
        let body =
            json!({"message": message, "__type": format!("com.amazon.coral.service#{code}")});
        let by_body = error::read(status, &HeaderMap::new(), body.to_string().as_bytes());
        assert_eq!(by_body.class(), Some(class), "{code} in the body");
    }
    let status = StatusCode::BAD_REQUEST;
    let error = error::read(status, &HeaderMap::new(), br#"{"message":"no such tool"}"#);
    assert_eq!(
        (error.message(), error.kind()),
        ("no such tool", crate::error::Kind::Format)
    );
}

#[test]
fn the_client_is_at_fault_only_where_the_status_leaves_it_room() {
    let body = br#"{"__type":"ValidationException","message":"bad"}"#;
    for (status, class) in [
        (200, Class::Caller),
        (400, Class::Caller),
        (413, Class::Caller),
        (422, Class::Caller),
        (404, Class::ModelGone),
        (429, Class::RateLimit),
        (500, Class::Transient),
        (503, Class::Overload),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        let error = error::read(status, &HeaderMap::new(), body);
        assert_eq!(error.class(), Some(class), "{status}");
    }
    let in_stream = error::in_stream("validationException", br#"{"message":"bad"}"#);
    assert_eq!(in_stream.class(), Some(Class::Caller));
}

#[test]
fn that_something_failed_is_said_better_by_another_status() {
    let body = br#"{"__type":"InternalServerException","message":"x"}"#;
    for (status, class) in [
        (200, Class::Transient),
        (429, Class::RateLimit),
        (500, Class::Transient),
        (503, Class::Overload),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        let error = error::read(status, &HeaderMap::new(), body);
        assert_eq!(error.class(), Some(class), "{status}");
    }
    let in_stream = error::in_stream("internalServerException", br#"{"message":"x"}"#);
    assert_eq!(in_stream.class(), Some(Class::Transient));
}
