use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Spelled;
use crate::wire::json::{Cursor, Fault, Type};

/// Reads a provider's JSON in place, leniently: a member of another type than expected is as good as
/// absent. Broken JSON is not.
pub(in crate::provider) struct Reader<'a> {
    text: &'a str,
    cursor: Cursor<'a>,
}

impl<'a> Reader<'a> {
    /// `None` when it is not UTF-8.
    pub(in crate::provider) fn new(data: &'a [u8]) -> Option<Self> {
        std::str::from_utf8(data).ok().map(Self::over)
    }

    pub(in crate::provider) fn over(text: &'a str) -> Self {
        Self {
            text,
            cursor: Cursor::new(text),
        }
    }

    /// Goes through the members of an object; each call reads or skips one value.
    pub(in crate::provider) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &'a str) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.cursor.peek()? != Type::Object {
            return self.skip();
        }
        self.cursor.object()?;
        while let Some(key) = self.cursor.key()? {
            member(self, key.raw())?;
        }
        Ok(())
    }

    /// Goes through the elements of an array.
    pub(in crate::provider) fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.cursor.peek()? != Type::Array {
            return self.skip();
        }
        self.cursor.array()?;
        while self.cursor.element()? {
            element(self)?;
        }
        Ok(())
    }

    pub(in crate::provider) fn string(&mut self) -> Result<Option<Spelled<'a>>, Fault> {
        if self.cursor.peek()? == Type::String {
            return Ok(Some(Spelled(self.cursor.string()?.raw())));
        }
        self.skip().map(|()| None)
    }

    /// A whole number; as a string as well, as some proxies write it.
    pub(in crate::provider) fn count(&mut self) -> Result<Option<u64>, Fault> {
        match self.cursor.peek()? {
            Type::Number => Ok(self.cursor.number()?.as_u64()),
            Type::String => Ok(digits(self.cursor.string()?.raw())),
            _ => self.skip().map(|()| None),
        }
    }

    pub(in crate::provider) fn bool(&mut self) -> Result<Option<bool>, Fault> {
        if self.cursor.peek()? == Type::Bool {
            return self.cursor.bool().map(Some);
        }
        self.skip().map(|()| None)
    }

    /// A whole value as it stands; `None` for null.
    pub(in crate::provider) fn raw(&mut self) -> Result<Option<&'a str>, Fault> {
        let kind = self.cursor.peek()?;
        let range = self.cursor.skip()?;
        Ok((kind != Type::Null).then(|| &self.text[range]))
    }

    pub(in crate::provider) fn is_null(&mut self) -> Result<bool, Fault> {
        self.cursor.peek().map(|kind| kind == Type::Null)
    }

    pub(in crate::provider) fn skip(&mut self) -> Result<(), Fault> {
        self.cursor.skip().map(drop)
    }

    /// Checks that nothing follows.
    pub(in crate::provider) fn end(&mut self) -> Result<(), Fault> {
        self.cursor.end()
    }
}

fn digits(text: &str) -> Option<u64> {
    // A sign is none of a count.
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// A member that is a count, read as leniently.
pub(in crate::provider) fn count<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    Ok(Reader::over(raw.get()).count().ok().flatten())
}

/// A member that is as good as absent where it cannot be read.
pub(in crate::provider) fn readable<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let raw = <&RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).ok())
}
