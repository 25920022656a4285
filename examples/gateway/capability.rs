//! What a model takes, as its entry in the file says; what it leaves open is what the price files know
//! of the model, LiteLLM's and genai-prices' formats:
//!
//! ```toml
//! context_window = 200000            # prompt and answer together, in tokens
//! max_output_tokens = 100000
//! [models.parameters]
//! seed = "drop"                      # left out, and announced in x-params-dropped
//! logit_bias = "refuse"              # 400 unsupported_parameter
//! top_p = "perhaps"                  # as the client sends it; never a default of the dialect
//! max_tokens = { rename = "max_completion_tokens" }
//! temperature = { min = 0, max = 1 }
//! reasoning_effort = { only = "high" }
//! ```

use tower_completions::{
    validate::{Capabilities, Support},
    wire::request::Name,
};

use crate::read::{Mistakes, Section};

const WORDS: &str = "expected \"drop\", \"refuse\", \"perhaps\", { rename = NAME }, { min = N, max = N } or { only = TEXT }";

/// Reads the optional keys of a model; what the targets' names tell holds for what it leaves open.
pub fn read<'a>(
    section: &mut Section,
    targets: impl Iterator<Item = &'a str>,
    mistakes: &mut Mistakes,
) -> Capabilities {
    // One target that may refuse a parameter is enough to put in no default.
    let mut capabilities = targets
        .map(Capabilities::of)
        .reduce(Capabilities::or)
        .unwrap_or_default();
    if let Some(tokens) = section.integer("context_window", 1..=1 << 40, mistakes) {
        capabilities = capabilities.context_window(tokens);
    }
    if let Some(tokens) = section.integer("max_output_tokens", 1..=1 << 40, mistakes) {
        capabilities = capabilities.max_output_tokens(tokens);
    }
    let mut parameters = section.section("parameters", mistakes);
    for &name in Name::ALL {
        if matches!(name, Name::Model | Name::Messages) || !parameters.has(name.as_str()) {
            continue;
        }
        if let Some(support) = support(&mut parameters, name, mistakes) {
            capabilities = capabilities.parameter(name, support);
        }
    }
    parameters.finish(mistakes);
    capabilities
}

fn support(parameters: &mut Section, name: Name, mistakes: &mut Mistakes) -> Option<Support> {
    let key = parameters.key(name.as_str());
    if !parameters.is_section(name.as_str()) {
        return match parameters.string(name.as_str(), mistakes)?.as_str() {
            "drop" => Some(Support::Drop),
            "refuse" => Some(Support::Refuse),
            "perhaps" => Some(Support::Perhaps),
            other => {
                mistakes.add(&key, format!("{WORDS}, got {other:?}"));
                None
            }
        };
    }
    let mut way = parameters.section(name.as_str(), mistakes);
    let rename = way.string("rename", mistakes);
    let only = way.string("only", mistakes);
    let range = (way.number("min", mistakes), way.number("max", mistakes));
    way.finish(mistakes);
    match (rename, only, range) {
        (Some(other), None, (None, None)) => match Name::find(&other) {
            Some(other) if other != name => Some(Support::Rename(other)),
            _ => {
                mistakes.add(&key, format!("expected another parameter, got {other:?}"));
                None
            }
        },
        (None, Some(only), (None, None)) => Some(Support::Only(
            serde_json::Value::from(only).to_string().into(),
        )),
        (None, None, (Some(min), Some(max))) if min <= max => Some(Support::Clamp { min, max }),
        _ => {
            mistakes.add(&key, WORDS);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    /// The mistakes in a model with these keys.
    fn mistakes(keys: &str) -> Vec<String> {
        let looked = Config::look(&format!(
            "[[providers]]\nname = \"p\"\nkind = \"mock\"\n[[keys]]\nname = \"k\"\nsecret = \"s\"\n\
             [[models]]\nid = \"m\"\ntargets = [{{ provider = \"p\", model = \"mock/echo\" }}]\n{keys}"
        ));
        looked.expect("TOML").1
    }

    #[test]
    fn what_a_model_takes_can_be_said() {
        let mistakes = mistakes(
            r#"
            context_window = 1000
            max_output_tokens = 100
            [models.parameters]
            seed = "drop"
            logit_bias = "refuse"
            top_p = "perhaps"
            max_tokens = { rename = "max_completion_tokens" }
            temperature = { min = 0, max = 0.5 }
            reasoning_effort = { only = "high" }
            "#,
        );
        assert_eq!(mistakes, [""; 0], "well said");
    }

    #[test]
    fn mistakes_name_their_key() {
        let mistakes = mistakes(
            r#"
            context_window = 0
            [models.parameters]
            seed = "sometimes"
            sed = "drop"
            top_p = { min = 1, max = 0 }
            max_tokens = { rename = "max_tokens" }
            "#,
        )
        .join("\n");
        for key in [
            "models[0].context_window",
            "models[0].parameters.seed",
            "models[0].parameters.sed",
            "models[0].parameters.top_p",
            "models[0].parameters.max_tokens",
        ] {
            assert!(mistakes.contains(&format!("{key}: ")), "{key}: {mistakes}");
        }
    }
}
