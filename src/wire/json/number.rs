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
        parts.value == Some(0) || parts.power >= 0
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
        let value = parts.value?;
        if value == 0 {
            return Some((negative, 0));
        }
        let tens = 10u64.checked_pow(u32::try_from(parts.power).ok()?)?;
        Some((negative, value.checked_mul(tens)?))
    }

    /// In one pass, however long it is.
    fn parts(&self) -> Parts {
        let (mut digits, mut kept, mut point) = (0i64, 0i64, None);
        let mut value = Some(0u64);
        let mut rest = self.raw.iter();
        let mut exponent = false;
        for byte in rest.by_ref() {
            match byte {
                b'0' => digits += 1,
                b'1'..=b'9' => {
                    digits += 1;
                    value = value.and_then(|value| {
                        let tens = match value {
                            0 => 1,
                            _ => 10u64.checked_pow((digits - kept) as u32)?,
                        };
                        let digit = u64::from(byte - b'0');
                        value.checked_mul(tens)?.checked_add(digit)
                    });
                    kept = digits;
                }
                b'.' => point = Some(digits),
                b'-' => {}
                _ => {
                    exponent = true;
                    break;
                }
            }
        }
        let mut power = digits - kept;
        power -= digits - point.unwrap_or(digits);
        if exponent {
            let spelled = rest.as_slice();
            let minus = spelled.first() == Some(&b'-');
            let digits = spelled.iter().filter(|byte| byte.is_ascii_digit());
            // What is larger than the longest text could make up for need not be exact.
            let size = digits.fold(0i64, |size, digit| match size {
                0..0x100_0000_0000 => size * 10 + i64::from(digit - b'0'),
                _ => size,
            });
            power += if minus { -size } else { size };
        }
        Parts { value, power }
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

struct Parts {
    /// Its digits up to the last that is not zero, as one number, if that fits.
    value: Option<u64>,
    /// The power of ten of the last of these.
    power: i64,
}
