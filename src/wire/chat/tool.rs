use serde::{Deserialize, Deserializer};

use super::{Breakpoint, Raw, Text, lenient};

const KINDS: &[&str] = &["function", "custom"];

/// A tool that the model may call. What is not of its type is `None`.
#[derive(Clone, Debug)]
pub struct Tool<'a> {
    /// `function` or `custom`.
    pub kind: Text<'a>,
    /// Of `function`.
    pub function: Option<Function<'a>>,
    /// Of `custom`.
    pub custom: Option<Custom<'a>>,
    /// The end of a prefix to be cached, in Anthropic's words.
    pub cache_control: Option<Breakpoint<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Tool<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Spelled<'a> {
            #[serde(borrow, rename = "type")]
            kind: Text<'a>,
            #[serde(borrow, default)]
            function: Option<Raw<'a>>,
            #[serde(borrow, default)]
            custom: Option<Raw<'a>>,
            #[serde(borrow, default, deserialize_with = "lenient::known")]
            cache_control: Option<Breakpoint<'a>>,
        }

        let tool = Spelled::deserialize(deserializer)?;
        let kind = Some(&*tool.kind);
        Ok(Self {
            function: lenient::payload(tool.function, kind, "function", KINDS)?,
            custom: lenient::payload(tool.custom, kind, "custom", KINDS)?,
            cache_control: tool.cache_control,
            kind: tool.kind,
        })
    }
}

impl Tool<'_> {
    /// The name of either kind.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let function = self.function.as_ref().map(|function| &*function.name);
        function.or(self.custom.as_ref().map(|custom| &*custom.name))
    }
}

/// A function, described by a JSON schema.
#[derive(Clone, Debug, Deserialize)]
pub struct Function<'a> {
    /// Its name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// What it does.
    #[serde(borrow, default)]
    pub description: Option<Text<'a>>,
    /// The schema of its arguments; absent: it takes none.
    #[serde(borrow, default)]
    pub parameters: Option<Raw<'a>>,
    /// Whether the schema is to be kept strictly.
    #[serde(default)]
    pub strict: Option<bool>,
}

/// A tool that takes free text.
#[derive(Clone, Debug, Deserialize)]
pub struct Custom<'a> {
    /// Its name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// What it does.
    #[serde(borrow, default)]
    pub description: Option<Text<'a>>,
    /// Plain text, or a grammar.
    #[serde(borrow, default)]
    pub format: Option<Raw<'a>>,
}

/// A call that the model made. What is not of its type is `None`.
#[derive(Clone, Debug)]
pub struct ToolCall<'a> {
    /// The id that its result names.
    pub id: Text<'a>,
    /// `function` or `custom`.
    pub kind: Option<Text<'a>>,
    /// Of `function`.
    pub function: Option<FunctionCall<'a>>,
    /// Of `custom`.
    pub custom: Option<CustomCall<'a>>,
    /// What a vendor adds, such as Google's thought signature.
    pub extra_content: Option<Raw<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for ToolCall<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Spelled<'a> {
            #[serde(borrow, default)]
            id: Text<'a>,
            #[serde(borrow, default, rename = "type")]
            kind: Option<Text<'a>>,
            #[serde(borrow, default)]
            function: Option<Raw<'a>>,
            #[serde(borrow, default)]
            custom: Option<Raw<'a>>,
            #[serde(borrow, default)]
            extra_content: Option<Raw<'a>>,
        }

        let call = Spelled::deserialize(deserializer)?;
        let kind = call.kind.as_deref();
        Ok(Self {
            id: call.id,
            function: lenient::payload(call.function, kind, "function", KINDS)?,
            custom: lenient::payload(call.custom, kind, "custom", KINDS)?,
            extra_content: call.extra_content,
            kind: call.kind,
        })
    }
}

impl ToolCall<'_> {
    /// The name of what is called, whichever its kind.
    #[must_use]
    pub fn name(&self) -> &str {
        let function = self.function.as_ref().map(|call| &*call.name);
        function
            .or(self.custom.as_ref().map(|call| &*call.name))
            .unwrap_or_default()
    }

    /// The arguments as the text of a JSON object: of a custom call `{"input":…}`, of one without
    /// any `{}`.
    #[must_use]
    pub fn arguments(&self) -> std::borrow::Cow<'_, str> {
        if let Some(custom) = &self.custom {
            let input =
                serde_json::to_string(&custom.input).expect("a string serialises into memory");
            return format!("{{\"input\":{input}}}").into();
        }
        match self.function.as_ref().map(|call| call.arguments.trim()) {
            None | Some("") => "{}".into(),
            Some(text) => text.into(),
        }
    }
}

/// The name and the arguments of a call.
#[derive(Clone, Debug, Deserialize)]
pub struct FunctionCall<'a> {
    /// Which function.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// The text of a JSON object, as the model wrote it: it may be empty or broken.
    #[serde(borrow, default)]
    pub arguments: Text<'a>,
}

/// The name and the text of a call of a custom tool.
#[derive(Clone, Debug, Deserialize)]
pub struct CustomCall<'a> {
    /// Which tool.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// The text.
    #[serde(borrow, default)]
    pub input: Text<'a>,
}
