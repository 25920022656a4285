use std::{
    borrow::Cow,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::OnceLock,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::value::RawValue;

use crate::wire::json::Cursor;

/// A string of the body: kept as it is spelled there, and resolved when its meaning is asked for, so
/// that what is only passed on is neither unescaped nor escaped again. `Debug` shows only its length.
#[derive(Clone, Default)]
pub struct Text<'a> {
    /// As it stands in the body, its quotes included.
    spelled: Option<&'a RawValue>,
    /// What it means, where that needs no work.
    plain: Option<Cow<'a, str>>,
    resolved: OnceLock<Box<str>>,
}

impl<'a> Text<'a> {
    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        if let Some(plain) = &self.plain {
            return plain;
        }
        self.resolved.get_or_init(|| {
            let spelled = self.spelled.map_or("\"\"", RawValue::get);
            // It was checked when it was read.
            serde_json::from_str(spelled).unwrap_or_default()
        })
    }

    /// The text, owned or still borrowed.
    #[must_use]
    pub fn into_cow(self) -> Cow<'a, str> {
        match self.plain {
            Some(plain) => plain,
            None => Cow::Owned(self.as_str().to_owned()),
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self.spelled {
            Some(spelled) => spelled.get().len() == 2,
            None => self.as_str().is_empty(),
        }
    }

    /// Leaves what stands before this byte, and gives what stands behind it.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        let (before, behind) = self.as_str().split_at(at);
        let (before, behind) = (before.to_owned(), behind.to_owned());
        *self = before.into();
        behind.into()
    }

    /// As it stands in the body, without its quotes; `None` for a text that is not of one.
    pub(crate) fn spelled(&self) -> Option<&'a str> {
        let spelled = self.spelled?.get();
        spelled.strip_prefix('"')?.strip_suffix('"')
    }

    fn plain(text: Cow<'a, str>) -> Self {
        Self {
            spelled: None,
            plain: Some(text),
            resolved: OnceLock::new(),
        }
    }

    /// From its spelling; `None` when that is not a string, or one of broken surrogates.
    pub(super) fn read(spelled: &'a RawValue) -> Option<Self> {
        let text = spelled.get();
        let inner = text.strip_prefix('"')?.strip_suffix('"')?;
        let escape = memchr::memchr(b'\\', inner.as_bytes());
        if let Some(at) = escape {
            // All else has been checked with the JSON; halves of pairs have not.
            if memchr::memmem::find(&inner.as_bytes()[at..], b"\\u").is_some() {
                Cursor::new(text).skip().ok()?;
            }
        }
        Some(Self {
            spelled: Some(spelled),
            plain: escape.is_none().then_some(Cow::Borrowed(inner)),
            resolved: OnceLock::new(),
        })
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text<'_> {}

impl Hash for Text<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::plain(Cow::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self::plain(Cow::Owned(text))
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.as_str().len())
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.spelled {
            Some(spelled) => spelled.serialize(serializer),
            None => serializer.serialize_str(self.as_str()),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spelled = <&RawValue>::deserialize(deserializer)?;
        Self::read(spelled).ok_or_else(|| D::Error::custom("expected a string"))
    }
}

/// A value kept as the JSON text that it was. `Debug` shows only its length.
#[derive(Clone, Copy)]
pub struct Raw<'a>(pub &'a RawValue);

impl<'a> Raw<'a> {
    /// The JSON text.
    #[must_use]
    pub fn get(&self) -> &'a str {
        self.0.get()
    }
}

impl fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({} bytes)", self.0.get().len())
    }
}

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(Raw)
    }
}

/// An integer, however it is spelt: `100`, `100.0` and `1e2` are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Integer(pub i64);

impl Integer {
    /// The value where it is not negative, else 0.
    #[must_use]
    pub fn to_u64(self) -> u64 {
        u64::try_from(self.0).unwrap_or(0)
    }
}

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spelled = <&'de RawValue>::deserialize(deserializer)?;
        let number = Cursor::new(spelled.get()).number();
        let number = number.map_err(|_| D::Error::custom("expected an integer"))?;
        match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Ok(Self(value)),
            (None, Some(_)) => Ok(Self(i64::MAX)),
            (None, None) => Err(D::Error::custom("expected an integer")),
        }
    }
}
