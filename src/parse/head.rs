use http::{HeaderMap, header, request::Parts};

use crate::error::{Error, Kind};

/// What the head alone says against reading the body.
pub(super) fn check(parts: &Parts, max_bytes: usize) -> Result<(), Error> {
    if let Some(length) = parts.headers.get(header::CONTENT_LENGTH) {
        let length = length
            .to_str()
            .ok()
            .and_then(|text| text.parse::<u64>().ok());
        if length.is_some_and(|length| length > max_bytes as u64) {
            return Err(too_large(max_bytes));
        }
    }
    if !is_json(&parts.headers) {
        let message = "The content type must be application/json.";
        return Err(Error::new(Kind::MediaType, message));
    }
    let mut encodings = parts.headers.get_all(header::CONTENT_ENCODING).iter();
    if encodings.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let message = "The body must not be compressed: content-encoding is not supported.";
        return Err(Error::new(Kind::MediaType, message));
    }
    Ok(())
}

/// A missing content type is taken as JSON; two of them are none that can be trusted.
fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(value) = values.next() else {
        return true;
    };
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
