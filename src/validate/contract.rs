//! What a model takes of what the API does, and what the dialect puts in.

use std::{borrow::Cow, sync::Arc};

use super::{
    check::Taken,
    mistakes::{Findings, Refusal},
    model::{Capabilities, Input, KnownModels, Support},
    policy::Policy,
};
use crate::{
    dialect::Dialect,
    error::{Error, Kind},
    parse::Chat,
    wire::{json::Cursor, request::Name},
};

/// A model, and who knows of it.
pub(super) struct Known<'a> {
    models: &'a dyn KnownModels,
    pub(super) id: Arc<str>,
    /// Asked instead of the others, where it is there.
    capabilities: Option<&'a Capabilities>,
}

impl<'a> Known<'a> {
    pub(super) fn new(models: &'a dyn KnownModels, name: &str) -> Self {
        let id = models.id(name);
        let capabilities = models.capabilities(&id);
        Self {
            models,
            id,
            capabilities,
        }
    }

    pub(super) fn exists(&self) -> bool {
        self.capabilities.is_some() || self.models.knows(&self.id)
    }

    pub(super) fn is_named(&self, fits: &dyn Fn(&str) -> bool) -> bool {
        self.models.is_named(&self.id, fits)
    }

    fn support(&self, name: Name, chat: &Chat) -> Support {
        match self.capabilities {
            Some(known) => known.support(name, chat),
            None => self.models.support(&self.id, name, chat),
        }
    }

    fn lacks(&self, input: Input) -> bool {
        match self.capabilities {
            Some(known) => known.lacks.contains(&input),
            None => self.models.lacks(&self.id, input),
        }
    }

    fn context_window(&self) -> Option<u64> {
        match self.capabilities {
            Some(known) => known.context_window,
            None => self.models.context_window(&self.id),
        }
    }

    fn max_input_tokens(&self) -> Option<u64> {
        match self.capabilities {
            Some(known) => known.max_input_tokens,
            None => self.models.max_input_tokens(&self.id),
        }
    }

    fn max_output_tokens(&self) -> Option<u64> {
        match self.capabilities {
            Some(known) => known.max_output_tokens,
            None => self.models.max_output_tokens(&self.id),
        }
    }
}

/// What is known of the model that a request asks for. Nothing may be: then it takes everything.
pub(super) struct Contract<'a> {
    known: Option<Known<'a>>,
}

impl<'a> Contract<'a> {
    pub(super) const fn new(known: Option<Known<'a>>) -> Self {
        Self { known }
    }

    fn support(&self, name: Name, chat: &Chat) -> Support {
        let known = self.known.as_ref();
        known.map_or(Support::Yes, |known| known.support(name, chat))
    }

    /// Whether the model takes what it is asked, and has room for it.
    pub(super) fn judge(&self, chat: &Chat, findings: &mut Findings) -> Result<(), Refusal> {
        match &self.known {
            None => Ok(()),
            Some(known) => {
                known.fits(chat, findings)?;
                known.judge(chat, findings)
            }
        }
    }

    /// Drops and maps what the model does not take as it is.
    pub(super) fn apply(&self, chat: &mut Chat, taken: &mut Taken) {
        if let Some(known) = &self.known {
            known.apply(chat, taken);
        }
    }

    /// Puts in what the client left open: the dialect's defaults, where the model is known to take
    /// them, and the operator's limit of the answer.
    pub(super) fn fill(&self, chat: &mut Chat, dialect: &Dialect, policy: &Policy) {
        for (name, default) in [
            (Name::Temperature, dialect.temperature),
            (Name::TopP, dialect.top_p),
        ] {
            let Some(default) = default.filter(|_| !chat.request().has(name)) else {
                continue;
            };
            let fits = match self.support(name, chat) {
                Support::Yes => true,
                Support::Clamp { min, max } => clamped(default, min, max).is_none(),
                _ => false,
            };
            if fits {
                chat.set_default(name.as_str(), default);
            }
        }
        let Some(tokens) = policy.default_output_tokens else {
            return;
        };
        if chat.max_output_tokens().is_some() {
            return;
        }
        let known = self.known.as_ref();
        let most = known.and_then(Known::max_output_tokens);
        let tokens = tokens.min(most.unwrap_or(u64::MAX));
        // Under the newer name, unless the model does not take it.
        for name in [Name::MaxCompletionTokens, Name::MaxTokens] {
            if matches!(self.support(name, chat), Support::Yes | Support::Perhaps) {
                chat.set(name.as_str(), tokens.to_string());
                return;
            }
        }
    }
}

impl Known<'_> {
    /// Whether prompt and answer have room.
    ///
    /// The estimate of the prompt is good to some tens of percent, so a fifth of it is forgiven: what
    /// may fit is left to the model, which refuses it at no cost.
    fn fits(&self, chat: &Chat, findings: &mut Findings) -> Result<(), Refusal> {
        let request = chat.request();
        if let Some(limit) = self.max_output_tokens() {
            for (param, asked) in [
                ("max_tokens", request.max_tokens()),
                ("max_completion_tokens", request.max_completion_tokens()),
            ] {
                if let Some(asked) = asked.filter(|asked| *asked > limit) {
                    let message =
                        format!("`{param}` must be at most {limit} for this model, got {asked}");
                    findings.note(Error::new(Kind::Value, message).with_param(param))?;
                }
            }
        }
        let input = chat.input_estimate();
        if let Some(limit) = self.max_input_tokens() {
            if input - input / 5 > limit {
                let message = format!(
                    "The messages are about {input} tokens, more than the {limit} that the model's context window has for them."
                );
                return findings.note(too_long(message));
            }
        }
        let Some(window) = self.context_window() else {
            return Ok(());
        };
        let output = chat.max_output_tokens();
        let least = (input - input / 5).saturating_add(output.unwrap_or(0));
        if least <= window {
            return Ok(());
        }
        let and = output.map_or(String::new(), |output| {
            format!(" and {output} are asked for the answer")
        });
        let message = format!(
            "The messages are about {input} tokens{and}, more than the model's context window of {window}."
        );
        findings.note(too_long(message))
    }

    /// Whether the model refuses one of the parameters, or a kind of content.
    fn judge(&self, chat: &Chat, findings: &mut Findings) -> Result<(), Refusal> {
        let counts = chat.request().counts();
        for input in Input::ALL {
            let given = match input {
                Input::Image => counts.images + counts.low_images > 0,
                Input::Audio => counts.audio_bytes > 0,
                Input::File => counts.files > 0,
            };
            if given && self.lacks(input) {
                let message = format!("The model does not take {}.", input.as_str());
                findings.note(
                    Error::new(Kind::Format, message)
                        .with_param("messages")
                        .with_code("unsupported_content"),
                )?;
            }
        }
        for name in given(chat) {
            if self.support(name, chat) == Support::Refuse {
                let message = format!("`{}` is not supported by this model", name.as_str());
                findings.note(
                    Error::new(Kind::Format, message)
                        .with_param(name.as_str())
                        .with_code("unsupported_parameter"),
                )?;
            }
        }
        Ok(())
    }

    /// Drops and maps what the model does not take as it is.
    fn apply(&self, chat: &mut Chat, taken: &mut Taken) {
        // Judged as it came, whatever one change does to the others.
        let given: Vec<_> = given(chat)
            .map(|name| (name, self.support(name, chat)))
            .filter(|(_, support)| !matches!(support, Support::Yes | Support::Perhaps))
            .collect();
        for (name, support) in given {
            let text = name.as_str();
            let mapped = match support {
                Support::Drop => {
                    chat.remove(text);
                    taken.dropped.push(Cow::Borrowed(text));
                    false
                }
                Support::Rename(other) if other == name => false,
                Support::Rename(other) => {
                    let value = chat.member(text).map(Box::<str>::from);
                    chat.remove(text);
                    match value {
                        Some(value) if !chat.has(other) => {
                            chat.set(other.as_str(), value);
                            true
                        }
                        _ => {
                            taken.dropped.push(Cow::Borrowed(text));
                            false
                        }
                    }
                }
                Support::Only(value) => {
                    let differs = chat.member(text) != Some(&value);
                    if differs {
                        chat.set(text, &*value);
                    }
                    differs
                }
                Support::Clamp { min, max } => {
                    let nearest = chat.member(text).and_then(|json| clamped(json, min, max));
                    let differs = nearest.is_some();
                    if let Some(nearest) = nearest {
                        chat.set(text, nearest);
                    }
                    differs
                }
                Support::Yes | Support::Perhaps | Support::Refuse => false,
            };
            if mapped {
                taken.mapped.push(Cow::Borrowed(text));
            }
        }
    }
}

fn too_long(message: String) -> Error {
    Error::new(Kind::Format, message)
        .with_param("messages")
        .with_code("context_length_exceeded")
}

/// The parameters that the client gave, null ones aside.
fn given(chat: &Chat) -> impl Iterator<Item = Name> {
    let members = chat.request().members();
    members
        .filter(|member| !member.is_null)
        .filter_map(|member| member.name)
}

/// The nearest number that lies within, when this one does not.
fn clamped(json: &str, min: f64, max: f64) -> Option<String> {
    let number = Cursor::new(json).number().ok()?.as_f64();
    if number < min {
        Some(min.to_string())
    } else if number > max {
        Some(max.to_string())
    } else {
        None
    }
}
