use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use super::{Amount, Charge, Currency};
use crate::{ext::Served, wire::Usage};

/// What a request was charged, and for what. In the extensions of a whole answer; for a stream see
/// [`Bill`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// What it cost.
    pub cost: Amount,
    /// What was taken from the account: less than the cost when the balance was.
    pub charged: Amount,
    /// What its amounts are of.
    pub currency: Currency,
    /// What was used. It says too whether it was [estimated](Usage::estimated) or
    /// [cut](Usage::clamped).
    pub usage: Usage,
    /// The cost by class: see [`Charge::lines`].
    pub charge: Charge,
    /// Where the price comes from and of when it is, if the price book says so.
    pub price_version: Option<Arc<str>>,
    /// Who answered, how many were asked, and what became of each that was asked in vain.
    pub served: Option<Served>,
}

impl Receipt {
    /// How many upstreams were asked; 1 where there is no router.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.served.as_ref().map_or(1, |served| served.attempts)
    }

    /// The receipt as JSON: the amounts exact numbers, one line for each class that
    /// was used.
    ///
    /// ```
    /// use tower_completions::{cost::Receipt, cost::Price, wire::Usage};
    ///
    /// let receipt = Receipt::quote(&Price::new("1.25", "10")?, &Usage::new(4, 2));
    /// assert_eq!(receipt.to_json(), concat!(
    ///     r#"{"amount":0.000025,"currency":"USD","charged":0,"estimated":false,"clamped":false,"#,
    ///     r#""attempts":1,"price_version":null,"lines":["#,
    ///     r#"{"class":"input","count":4,"price":1.25,"per":1000000,"amount":0.000005},"#,
    ///     r#"{"class":"output","count":2,"price":10,"per":1000000,"amount":0.00002}]}"#,
    /// ));
    /// # Ok::<(), tower_completions::cost::NotAnAmount>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        use fmt::Write as _;
        let mut out = String::with_capacity(256);
        let version = self.price_version.as_deref();
        let version = version.map_or_else(
            || "null".into(),
            |it| serde_json::Value::from(it).to_string(),
        );
        let _ = write!(
            out,
            r#"{{"amount":{},"currency":"{}","charged":{},"estimated":{},"clamped":{},"attempts":{},"price_version":{version},"lines":["#,
            self.cost,
            self.currency,
            self.charged,
            self.usage.estimated,
            self.usage.clamped,
            self.attempts(),
        );
        let used = self
            .charge
            .lines()
            .filter(|line| line.price != Amount::ZERO);
        for (at, line) in used.enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let _ = write!(
                out,
                r#"{comma}{{"class":"{}","count":{},"price":{},"per":{},"amount":{}}}"#,
                line.class.name(),
                line.count,
                line.price,
                line.class.per(),
                line.amount,
            );
        }
        out.push_str("]}");
        out
    }

    /// What a usage would cost at a price, nobody being charged.
    #[must_use]
    pub fn quote(price: &super::Price, usage: &Usage) -> Self {
        let charge = price.charge(usage, super::Circumstances::default());
        Self {
            cost: charge.cost(),
            charged: Amount::ZERO,
            usage: *usage,
            charge,
            currency: price.currency(),
            price_version: price.version().cloned(),
            served: None,
        }
    }
}

/// The receipt of a stream, which is there when it has been settled. In the extensions of the
/// response; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Bill(Arc<OnceLock<Receipt>>);

impl Bill {
    /// The receipt; `None` while the stream runs, or when nothing was charged.
    #[must_use]
    pub fn receipt(&self) -> Option<&Receipt> {
        self.0.get()
    }

    pub(super) fn settle(&self, receipt: Receipt) {
        let _ = self.0.set(receipt);
    }
}
