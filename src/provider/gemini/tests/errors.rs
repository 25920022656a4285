use super::*;

#[test]
fn errors_by_name_before_status() {
    let detail = |quota: &str| {
        json!([{"@type": "x/google.rpc.QuotaFailure", "violations": [{"quotaId": quota}]},
        {"@type": "x/google.rpc.RetryInfo", "retryDelay": "34.4s"}])
    };
    for (code, status, message, details, class) in [
        (400, "INVALID_ARGUMENT", "bad", json!([]), Class::Caller),
        (
            400,
            "INVALID_ARGUMENT",
            "key",
            json!([{"reason": "API_KEY_INVALID"}]),
            Class::Credential,
        ),
        (
            400,
            "INVALID_ARGUMENT",
            "The input token count (9) exceeds",
            json!([]),
            Class::ContextLength,
        ),
        (
            400,
            "FAILED_PRECONDITION",
            "enable billing",
            json!([]),
            Class::Quota,
        ),
        (
            400,
            "FAILED_PRECONDITION",
            "User location is not supported",
            json!([]),
            Class::Region,
        ),
        (401, "UNAUTHENTICATED", "x", json!([]), Class::Credential),
        (403, "PERMISSION_DENIED", "x", json!([]), Class::Forbidden),
        (404, "NOT_FOUND", "x", json!([]), Class::ModelGone),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "x",
            detail("GenerateRequestsPerDayPerProject"),
            Class::Quota,
        ),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "x",
            detail("GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
            Class::ModelQuota,
        ),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "x",
            json!([{"violations": [{"quotaId": "RequestsPerDay", "quotaDimensions": {"location": "global", "model": "gemini-2.5-pro"}}]}]),
            Class::ModelQuota,
        ),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "both",
            json!([{"violations": [{"quotaId": "RequestsPerDayPerProjectPerModel"}, {"quotaId": "RequestsPerDayPerProject"}]}]),
            Class::Quota,
        ),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "x",
            detail("GenerateRequestsPerMinute"),
            Class::RateLimit,
        ),
        (500, "INTERNAL", "x", json!([]), Class::Transient),
        (503, "UNAVAILABLE", "x", json!([]), Class::Overload),
        // Of what stands in front of it.
        (529, "", "x", json!([]), Class::Overload),
        (504, "DEADLINE_EXCEEDED", "x", json!([]), Class::Transient),
    ] {
        let body = json!({"error": {"code": code, "message": message, "status": status, "details": details}});
        for body in [body.to_string(), json!([body]).to_string()] {
            let number = StatusCode::from_u16(code).expect("a status");
            let error = error::read(number, &HeaderMap::new(), body.as_bytes());
            assert_eq!(error.class(), Some(class), "{body}");
            if class == Class::RateLimit {
                let wait = error.retry_after().expect("told");
                assert_eq!(wait.as_millis(), 34_400);
            }
            let in_stream = run(Streaming::Events, &[format!("data: {body}\n\n").as_bytes()]);
            assert_eq!(
                in_stream.0.expect_err("an error").class(),
                Some(class),
                "{body}"
            );
        }
    }
    let html = error::read(StatusCode::BAD_GATEWAY, &HeaderMap::new(), b"<html>");
    assert_eq!(html.class(), Some(Class::Transient));
}

#[test]
fn the_client_is_at_fault_only_where_the_status_leaves_it_room() {
    for name in ["INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE"] {
        for (code, class) in [
            (200, Class::Caller),
            (400, Class::Caller),
            (413, Class::Caller),
            (422, Class::Caller),
            (401, Class::Credential),
            (404, Class::ModelGone),
            (409, Class::Transient),
            (429, Class::RateLimit),
            (500, Class::Transient),
            (503, Class::Overload),
        ] {
            let body = json!({"error": {"message": "x", "status": name}}).to_string();
            let status = StatusCode::from_u16(code).expect("a status");
            let error = error::read(status, &HeaderMap::new(), body.as_bytes());
            assert_eq!(error.class(), Some(class), "{name} {code}");
        }
        // A stream's error has no status but the one that it tells.
        let told = json!({"error": {"message": "x", "status": name}});
        let (told, ..) = run(Streaming::Events, &[format!("data: {told}\n\n").as_bytes()]);
        assert_eq!(told.expect_err("an error").class(), Some(Class::Caller));
    }
}

#[test]
fn that_something_failed_is_said_better_by_another_status() {
    for name in ["INTERNAL", "UNKNOWN", "ABORTED", "CANCELLED"] {
        for (code, class) in [
            (200, Class::Transient),
            (401, Class::Credential),
            (409, Class::Transient),
            (429, Class::RateLimit),
            (499, Class::Transient),
            (500, Class::Transient),
            (503, Class::Overload),
        ] {
            let body = json!({"error": {"message": "x", "status": name}}).to_string();
            let status = StatusCode::from_u16(code).expect("a status");
            let error = error::read(status, &HeaderMap::new(), body.as_bytes());
            assert_eq!(error.class(), Some(class), "{name} {code}");
        }
    }
}
