//! The configuration file: what it may say, and every mistake in it.

mod budget;
mod counting;
mod key;
mod model;
mod provider;
mod relations;

use std::{net::SocketAddr, num::NonZeroUsize, path::Path, thread, time::Duration};

use tower_completions::{Dialect, cost::Currency, parse::Decode};

use crate::{
    money,
    read::{Mistakes, Section, each, millis, one_of, small},
    routing, values,
};

pub use self::{
    budget::Budget,
    counting::Counting,
    key::Key,
    model::{Model, Target},
    provider::Provider,
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

impl Config {
    /// Reads a file, as far as it can be; every mistake is a line that names its key.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is no TOML.
    pub fn read(path: &Path) -> Result<(Self, Vec<String>), String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        Self::look(&text)
    }

    /// The same of a text.
    pub fn look(text: &str) -> Result<(Self, Vec<String>), String> {
        let (table, beyond) = values::parse(text)?;
        let mut mistakes = Mistakes::new(beyond);
        let mut root = Section::new("", table);
        let config = Self::root(&mut root, &mut mistakes);
        root.finish(&mut mistakes);
        relations::check(&config, &mut mistakes);
        Ok((config, mistakes.into_lines()))
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
            utc_offset: budget::utc_offset(root, mistakes),
        }
    }
}
