//! How much of a request is read.

use super::reader::MAX_COUNTED;

/// How many bytes of keys, ids, words and the model's name may be spelled by escapes, as they stand in the
/// text, unless more are asked for: the sixteen keys of `metadata` take fewer, however they are spelled.
pub const MAX_ESCAPED: usize = 16 << 10;

/// How many numbers may have an exponent of three digits or more and no minus (`1e300`), or 309 digits before their
/// point, unless more are asked for: the largest double as a bound in each of 128 tools, twice.
pub const MAX_HUGE: usize = 256;

/// How much of a request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Bounds {
    /// The most members and elements, at all levels together. Default: as many as there are.
    pub values: usize,
    /// The most faults. Default: [`MAX_COUNTED`].
    pub faults: usize,
    /// The most bytes of keys, ids, words and the model's name, as they stand in the text, that are spelled by
    /// escapes and have to be resolved. Default: [`MAX_ESCAPED`].
    pub escaped: usize,
    /// The most numbers with an exponent of three digits or more and no minus, or with 309 digits before their point: only
    /// these may have to be compared with the largest double digit by digit. Default: [`MAX_HUGE`].
    pub huge: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            values: usize::MAX,
            faults: MAX_COUNTED,
            escaped: MAX_ESCAPED,
            huge: MAX_HUGE,
        }
    }
}

impl Bounds {
    /// At most so many members and elements.
    pub const fn values(mut self, values: usize) -> Self {
        self.values = values;
        self
    }

    /// At most so many faults.
    pub const fn faults(mut self, faults: usize) -> Self {
        self.faults = faults;
        self
    }

    /// At most so many bytes spelled by escapes.
    pub const fn escaped(mut self, bytes: usize) -> Self {
        self.escaped = bytes;
        self
    }

    /// At most so many huge numbers.
    pub const fn huge(mut self, numbers: usize) -> Self {
        self.huge = numbers;
        self
    }
}
