//! A target's model as a part of a URL, and the request that goes there.

use std::fmt::{self, Write};

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header, uri::InvalidUri};

use crate::{
    body::Full,
    error::{Class, Error, Kind, Origin},
};

/// Escapes all that is not unreserved (RFC 3986 §2.3), so that a name cannot leave its segment.
pub(super) fn segment(name: &str, out: &mut String) {
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => write!(out, "%{byte:02X}").expect("a string takes all that is written"),
        }
    }
}

/// A URL for `Debug`: without a user, a password and a query, which should not be in it and are nobody's to
/// see.
pub(super) struct Shown<'a>(pub(super) &'a str);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.0.split(['?', '#']).next().unwrap_or_default();
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = authority.rsplit('@').next().unwrap_or_default();
        write!(f, "{scheme}://{host}{path}")
    }
}

/// The error for a model whose name makes no URL.
pub(super) fn unusable(source: InvalidUri) -> Error {
    Error::new(
        Kind::BadUpstream,
        "The model's name at the provider cannot stand in a URL.",
    )
    .with_code("upstream_model_not_found")
    .with_class(Class::ModelGone)
    .with_origin(Origin::Gateway)
    .with_source(source)
}

/// A `POST` of JSON.
pub(super) fn post(uri: Uri, body: Bytes) -> Request<Full> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::USER_AGENT, HeaderValue::from_static(super::AGENT));
    request
}
