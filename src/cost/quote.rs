use std::{borrow::Cow, sync::Arc};

use http::request::Parts;

use super::{
    Amount, Charge, Circumstances, Currency, Loser, Price, PriceBook, Terms, ask,
    candidates::Otherwise, layer::Config,
};
use crate::{
    ext::{Principal, Served},
    meter::{Known, Purpose, Seen, Tally},
    parse::Chat,
    wire::{ServiceTier, Usage, json::Cursor, request::Name},
};

/// How a request is priced: by the model that answers, at the prices it began with.
#[derive(Clone)]
pub(super) struct Quote {
    pub(super) price: Arc<Price>,
    /// Whether that is one: what was asked for may have none, and cost nothing unless a fallback that has
    /// one answers.
    pub(super) priced: bool,
    /// The book as it was when the request arrived.
    pub(super) book: Arc<dyn PriceBook>,
    /// Who has answered.
    pub(super) served: Option<Served>,
    pub(super) otherwise: Otherwise,
    pub(super) extent: Extent,
    pub(super) rules: Rules,
    /// What is charged for a stream that cannot be read, being compressed: nothing before it has begun, then
    /// the most it may be.
    pub(super) unseen_output: u64,
}

/// How large a request is, when it came and on which terms: what it costs at most at any price.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    /// When it arrived.
    pub(super) unix: u64,
    /// The tier that was asked for; `None` leaves it to the provider.
    pub(super) tier: Option<ServiceTier>,
    pub(super) terms: Terms,
    pub(super) input_estimate: u64,
    /// The same with all that an upstream may read of it.
    pub(super) most_input: u64,
    /// How many answers are asked for: some providers give one at a time, and bill the prompt for each.
    pub(super) n: u64,
    /// How many searches of the provider are expected.
    pub(super) searches: u64,
    /// How many images the request shows: no answer says it.
    pub(super) images: u64,
    /// Whether the request sets a bound to its output.
    pub(super) bounded: bool,
    /// The most output that the request allows, or what is expected of it.
    pub(super) most_output: u64,
}

/// What an operator may decide differently.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    /// A provider's own statement of the cost is the cost.
    pub(super) reported: bool,
    /// An answer of no tokens costs nothing.
    pub(super) empty_is_free: bool,
    /// A request may be charged for an attempt that lost, beside its answer.
    pub(super) losers: bool,
    /// A model that the client names in `models` may answer.
    pub(super) wishes: bool,
}

impl<L> Config<L> {
    /// How large a request is, and the caller's terms.
    pub(super) fn extent(&self, caller: Option<&Principal>, chat: &Chat) -> Extent {
        let bound = chat.max_output_tokens();
        let n = chat.n().into();
        let terms = caller.and_then(Principal::get::<Terms>);
        let searches = if chat.has(Name::WebSearchOptions) {
            self.expected_searches
        } else {
            0
        };
        let counts = chat.request().counts();
        let images = counts.images + counts.low_images;
        Extent {
            unix: self.unix(),
            tier: tier(chat),
            terms: terms.copied().unwrap_or_default(),
            input_estimate: chat.input_estimate(),
            most_input: counts.most_input(),
            n,
            searches,
            images: images as u64,
            bounded: bound.is_some(),
            most_output: bound.unwrap_or(self.expected_output).saturating_mul(n),
        }
    }

    /// How a request is priced, at this price of the model that it asks for.
    pub(super) const fn quote(
        &self,
        extent: Extent,
        price: Arc<Price>,
        priced: bool,
        otherwise: Otherwise,
        book: Arc<dyn PriceBook>,
    ) -> Quote {
        Quote {
            price,
            priced,
            book,
            served: None,
            otherwise,
            extent,
            rules: self.rules,
            unseen_output: 0,
        }
    }

    /// The same for who counts money elsewhere; nothing where nobody that may answer has a price, or where
    /// the request is refused further in.
    pub(super) fn quoted(self: &Arc<Self>, parts: &Parts, chat: &Chat) -> Option<Quoted<L>> {
        let caller = parts.extensions.get();
        let book = self.book.snapshot();
        let book = book.unwrap_or_else(|| Arc::clone(&self.book));
        let extent = self.extent(caller, chat);
        let found = self.candidates(&*book, chat, &extent).ok()?;
        Some(Quoted {
            quote: self.quote(extent, found.price?, found.priced, found.otherwise, book),
            // One that cannot be read is refused further in.
            max: ask::max_cost(&parts.headers).ok().flatten(),
            config: Arc::clone(self),
            chat: chat.clone(),
        })
    }
}

/// How a request is charged, by the rules of the charge itself: for limits on money.
pub(super) struct Quoted<L> {
    quote: Quote,
    /// What the client will pay at most.
    max: Option<Amount>,
    config: Arc<Config<L>>,
    chat: Chat,
}

impl<L> Quoted<L> {
    /// What a usage costs, or may cost at most, in 10⁻¹² of the currency.
    pub(super) fn cost(&self, usage: &Usage, known: Known<'_>) -> u64 {
        let cost = match known.purpose {
            Purpose::Reserve => self.most(usage.output),
            Purpose::Settle => self.charge(usage, known),
        };
        let cost = self.max.map_or(cost, |max| cost.min(max));
        u64::try_from(cost.pico()).unwrap_or(u64::MAX)
    }

    /// What is held for so much output: at the dearest that may answer.
    fn most(&self, output: u64) -> Amount {
        let extent = Extent {
            most_output: output,
            ..self.quote.extent
        };
        let book = &*self.quote.book;
        let found = self.config.candidates(book, &self.chat, &extent);
        found.map_or(Amount::ZERO, |found| found.dearest)
    }

    /// What is charged, and for the attempts that lost.
    fn charge(&self, usage: &Usage, known: Known<'_>) -> Amount {
        let seen = known.tally.map(Tally::seen);
        let seen = seen.as_ref();
        let mut usage = *usage;
        usage.images = self.quote.extent.images;
        let mut quote = Cow::Borrowed(&self.quote);
        if let Some(served) = known.served {
            quote.to_mut().served(served);
        }
        if !quote.priced {
            return Amount::ZERO;
        }
        let charge = quote.charge(&usage, seen, &quote.price(seen));
        charge.cost().plus(quote.losers().1)
    }
}

impl Quote {
    /// The price of who answered, if it has one of its own, or one is said for those that have none.
    pub(super) fn served(&mut self, served: &Served) {
        match self.price_of(served) {
            Otherwise::At(price) => {
                self.price = price;
                self.priced = true;
            }
            Otherwise::Nothing => self.priced = false,
            Otherwise::AsAsked => {}
        }
        self.served = Some(served.clone());
    }

    /// What is charged for somebody's answer.
    fn price_of(&self, served: &Served) -> Otherwise {
        let price = self.book.answered(served, None);
        let own = price.filter(|price| self.fits(price));
        match (own, &self.otherwise) {
            (Some(price), _) => Otherwise::At(price),
            (None, Otherwise::At(price)) if !self.fits(price) => Otherwise::AsAsked,
            (None, otherwise) => otherwise.clone(),
        }
    }

    /// Whether a price can be charged: only what the hold was made in can be compared with it.
    fn fits(&self, price: &Price) -> bool {
        price.currency() == self.price.currency()
    }

    /// The price of the model that answered: its name may come with the answer only.
    pub(super) fn price(&self, seen: Option<&Seen>) -> Cow<'_, Arc<Price>> {
        let answered = || {
            let served = self.served.as_ref()?;
            let model = seen?.model.as_ref()?;
            if *model == served.model {
                return None;
            }
            let price = self.book.answered(served, Some(model))?;
            self.fits(&price).then_some(price)
        };
        answered().map_or(Cow::Borrowed(&self.price), Cow::Owned)
    }

    /// What was used, as everybody counts it; of what nobody could read, what it may be at most.
    pub(super) fn usage(&self, seen: Option<&Seen>) -> Usage {
        let it = &self.extent;
        let mut usage = match seen {
            Some(seen) => seen.used_or_estimated(it.input_estimate),
            None => {
                let mut usage = Usage::new(it.input_estimate, self.unseen_output);
                usage.estimated = true;
                usage
            }
        };
        usage.images = it.images;
        usage
    }

    /// What a usage costs.
    pub(super) fn charge(&self, usage: &Usage, seen: Option<&Seen>, price: &Price) -> Charge {
        let tier = seen.and_then(|seen| seen.tier).or(self.extent.tier);
        let it = Circumstances::at(self.extent.unix).tier(tier.unwrap_or_default());
        let charge = price.charge(usage, it);
        if self.rules.empty_is_free && usage.output == 0 && !usage.estimated {
            return charge.with_factor(0);
        }
        // What providers state is in US dollars.
        let stated = self.rules.reported && price.currency() == Currency::USD;
        let reported = usage.reported_cost.filter(|_| stated);
        charge
            .with_factor(self.extent.terms.millionths())
            .with_reported(reported)
    }

    /// The attempts that lost to who has answered, as far as they are charged.
    pub(super) fn losers(&self) -> (Vec<Loser>, Amount) {
        match &self.served {
            Some(served) => self.lost(served),
            None => (Vec::new(), Amount::ZERO),
        }
    }

    fn lost(&self, served: &Served) -> (Vec<Loser>, Amount) {
        let mut sum = Amount::ZERO;
        let Some(tried) = &served.tried else {
            return (Vec::new(), sum);
        };
        let charged = tried.iter().filter_map(|attempt| {
            let mut usage = attempt.used?;
            usage.images = self.extent.images;
            let mut by = Served::new(&attempt.target, Arc::clone(&attempt.id));
            by.star.clone_from(&attempt.star);
            let price = match self.price_of(&by) {
                Otherwise::At(price) => price,
                Otherwise::AsAsked => Arc::clone(&self.price),
                Otherwise::Nothing => return None,
            };
            let cost = self.charge(&usage, None, &price).cost();
            sum = sum.plus(cost);
            Some(Loser {
                target: attempt.target.clone(),
                usage,
                cost,
            })
        });
        let losers = charged.collect();
        (losers, sum)
    }

    /// The most that so many more tokens of output may come to.
    pub(super) fn more(&self, output: u64) -> Amount {
        let bound = |output| self.extent.bound(&self.price, output);
        bound(output).minus(bound(0))
    }
}

impl Extent {
    /// The most that a price may come to, at whatever tier it is served.
    pub(super) fn most(&self, price: &Price) -> Amount {
        self.bound(price, self.most_output)
    }

    /// The most that a price may come to, for so much output.
    pub(super) fn bound(&self, price: &Price, output: u64) -> Amount {
        let it = Circumstances::at(self.unix);
        let input = self.most_input.saturating_mul(self.n);
        let searches = self.searches.saturating_mul(self.n);
        let images = self.images.saturating_mul(self.n);
        let most = [input, output, self.n, searches, images];
        let prompt = self.most_input;
        let standard = price.most(prompt, most, it);
        let asked = match self.tier {
            None | Some(ServiceTier::Standard) => 0,
            Some(tier) => price.most(prompt, most, it.tier(tier)),
        };
        super::charge::rounded(standard.max(asked), self.terms.millionths())
    }
}

/// The tier that a request asks for, if it is one with a price of its own.
fn tier(chat: &Chat) -> Option<ServiceTier> {
    if !chat.has(Name::ServiceTier) {
        return None;
    }
    let spelled = chat.member(Name::ServiceTier.as_str())?;
    // As it reads, whatever the client has escaped in it.
    let name = Cursor::new(spelled).string().ok()?;
    ServiceTier::named(&name.cow())
}
