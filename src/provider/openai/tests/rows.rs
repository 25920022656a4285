use super::*;

#[test]
fn hosts_tell_vendors() {
    for vendor in Vendor::all() {
        assert_eq!(Vendor::named(vendor.name()), Some(vendor));
        let Some(base) = vendor.base_url() else {
            continue;
        };
        let translate = OpenAi::new(base).expect("a URL");
        if !base.contains("localhost") {
            assert_eq!(translate.vendor, vendor, "{base}");
        }
    }
    assert_eq!(Vendor::of_host("API.X.AI").name(), "xai");
    assert_eq!(Vendor::of_host("evilapi.x.ai").name(), "plain");
    assert_eq!(Vendor::of_host("eu.api.mistral.ai").name(), "mistral");
}

/// A row says one thing of each member.
#[test]
fn the_table_is_sound() {
    for vendor in Vendor::all() {
        let names: Vec<&str> = vendor.row().params.iter().map(|(name, _)| *name).collect();
        let mut once = names.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), names.len(), "{}", vendor.name());
    }
}

/// What is asked of a model and what it is told; `-` is nothing, `!` a refusal.
const EFFORTS: &str = "\
xai grok-3-mini minimal:low high:high none:!
xai grok-4.3 none:none xhigh:high
xai grok-4.5 medium:medium none:!
xai grok-4 low:!
xai grok-4.20-reasoning low:!
xai grok-4-1-fast-reasoning low:!
openai gpt-4o-mini low:! none:-
openai gpt-4.1-2025-04-14 high:! none:-
openai chatgpt-4o-latest high:!
openai ft:gpt-4o-mini-2024-07-18:org::id low:! none:-
openai o1-mini low:! none:!
openai o3 minimal:low low:low high:high xhigh:high none:!
openai o4-mini-2025-04-16 medium:medium max:high
openai gpt-5 minimal:minimal high:high xhigh:high none:!
openai gpt-5-2025-08-07 minimal:minimal none:!
openai gpt-5-mini minimal:minimal max:high
openai gpt-5-pro low:high high:high none:!
openai gpt-5-chat-latest low:medium medium:medium none:!
openai gpt-5-codex minimal:low high:high
openai gpt-5.1 none:none minimal:low high:high xhigh:high
openai gpt-5.1-chat-latest high:medium
openai gpt-5.1-codex-max xhigh:xhigh none:!
openai gpt-5.2 none:none xhigh:xhigh max:xhigh
openai gpt-5.2-pro-2025-12-11 low:medium xhigh:xhigh none:!
openai gpt-5.4-nano none:none minimal:low xhigh:xhigh
openai gpt-6-astra low:low max:xhigh none:!
openai gpt-6.1-sol minimal:low max:xhigh none:!
openai gpt-6-sol none:none max:xhigh
openai gpt-7 max:max
openai my-own max:max none:none
groq openai/gpt-oss-120b minimal:low medium:medium max:high none:!
groq qwen/qwen3-32b none:none low:default high:default default:default
groq llama-3.3-70b-versatile low:! none:-
groq some-new-model xhigh:xhigh
";

#[test]
fn efforts_by_model() {
    for line in EFFORTS.lines() {
        let mut words = line.split(' ');
        let mut word = || words.next().expect("a vendor and a model");
        let (vendor, model) = (word(), word());
        for row in words {
            let (asked, wanted) = row.split_once(':').expect("a row");
            let (sent, notes) = sent(vendor, model, &with("reasoning_effort", asked.into()));
            if wanted == "!" {
                let error = sent.expect_err(model);
                assert_eq!(error.param(), Some("reasoning_effort"), "{model} {asked}");
                continue;
            }
            let sent = &sent.expect(model)["reasoning_effort"];
            assert_eq!(sent.as_str().unwrap_or("-"), wanted, "{model} {asked}");
            let told = !notes.mapped().is_empty();
            assert_eq!(told, wanted != "-" && wanted != asked, "{model} {asked}");
        }
    }
}

/// Sets members, or takes those away that are null.
fn patch(body: &mut Value, by: &Value) {
    let body = body.as_object_mut().expect("an object");
    for (name, value) in by.as_object().expect("an object") {
        if value.is_null() {
            body.remove(name);
        } else {
            body.insert(name.clone(), value.clone());
        }
    }
}

/// What `rows.txt` says of each parameter of each vendor's table, and nothing of others.
#[test]
fn each_row_of_the_table_is_as_written_down() {
    let mut seen: Vec<(&str, String)> = Vec::new();
    let lines = include_str!("../rows.txt").lines();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (who, rest) = line.split_once(' ').expect("a vendor");
        let (vendor, model) = who.split_once(':').unwrap_or((who, "x"));
        let (ask, wanted) = rest.split_once(" -> ").expect("what comes of it");
        let ask: Value = serde_json::from_str(ask).expect("JSON");
        let members = ask.as_object().expect("an object").keys();
        seen.extend(members.map(|name| (vendor, name.clone())));
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
        patch(&mut body, &ask);
        let (done, notes) = sent(vendor, model, &body);
        if let Some(param) = wanted.strip_prefix("! ") {
            let error = done.expect_err(line);
            assert_eq!(error.param(), Some(param), "{line}");
            assert_eq!(error.code(), Some("unsupported_parameter"), "{line}");
            continue;
        }
        let mut words = wanted.split(' ');
        let by = words.next().expect("a patch");
        body["model"] = model.into();
        patch(&mut body, &serde_json::from_str(by).expect("JSON"));
        assert_eq!(done.expect(line), body, "{line}");
        let (mut dropped, mut mapped) = (Vec::new(), Vec::new());
        for word in words {
            let (what, names) = word.split_once('=').expect("what is told");
            let into = if what == "dropped" {
                &mut dropped
            } else {
                &mut mapped
            };
            into.extend(names.split(',').map(str::to_owned));
        }
        let mut told: Vec<String> = notes.dropped().iter().map(ToString::to_string).collect();
        told.sort_unstable();
        dropped.sort_unstable();
        assert_eq!(told, dropped, "{line}");
        assert_eq!(notes.mapped(), mapped, "{line}");
    }
    for vendor in Vendor::all() {
        let has = |name: &str| {
            seen.iter()
                .any(|(of, member)| *of == vendor.name() && member == name)
        };
        let params = vendor.row().params.iter().map(|(name, _)| *name);
        let missing: Vec<&str> = params.filter(|name| !has(name)).collect();
        assert!(missing.is_empty(), "{}: {missing:?}", vendor.name());
        assert!(
            seen.iter().any(|(of, _)| *of == vendor.name()),
            "{}",
            vendor.name()
        );
    }
}
