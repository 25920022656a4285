//! Which trace a request belongs to (W3C Trace Context, <https://www.w3.org/TR/trace-context/>, level 1).

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// How long a `traceparent` of version 00 is; one of a later version may go on behind a dash.
const LENGTH: usize = 55;
/// The longest of any version that is read, in bytes.
const LONGEST: usize = 256;
/// How much of `tracestate` has to be passed on (§3.3.1.5); more is left out.
const STATE: usize = 512;

/// The trace that a request is a part of, as its head says: by a `traceparent` that is one.
///
/// ```
/// use http::Request;
/// use tower_completions::TraceContext;
///
/// let id = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let request = Request::builder().header("traceparent", id).body(())?;
/// let context = TraceContext::of(request.headers()).expect("valid");
/// assert_eq!(context.trace_id(), "0af7651916cd43dd8448eb211c80319c");
/// assert!(context.is_sampled());
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TraceContext<'a> {
    parent: &'a str,
    headers: &'a HeaderMap,
}

impl<'a> TraceContext<'a> {
    /// That of these headers; `None` where `traceparent` is missing, stands twice or is not valid.
    #[must_use]
    pub fn of(headers: &'a HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (Some(parent), None) = (values.next(), values.next()) else {
            return None;
        };
        let parent = parent.to_str().ok().filter(|text| is_parent(text))?;
        Some(Self { parent, headers })
    }

    /// The whole `traceparent`.
    #[must_use]
    pub fn parent(&self) -> &'a str {
        self.parent
    }

    /// Of the trace: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> &'a str {
        &self.parent[3..35]
    }

    /// Of the caller's span: 16 hexadecimal digits.
    #[must_use]
    pub fn parent_id(&self) -> &'a str {
        &self.parent[36..52]
    }

    /// Whether the caller may have recorded it.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        u8::from_str_radix(&self.parent[53..55], 16).is_ok_and(|flags| flags & 1 == 1)
    }

    /// What `tracestate` says, its values joined; `None` where it is missing, is no text or has more than
    /// 512 bytes.
    #[must_use]
    pub fn state(&self) -> Option<Cow<'a, str>> {
        let mut values = self.headers.get_all(TRACESTATE).iter();
        let mut state = Cow::from(values.next()?.to_str().ok()?);
        for value in values {
            let state = state.to_mut();
            state.push(',');
            state.push_str(value.to_str().ok()?);
        }
        Some(state).filter(|state| state.len() <= STATE)
    }
}

fn is_parent(text: &str) -> bool {
    let bytes = text.as_bytes();
    if !(LENGTH..=LONGEST).contains(&bytes.len()) {
        return false;
    }
    let rest = bytes.len() == LENGTH || &bytes[..2] != b"00" && bytes[LENGTH] == b'-';
    let dashes = [2, 35, 52].iter().all(|at| bytes[*at] == b'-');
    let hex = |part: &[u8]| part.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    let id = |part: &[u8]| hex(part) && part.iter().any(|c| *c != b'0');
    rest && dashes
        && hex(&bytes[..2])
        && &bytes[..2] != b"ff"
        && id(&bytes[3..35])
        && id(&bytes[36..52])
        && hex(&bytes[53..55])
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(parents: &[&str], states: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, values) in [(TRACEPARENT, parents), (TRACESTATE, states)] {
            for value in values {
                headers.append(&name, HeaderValue::from_str(value).expect("a value"));
            }
        }
        headers
    }

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_valid_is_read() {
        let later = format!("cc{}-what-is-not-known", &GOOD[2..]);
        let same = format!("cc{}", &GOOD[2..]);
        for parent in [GOOD, &later, &same] {
            let headers = headers(&[parent], &[]);
            let context = TraceContext::of(&headers).expect(parent);
            assert_eq!(context.parent(), parent);
            assert_eq!(context.trace_id(), "0af7651916cd43dd8448eb211c80319c");
            assert_eq!(context.parent_id(), "b7ad6b7169203331");
            assert!(context.is_sampled());
        }
        let unsampled = headers(&[&format!("{}02", &GOOD[..53])], &[]);
        assert!(!TraceContext::of(&unsampled).expect("valid").is_sampled());
    }

    #[test]
    fn what_is_not_valid_is_none() {
        let of = |parents: &[&str]| TraceContext::of(&headers(parents, &["a=1"])).map(|_| ());
        for parent in [
            "",
            "00-1-2-01",
            &GOOD[..54],
            &format!("{GOOD}-more"),
            &format!("cc{}x", &GOOD[2..]),
            &format!("cc{}-{}", &GOOD[2..], "x".repeat(LONGEST)),
            &format!("ff{}", &GOOD[2..]),
            &GOOD.to_uppercase(),
            &GOOD.replace('-', "_"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
        ] {
            assert_eq!(of(&[parent]), None, "{parent}");
        }
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[GOOD, GOOD]), None);
        assert_eq!(of(&[GOOD]), Some(()));
    }

    #[test]
    fn the_state_is_joined_and_bounded_as_a_whole() {
        let state = |states: &[&str]| {
            let headers = headers(&[GOOD], states);
            let context = TraceContext::of(&headers).expect("valid");
            context.state().map(Cow::into_owned)
        };
        assert_eq!(state(&[]), None);
        assert_eq!(state(&["a=1"]).as_deref(), Some("a=1"));
        assert_eq!(state(&["a=1", "b=2"]).as_deref(), Some("a=1,b=2"));
        let half = "x".repeat(STATE / 2);
        assert_eq!(state(&[&half, &half[1..]]).expect("short").len(), STATE);
        assert_eq!(state(&[&half, &half]), None);
        assert_eq!(state(&["\u{e9}"]), None);
    }
}
