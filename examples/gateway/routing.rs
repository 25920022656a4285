//! How the targets of a model are chosen: the file's words for it, and what they become.

use std::{
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use http::HeaderName;
use serde_json::{Value, json};
use tower_completions::{
    Served, Target,
    cost::{Amount, Circumstances, PriceBook},
    observe::Breaker,
    parse::{Chat, ChatBody},
    provider::BoxProvider,
    router::{
        Adaptive, Balance, Builder, Candidate, CommitLayer, Hedge, LoserCharge, Model, Probe,
        Router, Sticky, Table, TableError,
    },
    wire::Usage,
};

use crate::{
    config::{self, Config},
    read::{Mistakes, Section, is_price, one_of},
};

/// The ways to choose among the targets of a model.
const BALANCES: &[(&str, Balance)] = &[
    ("weighted", Balance::Weighted),
    ("least_load", Balance::LeastLoad),
    ("cheapest", Balance::Cheapest),
    ("fastest", Balance::Fastest),
    ("sticky_key", Balance::Sticky(Sticky::Key)),
    ("sticky_conversation", Balance::Sticky(Sticky::Conversation)),
    ("sticky_prompt", Balance::Sticky(Sticky::Prompt)),
];

/// Keys of `[routing]` that are all off when absent, but for `trace_upstream`.
#[derive(Debug)]
pub struct Options {
    /// A second upstream for answers later than nineteen of twenty.
    hedge: bool,
    /// Who pays for the one that was slower.
    loser: LoserCharge,
    /// Concurrency that follows what each target can bear.
    adaptive: bool,
    /// The client's own `models` and `provider`.
    client_wishes: bool,
    /// Whether providers are told of which trace an attempt is a part.
    trace_upstream: bool,
    /// How often targets with an open breaker are probed.
    probe_interval: Option<Duration>,
    /// How long equal requests of one key share an answer.
    pub cache_ttl: Option<Duration>,
}

impl Options {
    pub fn read(section: &mut Section, mistakes: &mut Mistakes) -> Self {
        let mut millis = |name| {
            let ms = section.integer(name, 1..=86_400_000, mistakes);
            ms.map(Duration::from_millis)
        };
        let (probe_interval, cache_ttl) = (millis("probe_interval_ms"), millis("cache_ttl_ms"));
        let loser = one_of(section, "hedge_charge", &["nothing", "estimate"], mistakes);
        let trace_upstream = section.flag("trace_upstream", mistakes).unwrap_or(true);
        let mut flag = |name| section.flag(name, mistakes).unwrap_or(false);
        Self {
            trace_upstream,
            loser: match loser.as_deref() {
                Some("estimate") => LoserCharge::Estimate,
                _ => LoserCharge::Nothing,
            },
            hedge: flag("hedge"),
            adaptive: flag("adaptive_concurrency"),
            client_wishes: flag("client_wishes"),
            probe_interval,
            cache_ttl,
        }
    }

    /// Whether a request may be charged for an attempt that lost, beside its answer.
    pub fn charges_losers(&self) -> bool {
        self.hedge && self.loser == LoserCharge::Estimate
    }

    /// Whether a model that the client names beside its first may answer.
    pub fn obeys_clients(&self) -> bool {
        self.client_wishes
    }
}

/// What a target may say beside its provider, model and weight.
#[derive(Debug)]
pub struct Traits {
    priority: u8,
    max_concurrent: Option<NonZeroU32>,
    context: Option<u64>,
    tools: bool,
    images: bool,
    /// Of a million tokens in and out.
    price: Option<(Amount, Amount)>,
}

impl Traits {
    pub fn read(section: &mut Section, mistakes: &mut Mistakes) -> Self {
        let mut number = |name, most| section.integer(name, 0..=most, mistakes);
        let priority = number("priority", 255).and_then(|n| u8::try_from(n).ok());
        let limit = number("max_concurrent", 1 << 20).and_then(|n| u32::try_from(n).ok());
        let context = number("context", 1 << 32);
        let price = section
            .has("price")
            .then(|| read_price(section.section("price", mistakes), mistakes));
        let mut flag = |name| section.flag(name, mistakes).unwrap_or(true);
        Self {
            priority: priority.unwrap_or(0),
            max_concurrent: limit.and_then(NonZeroU32::new),
            context,
            tools: flag("tools"),
            images: flag("images"),
            price: price.flatten(),
        }
    }
}

/// A target's `price`: by it the cheapest is chosen, and nothing is charged.
fn read_price(mut section: Section, mistakes: &mut Mistakes) -> Option<(Amount, Amount)> {
    let mut amount = |name| {
        let text = section.required(name, mistakes);
        if text.is_empty() {
            return None;
        }
        let amount = text.parse().ok().filter(|_| is_price(&text));
        if amount.is_none() {
            let expected = format!("expected a decimal such as \"0.15\", got {text:?}");
            mistakes.add(&section.key(name), expected);
        }
        amount
    };
    let price = (amount("input"), amount("output"));
    section.finish(mistakes);
    price.0.zip(price.1)
}

/// A model's `balance`.
pub fn balance(section: &mut Section, mistakes: &mut Mistakes) -> Balance {
    let Some(text) = section.string("balance", mistakes) else {
        return Balance::default();
    };
    let found = BALANCES.iter().find(|(name, _)| *name == text);
    found.map(|(_, balance)| *balance).unwrap_or_else(|| {
        let names: Vec<_> = BALANCES.iter().map(|(name, _)| *name).collect();
        let expected = format!("expected one of {}, got {text:?}", names.join(", "));
        mistakes.add(&section.key("balance"), expected);
        Balance::default()
    })
}

fn table(config: &Config, book: &impl PriceBook) -> Result<Table, TableError> {
    Table::new(config.models.iter().map(|model| {
        let entry = Model::new(model.id.as_str()).balance(model.balance);
        let entry = model
            .aliases
            .iter()
            .fold(entry, |entry, alias| entry.alias(alias.as_str()));
        let entry = model.targets.iter().fold(entry, |entry, target| {
            entry.target(candidate(config, model, target, book))
        });
        model
            .fallbacks
            .iter()
            .fold(entry, |entry, model| entry.fallback(model.as_str()))
    }))
}

fn candidate(
    config: &Config,
    model: &config::Model,
    target: &config::Target,
    book: &impl PriceBook,
) -> Candidate {
    let Traits {
        priority,
        max_concurrent,
        context,
        tools,
        images,
        price,
    } = target.traits;
    let mut candidate = Candidate::new(target.provider.as_str(), target.model.as_str())
        .weight(target.weight)
        .priority(priority);
    if let Some(requests) = max_concurrent {
        candidate = candidate.max_concurrent(requests);
    }
    if let Some(tokens) = context {
        candidate = candidate.context(tokens);
    }
    let known = || listed(config, model, target, book);
    if let Some((input, output)) = price.or_else(known) {
        let pico = |amount: Amount| u64::try_from(amount.pico()).unwrap_or(u64::MAX);
        candidate = candidate.price(pico(input), pico(output));
    }
    if !tools {
        candidate = candidate.without_tools();
    }
    if !images {
        candidate = candidate.without_images();
    }
    candidate
}

/// What a million tokens cost at a target by the price lists, or by the model's own price.
fn listed(
    config: &Config,
    model: &config::Model,
    target: &config::Target,
    book: &impl PriceBook,
) -> Option<(Amount, Amount)> {
    // No more in one piece: a prompt of a million tokens has a price of its own.
    const THOUSAND: u64 = 1_000;
    let to = Target::new(target.provider.as_str(), target.model.as_str());
    let price = book.answered(&Served::new(&to, model.id.as_str()), None)?;
    let cost = |usage| {
        let it = Circumstances::at(unix());
        price.charge(&usage, it).cost()
    };
    (price.currency() == config.currency).then(|| {
        let none = cost(Usage::new(0, 0));
        let of = |usage| Amount::from_pico(cost(usage).minus(none).pico() * 1_000);
        (of(Usage::new(THOUSAND, 0)), of(Usage::new(0, THOUSAND)))
    })
}

fn unix() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}

pub fn builder(
    config: &Config,
    book: &impl PriceBook,
) -> Result<Builder<BoxProvider, Table>, TableError> {
    let routing = &config.routing;
    let mut builder = Router::builder(table(config, book)?)
        .attempts(NonZeroU32::new(routing.attempts).unwrap_or(NonZeroU32::MIN))
        // Each answer earns as many retries as one request may have.
        .retry_budget(routing.attempts.saturating_sub(1).saturating_mul(100))
        .attempt_timeout(routing.attempt_timeout)
        // A stream has times of its own, which whoever waits for its content keeps.
        .stream_attempt_timeout(routing.total_timeout)
        .total_timeout(routing.total_timeout)
        .commit(
            CommitLayer::new()
                .first_event_timeout(config.stream.first_event_timeout)
                .idle_timeout(config.stream.idle_timeout),
        );
    if routing.options.client_wishes {
        builder = builder.obey_client_wishes();
    }
    if !routing.options.trace_upstream {
        builder = builder
            .keep_back(&HeaderName::from_static("traceparent"))
            .keep_back(&HeaderName::from_static("tracestate"));
    }
    if routing.options.hedge {
        builder = builder.hedge(Hedge::late().charge(routing.options.loser));
    }
    for provider in &config.providers {
        if let Some(requests) = provider.max_concurrent_per_key {
            builder = builder.key_concurrency(provider.name.as_str(), requests);
        }
    }
    if routing.options.adaptive {
        builder = builder.adaptive_concurrency(Adaptive::new());
    }
    Ok(builder)
}

/// Probes now and then, until it is dropped.
#[derive(Debug)]
pub struct Prober(tokio::task::JoinHandle<()>);

impl Drop for Prober {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub fn prober(config: &Config, router: &Router<BoxProvider, Table>) -> Option<Prober> {
    let every = config.routing.options.probe_interval?;
    let router = router.clone();
    let ask = r#"{"model":"probe","messages":[{"role":"user","content":"ping"}],"max_tokens":16}"#;
    let chat = Chat::parse(ask.into()).expect("a request as any other");
    let watch = crate::metrics::watch();
    Some(Prober(tokio::spawn(async move {
        loop {
            tokio::time::sleep(every).await;
            let ask = |_: &_| {
                let mut request = http::Request::new(ChatBody::new(chat.clone()));
                request.extensions_mut().insert(watch.clone());
                request
            };
            router.probe(Probe::Unwell, ask).await;
        }
    })))
}

/// `GET /healthz?verbose`: every target, and how it is.
pub fn health(router: &Router<BoxProvider, Table>) -> Value {
    let targets: Vec<_> = router
        .health()
        .into_iter()
        .map(|one| {
            let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            json!({
                "provider": &*one.target.provider,
                "model": &*one.target.model,
                "breaker": match one.breaker {
                    Breaker::Open => "open",
                    Breaker::HalfOpen => "half_open",
                    _ => "closed",
                },
                "opens_in_ms": one.opens_in.map(ms),
                "rests_for_ms": one.rests_for.map(ms),
                "in_flight": one.in_flight,
                "max_concurrent": one.max_concurrent,
                "latency_ms": ms(one.latency),
                "keys": one.keys,
                "dead_keys": one.dead_keys,
            })
        })
        .collect();
    json!({ "status": "ok", "targets": targets })
}
