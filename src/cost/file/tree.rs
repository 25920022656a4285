//! A JSON text as a tree whose numbers are the text that they are.

use super::BadPrices;
use crate::wire::json::{Cursor, Fault, Type};

#[derive(Debug)]
pub(super) enum Tree {
    Text(String),
    Number(String),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
    Bool(bool),
    /// Null.
    Other,
}

impl Tree {
    pub(super) fn parse(text: &str) -> Result<Self, BadPrices> {
        let read = || {
            let mut cursor = Cursor::new(text);
            let tree = value(&mut cursor)?;
            cursor.end()?;
            Ok(tree)
        };
        read().map_err(|fault: Fault| BadPrices::new(format!("not JSON: {fault}")))
    }

    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let found = self.members().iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value)
    }

    pub(super) fn members(&self) -> &[(String, Self)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    pub(super) fn elements(&self) -> &[Self] {
        match self {
            Self::Array(elements) => elements,
            _ => &[],
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// A count, however spelled: a number of tokens. Zero is none.
    pub(super) fn count(&self) -> Option<u64> {
        let Self::Number(text) = self else {
            return None;
        };
        let count = Cursor::new(text).number().ok()?.as_u64();
        count.filter(|count| *count > 0)
    }

    /// A number, or a string that may be one.
    pub(super) fn number(&self) -> Option<&str> {
        match self {
            Self::Number(text) | Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Goes as deep as the cursor does.
fn value(cursor: &mut Cursor<'_>) -> Result<Tree, Fault> {
    Ok(match cursor.peek()? {
        Type::String => Tree::Text(cursor.string()?.cow().into_owned()),
        Type::Number => Tree::Number(cursor.number()?.text().to_owned()),
        Type::Array => {
            cursor.array()?;
            let mut elements = Vec::new();
            while cursor.element()? {
                elements.push(value(cursor)?);
            }
            Tree::Array(elements)
        }
        Type::Object => {
            cursor.object()?;
            let mut members = Vec::new();
            while let Some(key) = cursor.key()? {
                let key = key.cow().into_owned();
                members.push((key, value(cursor)?));
            }
            Tree::Object(members)
        }
        Type::Bool => Tree::Bool(cursor.bool()?),
        Type::Null => {
            cursor.null()?;
            Tree::Other
        }
    })
}
