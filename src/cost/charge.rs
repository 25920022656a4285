//! From a usage to its cost: the one place where tokens become money.

use super::{
    Amount, Class,
    rates::{COUNT, Flat, MILLION},
};
use crate::wire::Usage;

/// What a usage costs, class by class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    counts: [u64; COUNT],
    prices: Flat,
    /// Applied to the sum, in millionths.
    factor: u64,
    /// What the provider says it cost, when that is to count.
    reported: Option<u64>,
}

/// One class on a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// What was counted.
    pub class: Class,
    /// How much of it, no unit being in two lines.
    pub count: u64,
    /// Its price, for [`Class::per`] units.
    pub price: Amount,
    /// What it adds to the cost: the amounts of all lines are the cost, to the picodollar.
    pub amount: Amount,
}

impl Charge {
    pub(super) const fn new(counts: [u64; COUNT], prices: Flat) -> Self {
        Self {
            counts,
            prices,
            factor: MILLION,
            reported: None,
        }
    }

    /// Multiplied by so many millionths, before the one rounding.
    #[must_use]
    pub(super) const fn with_factor(mut self, millionths: u64) -> Self {
        self.factor = millionths;
        self
    }

    /// So many picodollars instead of the sum.
    #[must_use]
    pub(super) const fn with_reported(mut self, picodollars: Option<u64>) -> Self {
        self.reported = picodollars;
        self
    }

    /// What the usage costs: the sum of all lines, rounded once, half to even.
    #[must_use]
    pub fn cost(&self) -> Amount {
        let exact = match self.reported {
            Some(pico) => u128::from(pico) * u128::from(MILLION),
            None => self.exact(COUNT),
        };
        rounded(exact, self.factor)
    }

    /// Whether the provider's own statement was taken for the cost; the lines are then what our
    /// prices make of the usage.
    #[must_use]
    pub const fn is_reported(&self) -> bool {
        self.reported.is_some()
    }

    /// The sum of the first so many classes, in millionths of a picodollar.
    fn exact(&self, classes: usize) -> u128 {
        let mut sum = 0_u128;
        let counted = self.counts.iter().zip(&self.prices).zip(&Class::ALL);
        for ((count, price), class) in counted.take(classes) {
            if *count != 0 {
                sum = sum.saturating_add(product(*count, *price, class.per()));
            }
        }
        sum
    }

    /// The classes that were used, one by one.
    pub fn lines(&self) -> impl Iterator<Item = Line> {
        let mut before = Amount::ZERO;
        (0..COUNT).filter_map(move |at| {
            let sum = rounded(self.exact(at + 1), self.factor);
            let amount = sum.minus(before);
            before = sum;
            (self.counts[at] != 0).then(|| Line {
                class: Class::ALL[at],
                count: self.counts[at],
                price: Amount::from_pico(self.prices[at].into()),
                amount,
            })
        })
    }
}

/// The disjoint counts of a usage. Each part takes its share of what is left of the whole.
pub(super) fn counts(usage: &Usage) -> [u64; COUNT] {
    let mut counts = [0; COUNT];
    let mut share = |whole: Class, total: u64, parts: &[(Class, u64)]| {
        let mut left = total;
        for (class, count) in parts {
            let taken = left.min(*count);
            left -= taken;
            counts[*class as usize] = taken;
        }
        counts[whole as usize] = left;
    };
    share(
        Class::Input,
        usage.input,
        &[
            (Class::CacheWrite1h, usage.cache_write_1h),
            (Class::CacheWrite, usage.cache_write),
            (Class::CachedInput, usage.cached_input),
            (Class::AudioInput, usage.audio_input),
            (Class::ImageInput, usage.image_input),
        ],
    );
    share(
        Class::Output,
        usage.output,
        &[
            (Class::Reasoning, usage.reasoning),
            (Class::AudioOutput, usage.audio_output),
            (Class::ImageOutput, usage.image_output),
        ],
    );
    counts[Class::Request as usize] = usage.calls();
    counts[Class::Image as usize] = usage.images.saturating_mul(usage.calls());
    counts[Class::WebSearch as usize] = usage.web_searches;
    counts
}

/// In millionths of a picodollar.
fn product(count: u64, price: u64, per: u64) -> u128 {
    let exact = u128::from(count) * u128::from(price);
    if per == 1 {
        exact.saturating_mul(MILLION.into())
    } else {
        exact
    }
}

/// So many of each at its price, in millionths of a picodollar.
pub(super) fn sum(parts: &[(u64, u64, Class)]) -> u128 {
    let products = parts
        .iter()
        .filter(|(count, price, _)| *count != 0 && *price != 0)
        .map(|(count, price, class)| product(*count, *price, class.per()));
    products.fold(0, u128::saturating_add)
}

/// Millionths of a picodollar times millionths, rounded half to even.
pub(super) fn rounded(exact: u128, factor: u64) -> Amount {
    // Nearly always nothing is marked up, and all fits a machine word.
    let short = u64::try_from(exact).ok().filter(|_| factor == MILLION);
    if let Some(exact) = short {
        let (quotient, rest) = (exact / MILLION, exact % MILLION);
        let up = rest * 2 > MILLION || (rest * 2 == MILLION && quotient % 2 != 0);
        return Amount::from_pico(i128::from(quotient) + i128::from(up));
    }
    let one = u128::from(MILLION) * u128::from(MILLION);
    let exact = exact.saturating_mul(factor.into());
    let (quotient, rest) = (exact / one, exact % one);
    let up = rest * 2 > one || (rest * 2 == one && quotient % 2 != 0);
    let quotient = quotient + u128::from(up);
    Amount::from_pico(i128::try_from(quotient).unwrap_or(i128::MAX))
}
