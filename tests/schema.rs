//! Beside a JSON Schema validator on OpenAI's description: what that accepts is accepted, and what it
//! refuses is refused, but for the deviations that are listed here, each with its reason.
//!
//! `SCHEMA_CASES=N` runs N requests instead of 3000.

use boon::{Compiler, SchemaIndex, Schemas};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tower_completions::parse::Chat;

/// Where this crate refuses what the schema accepts: part of the message, an example, and why.
fn stricter() -> Vec<(&'static str, Value, &'static str)> {
    let ask = |fields: Value| {
        let mut request = json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }] });
        for (name, value) in fields.as_object().expect("an object") {
            request[name] = value.clone();
        }
        request
    };
    let say = |message: Value| ask(json!({ "messages": [message] }));
    let tool = |name: &str| json!({ "type": "function", "function": { "name": name } });
    vec![
        (
            "is only allowed when `stream` is true",
            ask(json!({ "stream_options": {} })),
            "the description says so in prose, and the live API refuses it",
        ),
        (
            "is only allowed when `logprobs` is true",
            ask(json!({ "top_logprobs": 1 })),
            "the description says so in prose",
        ),
        (
            "is only allowed when `tools` are given",
            ask(json!({ "tool_choice": "auto" })),
            "the live API refuses it; `none`, which it refuses too, is taken and left out on the way up",
        ),
        (
            "must be the name of a tool in `tools`",
            ask(json!({ "tools": [tool("f")], "tool_choice": tool("g") })),
            "the live API refuses it: no function of that name was specified",
        ),
        (
            "must be the name of a function in `functions`",
            ask(json!({ "functions": [{ "name": "f" }], "function_call": { "name": "g" } })),
            "the live API refuses it as well",
        ),
        (
            "must not be given together with `max_completion_tokens`",
            ask(json!({ "max_tokens": 1, "max_completion_tokens": 1 })),
            "the live API refuses it (code `invalid_parameter_combination`): which of the two is meant nobody can tell",
        ),
        (
            "asks for audio, which needs `audio` to be given",
            ask(json!({ "modalities": ["audio"] })),
            "the description says so in prose",
        ),
        (
            "must be the id of a call",
            say(json!({ "role": "tool", "content": "x", "tool_call_id": "a" })),
            "the live API refuses it; whether every call is answered is left to it",
        ),
        (
            "must be any number of `text` parts or exactly one `refusal`",
            say(json!({ "role": "assistant", "content": [
                { "type": "refusal", "refusal": "x" }, { "type": "text", "text": "x" }] })),
            "the description says so in prose",
        ),
        (
            "].content` is required",
            say(json!({ "role": "assistant" })),
            "the description says so in prose: required unless the message calls something",
        ),
        (
            "an integer of at least 1, got",
            ask(json!({ "max_tokens": 0 })),
            "an answer of no tokens is none; every provider refuses it",
        ),
        (
            "a name of 1 to 64 letters",
            ask(json!({ "tools": [tool("no blanks")] })),
            "the description says so in prose, of functions and of formats",
        ),
        (
            "a token id in decimal digits",
            ask(json!({ "logit_bias": { "x": 1 } })),
            "the description says in prose that keys are token ids",
        ),
        (
            "an integer between -100 and 100",
            ask(json!({ "logit_bias": { "1": 101 } })),
            "the description says so in prose",
        ),
        (
            "an object of at most 4096 members",
            ask(
                json!({ "logit_bias": Value::Object((0..5000).map(|id| (id.to_string(), json!(1))).collect::<Map<_, _>>()) }),
            ),
            "keys that stand twice must be found in bounded memory",
        ),
        (
            "an object of at most 16 members",
            ask(
                json!({ "metadata": Value::Object((0..17).map(|id| (id.to_string(), json!(""))).collect::<Map<_, _>>()) }),
            ),
            "the description says so in prose",
        ),
        (
            "must have a key of at most 64 characters",
            ask(json!({ "metadata": { "k".repeat(65): "v" } })),
            "the description says so in prose",
        ),
        (
            "a string of at most 512 characters",
            ask(json!({ "metadata": { "k": "v".repeat(513) } })),
            "the description says so in prose",
        ),
    ]
}

/// A member of a message that only other roles have is judged as theirs, because whoever translates a
/// message reads it as one type: a `name` is a string whoever says it has one.
fn of_another_role(fault: &str, request: &Value) -> bool {
    let find = || {
        let rest = fault.strip_prefix("`messages[")?;
        let (index, rest) = rest.split_once("].")?;
        let member = rest.split(['`', '.', '[']).next()?;
        let role = request["messages"][index.parse::<usize>().ok()?]["role"].as_str()?;
        let own: &[&str] = match role {
            "assistant" => &[
                "role",
                "content",
                "name",
                "refusal",
                "audio",
                "tool_calls",
                "function_call",
            ],
            "tool" => &["role", "content", "tool_call_id"],
            _ => &["role", "content", "name"],
        };
        Some(!own.contains(&member))
    };
    find().unwrap_or(false)
}

/// Where this crate accepts what the schema refuses: which, an example, and why.
type Lenient = (fn(&Value) -> bool, Value, &'static str);

fn more_lenient() -> Vec<Lenient> {
    fn shown_to_a_tool(request: &Value) -> bool {
        let Some(messages) = request["messages"].as_array() else {
            return false;
        };
        messages.iter().any(|message| {
            message["role"] == "tool"
                && message["content"]
                    .as_array()
                    .is_some_and(|parts| parts.iter().any(|part| part["type"] == "image_url"))
        })
    }
    vec![(
        shown_to_a_tool,
        json!({ "model": "m", "messages": [
            { "role": "assistant", "tool_calls": [{ "id": "a", "type": "function", "function": { "name": "f", "arguments": "" } }] },
            { "role": "tool", "tool_call_id": "a", "content": [{ "type": "image_url", "image_url": { "url": "https://x" } }] },
        ] }),
        "an error of the live API names `image_url` as acceptable in a tool's answer",
    )]
}

const TEXT: &str = include_str!("fixtures/chat_request.schema.json");

struct Oracle {
    schemas: Schemas,
    root: SchemaIndex,
    stricter: Vec<&'static str>,
}

impl Oracle {
    fn new() -> Self {
        let mut schemas = Schemas::new();
        let mut compiler = Compiler::new();
        let text = serde_json::from_str(TEXT).expect("JSON");
        compiler
            .add_resource("mem:///chat", text)
            .expect("a schema");
        let root = compiler
            .compile("mem:///chat", &mut schemas)
            .expect("a schema");
        let stricter = stricter().into_iter().map(|(part, ..)| part).collect();
        Self {
            schemas,
            root,
            stricter,
        }
    }

    fn accepts(&self, request: &Value) -> bool {
        self.schemas.validate(request, self.root).is_ok()
    }
}

/// What is wrong with a request in this crate's words.
fn faults(request: &Value) -> Vec<String> {
    let text = Bytes::from(request.to_string());
    let chat = Chat::parse(text.clone()).expect("an object");
    let faults = chat.request().faults().iter();
    faults.map(|fault| fault.message(&text)).collect()
}

/// Whether both say the same of a request, deviations aside.
fn compare(oracle: &Oracle, request: &Value) -> Result<bool, String> {
    let accepted = oracle.accepts(request);
    let faults = faults(request);
    if accepted {
        for fault in &faults {
            let listed = oracle.stricter.iter().any(|part| fault.contains(part));
            if !listed && !of_another_role(fault, request) {
                return Err(format!("refused for {fault}: {request}"));
            }
        }
    } else if faults.is_empty() && !more_lenient().iter().any(|(is, ..)| is(request)) {
        let error = oracle
            .schemas
            .validate(request, oracle.root)
            .expect_err("refused");
        return Err(format!("accepted: {request}\n{error}"));
    }
    Ok(accepted)
}

#[test]
fn each_deviation_is_one_and_has_its_reason() {
    let oracle = Oracle::new();
    for (part, example, why) in stricter() {
        assert!(oracle.accepts(&example), "{example}");
        let faults = faults(&example);
        assert!(
            faults.iter().all(|fault| fault.contains(part)) && !faults.is_empty(),
            "{faults:?}"
        );
        assert!(!why.is_empty());
    }
    let example =
        json!({ "model": "m", "messages": [{ "role": "user", "content": "x", "tool_calls": 5 }] });
    assert!(oracle.accepts(&example));
    assert!(
        faults(&example)
            .iter()
            .all(|fault| of_another_role(fault, &example))
    );
    assert_eq!(faults(&example).len(), 1);
    for (is, example, why) in more_lenient() {
        assert!(!oracle.accepts(&example) && is(&example), "{example}");
        assert!(faults(&example).is_empty(), "{:?}", faults(&example));
        assert!(!why.is_empty());
    }
}

/// Makes requests out of the schema, nearly all of them good.
struct Maker<'a> {
    root: &'a Value,
    state: u64,
}

impl Maker<'_> {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn pick<'b, T>(&mut self, all: &'b [T]) -> &'b T {
        &all[self.below(all.len())]
    }

    fn make(&mut self, schema: &Value) -> Value {
        if let Some(name) = schema["$ref"].as_str() {
            let place = name.trim_start_matches('#');
            let target = self.root.pointer(place).expect("defined").clone();
            return self.make(&target);
        }
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        for any in ["enum", "anyOf"] {
            if let Some(all) = schema[any].as_array() {
                let one = self.pick(all).clone();
                return if any == "enum" { one } else { self.make(&one) };
            }
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => self.pick(kinds).clone(),
            kind => kind.clone(),
        };
        match kind.as_str().expect("a type") {
            "object" => self.object(schema),
            "array" => {
                let least = schema["minItems"].as_u64().unwrap_or(0) as usize;
                let most = schema["maxItems"].as_u64().unwrap_or(4).min(4) as usize;
                let count = least + self.below(most - least + 1);
                (0..count).map(|_| self.make(&schema["items"])).collect()
            }
            "string" => self.string(schema).into(),
            "boolean" => self.one_in(2).into(),
            "null" => Value::Null,
            "integer" => {
                let least = schema["minimum"].as_i64().unwrap_or(-3);
                let most = schema["maximum"].as_i64().unwrap_or(300);
                match self.below(5) {
                    0 => least.into(),
                    1 => most.into(),
                    2 => json!(1.0),
                    _ => 1.clamp(least, most).into(),
                }
            }
            "number" => {
                let least = schema["minimum"].as_f64().expect("a range");
                let most = schema["maximum"].as_f64().expect("a range");
                let at = self.below(5) as f64 / 4.0;
                (least + at * (most - least)).into()
            }
            other => panic!("{other}"),
        }
    }

    fn string(&mut self, schema: &Value) -> String {
        if let Some(most) = schema["maxLength"].as_u64() {
            let count = self.below(most as usize + 1);
            return if self.one_in(2) { "é" } else { "x" }.repeat(if self.one_in(3) {
                most as usize
            } else {
                count
            });
        }
        let texts = [
            "",
            "f",
            "call_1",
            "gpt-4o",
            "https://x/y.png",
            "data:image/png;base64,AA",
            "a \"b\"\n\u{1f600}",
            "{",
            "user",
        ];
        (*self.pick(&texts)).to_owned()
    }

    fn object(&mut self, schema: &Value) -> Value {
        let mut made = Map::new();
        let required: Vec<_> = schema["required"]
            .as_array()
            .map_or(&[][..], |all| all)
            .iter()
            .filter_map(Value::as_str)
            .collect();
        if let Some(properties) = schema["properties"].as_object() {
            // Of forty members at the top a few at a time, so that many requests are good.
            let rare = if properties.len() > 20 { 8 } else { 2 };
            for (name, schema) in properties {
                if required.contains(&name.as_str()) || self.one_in(rare) {
                    made.insert(name.clone(), self.make(schema));
                }
            }
        }
        if let Some(values) = schema.get("additionalProperties") {
            for _ in 0..self.below(3) {
                let key = *self.pick(&["1", "50256", "k", "a b"]);
                made.insert(key.to_owned(), self.make(values));
            }
        } else if self.one_in(12) {
            let key = *self.pick(&["x", "cache_control", "text", "name", "type_", "extra"]);
            if schema["properties"].get(key).is_none() {
                made.insert(key.to_owned(), json!({ "any": [1, null, "x"] }));
            }
        }
        Value::Object(made)
    }

    /// Puts something else somewhere.
    fn spoil(&mut self, value: &mut Value) {
        let inside = match value {
            Value::Array(items) => items.len(),
            Value::Object(members) => members.len(),
            _ => 0,
        };
        if inside > 0 && !self.one_in(4) {
            let at = self.below(inside);
            match value {
                Value::Array(items) => self.spoil(&mut items[at]),
                Value::Object(members) => {
                    let name = members.keys().nth(at).expect("there").clone();
                    if self.one_in(6) {
                        members.remove(&name);
                    } else {
                        self.spoil(&mut members[&name]);
                    }
                }
                _ => {}
            }
            return;
        }
        let others = [
            json!(null),
            json!(true),
            json!(0),
            json!(1),
            json!(-1),
            json!(1.5),
            json!(2.0),
            json!(129),
            json!(1e30),
            json!(""),
            json!("auto"),
            json!("x"),
            json!("none"),
            json!([]),
            json!([1]),
            json!(["x"]),
            json!({}),
            json!({ "type": "text" }),
            json!({ "id": "x" }),
            json!({ "name": "x" }),
            json!("x".repeat(129)),
        ];
        *value = self.pick(&others).clone();
    }
}

#[test]
fn both_say_the_same_of_thousands_of_requests() {
    let cases = std::env::var("SCHEMA_CASES").map_or(3000, |n| n.parse().expect("a number"));
    let oracle = Oracle::new();
    let root: Value = serde_json::from_str(TEXT).expect("JSON");
    let accepted = std::cell::Cell::new(0u32);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(seed: u64, spoilt in 0..3u8)| {
        let mut maker = Maker { root: &root, state: seed };
        let mut request = maker.make(&root);
        for _ in 0..spoilt {
            if let Value::Object(_) = request {
                let mut changed = request.clone();
                maker.spoil(&mut changed);
                // What is not an object at all is another matter.
                if changed.is_object() {
                    request = changed;
                }
            }
        }
        match compare(&oracle, &request) {
            Ok(good) => accepted.set(accepted.get() + u32::from(good)),
            Err(told) => prop_assert!(false, "{}", told),
        }
    });
    // Otherwise nothing would have been tested.
    let accepted = accepted.get();
    assert!(
        accepted > cases / 4 && accepted < cases,
        "{accepted} of {cases} were good"
    );
}
