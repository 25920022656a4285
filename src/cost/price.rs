use std::{collections::HashMap, fmt, sync::Arc};

use arc_swap::ArcSwap;

use super::{NotAnAmount, Usd};
use crate::wire::Usage;

/// What a model costs: US dollars per million tokens of each class, and per request.
///
/// A class without a price of its own costs what the class does that it is part of: cached and
/// written input as input, reasoning as output. Zero is a price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    input: Usd,
    output: Usd,
    cached_input: Option<Usd>,
    cache_write: Option<Usd>,
    cache_write_1h: Option<Usd>,
    reasoning: Option<Usd>,
    audio_input: Option<Usd>,
    audio_output: Option<Usd>,
    request: Usd,
}

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// A text that is no decimal of at most 12 places.
        pub fn $name(mut self, usd: &str) -> Result<Self, NotAnAmount> {
            self.$name = Some(usd.parse()?);
            Ok(self)
        }
    )*};
}

impl Price {
    /// USD per million tokens of input and of output, as decimal strings.
    ///
    /// # Errors
    /// A text that is no decimal of at most 12 places.
    pub fn new(input: &str, output: &str) -> Result<Self, NotAnAmount> {
        Ok(Self {
            input: input.parse()?,
            output: output.parse()?,
            cached_input: None,
            cache_write: None,
            cache_write_1h: None,
            reasoning: None,
            audio_input: None,
            audio_output: None,
            request: Usd::ZERO,
        })
    }

    classes! {
        /// USD per million tokens read from the provider's cache.
        cached_input,
        /// USD per million tokens written to the provider's cache for minutes.
        cache_write,
        /// USD per million tokens written to the provider's cache for an hour.
        cache_write_1h,
        /// USD per million tokens of reasoning, where it differs from output.
        reasoning,
        /// USD per million tokens of audio heard.
        audio_input,
        /// USD per million tokens of audio spoken.
        audio_output,
    }

    /// USD per request.
    ///
    /// # Errors
    /// A text that is no decimal of at most 12 places.
    pub fn request(mut self, usd: &str) -> Result<Self, NotAnAmount> {
        self.request = usd.parse()?;
        Ok(self)
    }

    /// What a usage costs: each class at its price, summed exactly, rounded once to the picodollar,
    /// half to even. Parts larger than their whole are cut to it; nothing ever credits.
    #[must_use]
    pub fn of(&self, usage: &Usage) -> Usd {
        // Each part takes its share of what is left of the whole.
        let mut input = usage.input;
        let mut part = |count: u64| {
            let taken = count.min(input);
            input -= taken;
            taken
        };
        let (written_1h, written) = (part(usage.cache_write_1h), part(usage.cache_write));
        let (cached, heard) = (part(usage.cached_input), part(usage.audio_input));
        let mut output = usage.output;
        let mut part = |count: u64| {
            let taken = count.min(output);
            output -= taken;
            taken
        };
        let (thought, spoken) = (part(usage.reasoning), part(usage.audio_output));
        let write = self.cache_write.unwrap_or(self.input);
        let millionths: Usd = [
            self.input.times(input),
            self.cached_input.unwrap_or(self.input).times(cached),
            write.times(written),
            self.cache_write_1h.unwrap_or(write).times(written_1h),
            self.audio_input.unwrap_or(self.input).times(heard),
            self.output.times(output),
            self.reasoning.unwrap_or(self.output).times(thought),
            self.audio_output.unwrap_or(self.output).times(spoken),
        ]
        .into_iter()
        .sum();
        half_even(millionths).plus(self.request)
    }

    /// The most that so much input and output can cost: every token at its dearest class.
    #[must_use]
    pub fn ceiling(&self, input: u64, output: u64) -> Usd {
        let dearest = |prices: &[Option<Usd>]| prices.iter().flatten().max().copied();
        let of_input = dearest(&[
            Some(self.input),
            self.cache_write,
            self.cache_write_1h,
            self.audio_input,
        ]);
        let of_output = dearest(&[Some(self.output), self.reasoning, self.audio_output]);
        let sum = of_input
            .unwrap_or_default()
            .times(input)
            .plus(of_output.unwrap_or_default().times(output));
        half_even(sum).plus(self.request)
    }
}

/// A millionth, rounded half to even.
fn half_even(amount: Usd) -> Usd {
    const MILLION: i128 = 1_000_000;
    let (quotient, rest) = (amount.pico() / MILLION, amount.pico() % MILLION);
    let up = rest * 2 > MILLION || (rest * 2 == MILLION && quotient % 2 != 0);
    Usd::from_pico(quotient + i128::from(up))
}

/// Knows what models cost.
pub trait PriceBook: Send + Sync {
    /// The price of a model by its configured id, or by any name that clients use for it; `None`
    /// when it is not known, which is not the same as free.
    fn price(&self, model: &str) -> Option<Arc<Price>>;

    /// The prices of all that may answer in a model's place, itself included: what a hold must
    /// cover. One without a price is `None`. Default: its own alone.
    fn candidates(&self, model: &str) -> Vec<Option<Arc<Price>>> {
        vec![self.price(model)]
    }
}

/// A table of prices by model. Clones share it; it may be replaced at any time, and a request keeps
/// the prices it began with.
#[derive(Clone, Default)]
pub struct Prices(Arc<ArcSwap<Table>>);

#[derive(Clone, Default)]
struct Table {
    prices: HashMap<Box<str>, Arc<Price>>,
    fallbacks: HashMap<Box<str>, Vec<Box<str>>>,
}

impl Prices {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a price under a name.
    #[must_use]
    pub fn with(self, model: &str, price: Price) -> Self {
        let price = Arc::new(price);
        self.0.rcu(move |table| {
            let mut table = Table::clone(table);
            table.prices.insert(model.into(), Arc::clone(&price));
            table
        });
        self
    }

    /// Says which models may answer in a model's place.
    #[must_use]
    pub fn with_fallbacks<'a>(
        self,
        model: &str,
        fallbacks: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let fallbacks: Vec<Box<str>> = fallbacks.into_iter().map(Into::into).collect();
        self.0.rcu(move |table| {
            let mut table = Table::clone(table);
            table.fallbacks.insert(model.into(), fallbacks.clone());
            table
        });
        self
    }

    /// Replaces the whole table by another's.
    pub fn replace(&self, other: &Self) {
        self.0.store(other.0.load_full());
    }
}

impl fmt::Debug for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prices")
            .field("models", &self.0.load().prices.len())
            .finish()
    }
}

impl PriceBook for Prices {
    fn price(&self, model: &str) -> Option<Arc<Price>> {
        self.0.load().prices.get(model).cloned()
    }

    fn candidates(&self, model: &str) -> Vec<Option<Arc<Price>>> {
        let table = self.0.load();
        let others = table.fallbacks.get(model).into_iter().flatten();
        let names = std::iter::once(model).chain(others.map(|name| &**name));
        names.map(|name| table.prices.get(name).cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_values() {
        let price = Price::new("5", "25")
            .and_then(|p| p.cache_write("6.25"))
            .expect("decimals");
        let mut usage = Usage::new(6 + 159_217, 2_745);
        usage.cache_write = 159_217;
        assert_eq!(price.of(&usage).to_string(), "1.06376125");
        let price = Price::new("0.30", "0.50")
            .and_then(|p| p.cached_input("0.075"))
            .expect("decimals");
        let mut usage = Usage::new(12, 291);
        (usage.cached_input, usage.reasoning) = (11, 290);
        assert_eq!(price.of(&usage).to_string(), "0.000146625");
    }

    #[test]
    fn one_rounding_half_to_even() {
        // Half a picodollar, and one and a half: tokens at 0.0000005 USD per million.
        let price = Price::new("0.000000500000", "0").expect("decimals");
        for (tokens, pico) in [(1, 0), (2, 1), (3, 2), (5, 2), (7, 4)] {
            assert_eq!(price.of(&Usage::new(tokens, 0)).pico(), pico, "{tokens}");
        }
    }

    #[test]
    fn parts_are_cut_to_their_whole_and_nothing_credits() {
        let price = Price::new("2", "0")
            .and_then(|p| p.cached_input("1"))
            .expect("decimals");
        let mut usage = Usage::new(10, 0);
        (usage.cached_input, usage.cache_write) = (100, 4);
        assert_eq!(price.of(&usage).pico(), 4 * 2_000_000 + 6 * 1_000_000);
        let most = Usage::new(u64::MAX, u64::MAX);
        assert!(price.of(&most) >= price.of(&usage));
        assert!(price.ceiling(10, 0) >= price.of(&usage));
    }
}
