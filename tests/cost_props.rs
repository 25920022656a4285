//! From usage to cost against an oracle in fractions, and the same cost by every way.

use proptest::prelude::*;
use tower_completions::{
    cost::{Amount, Circumstances, Class, Price, Receipt, When},
    wire::{ServiceTier, Usage},
};

/// A decimal with up to twelve places, and its value in picodollars.
fn amount() -> impl Strategy<Value = (String, i128)> {
    (0_u64..2_000, 0_u64..1_000_000_000_000, 0_usize..=12).prop_map(|(whole, fraction, places)| {
        let digits = &format!("{fraction:012}")[..places];
        let kept: i128 = format!("{digits:0<12}").parse().expect("digits");
        let text = if places == 0 {
            whole.to_string()
        } else {
            format!("{whole}.{digits}")
        };
        (text, i128::from(whole) * 1_000_000_000_000 + kept)
    })
}

fn usage() -> impl Strategy<Value = Usage> {
    let count = || prop_oneof![Just(0_u64), 0..100_u64, 0..5_000_000_u64];
    (
        (count(), count(), count(), count(), count(), count()),
        (count(), count(), count(), count()),
        (0..5_u64, 0..5_u64),
    )
        .prop_map(|(input, output, (searches, images))| {
            let mut usage = Usage::new(input.0, output.0);
            usage.cached_input = input.1;
            usage.cache_write = input.2;
            usage.cache_write_1h = input.3;
            usage.audio_input = input.4;
            usage.image_input = input.5;
            usage.reasoning = output.1;
            usage.audio_output = output.2;
            usage.image_output = output.3;
            usage.web_searches = searches;
            usage.images = images;
            usage
        })
}

/// Half to even, of a fraction.
fn round(numerator: i128, denominator: i128) -> i128 {
    let (quotient, rest) = (numerator / denominator, numerator % denominator);
    match (rest * 2).cmp(&denominator) {
        std::cmp::Ordering::Less => quotient,
        std::cmp::Ordering::Greater => quotient + 1,
        std::cmp::Ordering::Equal => quotient + quotient % 2,
    }
}

/// Token by token: each is of the first class that still has some, in the order of precedence.
fn oracle(usage: &Usage, price: impl Fn(Class) -> i128) -> i128 {
    let split = |total: u64, parts: &[(Class, u64)], rest: Class| {
        let mut sum = 0;
        let mut used = 0;
        for (class, count) in parts {
            let end = (used + count).min(total);
            sum += i128::from(end - used) * price(*class);
            used = end;
        }
        sum + i128::from(total - used) * price(rest)
    };
    let input = split(
        usage.input,
        &[
            (Class::CacheWrite1h, usage.cache_write_1h),
            (Class::CacheWrite, usage.cache_write),
            (Class::CachedInput, usage.cached_input),
            (Class::AudioInput, usage.audio_input),
            (Class::ImageInput, usage.image_input),
        ],
        Class::Input,
    );
    let output = split(
        usage.output,
        &[
            (Class::Reasoning, usage.reasoning),
            (Class::AudioOutput, usage.audio_output),
            (Class::ImageOutput, usage.image_output),
        ],
        Class::Output,
    );
    let pieces = price(Class::Request)
        + i128::from(usage.images) * price(Class::Image)
        + i128::from(usage.web_searches) * price(Class::WebSearch);
    round(input + output + pieces * 1_000_000, 1_000_000)
}

proptest! {
    #[test]
    fn the_cost_is_the_exact_sum_rounded_once(
        usage in usage(),
        amounts in proptest::collection::vec(proptest::option::of(amount()), Class::ALL.len()),
    ) {
        let (input, output) = (amounts[0].clone(), amounts[Class::Output as usize].clone());
        let zero = || ("0".to_owned(), 0);
        let mut price = Price::new(
            &input.unwrap_or_else(zero).0,
            &output.unwrap_or_else(zero).0,
        ).expect("decimals");
        for class in Class::ALL {
            if let Some((text, _)) = &amounts[class as usize] {
                price = price.class(class, text).expect("a decimal");
            }
        }
        let stated = |class: Class| amounts[class as usize].as_ref().map(|(_, pico)| *pico);
        let of = |class: Class| {
            let whole = match class {
                Class::CachedInput | Class::CacheWrite | Class::AudioInput | Class::ImageInput => stated(Class::Input),
                Class::CacheWrite1h => stated(Class::CacheWrite).or(stated(Class::Input)),
                Class::Reasoning | Class::AudioOutput | Class::ImageOutput => stated(Class::Output),
                _ => None,
            };
            stated(class).or(whole).unwrap_or(0)
        };
        let cost = price.of(&usage);
        prop_assert_eq!(cost.pico(), oracle(&usage, of));

        // The receipt's lines are the cost, none of them negative; what a hold covers is no less.
        let receipt = Receipt::quote(&price, &usage);
        let lines: Vec<_> = receipt.charge.lines().collect();
        prop_assert!(lines.iter().all(|line| line.amount >= Amount::ZERO));
        prop_assert_eq!(lines.iter().map(|line| line.amount).sum::<Amount>(), cost);
        let searches = Amount::from_pico(of(Class::WebSearch)).times(usage.web_searches);
        let images = Amount::from_pico(of(Class::Image)).times(usage.images);
        let cached = of(Class::CachedInput) <= of(Class::Input);
        let ceiling = price.ceiling(usage.input, usage.output).plus(searches).plus(images);
        prop_assert!(!cached || ceiling >= cost, "{} {}", ceiling, cost);

        // Exact text, both ways.
        prop_assert_eq!(cost.to_string().parse::<Amount>(), Ok(cost));
        let json: serde_json::Value = serde_json::from_str(&receipt.to_json()).expect("JSON");
        prop_assert_eq!(json["lines"].as_array().map_or(0, Vec::len),
            lines.iter().filter(|line| line.price != Amount::ZERO).count());
    }

    #[test]
    fn more_of_anything_never_costs_less(usage in usage(), more in 0_u64..1000, pico in amount()) {
        let price = Price::new(&pico.0, "3").and_then(|p| p.cached_input("0.01")).expect("decimals");
        let mut larger = usage;
        larger.output += more;
        prop_assert!(price.of(&larger) >= price.of(&usage));
        larger.input += more;
        prop_assert!(price.of(&larger) >= price.of(&usage));
    }

    #[test]
    fn above_the_threshold_all_of_the_request_has_the_other_price(
        input in 0_u64..400_000, output in 0_u64..10_000, batch in any::<bool>(),
    ) {
        let price = |input: &str, output: &str| Price::new(input, output).expect("decimals");
        let both = price("1.25", "10")
            .when(When::new().above(200_000), &price("2.5", "15"))
            .when(When::new().tier(ServiceTier::Batch), &price("0.625", "5"))
            .when(When::new().tier(ServiceTier::Batch).above(200_000), &price("1.25", "7.5"));
        let alone = match (input > 200_000, batch) {
            (false, false) => price("1.25", "10"),
            (true, false) => price("2.5", "15"),
            (false, true) => price("0.625", "5"),
            (true, true) => price("1.25", "7.5"),
        };
        let tier = if batch { ServiceTier::Batch } else { ServiceTier::Standard };
        let usage = Usage::new(input, output);
        let cost = both.charge(&usage, Circumstances::default().tier(tier)).cost();
        prop_assert_eq!(cost, alone.of(&usage));
    }
}
