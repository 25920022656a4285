use std::{fmt, iter::Sum, str::FromStr};

/// An amount of money, in whole 10⁻¹² of its currency: picodollars, where that is US dollars. Never negative by parsing, exact in its decimal text, saturating where a sum
/// would not fit. What it is of, its surroundings say: see [`Currency`](super::Currency).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i128);

/// Picodollars in a dollar.
const ONE: i128 = 1_000_000_000_000;

/// A text that is not a decimal amount of at most 12 places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnAmount;

impl fmt::Display for NotAnAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a decimal such as 0.15, with at most 12 decimal places")
    }
}

impl std::error::Error for NotAnAmount {}

impl Amount {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// An amount of so many picodollars (10⁻¹² USD), or of as small parts of another currency.
    #[must_use]
    pub const fn from_pico(pico: i128) -> Self {
        Self(pico)
    }

    /// The amount in picodollars (10⁻¹² USD), or in as small parts of another currency.
    #[must_use]
    pub const fn pico(self) -> i128 {
        self.0
    }

    /// The sum, or the largest amount there is.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference; below zero when the other is larger.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// So many times as much.
    #[must_use]
    pub const fn times(self, n: u64) -> Self {
        Self(self.0.saturating_mul(n as i128))
    }
}

/// The name for who keeps accounts in US dollars, as they are by default.
pub type Usd = Amount;

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::plus)
    }
}

impl FromStr for Amount {
    type Err = NotAnAmount;

    fn from_str(text: &str) -> Result<Self, NotAnAmount> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || whole.len() > 15 || fraction.len() > 12 {
            return Err(NotAnAmount);
        }
        let whole: i128 = whole.parse().map_err(|_| NotAnAmount)?;
        let places = 12 - u32::try_from(fraction.len()).map_err(|_| NotAnAmount)?;
        let fraction: i128 = fraction.parse().map_err(|_| NotAnAmount)?;
        Ok(Self(whole * ONE + fraction * 10_i128.pow(places)))
    }
}

/// A JSON number times a power of ten, rounded half to even; `None` when it is negative, no number
/// or too large.
pub(super) fn scaled(number: &str, power: i64) -> Option<i128> {
    let (digits, exponent) = match number.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i64>().ok()?),
        None => (number, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() {
        return None;
    }
    // Where the point comes to stand, counted from the first digit.
    let point = i64::try_from(whole.len())
        .ok()?
        .checked_add(exponent)?
        .checked_add(power)?;
    let (mut value, mut rest, mut beyond) = (0_i128, 0_u8, false);
    let mut count = 0_i64;
    for digit in whole.bytes().chain(fraction.bytes()) {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        if count < point {
            value = value.checked_mul(10)?.checked_add(digit.into())?;
        } else if count == point {
            rest = digit;
        } else {
            beyond |= digit != 0;
        }
        count += 1;
    }
    if value != 0 {
        for _ in count..point {
            value = value.checked_mul(10)?;
        }
    }
    let up = rest > 5 || (rest == 5 && (beyond || value % 2 != 0));
    // A first digit behind the point by more than one place is less than half.
    value.checked_add(i128::from(up && point >= 0))
}

/// Room for the digits of any amount.
pub(super) type Digits = [u8; 48];

impl Amount {
    /// The exact decimal, as [`fmt::Display`] has it, without going through a formatter.
    pub(super) fn digits(self, room: &mut Digits) -> &[u8] {
        const POINT: usize = 35;
        let magnitude = self.0.unsigned_abs();
        // What anybody pays fits a machine word.
        let (mut whole, mut fraction) = match u64::try_from(magnitude) {
            Ok(short) => (u128::from(short / ONE as u64), short % ONE as u64),
            Err(_) => (magnitude / ONE as u128, (magnitude % ONE as u128) as u64),
        };
        let mut end = POINT;
        if fraction != 0 {
            room[POINT] = b'.';
            for place in room[POINT + 1..].chunks_exact_mut(2).rev() {
                place.copy_from_slice(&PAIRS[(fraction % 100) as usize]);
                fraction /= 100;
            }
            end = room.len();
            while room[end - 1] == b'0' {
                end -= 1;
            }
        }
        let mut at = POINT;
        let mut put = |digit: u8| {
            at -= 1;
            room[at] = digit;
        };
        if whole == 0 {
            put(b'0');
        }
        while whole != 0 {
            put(b'0' + (whole % 10) as u8);
            whole /= 10;
        }
        if self.0 < 0 {
            put(b'-');
        }
        &room[at..end]
    }
}

/// The numbers below a hundred, each in two digits.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    pairs
};

/// The exact decimal, without an exponent and without trailing zeros; a valid JSON number.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut room = [0; 48];
        let digits = std::str::from_utf8(self.digits(&mut room)).expect("digits are ASCII");
        f.write_str(digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for (text, pico, back) in [
            ("0", 0, "0"),
            ("5.00", 5 * ONE, "5"),
            ("0.000061", 61_000_000, "0.000061"),
            ("0.000000000001", 1, "0.000000000001"),
            ("123.450", 123_450_000_000_000, "123.45"),
        ] {
            assert_eq!(text.parse(), Ok(Amount(pico)), "{text}");
            assert_eq!(Amount(pico).to_string(), back);
        }
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "1.0000000000001",
            "1_0",
            "9999999999999999",
        ] {
            assert_eq!(text.parse::<Amount>(), Err(NotAnAmount), "{text}");
        }
        assert_eq!(Amount(-1).to_string(), "-0.000000000001");
        for (pico, text) in [
            (i128::MAX, "170141183460469231731687303.715884105727"),
            (i128::MIN, "-170141183460469231731687303.715884105728"),
            (i128::from(u64::MAX), "18446744.073709551615"),
            (i128::from(u64::MAX) + 1, "18446744.073709551616"),
            (10 * ONE, "10"),
        ] {
            assert_eq!(Amount(pico).to_string(), text);
        }
    }

    #[test]
    fn numbers_are_read_by_their_digits() {
        for (number, power, expected) in [
            ("2.5e-06", 18, Some(2_500_000_000_000)),
            ("0.0000029999900000000002", 18, Some(2_999_990_000_000)),
            ("1.3E-7", 18, Some(130_000_000_000)),
            ("0", 18, Some(0)),
            ("0e999999", 18, Some(0)),
            ("10", 12, Some(10 * ONE)),
            ("1e2", 0, Some(100)),
            ("0.5", 0, Some(0)),
            ("1.5", 0, Some(2)),
            ("2.5", 0, Some(2)),
            ("2.50001", 0, Some(3)),
            ("0.05", 0, Some(0)),
            ("0.9", -1, Some(0)),
            ("9", -1, Some(1)),
            ("5", -1, Some(0)),
            ("9", -2, Some(0)),
            ("-1", 0, None),
            ("", 0, None),
            ("x", 0, None),
            ("1e40", 0, None),
            ("1e99999999999999999999", 0, None),
        ] {
            assert_eq!(scaled(number, power), expected, "{number} {power}");
        }
    }
}
