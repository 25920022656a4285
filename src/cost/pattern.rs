//! Names of models as price tables match them.

/// A pattern over the whole of a name, in ASCII lower case: `*` stands for any run of characters,
/// `#` for one digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Box<[Step]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Byte(u8),
    Digit,
    Of(Box<[u8]>),
    Any,
}

impl Step {
    fn fits(&self, byte: u8) -> bool {
        match self {
            Self::Byte(own) => *own == byte,
            Self::Digit => byte.is_ascii_digit(),
            Self::Of(set) => set.contains(&byte),
            Self::Any => true,
        }
    }
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let steps = text.bytes().map(|byte| match byte {
            b'*' => Step::Any,
            b'#' => Step::Digit,
            byte => Step::Byte(byte.to_ascii_lowercase()),
        });
        Self(steps.collect())
    }

    /// Only the bytes themselves, between runs where asked for.
    pub(super) fn literal(before: bool, text: &str, behind: bool) -> Self {
        let mut steps = Vec::new();
        steps.extend(before.then_some(Step::Any));
        let bytes = text.bytes().map(|byte| byte.to_ascii_lowercase());
        steps.extend(bytes.map(Step::Byte));
        steps.extend(behind.then_some(Step::Any));
        Self(steps.into())
    }

    /// A regular expression, as far as price tables need them: literals, escaped ones, `\d`,
    /// `\d{4}`, sets such as `[-@]`, `.*`, and the anchors. `None` when it has anything else.
    pub(super) fn regex(text: &str) -> Option<Self> {
        let (text, start) = match text.strip_prefix('^') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (text, end) = match text.strip_suffix('$') {
            Some(rest) if !rest.ends_with('\\') => (rest, true),
            _ => (text, false),
        };
        let mut steps = Vec::new();
        steps.extend((!start).then_some(Step::Any));
        let mut rest = text.as_bytes();
        while let Some((&byte, behind)) = rest.split_first() {
            rest = behind;
            let step = match byte {
                b'\\' => {
                    let (&escaped, behind) = rest.split_first()?;
                    rest = behind;
                    match escaped {
                        b'd' => Step::Digit,
                        punctuation if punctuation.is_ascii_punctuation() => {
                            Step::Byte(punctuation)
                        }
                        _ => return None,
                    }
                }
                b'[' => {
                    let close = rest.iter().position(|byte| *byte == b']')?;
                    let set = &rest[..close];
                    rest = &rest[close + 1..];
                    // A hyphen first or last is itself; a range or a negation is not read.
                    let inner = set.get(1..set.len().saturating_sub(1)).unwrap_or_default();
                    if set.is_empty() || set[0] == b'^' || inner.contains(&b'-') {
                        return None;
                    }
                    Step::Of(set.to_ascii_lowercase().into())
                }
                b'.' if rest.first() == Some(&b'*') => {
                    rest = &rest[1..];
                    Step::Any
                }
                b'.' | b'*' | b'+' | b'?' | b'(' | b')' | b'|' | b'{' | b'}' | b'^' | b'$' => {
                    return None;
                }
                byte => Step::Byte(byte.to_ascii_lowercase()),
            };
            let mut times = 1;
            if let Some(behind) = rest.strip_prefix(b"{") {
                let close = behind.iter().position(|byte| *byte == b'}')?;
                times = std::str::from_utf8(&behind[..close]).ok()?.parse().ok()?;
                rest = &behind[close + 1..];
                if times > 64 {
                    return None;
                }
            }
            if matches!(rest.first(), Some(b'*' | b'+' | b'?')) {
                return None;
            }
            steps.extend(std::iter::repeat_n(step, times));
        }
        steps.extend((!end).then_some(Step::Any));
        Some(Self(steps.into()))
    }

    /// The name, when it is the only one that fits.
    pub(super) fn exact(&self) -> Option<String> {
        let byte = |step: &Step| match step {
            Step::Byte(byte) => Some(*byte),
            _ => None,
        };
        String::from_utf8(self.0.iter().map(byte).collect::<Option<_>>()?).ok()
    }

    /// Whether a name fits. Time grows with the product of the lengths at worst.
    pub(super) fn fits(&self, name: &str) -> bool {
        let (steps, name) = (&*self.0, name.as_bytes());
        let (mut step, mut at) = (0, 0);
        // Behind the last run that was met, and how far the name was taken then.
        let mut back = None;
        while at < name.len() {
            match steps.get(step) {
                Some(Step::Any) => {
                    step += 1;
                    back = Some((step, at));
                }
                Some(one) if one.fits(name[at].to_ascii_lowercase()) => {
                    step += 1;
                    at += 1;
                }
                _ => match &mut back {
                    Some((behind, taken)) => {
                        *taken += 1;
                        (step, at) = (*behind, *taken);
                    }
                    None => return false,
                },
            }
        }
        steps[step..].iter().all(|step| *step == Step::Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("gpt-4o", "GPT-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("gpt-4o-####-##-##", "gpt-4o-2024-08-06", true),
            ("gpt-4o-####-##-##", "gpt-4o-2024-08-0x", false),
            ("*mini*", "a-mini-b", true),
            ("*ab*ab", "abab", true),
            ("*ab*ab", "ab", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(Pattern::new(pattern).fits(name), fits, "{pattern} {name}");
        }
        assert!(Pattern::literal(true, "a*", true).fits("xa*y"));
        assert!(!Pattern::literal(true, "a*", true).fits("xay"));
        assert_eq!(Pattern::new("A-b").exact().as_deref(), Some("a-b"));
        assert_eq!(Pattern::new("a#").exact(), None);
    }

    #[test]
    fn regular_expressions_as_far_as_they_are_needed() {
        for (regex, fit, other) in [
            (r"^grok-4\.7-\d{8}$", "grok-4.7-20260101", "grok-4.7-2026"),
            (r"^gpt-\d{4}-\d{2}$", "gpt-2026-01", "xgpt-2026-01"),
            (r"^o[134]", "o3-mini", "o2"),
            (
                r"^claude-opus-5[-@]\d{2}$",
                "claude-opus-5@01",
                "claude-opus-5_01",
            ),
            (
                r"^grok\[fast=true\]$",
                "grok[fast=true]",
                "grok[fast=false]",
            ),
            (r"mini", "a-mini-b", "max"),
            (r"^a.*z$", "a to z", "a"),
        ] {
            let pattern = Pattern::regex(regex).unwrap_or_else(|| panic!("{regex}"));
            assert!(pattern.fits(fit) && !pattern.fits(other), "{regex}");
        }
        for regex in [
            r"^(a/)?b",
            r"^(?!.*x)",
            "a+",
            "[a-z]",
            "[^a]",
            "a|b",
            r"\w",
            "a{2,3}",
        ] {
            assert_eq!(Pattern::regex(regex), None, "{regex}");
        }
    }
}
