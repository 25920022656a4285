//! What the vendors' models take, told from their names.

/// OpenAI's models that refuse `max_tokens`: the o-series and all from the fifth generation on.
pub(super) fn thinks(model: &str) -> bool {
    let model = base(model);
    let generation = model.strip_prefix("gpt-").or(model.strip_prefix('o'));
    let digits = generation.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    let number = digits
        .flatten()
        .and_then(|digits| digits.parse::<u32>().ok());
    number.is_some_and(|number| !model.starts_with("gpt-") || number >= 5)
}

/// OpenAI's models while they reason: those that can be told not to when they are told how hard, all
/// others that do at all always, chat models aside.
pub(super) fn reasons(model: &str, effort: Option<&str>) -> bool {
    let told = effort.is_some_and(|effort| effort != "none");
    match gpt_efforts(model) {
        Efforts::Never => false,
        Efforts::Of(_) if model.contains("-chat") => false,
        Efforts::Of(efforts) => told || !efforts.contains(&"none"),
        Efforts::Unknown => told && thinks(model),
    }
}

/// xAI's models that reason.
pub(super) fn groks(model: &str, _: Option<&str>) -> bool {
    !model.contains("non-reasoning")
        && ["grok-4", "grok-3-mini", "grok-code", "reasoning"]
            .iter()
            .any(|word| model.contains(word))
}

/// Moonshot's models that can be told whether to think, not how hard; later ones are told an effort.
///
/// Source: the vendor's overview of its models, 2026-11.
pub(super) fn kimis(model: &str) -> bool {
    ["kimi-k2.5", "kimi-k2.6"]
        .iter()
        .any(|it| model.contains(it))
}

/// Alibaba's models that can be told whether to think, in whatever way they answer; those of open weights think
/// only where they stream, and refuse it elsewhere.
///
/// Source: the vendor's guide to deep thinking, 2026-11.
pub(super) fn qwens(model: &str) -> bool {
    ["qwen-plus", "qwen-flash", "qwen-turbo", "qwen3-max"]
        .iter()
        .any(|it| model.starts_with(it))
}

/// How a model may be told how hard to reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Efforts {
    /// In these words. None at all: it always reasons, and is not told how hard.
    Of(&'static [&'static str]),
    /// It never reasons.
    Never,
    /// Nothing is known of it: what the client says goes up as it is.
    Unknown,
}

/// The efforts of xAI's models; most take none and are told apart by name.
pub(super) fn grok_efforts(model: &str) -> Efforts {
    if model.contains("grok-3-mini") {
        return Efforts::Of(&["low", "high"]);
    }
    let version = model.split("grok-").nth(1).unwrap_or_default();
    let version = version.strip_prefix("4.").unwrap_or_default();
    Efforts::Of(match number(version) {
        Some(3 | 4) => &["none", "low", "medium", "high"],
        Some(5..=9) => &["low", "medium", "high"],
        _ => &[],
    })
}

/// The efforts of OpenAI's own models in Chat Completions, which takes no `max` of any of them.
///
/// Source: the vendor's pages of its models and the description of the parameter, 2026-11.
pub(super) fn gpt_efforts(model: &str) -> Efforts {
    let model = base(model);
    if model.starts_with("chatgpt-") {
        return Efforts::Never;
    }
    let has = |word: &str| model.split(['-', ':']).any(|part| part == word);
    if let Some(rest) = model.strip_prefix('o') {
        let early = model.starts_with("o1-mini") || model.starts_with("o1-preview");
        return match number(rest) {
            None => Efforts::Unknown,
            Some(_) if early => Efforts::Of(&[]),
            Some(_) => Efforts::Of(&["low", "medium", "high"]),
        };
    }
    let Some(rest) = model.strip_prefix("gpt-") else {
        return Efforts::Unknown;
    };
    let Some(generation) = number(rest) else {
        return Efforts::Unknown;
    };
    let version = rest.split(['-', ':']).next().unwrap_or_default();
    let minor = version.split_once('.').and_then(|(_, minor)| number(minor));
    let minor = minor.unwrap_or(0);
    match (generation, minor) {
        (..=4, _) => Efforts::Never,
        _ if has("chat") => Efforts::Of(&["medium"]),
        (5, 0) if has("pro") => Efforts::Of(&["high"]),
        _ if has("pro") => Efforts::Of(&["medium", "high", "xhigh"]),
        (5, 0) if has("codex") => Efforts::Of(&["low", "medium", "high"]),
        (5, 0) => Efforts::Of(&["minimal", "low", "medium", "high"]),
        (5, 1) if has("codex") && has("max") => Efforts::Of(&["low", "medium", "high", "xhigh"]),
        (5, 1) if has("codex") => Efforts::Of(&["low", "medium", "high"]),
        (5, 1) => Efforts::Of(&["none", "low", "medium", "high"]),
        (5, 2 | 3) if has("codex") => Efforts::Of(&["low", "medium", "high", "xhigh"]),
        (6, 0) if has("astra") => Efforts::Of(&["low", "medium", "high", "xhigh"]),
        (6, 1) if has("sol") => Efforts::Of(&["low", "medium", "high", "xhigh"]),
        (5 | 6, _) => Efforts::Of(&["none", "low", "medium", "high", "xhigh"]),
        _ => Efforts::Unknown,
    }
}

/// The efforts of Mistral's models: of some, whether to think alone.
///
/// Source: the vendor's page on reasoning, 2026-11.
pub(super) fn mistral_efforts(model: &str) -> Efforts {
    let switched = [
        "mistral-small-latest",
        "mistral-small-26",
        "mistral-small-4",
        "mistral-medium-3-5",
        "mistral-medium-3.5",
    ];
    if switched.iter().any(|it| model.starts_with(it)) {
        Efforts::Of(&["none", "high"])
    } else {
        Efforts::Unknown
    }
}

/// A fine-tuned model is of the one that it was made of.
fn base(model: &str) -> &str {
    model.strip_prefix("ft:").unwrap_or(model)
}

/// The efforts of the models that Groq serves.
///
/// Source: the vendor's page on reasoning and what its clients send, 2026-11.
pub(super) fn groq_efforts(model: &str) -> Efforts {
    let has = |word: &str| model.contains(word);
    if has("gpt-oss") {
        Efforts::Of(&["low", "medium", "high"])
    } else if has("qwen3") {
        Efforts::Of(&["none", "default"])
    } else if has("llama") || has("gemma") || has("kimi") || has("allam") {
        Efforts::Never
    } else {
        Efforts::Unknown
    }
}

/// The number that a text begins with.
fn number(text: &str) -> Option<u32> {
    let digits = text.split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok())
}
