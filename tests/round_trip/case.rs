//! A request and what it means, whoever's API it is said in.

use proptest::{collection::vec, option, prelude::*};
use serde_json::{Map, Value, json};

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) system: Vec<String>,
    pub(crate) turns: Vec<Turn>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) choice: Choice,
    pub(crate) temperature: Option<f64>,
    pub(crate) max_tokens: u64,
    pub(crate) stop: Vec<String>,
    /// The properties of the object that the answer must be.
    pub(crate) schema: Option<Vec<String>>,
    /// Whose reasoning the history has.
    pub(crate) thinker: Thinker,
    /// Which parts beside texts are shown.
    pub(crate) shown: &'static [Media],
}

/// Who has reasoned in the history: what is sent back must be in its form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Thinker {
    Nobody,
    Claude,
    Gemini,
    /// Only a text, for those that sign nothing.
    Plain,
}

/// A part beside texts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Media {
    Image,
    /// A PDF.
    File,
    /// A WAV.
    Audio,
}

#[derive(Clone, Debug)]
pub(crate) enum Turn {
    /// A text, and what is shown with it.
    User(String, Option<(usize, String)>),
    /// Reasoning with its signature, and a text.
    Assistant(Option<(String, String)>, String),
    /// A text before the calls, and for each the tool, its arguments and the result.
    Calls(Option<String>, Vec<(usize, Map<String, Value>, String)>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) schema: Value,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Choice {
    Auto,
    Required,
    None,
    First,
}

/// What matters of a request.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Meaning {
    pub(crate) system: Vec<String>,
    pub(crate) said: Vec<Said>,
    /// Those that may be called.
    pub(crate) tools: Vec<Tool>,
    pub(crate) must_call: bool,
    pub(crate) temperature: Option<f64>,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) stop: Vec<String>,
    pub(crate) schema: Option<Value>,
}

/// One thing that was said; a call goes by its ordinal.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    User(String),
    Image(String),
    File(String),
    Audio(String),
    /// The text, where it is sent back, and the signature.
    Reasoning(String, String),
    Model(String),
    Call(usize, String, Value),
    Result(usize, String),
}

impl Case {
    /// In OpenAI's words.
    pub(crate) fn request(&self) -> Value {
        let roles = ["system", "developer"].into_iter().cycle();
        let system = self.system.iter().zip(roles);
        let mut messages: Vec<Value> = system
            .map(|(text, role)| json!({"role": role, "content": text}))
            .collect();
        let mut calls = 0;
        for turn in &self.turns {
            match turn {
                Turn::User(text, None) => messages.push(json!({"role": "user", "content": text})),
                Turn::User(text, Some((which, data))) => {
                    let part = match self.media(*which) {
                        None => json!({"type": "text", "text": data}),
                        Some(Media::Image) => json!({"type": "image_url",
                            "image_url": {"url": format!("data:image/png;base64,{data}")}}),
                        Some(Media::File) => json!({"type": "file", "file": {"filename": "a.pdf",
                            "file_data": format!("data:application/pdf;base64,{data}")}}),
                        Some(Media::Audio) => json!({"type": "input_audio",
                            "input_audio": {"data": data, "format": "wav"}}),
                    };
                    messages.push(json!({"role": "user", "content": [
                        {"type": "text", "text": text}, part]}));
                }
                Turn::Assistant(thought, text) => {
                    let mut message = json!({"role": "assistant", "content": text});
                    if let Some((thought, signature)) = thought {
                        match self.thinker {
                            Thinker::Nobody => {}
                            Thinker::Claude => {
                                message["reasoning_content"] = thought.clone().into();
                                message["reasoning_details"] = json!([{"type": "thinking",
                                    "thinking": thought, "signature": signature}]);
                            }
                            Thinker::Gemini => {
                                message["reasoning_content"] = thought.clone().into();
                                message["reasoning_details"] = json!([{"type": "thought_signature",
                                    "signature": signature}]);
                            }
                            Thinker::Plain => message["reasoning_content"] = thought.clone().into(),
                        }
                    }
                    messages.push(message);
                }
                Turn::Calls(text, made) => {
                    let from = calls;
                    calls += made.len();
                    let ids: Vec<String> = (from..calls).map(|n| format!("call_{n}")).collect();
                    let made: Vec<_> = made.iter().zip(&ids).collect();
                    let list = made.iter().map(|((tool, arguments, _), id)| {
                        let arguments = Value::Object(arguments.clone()).to_string();
                        let name = &self.tools[*tool % self.tools.len()].name;
                        json!({"id": id, "type": "function",
                            "function": {"name": name, "arguments": arguments}})
                    });
                    messages.push(json!({"role": "assistant", "content": text,
                        "tool_calls": list.collect::<Vec<_>>()}));
                    for ((_, _, result), id) in made {
                        messages
                            .push(json!({"role": "tool", "tool_call_id": id, "content": result}));
                    }
                }
            }
        }
        let tools = self.tools.iter().map(|tool| {
            json!({"type": "function", "function": {"name": tool.name,
                "description": tool.description, "parameters": tool.schema}})
        });
        let choice = match self.choice {
            Choice::Auto => json!("auto"),
            Choice::Required => json!("required"),
            Choice::None => json!("none"),
            Choice::First => json!({"type": "function", "function": {"name": self.tools[0].name}}),
        };
        let format = self.schema().map(
            |schema| json!({"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}),
        );
        json!({"model": "m", "messages": messages, "response_format": format, "tools": tools.collect::<Vec<_>>(),
            "tool_choice": choice, "temperature": self.temperature,
            "max_completion_tokens": self.max_tokens, "stop": self.stop})
    }

    fn media(&self, which: usize) -> Option<Media> {
        let shown = self.shown.len();
        (shown > 0).then(|| self.shown[which % shown])
    }

    fn schema(&self) -> Option<Value> {
        let names = self.schema.as_ref()?;
        let properties = names
            .iter()
            .map(|name| (name.clone(), json!({"type": "string"})));
        let properties: Map<String, Value> = properties.collect();
        // Closed, as Claude's API has to have it: others are told to it in its own way.
        Some(
            json!({"type": "object", "properties": properties, "required": names, "additionalProperties": false}),
        )
    }

    pub(crate) fn meaning(&self) -> Meaning {
        let mut said = Vec::new();
        let mut calls = 0;
        for turn in &self.turns {
            match turn {
                Turn::User(text, shown) => {
                    said.push(Said::User(text.clone()));
                    said.extend(shown.clone().map(|(which, data)| match self.media(which) {
                        None => Said::User(data),
                        Some(Media::Image) => Said::Image(data),
                        Some(Media::File) => Said::File(data),
                        Some(Media::Audio) => Said::Audio(data),
                    }));
                }
                Turn::Assistant(thought, text) => {
                    let thought = thought.clone().filter(|_| self.thinker != Thinker::Nobody);
                    let thought = thought.map(|(text, signature)| match self.thinker {
                        // Only what is signed goes back, and only what signs it.
                        Thinker::Gemini => Said::Reasoning(String::new(), signature),
                        Thinker::Plain => Said::Reasoning(text, String::new()),
                        _ => Said::Reasoning(text, signature),
                    });
                    let text = Said::Model(text.clone());
                    // Gemini signs a text behind it.
                    let (before, behind) = match self.thinker {
                        Thinker::Gemini => (None, thought),
                        _ => (thought, None),
                    };
                    said.extend(before.into_iter().chain([text]).chain(behind));
                }
                Turn::Calls(text, made) => {
                    said.extend(text.clone().map(Said::Model));
                    for (n, (tool, arguments, _)) in made.iter().enumerate() {
                        let name = self.tools[tool % self.tools.len()].name.clone();
                        said.push(Said::Call(calls + n, name, arguments.clone().into()));
                    }
                    for (n, (_, _, result)) in made.iter().enumerate() {
                        said.push(Said::Result(calls + n, result.clone()));
                    }
                    calls += made.len();
                }
            }
        }
        Meaning {
            system: self.system.clone(),
            said,
            tools: match self.choice {
                Choice::None => Vec::new(),
                Choice::First => self.tools[..1].to_vec(),
                Choice::Auto | Choice::Required => self.tools.clone(),
            },
            must_call: matches!(self.choice, Choice::Required | Choice::First),
            temperature: self.temperature,
            max_tokens: Some(self.max_tokens),
            stop: self.stop.clone(),
            schema: self.schema(),
        }
    }
}

/// Any characters, but not only blanks, which say nothing and are left out.
pub(crate) fn text() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|text| {
        if text.trim().is_empty() {
            "x".into()
        } else {
            text
        }
    })
}

pub(crate) fn arguments() -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        any::<String>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    let value = leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            vec((any::<String>(), inner), 0..3)
                .prop_map(|all| Value::Object(all.into_iter().collect())),
        ]
    });
    vec((any::<String>(), value), 0..3).prop_map(|all| all.into_iter().collect())
}

fn turn() -> impl Strategy<Value = Turn> {
    let call = (any::<usize>(), arguments(), text());
    prop_oneof![
        3 => (text(), option::of((any::<usize>(), "[A-Za-z0-9]{4}")))
            .prop_map(|(text, shown)| Turn::User(text, shown)),
        2 => (option::of((text(), "[A-Za-z0-9+/=]{1,8}")), text())
            .prop_map(|(thought, text)| Turn::Assistant(thought, text)),
        2 => (option::of(text()), vec(call, 1..4)).prop_map(|(text, made)| Turn::Calls(text, made)),
    ]
}

/// Requests that show such parts, with reasoning of such a model in the history.
pub(crate) fn requests(shown: &'static [Media], thinker: Thinker) -> impl Strategy<Value = Case> {
    let choice = prop_oneof![
        Just(Choice::Auto),
        Just(Choice::Required),
        Just(Choice::None),
        Just(Choice::First)
    ];
    let tools = vec(text(), 1..4).prop_map(|descriptions| {
        let tool = |(n, description)| Tool {
            name: format!("tool_{n}"),
            description,
            schema: json!({"type": "object", "properties": {"p": {"type": "string"}}}),
        };
        descriptions
            .into_iter()
            .enumerate()
            .map(tool)
            .collect::<Vec<_>>()
    });
    let stop = vec("[a-z]{1,5}", 0..3);
    let temperature = option::of((0..100_u32).prop_map(|n| f64::from(n) / 100.0));
    (
        vec(text(), 0..3),
        (text(), vec(turn(), 0..5)),
        tools,
        choice,
        temperature,
        1..10_000_u64,
        stop,
        option::of(vec("[a-z]{1,4}", 1..3)),
    )
        .prop_map(
            move |(system, (first, rest), tools, choice, temperature, max_tokens, stop, schema)| {
                let first = std::iter::once(Turn::User(first, None));
                let mut turns: Vec<Turn> = first.chain(rest).collect();
                if thinker == Thinker::Claude {
                    as_claude_takes_them(&mut turns);
                }
                Case {
                    system,
                    turns,
                    tools,
                    choice,
                    temperature,
                    max_tokens,
                    stop,
                    schema,
                    thinker,
                    shown,
                }
            },
        )
}

/// Claude refuses what was thought behind a text of the same turn, which neighbours are to it, and a last
/// text that ends in blanks: neither is kept as it is.
fn as_claude_takes_them(turns: &mut [Turn]) {
    let mut behind = false;
    for turn in turns.iter_mut() {
        if let Turn::Assistant(thought, _) = turn {
            thought.take_if(|_| behind);
        }
        behind = matches!(turn, Turn::Assistant(..));
    }
    if let Some(Turn::Assistant(_, text)) = turns.last_mut() {
        text.truncate(text.trim_end().len());
    }
}
