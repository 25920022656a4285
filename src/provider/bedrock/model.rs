//! What each family of models takes beside Converse's common members. Source: the user guide's
//! pages on reasoning and on each provider's parameters, 2026-11.

use serde_json::{Map, Value, json};

use crate::{
    error::{Error, Kind},
    provider::{
        Notes,
        anthropic::{
            model::{Model as Claude, Off, Thinking, budget},
            request::adaptive,
            turns::lacks_thinking,
        },
    },
    wire::chat::Request,
};

/// A model's family, told from its id, profile or ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Claude(Claude),
    Nova,
    /// OpenAI's open models.
    GptOss,
    Other,
}

impl Family {
    pub(super) fn of(model: &str) -> Self {
        if model.contains("claude") {
            Self::Claude(Claude::of(model))
        } else if model.contains("amazon.nova") {
            Self::Nova
        } else if model.contains("openai.gpt-oss") {
            Self::GptOss
        } else {
            Self::Other
        }
    }

    /// Whether a temperature or `top_p` may be sent, beside the other one or alone.
    pub(super) fn samples(&self, value: f64, beside_other: bool, thinks: bool) -> bool {
        match self {
            // 1 is the default of both, which some refuse to be told.
            Self::Claude(of) => {
                let both = of.one_of_both && beside_other;
                value < 1.0 && of.samples() && !both && !thinks
            }
            _ => true,
        }
    }

    /// Whether thinking has a budget, which excludes forced tools.
    pub(super) fn thinks_manually(&self, fields: &Map<String, Value>) -> bool {
        fields
            .get("thinking")
            .is_some_and(|thinking| thinking["type"] == "enabled")
    }

    /// Whether no tool can be forced.
    pub(super) fn is_unforced(&self, fields: &Map<String, Value>) -> bool {
        matches!(self, Self::Claude(of) if of.unforced) || self.thinks_manually(fields)
    }

    /// The effort of `reasoning_effort`, in the family's own words.
    pub(super) fn think(
        &self,
        request: &Request<'_>,
        max: &mut Option<u64>,
        fields: &mut Map<String, Value>,
        notes: &mut Notes,
    ) -> Result<(), Error> {
        let Some(effort) = request.reasoning_effort.as_deref() else {
            return Ok(());
        };
        // Three words for seven.
        let three = || match effort {
            "minimal" | "low" => "low",
            "medium" => "medium",
            _ => "high",
        };
        match self {
            Self::Claude(of)
                if of.thinking == Thinking::Budget
                    && effort != "none"
                    && lacks_thinking(request) =>
            {
                notes.without("reasoning_effort")?;
            }
            Self::Claude(of) => claude(*of, effort, max, fields, notes)?,
            Self::Nova if effort == "none" => {}
            Self::Nova => {
                let config = json!({ "type": "enabled", "maxReasoningEffort": three() });
                fields.insert("reasoningConfig".into(), config);
                told(effort, three(), notes);
            }
            Self::GptOss => {
                fields.insert("reasoning_effort".into(), three().into());
                told(effort, three(), notes);
            }
            Self::Other if effort == "none" => {}
            Self::Other => notes.unsupported("reasoning_effort")?,
        }
        Ok(())
    }
}

fn told(asked: &str, sent: &str, notes: &mut Notes) {
    if asked != sent {
        notes.changed("reasoning_effort");
    }
}

fn claude(
    of: Claude,
    effort: &str,
    max: &mut Option<u64>,
    fields: &mut Map<String, Value>,
    notes: &mut Notes,
) -> Result<(), Error> {
    if effort == "none" {
        return match of.off {
            Off::Already => Ok(()),
            Off::Said(kind) => {
                fields.insert("thinking".into(), json!({ "type": kind }));
                Ok(())
            }
            Off::Never => Err(Error::new(
                Kind::Value,
                "`reasoning_effort` cannot be \"none\" for this model, it always thinks",
            )
            .with_param("reasoning_effort")
            .with_code("unsupported_value")),
        };
    }
    match of.thinking {
        Thinking::None => notes.unsupported("reasoning_effort")?,
        Thinking::Budget => {
            let wanted = budget(effort);
            // A budget must lie below the limit, so there has to be one.
            let limit = max.unwrap_or_else(|| of.max_output.max(wanted + 4096).min(of.ceiling));
            let tokens = wanted.min(limit / 4 * 3).max(1024);
            if tokens >= limit {
                return notes.without("reasoning_effort");
            }
            if tokens < wanted && max.is_some() {
                notes.changed("reasoning_effort");
            }
            *max = Some(limit);
            let thinking = json!({ "type": "enabled", "budget_tokens": tokens });
            fields.insert("thinking".into(), thinking);
        }
        Thinking::Adaptive { sampling } => {
            let sent = match effort {
                "minimal" => "low",
                "xhigh" if sampling => "high",
                effort => effort,
            };
            told(effort, sent, notes);
            fields.insert("thinking".into(), adaptive(sampling));
            fields.insert("output_config".into(), json!({ "effort": sent }));
        }
    }
    Ok(())
}
