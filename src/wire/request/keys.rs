//! Whether a key stands twice in its object.

use std::hash::{BuildHasher, Hasher, RandomState};

use smallvec::SmallVec;

use super::{fault::Unreadable, reader::Read};
use crate::wire::json::{Cursor, Str};

/// The keys of one object by their digests and places, to be compared once all are known. Those that
/// the API knows are told apart by a bit each and need no place here.
#[derive(Default)]
pub(super) struct Keys(SmallVec<[u64; 8]>);

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn push(&mut self, key: Str<'_>, seed: &Seed) {
        let place = key.range().start as u64 - 1;
        self.0.push(u64::from(seed.digest(key)) << 32 | place);
    }

    /// Refuses the later of two that mean the same.
    #[inline]
    pub(super) fn distinct(self, text: &[u8]) -> Read {
        if self.0.len() < 2 {
            return Ok(());
        }
        self.compare(text)
    }

    #[inline(never)]
    fn compare(mut self, text: &[u8]) -> Read {
        self.0.sort_unstable();
        let key = |entry: u64| {
            let place = (entry & u64::from(u32::MAX)) as usize;
            Cursor::within(text, place, 0).string()
        };
        let mut rest = &self.0[..];
        while let [first, others @ ..] = rest {
            let alike = others.iter().take_while(|it| *it >> 32 == first >> 32);
            for other in alike {
                let other = key(*other)?;
                if key(*first)? == other {
                    return Err(Unreadable::Duplicate(other.range().start));
                }
            }
            rest = others;
        }
        Ok(())
    }
}

/// What a digest begins with: nobody outside can know it, so nobody can choose keys that have the
/// same digest and are slow to tell apart.
#[derive(Default)]
pub(super) struct Seed(std::cell::OnceCell<u64>);

impl Seed {
    /// Digests what a string means, by words of eight bytes.
    fn digest(&self, text: Str<'_>) -> u32 {
        let seed = *self
            .0
            .get_or_init(|| RandomState::new().build_hasher().finish());
        let (mut sum, mut length) = (seed, 0u64);
        let mut word = |bytes: &[u8]| {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            sum = fold(sum ^ u64::from_le_bytes(word), 0x9E37_79B9_7F4A_7C15);
            length += bytes.len() as u64;
        };
        if text.is_escaped() {
            let mut bytes = SmallVec::<[u8; 12]>::new();
            for c in text.chars() {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                if bytes.len() >= 8 {
                    word(&bytes[..8]);
                    bytes.drain(..8);
                }
            }
            if !bytes.is_empty() {
                word(&bytes);
            }
        } else {
            text.bytes().chunks(8).for_each(word);
        }
        fold(sum ^ length, seed | 1) as u32
    }
}

/// Both halves of a product, mixed.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}
