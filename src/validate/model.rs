use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;

use crate::{ext::Patterns, facts::Facts, parse::Chat, wire::request::Name};

/// What becomes of a parameter at a model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Support {
    /// The model takes it.
    Yes,
    /// The model may take it: what a client sends travels on, and no default is ever put in.
    Perhaps,
    /// The model does not know it: it is left out, and `x-params-dropped` says so.
    Drop,
    /// The model refuses it, and so does the validator: 400 `unsupported_parameter`.
    Refuse,
    /// The model takes it under this name, and `x-params-mapped` says so. Where the client gave both,
    /// the one of this name travels on and the other is dropped.
    Rename(Name),
    /// The model takes only this value, which is put in as it is and must be JSON;
    /// `x-params-mapped` says so of another.
    Only(Arc<str>),
    /// The model takes a smaller range: a number outside of it is brought to its nearest end, and
    /// `x-params-mapped` says so.
    Clamp {
        /// The least that it takes.
        min: f64,
        /// The most that it takes.
        max: f64,
    },
}

/// What is known of the models that clients ask for.
///
/// [`Catalog`] is one for models that are known beforehand.
pub trait KnownModels: Send + Sync {
    /// The id of the model that a name stands for: itself, or what it is an alias of.
    fn id(&self, name: &str) -> Arc<str> {
        Arc::from(name)
    }

    /// Whether a model has a name that fits, its id or one of its aliases: a key that may use one of them
    /// may use the model by all. Asked where the name of the request itself does not fit. Default: its id.
    fn is_named(&self, model: &str, fits: &dyn Fn(&str) -> bool) -> bool {
        fits(model)
    }

    /// All that is known of a model, where it is kept as that: then it is configured, and none of the
    /// following is asked. Saves a request a look-up for each of its parameters. Default: `None`.
    fn capabilities(&self, _model: &str) -> Option<&Capabilities> {
        None
    }

    /// Whether a model is configured at all; one that is not is a 404. Default: every one is.
    fn knows(&self, _model: &str) -> bool {
        true
    }

    /// What becomes of a parameter that the client gave, or that the dialect would put in. The rest
    /// of the request is there for models that take one parameter only without another. Default: it
    /// is taken.
    fn support(&self, _model: &str, _parameter: Name, _request: &Chat) -> Support {
        Support::Yes
    }

    /// The largest prompt and answer together, in tokens. Default: unknown.
    fn context_window(&self, _model: &str) -> Option<u64> {
        None
    }

    /// The longest prompt, in tokens; a longer one is refused as one that does not fit into the context
    /// window. Default: unknown.
    fn max_input_tokens(&self, _model: &str) -> Option<u64> {
        None
    }

    /// The longest answer, in tokens; more asked for is refused. Default: unknown.
    fn max_output_tokens(&self, _model: &str) -> Option<u64> {
        None
    }

    /// Whether the model is known not to take a kind of content, which is then refused. Default: it is
    /// not known.
    fn lacks(&self, _model: &str, _input: Input) -> bool {
        false
    }
}

/// A kind of content beside text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// `image_url`
    Image,
    /// `input_audio`
    Audio,
    /// `file`
    File,
}

impl Input {
    pub(super) const ALL: [Self; 3] = [Self::Image, Self::Audio, Self::File];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Image => "images",
            Self::Audio => "audio",
            Self::File => "files",
        }
    }
}

/// Nothing is known.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(super) struct AnyModel;

#[cfg(test)]
impl KnownModels for AnyModel {}

/// What one model takes. Whatever is not said is not known, and so allowed.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Capabilities {
    pub(super) context_window: Option<u64>,
    pub(super) max_input_tokens: Option<u64>,
    pub(super) max_output_tokens: Option<u64>,
    /// What is known not to be taken.
    pub(super) lacks: Vec<Input>,
    parameters: Vec<(Name, Support)>,
    samples_without_reasoning: bool,
}

impl Capabilities {
    /// Nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the name that a provider gives a model tells of it.
    ///
    /// OpenAI's reasoning models (`o1`, `o3`, `o4`, `gpt-5`, `gpt-6` and what is named after them,
    /// but for `-chat`) refuse `temperature`, `top_p`, both penalties, `logit_bias`, `logprobs` and
    /// `top_logprobs` unless `reasoning_effort` is `none`: these are [`Support::Perhaps`], so that
    /// the model has the last word. As known in October 2026.
    pub fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        let families = ["o1", "o3", "o4", "gpt-5", "gpt-6"];
        let reasons = families.iter().any(|family| {
            let rest = name.strip_prefix(family);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.', ':']))
        });
        Self {
            samples_without_reasoning: reasons && !name.contains("-chat"),
            ..Self::default()
        }
    }

    /// The largest prompt and answer together, in tokens.
    pub fn context_window(mut self, tokens: u64) -> Self {
        self.context_window = Some(tokens);
        self
    }

    /// The longest prompt, in tokens.
    pub fn max_input_tokens(mut self, tokens: u64) -> Self {
        self.max_input_tokens = Some(tokens);
        self
    }

    /// The model does not take a kind of content.
    pub fn without(mut self, input: Input) -> Self {
        if !self.lacks.contains(&input) {
            self.lacks.push(input);
        }
        self
    }

    /// Fills in what a list of models knows, where nothing has been said so far. What the model is told
    /// not to do is refused: tools, the choice among them, `reasoning_effort`, searches, audio, kinds
    /// of content; `parallel_tool_calls`, which then asks for nothing, is dropped. Where an answer
    /// cannot be held to a JSON schema, `response_format` may be for plain JSON: that is left to the
    /// model.
    pub fn filled(mut self, facts: &Facts) -> Self {
        if self.context_window.is_none() {
            self.max_input_tokens = self.max_input_tokens.or(facts.max_input_tokens);
        }
        self.max_output_tokens = self.max_output_tokens.or(facts.max_output_tokens);
        let tools = [
            Name::Tools,
            Name::ToolChoice,
            Name::Functions,
            Name::FunctionCall,
        ];
        for (known, names, support) in [
            (facts.tools, &tools[..], Support::Refuse),
            (facts.tool_choice, &[Name::ToolChoice], Support::Refuse),
            (
                facts.parallel_tools,
                &[Name::ParallelToolCalls],
                Support::Drop,
            ),
            (facts.reasoning, &[Name::ReasoningEffort], Support::Refuse),
            (facts.json_schema, &[Name::ResponseFormat], Support::Perhaps),
            (facts.web_search, &[Name::WebSearchOptions], Support::Refuse),
            (facts.speech, &[Name::Audio], Support::Refuse),
        ] {
            for name in names {
                let said = self.parameters.iter().any(|(said, _)| said == name);
                if known == Some(false) && !said {
                    self.parameters.push((*name, support.clone()));
                }
            }
        }
        for (known, input) in [
            (facts.images, Input::Image),
            (facts.audio, Input::Audio),
            (facts.files, Input::File),
        ] {
            if known == Some(false) {
                self = self.without(input);
            }
        }
        self
    }

    /// The longest answer, in tokens.
    pub fn max_output_tokens(mut self, tokens: u64) -> Self {
        self.max_output_tokens = Some(tokens);
        self
    }

    /// What becomes of one parameter; said twice, the later word holds.
    pub fn parameter(mut self, name: Name, support: Support) -> Self {
        self.parameters.retain(|(known, _)| *known != name);
        self.parameters.push((name, support));
        self
    }

    /// What holds of two models, where either may be asked: the smaller limits, and what one of them
    /// does not simply take. Where both have a word on a parameter, the first's holds.
    pub fn or(mut self, other: Self) -> Self {
        let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        self.context_window = least(self.context_window, other.context_window);
        self.max_input_tokens = least(self.max_input_tokens, other.max_input_tokens);
        self.max_output_tokens = least(self.max_output_tokens, other.max_output_tokens);
        self = other
            .lacks
            .iter()
            .fold(self, |all, input| all.without(*input));
        self.samples_without_reasoning |= other.samples_without_reasoning;
        for (name, support) in other.parameters {
            if self.parameters.iter().all(|(known, _)| *known != name) {
                self.parameters.push((name, support));
            }
        }
        self
    }

    /// What holds where another model may be asked when this one fails: its limits are as they were,
    /// and what the other one does not simply take is [`Support::Perhaps`], so that no default is put
    /// in which the other would refuse.
    pub fn falling_back_to(mut self, other: &Self) -> Self {
        self.samples_without_reasoning |= other.samples_without_reasoning;
        for (name, support) in &other.parameters {
            let known = self.parameters.iter().any(|(known, _)| known == name);
            if !known && *support != Support::Yes {
                self.parameters.push((*name, Support::Perhaps));
            }
        }
        self
    }

    pub(super) fn support(&self, parameter: Name, request: &Chat) -> Support {
        let mut said = self.parameters.iter();
        if let Some((_, support)) = said.find(|(name, _)| *name == parameter) {
            return support.clone();
        }
        let samples = matches!(
            parameter,
            Name::Temperature
                | Name::TopP
                | Name::FrequencyPenalty
                | Name::PresencePenalty
                | Name::LogitBias
                | Name::Logprobs
                | Name::TopLogprobs
        );
        let reasons = self.samples_without_reasoning && !request.request().is_reasoning_off();
        if samples && reasons {
            Support::Perhaps
        } else {
            Support::Yes
        }
    }
}

/// Models that are known beforehand, with their other names and what they take; all others are
/// unknown. An id with a `*` stands for every name that fits it and is not known by itself, as for the
/// router's table: of several the longest.
///
/// ```
/// use tower_completions::{
///     Dialect,
///     validate::{Capabilities, Catalog, Support, ValidateLayer},
///     wire::request::Name,
/// };
///
/// let reasoner = Capabilities::of("o3")
///     .context_window(200_000)
///     .max_output_tokens(100_000)
///     .parameter(Name::MaxTokens, Support::Rename(Name::MaxCompletionTokens));
/// let catalog = Catalog::new()
///     .model("openai/o3", ["o3"], reasoner)
///     .model("local/llama", [], Capabilities::new().parameter(Name::Seed, Support::Drop));
/// let layer = ValidateLayer::new(Dialect::osiris()).models(catalog);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Catalog {
    ids: HashMap<Box<str>, Arc<str>, RandomState>,
    models: HashMap<Arc<str>, Capabilities, RandomState>,
    patterns: Patterns,
}

impl Catalog {
    /// No models.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more model, with the other names that clients may use.
    pub fn model<'a>(
        mut self,
        id: &str,
        aliases: impl IntoIterator<Item = &'a str>,
        capabilities: Capabilities,
    ) -> Self {
        let id: Arc<str> = Arc::from(id);
        for name in aliases {
            self.ids.insert(name.into(), Arc::clone(&id));
        }
        self.ids.insert(Box::from(&*id), Arc::clone(&id));
        self.patterns.add(&id);
        self.models.insert(id, capabilities);
        self
    }

    fn model_of(&self, name: &str) -> Option<&Capabilities> {
        let exact = self.models.get(name);
        exact.or_else(|| self.models.get(self.patterns.find(name)?))
    }
}

impl KnownModels for Catalog {
    fn id(&self, name: &str) -> Arc<str> {
        self.ids
            .get(name)
            .map_or_else(|| Arc::from(name), Arc::clone)
    }

    fn is_named(&self, model: &str, fits: &dyn Fn(&str) -> bool) -> bool {
        let mut names = self.ids.iter();
        fits(model) || names.any(|(name, id)| **id == *model && fits(name))
    }

    fn capabilities(&self, model: &str) -> Option<&Capabilities> {
        self.models.get(model)
    }

    fn knows(&self, model: &str) -> bool {
        self.model_of(model).is_some()
    }

    fn support(&self, model: &str, parameter: Name, request: &Chat) -> Support {
        if let Some(known) = self.models.get(model) {
            return known.support(parameter, request);
        }
        let pattern = self.model_of(model);
        match pattern.map(|known| known.support(parameter, request)) {
            // A pattern cannot say what the name that fits it tells.
            Some(Support::Yes) => Capabilities::of(model).support(parameter, request),
            known => known.unwrap_or(Support::Yes),
        }
    }

    fn context_window(&self, model: &str) -> Option<u64> {
        self.model_of(model)?.context_window
    }

    fn max_input_tokens(&self, model: &str) -> Option<u64> {
        self.model_of(model)?.max_input_tokens
    }

    fn max_output_tokens(&self, model: &str) -> Option<u64> {
        self.model_of(model)?.max_output_tokens
    }

    fn lacks(&self, model: &str, input: Input) -> bool {
        let known = self.model_of(model);
        known.is_some_and(|model| model.lacks.contains(&input))
    }
}
