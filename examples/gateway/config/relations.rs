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
        let aliases = model.aliases.iter().enumerate();
        let aliases = aliases.map(|(nth, name)| (format!("{key}.aliases[{nth}]"), name));
        for (key, name) in std::iter::once((format!("{key}.id"), &model.id)).chain(aliases) {
            if !name.is_empty() && !names.insert(name.as_str()) {
                let expected = "names a model already, expected a name of its own";
                mistakes.add(&key, format!("{name:?} {expected}"));
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
            let wrong = if *fallback == model.id || model.aliases.contains(fallback) {
                "is this model itself, expected another"
            } else if !names.contains(fallback.as_str()) {
                "is not among the models"
            } else {
                continue;
            };
            let key = format!("models[{at}].fallbacks[{nth}]");
            mistakes.add(&key, format!("{fallback:?} {wrong}"));
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
        if key.digest.is_some_and(|digest| !digests.insert(digest)) {
            let expected = "is that of another key, expected one of its own";
            mistakes.add(&format!("keys[{at}].secret"), expected);
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
