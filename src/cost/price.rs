use std::{borrow::Cow, sync::Arc};

use super::{
    Amount, Circumstances, Class, Currency, NotAnAmount, When,
    charge::{Charge, counts, rounded, sum},
    rates::{MILLION, Rates, Sheet},
};
use crate::{facts::Facts, wire::Usage};

/// What a model costs: so much per million tokens of each class, per request, image and search; in
/// US dollars unless it says [otherwise](Self::in_currency).
///
/// A class without a price of its own costs what the class does that it is part of: cached and
/// written input as input, reasoning as output. Zero is a price.
///
/// A price may have variants, for long prompts, for a service tier, for hours of the day, and may
/// be followed by another from a day on.
///
/// ```
/// use tower_completions::{cost::{Price, When}, wire::Usage};
///
/// let long = When::new().above(200_000);
/// let price = Price::new("1.25", "10")?.when(long, &Price::new("2.50", "15")?);
/// assert_eq!(price.of(&Usage::new(200_000, 1_000)).to_string(), "0.26");
/// // Above the threshold all of the request has the other price.
/// assert_eq!(price.of(&Usage::new(200_001, 1_000)).to_string(), "0.5150025");
/// # Ok::<(), tower_completions::cost::NotAnAmount>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    currency: Currency,
    rates: Rates,
    sheet: Sheet,
    /// Each replaces what it states, the last one that applies first.
    variants: Vec<(When, Rates)>,
    /// What it is followed by, by the second of the Unix time, in order.
    later: Vec<(u64, Arc<Self>)>,
    version: Option<Arc<str>>,
    facts: Facts,
}

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident: $class:ident,)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// A text that is no decimal of at most 12 places.
        pub fn $name(self, amount: &str) -> Result<Self, NotAnAmount> {
            self.class(Class::$class, amount)
        }
    )*};
}

impl Price {
    /// Per million tokens of input and of output, as decimal strings; in US dollars.
    ///
    /// # Errors
    /// A text that is no decimal of at most 12 places, or more than eighteen million.
    pub fn new(input: &str, output: &str) -> Result<Self, NotAnAmount> {
        let mut rates = Rates::default();
        rates.set(Class::Input, input)?;
        rates.set(Class::Output, output)?;
        Ok(Self::from_rates(rates))
    }

    pub(super) fn from_rates(rates: Rates) -> Self {
        Self {
            currency: Currency::USD,
            rates,
            sheet: rates.sheet(),
            variants: Vec::new(),
            later: Vec::new(),
            version: None,
            facts: Facts::default(),
        }
    }

    /// Nothing, for whatever is used.
    pub(super) fn nothing(currency: Currency) -> Self {
        Self::from_rates(Rates::default()).in_currency(currency)
    }

    /// The price of any class.
    ///
    /// # Errors
    /// A text that is no decimal of at most 12 places, or more than eighteen million.
    pub fn class(mut self, class: Class, amount: &str) -> Result<Self, NotAnAmount> {
        self.rates.set(class, amount)?;
        self.sheet = self.rates.sheet();
        Ok(self)
    }

    classes! {
        /// Per million tokens read from the provider's cache.
        cached_input: CachedInput,
        /// Per million tokens written to the provider's cache for minutes.
        cache_write: CacheWrite,
        /// Per million tokens written to the provider's cache for an hour.
        cache_write_1h: CacheWrite1h,
        /// Per million tokens of reasoning, where it differs from output.
        reasoning: Reasoning,
        /// Per million tokens of audio heard.
        audio_input: AudioInput,
        /// Per million tokens of audio spoken.
        audio_output: AudioOutput,
        /// Per million tokens of images seen.
        image_input: ImageInput,
        /// Per million tokens of images made.
        image_output: ImageOutput,
        /// Per request.
        request: Request,
        /// Per image that the request shows, beside its tokens.
        image: Image,
        /// Per web search.
        web_search: WebSearch,
    }

    /// Takes its amounts, those of its variants and of what follows it included, for amounts of this
    /// currency. Default: US dollars.
    #[must_use]
    pub fn in_currency(mut self, currency: Currency) -> Self {
        for (_, price) in &mut self.later {
            *price = Arc::new(Self::clone(price).in_currency(currency));
        }
        self.currency = currency;
        self
    }

    /// What its amounts are of.
    #[must_use]
    pub const fn currency(&self) -> Currency {
        self.currency
    }

    /// Whether it has a price of its own for a class.
    #[must_use]
    pub fn states(&self, class: Class) -> bool {
        self.rates.get(class).is_some()
    }

    /// Replaces the classes that another price states, when the request is such. Of several that
    /// apply the last counts.
    ///
    /// # Panics
    /// The other price is in another currency.
    #[must_use]
    pub fn when(self, when: When, price: &Self) -> Self {
        assert_eq!(self.currency, price.currency, "one price, two currencies");
        self.variant(when, price.rates)
    }

    pub(super) fn variant(mut self, when: When, rates: Rates) -> Self {
        self.variants.push((when, rates));
        self
    }

    /// Is followed by another price, for requests that arrive from a moment on, in seconds of the
    /// Unix time.
    ///
    /// # Panics
    /// The other price is in another currency.
    #[must_use]
    pub fn then_from(mut self, unix: u64, price: Self) -> Self {
        assert_eq!(self.currency, price.currency, "one price, two currencies");
        let at = self.later.partition_point(|(from, _)| *from <= unix);
        self.later.insert(at, (unix, Arc::new(price)));
        self
    }

    /// Where the price comes from and of when it is, for receipts.
    #[must_use]
    pub fn with_version(mut self, version: impl Into<Arc<str>>) -> Self {
        let version = version.into();
        for (_, price) in &mut self.later {
            let later = Self::clone(price).with_version(Arc::clone(&version));
            *price = Arc::new(later);
        }
        self.version = Some(version);
        self
    }

    /// What is known of the model besides. Default: nothing.
    #[must_use]
    pub fn with_facts(mut self, facts: Facts) -> Self {
        self.facts = facts;
        self
    }

    /// What is known of the model besides.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Where the price comes from and of when it is.
    #[must_use]
    pub fn version(&self) -> Option<&Arc<str>> {
        self.version.as_ref()
    }

    /// The price itself at a moment: this, or what it is followed by.
    fn current(&self, unix: u64) -> &Self {
        let at = self.later.partition_point(|(from, _)| *from <= unix);
        match at.checked_sub(1) {
            Some(at) => &self.later[at].1,
            None => self,
        }
    }

    /// The prices of all classes for a prompt of so many tokens.
    fn sheet(&self, prompt: u64, it: Circumstances) -> Cow<'_, Sheet> {
        let price = self.current(it.unix);
        let mut rates = None;
        for (when, by) in &price.variants {
            if when.holds(prompt, it) {
                rates = Some(rates.unwrap_or(price.rates).overridden(by));
            }
        }
        match rates {
            Some(rates) => Cow::Owned(rates.sheet()),
            None => Cow::Borrowed(&price.sheet),
        }
    }

    /// What a usage costs at the standard tier and the price that came first; see
    /// [`charge`](Self::charge).
    #[must_use]
    pub fn of(&self, usage: &Usage) -> Amount {
        self.charge(usage, Circumstances::default()).cost()
    }

    /// What a usage costs, by class. The one function that everything asks.
    ///
    /// Each class at its price, summed exactly, rounded once to the picodollar, half to even. Parts
    /// larger than their whole are cut to it; nothing ever credits. Of several calls each is a
    /// request, and how long a prompt is goes by one of them.
    #[must_use]
    pub fn charge(&self, usage: &Usage, it: Circumstances) -> Charge {
        let prompt = match usage.further_calls {
            0 => usage.input,
            _ => usage.input.div_ceil(usage.calls()),
        };
        Charge::new(counts(usage), self.sheet(prompt, it).of)
    }

    /// The most that so much input and output can cost: every token at its dearest class.
    #[must_use]
    pub fn ceiling(&self, input: u64, output: u64) -> Amount {
        rounded(
            self.most(input, [input, output, 1, 0, 0], Circumstances::default()),
            MILLION,
        )
    }

    /// The same of prompts of this length, and of so many requests, searches and images, in millionths of a
    /// picodollar.
    pub(super) fn most(
        &self,
        prompt: u64,
        [input, output, requests, searches, images]: [u64; 5],
        it: Circumstances,
    ) -> u128 {
        let sheet = self.sheet(prompt, it);
        sum(&[
            (input, sheet.dearest_input, Class::Input),
            (output, sheet.dearest_output, Class::Output),
            (requests, sheet.of[Class::Request as usize], Class::Request),
            (
                searches,
                sheet.of[Class::WebSearch as usize],
                Class::WebSearch,
            ),
            (images, sheet.of[Class::Image as usize], Class::Image),
        ])
    }

    /// The price per million tokens of a class, or per unit, at the standard tier.
    #[must_use]
    pub fn per(&self, class: Class) -> Amount {
        Amount::from_pico(self.sheet.of[class as usize].into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ServiceTier;

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
        let price = Price::new("1.25", "10").and_then(|p| p.cached_input("0.625"));
        let mut usage = Usage::new(262_960, 1_744);
        usage.cached_input = 257_955;
        let cost = price.expect("decimals").of(&usage);
        assert_eq!(cost.to_string(), "0.184918125");
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

    #[test]
    fn a_variant_replaces_what_it_states() {
        let base = Price::new("1", "2").and_then(|p| p.cached_input("0.1"));
        let batch = When::new().tier(ServiceTier::Batch);
        let long = When::new().above(100);
        let both = batch.above(100);
        let price = base
            .expect("decimals")
            .when(long, &Price::new("3", "4").expect("decimals"))
            .when(batch, &Price::new("0.5", "1").expect("decimals"))
            .when(both, &Price::new("1.5", "2").expect("decimals"));
        let standard = Circumstances::default();
        let cheap = standard.tier(ServiceTier::Batch);
        let flex = standard.tier(ServiceTier::Flex);
        for (input, it, pico) in [
            (100, standard, 100),
            (101, standard, 303),
            (100, cheap, 50),
            (102, cheap, 153),
            (100, flex, 100),
        ] {
            let cost = price.charge(&Usage::new(input, 0), it).cost();
            assert_eq!(cost.pico(), pico * 1_000_000, "{input} {it:?}");
        }
        let mut cached = Usage::new(101, 0);
        cached.cached_input = 101;
        let cost = price.of(&cached).pico();
        assert_eq!(cost, 101 * 100_000, "what a variant leaves out stays");
    }

    #[test]
    fn prices_follow_one_another_and_the_clock() {
        let price = |usd| Price::new(usd, "0").expect("decimals");
        let night = When::new().hours(16 * 3600 + 1800, 1800);
        let dated = price("1")
            .then_from(2 * 86_400, price("3"))
            .then_from(86_400, price("2").when(night, &price("0.5")));
        for (unix, usd) in [
            (0, "1"),
            (86_399, "1"),
            (86_400, "0.5"),
            (86_400 + 1799, "0.5"),
            (86_400 + 1800, "2"),
            (86_400 + 16 * 3600 + 1800, "0.5"),
            (2 * 86_400, "3"),
            (u64::MAX, "3"),
        ] {
            let charge = dated.charge(&Usage::new(1_000_000, 0), Circumstances::at(unix));
            assert_eq!(charge.cost().to_string(), usd, "{unix}");
        }
    }
}
