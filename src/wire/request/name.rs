//! The members of a request, by name.

use crate::wire::json::Word;

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

            /// The same in quotes.
            pub(crate) const fn quoted(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!('"', $text, '"'),)*
                }
            }

            /// The member of this name.
            #[must_use]
            pub fn find(name: &str) -> Option<Self> {
                let known = Self::ALL.iter().find(|known| known.as_str() == name);
                known.copied()
            }
        }

        impl super::known::Known for Name {
            const NAMES: &'static [&'static str] = &[$($text,)*];

            #[inline(always)]
            fn find_long(key: &[u8]) -> Option<Self> {
                $(
                    if const { $text.len() > 15 } && key == $text.as_bytes() {
                        return Some(Self::$variant);
                    }
                )*
                None
            }

            #[inline(always)]
            fn find_word(word: Word) -> Option<Self> {
                let name = PLACES.0[place(word, PLACES.1)]?;
                (WORDS[name as usize] == word).then_some(name)
            }

            fn index(self) -> u32 {
                self as u32
            }
        }
    };
}

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

const WORDS: [Word; Name::ALL.len()] = {
    let mut words = [Word::NONE; Name::ALL.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = Word::of(Name::ALL[at].as_str().as_bytes());
        at += 1;
    }
    words
};

/// The names by their places in a table, and the factor that gives each that has a word
/// a place of its own.
const PLACES: ([Option<Name>; 256], u64) = {
    let mut factor = 0x9E37_79B9_7F4A_7C15_u64;
    'factor: loop {
        let mut places = [None; 256];
        let mut at = 0;
        while at < WORDS.len() {
            if !WORDS[at].is_none() {
                let place = place(WORDS[at], factor);
                if places[place].is_some() {
                    factor = factor.wrapping_mul(0x5851_F42D_4C95_7F2D);
                    continue 'factor;
                }
                places[place] = Some(Name::ALL[at]);
            }
            at += 1;
        }
        break (places, factor);
    }
};

#[inline(always)]
const fn place(word: Word, factor: u64) -> usize {
    ((word.low ^ word.high).wrapping_mul(factor) >> 56) as usize
}
