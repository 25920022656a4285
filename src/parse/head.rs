use http::{HeaderMap, header, request::Parts};

use super::{Decode, ReadLimits, content::Encoding};
use crate::error::{Error, Kind};

/// What the head alone says against reading the body; how that is encoded.
pub(super) fn check(parts: &Parts, limits: &ReadLimits) -> Result<Encoding, Error> {
    if let Some(length) = parts.headers.get(header::CONTENT_LENGTH) {
        let length = length
            .to_str()
            .ok()
            .and_then(|text| text.parse::<u64>().ok());
        if length.is_some_and(|length| length > limits.max_bytes as u64) {
            return Err(too_large(limits.max_bytes));
        }
    }
    if !is_json(&parts.headers) {
        let message = "The content type must be application/json.";
        return Err(Error::new(Kind::MediaType, message));
    }
    encoding(&parts.headers, limits.decode)
}

/// The one encoding of the body; several on top of one another are not undone.
fn encoding(headers: &HeaderMap, decode: Decode) -> Result<Encoding, Error> {
    let names = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut names = names.filter(|name| !name.as_bytes().eq_ignore_ascii_case(b"identity"));
    let refused = match (names.next(), decode) {
        (None, _) => return Ok(Encoding::Identity),
        #[cfg(feature = "gzip")]
        (Some(name), Decode::Gzip) => {
            let name = name.as_bytes();
            // RFC 9110 section 8.4.1.3 has both names for it.
            let is_gzip = [&b"gzip"[..], b"x-gzip"]
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known));
            if is_gzip && names.next().is_none() {
                return Ok(Encoding::Gzip);
            }
            "The only content encoding that is supported is gzip, once."
        }
        (Some(_), Decode::Nothing) => {
            "The body must not be compressed: content-encoding is not supported."
        }
    };
    Err(Error::new(Kind::MediaType, refused))
}

/// A missing content type is taken as JSON; two of them are none that can be trusted.
fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(value) = values.next() else {
        return true;
    };
    if value.as_bytes() == b"application/json" {
        // As nearly every client says it.
        return values.next().is_none();
    }
    let Some(text) = value.to_str().ok().filter(|_| values.next().is_none()) else {
        return false;
    };
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let json =
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"));
    // JSON is UTF-8; a charset that says otherwise would be read wrongly.
    json && parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            let value = value.trim().trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
        }
        _ => true,
    })
}

pub(super) fn too_large(max_bytes: usize) -> Error {
    Error::new(
        Kind::TooLarge,
        format!("The body is larger than {max_bytes} bytes."),
    )
}

pub(super) fn too_slow() -> Error {
    Error::new(Kind::Timeout, "The body took too long to arrive.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        for (values, fits) in [
            (&[][..], true),
            (&["application/json"], true),
            (&["Application/JSON; charset=UTF-8"], true),
            (&["application/json; charset=\"utf-8\"; x=y"], true),
            (&["application/problem+json"], true),
            (&["application/json; charset=utf-16"], false),
            (&["text/plain"], false),
            (&["text/json"], false),
            (&["application/json", "application/json"], false),
            (&[""], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_TYPE, value.parse().expect("a value"));
            }
            assert_eq!(is_json(&headers), fits, "{values:?}");
        }
    }
}
