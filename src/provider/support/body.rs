//! Bodies of requests, in and out.

use bytes::Bytes;
use http::{HeaderValue, Uri, header};
use serde::Serialize;

use crate::{
    body::Full,
    error::{Error, Kind},
    parse::Chat,
    provider::AGENT,
    wire::chat::Request,
};

/// A request with a JSON body.
pub(in crate::provider) fn post(uri: Uri, body: Bytes) -> http::Request<Full> {
    let mut request = http::Request::new(Full::new(body));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::USER_AGENT, AGENT),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    request
}

/// Writes a body of about the length of the one it is made of, so that no text is copied twice.
pub(in crate::provider) fn write(body: &impl Serialize, length: usize) -> Bytes {
    let mut text = Vec::with_capacity(length + 512);
    serde_json::to_writer(&mut text, body).expect("values serialise into memory");
    text.into()
}

/// Reads a request as types.
pub(in crate::provider) fn parse(chat: &Chat) -> Result<Request<'_>, Error> {
    chat.typed().map_err(|error| {
        Error::new(Kind::Format, "The request is not of the expected shape.")
            .with_code("invalid_type")
            .with_source(error)
    })
}
