//! AWS Signature Version 4, as a function of the request, the key and the time.
//!
//! Source: "Signature Version 4 signing process", AWS General Reference, and the cases of its
//! published test suite.

use std::{fmt::Write as _, time::SystemTime};

use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use sha2::{Digest as _, Sha256};

use super::{AccessKey, time::stamp};
use crate::{
    body::Full,
    error::{Class, Error, Kind, Origin},
};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Where a signature is good for.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub(super) region: Box<str>,
    pub(super) service: Box<str>,
}

/// Signs a request: its method, path, query, body, `host`, `content-type` and every `x-amz-` header.
/// A signature that is there already is replaced.
pub(super) fn sign(
    request: &mut Request<Full>,
    key: &AccessKey,
    scope: &Scope,
    now: SystemTime,
) -> Result<(), Error> {
    let stamp = stamp(now);
    let headers = request.headers_mut();
    headers.insert(DATE, value(&stamp)?);
    headers.remove(header::AUTHORIZATION);
    match key.session_token() {
        Some(token) => {
            let mut token = value(token)?;
            token.set_sensitive(true);
            headers.insert(TOKEN, token);
        }
        None => drop(headers.remove(TOKEN)),
    }
    let host = host(request);
    let payload = hex(&Sha256::digest(request.body().remaining()));
    let (canonical, signed) = canonical(request, &host, &payload);
    let day = &stamp[..8];
    let place = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let text = string_to_sign(&stamp, &place, &canonical);
    let signature = signature(&signing_key(key.secret(), day, scope), &text);
    let id = key.id();
    let line = format!(
        "{ALGORITHM} Credential={id}/{place}, SignedHeaders={signed}, Signature={signature}"
    );
    let mut line = value(&line)?;
    line.set_sensitive(true);
    request.headers_mut().insert(header::AUTHORIZATION, line);
    Ok(())
}

fn value(text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(text).map_err(|source| {
        Error::new(
            Kind::BadUpstream,
            "The upstream's credential cannot be sent.",
        )
        .with_code("upstream_unauthorized")
        .with_class(Class::Credential)
        .with_origin(Origin::Gateway)
        .with_source(source)
    })
}

/// The host as HTTP clients send it: without user and without the scheme's own port.
fn host<B>(request: &Request<B>) -> String {
    if let Some(host) = request.headers().get(header::HOST) {
        return String::from_utf8_lossy(host.as_bytes()).into_owned();
    }
    let uri = request.uri();
    let name = uri.host().unwrap_or_default();
    match (uri.scheme_str(), uri.port_u16()) {
        (_, None) | (Some("https"), Some(443)) | (Some("http"), Some(80)) => name.to_owned(),
        (_, Some(port)) => format!("{name}:{port}"),
    }
}

/// The canonical request, and the names of the headers in it.
fn canonical<B>(request: &Request<B>, host: &str, payload: &str) -> (String, String) {
    let mut headers = signed(request.headers());
    headers.push(("host", host.to_owned()));
    headers.sort_unstable();
    let mut text = String::with_capacity(256);
    text.push_str(request.method().as_str());
    text.push('\n');
    path(request.uri().path(), &mut text);
    text.push('\n');
    query(request.uri(), &mut text);
    text.push('\n');
    let mut names = String::new();
    for (name, value) in &headers {
        writeln!(text, "{name}:{value}").expect("a string takes all");
        if !names.is_empty() {
            names.push(';');
        }
        names.push_str(name);
    }
    write!(text, "\n{names}\n{payload}").expect("a string takes all");
    (text, names)
}

/// What is signed besides the host, values trimmed, runs of blanks made one, equal names joined.
fn signed(headers: &HeaderMap) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    for name in headers.keys() {
        if *name != header::CONTENT_TYPE && !name.as_str().starts_with("x-amz-") {
            continue;
        }
        let mut text = String::new();
        for (nth, value) in headers.get_all(name).iter().enumerate() {
            if nth > 0 {
                text.push(',');
            }
            let value = String::from_utf8_lossy(value.as_bytes());
            for (nth, word) in value.split(' ').filter(|word| !word.is_empty()).enumerate() {
                if nth > 0 {
                    text.push(' ');
                }
                text.push_str(word);
            }
        }
        found.push((name.as_str(), text));
    }
    found
}

/// The path, normalised, and escaped once more than it is on the wire.
fn path(path: &str, out: &mut String) {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    for segment in &segments {
        out.push('/');
        escape(segment, out);
    }
    let folder = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    if segments.is_empty() || folder {
        out.push('/');
    }
}

/// Escapes all that is not unreserved (RFC 3986 §2.3).
pub(super) fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => write!(out, "%{byte:02X}").expect("a string takes all"),
        }
    }
}

/// The query's parameters, escaped as they are, in order.
fn query(uri: &Uri, out: &mut String) {
    let text = uri.query().unwrap_or_default();
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<_> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    pairs.sort_unstable();
    for (nth, (name, value)) in pairs.iter().enumerate() {
        if nth > 0 {
            out.push('&');
        }
        write!(out, "{name}={value}").expect("a string takes all");
    }
}

fn string_to_sign(stamp: &str, place: &str, canonical: &str) -> String {
    let digest = hex(&Sha256::digest(canonical));
    format!("{ALGORITHM}\n{stamp}\n{place}\n{digest}")
}

fn signing_key(secret: &str, day: &str, scope: &Scope) -> [u8; 32] {
    let key = mac(format!("AWS4{secret}").as_bytes(), day);
    [&*scope.region, &*scope.service, "aws4_request"]
        .iter()
        .fold(key, |key, part| mac(&key, part))
}

fn signature(key: &[u8], text: &str) -> String {
    hex(&mac(key, text))
}

fn mac(key: &[u8], text: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes all");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const EXAMPLE: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    /// 2015-08-30T12:36:00Z, the instant of every published case.
    fn then() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_440_938_160)
    }

    fn scope(service: &str) -> Scope {
        Scope {
            region: "us-east-1".into(),
            service: service.into(),
        }
    }

    fn signed_by(mut request: Request<Full>, key: &AccessKey, service: &str) -> String {
        sign(&mut request, key, &scope(service), then()).expect("signed");
        let line = request.headers()[header::AUTHORIZATION].to_str();
        line.expect("text").to_owned()
    }

    /// The cases of the published suite whose signed headers are those that this one signs.
    #[test]
    fn the_published_cases() {
        let key = AccessKey::new("AKIDEXAMPLE", EXAMPLE);
        let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        for (name, method, path, signature) in [
            ("get-vanilla", "GET", "/", vanilla),
            ("get-relative", "GET", "/example/..", vanilla),
            (
                "get-relative-relative",
                "GET",
                "/example1/example2/../..",
                vanilla,
            ),
            ("get-slash", "GET", "//", vanilla),
            ("get-slash-dot-slash", "GET", "/./", vanilla),
            (
                "get-vanilla-query-order-key-case",
                "GET",
                "/?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "post-vanilla",
                "POST",
                "/",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
        ] {
            let request = Request::builder()
                .method(method)
                .uri(format!("https://example.amazonaws.com{path}"))
                .body(Full::default())
                .expect("a request");
            assert_eq!(
                signed_by(request, &key, "service"),
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                     SignedHeaders=host;x-amz-date, Signature={signature}"
                ),
                "{name}"
            );
        }
        let form = Request::post("https://example.amazonaws.com/")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::new("Param1=value1"))
            .expect("a request");
        assert!(signed_by(form, &key, "service").ends_with(
            "SignedHeaders=content-type;host;x-amz-date, \
             Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
        ));
    }

    /// The worked example of the signing guide: listing users, and its intermediate key.
    #[test]
    fn the_guides_worked_example() {
        let request =
            Request::get("https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08")
                .header(
                    "content-type",
                    "application/x-www-form-urlencoded; charset=utf-8",
                )
                .body(Full::default())
                .expect("a request");
        assert!(
            signed_by(request, &AccessKey::new("AKIDEXAMPLE", EXAMPLE), "iam").ends_with(
                "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
            )
        );
        assert_eq!(
            hex(&signing_key(EXAMPLE, "20150830", &scope("iam"))),
            "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
        );
    }

    #[test]
    fn a_model_with_a_colon_is_escaped_twice() {
        let uri = "https://h/model/a%3Ab%2Fc/converse";
        let request = Request::post(uri).body(()).expect("a request");
        let (text, _) = canonical(&request, "h", "x");
        assert!(text.starts_with("POST\n/model/a%253Ab%252Fc/converse\n\nhost:h\n"));
    }

    #[test]
    fn a_session_token_is_signed_and_nothing_is_shown() {
        let key = AccessKey::new("AKIDEXAMPLE", EXAMPLE).with_session_token("tok");
        let mut request = Request::post("http://127.0.0.1:9/x")
            .body(Full::default())
            .expect("one");
        sign(&mut request, &key, &scope("bedrock"), then()).expect("signed");
        let line = &request.headers()[header::AUTHORIZATION];
        assert!(
            line.to_str()
                .expect("text")
                .contains("host;x-amz-date;x-amz-security-token")
        );
        assert!(line.is_sensitive() && request.headers()[TOKEN].is_sensitive());
        assert_eq!(host(&request), "127.0.0.1:9");
        assert!(!format!("{key:?} {request:?}").contains("tok\""));
        let plain = AccessKey::new("AKIDEXAMPLE", EXAMPLE);
        sign(&mut request, &plain, &scope("bedrock"), then()).expect("signed");
        assert!(!request.headers().contains_key(TOKEN));
    }

    #[test]
    fn values_are_trimmed_and_joined() {
        let request = Request::get("https://h/")
            .header("x-amz-b", "  a   b  ")
            .header("x-amz-a", "1")
            .header("x-amz-a", "2")
            .header("user-agent", "not signed")
            .body(())
            .expect("a request");
        let (text, names) = canonical(&request, "h", "x");
        assert_eq!(
            text,
            "GET\n/\n\nhost:h\nx-amz-a:1,2\nx-amz-b:a b\n\nhost;x-amz-a;x-amz-b\nx"
        );
        assert_eq!(names, "host;x-amz-a;x-amz-b");
    }
}
