//! A quick hash for the tables that every request looks into.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Hashes names, seeded anew for each table: nobody outside can choose names that fall together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seeded(u64, u64);

impl Default for Seeded {
    fn default() -> Self {
        let random = RandomState::new();
        Self(random.hash_one(0_u8), random.hash_one(1_u8) | 1)
    }
}

impl BuildHasher for Seeded {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded {
            state: self.0,
            factor: self.1,
        }
    }
}

/// Multiplies each word into the state, and folds the product's upper half into its lower one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Folded {
    state: u64,
    factor: u64,
}

impl Folded {
    fn word(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.factor);
        self.state = (product as u64) ^ ((product >> 64) as u64);
    }
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((word, others)) = rest.split_first_chunk() {
            self.word(u64::from_le_bytes(*word));
            rest = others;
        }
        // The length is in the last word: what is short is filled up with zeros.
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last) ^ (bytes.len() as u64).rotate_left(56));
    }

    fn write_u8(&mut self, byte: u8) {
        self.state ^= u64::from(byte);
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_fall_apart_and_each_table_has_its_own_order() {
        let (one, other) = (Seeded::default(), Seeded::default());
        let names = (0..10_000).map(|n| format!("key-{n}"));
        let names: Vec<_> = names
            .chain((0..40).map(|n| "\0".repeat(n)))
            .chain((0..40).map(|n| "aaaaaaaa".repeat(n)))
            .collect();
        let hashes: HashSet<_> = names.iter().map(|name| one.hash_one(&**name)).collect();
        // The empty text is in both.
        assert_eq!(hashes.len(), names.len() - 1);
        // Tables look at a few bits only, the upper and the lower ones.
        for shift in [0, 56] {
            let mut places = [0_u32; 256];
            for hash in &hashes {
                places[(hash >> shift) as usize & 255] += 1;
            }
            let most = places.iter().max().copied().unwrap_or_default();
            assert!(most < 100, "{most} of some 40");
        }
        let same = |name: &String| one.hash_one(&**name) == other.hash_one(&**name);
        assert!(!names.iter().any(same));
        assert_eq!(one.hash_one("a"), one.hash_one("a"));
    }
}
