//! Our own price file, in whatever format serde reads: TOML, JSON.

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{day, second};
use crate::{
    cost::{Class, Currency, NotAnAmount, Price, PriceList, When, rates::Rates},
    wire::ServiceTier,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: Option<String>,
    currency: Option<String>,
    #[serde(default)]
    price: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    provider: Option<String>,
    models: Vec<String>,
    #[serde(default)]
    when: Vec<Variant>,
    #[serde(default)]
    then: Vec<Later>,
    #[serde(flatten)]
    rates: Words,
}

#[derive(Deserialize)]
struct Variant {
    above: Option<u64>,
    tier: Option<String>,
    from: Option<String>,
    hours: Option<[String; 2]>,
    #[serde(flatten)]
    rates: Words,
}

#[derive(Deserialize)]
struct Later {
    from: String,
    #[serde(default)]
    when: Vec<Variant>,
    #[serde(flatten)]
    rates: Words,
}

/// What is left of a table: classes and their prices, as strings.
type Words = std::collections::BTreeMap<String, String>;

/// From a table such as this, in TOML:
///
/// ```
/// use tower_completions::cost::PriceList;
///
/// let list: PriceList = toml::from_str(r#"
///     version = "our contract of 2026-11-01"
///     currency = "EUR"                    # absent: USD
///
///     [[price]]
///     provider = "openai"                 # absent: any
///     models = ["gpt-4o", "gpt-4o-####-##-##"]
///     input = "2.50"                      # per million tokens, as strings
///     cached_input = "1.25"
///     output = "10"
///     when = [{ tier = "batch", input = "1.25", output = "5" },
///             { above = 200000, input = "5" }]
///     then = [{ from = "2027-01-01", input = "2", output = "8" }]
/// "#)?;
/// assert!(list.find("openai", "gpt-4o-2024-08-06").is_some());
/// # Ok::<(), toml::de::Error>(())
/// ```
///
/// Classes are named as by [`Class::name`]; all but tokens are priced per piece. `when` has variants
/// by prompt length, tier (`batch`, `flex`, `priority`), day (`from`) and hours of the day in UTC
/// (`hours = ["16:30", "00:30"]`); of several that apply the last counts. `then` has what the price
/// is followed by.
impl<'de> Deserialize<'de> for PriceList {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let file = File::deserialize(from)?;
        let mut list = Self::new();
        let currency = match file.currency {
            None => Currency::USD,
            Some(code) => code
                .parse()
                .map_err(|why| D::Error::custom(format!("currency: {why}, got {code:?}")))?,
        };
        for (at, entry) in file.price.into_iter().enumerate() {
            let (provider, models) = (entry.provider.clone(), entry.models.clone());
            let mut price = entry
                .price()
                .map_err(|why| D::Error::custom(format!("price[{at}]: {why}")))?;
            price = price.in_currency(currency);
            if let Some(version) = &file.version {
                price = price.with_version(version.as_str());
            }
            let provider = provider.as_deref().unwrap_or("*");
            list = list.with(provider, models.iter().map(String::as_str), price);
        }
        Ok(list)
    }
}

impl Entry {
    fn price(self) -> Result<Price, String> {
        let price = with(&self.rates, self.when)?;
        self.then.into_iter().try_fold(price, |price, later| {
            let from = date(&later.from)?;
            Ok(price.then_from(from, with(&later.rates, later.when)?))
        })
    }
}

fn with(words: &Words, variants: Vec<Variant>) -> Result<Price, String> {
    let price = Price::from_rates(rates(words)?);
    variants.into_iter().try_fold(price, |price, variant| {
        let mut when = When::new();
        if let Some(above) = variant.above {
            when = when.above(above);
        }
        if let Some(name) = variant.tier {
            let tier = ServiceTier::named(&name);
            when = when.tier(tier.ok_or_else(|| format!("{name:?} is no tier"))?);
        }
        if let Some(text) = variant.from {
            when = when.from(date(&text)?);
        }
        if let Some([from, to]) = variant.hours {
            let time = |text: String| {
                second(&text).ok_or_else(|| format!("expected a time such as 16:30, got {text:?}"))
            };
            when = when.hours(time(from)?, time(to)?);
        }
        Ok(price.variant(when, rates(&variant.rates)?))
    })
}

fn date(text: &str) -> Result<u64, String> {
    day(text).ok_or_else(|| format!("expected a day such as 2026-11-25, got {text:?}"))
}

fn rates(words: &Words) -> Result<Rates, String> {
    let mut rates = Rates::default();
    for (name, usd) in words {
        let class = Class::ALL.into_iter().find(|class| class.name() == name);
        let class = class.ok_or_else(|| format!("{name:?} is not known"))?;
        let set = rates.set(class, usd);
        set.map_err(|why: NotAnAmount| format!("{name}: {why}, got {usd:?}"))?;
    }
    Ok(rates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cost::Circumstances, wire::Usage};

    #[test]
    fn json_and_its_mistakes() {
        let read = |text: &str| serde_json::from_str::<PriceList>(text);
        let text = r#"{"version": "v", "currency": "CHF", "price": [{"models": ["a*"], "input": "1", "output": "2", "request": "0.5", "image": "0.25",
            "when": [{"tier": "flex", "input": "0.5"}, {"hours": ["00:00", "01:00"], "from": "2026-01-01", "output": "1"}],
            "then": [{"from": "2027-01-01", "input": "3", "when": [{"above": 10, "input": "6"}]}]}]}"#;
        let list = read(text).expect("readable");
        let price = list.find("whoever", "abc").expect("it is there");
        let usd = |input, output, it| {
            price
                .charge(&Usage::new(input, output), it)
                .cost()
                .to_string()
        };
        let noon = Circumstances::at(1_795_564_800 + 43_200);
        assert_eq!(usd(1_000_000, 1_000_000, noon), "3.5");
        assert_eq!(usd(1_000_000, 0, noon.tier(ServiceTier::Flex)), "1");
        assert_eq!(usd(0, 1_000_000, Circumstances::at(1_795_564_800)), "1.5");
        let next = Circumstances::at(1_800_000_000);
        assert_eq!(
            (usd(1_000_000, 9, next), usd(10, 0, next)),
            ("6".into(), "0.00003".into())
        );
        let mut shown = Usage::new(0, 0);
        shown.images = 2;
        assert_eq!(price.charge(&shown, noon).cost().to_string(), "1");
        assert_eq!(price.version().map(|it| &**it), Some("v"));
        assert_eq!(price.currency().code(), "CHF");
        for (text, why) in [
            (r#"{"prices": []}"#, "unknown field"),
            (r#"{"currency": "Franken"}"#, "three capital letters"),
            (
                r#"{"price": [{"models": [], "input": 1}]}"#,
                "expected a string",
            ),
            (
                r#"{"price": [{"models": [], "input": "-1"}]}"#,
                "price[0]: input: expected a decimal",
            ),
            (
                r#"{"price": [{"models": [], "inptu": "1"}]}"#,
                "\"inptu\" is not known",
            ),
            (
                r#"{"price": [{"models": [], "when": [{"tier": "soon"}]}]}"#,
                "no tier",
            ),
            (
                r#"{"price": [{"models": [], "when": [{"hours": ["1", "2"]}]}]}"#,
                "expected a time",
            ),
            (
                r#"{"price": [{"models": [], "then": [{"from": "soon"}]}]}"#,
                "expected a day",
            ),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
