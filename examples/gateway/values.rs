//! TOML as values, so that a number too large for one is told by its key as every other mistake.

use std::collections::BTreeMap;

use toml::{
    Table, Value,
    de::{DeTable, DeValue},
};

/// Numbers that no value of TOML's holds, by their keys, as they are written.
pub type Beyond = BTreeMap<String, String>;

/// Reads a file. Another number stands in the place of one that no value holds: who asks for its key looks
/// among these first.
///
/// # Errors
/// What is wrong with a text that is no TOML.
pub fn parse(text: &str) -> Result<(Table, Beyond), String> {
    let table = DeTable::parse(text).map_err(|error| not_toml(text, &error))?;
    let mut beyond = Beyond::new();
    let table = values("", table.into_inner(), &mut beyond);
    Ok((table, beyond))
}

fn values(path: &str, table: DeTable<'_>, beyond: &mut Beyond) -> Table {
    let mut all = Table::new();
    for (name, item) in table {
        let name = name.into_inner().into_owned();
        let value = value(&below(path, &name), item.into_inner(), beyond);
        all.insert(name, value);
    }
    all
}

fn value(key: &str, item: DeValue<'_>, beyond: &mut Beyond) -> Value {
    match item {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Integer(number) => {
            let read = i64::from_str_radix(number.as_str(), number.radix());
            Value::Integer(read.unwrap_or_else(|_| {
                beyond.insert(key.to_owned(), number.to_string());
                i64::MAX
            }))
        }
        DeValue::Float(number) => {
            let text = number.as_str();
            let read = text.parse().unwrap_or(f64::NAN);
            if read.is_infinite() && !text.contains("inf") {
                beyond.insert(key.to_owned(), text.to_owned());
            }
            Value::Float(read)
        }
        DeValue::Boolean(flag) => Value::Boolean(flag),
        DeValue::Datetime(time) => Value::Datetime(time),
        DeValue::Array(items) => {
            let items = items.into_iter().enumerate();
            let read = items.map(|(at, item)| {
                let key = format!("{key}[{at}]");
                value(&key, item.into_inner(), beyond)
            });
            Value::Array(read.collect())
        }
        DeValue::Table(table) => Value::Table(values(key, table, beyond)),
    }
}

/// The full path of a key of the table at `path`.
pub fn below(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// What is wrong with a text that is no TOML, and where. The line itself may hold a secret.
fn not_toml(text: &str, error: &toml::de::Error) -> String {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}: {}", error.message())
}
