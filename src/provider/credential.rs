use std::{fmt, sync::Arc};

use http::{HeaderValue, Request, header};

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
    header(request, header::AUTHORIZATION, &format!("Bearer {key}"))
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
    let mut value = HeaderValue::from_str(value).map_err(|source| {
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
