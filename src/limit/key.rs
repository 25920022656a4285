use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{HeaderName, request::Parts};
use sha2::{Digest as _, Sha256};

use crate::{
    ext::{Principal, is_credential},
    parse::Chat,
};

/// The longest key that is kept as it is, in bytes; of a longer one the SHA-256 is.
const LONGEST: usize = 64;

/// What requests are counted together under: an id, a team, an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// A key of this text. Of one longer than 64 bytes the SHA-256 is kept.
    #[inline]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        if text.len() <= LONGEST {
            Self(text)
        } else {
            Self::digest(&text)
        }
    }

    /// A key of this address, as [`ByIp`] makes it: of an IPv6 address the first 64 bits, as one host has
    /// the rest.
    #[must_use]
    pub fn of_address(address: IpAddr) -> Self {
        Self::new(match address.to_canonical() {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        })
    }

    /// Of what has no room of its own: longer than any key that a caller may present.
    #[cold]
    pub(super) fn others() -> Self {
        Self("others".repeat(LONGEST / 4).into())
    }

    #[cold]
    fn digest(text: &str) -> Self {
        let mut short = String::with_capacity(64);
        for byte in Sha256::digest(text.as_bytes()) {
            for digit in [byte >> 4, byte & 15] {
                short.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        Self(short.into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Tells what a request is counted under. Any `Fn(&Parts) -> Option<Key>` is one; so is a pair of
/// them, which counts each combination apart.
///
/// Count only by what a caller cannot make up, or accept that strangers share one count once the
/// store is full.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not tell what requests are counted under",
    label = "not a `KeyExtractor`",
    note = "a `KeyExtractor` is `ByPrincipal`, `ByIp` and the like, a pair of them, or a closure `|parts: &http::request::Parts| -> Option<limit::Key>`"
)]
pub trait KeyExtractor: Send + Sync + 'static {
    /// The key; `None` when this request is not counted.
    fn key(&self, parts: &Parts) -> Option<Key>;
}

impl<F> KeyExtractor for F
where
    F: Fn(&Parts) -> Option<Key> + Send + Sync + 'static,
{
    fn key(&self, parts: &Parts) -> Option<Key> {
        self(parts)
    }
}

impl<A: KeyExtractor, B: KeyExtractor> KeyExtractor for (A, B) {
    fn key(&self, parts: &Parts) -> Option<Key> {
        let (a, b) = (self.0.key(parts)?, self.1.key(parts)?);
        // With the length of the first, no two pairs look alike.
        Some(Key::new(format!("{}:{}{}", a.0.len(), a.0, b.0)))
    }
}

/// By the id of the [`Principal`].
#[derive(Clone, Copy, Debug, Default)]
pub struct ByPrincipal;

impl KeyExtractor for ByPrincipal {
    fn key(&self, parts: &Parts) -> Option<Key> {
        let principal = parts.extensions.get::<Principal>()?;
        Some(Key::new(principal.shared_id()))
    }
}

/// By the team of the [`Principal`].
#[derive(Clone, Copy, Debug, Default)]
pub struct ByTeam;

impl KeyExtractor for ByTeam {
    fn key(&self, parts: &Parts) -> Option<Key> {
        let principal = parts.extensions.get::<Principal>()?;
        Some(Key::new(principal.shared_team()?))
    }
}

/// All requests together.
#[derive(Clone, Debug)]
pub struct Global(Key);

impl Default for Global {
    fn default() -> Self {
        Self(Key::new("*"))
    }
}

impl KeyExtractor for Global {
    fn key(&self, _: &Parts) -> Option<Key> {
        Some(self.0.clone())
    }
}

/// By the value of a header; of one that carries a credential, such as `authorization`, by its SHA-256.
#[derive(Clone, Debug)]
pub struct ByHeader(pub HeaderName);

impl KeyExtractor for ByHeader {
    fn key(&self, parts: &Parts) -> Option<Key> {
        let value = parts.headers.get(&self.0)?.to_str().ok()?;
        if is_credential(&self.0) {
            return Some(Key::digest(value));
        }
        Some(Key::new(value))
    }
}

/// By the model asked for. Needs the parsed request: for rules of
/// [`TokenLimitLayer`](super::TokenLimitLayer), which count tokens and money. In front of
/// [`RateLimitLayer`](super::RateLimitLayer), which counts requests and slots, the body has not been read,
/// and a rule by model concerns nobody; with a [`ParseLayer`](crate::parse::ParseLayer) outside of it, it does.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByModel;

impl KeyExtractor for ByModel {
    fn key(&self, parts: &Parts) -> Option<Key> {
        Some(Key::new(parts.extensions.get::<Chat>()?.model()))
    }
}

/// By the address of the peer, which the server leaves as a [`SocketAddr`] or [`IpAddr`] in the
/// request's extensions. Of an IPv6 address the first 64 bits count, as one host has the rest.
///
/// Where neither is there, such a rule concerns nobody. axum leaves an address as its own `ConnectInfo`,
/// which a closure over [`Key::of_address`] reads:
///
/// ```
/// use std::net::SocketAddr;
/// use axum::extract::ConnectInfo;
/// use http::request::Parts;
/// use tower_completions::limit::{Key, Limiter, Limits, Rule};
///
/// let by_address = |parts: &Parts| {
///     let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
///     Some(Key::of_address(peer.ip()))
/// };
/// let limits = Limits::new().requests_per_minute(60);
/// let limiter = Limiter::new().rules([Rule::new("address", by_address, limits)]);
/// # let _ = limiter;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ByIp;

impl KeyExtractor for ByIp {
    fn key(&self, parts: &Parts) -> Option<Key> {
        let extensions = &parts.extensions;
        let address = extensions
            .get::<IpAddr>()
            .copied()
            .or_else(|| extensions.get::<SocketAddr>().map(SocketAddr::ip))?;
        Some(Key::of_address(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_every_kind() {
        let caller = Principal::new("acme").with_team("research");
        let (mut parts, ()) = http::Request::builder()
            .header("x-user", "u1")
            .extension(caller)
            .extension(IpAddr::from([0x2001, 0xdb8, 1, 2, 3, 4, 5, 6]))
            .body(())
            .expect("a request")
            .into_parts();
        let text =
            |by: &dyn KeyExtractor, parts: &Parts| by.key(parts).map(|key| key.as_str().to_owned());
        let header = ByHeader(HeaderName::from_static("x-user"));
        assert_eq!(text(&ByPrincipal, &parts).as_deref(), Some("acme"));
        assert_eq!(text(&ByTeam, &parts).as_deref(), Some("research"));
        assert_eq!(text(&ByIp, &parts).as_deref(), Some("2001:db8:1:2::/64"));
        assert_eq!(
            text(&(ByTeam, header), &parts).as_deref(),
            Some("8:researchu1")
        );
        parts.extensions.clear();
        assert_eq!(text(&ByPrincipal, &parts), None);
        assert_eq!(text(&Global::default(), &parts).as_deref(), Some("*"));
        assert_eq!(Key::new("x".repeat(1000)).as_str().len(), 64);
        let others = Key::others();
        for presented in [others.as_str(), "\u{0}others", "others"] {
            assert_ne!(Key::new(presented), others, "nobody can present it");
        }
    }
}
