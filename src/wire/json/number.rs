//! Numbers by their spelling.

/// A number as it is spelled, its grammar already checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number<'a> {
    pub(super) raw: &'a [u8],
}

impl<'a> Number<'a> {
    /// As it stands in the text.
    #[must_use]
    pub fn text(&self) -> &'a str {
        // Digits, signs, a point and an `e`.
        std::str::from_utf8(self.raw).unwrap_or_default()
    }

    /// The nearest double.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        // The cursor has refused what would overflow; what is too small is zero.
        let plain = self.plain_f64();
        plain.unwrap_or_else(|| self.text().parse().unwrap_or(f64::MAX))
    }

    /// The same for few digits without an exponent: a quotient of two integers that a double holds
    /// exactly is rounded once, and so is the nearest.
    #[inline]
    fn plain_f64(&self) -> Option<f64> {
        if self.raw.len() > 16 {
            return None;
        }
        let negative = self.raw.first() == Some(&b'-');
        let (mut digits, mut point) = (0u64, None);
        for (at, byte) in self.raw.iter().enumerate().skip(usize::from(negative)) {
            match byte {
                b'0'..=b'9' => digits = digits * 10 + u64::from(byte - b'0'),
                b'.' => point = Some(at + 1),
                _ => return None,
            }
        }
        let places = point.map_or(0, |point| self.raw.len() - point);
        // Fifteen digits or sixteen: less than 2⁵³, or a whole number that is rounded once.
        let value = quotient(digits, places);
        Some(if negative { -value } else { value })
    }

    /// The value, if it is an integer however spelled (`1.0`, `1e2`) and fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        let (negative, magnitude) = self.integer()?;
        if negative {
            0i64.checked_sub_unsigned(magnitude)
        } else {
            i64::try_from(magnitude).ok()
        }
    }

    /// The value, if it is an integer however spelled, not negative, and fits.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        let (negative, magnitude) = self.integer()?;
        (!negative || magnitude == 0).then_some(magnitude)
    }

    /// Whether its value is an integer, of any size.
    #[must_use]
    pub fn is_integer(&self) -> bool {
        let parts = self.parts();
        parts.is_zero() || parts.scale().0 >= 0
    }

    fn integer(&self) -> Option<(bool, u64)> {
        let text = self.raw;
        let negative = text.first() == Some(&b'-');
        let digits = &text[usize::from(negative)..];
        // Nearly all are short and plain.
        if digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit) {
            let value = digits
                .iter()
                .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
            return Some((negative, value));
        }
        let parts = self.parts();
        if parts.is_zero() {
            return Some((negative, 0));
        }
        let (zeros, keep) = parts.scale();
        let zeros = u32::try_from(zeros).ok()?;
        let mut value = 0u64;
        let digits = parts.whole.bytes().chain(parts.fraction.bytes());
        for digit in digits.take(keep) {
            value = value
                .checked_mul(10)?
                .checked_add(u64::from(digit - b'0'))?;
        }
        value = value.checked_mul(10u64.checked_pow(zeros)?)?;
        Some((negative, value))
    }

    fn parts(&self) -> Parts<'a> {
        let text = self.text();
        let text = text.strip_prefix('-').unwrap_or(text);
        let (text, exponent) = match text.split_once(['e', 'E']) {
            Some((text, exponent)) => {
                // An exponent that does not fit belongs to zero or to something next to zero.
                let huge = if exponent.starts_with('-') {
                    i64::MIN / 4
                } else {
                    i64::MAX / 4
                };
                (text, exponent.parse().unwrap_or(huge))
            }
            None => (text, 0),
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        Parts {
            whole,
            fraction,
            exponent,
        }
    }
}

/// Digits with so many of them behind the point; at most 15 are.
#[inline(always)]
pub(super) fn quotient(digits: u64, places: usize) -> f64 {
    const TENS: [f64; 16] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
    ];
    digits as f64 / TENS[places % TENS.len()]
}

struct Parts<'a> {
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl Parts<'_> {
    fn is_zero(&self) -> bool {
        self.digits().all(|digit| digit == b'0')
    }

    fn digits(&self) -> impl DoubleEndedIterator<Item = u8> {
        self.whole.bytes().chain(self.fraction.bytes())
    }

    /// The power of ten of the last digit that is not zero, and how many digits there are up to it.
    fn scale(&self) -> (i64, usize) {
        let length = self.whole.len() + self.fraction.len();
        let zeros = self
            .digits()
            .rev()
            .take_while(|digit| *digit == b'0')
            .count();
        let power = self
            .exponent
            .saturating_sub(self.fraction.len() as i64)
            .saturating_add(zeros as i64);
        (power, length - zeros)
    }
}
