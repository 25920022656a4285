use std::fmt::Write;

use http::{Uri, uri::InvalidUri};

use super::{Api, Azure};
use crate::error::{Class, Error, Kind, Origin};

pub(super) fn uri(azure: &Azure, deployment: &str) -> Result<Uri, InvalidUri> {
    let mut text = String::from(&*azure.base);
    match azure.api {
        Api::V1 => text.push_str("/openai/v1/chat/completions"),
        Api::Deployments => {
            text.push_str("/openai/deployments/");
            segment(deployment, &mut text);
            text.push_str("/chat/completions");
        }
    }
    if let Some(version) = &azure.version {
        text.push_str("?api-version=");
        segment(version, &mut text);
    }
    text.parse()
}

/// Escapes all that is not unreserved (RFC 3986 §2.3), so that a name cannot leave its segment.
fn segment(name: &str, out: &mut String) {
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => write!(out, "%{byte:02X}").expect("a string takes all that is written"),
        }
    }
}

pub(super) fn unusable(source: InvalidUri) -> Error {
    Error::new(
        Kind::BadUpstream,
        "The deployment's name cannot stand in a URL.",
    )
    .with_code("upstream_model_not_found")
    .with_class(Class::ModelGone)
    .with_origin(Origin::Gateway)
    .with_source(source)
}
