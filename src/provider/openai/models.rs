//! What the vendors' models take, told from their names.

/// OpenAI's models that refuse `max_tokens`: the o-series and all from the fifth generation on.
pub(super) fn thinks(model: &str) -> bool {
    let generation = model.strip_prefix("gpt-").or(model.strip_prefix('o'));
    let digits = generation.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    let number = digits
        .flatten()
        .and_then(|digits| digits.parse::<u32>().ok());
    number.is_some_and(|number| !model.starts_with("gpt-") || number >= 5)
}

/// OpenAI's models while they reason: the o-series and the fifth generation do, chat models aside;
/// from 5.1 on those do that are told how hard, and those that have only that.
pub(super) fn reasons(model: &str, effort: Option<&str>) -> bool {
    if !thinks(model) || model.contains("-chat") {
        return false;
    }
    let can_be_silent = match model.strip_prefix("gpt-5") {
        Some(rest) => rest.starts_with('.'),
        None => model.starts_with("gpt-"),
    };
    if can_be_silent && !model.contains("-pro") {
        return effort.is_some_and(|effort| effort != "none");
    }
    true
}

/// xAI's models that reason.
pub(super) fn groks(model: &str, _: Option<&str>) -> bool {
    !model.contains("non-reasoning")
        && ["grok-4", "grok-3-mini", "grok-code", "reasoning"]
            .iter()
            .any(|word| model.contains(word))
}

/// The efforts of xAI's models; most take none and are told apart by name.
pub(super) fn grok_efforts(model: &str) -> &'static [&'static str] {
    if model.contains("grok-3-mini") {
        return &["low", "high"];
    }
    let version = model.split("grok-").nth(1).unwrap_or_default();
    let version = version.strip_prefix("4.").unwrap_or_default();
    let digits = version.split(|c: char| !c.is_ascii_digit()).next();
    match digits.and_then(|digits| digits.parse::<u32>().ok()) {
        Some(3 | 4) => &["none", "low", "medium", "high"],
        Some(5..=9) => &["low", "medium", "high"],
        _ => &[],
    }
}
