//! Arguments of a call that come in pieces, each under the path of its value.
//!
//! Vertex AI sends them so where a request asks for it (`streamFunctionCallArguments`). A string may come
//! in several pieces; members and elements come in their order. Source: the provider's reference of
//! `PartialArg`, read 2026-11.

use serde_json::value::RawValue;

use crate::{error::Error, provider::nonsense, wire::Members};

/// The most that is kept of one call, in bytes.
const LONGEST: usize = 4 << 20;

/// Objects and lists within one another, and the members or elements of one.
const DEEPEST: usize = 64;
const WIDEST: usize = 4096;

/// What has come so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Pieces {
    root: Tree,
    held: usize,
}

#[derive(Clone, Debug, Default)]
enum Tree {
    /// Nothing yet.
    #[default]
    Empty,
    Text(String),
    /// JSON of one token.
    Plain(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

/// A step of a path.
enum Step {
    Name(String),
    Index(usize),
}

impl Pieces {
    /// Takes an array of pieces, as it stands.
    pub(super) fn push(&mut self, json: &str) -> Result<(), Error> {
        self.held = self.held.saturating_add(json.len());
        if self.held > LONGEST {
            return Err(nonsense("the arguments of a call are too long"));
        }
        let pieces: Option<Vec<Members<'_>>> = serde_json::from_str(json).ok();
        let mut pieces = pieces.into_iter().flatten().peekable();
        let known = pieces.peek().is_some() || json.trim_matches(['[', ']', ' ']).is_empty();
        if known && pieces.all(|piece| self.take(&piece).is_some()) {
            return Ok(());
        }
        Err(nonsense("a piece of a call's arguments cannot be read"))
    }

    fn take(&mut self, piece: &Members<'_>) -> Option<()> {
        let path: String = serde_json::from_str(piece.get("jsonPath")?.get()).ok()?;
        let text = piece.get("stringValue");
        let plain = ["numberValue", "boolValue"];
        let plain = plain.into_iter().find_map(|name| piece.get(name));
        let plain = match (plain.map(RawValue::get), piece.get("nullValue")) {
            (Some(json), _) => Some(json),
            (None, Some(_)) => Some("null"),
            // One that goes on may have nothing to say yet.
            (None, None) if text.is_none() => return Some(()),
            (None, None) => None,
        };
        let tree = self.root.at(&steps(&path)?)?;
        match (tree, text, plain) {
            (Tree::Text(all), Some(text), _) => {
                let more: String = serde_json::from_str(text.get()).ok()?;
                all.push_str(&more);
            }
            (tree @ Tree::Empty, Some(text), _) => {
                *tree = Tree::Text(serde_json::from_str(text.get()).ok()?);
            }
            (tree @ (Tree::Empty | Tree::Plain(_)), None, Some(json)) => {
                *tree = Tree::Plain(json.to_owned());
            }
            _ => return None,
        }
        Some(())
    }

    /// All of it, the text of an object.
    pub(super) fn json(&self) -> String {
        let mut out = String::new();
        match &self.root {
            Tree::Empty => out.push_str("{}"),
            root => root.write(&mut out),
        }
        out
    }
}

impl Tree {
    /// The value at the end of a path, which is made where it is not there.
    fn at(&mut self, steps: &[Step]) -> Option<&mut Self> {
        let mut tree = self;
        for step in steps {
            tree = match step {
                Step::Name(name) => {
                    if matches!(tree, Self::Empty) {
                        *tree = Self::Object(Vec::new());
                    }
                    let Self::Object(members) = tree else {
                        return None;
                    };
                    let at = members.iter().position(|(key, _)| key == name);
                    let at = at.unwrap_or(members.len());
                    if at == members.len() {
                        members.push((name.clone(), Self::Empty));
                    }
                    &mut members.get_mut(at).filter(|_| at < WIDEST)?.1
                }
                Step::Index(at) => {
                    if matches!(tree, Self::Empty) {
                        *tree = Self::List(Vec::new());
                    }
                    let Self::List(elements) = tree else {
                        return None;
                    };
                    if *at == elements.len() {
                        elements.push(Self::Empty);
                    }
                    elements.get_mut(*at).filter(|_| *at < WIDEST)?
                }
            };
        }
        Some(tree)
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Empty => out.push_str("null"),
            Self::Plain(json) => out.push_str(json),
            Self::Text(text) => quote(text, out),
            Self::List(elements) => {
                out.push('[');
                for (at, element) in elements.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    element.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    quote(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

fn quote(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// Reads a path of RFC 9535 to one value below the root, such as `$.a.b[0]['c d']`.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() == DEEPEST {
            return None;
        }
        if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            steps.push(Step::Name(
                name.get(..end).filter(|name| !name.is_empty())?.to_owned(),
            ));
            rest = &name[end..];
            continue;
        }
        let inner = rest.strip_prefix('[')?;
        match inner.chars().next()? {
            quote @ ('\'' | '"') => {
                let (name, behind) = quoted(&inner[1..], quote)?;
                steps.push(Step::Name(name));
                rest = behind.strip_prefix(']')?;
            }
            _ => {
                let (digits, behind) = inner.split_once(']')?;
                steps.push(Step::Index(digits.parse().ok()?));
                rest = behind;
            }
        }
    }
    // The arguments are an object: what stands for all of them is no piece.
    matches!(steps.first(), Some(Step::Name(_))).then_some(steps)
}

/// A name within quotes, and what follows them.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.push(chars.next()?.1),
            c if c == quote => return Some((name, &text[at + 1..])),
            c => name.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_the_object_that_they_are_of() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.json(), "{}");
        for json in [
            r#"[{"jsonPath":"$.z","stringValue":"h\u00e9","willContinue":true}]"#,
            r#"[{"jsonPath":"$.z","willContinue":true},{"jsonPath":"$.z","stringValue":" \"y\""}]"#,
            "[]",
            r#"[{"jsonPath":"$.a[0].b","numberValue":1.50},{"jsonPath":"$.a[0].c","boolValue":true}]"#,
            r#"[{"jsonPath":"$.a[1]","nullValue":null},{"jsonPath":"$['c d'][\"e'\"]","nullValue":"NULL_VALUE"}]"#,
        ] {
            pieces.push(json).expect(json);
        }
        assert_eq!(
            pieces.json(),
            r#"{"z":"hé \"y\"","a":[{"b":1.50,"c":true},null],"c d":{"e'":null}}"#
        );
    }

    #[test]
    fn what_is_no_piece_is_an_error() {
        for path in [
            "", "$", "a", "$.", "$..a", "$[0]", "$.a[x]", "$.a[1]", "$.a[", "$['a", "$.t.a",
            "$.t[0]",
        ] {
            let mut pieces = Pieces::default();
            pieces
                .push(r#"[{"jsonPath":"$.t","stringValue":"x"}]"#)
                .expect("sound");
            let path = serde_json::Value::from(path);
            let json = format!(r#"[{{"jsonPath":{path},"stringValue":"x"}}]"#);
            assert!(pieces.push(&json).is_err(), "{path}");
        }
        let deep = format!("$.a{}", "[0]".repeat(DEEPEST));
        let mut pieces = Pieces::default();
        assert!(
            pieces
                .push(&format!(r#"[{{"jsonPath":"{deep}","boolValue":true}}]"#))
                .is_err()
        );
        assert!(pieces.push(r#"{"jsonPath":"$.a"}"#).is_err());
        let long = format!(
            r#"[{{"jsonPath":"$.a","stringValue":"{}"}}]"#,
            "x".repeat(LONGEST)
        );
        assert!(pieces.push(&long).is_err());
    }
}
