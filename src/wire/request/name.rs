//! The members of a request, by name.

macro_rules! names {
    ($($variant:ident = $text:literal,)*) => {
        /// A member of the request that the API knows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "each is named as in the API")]
        pub enum Name {
            $($variant,)*
        }

        impl Name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As it is spelled in the request.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// The member of this name.
            #[must_use]
            pub fn find(name: &str) -> Option<Self> {
                <Self as super::reader::Known>::find(name.as_bytes())
            }
        }

        impl super::reader::Known for Name {
            const NAMES: &'static [&'static str] = &[$($text,)*];

            #[inline]
            fn find(key: &[u8]) -> Option<Self> {
                $(if key == $text.as_bytes() { return Some(Self::$variant); })*
                None
            }

            fn index(self) -> u32 {
                self as u32
            }
        }
    };
}

// Those that come in nearly every request stand first: they are compared in this order.
names! {
    Model = "model",
    Messages = "messages",
    Stream = "stream",
    Temperature = "temperature",
    MaxTokens = "max_tokens",
    Tools = "tools",
    StreamOptions = "stream_options",
    MaxCompletionTokens = "max_completion_tokens",
    TopP = "top_p",
    ToolChoice = "tool_choice",
    N = "n",
    Stop = "stop",
    FrequencyPenalty = "frequency_penalty",
    PresencePenalty = "presence_penalty",
    ResponseFormat = "response_format",
    Seed = "seed",
    User = "user",
    ReasoningEffort = "reasoning_effort",
    ParallelToolCalls = "parallel_tool_calls",
    LogitBias = "logit_bias",
    Logprobs = "logprobs",
    TopLogprobs = "top_logprobs",
    Functions = "functions",
    FunctionCall = "function_call",
    Verbosity = "verbosity",
    Modalities = "modalities",
    Audio = "audio",
    Prediction = "prediction",
    WebSearchOptions = "web_search_options",
    ServiceTier = "service_tier",
    Store = "store",
    Metadata = "metadata",
    SafetyIdentifier = "safety_identifier",
    PromptCacheKey = "prompt_cache_key",
    PromptCacheRetention = "prompt_cache_retention",
    PromptCacheOptions = "prompt_cache_options",
    Moderation = "moderation",
}
