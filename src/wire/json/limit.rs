//! Whether numbers that are as long as the largest double, if they are spelled out, are larger.

/// So many digits are compared at once.
const FEW: usize = 7;

/// The digits of [`TOO_LARGE`], as [`few_digits`] tells them.
static LIMITS: [u64; TOO_LARGE.len().div_ceil(FEW)] = {
    let mut limits = [0; TOO_LARGE.len().div_ceil(FEW)];
    let mut at = 0;
    while at < limits.len() * FEW {
        let digit = if at < TOO_LARGE.len() {
            TOO_LARGE[at]
        } else {
            0
        };
        limits[at / FEW] = limits[at / FEW] << 8 | digit as u64;
        at += 1;
    }
    limits
};

/// The first of them.
pub(super) const FIRST: u64 = u64::from_be_bytes(*b"\x001797693");

/// Whether the digits from a place on, with a point at another, are less than those of the least number that no double
/// holds, if they begin as these do. They end with a letter or with the text. There is no point where its place is not
/// behind theirs.
#[inline(never)]
pub(super) fn is_below(text: &[u8], begin: usize, point: usize) -> bool {
    let mut at = begin;
    for limit in &LIMITS[1..] {
        let passed = at + 1..=at + FEW;
        at += FEW + usize::from(passed.contains(&point));
        let digits = few_digits(text, at, point);
        if digits != *limit {
            return digits < *limit;
        }
    }
    false
}

/// The digits from a place on but for a point, in the order in which they are compared. Where they end something
/// follows that is less than a digit.
#[inline(always)]
pub(super) fn few_digits(text: &[u8], begin: usize, point: usize) -> u64 {
    const NO_LETTER: u64 = u64::MAX / 0xFF * 0xBF;
    let word = |at: usize| match text.get(at..).and_then(<[u8]>::first_chunk) {
        Some(word) => u64::from_be_bytes(*word),
        None => last_word(text, at),
    };
    let (digits, behind) = (word(begin), word(begin + 1));
    let places = point.wrapping_sub(begin + 1).min(14);
    let from_point = u64::MAX >> 8 >> (4 * places) >> (4 * places);
    ((digits & !from_point | behind & from_point) & NO_LETTER) >> 8
}

/// What the text ends with, from a place on, with nothing behind it.
#[cold]
fn last_word(text: &[u8], begin: usize) -> u64 {
    let rest = text.get(begin..).unwrap_or_default();
    (0..8).fold(0, |word, at| {
        word << 8 | u64::from(rest.get(at).copied().unwrap_or(0))
    })
}

/// 2¹⁰²⁴ − 2⁹⁷⁰: half way from the largest double to the next power of two, from where on a number
/// is rounded to infinity.
const TOO_LARGE: &[u8; 309] = b"179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880177904174497792";

#[cfg(test)]
mod tests {
    use super::super::Cursor;

    /// A number by itself, and as one of many that are looked at together.
    fn agrees(number: &str) {
        let is_finite = number.parse().is_ok_and(f64::is_finite);
        let alone = Cursor::new(number).skip();
        assert_eq!(alone.is_ok(), is_finite, "{number}");
        for (beside, many) in [("1", 40), (number, 40), ("[[],[]]", 20), ("17e307", 20)] {
            for before in 0..2 {
                let others = format!("{beside},").repeat(many);
                let text = format!("[{others}{}{number},{others}0]", " ".repeat(before));
                let together = Cursor::new(&text).skip();
                assert_eq!(together.is_ok(), is_finite, "{text}");
            }
        }
    }

    #[test]
    fn numbers_next_to_the_largest_are_judged_wherever_their_point_stands() {
        let limit = "17976931348623158079372897140";
        for same in 1..limit.len() {
            // As many digits as the limit has, and the last of them less, the same, or more.
            for last in [b'0', limit.as_bytes()[same], b'9'] {
                let digits = format!("{}{}", &limit[..same], char::from(last));
                for point in 0..=digits.len() {
                    let (whole, rest) = digits.split_at(point);
                    for more in 0..2 {
                        let exponent = 308 + more - point as i64;
                        agrees(&match (whole, rest) {
                            ("", rest) => format!("-0.{rest}e{}", exponent + 1),
                            (whole, "") => format!("{whole}E+{}", exponent + 1),
                            (whole, rest) => format!("{whole}.{rest}e{}", exponent + 1),
                        });
                    }
                }
            }
        }
    }

    #[test]
    fn zeros_before_the_digits_count() {
        for zeros in 0..30 {
            for digits in ["17976931348623157", "17976931348623159", "1", "9", "2"] {
                for power in 308..310 {
                    let zeros = "0".repeat(zeros);
                    agrees(&format!("0.{zeros}{digits}e{}", power + 1 + zeros.len()));
                }
            }
        }
    }
}
