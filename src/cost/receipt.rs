use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use super::{Amount, Charge, Currency};
use crate::{
    ext::{Served, Target},
    wire::Usage,
};

/// What a request was charged, and for what. In the extensions of a whole answer; for a stream see
/// [`Bill`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// What it cost.
    pub cost: Amount,
    /// What came to more than the request's own ceiling (`x-max-cost`), and is not part of the cost.
    /// Nearly always zero.
    pub waived: Amount,
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
    /// What else is in the cost: attempts that lost to the one that answered, where the router's policy
    /// has them charged. Nearly always none.
    pub losers: Vec<Loser>,
    /// Who answered, how many were asked, and what became of each that was asked in vain.
    pub served: Option<Served>,
}

/// An attempt that was dropped because another answered first, and is charged beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loser {
    /// Who was asked.
    pub target: Target,
    /// What it is thought to have used: [estimated](Usage::estimated), or as its upstream had said.
    pub usage: Usage,
    /// What that costs, at the price of who was asked.
    pub cost: Amount,
}

impl Receipt {
    /// How many upstreams were asked; 1 where there is no router.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.served.as_ref().map_or(1, |served| served.attempts)
    }

    /// The receipt as JSON: the amounts exact numbers, one line for each class that
    /// was used, and where there are losers the list of them. The amounts of lines and losers are the
    /// cost together, and what was waived, which is named where there is any.
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
        let lines = self
            .charge
            .lines()
            .filter(|line| line.price != Amount::ZERO);
        for (at, line) in lines.enumerate() {
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
        out.push(']');
        for (at, loser) in self.losers.iter().enumerate() {
            out.push_str(if at == 0 { r#","losers":["# } else { "," });
            let name = |name: &str| serde_json::Value::from(name).to_string();
            let _ = write!(
                out,
                r#"{{"provider":{},"model":{},"input":{},"output":{},"estimated":{},"amount":{}}}"#,
                name(&loser.target.provider),
                name(&loser.target.model),
                loser.usage.input,
                loser.usage.output,
                loser.usage.estimated,
                loser.cost,
            );
        }
        if !self.losers.is_empty() {
            out.push(']');
        }
        if self.waived != Amount::ZERO {
            let _ = write!(out, r#","waived":{}"#, self.waived);
        }
        out.push('}');
        out
    }

    /// What a usage would cost at a price, nobody being charged.
    #[must_use]
    pub fn quote(price: &super::Price, usage: &Usage) -> Self {
        let charge = price.charge(usage, super::Circumstances::default());
        Self {
            cost: charge.cost(),
            waived: Amount::ZERO,
            charged: Amount::ZERO,
            usage: *usage,
            charge,
            currency: price.currency(),
            price_version: price.version().cloned(),
            losers: Vec::new(),
            served: None,
        }
    }
}

/// The receipt of a stream, which is there when it has been settled. In the extensions of the
/// response; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Bill(
    // In a box of its own: as long as the stream is open there is none.
    Arc<OnceLock<Box<Receipt>>>,
);

impl Bill {
    /// The receipt; `None` while the stream runs, or when nothing was charged.
    #[must_use]
    pub fn receipt(&self) -> Option<&Receipt> {
        self.0.get().map(|receipt| &**receipt)
    }

    pub(super) fn settle(&self, receipt: Receipt) {
        let _ = self.0.set(Box::new(receipt));
    }
}
