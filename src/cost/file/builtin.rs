use crate::cost::PriceList;

const TABLE: &str = include_str!("builtin.json");
const VERSION: &str = include_str!("builtin.version");

impl PriceList {
    /// The table that the crate ships: what well-known providers ask for their models, and for most of
    /// them the longest prompt ([`Price::facts`](crate::cost::Price::facts)), by the data of [genai-prices](https://github.com/pydantic/genai-prices) (MIT, Pydantic Services Inc.; the
    /// notice lies beside the table). Prices change: [`Price::version`](crate::cost::Price::version) says
    /// of when these are, and what an operator states himself should come first.
    ///
    /// Reading it takes some milliseconds.
    pub fn builtin() -> Self {
        // What is shipped is read in the tests.
        Self::genai_prices(TABLE, VERSION.trim_end()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cost::{Circumstances, Class},
        wire::{ServiceTier, Usage},
    };

    #[test]
    fn the_table_is_readable_dated_and_whole() {
        let list = PriceList::builtin();
        assert!(list.len() > 500, "{list:?}");
        assert!(list.skipped().is_empty(), "{:?}", list.skipped());
        let usd = |provider, model, class| {
            let price = list.find(provider, model);
            let price = price.unwrap_or_else(|| panic!("{provider} {model}"));
            let version = price.version().expect("dated").to_string();
            assert!(
                version.starts_with("genai-prices ") && version.contains(", 20"),
                "{version}"
            );
            price.per(class).to_string()
        };
        assert_eq!(usd("openai", "gpt-4o-mini", Class::Input), "0.15");
        assert_eq!(
            usd("openai", "gpt-4o-mini-2024-07-18", Class::CachedInput),
            "0.075"
        );
        assert_eq!(usd("azure", "gpt-4o-mini", Class::Output), "0.6");
        assert_eq!(
            usd("anthropic", "claude-3-haiku-20240307", Class::Output),
            "1.25"
        );
        assert_eq!(usd("vertex_ai", "gemini-2.5-pro", Class::Input), "1.25");
        assert!(list.find("openai", "no-such-model").is_none());
    }

    #[test]
    fn most_models_have_their_longest_prompt() {
        let list = PriceList::builtin();
        for (provider, model, longest) in [
            ("openai", "gpt-4o-mini", 128_000),
            ("azure", "gpt-4o-mini", 128_000),
            ("anthropic", "claude-3-haiku-20240307", 200_000),
        ] {
            let price = list.find(provider, model).expect("it is there");
            assert_eq!(price.facts().max_input_tokens, Some(longest), "{model}");
        }
    }

    #[test]
    fn images_that_are_made_have_their_price() {
        let list = PriceList::builtin();
        for (provider, model, text, image) in [
            ("google", "gemini-2.5-flash-image", "2.5", "30"),
            ("google", "gemini-3-pro-image-preview", "12", "120"),
            ("openai", "gpt-image-1.5", "10", "32"),
        ] {
            let price = list.find(provider, model).expect("it is there");
            assert!(price.states(Class::ImageOutput), "{model}");
            // The later of dated prices is the one of today.
            let cost = |image| {
                let mut usage = Usage::new(0, 1_000_000);
                usage.image_output = image;
                let it = Circumstances::at(1_795_564_800);
                price.charge(&usage, it).cost().to_string()
            };
            let found = (cost(0), cost(1_000_000));
            assert_eq!(found, (text.into(), image.into()), "{model}");
        }
    }

    #[test]
    fn long_prompts_and_tiers_are_in_the_table() {
        let list = PriceList::builtin();
        let price = list.find("google", "gemini-2.5-pro").expect("it is there");
        let cost = |input, it| price.charge(&Usage::new(input, 0), it).cost();
        let now = Circumstances::at(1_795_564_800);
        let million = 1_000_000;
        assert!(cost(million, now) > cost(million / 10, now).times(10));
        let price = list.find("openai", "gpt-4o").expect("it is there");
        let cost = |it| price.charge(&Usage::new(million, 0), it).cost();
        assert!(cost(now.tier(ServiceTier::Batch)) < cost(now));
    }
}
