//! What a model takes, and what becomes of the rest.

use bytes::Bytes;

use super::{catalog, with};
use crate::{
    dialect::Dialect,
    error::Error,
    ext::Principal,
    parse::Chat,
    validate::{
        Capabilities, Catalog, KnownModels, Policy, Support,
        check::{Taken, check, judge},
        model::AnyModel,
    },
    wire::request::Name,
};

/// A request at a model; the bytes that are sent, and what was done to them.
fn at(models: &dyn KnownModels, text: &str, dialect: &Dialect) -> Result<(Bytes, Taken), Error> {
    let mut chat = Chat::parse(Bytes::copy_from_slice(text.as_bytes()))?;
    let taken = check(&mut chat, dialect, &Policy::default(), models, None);
    let taken = taken.map_err(|refusal| refusal.error)?;
    Ok((chat.bytes(), taken))
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
    assert_eq!(ask("other", Some(&caller)), Err("model_not_found".into()));
    // One of its names is enough, whichever is asked for.
    let by_alias = Principal::new("c").with_models(["ali*"]);
    assert_eq!(ask("m", Some(&by_alias)), Ok(()));
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

/// Without models a request is judged, and changed, as by models that know nothing.
#[test]
fn no_models_are_models_that_know_nothing() {
    let caller = Principal::new("c").with_models(["m"]);
    let policies = [
        Policy::default(),
        super::policy(|policy| policy.default_output_tokens = Some(9)),
        super::policy(|policy| policy.max_output_tokens = Some(4)),
    ];
    let members = [
        "",
        r#""temperature":0.5,"top_p":null"#,
        r#""temperature":3,"n":0"#,
        r#""max_tokens":5"#,
        r#""max_completion_tokens":3,"seed":1,"stop":["a"]"#,
        r#""x":1,"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none""#,
    ];
    let whole = members.map(with);
    let texts = whole.iter().flat_map(|text| {
        let other = text.replace(r#""model":"m""#, r#""model":"o""#);
        let none = text.replace(r#""model":"m","#, "");
        let cuts = (1..text.len()).map(|at| [&text[..at - 1], &text[at..]].concat());
        cuts.chain([text.clone(), other, none])
    });
    for text in texts {
        let Ok(chat) = Chat::parse(text.clone().into()) else {
            continue;
        };
        for dialect in [Dialect::openai(), Dialect::onysoft()] {
            for policy in &policies {
                for caller in [None, Some(&caller)] {
                    let ask = |models: Option<&dyn KnownModels>| {
                        let mut chat = chat.clone();
                        let taken = judge(&mut chat, &dialect, policy, models, caller);
                        let taken = taken.map_err(|refusal| refusal.error.to_string());
                        format!("{:?} {taken:?}", chat.bytes())
                    };
                    assert_eq!(ask(None), ask(Some(&AnyModel)), "{text}");
                }
            }
        }
    }
}

#[test]
fn a_pattern_knows_what_fits_it() {
    let named = |model: &str, more: &str| with(more).replace(r#""m""#, &format!("{model:?}"));
    let onysoft = Dialect::onysoft();
    let models = Catalog::new()
        .model(
            "a/*",
            [],
            Capabilities::new().parameter(Name::Seed, Support::Refuse),
        )
        .model("a/b/*", [], Capabilities::new().max_output_tokens(5))
        .model("a/own", ["own"], Capabilities::new());
    let seed = r#""seed":5"#;
    for (model, more, refused) in [
        ("a/x", "", None),
        ("a/x", seed, Some("unsupported_parameter")),
        ("a/own", seed, None),
        ("own", seed, None),
        ("a/b/x", seed, None),
        ("a/b/x", r#""max_tokens":6"#, Some("invalid_value")),
        ("b/x", "", Some("model_not_found")),
    ] {
        let told = at(&models, &named(model, more), &Dialect::openai());
        let code = told.as_ref().err().and_then(Error::code);
        assert_eq!(code, refused, "{model} {more}");
    }
    // What a name tells, it tells behind a pattern too.
    let (sent, _) = at(&models, &named("a/o3", ""), &onysoft).expect("taken");
    assert_eq!(sent, named("a/o3", ""));
    let (sent, _) = at(&models, &named("a/x", ""), &onysoft).expect("taken");
    assert_eq!(sent, named("a/x", r#""temperature":0.7,"top_p":1"#));
}
