//! The configuration file: what it may say, and every mistake in it.

use std::{
    collections::HashSet,
    fmt,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::Path,
    thread,
    time::Duration,
};

use tower_completions::{
    Dialect,
    auth::Digest,
    cost::{Currency, Period, Scope, Terms},
    parse::Decode,
    provider::{Unsupported, openai},
    router::Balance,
    validate::Capabilities,
};

use crate::{
    capability, money,
    read::{Mistakes, Section},
    routing,
};

#[derive(Debug)]
pub struct Config {
    pub listen: SocketAddr,
    /// How many serve connections.
    pub threads: NonZeroUsize,
    pub dialect: Dialect,
    pub model_name: ModelName,
    pub body: Body,
    /// What all money is of.
    pub currency: Currency,
    pub ledger: money::Store,
    pub cost: money::Options,
    pub limits: Counting,
    pub prices: Prices,
    pub stream: Stream,
    pub routing: Routing,
    pub providers: Vec<Provider>,
    pub models: Vec<Model>,
    pub keys: Vec<Key>,
    pub budgets: Vec<Budget>,
    /// How far the days of budgets begin east of Greenwich, in seconds.
    pub utc_offset: i32,
}

/// So much money for everybody, a key or a team.
#[derive(Debug)]
pub struct Budget {
    pub scope: Scope,
    pub amount: String,
    pub per: Period,
}

/// Which model an answer names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelName {
    Asked,
    Served,
}

#[derive(Debug)]
pub struct Body {
    pub max_bytes: usize,
    pub idle_timeout: Duration,
    pub timeout: Duration,
    pub decode: Decode,
}

/// Price files, asked in this order.
#[derive(Debug)]
pub struct Prices {
    pub file: Option<String>,
    pub litellm: Option<String>,
    pub genai_prices: Option<String>,
}

#[derive(Debug)]
pub struct Stream {
    pub first_event_timeout: Duration,
    pub idle_timeout: Duration,
    pub keep_alive: Option<Duration>,
}

#[derive(Debug)]
pub struct Routing {
    pub attempts: u32,
    pub attempt_timeout: Duration,
    pub total_timeout: Duration,
    pub options: routing::Options,
}

pub struct Provider {
    pub name: String,
    pub kind: String,
    pub base_url: Option<String>,
    pub api_keys: Vec<String>,
    pub api: Option<String>,
    pub api_version: Option<String>,
    pub vendor: Option<String>,
    pub region: Option<String>,
    /// Id and secret.
    pub access_key: Option<(String, String)>,
    pub session_token: Option<String>,
    pub project: Option<String>,
    pub location: Option<String>,
    pub credentials: Option<String>,
    /// What becomes of parameters that it has no counterpart of.
    pub unsupported: Unsupported,
    /// How many requests each of its keys serves at once.
    pub max_concurrent_per_key: Option<NonZeroU32>,
}

#[derive(Debug)]
pub struct Target {
    pub provider: String,
    pub model: String,
    pub weight: u32,
    pub traits: routing::Traits,
}

#[derive(Debug)]
pub struct Model {
    pub id: String,
    pub aliases: Vec<String>,
    pub targets: Vec<Target>,
    pub balance: Balance,
    pub fallbacks: Vec<String>,
    /// Dimension and decimal string, in the file's words.
    pub price: Option<Vec<(&'static str, String)>>,
    /// What it takes, as far as the file says.
    pub capabilities: Capabilities,
}

pub struct Key {
    pub name: String,
    pub digest: Digest,
    pub balance: Option<String>,
    pub markup: Option<String>,
    pub team: Option<String>,
    pub requests_per_minute: Option<u64>,
    pub tokens_per_minute: Option<u64>,
    pub max_concurrent: Option<u32>,
    pub models: Vec<String>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

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

/// The price keys of the file.
pub const PRICES: &[&str] = &[
    "input",
    "cached_input",
    "cache_write",
    "cache_write_1h",
    "output",
    "reasoning",
    "audio_input",
    "audio_output",
    "image_input",
    "image_output",
    "request",
    "image",
    "web_search",
];

const MILLIS: std::ops::RangeInclusive<u64> = 1..=86_400_000;

impl Config {
    /// Reads a file; every mistake is a line that names its key.
    pub fn read(path: &Path) -> Result<Self, Vec<String>> {
        let text = std::fs::read_to_string(path).map_err(|error| vec![error.to_string()])?;
        Self::parse(&text)
    }

    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let table = text.parse().map_err(|error: toml::de::Error| {
            vec![error.to_string().trim_end().replace('\n', "\n  ")]
        })?;
        let mut mistakes = Mistakes::default();
        let mut root = Section::new("", table);
        let config = Self::root(&mut root, &mut mistakes);
        root.finish(&mut mistakes);
        config.relations(&mut mistakes);
        if mistakes.is_empty() {
            Ok(config)
        } else {
            Err(mistakes.into_lines())
        }
    }

    fn root(root: &mut Section, mistakes: &mut Mistakes) -> Self {
        let listen = root.string("listen", mistakes).map_or(
            Some(SocketAddr::from(([127, 0, 0, 1], 8080))),
            |text| {
                text.parse().ok().or_else(|| {
                    mistakes.add(
                        "listen",
                        format!("expected an address such as 127.0.0.1:8080, got {text:?}"),
                    );
                    None
                })
            },
        );
        let threads = root.integer("threads", 1..=1024, mistakes);
        let threads = threads.and_then(|n| NonZeroUsize::new(usize::try_from(n).ok()?));
        let dialect = one_of(
            root,
            "dialect",
            &["openai", "onysoft", "strict", "osiris"],
            mistakes,
        );
        let model_name = one_of(root, "model_name", &["asked", "served"], mistakes);

        let mut body = root.section("body", mistakes);
        let limits = Body {
            max_bytes: usize::try_from(
                body.integer("max_bytes", 1..=1 << 32, mistakes)
                    .unwrap_or(8 << 20),
            )
            .unwrap_or(usize::MAX),
            idle_timeout: millis(&mut body, "idle_timeout_ms", 10_000, mistakes),
            timeout: millis(&mut body, "timeout_ms", 60_000, mistakes),
            decode: match one_of(&mut body, "decode", &["none", "gzip"], mistakes).as_deref() {
                Some("gzip") => Decode::Gzip,
                _ => Decode::Nothing,
            },
        };
        body.finish(mistakes);

        let ledger = money::Store::read(root, mistakes);
        let cost = money::Options::read(root, mistakes);
        let shared = Counting::read(root, mistakes);

        let mut section = root.section("prices", mistakes);
        let prices = Prices {
            file: section.string("file", mistakes),
            litellm: section.string("litellm", mistakes),
            genai_prices: section.string("genai_prices", mistakes),
        };
        section.finish(mistakes);

        let mut section = root.section("stream", mistakes);
        let stream = Stream {
            first_event_timeout: millis(&mut section, "first_event_timeout_ms", 30_000, mistakes),
            idle_timeout: millis(&mut section, "idle_timeout_ms", 60_000, mistakes),
            keep_alive: match section.integer("keep_alive_ms", 0..=86_400_000, mistakes) {
                Some(0) => None,
                Some(ms) => Some(Duration::from_millis(ms)),
                None => Some(Duration::from_secs(15)),
            },
        };
        section.finish(mistakes);

        let mut section = root.section("routing", mistakes);
        let routing = Routing {
            attempts: small(section.integer("attempts", 1..=100, mistakes)).unwrap_or(3),
            attempt_timeout: millis(&mut section, "attempt_timeout_ms", 120_000, mistakes),
            total_timeout: millis(&mut section, "total_timeout_ms", 600_000, mistakes),
            options: routing::Options::read(&mut section, mistakes),
        };
        section.finish(mistakes);

        Self {
            listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            // One for each core.
            threads: threads
                .or_else(|| thread::available_parallelism().ok())
                .unwrap_or(NonZeroUsize::MIN),
            dialect: dialect
                .and_then(|name| Dialect::named(&name))
                .unwrap_or_default(),
            model_name: match model_name.as_deref() {
                Some("served") => ModelName::Served,
                _ => ModelName::Asked,
            },
            body: limits,
            currency: money::currency(root, mistakes),
            ledger,
            cost,
            limits: shared,
            prices,
            stream,
            routing,
            providers: each(root, "providers", mistakes, Provider::read),
            models: each(root, "models", mistakes, Model::read),
            keys: each(root, "keys", mistakes, Key::read),
            budgets: each(root, "budgets", mistakes, Budget::read),
            utc_offset: utc_offset(root, mistakes),
        }
    }

    /// What one entry says of another.
    fn relations(&self, mistakes: &mut Mistakes) {
        let mut providers = HashSet::new();
        for (at, provider) in self.providers.iter().enumerate() {
            if !provider.name.is_empty() && !providers.insert(provider.name.as_str()) {
                mistakes.add(
                    &format!("providers[{at}].name"),
                    format!(
                        "{:?} is there already, expected a name of its own",
                        provider.name
                    ),
                );
            }
        }
        let mut names = HashSet::new();
        for (at, model) in self.models.iter().enumerate() {
            let key = format!("models[{at}]");
            for name in std::iter::once(&model.id).chain(&model.aliases) {
                if !name.is_empty() && !names.insert(name.as_str()) {
                    mistakes.add(&key, format!("{name:?} names another model already"));
                }
            }
            for (nth, target) in model.targets.iter().enumerate() {
                if !target.provider.is_empty() && !providers.contains(target.provider.as_str()) {
                    mistakes.add(
                        &format!("{key}.targets[{nth}].provider"),
                        format!("{:?} is not among the providers", target.provider),
                    );
                }
            }
        }
        for (at, model) in self.models.iter().enumerate() {
            for (nth, fallback) in model.fallbacks.iter().enumerate() {
                if !names.contains(fallback.as_str()) {
                    mistakes.add(
                        &format!("models[{at}].fallbacks[{nth}]"),
                        format!("{fallback:?} is not among the models"),
                    );
                }
            }
        }
        let (mut key_names, mut digests) = (HashSet::new(), HashSet::new());
        for (at, key) in self.keys.iter().enumerate() {
            if !key.name.is_empty() && !key_names.insert(key.name.as_str()) {
                mistakes.add(
                    &format!("keys[{at}].name"),
                    "is there already, expected a name of its own",
                );
            }
            if !digests.insert(key.digest) {
                mistakes.add(&format!("keys[{at}]"), "has the same secret as another key");
            }
        }
        for (at, budget) in self.budgets.iter().enumerate() {
            if let Scope::Key(key) = &budget.scope {
                if !key_names.contains(&**key) {
                    mistakes.add(
                        &format!("budgets[{at}].key"),
                        format!("{key:?} is not among the keys"),
                    );
                }
            }
        }
        for (name, missing) in [
            ("providers", self.providers.is_empty()),
            ("models", self.models.is_empty()),
            ("keys", self.keys.is_empty()),
        ] {
            if missing {
                mistakes.add(name, format!("expected at least one [[{name}]]"));
            }
        }
    }
}

impl Provider {
    fn read(section: &mut Section, mistakes: &mut Mistakes) -> Self {
        let name = section.required("name", mistakes);
        let kind = section.required("kind", mistakes);
        if !kind.is_empty() && !KINDS.contains(&kind.as_str()) {
            mistakes.add(
                &section.key("kind"),
                format!("expected one of {}, got {kind:?}", KINDS.join(", ")),
            );
        }
        let base_url = section.string("base_url", mistakes);
        if let Some(url) = &base_url {
            let fits = url.parse::<http::Uri>().is_ok_and(|uri| {
                matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
            });
            if !fits {
                mistakes.add(
                    &section.key("base_url"),
                    format!("expected an http or https URL, got {url:?}"),
                );
            }
        }
        let mut only = |name: &'static str, kinds: &[&str]| {
            let value = section.string(name, mistakes);
            if value.is_some() && KINDS.contains(&kind.as_str()) && !kinds.contains(&kind.as_str())
            {
                mistakes.add(
                    &section.key(name),
                    format!("belongs to kind {}, not to {kind}", kinds.join(" or ")),
                );
            }
            value
        };
        let vendor = only("vendor", &["openai"]);
        let api_version = only("api_version", &["azure"]);
        let api = only("api", &["azure"]);
        let region = only("region", &["bedrock"]);
        let access_key_id = only("access_key_id", &["bedrock"]);
        let secret_access_key = only("secret_access_key", &["bedrock"]);
        let session_token = only("session_token", &["bedrock"]);
        let project = only("project", &["vertex"]);
        let location = only("location", &["vertex"]);
        let credentials = only("credentials", &["vertex"]);
        let unsupported = match section.string("unsupported", mistakes).as_deref() {
            None | Some("by_meaning") => Unsupported::ByMeaning,
            Some("refuse") => Unsupported::Refuse,
            Some("drop") => Unsupported::Drop,
            Some(other) => {
                mistakes.add(
                    &section.key("unsupported"),
                    format!("expected \"by_meaning\", \"refuse\" or \"drop\", got {other:?}"),
                );
                Unsupported::ByMeaning
            }
        };
        let known = |name: &str| openai::Vendor::named(name).is_some();
        if let Some(name) = vendor.as_deref().filter(|name| !known(name)) {
            let names: Vec<&str> = openai::Vendor::all().map(openai::Vendor::name).collect();
            mistakes.add(
                &section.key("vendor"),
                format!("expected one of {}, got {name:?}", names.join(", ")),
            );
        }
        if api
            .as_deref()
            .is_some_and(|api| !["v1", "deployments"].contains(&api))
        {
            mistakes.add(&section.key("api"), "expected \"v1\" or \"deployments\"");
        }
        if access_key_id.is_some() != secret_access_key.is_some() {
            mistakes.add(
                &section.key("access_key_id"),
                "and secret_access_key belong together, expected both",
            );
        }
        let api_keys = section.strings("api_keys", mistakes).unwrap_or_default();
        for (at, key) in api_keys.iter().enumerate() {
            if key.is_empty() || !key.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
                mistakes.add(
                    &format!("{}[{at}]", section.key("api_keys")),
                    "expected a key of printable ASCII characters",
                );
            }
        }
        for (name, needed) in [
            ("base_url", base_url.is_none() && kind == "azure"),
            (
                "region",
                region.is_none() && base_url.is_none() && kind == "bedrock",
            ),
            ("project", project.is_none() && kind == "vertex"),
            ("location", location.is_none() && kind == "vertex"),
        ] {
            if needed {
                mistakes.add(
                    &section.key(name),
                    format!("is missing, kind {kind} needs it"),
                );
            }
        }
        let per_key = small(section.integer("max_concurrent_per_key", 1..=1 << 20, mistakes));
        if per_key.is_some() && api_keys.is_empty() {
            mistakes.add(&section.key("max_concurrent_per_key"), "needs api_keys");
        }
        Self {
            name,
            kind,
            base_url,
            api_keys,
            api,
            api_version,
            vendor,
            region,
            access_key: access_key_id.zip(secret_access_key),
            session_token,
            project,
            location,
            credentials,
            unsupported,
            max_concurrent_per_key: per_key.and_then(NonZeroU32::new),
        }
    }
}

impl Model {
    fn read(section: &mut Section, mistakes: &mut Mistakes) -> Self {
        let id = section.required("id", mistakes);
        let aliases = section.strings("aliases", mistakes).unwrap_or_default();
        let targets = each(section, "targets", mistakes, |section, mistakes| Target {
            provider: section.required("provider", mistakes),
            model: section.required("model", mistakes),
            weight: small(section.integer("weight", 1..=1_000_000, mistakes)).unwrap_or(1),
            traits: routing::Traits::read(section, mistakes),
        });
        let balance = routing::balance(section, mistakes);
        if targets.is_empty() {
            mistakes.add(
                &section.key("targets"),
                "expected at least one { provider = \"…\", model = \"…\" }",
            );
        }
        let fallbacks = section.strings("fallbacks", mistakes).unwrap_or_default();
        let price = section.has("price").then(|| {
            let mut section = section.section("price", mistakes);
            let mut found = Vec::new();
            for name in PRICES {
                if let Some(text) = section.string(name, mistakes) {
                    if !is_price(&text) {
                        mistakes.add(
                            &section.key(name),
                            format!("expected a decimal such as \"0.15\", got {text:?}"),
                        );
                    }
                    found.push((*name, text));
                }
            }
            section.finish(mistakes);
            found
        });
        let capabilities = capability::read(
            section,
            targets.iter().map(|target| target.model.as_str()),
            mistakes,
        );
        Self {
            id,
            aliases,
            targets,
            balance,
            fallbacks,
            price,
            capabilities,
        }
    }
}

impl Key {
    fn read(section: &mut Section, mistakes: &mut Mistakes) -> Self {
        let name = section.required("name", mistakes);
        let secret = section.string("secret", mistakes);
        let sha256 = section.string("sha256", mistakes);
        let digest = match (secret, sha256) {
            (Some(secret), None) if !secret.trim().is_empty() => Digest::of(secret.trim()),
            (None, Some(hex)) => hex.parse().unwrap_or_else(|error| {
                mistakes.add(&section.key("sha256"), error);
                // Any digest will do for the rest of the checks: the file is refused.
                Digest::of(&name)
            }),
            _ => {
                mistakes.add(&section.key("secret"), "expected either secret or sha256");
                Digest::of(&name)
            }
        };
        let balance = section.string("balance", mistakes);
        if balance.as_deref().is_some_and(|text| !is_price(text)) {
            mistakes.add(
                &section.key("balance"),
                "expected a decimal such as \"5.00\"",
            );
        }
        let markup = section.string("markup", mistakes);
        if markup
            .as_deref()
            .is_some_and(|text| Terms::times(text).is_err())
        {
            mistakes.add(&section.key("markup"), "expected a factor such as \"1.2\"");
        }
        let models = section
            .strings("models", mistakes)
            .unwrap_or_else(|| vec!["*".to_owned()]);
        Self {
            name,
            digest,
            balance,
            markup,
            team: section.string("team", mistakes),
            requests_per_minute: section.integer("requests_per_minute", 1..=1 << 32, mistakes),
            tokens_per_minute: section.integer("tokens_per_minute", 1..=1 << 40, mistakes),
            max_concurrent: small(section.integer("max_concurrent", 1..=1 << 20, mistakes)),
            models,
        }
    }
}

impl Budget {
    fn read(section: &mut Section, mistakes: &mut Mistakes) -> Self {
        let (key, team) = (
            section.string("key", mistakes),
            section.string("team", mistakes),
        );
        let scope = match (key, team) {
            (None, None) => Scope::Global,
            (Some(key), None) => Scope::Key(key.into()),
            (None, Some(team)) => Scope::Team(team.into()),
            (Some(_), Some(_)) => {
                mistakes.add(
                    &section.key("team"),
                    "expected either key or team, or neither",
                );
                Scope::Global
            }
        };
        let amount = section.required("amount", mistakes);
        if !amount.is_empty() && !is_price(&amount) {
            mistakes.add(
                &section.key("amount"),
                "expected a decimal such as \"5.00\"",
            );
        }
        let per = one_of(section, "per", &["day", "week", "month"], mistakes);
        if per.is_none() && !section.has("per") {
            mistakes.add(
                &section.key("per"),
                "is missing, expected day, week or month",
            );
        }
        Self {
            scope,
            amount,
            per: match per.as_deref() {
                Some("day") => Period::Day,
                Some("week") => Period::Week,
                _ => Period::Month,
            },
        }
    }
}

/// `utc_offset = "+02:00"`: where the days of budgets begin. Default: UTC.
fn utc_offset(root: &mut Section, mistakes: &mut Mistakes) -> i32 {
    let Some(text) = root.string("utc_offset", mistakes) else {
        return 0;
    };
    let read = || {
        let east = match text.as_bytes().first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let (hours, minutes) = text[1..].split_once(':')?;
        let number = |text: &str| (text.len() == 2).then(|| text.parse::<i32>().ok())?;
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        let fits = (0..=14).contains(&hours) && (0..60).contains(&minutes);
        fits.then_some(east * (hours * 3600 + minutes * 60))
    };
    read().unwrap_or_else(|| {
        mistakes.add(
            "utc_offset",
            format!("expected an offset such as \"+02:00\", got {text:?}"),
        );
        0
    })
}

fn each<T>(
    section: &mut Section,
    name: &'static str,
    mistakes: &mut Mistakes,
    read: impl Fn(&mut Section, &mut Mistakes) -> T,
) -> Vec<T> {
    let mut found = Vec::new();
    for mut section in section.sections(name, mistakes) {
        found.push(read(&mut section, mistakes));
        section.finish(mistakes);
    }
    found
}

pub fn one_of(
    section: &mut Section,
    name: &'static str,
    allowed: &[&str],
    mistakes: &mut Mistakes,
) -> Option<String> {
    let text = section.string(name, mistakes)?;
    if !allowed.contains(&text.as_str()) {
        mistakes.add(
            &section.key(name),
            format!("expected one of {}, got {text:?}", allowed.join(", ")),
        );
    }
    Some(text)
}

fn millis(
    section: &mut Section,
    name: &'static str,
    default: u64,
    mistakes: &mut Mistakes,
) -> Duration {
    Duration::from_millis(section.integer(name, MILLIS, mistakes).unwrap_or(default))
}

fn small(number: Option<u64>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok())
}

/// Where limits are counted, and how when that is Redis.
#[derive(Debug)]
pub struct Counting {
    pub store: String,
    /// Each node takes slices and decides alone.
    pub leased: bool,
    pub outage: Option<String>,
    pub nodes: u32,
    /// How long a decision waits for Redis, in milliseconds.
    pub budget_ms: Option<u64>,
}

impl Counting {
    fn read(root: &mut Section, mistakes: &mut Mistakes) -> Self {
        let mut section = root.section("limits", mistakes);
        let store = place(&mut section, &["redis://"], mistakes);
        let mode = one_of(&mut section, "mode", &["exact", "leased"], mistakes);
        let outage = one_of(
            &mut section,
            "outage",
            &["local", "closed", "open"],
            mistakes,
        );
        let nodes = small(section.integer("nodes", 1..=10_000, mistakes)).unwrap_or(1);
        let budget_ms = section.integer("budget_ms", 1..=60_000, mistakes);
        section.finish(mistakes);
        Self {
            store,
            budget_ms,
            leased: mode.as_deref() == Some("leased"),
            outage,
            nodes,
        }
    }
}

pub fn place(section: &mut Section, prefixes: &[&str], mistakes: &mut Mistakes) -> String {
    let store = section
        .string("store", mistakes)
        .unwrap_or_else(|| "memory".to_owned());
    if store != "memory" && !prefixes.iter().any(|prefix| store.starts_with(prefix)) {
        // What follows the scheme may hold a password.
        let scheme = store
            .split_once(':')
            .map_or(store.as_str(), |(scheme, _)| scheme);
        mistakes.add(
            &section.key("store"),
            format!("expected memory or {}…, got {scheme:?}", prefixes[0]),
        );
    }
    store
}

/// A decimal without sign or exponent, of a size and precision that money can hold.
pub fn is_price(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(fraction) && whole.len() <= 12 && fraction.len() <= 12
}
