use crate::wire::ServiceTier;

/// When a variant of a price applies: when all that is asked here holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct When {
    above: Option<u64>,
    tier: Option<ServiceTier>,
    from: Option<u64>,
    hours: Option<(u32, u32)>,
}

/// The circumstances of a request that its price may depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Circumstances {
    pub(super) unix: u64,
    pub(super) tier: ServiceTier,
}

impl When {
    /// Always.
    pub const fn new() -> Self {
        Self {
            above: None,
            tier: None,
            from: None,
            hours: None,
        }
    }

    /// When the whole prompt, cached tokens included, has more than so many tokens.
    pub const fn above(mut self, tokens: u64) -> Self {
        self.above = Some(tokens);
        self
    }

    /// When the provider served the request at this tier.
    pub const fn tier(mut self, tier: ServiceTier) -> Self {
        self.tier = Some(tier);
        self
    }

    /// From a moment on, in seconds of the Unix time.
    pub const fn from(mut self, unix: u64) -> Self {
        self.from = Some(unix);
        self
    }

    /// Between two times of the day, in seconds from midnight UTC; the end is not part of it, and an
    /// end before the beginning is on the next day.
    pub const fn hours(mut self, from: u32, to: u32) -> Self {
        self.hours = Some((from, to));
        self
    }

    pub(super) const fn has_tier(&self) -> bool {
        self.tier.is_some()
    }

    pub(super) fn holds(&self, prompt: u64, it: Circumstances) -> bool {
        let second = it.unix % 86_400;
        let within = |(from, to): (u32, u32)| {
            let (from, to) = (u64::from(from), u64::from(to));
            if from <= to {
                (from..to).contains(&second)
            } else {
                second >= from || second < to
            }
        };
        self.above.is_none_or(|above| prompt > above)
            && self.tier.is_none_or(|tier| tier == it.tier)
            && self.from.is_none_or(|from| it.unix >= from)
            && self.hours.is_none_or(within)
    }
}

impl Circumstances {
    /// A request that arrived at so many seconds of the Unix time, at the standard tier.
    pub const fn at(unix: u64) -> Self {
        Self {
            unix,
            tier: ServiceTier::Standard,
        }
    }

    /// At this tier.
    pub const fn tier(mut self, tier: ServiceTier) -> Self {
        self.tier = tier;
        self
    }
}
