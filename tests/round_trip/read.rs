//! Each provider's request, read for what it means.

use serde_json::Value;

use super::case::{Meaning, Said, Tool};

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    list(value).iter().map(text).collect()
}

/// The calls of a conversation in their order.
#[derive(Default)]
struct Calls(Vec<(String, String, bool)>);

impl Calls {
    fn made(&mut self, id: &Value, name: &Value, arguments: Value) -> Said {
        self.0.push((
            id.as_str().unwrap_or_default().to_owned(),
            text(name),
            false,
        ));
        Said::Call(self.0.len() - 1, text(name), arguments)
    }

    fn answered(&mut self, id: &Value, result: String) -> Said {
        let at = self.0.iter().position(|(of, ..)| id == of).expect("a call");
        Said::Result(at, result)
    }

    /// By name, the first that has no result yet.
    fn answered_by_name(&mut self, name: &Value, result: String) -> Said {
        let open = |(_, of, answered): &(String, String, bool)| name == of && !answered;
        let at = self.0.iter().position(open).expect("a call");
        self.0[at].2 = true;
        Said::Result(at, result)
    }
}

pub(crate) fn anthropic(body: &Value) -> Meaning {
    let mut calls = Calls::default();
    let mut said = Vec::new();
    let mut last = None;
    for turn in list(&body["messages"]) {
        let user = turn["role"] == "user";
        assert_ne!(last.replace(user), Some(user), "turns alternate");
        for block in list(&turn["content"]) {
            said.push(match block["type"].as_str() {
                Some("text") if user => Said::User(text(&block["text"])),
                Some("text") => Said::Model(text(&block["text"])),
                Some("image") => Said::Image(text(&block["source"]["data"])),
                Some("document") => Said::File(text(&block["source"]["data"])),
                Some("thinking") => {
                    Said::Reasoning(text(&block["thinking"]), text(&block["signature"]))
                }
                Some("tool_use") => {
                    calls.made(&block["id"], &block["name"], block["input"].clone())
                }
                Some("tool_result") => {
                    calls.answered(&block["tool_use_id"], text(&block["content"]))
                }
                other => panic!("{other:?}"),
            });
        }
    }
    let tools = list(&body["tools"]).iter().map(|tool| Tool {
        name: text(&tool["name"]),
        description: text(&tool["description"]),
        schema: tool["input_schema"].clone(),
    });
    let choice = &body["tool_choice"];
    let callable = tools.filter(|tool| match choice["type"].as_str() {
        Some("none") => false,
        Some("tool") => choice["name"] == *tool.name,
        _ => true,
    });
    Meaning {
        system: list(&body["system"])
            .iter()
            .map(|block| text(&block["text"]))
            .collect(),
        said,
        tools: callable.collect(),
        must_call: matches!(choice["type"].as_str(), Some("any" | "tool")),
        temperature: body["temperature"].as_f64(),
        max_tokens: body["max_tokens"].as_u64(),
        stop: texts(&body["stop_sequences"]),
        schema: body["output_config"]["format"].get("schema").cloned(),
    }
}

pub(crate) fn gemini(body: &Value) -> Meaning {
    let mut calls = Calls::default();
    let mut said = Vec::new();
    for turn in list(&body["contents"]) {
        for part in list(&turn["parts"]) {
            let (kind, value) = part
                .as_object()
                .and_then(|part| part.iter().find(|(name, _)| *name != "thoughtSignature"))
                .expect("a part of one kind");
            said.push(match (&**kind, turn["role"].as_str()) {
                ("text", Some("user")) => Said::User(text(value)),
                ("text", Some("model")) if part.get("thoughtSignature").is_some() => {
                    assert_eq!(value, "", "a signature stands on a part of its own");
                    Said::Reasoning(String::new(), text(&part["thoughtSignature"]))
                }
                ("text", Some("model")) => Said::Model(text(value)),
                ("inlineData", _) => {
                    let data = text(&value["data"]);
                    match value["mimeType"].as_str() {
                        Some("image/png") => Said::Image(data),
                        Some("application/pdf") => Said::File(data),
                        Some("audio/wav") => Said::Audio(data),
                        other => panic!("{other:?}"),
                    }
                }
                ("functionCall", _) => {
                    calls.made(&value["id"], &value["name"], value["args"].clone())
                }
                ("functionResponse", _) => {
                    let result = text(&value["response"]["output"]);
                    calls.answered_by_name(&value["name"], result)
                }
                other => panic!("{other:?}"),
            });
        }
    }
    let declared = list(&body["tools"])
        .iter()
        .flat_map(|tool| list(&tool["functionDeclarations"]));
    let tools = declared.map(|tool| Tool {
        name: text(&tool["name"]),
        description: text(&tool["description"]),
        schema: tool["parametersJsonSchema"].clone(),
    });
    let calling = &body["toolConfig"]["functionCallingConfig"];
    let allowed = calling["allowedFunctionNames"].as_array();
    let callable = tools.filter(|tool| {
        calling["mode"] != "NONE"
            && allowed.is_none_or(|names| names.iter().any(|name| *name == *tool.name))
    });
    let config = &body["generationConfig"];
    let system = list(&body["systemInstruction"]["parts"]);
    Meaning {
        system: system.iter().map(|part| text(&part["text"])).collect(),
        said,
        tools: callable.collect(),
        must_call: calling["mode"] == "ANY",
        temperature: config["temperature"].as_f64(),
        max_tokens: config["maxOutputTokens"].as_u64(),
        stop: texts(&config["stopSequences"]),
        schema: config.get("responseJsonSchema").cloned(),
    }
}

pub(crate) fn bedrock(body: &Value) -> Meaning {
    let mut calls = Calls::default();
    let mut said = Vec::new();
    let mut last = None;
    for turn in list(&body["messages"]) {
        let user = turn["role"] == "user";
        assert_ne!(last.replace(user), Some(user), "turns alternate");
        for block in list(&turn["content"]) {
            let block = block.as_object().expect("a block");
            let (kind, value) = block.iter().next().expect("of one kind");
            said.push(match &**kind {
                "text" if user => Said::User(text(value)),
                "text" => Said::Model(text(value)),
                "image" => Said::Image(text(&value["source"]["bytes"])),
                "document" => Said::File(text(&value["source"]["bytes"])),
                "audio" => Said::Audio(text(&value["source"]["bytes"])),
                "reasoningContent" => {
                    let thought = &value["reasoningText"];
                    Said::Reasoning(text(&thought["text"]), text(&thought["signature"]))
                }
                "toolUse" => {
                    calls.made(&value["toolUseId"], &value["name"], value["input"].clone())
                }
                "toolResult" => {
                    calls.answered(&value["toolUseId"], text(&value["content"][0]["text"]))
                }
                other => panic!("{other:?}"),
            });
        }
    }
    let config = &body["toolConfig"];
    let choice = &config["toolChoice"];
    let forbidden = body["additionalModelRequestFields"]["tool_choice"]["type"] == "none";
    let tools = list(&config["tools"])
        .iter()
        .map(|entry| &entry["toolSpec"]);
    let tools = tools.map(|tool| Tool {
        name: text(&tool["name"]),
        description: text(&tool["description"]),
        schema: tool["inputSchema"]["json"].clone(),
    });
    let named = &choice["tool"]["name"];
    let inference = &body["inferenceConfig"];
    Meaning {
        system: list(&body["system"])
            .iter()
            .map(|block| text(&block["text"]))
            .collect(),
        said,
        tools: tools
            .filter(|tool| !forbidden && (named.is_null() || *named == *tool.name))
            .collect(),
        must_call: choice.get("any").is_some() || !named.is_null(),
        temperature: inference["temperature"].as_f64(),
        max_tokens: inference["maxTokens"].as_u64(),
        stop: texts(&inference["stopSequences"]),
        schema: {
            let schema = &body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"];
            let schema = schema.as_str();
            schema.map(|text| serde_json::from_str(text).expect("JSON"))
        },
    }
}

/// Tools as Cohere and Ollama declare them, which is as OpenAI does.
fn declared(body: &Value) -> Vec<Tool> {
    let tools = list(&body["tools"]).iter().map(|tool| &tool["function"]);
    let tools = tools.map(|tool| Tool {
        name: text(&tool["name"]),
        description: text(&tool["description"]),
        schema: tool["parameters"].clone(),
    });
    tools.collect()
}

pub(crate) fn cohere(body: &Value) -> Meaning {
    let mut calls = Calls::default();
    let (mut system, mut said) = (Vec::new(), Vec::new());
    for message in list(&body["messages"]) {
        let content = &message["content"];
        match message["role"].as_str() {
            Some("system") => system.push(text(content)),
            Some("user") if content.is_string() => said.push(Said::User(text(content))),
            Some("user") => said.extend(list(content).iter().map(|part| match &part["text"] {
                Value::String(text) => Said::User(text.clone()),
                _ => {
                    let url = text(&part["image_url"]["url"]);
                    let (_, data) = url.split_once("base64,").expect("a data URL");
                    Said::Image(data.to_owned())
                }
            })),
            Some("assistant") => {
                // What is said beside calls is their plan.
                let said_first = content.as_str().or(message["tool_plan"].as_str());
                said.extend(said_first.map(|text| Said::Model(text.to_owned())));
                for call in list(&message["tool_calls"]) {
                    let function = &call["function"];
                    let arguments = text(&function["arguments"]);
                    let arguments = serde_json::from_str(&arguments).expect("JSON");
                    said.push(calls.made(&call["id"], &function["name"], arguments));
                }
            }
            Some("tool") => said.push(calls.answered(&message["tool_call_id"], text(content))),
            other => panic!("{other:?}"),
        }
    }
    let choice = body["tool_choice"].as_str();
    Meaning {
        system,
        said,
        tools: if choice == Some("NONE") {
            Vec::new()
        } else {
            declared(body)
        },
        must_call: choice == Some("REQUIRED"),
        temperature: body["temperature"].as_f64(),
        max_tokens: body["max_tokens"].as_u64(),
        stop: texts(&body["stop_sequences"]),
        schema: body["response_format"].get("json_schema").cloned(),
    }
}

pub(crate) fn ollama(body: &Value) -> Meaning {
    let mut calls = Calls::default();
    let (mut system, mut said) = (Vec::new(), Vec::new());
    for message in list(&body["messages"]) {
        let content = text(&message["content"]);
        match message["role"].as_str() {
            Some("system") => system.push(content),
            Some("user") => {
                said.push(Said::User(content));
                said.extend(texts(&message["images"]).into_iter().map(Said::Image));
            }
            Some("assistant") => {
                let thought = message["thinking"].as_str();
                said.extend(thought.map(|it| Said::Reasoning(it.to_owned(), String::new())));
                if !content.is_empty() {
                    said.push(Said::Model(content));
                }
                for call in list(&message["tool_calls"]) {
                    let function = &call["function"];
                    let arguments = function["arguments"].clone();
                    said.push(calls.made(&call["id"], &function["name"], arguments));
                }
            }
            Some("tool") => {
                let result = calls.answered(&message["tool_call_id"], content);
                let Said::Result(at, _) = &result else {
                    unreachable!()
                };
                assert_eq!(message["tool_name"], calls.0[*at].1);
                said.push(result);
            }
            other => panic!("{other:?}"),
        }
    }
    let options = &body["options"];
    Meaning {
        system,
        said,
        tools: declared(body),
        must_call: false,
        temperature: options["temperature"].as_f64(),
        max_tokens: options["num_predict"].as_u64(),
        stop: texts(&options["stop"]),
        schema: body.get("format").cloned(),
    }
}
