use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};

use super::{
    Breakpoint, Integer, Message, Raw, ResponseFormat, Stop, Text, Tool, ToolChoice, choice::Name,
};

/// Declares the members once, and from them the struct and a visitor that keeps the rest.
macro_rules! members {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)*) => {
        /// A request, its members as types. `null` is the same as absent.
        #[derive(Clone, Debug, Default)]
        #[non_exhaustive]
        pub struct Request<'a> {
            /// The model asked for.
            pub model: Text<'a>,
            /// The conversation.
            pub messages: Vec<Message<'a>>,
            $($(#[$doc])* pub $field: Option<$type>,)*
            /// Anthropic's mark on the last block that can be cached.
            pub cache_control: Option<Breakpoint<'a>>,
            /// Members that are not known here, in order, as they came.
            pub rest: Vec<(Text<'a>, Raw<'a>)>,
        }

        impl<'de: 'a, 'a> Deserialize<'de> for Request<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Members;

                impl<'de> Visitor<'de> for Members {
                    type Value = Request<'de>;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a request object")
                    }

                    fn visit_map<A: MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<Self::Value, A::Error> {
                        let mut request = Request::default();
                        let (mut model, mut messages) = (false, false);
                        while let Some(key) = map.next_key::<Text<'de>>()? {
                            match &*key {
                                "model" => {
                                    request.model = map.next_value()?;
                                    model = true;
                                }
                                "messages" => {
                                    request.messages = map.next_value()?;
                                    messages = true;
                                }
                                // Others' member: of another type than theirs it says nothing here.
                                "cache_control" => {
                                    let spelled: Raw<'de> = map.next_value()?;
                                    request.cache_control =
                                        serde_json::from_str(spelled.get()).ok();
                                }
                                $(stringify!($field) => request.$field = map.next_value()?,)*
                                _ => {
                                    let value: Option<Raw<'de>> = map.next_value()?;
                                    request.rest.extend(value.map(|value| (key, value)));
                                }
                            }
                        }
                        if !model {
                            return Err(A::Error::missing_field("model"));
                        }
                        if !messages {
                            return Err(A::Error::missing_field("messages"));
                        }
                        Ok(request)
                    }
                }

                deserializer.deserialize_map(Members)
            }
        }
    };
}

members! {
    /// 0 to 2.
    temperature: f64,
    /// 0 to 1.
    top_p: f64,
    /// The most tokens to generate, reasoning included.
    max_completion_tokens: Integer,
    /// The same by its deprecated name.
    max_tokens: Integer,
    /// How many answers.
    n: Integer,
    /// Where to stop.
    stop: Stop<'a>,
    /// −2 to 2.
    frequency_penalty: f64,
    /// −2 to 2.
    presence_penalty: f64,
    /// Token ids to likelihood.
    logit_bias: Raw<'a>,
    /// Whether to report likelihoods.
    logprobs: bool,
    /// How many alternatives to report.
    top_logprobs: Integer,
    /// For answers that can be repeated.
    seed: Integer,
    /// Whether the answer comes in pieces.
    stream: bool,
    /// `{include_usage, include_obfuscation}`.
    stream_options: Raw<'a>,
    /// What the model may call.
    tools: Vec<Tool<'a>>,
    /// What it must call.
    tool_choice: ToolChoice<'a>,
    /// Whether it may make several calls at once.
    parallel_tool_calls: bool,
    /// Tools of the deprecated kind.
    functions: Vec<super::Function<'a>>,
    /// The choice of the deprecated kind.
    function_call: FunctionChoice<'a>,
    /// What the answer must look like.
    response_format: ResponseFormat<'a>,
    /// How hard to think: `none` to `max`.
    reasoning_effort: Text<'a>,
    /// How much to say.
    verbosity: Text<'a>,
    /// `text`, `audio`.
    modalities: Vec<Text<'a>>,
    /// Voice and format of spoken answers.
    audio: Raw<'a>,
    /// What most of the answer will be.
    prediction: Raw<'a>,
    /// Search the web.
    web_search_options: Raw<'a>,
    /// Which service to pay for.
    service_tier: Text<'a>,
    /// Whether the provider keeps the exchange.
    store: bool,
    /// Labels for it.
    metadata: Raw<'a>,
    /// The end user, by its deprecated name.
    user: Text<'a>,
    /// The end user, as an opaque id.
    safety_identifier: Text<'a>,
    /// Groups requests with a common prefix.
    prompt_cache_key: Text<'a>,
    /// How long a prefix is kept, deprecated.
    prompt_cache_retention: Text<'a>,
    /// How prefixes are cached.
    prompt_cache_options: Raw<'a>,
    /// Checks of input and output.
    moderation: Raw<'a>,
}

impl<'a> Request<'a> {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// When it is not UTF-8 or not JSON, when a member is of the wrong type, when `model` or
    /// `messages` is missing.
    pub fn parse(body: &'a [u8]) -> serde_json::Result<Self> {
        let text = std::str::from_utf8(body).map_err(serde_json::Error::custom)?;
        serde_json::from_str(text)
    }

    /// The most tokens to generate: `max_completion_tokens`, else `max_tokens`.
    #[must_use]
    pub fn max_output(&self) -> Option<u64> {
        let asked = self.max_completion_tokens.or(self.max_tokens)?;
        Some(asked.to_u64())
    }

    /// A member that is not known here.
    #[must_use]
    pub fn extra(&self, name: &str) -> Option<Raw<'a>> {
        let (_, value) = self.rest.iter().find(|(key, _)| &**key == name)?;
        Some(*value)
    }

    /// The end user: `safety_identifier`, else `user`.
    #[must_use]
    pub fn end_user(&self) -> Option<&str> {
        self.safety_identifier.as_deref().or(self.user.as_deref())
    }
}

/// `function_call` of the deprecated kind.
#[derive(Clone, Debug)]
pub struct FunctionChoice<'a>(pub ToolChoice<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for FunctionChoice<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spelled = Raw::deserialize(deserializer)?;
        // An object is the name of a function, whatever else stands in it.
        let choice = if spelled.get().starts_with('{') {
            serde_json::from_str(spelled.get()).map(|it: Name<'a>| ToolChoice::Named(it.name))
        } else {
            serde_json::from_str(spelled.get())
        };
        choice.map(Self).map_err(D::Error::custom)
    }
}
