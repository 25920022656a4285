//! From the configuration to the running gateway, out of the crate's public parts.

use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};

use http::{Request, Response};
use http_body_util::Either as OneOf;
use tower::{
    Layer, Service,
    util::{self, BoxCloneSyncService, MapResponse},
};
use tower_completions::{
    Principal,
    auth::Keys,
    body::{BoxBody, BoxError},
    cache::CacheLayer,
    cost::{Amount, Budgets, CostLayer, NotAnAmount, Prices, StoreError, Terms, Zone},
    limit::{
        Either, Limiter, Limits, Memory,
        redis::{Leased, Outage, Redis},
    },
    mock,
    parse::ReadLimits,
    provider::BoxProvider,
    reframe::{self, ReframeLayer},
    router::{Router, Table},
    stack::Gateway,
    telemetry::{ResponseBody, TelemetryLayer},
    validate::{Catalog, ValidateLayer},
};

use crate::{
    cards,
    config::{Config, Counting, Key, ModelName},
    connection::Body,
    ledger::{Books, Unopened},
    metrics,
    money::Drains,
    panics,
    routes::{Completions, Own, Routes},
    routing,
    trust::Trust,
};

type Error = Box<dyn std::error::Error>;

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

/// Where limits are counted.
pub type Counts = Either<Memory, Either<Redis, Leased>>;

fn counts(config: &Counting, roots: Option<Vec<u8>>) -> Result<Counts, Error> {
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
    if let Some(roots) = roots {
        redis = redis.root_certificates(roots)?;
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
    pub async fn new(
        config: &Config,
        trust: Trust,
        prices: Prices,
        router: Router<BoxProvider, Table>,
        telemetry: &TelemetryLayer,
    ) -> Result<Self, Error> {
        let keys = Keys::new();
        let mut callers = HashMap::new();
        let budgets = budgets(config)?;
        let ledger = Books::open(&config.ledger, trust.ledger, config.currency).await;
        let ledger = ledger.map_err(|error| Unopened::new(&config.ledger.place, error))?;
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
            let balance = key.balance.as_deref().map(str::parse).transpose()?;
            if let Some(balance) = balance {
                ledger.first_grant(&key.name, balance).await?;
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
            // Its account may have been given a balance that the file does not have, or no longer.
            let account = ledger.statement(&key.name).await?;
            tell_of_grant(key, account.granted, balance);
            if account.granted.is_some() || !budgets.standing(&principal, 0).is_empty() {
                principal = principal.attach(cards::Limited);
            }
            callers.insert(key.name.as_str(), principal.clone());
            if let Some(digest) = key.digest {
                keys.insert_digest(digest, principal);
            }
        }
        let caller = |name: &str| {
            let known = callers.get(name).cloned();
            known.unwrap_or_else(|| Principal::new(name))
        };
        ledger.restore(&budgets, caller).await?;

        let counts = counts(&config.limits, trust.limits)?;
        let limiter = Limiter::with_store(counts.clone());
        let upstream = match config.routing.options.cache_ttl {
            // Inside of what counts money, so that a kept answer is free of charge, and inside of
            // what makes answers canonical.
            Some(ttl) => util::Either::Left(MapResponse::new(
                CacheLayer::new(ttl).layer(router.clone()),
                |response: Response<_>| response.map(OneOf::Left),
            )),
            None => {
                util::Either::Right(MapResponse::new(router.clone(), |response: Response<_>| {
                    response.map(OneOf::Right)
                }))
            }
        };
        let models = catalog(config, &prices);
        let cards = cards::of(config, &prices);
        let mut cost = CostLayer::new(prices, ledger.clone()).budgets(budgets);
        if config.routing.options.charges_losers() {
            cost = cost.hold_for_losers();
        }
        if config.routing.options.obeys_clients() {
            cost = cost.hold_for_client_wishes();
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
                    .keep_alive(config.stream.keep_alive)
                    .convert(),
            )
            .models(cards)
            .build(upstream);
        // A panic ends one request, which is told so; its guards settle as it unwinds.
        let caught = panics::layer().layer(gateway);
        let drains = Drains::default();
        let completions = match config.cost.drain(&drains) {
            Some(drain) => watched(telemetry, drain.layer(caught)),
            None => watched(telemetry, caught),
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

/// Says where an account has been granted something else than its key's balance, which then has no effect.
fn tell_of_grant(key: &Key, granted: Option<Amount>, balance: Option<Amount>) {
    if granted == balance {
        return;
    }
    if let Some(granted) = granted {
        let key = key.name.as_str();
        match balance {
            Some(balance) => {
                tracing::info!(key, %balance, %granted, "the ledger keeps what was granted")
            }
            None => {
                tracing::info!(key, %granted, "the ledger keeps what was granted: the key is limited")
            }
        }
    }
}

fn watched<S, B>(telemetry: &TelemetryLayer, gateway: S) -> Completions
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let boxed = |response: Response<ResponseBody<_>>| response.map(BoxBody::new);
    BoxCloneSyncService::new(MapResponse::new(telemetry.layer(gateway), boxed))
}

fn budgets(config: &Config) -> Result<Budgets, NotAnAmount> {
    let none = Budgets::new().zone(Zone::fixed(config.utc_offset));
    config.budgets.iter().try_fold(none, |budgets, budget| {
        Ok(budgets.with(budget.scope.clone(), budget.amount.parse()?, budget.per))
    })
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
