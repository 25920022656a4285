//! What each generation of models takes. Source: the provider's documentation and SDKs, 2026-11.

/// How a model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thinking {
    /// Not at all.
    None,
    /// With a budget of tokens: the least one, which is 0 where it can be switched off, and the least
    /// beyond that.
    Budget { least: u64, some: u64 },
    /// At a level.
    Level { minimal: bool, medium: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) thinking: Thinking,
    /// From the third generation on: penalties are refused, calls need their signatures, and the
    /// provider's own tools go together with the client's.
    pub(super) third: bool,
    /// Whether temperature and the like have an effect; newer ones pass over them.
    pub(super) samples: bool,
}

impl Model {
    pub(super) fn of(name: &str) -> Self {
        let name = name.rsplit('/').next().unwrap_or(name);
        let has = |word: &str| name.contains(word);
        let version = name.strip_prefix("gemini-").map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
            &rest[..end.unwrap_or(rest.len())]
        });
        let (major, minor) = match version.map(|it| it.split_once('.').unwrap_or((it, "0"))) {
            Some((major, minor)) => (major.parse().unwrap_or(0), minor.parse().unwrap_or(0)),
            None => (0, 0),
        };
        // `gemini-flash-latest` is what is newest.
        let newest = version.is_some_and(str::is_empty);
        let thinking = match (major, minor) {
            (2, 5) if has("image") || has("tts") || has("live") => Thinking::None,
            (2, 5) if has("pro") => Thinking::Budget {
                least: 128,
                some: 128,
            },
            (2, 5) if has("flash-lite") => Thinking::Budget {
                least: 0,
                some: 512,
            },
            (2, 5) => Thinking::Budget { least: 0, some: 1 },
            (3, 0) if has("pro") => Thinking::Level {
                minimal: false,
                medium: false,
            },
            (3, 0..=6) if has("flash") => Thinking::Level {
                minimal: true,
                medium: true,
            },
            (3.., _) => Thinking::Level {
                minimal: false,
                medium: true,
            },
            _ if newest => Thinking::Level {
                minimal: false,
                medium: true,
            },
            _ => Thinking::None,
        };
        Self {
            thinking,
            third: major >= 3 || newest,
            samples: !newest && (major, minor) < (3, if has("flash-lite") { 5 } else { 6 }),
        }
    }
}

/// Tokens for an effort, where a model wants a budget: what its clients have agreed on.
pub(super) fn budget(effort: &str) -> u64 {
    match effort {
        "none" => 0,
        "minimal" => 128,
        "low" => 2048,
        "medium" => 8192,
        _ => 24_576,
    }
}
