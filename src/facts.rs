/// What a list of models tells of one besides its price. What it does not tell is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facts {
    /// The longest prompt, in tokens.
    pub max_input_tokens: Option<u64>,
    /// The longest answer, in tokens.
    pub max_output_tokens: Option<u64>,
    /// Whether it calls tools.
    pub tools: Option<bool>,
    /// Whether it can be told which tool to call.
    pub tool_choice: Option<bool>,
    /// Whether it can be kept from calling several tools at once.
    pub parallel_tools: Option<bool>,
    /// Whether it reasons, and takes `reasoning_effort`.
    pub reasoning: Option<bool>,
    /// Whether its answer can be held to a JSON schema.
    pub json_schema: Option<bool>,
    /// Whether it searches the web.
    pub web_search: Option<bool>,
    /// Whether it sees images.
    pub images: Option<bool>,
    /// Whether it hears audio.
    pub audio: Option<bool>,
    /// Whether it speaks.
    pub speech: Option<bool>,
    /// Whether it reads files.
    pub files: Option<bool>,
}

impl Facts {
    /// What holds where either of two models may answer: the larger limits, where both are known, and
    /// what one of them is known to do; that none does it only where neither does.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let limit = |a: Option<u64>, b: Option<u64>| Some(a?.max(b?));
        let flag = |a: Option<bool>, b: Option<bool>| match (a, b) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        };
        Self {
            max_input_tokens: limit(self.max_input_tokens, other.max_input_tokens),
            max_output_tokens: limit(self.max_output_tokens, other.max_output_tokens),
            tools: flag(self.tools, other.tools),
            tool_choice: flag(self.tool_choice, other.tool_choice),
            parallel_tools: flag(self.parallel_tools, other.parallel_tools),
            reasoning: flag(self.reasoning, other.reasoning),
            json_schema: flag(self.json_schema, other.json_schema),
            web_search: flag(self.web_search, other.web_search),
            images: flag(self.images, other.images),
            audio: flag(self.audio, other.audio),
            speech: flag(self.speech, other.speech),
            files: flag(self.files, other.files),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_the_more_able_counts_and_what_is_unknown_stays_so() {
        let one = Facts {
            max_input_tokens: Some(10),
            max_output_tokens: Some(5),
            tools: Some(false),
            images: Some(false),
            audio: Some(false),
            ..Facts::default()
        };
        let two = Facts {
            max_input_tokens: Some(20),
            tools: Some(false),
            images: Some(true),
            ..Facts::default()
        };
        for both in [one.or(two), two.or(one)] {
            assert_eq!(both.max_input_tokens, Some(20));
            assert_eq!(both.max_output_tokens, None);
            assert_eq!(both.tools, Some(false));
            assert_eq!(both.images, Some(true));
            assert_eq!(both.audio, None);
        }
    }
}
