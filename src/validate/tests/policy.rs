//! An operator's policy, and how mistakes are told.

use bytes::Bytes;

use super::{catalog, judge, messages, policy, taken, with};
use crate::{
    dialect::Dialect,
    error::Error,
    parse::Chat,
    validate::{
        Capabilities, Images, Policy, Report, Support, UnknownMembers, check::check,
        model::AnyModel,
    },
    wire::request::Name,
};

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
    let many = vec![r#"{"role":"x","content":"y"}"#; 200].join(",");
    let text = format!(r#"{{"model":"m","messages":[{many}],"n":"x"}}"#);
    let error = judge(&text, &Policy::default()).expect_err("mistakes");
    assert_eq!(error.param(), Some("n"));
    let policy = Policy {
        report: Report::All,
        ..Policy::default()
    };
    let error = judge(&text, &policy).expect_err("mistakes");
    assert!(error.message().starts_with("`n` must be"), "{error}");
    assert!(error.message().ends_with("; and 185 more"), "{error}");
    assert!(error.message().len() < 4000);
}

#[test]
fn of_more_mistakes_than_are_read_the_first_is_told_under_any_policy() {
    let wrong = r#"{"role":"x","content":"y"}"#;
    for (last, param) in [("0", "messages[200]"), (wrong, "messages[0].role")] {
        let many = [&vec![wrong; 200][..], &[last], &vec![wrong; 200]].concat();
        let text = messages(&many.join(","));
        for report in [Report::First, Report::All] {
            let policy = policy(|policy| policy.report = report);
            let error = judge(&text, &policy).expect_err("mistakes");
            assert_eq!(error.param(), Some(param), "{error}");
        }
    }
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
