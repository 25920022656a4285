//! Members that the API leaves to others: what the validator lets pass must be readable here.

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess},
};
use serde_json::value::RawValue;

use super::{Raw, Text};

/// A member that the API does not know, where it has the type that those who use it give it; of any
/// other it says nothing here.
pub(super) fn known<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let spelled = <&RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(spelled.get()).ok())
}

/// The same for a text, which may be long: it is passed over once.
pub(super) fn text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Text<'de>>, D::Error> {
    let spelled = <&RawValue>::deserialize(deserializer)?;
    Ok(Text::read(spelled))
}

/// The value of a member that counts only where the `type` of its object names it. Where another kind
/// is named it may be anything.
pub(super) enum Payload<'a, T> {
    Absent,
    Read(T),
    /// The kind was not known yet, or is none that this API knows.
    Spelled(&'a RawValue),
}

impl<'de, T: Deserialize<'de>> Payload<'de, T> {
    /// Reads the value that is due. `kind` is the `type` as far as it is known, `of` the one that
    /// this member belongs to.
    pub(super) fn next<A: MapAccess<'de>>(
        map: &mut A,
        kind: Option<&str>,
        of: &str,
        kinds: &[&str],
    ) -> Result<Self, A::Error> {
        match kind {
            Some(kind) if kind == of => {
                let value: Option<T> = map.next_value()?;
                Ok(value.map_or(Self::Absent, Self::Read))
            }
            Some(kind) if kinds.contains(&kind) => {
                map.next_value::<IgnoredAny>()?;
                Ok(Self::Absent)
            }
            _ => map.next_value().map(Self::Spelled),
        }
    }

    /// What it is, now that the object has ended.
    pub(super) fn done<E: Error>(
        self,
        kind: Option<&str>,
        of: &str,
        kinds: &[&str],
    ) -> Result<Option<T>, E> {
        match self {
            Self::Absent => Ok(None),
            Self::Read(value) => Ok(Some(value)),
            Self::Spelled(_) if kind.is_some_and(|kind| kind != of && kinds.contains(&kind)) => {
                Ok(None)
            }
            Self::Spelled(spelled) => serde_json::from_str(spelled.get()).map_err(E::custom),
        }
    }
}

/// The payload of a small object, as it is spelled: read where the `type` of the object is its own or
/// none that this API knows.
pub(super) fn payload<'a, T: Deserialize<'a>, E: Error>(
    spelled: Option<Raw<'a>>,
    kind: Option<&str>,
    of: &str,
    kinds: &[&str],
) -> Result<Option<T>, E> {
    let payload = spelled.map_or(Payload::Absent, |raw| Payload::Spelled(raw.0));
    payload.done(kind, of, kinds)
}
