/// Whether `name` fits `pattern`, where `*` stands for any run of characters.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(head) else {
        return false;
    };
    let mut rest = rest;
    // Every piece between two stars is taken where it first occurs; only the last must end the name.
    while let Some((piece, after)) = rest.split_once('*') {
        let Some(at) = name.find(piece) else {
            return false;
        };
        name = &name[at + piece.len()..];
        rest = after;
    }
    name.ends_with(rest)
}

/// Names with a `*` in them, by which a table knows what it does not hold by itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patterns(Vec<Box<str>>);

impl Patterns {
    /// Adds a name, if it has a `*`.
    pub(crate) fn add(&mut self, name: &str) {
        if name.contains('*') && !self.0.iter().any(|known| **known == *name) {
            let at = self.0.partition_point(|known| known.len() >= name.len());
            self.0.insert(at, name.into());
        }
    }

    /// The longest that fits a name.
    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        let mut patterns = self.0.iter().map(|pattern| &**pattern);
        patterns.find(|pattern| captured(pattern, name).is_some())
    }
}

/// What the one `*` of a pattern stands for in a name, if it fits.
pub(crate) fn captured<'a>(pattern: &str, name: &'a str) -> Option<&'a str> {
    let (head, tail) = pattern.split_once('*')?;
    name.strip_prefix(head)?.strip_suffix(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("*", "openai/gpt", true),
            ("openai/*", "openai/gpt", true),
            ("openai/*", "openai", false),
            ("openai/gpt", "openai/gpt", true),
            ("openai/gpt", "openai/gpt-4", false),
            ("*mini", "gpt-4o-mini", true),
            ("*mini", "gpt-4o-mini-x", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
