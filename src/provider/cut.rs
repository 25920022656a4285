//! Our own key, cut out of what an upstream says: some quote what they were sent, and neither the
//! caller nor a log is to read it.

mod cutting;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;

pub(super) use cutting::Cutting;

use super::Secret;

/// What is shorter is no key, and would tear texts apart.
const SHORTEST: usize = 4;

/// What stands in the key's place.
const CUT: &str = "[…]";

/// Letters and digits, those first that are seldom in answers.
const SELDOM: &[u8] = b"QZXJYWKVGUHBFPDMNRLSOTCIEAqzjxwvk9876543210ybfgpumhdlrcinoaste";

/// How many bytes of a key are looked for by themselves.
const PROBES: usize = 12;

/// A text of so many bytes, or so many times longer, is worth a look for one of them, or as many.
const TRY: usize = 4 << 10;

/// A byte that comes more often than once in so many is not seldom.
const SELDOM_IN: usize = 1 << 10;

/// A key, or two, as they may be spelled in an answer. In the extensions of one: that of the credential which what
/// stands between a provider and its client has put into the request.
#[derive(Clone, Default)]
pub(super) struct Spellings(Arc<Spelled>);

#[derive(Default)]
struct Spelled {
    finders: Box<[Finder<'static>]>,
    /// Bytes that stand in every spelling: a text without one of them has none.
    probes: Box<[Probe]>,
}

/// A byte, and what stands before the first such byte in each spelling.
struct Probe {
    byte: u8,
    before: Box<[usize]>,
}

impl Spellings {
    /// As it is, and as those encoders of JSON write it that escape more than they must.
    pub(super) fn of(key: &Secret) -> Self {
        let key = key.expose();
        let mut all = vec![key.to_owned()];
        for escaped in [
            key.replace('/', "\\/"),
            key.replace('+', "\\u002B"),
            key.replace('+', "\\u002b"),
            key.replace('=', "\\u003d"),
        ] {
            if !all.contains(&escaped) {
                all.push(escaped);
            }
        }
        all.retain(|text| text.len() >= SHORTEST);
        let finders = all.iter().map(|text| Finder::new(text).into_owned());
        // Only what is neither a letter nor a digit is ever escaped.
        let probes = SELDOM.iter().filter_map(|&byte| {
            let spelled = all.iter();
            let before = spelled.map(|text| text.bytes().position(|other| other == byte));
            let before = before.collect::<Option<Box<[usize]>>>()?;
            (!before.is_empty()).then_some(Probe { byte, before })
        });
        Self(Arc::new(Spelled {
            finders: finders.collect(),
            probes: probes.take(PROBES).collect(),
        }))
    }

    /// Both keys: an answer may quote either.
    pub(super) fn and(self, other: Self) -> Self {
        let (ours, theirs) = (self.0, other.0);
        if theirs.finders.is_empty() {
            return Self(ours);
        }
        if ours.finders.is_empty() {
            return Self(theirs);
        }
        let all: Vec<_> = ours.finders.iter().chain(&theirs.finders).collect();
        // The longest is cut first: a shorter one may be a part of it, and would leave the rest.
        let mut order: Vec<_> = (0..all.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(all[*at].needle().len()));
        // A byte that stands in every spelling of both.
        let probes = ours.probes.iter().filter_map(|Probe { byte, before }| {
            let same = theirs.probes.iter().find(|probe| probe.byte == *byte)?;
            let all: Vec<_> = before.iter().chain(&same.before).collect();
            let before = order.iter().map(|at| *all[*at]).collect();
            Some(Probe {
                byte: *byte,
                before,
            })
        });
        Self(Arc::new(Spelled {
            probes: probes.collect(),
            finders: order.iter().map(|at| all[*at].clone()).collect(),
        }))
    }

    /// A whole text without it; one that does not have it stays as it is.
    pub(super) fn cut(&self, mut text: Bytes) -> Bytes {
        if !self.is_in(&text) {
            return text;
        }
        for finder in &self.0.finders {
            let Some(mut at) = finder.find(&text) else {
                continue;
            };
            let mut kept = BytesMut::with_capacity(text.len());
            let mut rest = &text[..];
            loop {
                kept.extend_from_slice(&rest[..at]);
                kept.extend_from_slice(CUT.as_bytes());
                rest = &rest[at + finder.needle().len()..];
                match finder.find(rest) {
                    Some(next) => at = next,
                    None => break,
                }
            }
            kept.extend_from_slice(rest);
            text = kept.freeze();
        }
        text
    }

    /// Whether it stands in a text.
    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        if text.len() < TRY {
            self.is_found(text)
        } else {
            self.is_in_long(text)
        }
    }

    fn is_found(&self, text: &[u8]) -> bool {
        let mut finders = self.0.finders.iter();
        finders.any(|finder| finder.find(text).is_some())
    }

    /// The same by one byte of it, which takes a third of the time if there is one that is seldom.
    #[inline(never)]
    fn is_in_long(&self, text: &[u8]) -> bool {
        let Spelled { finders, probes } = &*self.0;
        // It does not begin before this.
        let mut from = 0;
        'probes: for Probe { byte, before } in probes.iter().take(text.len() / TRY) {
            for (seen, at) in memchr::memchr_iter(*byte, &text[from..]).enumerate() {
                let here = from + at;
                let mut spellings = finders.iter().zip(before);
                if spellings.any(|(key, before)| {
                    let begins = here.checked_sub(*before);
                    begins.is_some_and(|begins| text[begins..].starts_with(key.needle()))
                }) {
                    return true;
                }
                if seen > at / SELDOM_IN {
                    // What begins in front of the next such byte may not have been seen.
                    let most = before.iter().max().copied().unwrap_or(0);
                    from = from.max((here + 1).saturating_sub(most));
                    continue 'probes;
                }
            }
            return false;
        }
        self.is_found(&text[from..])
    }

    /// A text that goes on, without what is whole of it, and the beginning of a key that is not: a shorter key
    /// within that waits with it, for cut out it would leave the end of the longer one.
    fn cut_open(&self, text: &Bytes) -> (Bytes, Bytes) {
        let mut kept = BytesMut::with_capacity(text.len());
        let mut from = 0;
        let finders = self.0.finders.iter();
        let find = |finder: &Finder<'_>, from: usize| Some(from + finder.find(&text[from..])?);
        // Where each stands next: looked for again only behind that, however often one stands there.
        let mut next: Vec<_> = finders.map(|finder| (finder, find(finder, 0))).collect();
        loop {
            let begun = from + self.begun(&text[from..]);
            let places = next.iter();
            // The longest of those that begin first.
            let found = places
                .filter_map(|(finder, at)| Some(((*at)?, finder.needle().len())))
                .min_by_key(|(at, length)| (*at, std::cmp::Reverse(*length)));
            match found {
                Some((at, length)) if at < begun => {
                    kept.extend_from_slice(&text[from..at]);
                    kept.extend_from_slice(CUT.as_bytes());
                    from = at + length;
                    for (finder, at) in &mut next {
                        if at.is_some_and(|at| at < from) {
                            *at = find(finder, from);
                        }
                    }
                }
                _ => {
                    kept.extend_from_slice(&text[from..begun]);
                    return (kept.freeze(), text.slice(begun..));
                }
            }
        }
    }

    /// Where a text ends in the beginning of it.
    fn begun(&self, text: &[u8]) -> usize {
        let begun = |key: &[u8]| {
            let from = text.len().saturating_sub(key.len() - 1);
            let mut starts = memchr::memchr_iter(key[0], &text[from..]);
            starts.find_map(|at| key.starts_with(&text[from + at..]).then_some(from + at))
        };
        let each = self
            .0
            .finders
            .iter()
            .filter_map(|finder| begun(finder.needle()));
        each.min().unwrap_or(text.len())
    }
}

impl fmt::Debug for Spellings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spellings(..)")
    }
}
