//! From the configuration to the running gateway, out of the crate's public parts.

use std::{collections::HashMap, convert::Infallible, num::NonZeroU32, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::body::Incoming;
use tower::{
    Layer, Service, ServiceExt,
    util::{BoxCloneSyncService, MapResponse},
};
use tower_completions::{
    Principal,
    auth::Keys,
    body::{BoxBody, BoxError},
    cache::CacheLayer,
    cost::{
        Budgets, CostLayer, NotAnAmount, Price, PriceBook, PriceList, Prices, StoreError, Terms,
        Zone,
    },
    limit::{
        Either, Limiter, Limits, Memory,
        redis::{InvalidUrl, Leased, Outage, Redis},
    },
    mock,
    models::Card,
    parse::{ChatBody, ReadLimits},
    provider::{
        Contract, ParallelLayer, Provider,
        anthropic::Anthropic,
        azure::{Api, Azure},
        bedrock::{AccessKey, Bedrock, Environment, SignLayer},
        client::{Client, ClientConfig},
        cohere::Cohere,
        gemini::Gemini,
        ollama::Ollama,
        openai::{OpenAi, Vendor},
        vertex::{ServiceAccount, TokenLayer, Vertex},
    },
    reframe::{self, ReframeLayer},
    router::{CommitLayer, Router, Table},
    stack::Gateway,
    telemetry::ResponseBody,
    validate::{Catalog, ValidateLayer},
};

use crate::{
    config::{Config, Counting, ModelName},
    ledger::Books,
    metrics,
    money::Drains,
    panics,
    routes::{Completions, Own, Routes},
    routing,
};

type Error = Box<dyn std::error::Error>;
pub type Upstream = BoxCloneSyncService<http::Request<ChatBody>, Response<BoxBody>, Infallible>;

/// What runs when there is no file: the mock with all that it can act out, and the key sk-demo.
pub fn built_in() -> String {
    let mut text = String::from(
        "[[providers]]\nname = \"mock\"\nkind = \"mock\"\n\n[[keys]]\nname = \"demo\"\nsecret = \"sk-demo\"\n\
         balance = \"5.00\"\nrequests_per_minute = 60\ntokens_per_minute = 100000\nmax_concurrent = 8\n",
    );
    for model in mock::MODELS {
        text.push_str(&format!(
            "\n[[models]]\nid = \"{id}\"\ntargets = [{{ provider = \"mock\", model = \"{id}\" }}]\n\
             price = {{ input = \"0.15\", cached_input = \"0.075\", output = \"0.60\" }}\n",
            id = model.id
        ));
    }
    text
}

/// The kinds of providers that there are.
const KINDS: &[&str] = &[
    "openai",
    "azure",
    "anthropic",
    "gemini",
    "vertex",
    "bedrock",
    "cohere",
    "ollama",
    "mock",
];

/// What the file asks for and this gateway does not have, each by its name.
pub fn unsupported(config: &Config) -> Result<(), Vec<String>> {
    let mut missing = Vec::new();
    for (at, provider) in config.providers.iter().enumerate() {
        if !KINDS.contains(&provider.kind.as_str()) {
            missing.push(format!(
                "providers[{at}].kind: {:?} is not supported yet, only {} are",
                provider.kind,
                KINDS.join(", ")
            ));
        }
    }
    if config.limits.store != "memory" && Redis::open(&config.limits.store).is_err() {
        missing.push("limits.store: expected redis://HOST:PORT".to_owned());
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(missing)
    }
}

/// Models that could only be refused: something may answer for them whose price is in another currency
/// than the accounts, as all prices of the built-in table are that in US dollars.
pub fn foreign(config: &Config, prices: &Prices) -> Result<(), Vec<String>> {
    let mut foreign = Vec::new();
    for (at, model) in config.models.iter().enumerate() {
        let mut of = None;
        prices.candidates(&model.id, &mut |price| {
            let currency = price.map(Price::currency);
            of = of.or(currency.filter(|it| *it != config.currency));
        });
        if let Some(of) = of {
            foreign.push(format!(
                "models[{at}].price: {:?} would be charged at a price found in {of}, the accounts are \
                 in {}; state a price for it and for what it falls back to",
                model.id, config.currency
            ));
        }
    }
    if foreign.is_empty() {
        Ok(())
    } else {
        Err(foreign)
    }
}

/// Where limits are counted.
pub type Counts = Either<Memory, Either<Redis, Leased>>;

fn counts(config: &Counting) -> Result<Counts, InvalidUrl> {
    if config.store == "memory" {
        return Ok(Either::Left(Memory::new()));
    }
    let outage = match config.outage.as_deref() {
        Some("closed") => Outage::Closed,
        Some("open") => Outage::Open,
        _ => Outage::LocalShare,
    };
    let mut redis = Redis::open(&config.store)?
        .outage(outage)
        .nodes(config.nodes);
    if let Some(budget) = config.budget_ms {
        redis = redis.budget(Duration::from_millis(budget));
    }
    let redis = redis.build();
    Ok(Either::Right(if config.leased {
        Either::Right(Leased::new(redis))
    } else {
        Either::Left(redis)
    }))
}

/// The least that an answer may take in all.
const LONGEST: Duration = Duration::from_secs(600);

pub struct App {
    /// Ends with the application.
    #[expect(dead_code, reason = "dropped with it")]
    prober: Option<Arc<routing::Prober>>,
    completions: Completions,
    own: Own,
    counts: Counts,
    ledger: Books,
    drains: Drains,
}

impl App {
    pub async fn new(config: &Config, prices: Prices) -> Result<Self, Error> {
        let keys = Keys::new();
        let mut callers = HashMap::new();
        let ledger = Books::open(&config.ledger, config.currency).await?;
        for key in &config.keys {
            let mut limits = Limits::new();
            if let Some(requests) = key.requests_per_minute {
                limits = limits.requests_per_minute(requests);
            }
            if let Some(tokens) = key.tokens_per_minute {
                limits = limits.tokens_per_minute(tokens);
            }
            if let Some(slots) = key.max_concurrent {
                limits = limits.max_concurrent(slots);
            }
            if let Some(balance) = &key.balance {
                ledger.first_grant(&key.name, balance.parse()?).await?;
            }
            let mut principal = Principal::new(key.name.as_str())
                .with_models(key.models.iter().map(String::as_str))
                .attach(limits);
            if let Some(team) = &key.team {
                principal = principal.with_team(team.as_str());
            }
            if let Some(factor) = &key.markup {
                principal = principal.attach(Terms::times(factor)?);
            }
            callers.insert(key.name.as_str(), principal.clone());
            keys.insert_digest(key.digest, principal);
        }
        let budgets = budgets(config)?;
        let caller = |name: &str| {
            let known = callers.get(name).cloned();
            known.unwrap_or_else(|| Principal::new(name))
        };
        ledger.restore(&budgets, caller).await?;

        let counts = counts(&config.limits)?;
        let limiter = Limiter::with_store(counts.clone());
        let router = router(config, &prices)?;
        let upstream = match config.routing.options.cache_ttl {
            // Inside of what counts money, so that a kept answer is free of charge, and inside of
            // what makes answers canonical.
            Some(ttl) => boxed(CacheLayer::new(ttl).layer(router.clone())),
            None => boxed(router.clone()),
        };
        let models = catalog(config, &prices);
        let mut cost = CostLayer::new(prices, ledger.clone()).budgets(budgets);
        if config.routing.options.charges_losers() {
            cost = cost.hold_for_losers();
        }
        let gateway = Gateway::builder(keys.clone())
            .dialect(config.dialect.clone())
            .cost_layer(config.cost.apply(cost))
            .limiter(limiter.clone())
            .read_limits(
                ReadLimits::default()
                    .max_bytes(config.body.max_bytes)
                    .idle_timeout(config.body.idle_timeout)
                    .timeout(config.body.timeout)
                    .decode(config.body.decode),
            )
            .validate(ValidateLayer::new(config.dialect.clone()).models(models))
            .reframe(
                ReframeLayer::new(config.dialect.clone())
                    .model_name(match config.model_name {
                        ModelName::Asked => reframe::ModelName::Asked,
                        ModelName::Served => reframe::ModelName::Served,
                    })
                    .first_event_timeout(config.stream.first_event_timeout)
                    .idle_timeout(config.stream.idle_timeout)
                    // The router's own time is the one that is configured.
                    .total_timeout(config.routing.total_timeout.max(LONGEST))
                    .keep_alive(config.stream.keep_alive),
            )
            .models(config.models.iter().map(card))
            .build(upstream);
        // A panic ends one request, which is told so; its guards settle as it unwinds.
        let caught = panics::layer().layer(gateway);
        let drains = Drains::default();
        let completions = match config.cost.drain(&drains) {
            Some(drain) => watched(drain.layer(caught)),
            None => watched(caught),
        };
        Ok(Self {
            counts,
            prober: routing::prober(config, &router).map(Arc::new),
            completions,
            own: Own {
                keys,
                ledger: ledger.clone(),
                limiter,
                metrics: metrics::install()?,
                router,
            },
            ledger,
            drains,
        })
    }

    /// For one worker.
    pub fn service(&self) -> Routes {
        Routes::new(self.completions.clone(), self.own.clone())
    }

    /// Ends when no answer is read for nobody any more.
    pub async fn end_drains(&self, grace: Duration) {
        self.drains.end(grace).await;
    }

    /// Ends when every charge is durable, and every store that others share knows of what has ended
    /// here.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let flushed = self.ledger.flush().await;
        match &self.counts {
            Either::Left(_) => {}
            Either::Right(Either::Left(redis)) => redis.flush().await,
            Either::Right(Either::Right(leased)) => leased.flush().await,
        }
        flushed
    }
}

fn watched<S, B>(gateway: S) -> Completions
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let boxed = |response: Response<ResponseBody<_>>| response.map(BoxBody::new);
    BoxCloneSyncService::new(MapResponse::new(metrics::layer().layer(gateway), boxed))
}

fn card(model: &crate::config::Model) -> Card {
    let owner = model
        .id
        .split_once('/')
        .map_or("gateway", |(owner, _)| owner);
    let card = Card::new(model.id.as_str()).owned_by(owner);
    model
        .aliases
        .iter()
        .fold(card, |card, alias| card.alias(alias.as_str()))
}

fn budgets(config: &Config) -> Result<Budgets, NotAnAmount> {
    let none = Budgets::new().zone(Zone::fixed(config.utc_offset));
    config.budgets.iter().try_fold(none, |budgets, budget| {
        Ok(budgets.with(budget.scope.clone(), budget.amount.parse()?, budget.per))
    })
}

/// Prices under every name that a client may use. A model that has none in the file is looked for in
/// the operator's price files and then in the built-in table, by who serves it. Reads the files.
pub fn prices(config: &Config) -> Result<Prices, Vec<String>> {
    let read = || -> Result<Prices, Error> {
        let lists = lists(config)?;
        named(config, lists)
    };
    read().map_err(|error| vec![error.to_string()])
}

fn named(config: &Config, lists: Vec<PriceList>) -> Result<Prices, Error> {
    let mut prices = lists
        .into_iter()
        .chain([PriceList::builtin()])
        .fold(Prices::new(), Prices::with_list);
    for provider in &config.providers {
        prices = prices.with_provider(&provider.name, listed_as(provider));
    }
    for model in &config.models {
        for name in std::iter::once(&model.id).chain(&model.aliases) {
            if let Some(classes) = &model.price {
                prices = prices.with(name, price(classes)?.in_currency(config.currency));
            }
            let targets = model.targets.iter();
            let targets = targets.map(|it| (it.provider.as_str(), it.model.as_str()));
            prices = prices.with_targets(name, targets);
            prices = prices.with_fallbacks(name, model.fallbacks.iter().map(String::as_str));
        }
    }
    Ok(prices)
}

/// The operator's price files.
fn lists(config: &Config) -> Result<Vec<PriceList>, Error> {
    let files = &config.prices;
    let read =
        |path: &str| std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let mut lists = Vec::new();
    if let Some(path) = &files.file {
        let text = read(path)?;
        let list = toml::from_str(&text).map_err(|error| format!("{path}: {error}"))?;
        lists.push(list);
    }
    if let Some(path) = &files.litellm {
        let list = PriceList::litellm(&read(path)?, path);
        lists.push(list.map_err(|error| format!("{path}: {error}"))?);
    }
    if let Some(path) = &files.genai_prices {
        let list = PriceList::genai_prices(&read(path)?, path);
        lists.push(list.map_err(|error| format!("{path}: {error}"))?);
    }
    for name in lists.iter().flat_map(PriceList::skipped) {
        tracing::warn!(name, "a price that is none: left out");
    }
    Ok(lists)
}

/// Under which name price files have a provider: its vendor's, told from the host when it is not
/// configured.
fn listed_as(provider: &crate::config::Provider) -> &str {
    const HOSTS: &[(&str, &str)] = &[
        ("api.openai.com", "openai"),
        ("api.x.ai", "x-ai"),
        ("api.groq.com", "groq"),
        ("api.deepseek.com", "deepseek"),
        ("api.mistral.ai", "mistral"),
        ("openrouter.ai", "openrouter"),
        ("api.together", "together"),
        ("api.fireworks.ai", "fireworks"),
        ("api.perplexity.ai", "perplexity"),
        ("api.cerebras.ai", "cerebras"),
        ("api.moonshot", "moonshotai"),
    ];
    if let Some(vendor) = &provider.vendor {
        return vendor;
    }
    let host = provider
        .base_url
        .as_deref()
        .and_then(|url| url.split('/').nth(2));
    let known = host.and_then(|host| HOSTS.iter().find(|(part, _)| host.contains(part)));
    known.map_or(&provider.kind, |(_, name)| name)
}

fn price(classes: &[(&'static str, String)]) -> Result<Price, NotAnAmount> {
    let find = |wanted: &str| {
        classes
            .iter()
            .find(|(class, _)| *class == wanted)
            .map(|(_, usd)| usd.as_str())
    };
    let mut price = Price::new(find("input").unwrap_or("0"), find("output").unwrap_or("0"))?;
    for (class, usd) in classes {
        price = match *class {
            "cached_input" => price.cached_input(usd)?,
            "cache_write" => price.cache_write(usd)?,
            "cache_write_1h" => price.cache_write_1h(usd)?,
            "reasoning" => price.reasoning(usd)?,
            "audio_input" => price.audio_input(usd)?,
            "audio_output" => price.audio_output(usd)?,
            "image_input" => price.image_input(usd)?,
            "image_output" => price.image_output(usd)?,
            "request" => price.request(usd)?,
            "image" => price.image(usd)?,
            "web_search" => price.web_search(usd)?,
            _ => price,
        };
    }
    Ok(price)
}

fn router(config: &Config, prices: &Prices) -> Result<Router<Upstream, Table>, Error> {
    let mut settings = ClientConfig::default();
    // Each thread has a runtime of its own.
    settings.pool_per_thread = true;
    let client = Client::new(settings);
    // The head of a stream waits for its first content: until then another target may answer.
    let commit = CommitLayer::new().first_event_timeout(config.stream.first_event_timeout);
    // Several answers of those that give one at a time.
    let parallel = ParallelLayer::new();
    let by_eights = parallel.per_call(NonZeroU32::new(8).unwrap_or(NonZeroU32::MIN));
    let mut router = routing::builder(config, prices)?;
    for provider in &config.providers {
        let keys = provider.api_keys.iter().map(String::as_str);
        let name = provider.name.as_str();
        let contract = Contract::new(provider.unsupported);
        let base_url = |default| provider.base_url.as_deref().unwrap_or(default);
        let service = match provider.kind.as_str() {
            "mock" => {
                let translate = OpenAi::new("http://mock/v1")?;
                let provider = Provider::new(name, mock::Upstream::new(), translate)
                    .with_contract(contract.clone());
                boxed(commit.layer(provider.with_keys(keys)))
            }
            "azure" => {
                let api = match provider.api.as_deref() {
                    Some("deployments") => Api::Deployments,
                    _ => Api::V1,
                };
                let version = provider.api_version.as_deref();
                let translate = Azure::new(base_url(""), api, version)?;
                let provider =
                    Provider::new(name, client.clone(), translate).with_contract(contract.clone());
                boxed(commit.layer(provider.with_keys(keys)))
            }
            "bedrock" => {
                let region = provider.region.as_deref().unwrap_or("us-east-1");
                let translate = match provider.base_url.as_deref() {
                    Some(url) => Bedrock::new(url)?,
                    None => Bedrock::region(region)?,
                };
                // Bearer keys, else the file's access key, else the environment's.
                if !provider.api_keys.is_empty() {
                    let provider = Provider::new(name, client.clone(), translate)
                        .with_contract(contract.clone());
                    boxed(commit.layer(parallel.layer(provider.with_keys(keys))))
                } else if let Some((id, secret)) = &provider.access_key {
                    let mut key = AccessKey::new(id, secret);
                    if let Some(token) = &provider.session_token {
                        key = key.with_session_token(token);
                    }
                    let signed = SignLayer::bedrock(key, region).layer(client.clone());
                    let provider =
                        Provider::new(name, signed, translate).with_contract(contract.clone());
                    boxed(commit.layer(parallel.layer(provider)))
                } else {
                    let signed = SignLayer::bedrock(Environment, region).layer(client.clone());
                    let provider =
                        Provider::new(name, signed, translate).with_contract(contract.clone());
                    boxed(commit.layer(parallel.layer(provider)))
                }
            }
            "cohere" => {
                let translate = Cohere::new(base_url("https://api.cohere.com"))?;
                let provider =
                    Provider::new(name, client.clone(), translate).with_contract(contract.clone());
                boxed(commit.layer(parallel.layer(provider.with_keys(keys))))
            }
            "ollama" => {
                let translate = Ollama::new(base_url("http://localhost:11434"))?;
                let provider =
                    Provider::new(name, client.clone(), translate).with_contract(contract.clone());
                boxed(commit.layer(parallel.layer(provider.with_keys(keys))))
            }
            "anthropic" => {
                let translate = Anthropic::new(base_url("https://api.anthropic.com"))?;
                let provider =
                    Provider::new(name, client.clone(), translate).with_contract(contract.clone());
                boxed(commit.layer(parallel.layer(provider.with_keys(keys))))
            }
            "gemini" => {
                let default = "https://generativelanguage.googleapis.com";
                let translate = Gemini::new(base_url(default))?;
                let provider =
                    Provider::new(name, client.clone(), translate).with_contract(contract.clone());
                boxed(commit.layer(by_eights.layer(provider.with_keys(keys))))
            }
            "vertex" => {
                let project = provider.project.as_deref().unwrap_or_default();
                let location = provider.location.as_deref().unwrap_or_default();
                let translate = match &provider.base_url {
                    Some(base) => Vertex::at(base, project, location)?,
                    None => Vertex::new(project, location)?,
                };
                // Gemini knows a small `n`; the models of others there do not.
                let claudes = parallel.of_models(|model| model.contains("claude"));
                let geminis = by_eights.of_models(|model| !model.contains("claude"));
                match &provider.credentials {
                    Some(path) => {
                        let file = std::fs::read(path)
                            .map_err(|error| format!("{name}: credentials {path:?}: {error}"))?;
                        let account = ServiceAccount::from_json(&file)
                            .map_err(|error| format!("{name}: credentials {path:?}: {error}"))?;
                        let client = TokenLayer::new(account).layer(client.clone());
                        let provider =
                            Provider::new(name, client, translate).with_contract(contract.clone());
                        boxed(commit.layer(claudes.layer(geminis.layer(provider))))
                    }
                    None => {
                        let provider = Provider::new(name, client.clone(), translate)
                            .with_contract(contract.clone());
                        let provider = geminis.layer(provider.with_keys(keys));
                        boxed(commit.layer(claudes.layer(provider)))
                    }
                }
            }
            _ => {
                let vendor = provider.vendor.as_deref().and_then(Vendor::named);
                let own = vendor.and_then(Vendor::base_url);
                let default = own.unwrap_or("https://api.openai.com/v1");
                let mut translate = OpenAi::new(base_url(default))?;
                if let Some(vendor) = vendor {
                    translate = translate.with_vendor(vendor);
                }
                let one_by_one = !translate.vendor().knows_n();
                let provider = Provider::new(name, client.clone(), translate)
                    .with_contract(contract.clone())
                    .with_keys(keys);
                if one_by_one {
                    boxed(commit.layer(parallel.layer(provider)))
                } else {
                    boxed(commit.layer(provider))
                }
            }
        };
        router = router.provider(name, service, provider.api_keys.len().max(1));
    }
    Ok(router.build())
}

fn boxed<S, B>(service: S) -> Upstream
where
    S: tower::Service<http::Request<ChatBody>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    BoxCloneSyncService::new(
        service.map_response(|response: Response<B>| response.map(BoxBody::new)),
    )
}

/// Which models there are, what they are also called, and what they take: what the file does not say
/// is looked for in the price files.
fn catalog(config: &Config, prices: &Prices) -> Catalog {
    config.models.iter().fold(Catalog::new(), |catalog, model| {
        let aliases = model.aliases.iter().map(String::as_str);
        let named = |name: &String| config.models.iter().find(|it| it.id == *name);
        let fallbacks = model.fallbacks.iter().filter_map(named);
        let capabilities = fallbacks.fold(model.capabilities.clone(), |known, fallback| {
            known.falling_back_to(&fallback.capabilities)
        });
        let facts = prices.facts(&model.id).unwrap_or_default();
        catalog.model(&model.id, aliases, capabilities.filled(&facts))
    })
}
