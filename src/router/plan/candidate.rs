//! One target of a model.

use std::{
    hash::Hasher,
    sync::{Arc, OnceLock},
};

use crate::{
    ext::Target,
    router::{ask::Needs, keys::Keys, rules::Rules, state::State},
};

/// One target of a model, and what is known of it.
#[derive(Clone, Debug)]
#[must_use]
pub struct Candidate {
    pub(crate) target: Target,
    pub(crate) weight: u32,
    pub(crate) priority: u8,
    pub(crate) limit: u32,
    pub(crate) state: Arc<State>,
    /// What it draws its number from, where requests stick to targets.
    pub(crate) spot: u64,
    /// The keys of its provider, and the router that they are of.
    pool: OnceLock<(u64, Arc<Keys>)>,
    /// It was told that no router has its provider.
    unknown: OnceLock<()>,
    pub(super) can: Capabilities,
    pub(crate) price: Option<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capabilities {
    tools: bool,
    images: bool,
    audio: bool,
    context: u64,
}

pub(super) const ALL: Capabilities = Capabilities {
    tools: true,
    images: true,
    audio: true,
    context: u64::MAX,
};

impl Candidate {
    /// A model at a provider. A `*` in its name becomes what the `*` of the model's id stood for: a
    /// [`Table`](crate::router::Table) knows it, a route of one's own says it
    /// ([`Plan::with_star`](crate::router::Plan::with_star)).
    pub fn new(provider: impl Into<Arc<str>>, model: impl Into<Arc<str>>) -> Self {
        let target = Target::new(provider, model);
        Self {
            spot: spot(&target),
            target,
            weight: 1,
            priority: 0,
            limit: u32::MAX,
            state: Arc::default(),
            pool: OnceLock::new(),
            unknown: OnceLock::new(),
            can: ALL,
            price: None,
        }
    }

    /// Its share of the requests. Default: 1; 0 takes part only when no other is left.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Lower ones are tried before higher ones. Default: 0.
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// How many requests it serves at once, bodies included. Default: any number.
    pub fn max_concurrent(mut self, requests: std::num::NonZeroU32) -> Self {
        self.limit = requests.get();
        self
    }

    /// It knows no tools: it is passed by for requests that offer some, if another target can.
    pub fn without_tools(mut self) -> Self {
        self.can.tools = false;
        self
    }

    /// It sees no images.
    pub fn without_images(mut self) -> Self {
        self.can.images = false;
        self
    }

    /// It hears no sound.
    pub fn without_audio(mut self) -> Self {
        self.can.audio = false;
        self
    }

    /// How many tokens it takes, prompt and answer together. Default: any number.
    pub fn context(mut self, tokens: u64) -> Self {
        self.can.context = tokens;
        self
    }

    /// What a token costs there, of the prompt and of the answer, in any unit that is the same for
    /// all targets. Default: unknown, which counts as dearer than all others. It decides the choice
    /// by [`Balance::Cheapest`](crate::router::Balance::Cheapest), and nothing that is charged.
    pub fn price(mut self, input: u64, output: u64) -> Self {
        self.price = Some((input, output));
        self
    }

    pub(crate) fn serves(&self, needs: &Needs) -> bool {
        (self.can.tools || !needs.tools)
            && (self.can.images || !needs.images)
            && (self.can.audio || !needs.audio)
            && needs.input_tokens.saturating_add(needs.output_tokens) <= self.can.context
    }

    /// The keys of its provider. They are looked for by name once, but for a table that several
    /// routers share.
    pub(crate) fn pool<'c, 'k: 'c>(
        &'c self,
        rules: &Rules,
        keys: impl Fn(&str) -> Option<&'k Arc<Keys>>,
    ) -> Option<&'c Arc<Keys>> {
        if let Some((known, pool)) = self.pool.get() {
            if *known == rules.id {
                return Some(pool);
            }
        }
        self.pool_by_name(rules, keys)
    }

    #[cold]
    fn pool_by_name<'c, 'k: 'c>(
        &'c self,
        rules: &Rules,
        keys: impl Fn(&str) -> Option<&'k Arc<Keys>>,
    ) -> Option<&'c Arc<Keys>> {
        let Some(pool) = keys(&self.target.provider) else {
            if self.unknown.set(()).is_ok() {
                unknown(&self.target);
            }
            return None;
        };
        // It may have come after the router was built, or by a route that tells of no models.
        if let Some(adaptive) = &rules.adaptive {
            self.state.start_adaptive(adaptive);
        }
        let _ = self.pool.set((rules.id, Arc::clone(pool)));
        Some(pool)
    }

    /// Another state to learn into, of another router's targets maybe.
    pub(in crate::router) fn know(&mut self, state: Arc<State>) {
        self.state = state;
        self.pool = OnceLock::new();
    }

    /// How long it takes to answer, as a number to compare: one that gets no requests of its own
    /// comes after all others.
    pub(crate) fn pace(&self) -> u64 {
        if self.weight == 0 {
            return u64::MAX - 1;
        }
        self.state.pace()
    }
}

/// A provider that no router has: a mistake that only the operator can mend.
#[cold]
fn unknown(target: &Target) {
    #[cfg(feature = "tracing")]
    tracing::error!(
        target: "tower_completions",
        provider = &*target.provider,
        model = &*target.model,
        "the router has no provider of this name: this target is never asked"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = target;
}

/// A number of its own for each target, the same in every process.
fn spot(target: &Target) -> u64 {
    let mut hasher = Fnv::default();
    hasher.write(target.provider.as_bytes());
    hasher.write(b"/");
    hasher.write(target.model.as_bytes());
    hasher.0
}

/// FNV-1a: the names of providers and models are short and the operator's own, so nobody can choose
/// them to collide.
#[derive(Debug)]
pub(in crate::router) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        // The table takes its tags from the topmost bits, where FNV mixes least.
        self.0 ^ (self.0 << 32)
    }
}
