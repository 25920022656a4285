//! Each row of the mapping tables, from OpenAI's request to the provider's: a request and all that
//! the provider is sent of it, or the refusal.
//!
//! The fixtures are patches (RFC 7396) of a base: `ask` of the request, `sent` of the body that goes
//! up, which must then be the same to the last member. What is announced beside it is named in
//! `dropped` and `mapped`, and nothing else may be; `refused` is the parameter that a refusal names.

#[path = "support/patch.rs"]
mod patch;

use std::{borrow::Cow, collections::BTreeSet, fmt::Debug};

use http::{Method, Request};
use http_body_util::BodyExt;
use patch::patch;
use serde_json::{Value, json};
use tower_completions::{
    Error, Target,
    body::Full,
    parse::Chat,
    provider::{
        Contract, Notes, Translate, Unsupported,
        anthropic::Anthropic,
        azure::{Api, Auth, Azure},
        bedrock::Bedrock,
        cohere::Cohere,
        gemini::Gemini,
        ollama::Ollama,
        openai::{OpenAi, Vendor},
        vertex::Vertex,
    },
};

fn names(list: &Value) -> Vec<String> {
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    let name = |name: &Value| name.as_str().expect("a name").to_owned();
    list.iter().map(name).collect()
}

/// What is sent, and what is announced beside it.
fn sent<T: Translate>(
    translate: &T,
    model: &str,
    ask: &Value,
    contract: &str,
) -> Result<(Request<Full>, Notes), Error> {
    let rule = match contract {
        "drop" => Unsupported::Drop,
        "refuse" => Unsupported::Refuse,
        _ => Unsupported::ByMeaning,
    };
    let mut notes = Notes::new(Contract::new(rule));
    let chat = Chat::parse(ask.to_string().into()).expect("a request");
    let target = Target::new("p", model);
    let mut request = translate.request(&chat, &target, &mut notes)?;
    translate.authorize(&mut request, "the-key")?;
    Ok((request, notes))
}

/// What is wrong with a case; nothing, when all is as it is written down.
fn check<T: Translate>(translate: &T, base: &Value, case: &Value) -> Result<(), String> {
    let known = [
        "ask", "sent", "path", "model", "dropped", "mapped", "refused", "code", "headers",
        "contract",
    ];
    let members = case.as_object().expect("a case");
    assert!(
        members.keys().all(|name| known.contains(&&**name)),
        "{case}"
    );
    let model = case["model"].as_str().or(base["model"].as_str());
    let contract = case["contract"].as_str().unwrap_or_default();
    let mut ask = base["ask"].clone();
    if let Some(by) = case.get("ask") {
        patch(&mut ask, by);
    }
    let done = sent(translate, model.expect("a model"), &ask, contract);
    if let Some(param) = case["refused"].as_str() {
        let Err(error) = done else {
            return Err("it is not refused".to_owned());
        };
        let code = case["code"].as_str().unwrap_or("unsupported_parameter");
        return same(
            "refusal",
            &(error.param(), error.code()),
            &(Some(param), Some(code)),
        );
    }
    let (request, notes) = done.map_err(|error| error.to_string())?;
    let mut wanted = base["sent"].clone();
    if let Some(by) = case.get("sent") {
        patch(&mut wanted, by);
    }
    let path = case["path"].as_str().or(base["path"].as_str());
    let uri = format!("http://host{}", path.expect("a path"));
    same("URL", &request.uri().to_string(), &uri)?;
    same("method", request.method(), &Method::POST)?;
    let of = |it: &Value| it["headers"].as_object().cloned().unwrap_or_default();
    for (name, value) in of(base).iter().chain(&of(case)) {
        let header = request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok());
        same(name, &header, &value.as_str())?;
    }
    let body = tokio_test::block_on(request.into_body().collect());
    let body: Value = serde_json::from_slice(&body.expect("whole").to_bytes()).expect("JSON");
    if body != wanted {
        return Err(format!("body\n  {body}, not\n  {wanted}"));
    }
    let of = |list: &[Cow<'static, str>]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    same("dropped", &of(notes.dropped()), &names(&case["dropped"]))?;
    same("mapped", &of(notes.mapped()), &names(&case["mapped"]))
}

fn same<T: PartialEq + Debug>(what: &str, got: &T, wanted: &T) -> Result<(), String> {
    if got == wanted {
        return Ok(());
    }
    Err(format!("{what} {got:?}, not {wanted:?}"))
}

/// All cases of a provider, one or more for each row that `rows.txt` lists for it and none for others.
fn rows<T: Translate>(translate: &T, of: &str, text: &str) {
    let all: Value = serde_json::from_str(text).unwrap_or_else(|why| panic!("{of}: {why}"));
    let rows = all["rows"].as_object().expect("rows");
    let there: BTreeSet<&str> = rows.keys().map(String::as_str).collect();
    let listed = include_str!("fixtures/requests/rows.txt").lines();
    let listed = listed.skip_while(|line| *line != of).skip(1);
    let listed = listed.map_while(|line| line.strip_prefix("  "));
    let wanted: BTreeSet<&str> = listed.collect();
    let missing: Vec<_> = wanted.difference(&there).collect();
    let unlisted: Vec<_> = there.difference(&wanted).collect();
    assert!(
        missing.is_empty() && unlisted.is_empty(),
        "{of}: {missing:?} {unlisted:?}"
    );
    let mut wrong = Vec::new();
    for (row, cases) in rows {
        let cases = cases.as_array().expect("cases");
        assert!(!cases.is_empty(), "{of}, {row}");
        for case in cases {
            if let Err(why) = check(translate, &all["base"], case) {
                wrong.push(format!("{of}, {row}: {case}\n  {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("fixtures/requests/", $name, ".json"))
    };
}

#[test]
fn anthropic() {
    let translate = Anthropic::new("http://host").expect("a URL");
    rows(&translate, "anthropic", fixture!("anthropic"));
}

#[test]
fn gemini() {
    let translate = Gemini::new("http://host").expect("a URL");
    rows(&translate, "gemini", fixture!("gemini"));
}

#[test]
fn vertex() {
    let translate = Vertex::at("http://host", "proj", "loc").expect("a URL");
    rows(&translate, "vertex", fixture!("vertex"));
}

#[test]
fn bedrock() {
    let translate = Bedrock::new("http://host").expect("a URL");
    rows(&translate, "bedrock", fixture!("bedrock"));
}

#[test]
fn cohere() {
    let translate = Cohere::new("http://host").expect("a URL");
    rows(&translate, "cohere", fixture!("cohere"));
}

#[test]
fn ollama() {
    let translate = Ollama::new("http://host").expect("a URL");
    rows(&translate, "ollama", fixture!("ollama"));
}

#[test]
fn azure() {
    let translate = Azure::new("http://host", Api::V1, None).expect("a URL");
    rows(&translate, "azure", fixture!("azure"));
}

#[test]
fn azure_by_deployment() {
    let translate = Azure::new("http://host", Api::Deployments, None);
    let translate = translate.expect("a URL").with_auth(Auth::Bearer);
    rows(
        &translate,
        "azure-deployments",
        fixture!("azure-deployments"),
    );
}

/// Each member that asks for something, alone.
fn members() -> Vec<Value> {
    let user = |part: Value| json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, part]}]});
    let tool = |more: Value| {
        let mut function = json!({"name": "f"});
        patch(&mut function, &more);
        json!({"tools": [{"type": "function", "function": function}]})
    };
    let schema = |more: Value| {
        let mut schema = json!({"name": "s", "schema": {"type": "object"}});
        patch(&mut schema, &more);
        json!({"response_format": {"type": "json_schema", "json_schema": schema}})
    };
    let mut all = vec![
        json!({"temperature": 0.5}),
        json!({"temperature": 1.5}),
        json!({"top_p": 0.5}),
        json!({"max_tokens": 77}),
        json!({"max_completion_tokens": 77}),
        json!({"n": 2}),
        json!({"stop": "END"}),
        json!({"frequency_penalty": 0.5}),
        json!({"presence_penalty": 0.5}),
        json!({"logit_bias": {"1": 1}}),
        json!({"logprobs": true}),
        json!({"logprobs": true, "top_logprobs": 2}),
        json!({"seed": 7}),
        json!({"stream": true}),
        json!({"reasoning_effort": "low"}),
        json!({"verbosity": "low"}),
        json!({"modalities": ["text", "audio"]}),
        json!({"audio": {"voice": "v", "format": "wav"}}),
        json!({"prediction": {"type": "content", "content": "x"}}),
        json!({"web_search_options": {}}),
        json!({"service_tier": "flex"}),
        json!({"service_tier": "priority"}),
        json!({"store": true}),
        json!({"metadata": {"a": "b"}}),
        json!({"user": "u"}),
        json!({"safety_identifier": "u"}),
        json!({"prompt_cache_key": "k"}),
        json!({"prompt_cache_retention": "24h"}),
        json!({"prompt_cache_options": {"mode": "explicit"}}),
        json!({"moderation": {"model": "m"}}),
        json!({"functions": [{"name": "f"}]}),
        json!({"response_format": {"type": "json_object"}}),
        json!({"cache_control": {"type": "ephemeral"}}),
        json!({"top_k": 5}),
        json!({"something_new": 1}),
        schema(json!({})),
        tool(json!({})),
        user(json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}})),
        user(json!({"type": "image_url", "image_url": {"url": "https://h/a.png"}})),
        user(json!({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}})),
        user(json!({"type": "file", "file": {"file_data": "data:application/pdf;base64,AA"}})),
        user(json!({"type": "file", "file": {"file_id": "f"}})),
        user(json!({"type": "mystery", "mystery": 1})),
        json!({"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "Hi"}]}),
        json!({"messages": [{"role": "developer", "content": "x"}, {"role": "user", "content": "Hi"}]}),
        json!({"messages": [{"role": "user", "name": "n", "content": "Hi"}]}),
        json!({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "refusal": "no"}]}),
        json!({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "a", "refusal": "no"}]}),
        json!({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}]}),
    ];
    let mut one = tool(json!({}));
    one["parallel_tool_calls"] = false.into();
    all.push(one);
    all
}

/// Pairs of requests of which the second asks for one thing more.
fn more() -> Vec<(Value, Value)> {
    let hi = |member: &str, value: Value| {
        let mut message = json!({"role": "assistant", "content": "a"});
        message[member] = value;
        json!({"messages": [{"role": "user", "content": "Hi"}, message]})
    };
    // What was thought, as it is told; without a text of it where there are entries.
    let kept = |entries: Value| {
        let mut ask = hi("reasoning_details", entries);
        let thought = &mut ask["messages"][1];
        if thought["reasoning_details"] == json!([]) {
            thought["reasoning_content"] = "because".into();
        }
        ask
    };
    let image = |detail: Value| {
        let mut image = json!({"url": "data:image/png;base64,AA"});
        patch(&mut image, &detail);
        let part = json!({"type": "image_url", "image_url": image});
        json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, part]}]})
    };
    let marked = |more: Value| {
        let mut part = json!({"type": "text", "text": "x"});
        patch(&mut part, &more);
        json!({"messages": [{"role": "user", "content": [part]}]})
    };
    let tool = |more: Value| {
        let mut function = json!({"name": "f"});
        patch(&mut function, &more);
        json!({"tools": [{"type": "function", "function": function}]})
    };
    let free = |format: Value| {
        let mut custom = json!({"name": "f"});
        patch(&mut custom, &format);
        json!({"tools": [{"type": "custom", "custom": custom}]})
    };
    let result = |content: Value| {
        let call =
            json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
        json!({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": content}]})
    };
    let chosen = |choice: Value| {
        let mut one = tool(json!({}));
        one["tool_choice"] = choice;
        one
    };
    let schema = |more: Value| {
        let mut schema = json!({"name": "s", "schema": {"type": "object"}});
        patch(&mut schema, &more);
        json!({"response_format": {"type": "json_schema", "json_schema": schema}})
    };
    let spoken = |voice: Value| json!({"modalities": ["text", "audio"], "audio": {"format": "pcm16", "voice": voice}});
    let text = json!({"type": "text", "text": "x"});
    let shown = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}});
    vec![
        (image(json!({})), image(json!({"detail": "high"}))),
        (
            marked(json!({})),
            marked(json!({"prompt_cache_breakpoint": {"mode": "explicit"}})),
        ),
        (
            marked(json!({})),
            marked(json!({"cache_control": {"type": "ephemeral"}})),
        ),
        (schema(json!({})), schema(json!({"description": "d"}))),
        (spoken(Value::Null), spoken(json!({"id": "v"}))),
        (tool(json!({})), chosen(json!("required"))),
        (tool(json!({})), chosen(json!("none"))),
        (
            tool(json!({})),
            chosen(json!({"type": "function", "function": {"name": "f"}})),
        ),
        (tool(json!({})), tool(json!({"description": "d"}))),
        (
            tool(json!({})),
            tool(json!({"parameters": {"type": "object", "properties": {"a": {}}}})),
        ),
        (tool(json!({})), tool(json!({"strict": true}))),
        (
            free(json!({})),
            free(
                json!({"format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}}}),
            ),
        ),
        (result(json!([text])), result(json!([text, shown]))),
        (
            hi("content", json!("a")),
            hi("reasoning_content", json!("because")),
        ),
        (hi("content", json!("a")), kept(json!([]))),
        (
            hi("content", json!("a")),
            kept(json!([{"type": "thinking", "thinking": "t", "signature": "s"}])),
        ),
        (
            hi("content", json!("a")),
            kept(json!([{"type": "thought_signature", "signature": "s"}])),
        ),
        (
            hi("content", json!("a")),
            kept(json!([{"type": "server_part", "part": {"executableCode": {"code": "1"}}}])),
        ),
        (
            hi("content", json!("a")),
            kept(json!([{"type": "reasoning.text", "text": "because"}])),
        ),
        (hi("content", json!("a")), kept(json!([1]))),
        (hi("content", json!("a")), hi("audio", json!({"id": "x"}))),
        (
            hi("content", json!("a")),
            hi(
                "images",
                json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]),
            ),
        ),
        (hi("content", json!("a")), hi("mine", json!(0))),
        (
            hi("content", json!("a")),
            hi("cache_control", json!({"type": "ephemeral"})),
        ),
        (marked(json!({})), marked(json!({"mine": true}))),
        (tool(json!({})), tool(json!({"mine": [1]}))),
        (
            json!({"web_search_options": {}}),
            json!({"web_search_options": {"search_context_size": "high"}}),
        ),
        (
            json!({"web_search_options": {}}),
            json!({"web_search_options": {"user_location":
            {"type": "approximate", "approximate": {"country": "TR"}}}}),
        ),
    ]
}

/// What a request comes to: the URL, the body and the announcements, or the refusal.
enum Comes {
    To(String, Notes),
    Refused(Error),
}

impl Comes {
    fn text(&self) -> String {
        match self {
            Self::To(text, notes) => format!("{text} {notes:?}"),
            Self::Refused(error) => format!("refused: {error}"),
        }
    }
}

fn comes_to<T: Translate>(translate: &T, model: &str, ask: &Value, contract: &str) -> Comes {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    patch(&mut body, ask);
    match sent(translate, model, &body, contract) {
        Err(error) => Comes::Refused(error),
        Ok((request, notes)) => {
            let head = format!("{} {:?}", request.uri(), request.headers());
            let body = tokio_test::block_on(request.into_body().collect());
            let body = body.expect("whole").to_bytes();
            Comes::To(format!("{head} {}", String::from_utf8_lossy(&body)), notes)
        }
    }
}

/// Whatever is asked for shows: in what goes up, in an announcement, or in a refusal.
#[test]
fn nothing_is_lost_without_a_word() {
    let mut lost = Vec::new();
    let mut look = |who: &str, comes: &dyn Fn(&Value, &str) -> Comes| {
        let plain = comes(&json!({}), "").text();
        for member in members() {
            if comes(&member, "").text() == plain {
                lost.push(format!("{who}: {member}"));
            }
        }
        for (less, more) in more() {
            let less_comes_to = comes(&less, "");
            let refused = matches!(less_comes_to, Comes::Refused(_));
            if !refused && comes(&more, "").text() == less_comes_to.text() {
                lost.push(format!("{who}: {more} beside {less}"));
            }
        }
        // The contract has the last word on each.
        let pairs = more().into_iter().map(|(_, more)| more);
        for member in members().into_iter().chain(pairs) {
            let (dropped, refused) = (comes(&member, "drop"), comes(&member, "refuse"));
            let fault = match comes(&member, "") {
                Comes::Refused(_) => match dropped {
                    Comes::To(_, notes) => notes.dropped().is_empty(),
                    Comes::Refused(_) => true,
                },
                Comes::To(_, notes) if !notes.dropped().is_empty() => {
                    !matches!(refused, Comes::Refused(_))
                }
                Comes::To(..) => false,
            };
            if fault {
                lost.push(format!("{who}, by contract: {member}"));
            }
        }
    };
    let url = "http://host";
    let anthropic = Anthropic::new(url).expect("a URL");
    for model in [
        "claude-3-haiku-20240307",
        "claude-sonnet-4-5",
        "claude-opus-4-8",
        "claude-opus-5-5",
    ] {
        look(model, &|ask, by| comes_to(&anthropic, model, ask, by));
    }
    let gemini = Gemini::new(url).expect("a URL");
    let vertex = Vertex::at(url, "p", "l").expect("a URL");
    for model in ["gemini-2.0-flash", "gemini-2.5-pro", "gemini-3-pro"] {
        look(model, &|ask, by| comes_to(&gemini, model, ask, by));
        look("vertex", &|ask, by| comes_to(&vertex, model, ask, by));
    }
    look("claude on vertex", &|ask, by| {
        comes_to(&vertex, "claude-opus-4-8", ask, by)
    });
    let bedrock = Bedrock::new(url).expect("a URL");
    for model in [
        "anthropic.claude-sonnet-4-5",
        "anthropic.claude-opus-4-8",
        "amazon.nova-pro",
        "openai.gpt-oss-20b",
        "meta.llama4",
    ] {
        look(model, &|ask, by| comes_to(&bedrock, model, ask, by));
    }
    let cohere = Cohere::new(url).expect("a URL");
    look("cohere", &|ask, by| comes_to(&cohere, "command-a", ask, by));
    let ollama = Ollama::new(url).expect("a URL");
    for model in ["llama3.2", "gpt-oss:20b"] {
        look(model, &|ask, by| comes_to(&ollama, model, ask, by));
    }
    let azure = Azure::new(url, Api::V1, None).expect("a URL");
    look("azure", &|ask, by| comes_to(&azure, "m", ask, by));
    for vendor in Vendor::all() {
        let vendor_of = OpenAi::new(url).expect("a URL").with_vendor(vendor);
        look(vendor.name(), &|ask, by| comes_to(&vendor_of, "m", ask, by));
    }
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}
