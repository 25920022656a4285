use std::{
    fmt,
    future::{Ready, ready},
    str::FromStr,
    sync::Arc,
};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, header, request::Parts};
use sha2::{Digest as _, Sha256};

use super::{Authenticate, table::Table};
use crate::{error::Error, ext::Principal};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The longest credential that is looked at, in bytes.
const LONGEST: usize = 4096;

/// The SHA-256 of a key: all that is ever kept of one.
///
/// Keys are long and random, so a plain hash suffices; and since the table is searched by digest,
/// the time of a look-up tells nothing about the keys in it.
///
/// What a database of yours has of a key: it is written as 64 hexadecimal digits and read from them again.
///
/// ```
/// use tower_completions::auth::Digest;
///
/// let digest = Digest::of("sk-demo");
/// let column = digest.to_string(); // for a text; for bytes: `digest.as_bytes()`
/// assert_eq!(column.len(), 64);
/// assert_eq!(column.parse(), Ok(digest));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub(super) [u8; 32]);

impl Digest {
    /// The digest of a key that is there in plain text.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// The 32 bytes of the SHA-256.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its hexadecimal digit at a place below 64.
    pub(super) const fn digit(&self, at: usize) -> usize {
        let byte = self.0[at / 2];
        (if at % 2 == 0 { byte >> 4 } else { byte & 15 }) as usize
    }
}

impl From<[u8; 32]> for Digest {
    /// From the bytes of a SHA-256 that was made elsewhere.
    fn from(raw: [u8; 32]) -> Self {
        Self(raw)
    }
}

/// As 64 hexadecimal digits, small letters.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

/// A text that is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotADigest;

impl fmt::Display for NotADigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a SHA-256 is 64 hexadecimal digits")
    }
}

impl std::error::Error for NotADigest {}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(NotADigest);
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(NotADigest);
        let mut raw = [0; 32];
        for (byte, pair) in raw.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).map_err(|_| NotADigest)?;
        }
        Ok(Self(raw))
    }
}

/// The credential of a request: `Authorization: Bearer …`, or `x-api-key` where there is none.
///
/// `None` when it is missing, empty, of another scheme, doubled, or not plain text.
#[must_use]
pub fn credential(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let key = match (values.next(), values.next()) {
        (Some(value), None) => {
            let (scheme, key) = value.to_str().ok()?.split_at_checked("bearer".len())?;
            let key = key.strip_prefix(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(key)?
        }
        (None, _) => headers.get(X_API_KEY)?.to_str().ok()?,
        (Some(_), Some(_)) => return None,
    };
    Some(key.trim_ascii()).filter(|key| !key.is_empty() && key.len() <= LONGEST)
}

/// Keys in memory, known by their digests. Clones share one table, which may change at any time.
///
/// Who looks a key up waits for nobody, and a change takes as long among a million keys as among few.
/// Many at once are best put in together:
///
/// ```
/// use tower_completions::{Principal, auth::{Digest, Keys}};
///
/// let callers = [("sk-a", "acme"), ("sk-b", "beta")];
/// let keys: Keys = callers.map(|(key, id)| (Digest::of(key), Principal::new(id))).into_iter().collect();
/// assert_eq!(keys.find("sk-b").expect("known").id(), "beta");
/// ```
#[derive(Clone, Default)]
pub struct Keys(Arc<ArcSwap<Table>>);

impl Keys {
    /// An empty table: nobody is let in.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key, or replaces the caller it stands for.
    pub fn insert(&self, key: &str, principal: Principal) {
        self.insert_digest(Digest::of(key), principal);
    }

    /// The same, for a key of which only the digest is known.
    pub fn insert_digest(&self, digest: Digest, principal: Principal) {
        self.0.rcu(move |keys| {
            let mut keys = Table::clone(keys);
            keys.insert(digest, principal.clone());
            keys
        });
    }

    /// Revokes a key. Requests under way go on.
    pub fn remove(&self, digest: &Digest) {
        self.0.rcu(|keys| {
            let mut keys = Table::clone(keys);
            keys.remove(digest);
            keys
        });
    }

    /// Replaces the whole table at once.
    pub fn replace(&self, keys: impl IntoIterator<Item = (Digest, Principal)>) {
        self.0.store(Arc::new(keys.into_iter().collect()));
    }

    /// The caller that a key stands for.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<Principal> {
        self.0.load().get(&Digest::of(key)).cloned()
    }
}

/// Adds them all at once: whoever looks a key up sees none of them or all.
impl Extend<(Digest, Principal)> for Keys {
    fn extend<I: IntoIterator<Item = (Digest, Principal)>>(&mut self, keys: I) {
        let new: Vec<_> = keys.into_iter().collect();
        self.0.rcu(|keys| {
            let mut keys = Table::clone(keys);
            for (digest, principal) in &new {
                keys.insert(*digest, principal.clone());
            }
            keys
        });
    }
}

impl FromIterator<(Digest, Principal)> for Keys {
    fn from_iter<I: IntoIterator<Item = (Digest, Principal)>>(keys: I) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(keys.into_iter().collect())))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("len", &self.0.load().len())
            .finish()
    }
}

impl Authenticate for Keys {
    type Future = Ready<Result<Option<Principal>, Error>>;

    fn authenticate(&self, parts: &Parts) -> Self::Future {
        ready(Ok(credential(&parts.headers).and_then(|key| self.find(key))))
    }

    fn authenticate_now(&self, parts: &Parts) -> Option<Result<Option<Principal>, Error>> {
        Some(Ok(credential(&parts.headers).and_then(|key| self.find(key))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials() {
        for (name, value, key) in [
            ("authorization", "Bearer sk-a", Some("sk-a")),
            ("authorization", "bearer   sk-a ", Some("sk-a")),
            ("authorization", "Basic sk-a", None),
            ("authorization", "Bearer ", None),
            ("authorization", "Bearer", None),
            ("authorization", "sk-a", None),
            ("authorization", "Bearer sk-\u{e9}", None),
            ("x-api-key", "sk-a", Some("sk-a")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().expect("a header value"));
            assert_eq!(credential(&headers), key, "{name}: {value}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(credential(&headers), None);
        headers.append("authorization", "Bearer a".parse().expect("value"));
        headers.append("authorization", "Bearer b".parse().expect("value"));
        assert_eq!(credential(&headers), None, "two keys are no key");
    }

    #[test]
    fn digests_are_read_from_hex_and_written_as_it() {
        let hex = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
        assert_eq!(hex.parse(), Ok(Digest::of("foo")));
        assert_eq!(hex.to_uppercase().parse(), Ok(Digest::of("foo")));
        assert_eq!(Digest::of("foo").to_string(), hex);
        assert_eq!(
            Digest::from(*Digest::of("foo").as_bytes()),
            Digest::of("foo")
        );
        assert_eq!(hex[1..].parse::<Digest>(), Err(NotADigest));
        assert_eq!(format!("{}g", &hex[1..]).parse::<Digest>(), Err(NotADigest));
    }

    #[test]
    fn keys_come_and_go_and_are_never_shown() {
        let keys = Keys::new();
        keys.insert("sk-a", Principal::new("a"));
        let shared = keys.clone();
        assert_eq!(shared.find("sk-a").expect("known").id(), "a");
        assert!(!format!("{keys:?}{:?}", Digest::of("sk-a")).contains("sk-a"));
        keys.remove(&Digest::of("sk-a"));
        assert!(shared.find("sk-a").is_none());
        keys.replace([(Digest::of("sk-b"), Principal::new("b"))]);
        assert!(shared.find("sk-b").is_some());
        let mut more = keys.clone();
        more.extend([(Digest::of("sk-c"), Principal::new("c"))]);
        assert!(shared.find("sk-b").is_some() && shared.find("sk-c").is_some());
        let other: Keys = [(Digest::of("sk-c"), Principal::new("d"))]
            .into_iter()
            .collect();
        assert_eq!(other.find("sk-c").expect("known").id(), "d");
    }

    #[test]
    fn a_key_among_many_is_put_in_as_fast_as_the_first() {
        let time = |keys: &Keys, from: u32| {
            let begun = std::time::Instant::now();
            for key in from..from + 2_000 {
                keys.insert(&format!("sk-{key}"), Principal::new("a"));
            }
            begun.elapsed()
        };
        let keys = Keys::new();
        let first = time(&keys, 0);
        keys.clone().extend(
            (2_000..50_000).map(|key| (Digest::of(&format!("sk-{key}")), Principal::new("a"))),
        );
        // Copying the table took a hundred times as long.
        assert!(time(&keys, 50_000) < first * 20);
        assert!(format!("{keys:?}").contains("52000"), "{keys:?}");
    }
}
