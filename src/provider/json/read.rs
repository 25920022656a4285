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

    pub(in crate::provider) fn count(&mut self) -> Result<Option<u64>, Fault> {
        if self.cursor.peek()? == Type::Number {
            return Ok(self.cursor.number()?.as_u64());
        }
        self.skip().map(|()| None)
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
