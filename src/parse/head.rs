use http::{HeaderMap, HeaderValue, header, request::Parts};

use super::{Decode, ReadLimits, content::Encoding};
use crate::error::{Error, Kind};

/// What the head alone says against reading the body; how that is encoded.
pub(super) fn check(parts: &Parts, limits: &ReadLimits) -> Result<Encoding, Error> {
    let head = Head::of(&parts.headers);
    let length = head.length.and_then(|length| length.to_str().ok());
    let length = length.and_then(|text| text.parse::<u64>().ok());
    if length.is_some_and(|length| length > limits.max_bytes as u64) {
        return Err(too_large(limits.max_bytes));
    }
    if !head.is_json() {
        let message = "The content type must be application/json.";
        return Err(Error::new(Kind::MediaType, message));
    }
    if head.encoded {
        encoding(&parts.headers, limits.decode)
    } else {
        Ok(Encoding::Identity)
    }
}

/// The headers that speak of the body, found in one pass: there are few, and a look-up of each takes
/// longer.
#[derive(Default)]
struct Head<'a> {
    length: Option<&'a HeaderValue>,
    kind: Option<&'a HeaderValue>,
    /// There is more than one type.
    kinds: bool,
    encoded: bool,
}

impl<'a> Head<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let mut head = Self::default();
        for (name, value) in headers {
            if *name == header::CONTENT_TYPE {
                head.kinds = head.kind.is_some();
                head.kind = head.kind.or(Some(value));
            } else if *name == header::CONTENT_LENGTH {
                head.length = head.length.or(Some(value));
            } else if *name == header::CONTENT_ENCODING {
                head.encoded = true;
            }
        }
        head
    }
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

impl Head<'_> {
    /// A missing content type is taken as JSON; two of them are none that can be trusted.
    fn is_json(&self) -> bool {
        let Some(value) = self.kind else {
            return true;
        };
        // As nearly every client says it.
        !self.kinds && (value.as_bytes() == b"application/json" || is_json(value))
    }
}

fn is_json(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else {
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
    fn one_pass_finds_what_looking_up_finds() {
        let names = [
            header::CONTENT_TYPE,
            header::CONTENT_LENGTH,
            header::CONTENT_ENCODING,
            header::ACCEPT,
        ];
        // Every row of up to five of them, in every order.
        for row in 0..5_usize.pow(5) {
            let mut headers = HeaderMap::new();
            for place in 0..5 {
                if let Some(name) = names.get(row / 5_usize.pow(place) % 5) {
                    headers.append(name, HeaderValue::from(place));
                }
            }
            let head = Head::of(&headers);
            let kinds = headers.get_all(header::CONTENT_TYPE).iter().count();
            assert_eq!(head.kind, headers.get(header::CONTENT_TYPE));
            assert_eq!(head.kinds, kinds > 1);
            assert_eq!(head.length, headers.get(header::CONTENT_LENGTH));
            let encoded = headers.contains_key(header::CONTENT_ENCODING);
            assert_eq!(head.encoded, encoded);
        }
    }

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
            assert_eq!(Head::of(&headers).is_json(), fits, "{values:?}");
        }
    }
}
