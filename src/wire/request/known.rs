//! The keys that the API knows, and the words that a value may be.

use crate::wire::json::{Key, Str, Word};

/// The members that one kind of object may have. At most 64.
pub(crate) trait Known: Copy + 'static {
    const NAMES: &'static [&'static str];
    /// By its spelling, where it is too long to have a word.
    fn find_long(key: &[u8]) -> Option<Self>;
    /// The same by its word; none of those that are too long to have one.
    fn find_word(word: Word) -> Option<Self>;
    fn index(self) -> u32;
}

macro_rules! keys {
    ($name:ident { $($variant:ident = $text:literal,)* }) => {
        #[derive(Clone, Copy)]
        #[allow(clippy::enum_variant_names, reason = "named as in the API")]
        enum $name {
            $($variant,)*
        }

        impl $crate::wire::request::known::Known for $name {
            const NAMES: &'static [&'static str] = &[$($text,)*];

            #[inline(always)]
            fn find_long(key: &[u8]) -> Option<Self> {
                $(
                    if const { $text.len() > 15 } && key == $text.as_bytes() {
                        return Some(Self::$variant);
                    }
                )*
                None
            }

            #[inline(always)]
            fn find_word(word: $crate::wire::json::Word) -> Option<Self> {
                $(
                    if word == const { $crate::wire::json::Word::of($text.as_bytes()) } {
                        return Some(Self::$variant);
                    }
                )*
                None
            }

            fn index(self) -> u32 {
                self as u32
            }
        }
    };
}
pub(super) use keys;

/// A key by its meaning.
#[inline(always)]
pub(super) fn find<K: Known>(key: Key<'_>) -> Option<K> {
    if key.word.is_none() {
        return find_long(key.word, key.string.bytes(), key.string.is_escaped());
    }
    K::find_word(key.word)
}

#[inline(never)]
fn find_long<K: Known>(word: Word, key: &[u8], escaped: bool) -> Option<K> {
    const { assert!(longest::<K>() <= 32) };
    if longest::<K>() <= 15 {
        return None;
    }
    if !escaped {
        return K::find_long(key);
    }
    let length = word.long_length();
    if !K::NAMES.iter().any(|name| name.len() == length) {
        return None;
    }
    K::find_long(Str::new(key, 0, true).resolve(&mut [0; 32])?)
}

/// How long the longest name is.
const fn longest<K: Known>() -> usize {
    let (mut longest, mut at) = (0, 0);
    while at < K::NAMES.len() {
        if K::NAMES[at].len() > longest {
            longest = K::NAMES[at].len();
        }
        at += 1;
    }
    longest
}

/// Whether a key, given by its word and its spelling, is none of them.
pub(super) fn is_stranger<K: Known>(word: Word, key: &[u8], escaped: bool) -> bool {
    match word.is_none() {
        true => find_long::<K>(word, key, escaped).is_none(),
        false => K::find_word(word).is_none(),
    }
}

/// Some words that a member may have.
pub(super) type Words = [Word];

macro_rules! words {
    ($($text:literal),* $(,)?) => {
        &const {
            [$({
                let word = $crate::wire::json::Word::of($text.as_bytes());
                assert!(!word.is_none(), "too long");
                word
            }),*]
        }
    };
}
pub(super) use words;
