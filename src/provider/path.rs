//! A target's model as a part of a URL, and the request that goes there.

use std::fmt::Write;

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
