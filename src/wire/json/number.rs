//! Numbers by their spelling.

use super::digits;

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
        plain.unwrap_or_else(|| self.any_f64().unwrap_or(f64::MAX))
    }

    fn any_f64(&self) -> Option<f64> {
        let text = self.text();
        let Some(letter) = text.find(['e', 'E']) else {
            return text.parse().ok();
        };
        if text.len() - letter <= LONG {
            return text.parse().ok();
        }
        // The digits of a long exponent are read here in fewer steps.
        let power = exponent(&self.raw[letter..]);
        format!("{}e{power}", &text[..letter]).parse().ok()
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

    fn parts(&self) -> Parts {
        match self.raw.len() {
            ..=LONG => self.few_parts(),
            _ => self.many_parts(),
        }
    }

    /// In one pass.
    fn few_parts(&self) -> Parts {
        let (mut digits, mut kept, mut point) = (0u32, 0, None);
        let mut value = Some(0u64);
        let mut rest = self.raw;
        while let [byte @ (b'0'..=b'9' | b'.' | b'-'), behind @ ..] = rest {
            rest = behind;
            match byte {
                b'0' => digits += 1,
                b'.' => point = Some(digits),
                b'-' => {}
                _ => {
                    digits += 1;
                    value = value.and_then(|value| {
                        let tens = match value {
                            0 => 1,
                            _ => 10u64.checked_pow(digits - kept)?,
                        };
                        let digit = u64::from(byte - b'0');
                        value.checked_mul(tens)?.checked_add(digit)
                    });
                    kept = digits;
                }
            }
        }
        let power = exponent(rest) + i64::from(point.unwrap_or(digits)) - i64::from(kept);
        Parts { value, power }
    }

    /// Of what has many digits, or many zeros, only those are read one by one that a `u64` has room for.
    #[inline(never)]
    fn many_parts(&self) -> Parts {
        let text = self.raw;
        let start = usize::from(text.first() == Some(&b'-'));
        let whole = digits::digits(text, start);
        let (point, end) = match text.get(whole) {
            Some(b'.') => (whole + 1, digits::digits(text, whole + 1)),
            _ => (whole, whole),
        };
        let power = text.get(end..).map_or(0, exponent);
        // Zeros at both ends do not count; where the fraction has nothing else, the point does not either.
        let mut last = before_zeros(text, point, end);
        let mut behind = point as i64 - last as i64;
        if last == point {
            last = before_zeros(text, start, whole);
            behind = whole as i64 - last as i64;
        }
        let mut first = digits::behind_zeros_at(text, start);
        if first == whole {
            first = digits::behind_zeros_at(text, point);
        }
        let digits = text.get(first..last).unwrap_or_default();
        let value = match digits.len() {
            0..=MOST => digits.iter().try_fold(0u64, |value, byte| match byte {
                b'.' => Some(value),
                digit => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
            }),
            _ => None,
        };
        Parts {
            value,
            power: power + behind,
        }
    }
}

/// More characters than these make a number long, or what an exponent is spelled with.
const LONG: usize = 24;

/// More digits than these, a point among them, are more than a `u64` has room for.
const MOST: usize = 21;

/// Where the zeros begin that end with the digits before a place.
fn before_zeros(text: &[u8], start: usize, end: usize) -> usize {
    let mut rest = text.get(start..end).unwrap_or_default();
    while let Some((before, b"00000000")) = rest.split_last_chunk() {
        rest = before;
    }
    while let [before @ .., b'0'] = rest {
        rest = before;
    }
    start + rest.len()
}

/// What the letter and what follows it add to the power; nothing where there is none.
fn exponent(spelled: &[u8]) -> i64 {
    let minus = spelled.get(1) == Some(&b'-');
    let start = 1 + usize::from(minus || spelled.get(1) == Some(&b'+'));
    let digits = spelled.get(digits::behind_zeros_at(spelled, start)..);
    // What is larger than the longest text could make up for need not be exact.
    let digits = digits.unwrap_or_default().iter().take(13);
    let size = digits.fold(0, |size, digit| size * 10 + i64::from(digit - b'0'));
    if minus { -size } else { size }
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

#[cfg(test)]
mod tests {
    use crate::wire::json::Cursor;

    #[test]
    fn an_integer_is_one_however_long_it_is_spelled() {
        let zeros = "0".repeat(1000);
        for (spelled, value) in [
            (format!("1{zeros}e-1000"), Some(1)),
            (format!("-12{zeros}e-999"), Some(-120)),
            (format!("0.{zeros}3e1001"), Some(3)),
            (format!("0.{zeros}"), Some(0)),
            (format!("-0.{zeros}e{zeros}"), Some(0)),
            (format!("7.{zeros}"), Some(7)),
            (format!("7.{zeros}1"), None),
            (format!("1e{zeros}2"), Some(100)),
            (format!("100e-{zeros}2"), Some(1)),
            (format!("10e-{zeros}2"), None),
            (format!("1e-{}", "9".repeat(1000)), None),
            ("9223372036854775807.0".to_owned(), Some(i64::MAX)),
            ("-9223372036854775808e0".to_owned(), Some(i64::MIN)),
            ("9223372036854775808.0".to_owned(), None),
            ("0.00009223372036854775807e23".to_owned(), Some(i64::MAX)),
            ("18446744073709551616.0".to_owned(), None),
            ("1234.5".to_owned(), None),
            ("1234.5e1".to_owned(), Some(12345)),
        ] {
            let number = Cursor::new(&spelled).number().expect(&spelled);
            assert_eq!(number.as_i64(), value, "{spelled}");
            let double: f64 = spelled.parse().expect("a number");
            assert_eq!(number.as_f64(), double, "{spelled}");
            assert!(number.is_integer() || value.is_none(), "{spelled}");
        }
        let digits = ["0", "7", "123", "100", "-1200", "123456789012345"];
        let points = ["", ".0", ".000", ".5", ".05"];
        let exponents = [
            "", "e0", "e1", "E2", "e3", "e4", "e9", "e00", "e01", "e12", "e+1", "e+3", "e-0",
            "e-1", "e-2", "E-3", "e-4", "e-12",
        ];
        let point = |digits: &str| points.map(|point| format!("{digits}{point}"));
        for plain in digits.into_iter().flat_map(point) {
            for exponent in exponents {
                let spelled = format!("{plain}{exponent} ");
                let number = Cursor::new(&spelled).number().expect("a number");
                let mut cursor = Cursor::new(&spelled);
                match cursor.integer_here() {
                    Some(value) => {
                        assert_eq!(number.as_i64(), Some(value), "{spelled}");
                        assert_eq!(cursor.at(), spelled.len() - 1, "{spelled}");
                    }
                    None => assert_eq!(cursor.at(), 0, "{spelled}"),
                }
                let double: f64 = spelled.trim().parse().expect("a number");
                if double.fract() != 0.0 || double.abs() > 1e19 {
                    assert_eq!(number.as_i64(), None, "{spelled}");
                }
            }
        }
        for spelled in [
            "1.0", "0e9", "1e1", "1.0e1", "-1e+1", "100e-1", "10.00", "1e-0",
        ] {
            assert!(Cursor::new(spelled).integer_here().is_some(), "{spelled}");
        }
        for spelled in ["1.", "1.e1", "1e", "1e+", "-", "-.0", ".0", "1.5"] {
            assert!(Cursor::new(spelled).integer_here().is_none(), "{spelled}");
        }
    }
}
