use super::{NotAnAmount, amount::scaled, rates::MILLION};

/// What a caller pays of the list price. Attach it to a [`Principal`](crate::Principal); absent, the
/// list price is paid.
///
/// ```
/// use tower_completions::{Principal, cost::Terms};
///
/// let reseller = Principal::new("acme").attach(Terms::times("1.2")?);
/// let friend = Principal::new("friend").attach(Terms::times("0.85")?);
/// # Ok::<(), tower_completions::cost::NotAnAmount>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    millionths: u64,
}

impl Terms {
    /// The list price times a decimal: 1.2 marks up by a fifth, 0.85 takes 15 % off, 0 is free of
    /// charge.
    ///
    /// # Errors
    /// A text that is no decimal of at most 6 places, or more than 1000.
    pub fn times(factor: &str) -> Result<Self, NotAnAmount> {
        let exact = scaled(factor, 12).ok_or(NotAnAmount)?;
        let millionths = u64::try_from(exact / i128::from(MILLION)).map_err(|_| NotAnAmount)?;
        if exact % i128::from(MILLION) != 0 || millionths > 1000 * MILLION {
            return Err(NotAnAmount);
        }
        Ok(Self { millionths })
    }

    pub(super) const fn millionths(self) -> u64 {
        self.millionths
    }
}

impl Default for Terms {
    /// The list price.
    fn default() -> Self {
        Self {
            millionths: MILLION,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors() {
        assert_eq!(Terms::times("1"), Ok(Terms::default()));
        assert_eq!(Terms::times("0.000001").map(Terms::millionths), Ok(1));
        assert_eq!(
            Terms::times("1000").map(Terms::millionths),
            Ok(1_000_000_000)
        );
        for text in ["-1", "0.0000001", "1000.1", "x", ""] {
            assert_eq!(Terms::times(text), Err(NotAnAmount), "{text}");
        }
    }
}
