use std::{fmt, str::FromStr};

/// A currency, by its three-letter code (ISO 4217). Default: US dollars.
///
/// Amounts do not say what they are of: prices, receipts and ledgers do. A price in another currency
/// than the ledger's is never charged and never compared, it refuses the request.
///
/// ```
/// use tower_completions::cost::{Currency, Price};
///
/// let price = Price::new("1.10", "4.40")?.in_currency("EUR".parse()?);
/// assert_eq!(price.currency().code(), "EUR");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency([u8; 3]);

/// A text that is not the code of a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotACurrency;

impl fmt::Display for NotACurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a currency's code of three capital letters, such as USD")
    }
}

impl std::error::Error for NotACurrency {}

impl Currency {
    /// US dollars.
    pub const USD: Self = Self(*b"USD");
    /// Euros.
    pub const EUR: Self = Self(*b"EUR");

    /// The three letters of ISO 4217: `USD`.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("capital letters are ASCII")
    }
}

impl FromStr for Currency {
    type Err = NotACurrency;

    fn from_str(code: &str) -> Result<Self, NotACurrency> {
        let code: [u8; 3] = code.as_bytes().try_into().map_err(|_| NotACurrency)?;
        let letters = code.iter().all(u8::is_ascii_uppercase);
        letters.then_some(Self(code)).ok_or(NotACurrency)
    }
}

impl Default for Currency {
    fn default() -> Self {
        Self::USD
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        assert_eq!("USD".parse(), Ok(Currency::USD));
        assert_eq!(
            "CHF".parse().map(|it: Currency| it.to_string()),
            Ok("CHF".into())
        );
        for text in ["", "usd", "US", "USDT", "U$D", "ÄB"] {
            assert_eq!(text.parse::<Currency>(), Err(NotACurrency), "{text}");
        }
    }
}
