//! Where the members of a translated request stood in the one that came.

/// The message of the client's that one of ours was made of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// `system`.
    System,
    /// A turn, and how many of its blocks stand before the first part.
    Turn(usize, usize),
    /// The result of a call: its turn, and its block in that.
    Result(usize, usize),
}

/// The origin of each message, and which member asked for an effort.
#[derive(Debug, Default)]
pub(super) struct Paths {
    pub(super) messages: Vec<Origin>,
    pub(super) effort: &'static str,
}

/// Members of ours under other names than the client's; the longer of two comes first.
const RENAMED: &[(&str, &str)] = &[
    ("max_completion_tokens", "max_tokens"),
    ("stop", "stop_sequences"),
    ("user", "metadata.user_id"),
    ("response_format.json_schema", "output_config.format"),
    ("response_format", "output_config.format"),
    (
        "parallel_tool_calls",
        "tool_choice.disable_parallel_tool_use",
    ),
    ("tool_choice.function", "tool_choice"),
];

impl Paths {
    /// The client's path to what stands at one of ours; `None` where it is the same.
    pub(super) fn back(&self, path: &str) -> Option<String> {
        if let Some((at, rest)) = indexed(path, "messages[") {
            return self
                .messages
                .get(at)
                .map(|origin| of_message(*origin, rest));
        }
        if let Some((at, rest)) = indexed(path, "tools[") {
            let rest = rest.strip_prefix(".function").unwrap_or(rest);
            let rest = match rest.strip_prefix(".parameters") {
                Some(rest) => format!(".input_schema{rest}"),
                None => rest.to_owned(),
            };
            return Some(format!("tools[{at}]{rest}"));
        }
        if path == "reasoning_effort" {
            return Some(self.effort.to_owned());
        }
        RENAMED.iter().find_map(|(ours, theirs)| {
            let rest = path.strip_prefix(ours)?;
            let ends = rest.is_empty() || rest.starts_with(['.', '[']);
            ends.then(|| format!("{theirs}{rest}"))
        })
    }

    /// A message that names a path, in the client's terms.
    pub(super) fn translate(&self, message: &str, path: Option<&str>) -> Option<String> {
        let path = path?;
        let theirs = self.back(path)?;
        Some(message.replace(&format!("`{path}`"), &format!("`{theirs}`")))
    }
}

/// The number between brackets and what follows it.
fn indexed<'p>(path: &'p str, name: &str) -> Option<(usize, &'p str)> {
    let (number, rest) = path.strip_prefix(name)?.split_once(']')?;
    Some((number.parse().ok()?, rest))
}

fn of_message(origin: Origin, rest: &str) -> String {
    match origin {
        Origin::System => match indexed(rest, ".content[") {
            Some((at, rest)) => format!("system[{at}]{rest}"),
            None => "system".to_owned(),
        },
        Origin::Turn(turn, before) => match indexed(rest, ".content[") {
            Some((at, rest)) => {
                let medium = [".image_url", ".file"];
                let medium = medium.iter().any(|it| rest.starts_with(it));
                let rest = if medium { ".source" } else { rest };
                format!("messages[{turn}].content[{}]{rest}", before + at)
            }
            None if rest.starts_with(".role") => format!("messages[{turn}].role"),
            // Calls and reasoning are blocks of the content.
            None if rest.starts_with('.') => format!("messages[{turn}].content"),
            None => format!("messages[{turn}]"),
        },
        Origin::Result(turn, block) => {
            let rest = match rest.strip_prefix(".tool_call_id") {
                Some(rest) => format!(".tool_use_id{rest}"),
                None => rest.to_owned(),
            };
            format!("messages[{turn}].content[{block}]{rest}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_leads_back() {
        let paths = Paths {
            messages: vec![
                Origin::System,
                Origin::Turn(0, 0),
                Origin::Result(1, 1),
                Origin::Turn(1, 2),
            ],
            effort: "thinking",
        };
        for (ours, theirs) in [
            ("stop", "stop_sequences"),
            ("stop[4]", "stop_sequences[4]"),
            ("max_completion_tokens", "max_tokens"),
            ("user", "metadata.user_id"),
            ("reasoning_effort", "thinking"),
            (
                "response_format.json_schema.schema",
                "output_config.format.schema",
            ),
            ("tools[3].function.name", "tools[3].name"),
            (
                "tools[3].function.parameters.type",
                "tools[3].input_schema.type",
            ),
            ("tool_choice.function.name", "tool_choice.name"),
            ("messages[0].content[1].text", "system[1].text"),
            ("messages[0].content", "system"),
            ("messages[1].content", "messages[0].content"),
            ("messages[1]", "messages[0]"),
            ("messages[1].tool_calls[0].id", "messages[0].content"),
            (
                "messages[2].tool_call_id",
                "messages[1].content[1].tool_use_id",
            ),
            ("messages[2].content", "messages[1].content[1].content"),
            (
                "messages[3].content[1].image_url.url",
                "messages[1].content[3].source",
            ),
        ] {
            assert_eq!(paths.back(ours).as_deref(), Some(theirs), "{ours}");
        }
        for same in [
            "temperature",
            "messages",
            "model",
            "stopping",
            "messages[9]",
        ] {
            assert_eq!(paths.back(same), None, "{same}");
        }
        let message = "`stop` must have at most 4, not `stops`";
        assert_eq!(
            paths.translate(message, Some("stop")).as_deref(),
            Some("`stop_sequences` must have at most 4, not `stops`")
        );
    }
}
