use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Request, header, header::InvalidHeaderValue};

use crate::{
    body::Full,
    error::{Class, Error, Kind, Origin},
};

/// A secret that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Keeps a secret.
    pub fn new(secret: impl Into<Arc<str>>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for the header it belongs in.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Puts `Authorization: Bearer …` into a request, marked as sensitive.
///
/// # Errors
/// A key that no header can carry.
pub fn bearer(request: &mut Request<Full>, key: &str) -> Result<(), Error> {
    insert(request, header::AUTHORIZATION, bearing(key))
}

fn bearing(key: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = Vec::with_capacity(7 + key.len());
    value.extend_from_slice(b"Bearer ");
    value.extend_from_slice(key.as_bytes());
    HeaderValue::from_maybe_shared(Bytes::from(value))
}

/// The header of [`bearer`], made once: a copy of it shares the text.
#[derive(Clone)]
pub(super) struct Bearer(HeaderValue);

impl Bearer {
    /// `None` for a key that no header can carry.
    pub(super) fn of(key: &Secret) -> Option<Self> {
        let mut value = bearing(key.expose()).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    pub(super) fn put(&self, request: &mut Request<Full>) {
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, self.0.clone());
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(..)")
    }
}

/// Puts a credential into a header of its own, marked as sensitive.
///
/// # Errors
/// A value that no header can carry.
pub fn header(
    request: &mut Request<Full>,
    name: http::HeaderName,
    value: &str,
) -> Result<(), Error> {
    insert(request, name, HeaderValue::from_str(value))
}

fn insert(
    request: &mut Request<Full>,
    name: http::HeaderName,
    value: Result<HeaderValue, InvalidHeaderValue>,
) -> Result<(), Error> {
    let mut value = value.map_err(|source| {
        Error::new(
            Kind::BadUpstream,
            "The upstream's credential cannot be sent.",
        )
        .with_code("upstream_unauthorized")
        .with_class(Class::Credential)
        .with_origin(Origin::Gateway)
        .with_source(source)
    })?;
    value.set_sensitive(true);
    request.headers_mut().insert(name, value);
    Ok(())
}
