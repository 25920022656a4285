//! What may come next at a place within a value.

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Due(u8);

/// Something begins: a key or a value.
const START: u8 = 1;
/// The bracket before it is still empty, so that it may close as well.
const EMPTY: u8 = 2;
/// Something has ended: what separates it from the next comes, or a bracket that closes.
const END: u8 = 4;
/// The rest of a string.
const STRING: u8 = 8;
/// What begins, has ended or goes on is a key.
const KEY: u8 = 16;

impl Due {
    /// A value.
    pub(super) const VALUE: Self = Self(START);
    /// A value or the bracket that closes an array.
    pub(super) const FIRST_VALUE: Self = Self(START | EMPTY);
    /// A key.
    pub(super) const KEY: Self = Self(START | KEY);
    /// A key or the bracket that closes an object.
    pub(super) const FIRST_KEY: Self = Self(START | EMPTY | KEY);
    /// What stands between a key and its value.
    pub(super) const COLON: Self = Self(END | KEY);
    /// A comma or a bracket that closes, behind a value.
    pub(super) const COMMA: Self = Self(END);
    /// The rest of a string that is a value.
    pub(super) const STRING: Self = Self(STRING);
    /// The rest of a key.
    pub(super) const KEY_STRING: Self = Self(STRING | KEY);

    /// The next member or element, behind a comma.
    #[inline(always)]
    pub(super) fn next(in_object: bool) -> Self {
        if in_object { Self::KEY } else { Self::VALUE }
    }

    /// What comes behind a comma, a colon or an opening bracket.
    #[inline(always)]
    pub(super) fn behind_separator(is_open: bool, is_key: bool) -> Self {
        Self(START | (u8::from(is_open) * EMPTY) | (u8::from(is_key) * KEY))
    }

    /// What comes behind a closing bracket, or the end of a string, a number or a literal.
    #[inline(always)]
    pub(super) fn behind_end(is_key: bool) -> Self {
        Self(END | (u8::from(is_key) * KEY))
    }

    /// What comes within a string.
    #[inline(always)]
    pub(super) fn in_string(is_key: bool) -> Self {
        Self(STRING | (u8::from(is_key) * KEY))
    }

    /// One where a value or a key begins.
    #[inline(always)]
    pub(super) fn starts(self) -> u64 {
        self.bit(START)
    }

    /// Whether a value begins, be it the first of an array.
    #[inline(always)]
    pub(super) fn is_value(self) -> bool {
        self.0 & (START | KEY) == START
    }

    /// One where that may be a bracket that closes.
    #[inline(always)]
    pub(super) fn is_empty(self) -> u64 {
        self.bit(EMPTY)
    }

    /// One where something has ended.
    #[inline(always)]
    pub(super) fn ends(self) -> u64 {
        self.bit(END)
    }

    /// One within a string.
    #[inline(always)]
    pub(super) fn within(self) -> u64 {
        self.bit(STRING)
    }

    /// One where that is a key.
    #[inline(always)]
    pub(super) fn is_key(self) -> u64 {
        self.bit(KEY)
    }

    #[inline(always)]
    fn bit(self, bit: u8) -> u64 {
        u64::from(self.0 & bit != 0)
    }
}
