//! Reading TOML so that every mistake is reported at once, each with its key and what was expected.

use std::{
    collections::BTreeSet,
    fmt::{Display, Write as _},
    ops::RangeInclusive,
    time::Duration,
};

use toml::{Table, Value};
use tower_completions::cost::Price;

use crate::values::{Beyond, below};

const MILLIS: RangeInclusive<u64> = 1..=86_400_000;

/// The mistakes found so far.
#[derive(Debug, Default)]
pub struct Mistakes {
    lines: Vec<String>,
    /// What the environment had for the names in the file: it may be secret, and is not told.
    expanded: Vec<(String, String)>,
    beyond: Beyond,
}

impl Mistakes {
    /// None yet, in a file with these numbers.
    pub fn new(beyond: Beyond) -> Self {
        Self {
            beyond,
            ..Self::default()
        }
    }

    pub fn add(&mut self, key: &str, expected: impl Display) {
        self.lines.push(format!("{key}: {expected}"));
    }

    /// With names where their values would be told.
    pub fn into_lines(self) -> Vec<String> {
        let hide = |line: String| {
            self.expanded.iter().fold(line, |line, (name, value)| {
                let quoted = format!("{value:?}");
                let name = format!("${{{name}}}");
                line.replace(&quoted[1..quoted.len() - 1], &name)
                    .replace(value, &name)
            })
        };
        self.lines.into_iter().map(hide).collect()
    }
}

/// One table of the file. Asking for a key marks it as known; [`Section::finish`] reports the rest.
#[derive(Debug)]
pub struct Section {
    path: String,
    table: Table,
    known: BTreeSet<&'static str>,
}

impl Section {
    pub fn new(path: impl Into<String>, table: Table) -> Self {
        Self {
            path: path.into(),
            table,
            known: BTreeSet::new(),
        }
    }

    /// The full path of a key of this table.
    pub fn key(&self, name: &str) -> String {
        below(&self.path, name)
    }

    pub fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.insert(name);
        self.table.get(name).cloned()
    }

    pub fn string(&mut self, name: &'static str, mistakes: &mut Mistakes) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => expand(&self.key(name), &text, mistakes),
            other => {
                mistakes.add(
                    &self.key(name),
                    format!("expected a string, got {}", kind(&other)),
                );
                None
            }
        }
    }

    pub fn required(&mut self, name: &'static str, mistakes: &mut Mistakes) -> String {
        if !self.has(name) {
            self.known.insert(name);
            mistakes.add(&self.key(name), "is missing, expected a string");
            return String::new();
        }
        match self.string(name, mistakes) {
            Some(text) if text.is_empty() => {
                mistakes.add(&self.key(name), "must not be empty");
                text
            }
            text => text.unwrap_or_default(),
        }
    }

    pub fn integer(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        mistakes: &mut Mistakes,
    ) -> Option<u64> {
        let value = self.take(name)?;
        let expected = format!(
            "expected an integer from {} to {}",
            range.start(),
            range.end()
        );
        if let Some(written) = mistakes.beyond.get(&self.key(name)) {
            let got = format!("{expected}, got {written}");
            mistakes.add(&self.key(name), got);
            return None;
        }
        match value.as_integer().map(u64::try_from) {
            Some(Ok(number)) if range.contains(&number) => Some(number),
            Some(_) => {
                mistakes.add(&self.key(name), format!("{expected}, got {value}"));
                None
            }
            None => {
                mistakes.add(&self.key(name), format!("{expected}, got {}", kind(&value)));
                None
            }
        }
    }

    pub fn flag(&mut self, name: &'static str, mistakes: &mut Mistakes) -> Option<bool> {
        match self.take(name)? {
            Value::Boolean(flag) => Some(flag),
            other => {
                let expected = format!("expected true or false, got {}", kind(&other));
                mistakes.add(&self.key(name), expected);
                None
            }
        }
    }

    pub fn strings(&mut self, name: &'static str, mistakes: &mut Mistakes) -> Option<Vec<String>> {
        let items = self.array(name, mistakes)??;
        let mut found = Vec::new();
        for (at, item) in items.into_iter().enumerate() {
            let key = format!("{}[{at}]", self.key(name));
            match item {
                Value::String(text) => found.extend(expand(&key, &text, mistakes)),
                other => mistakes.add(&key, format!("expected a string, got {}", kind(&other))),
            }
        }
        Some(found)
    }

    fn array(&mut self, name: &'static str, mistakes: &mut Mistakes) -> Option<Option<Vec<Value>>> {
        match self.take(name)? {
            Value::Array(items) => Some(Some(items)),
            other => {
                mistakes.add(
                    &self.key(name),
                    format!("expected an array, got {}", kind(&other)),
                );
                Some(None)
            }
        }
    }

    /// A number, whether written as an integer or not.
    pub fn number(&mut self, name: &'static str, mistakes: &mut Mistakes) -> Option<f64> {
        let value = self.take(name)?;
        if let Some(written) = mistakes.beyond.get(&self.key(name)) {
            let got = format!("expected a number of 64 bits, got {written}");
            mistakes.add(&self.key(name), got);
            return None;
        }
        match value {
            // A bound is small: a double holds it.
            Value::Integer(number) => Some(number as f64),
            Value::Float(number) if number.is_finite() => Some(number),
            other => {
                mistakes.add(
                    &self.key(name),
                    format!("expected a number, got {}", kind(&other)),
                );
                None
            }
        }
    }

    /// Whether a key holds a table.
    pub fn is_section(&self, name: &str) -> bool {
        self.table.get(name).is_some_and(Value::is_table)
    }

    /// A table of this table; an empty one when it is absent.
    pub fn section(&mut self, name: &'static str, mistakes: &mut Mistakes) -> Self {
        let path = self.key(name);
        match self.take(name) {
            None => Self::new(path, Table::new()),
            Some(Value::Table(table)) => Self::new(path, table),
            Some(other) => {
                mistakes.add(&path, format!("expected a table, got {}", kind(&other)));
                Self::new(path, Table::new())
            }
        }
    }

    /// An array of tables; none when it is absent.
    pub fn sections(&mut self, name: &'static str, mistakes: &mut Mistakes) -> Vec<Self> {
        let items = self.array(name, mistakes).flatten().unwrap_or_default();
        let path = self.key(name);
        let mut found = Vec::new();
        for (at, item) in items.into_iter().enumerate() {
            let path = format!("{path}[{at}]");
            match item {
                Value::Table(table) => found.push(Self::new(path, table)),
                other => mistakes.add(&path, format!("expected a table, got {}", kind(&other))),
            }
        }
        found
    }

    /// Reports the keys that nobody asked for.
    pub fn finish(self, mistakes: &mut Mistakes) {
        for name in self
            .table
            .keys()
            .filter(|name| !self.known.contains(name.as_str()))
        {
            let mut expected = String::from("is not a known key, expected one of");
            for (at, known) in self.known.iter().enumerate() {
                let comma = if at == 0 { "" } else { "," };
                let _ = write!(expected, "{comma} {known}");
            }
            mistakes.add(&self.key(name), expected);
        }
    }
}

/// The entries of an array of tables.
pub fn each<T>(
    section: &mut Section,
    name: &'static str,
    mistakes: &mut Mistakes,
    read: impl Fn(&mut Section, &mut Mistakes) -> T,
) -> Vec<T> {
    let mut found = Vec::new();
    for mut section in section.sections(name, mistakes) {
        found.push(read(&mut section, mistakes));
        section.finish(mistakes);
    }
    found
}

/// A string that is one of some words.
pub fn one_of(
    section: &mut Section,
    name: &'static str,
    allowed: &[&str],
    mistakes: &mut Mistakes,
) -> Option<String> {
    let text = section.string(name, mistakes)?;
    if !allowed.contains(&text.as_str()) {
        mistakes.add(
            &section.key(name),
            format!("expected one of {}, got {text:?}", allowed.join(", ")),
        );
    }
    Some(text)
}

/// A time in milliseconds, at most a day.
pub fn millis(
    section: &mut Section,
    name: &'static str,
    default: u64,
    mistakes: &mut Mistakes,
) -> Duration {
    Duration::from_millis(section.integer(name, MILLIS, mistakes).unwrap_or(default))
}

pub fn small(number: Option<u64>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok())
}

/// Where a store is: `memory`, or what begins with one of some schemes.
pub fn place(section: &mut Section, prefixes: &[&str], mistakes: &mut Mistakes) -> String {
    let store = section
        .string("store", mistakes)
        .unwrap_or_else(|| "memory".to_owned());
    let fits = |prefix: &&str| store.len() > prefix.len() && store.starts_with(prefix);
    if store != "memory" && !prefixes.iter().any(fits) {
        // What follows the scheme may hold a password.
        let scheme = store
            .split_once(':')
            .map_or(store.as_str(), |(scheme, _)| scheme);
        let prefixes = prefixes.join("…, ");
        mistakes.add(
            &section.key("store"),
            format!("expected memory or {prefixes}…, got {scheme:?}"),
        );
    }
    store
}

/// A decimal without sign or exponent, of a size and precision that money can hold.
pub fn is_price(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(fraction) && whole.len() <= 12 && fraction.len() <= 12
}

/// A decimal that is a price of a million tokens, or of one of what is counted by itself.
pub fn is_rate(text: &str) -> bool {
    is_price(text) && Price::new(text, "0").is_ok()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a float",
        Value::Boolean(_) => "a boolean",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "an array",
        Value::Table(_) => "a table",
    }
}

/// Puts in the environment for each `${NAME}`.
fn expand(key: &str, text: &str, mistakes: &mut Mistakes) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else {
            mistakes.add(key, "`${` without `}`");
            return None;
        };
        out.push_str(before);
        match std::env::var(name) {
            Ok(value) => {
                out.push_str(&value);
                // Less is no secret, and stands in many a word.
                if value.len() >= 4 {
                    mistakes.expanded.push((name.to_owned(), value));
                }
            }
            Err(_) => {
                mistakes.add(key, format!("the environment has no variable {name}"));
                return None;
            }
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}
