use super::{NotAnAmount, amount::scaled};

/// What is counted and has a price of its own.
///
/// The classes of a usage are disjoint: a cached token is not also one of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// Prompt tokens that are none of the other kinds.
    Input,
    /// Prompt tokens read from the provider's cache.
    CachedInput,
    /// Prompt tokens written to the provider's cache for about five minutes.
    CacheWrite,
    /// Prompt tokens written to the provider's cache for an hour.
    CacheWrite1h,
    /// Prompt tokens of audio.
    AudioInput,
    /// Prompt tokens of images.
    ImageInput,
    /// Generated tokens that are none of the other kinds.
    Output,
    /// Tokens of reasoning.
    Reasoning,
    /// Generated tokens of audio.
    AudioOutput,
    /// Generated tokens of images.
    ImageOutput,
    /// The request itself.
    Request,
    /// An image that the request shows, beside the tokens that it counts for.
    Image,
    /// A web search that the provider made.
    WebSearch,
}

impl Class {
    /// All classes, in the order in which a receipt lists them.
    pub const ALL: [Self; COUNT] = [
        Self::Input,
        Self::CachedInput,
        Self::CacheWrite,
        Self::CacheWrite1h,
        Self::AudioInput,
        Self::ImageInput,
        Self::Output,
        Self::Reasoning,
        Self::AudioOutput,
        Self::ImageOutput,
        Self::Request,
        Self::Image,
        Self::WebSearch,
    ];

    /// Its name in price files and receipts: `cached_input`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::CachedInput => "cached_input",
            Self::CacheWrite => "cache_write",
            Self::CacheWrite1h => "cache_write_1h",
            Self::AudioInput => "audio_input",
            Self::ImageInput => "image_input",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
            Self::AudioOutput => "audio_output",
            Self::ImageOutput => "image_output",
            Self::Request => "request",
            Self::Image => "image",
            Self::WebSearch => "web_search",
        }
    }

    /// How many of its units a price is for: a million tokens, one request, one
    /// image, one search.
    #[must_use]
    pub const fn per(self) -> u64 {
        match self {
            Self::Request | Self::Image | Self::WebSearch => 1,
            _ => MILLION,
        }
    }

    /// The class that it is part of, whose price it has when it has none itself.
    const fn within(self) -> Option<Self> {
        match self {
            Self::CachedInput | Self::CacheWrite | Self::AudioInput | Self::ImageInput => {
                Some(Self::Input)
            }
            Self::CacheWrite1h => Some(Self::CacheWrite),
            Self::Reasoning | Self::AudioOutput | Self::ImageOutput => Some(Self::Output),
            _ => None,
        }
    }
}

pub(super) const COUNT: usize = 13;
pub(super) const MILLION: u64 = 1_000_000;

/// A price for every class: picodollars for [`Class::per`] units.
pub(super) type Flat = [u64; COUNT];

/// The price of every class, and what a token costs at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sheet {
    pub(super) of: Flat,
    /// The dearest class that a token of the prompt may be of.
    pub(super) dearest_input: u64,
    /// The dearest class that a generated token may be of.
    pub(super) dearest_output: u64,
}

/// Prices by class, as far as they are stated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates([Option<u64>; COUNT]);

impl Rates {
    pub(super) fn set(&mut self, class: Class, amount: &str) -> Result<(), NotAnAmount> {
        // As all amounts: plain decimals, no sign, no exponent.
        let amount: super::Amount = amount.parse()?;
        self.0[class as usize] = Some(u64::try_from(amount.pico()).map_err(|_| NotAnAmount)?);
        Ok(())
    }

    /// Sets a price from a number as files spell it, exponent and all: so many units have it.
    /// What is below a picodollar is rounded, half to even.
    pub(super) fn set_number(
        &mut self,
        class: Class,
        number: &str,
        power: i64,
    ) -> Result<(), NotAnAmount> {
        let pico = scaled(number, 12 + power).ok_or(NotAnAmount)?;
        self.0[class as usize] = Some(u64::try_from(pico).map_err(|_| NotAnAmount)?);
        Ok(())
    }

    pub(super) fn get(&self, class: Class) -> Option<u64> {
        self.0[class as usize]
    }

    /// These, with what others state in their place.
    pub(super) fn overridden(mut self, by: &Self) -> Self {
        for (mine, other) in self.0.iter_mut().zip(by.0) {
            *mine = other.or(*mine);
        }
        self
    }

    /// A price for every class: one without costs what the class does that it is part of.
    pub(super) fn sheet(&self) -> Sheet {
        use Class::{
            AudioInput, AudioOutput, CacheWrite, CacheWrite1h, CachedInput, ImageInput,
            ImageOutput, Input, Output, Reasoning,
        };
        let mut of = [0; COUNT];
        for class in Class::ALL {
            let mut named = class;
            of[class as usize] = loop {
                match (self.0[named as usize], named.within()) {
                    (Some(price), _) => break price,
                    (None, Some(whole)) => named = whole,
                    (None, None) => break 0,
                }
            };
        }
        let dearest = |classes: &[Class]| {
            let of = classes.iter().map(|class| of[*class as usize]);
            of.max().unwrap_or(0)
        };
        Sheet {
            dearest_input: dearest(&[
                Input,
                CachedInput,
                CacheWrite,
                CacheWrite1h,
                AudioInput,
                ImageInput,
            ]),
            dearest_output: dearest(&[Output, Reasoning, AudioOutput, ImageOutput]),
            of,
        }
    }
}
