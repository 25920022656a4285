//! Objects of the Messages API of which every member is read, or told to be dropped.

use std::borrow::Cow;

use serde::de::{IgnoredAny, MapAccess};

use crate::wire::chat::Text;

/// The most names that are kept of what is dropped; a client that sends more has been told enough.
const MOST: usize = 128;

/// What is dropped on the way, by name, each once.
#[derive(Debug, Default)]
pub(super) struct Dropped(Vec<Cow<'static, str>>);

impl Dropped {
    pub(super) fn names(&self) -> &[Cow<'static, str>] {
        &self.0
    }

    pub(super) fn add(&mut self, name: &'static str) {
        self.member("", name);
    }

    /// A member of what stands at a path, which ends in a dot.
    pub(super) fn member(&mut self, path: &'static str, name: &str) {
        let is_it = |there: &Cow<'_, str>| there.strip_prefix(path) == Some(name);
        if self.0.len() < MOST && !self.0.iter().any(is_it) {
            self.0.push(format!("{path}{name}").into());
        }
    }

    /// What nobody here knows.
    pub(super) fn unknown(&mut self, path: &'static str, unknown: &Unknown<'_>) {
        for name in &unknown.0 {
            self.member(path, name);
        }
    }
}

/// The names of an object's members that are not known. A null says nothing.
#[derive(Default)]
pub(super) struct Unknown<'a>(Vec<Text<'a>>);

impl<'a> Unknown<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the member that has this name.
    pub(super) fn take<A: MapAccess<'a>>(
        &mut self,
        name: Text<'a>,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let says = map.next_value::<Option<IgnoredAny>>()?.is_some();
        if says && self.0.len() < MOST {
            self.0.push(name);
        }
        Ok(())
    }
}

/// Declares objects by their members, each of which may be absent or null; the names of the others
/// are in `unknown`.
macro_rules! objects {
    ($($(#[$about:meta])* $name:ident<$life:lifetime> {
        $($field:ident: $kind:ty = $key:literal,)*
    })*) => {$(
        $(#[$about])*
        #[derive(Default)]
        pub(super) struct $name<$life> {
            $(pub(super) $field: Option<$kind>,)*
            pub(super) unknown: $crate::messages::members::Unknown<$life>,
        }

        impl<$life> serde::Deserialize<$life> for $name<$life> {
            fn deserialize<D: serde::Deserializer<$life>>(from: D) -> Result<Self, D::Error> {
                struct Each<$life>(std::marker::PhantomData<&$life ()>);

                impl<$life> serde::de::Visitor<$life> for Each<$life> {
                    type Value = $name<$life>;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<$life>>(
                        self,
                        mut map: A,
                    ) -> Result<Self::Value, A::Error> {
                        let mut all = $name::default();
                        while let Some(name) = map.next_key::<Text<$life>>()? {
                            match name.as_str() {
                                $($key if all.$field.is_some() => {
                                    return Err(serde::de::Error::duplicate_field($key));
                                }
                                $key => all.$field = map.next_value()?,)*
                                _ => all.unknown.take(name, &mut map)?,
                            }
                        }
                        Ok(all)
                    }
                }

                from.deserialize_map(Each(std::marker::PhantomData))
            }
        }
    )*};
}

pub(super) use objects;
