//! What one entry of the file says of another.

use std::collections::HashSet;

use tower_completions::cost::Scope;

use super::Config;
use crate::read::Mistakes;

pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    let mut providers = HashSet::new();
    for (at, provider) in config.providers.iter().enumerate() {
        if !provider.name.is_empty() && !providers.insert(provider.name.as_str()) {
            mistakes.add(
                &format!("providers[{at}].name"),
                format!(
                    "{:?} is there already, expected a name of its own",
                    provider.name
                ),
            );
        }
    }
    let mut names = HashSet::new();
    for (at, model) in config.models.iter().enumerate() {
        let key = format!("models[{at}]");
        for name in std::iter::once(&model.id).chain(&model.aliases) {
            if !name.is_empty() && !names.insert(name.as_str()) {
                mistakes.add(&key, format!("{name:?} names another model already"));
            }
        }
        for (nth, target) in model.targets.iter().enumerate() {
            if !target.provider.is_empty() && !providers.contains(target.provider.as_str()) {
                mistakes.add(
                    &format!("{key}.targets[{nth}].provider"),
                    format!("{:?} is not among the providers", target.provider),
                );
            }
        }
    }
    for (at, model) in config.models.iter().enumerate() {
        for (nth, fallback) in model.fallbacks.iter().enumerate() {
            if !names.contains(fallback.as_str()) {
                mistakes.add(
                    &format!("models[{at}].fallbacks[{nth}]"),
                    format!("{fallback:?} is not among the models"),
                );
            }
        }
    }
    let (mut key_names, mut digests) = (HashSet::new(), HashSet::new());
    for (at, key) in config.keys.iter().enumerate() {
        if !key.name.is_empty() && !key_names.insert(key.name.as_str()) {
            mistakes.add(
                &format!("keys[{at}].name"),
                "is there already, expected a name of its own",
            );
        }
        if !digests.insert(key.digest) {
            mistakes.add(&format!("keys[{at}]"), "has the same secret as another key");
        }
    }
    for (at, budget) in config.budgets.iter().enumerate() {
        if let Scope::Key(key) = &budget.scope {
            if !key_names.contains(&**key) {
                mistakes.add(
                    &format!("budgets[{at}].key"),
                    format!("{key:?} is not among the keys"),
                );
            }
        }
    }
    for (name, missing) in [
        ("providers", config.providers.is_empty()),
        ("models", config.models.is_empty()),
        ("keys", config.keys.is_empty()),
    ] {
        if missing {
            mistakes.add(name, format!("expected at least one [[{name}]]"));
        }
    }
}
