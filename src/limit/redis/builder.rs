use std::{error::Error as StdError, fmt, time::Duration};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};

use super::Redis;

/// What to do with a request when Redis cannot be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outage {
    /// Each node holds requests to its share of every limit, counted in its own memory: one by the
    /// number of [nodes](RedisBuilder::nodes). What they used before is not known there, so an
    /// outage may admit up to one whole burst more over all nodes. A request that is larger than the
    /// share, and not than the limit, is told to come again.
    #[default]
    LocalShare,
    /// None is admitted: 503.
    Closed,
    /// All are admitted, and not counted.
    Open,
}

/// The address is not one of Redis.
#[derive(Debug)]
pub struct InvalidUrl(redis::RedisError);

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold a password: it is not repeated.
        f.write_str("not an address of the form redis://[user:password@]host[:port][/database], or rediss:// with TLS")
    }
}

impl StdError for InvalidUrl {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

/// What should be trusted are no certificates in PEM, or the address is not one of TLS.
#[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
#[derive(Debug)]
pub struct InvalidRoots(crate::body::BoxError);

#[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
impl fmt::Display for InvalidRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not certificates in PEM for an address of the form rediss://host[:port]")
    }
}

#[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
impl StdError for InvalidRoots {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

/// How limits are counted in Redis.
#[derive(Clone)]
#[must_use]
pub struct RedisBuilder {
    pub(super) client: redis::Client,
    pub(super) tag: String,
    pub(super) budget: Duration,
    pub(super) outage: Outage,
    pub(super) nodes: u32,
    pub(super) slot_ttl: Duration,
    pub(super) open_holds: usize,
}

impl RedisBuilder {
    pub(super) fn new(url: &str) -> Result<Self, InvalidUrl> {
        #[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
        if url.starts_with("rediss:") || url.starts_with("valkeys:") {
            crate::tls::settle_default();
        }
        Ok(Self {
            client: redis::Client::open(url).map_err(InvalidUrl)?,
            tag: "tower-completions".to_owned(),
            budget: Duration::from_millis(20),
            outage: Outage::default(),
            nodes: 1,
            slot_ttl: Duration::from_secs(30),
            open_holds: 65_536,
        })
    }

    /// The certificates, in PEM, of which one must prove the server's name, where the address is `rediss://`.
    /// Default: the roots that browsers trust.
    ///
    /// # Errors
    /// There is none, one cannot be read, or the address is of another form.
    #[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Result<Self, InvalidRoots> {
        let pem = pem.into();
        // The client itself takes a text without any.
        crate::tls::roots(&pem).map_err(InvalidRoots)?;
        let certificates = redis::TlsCertificates {
            client_tls: None,
            root_cert: Some(pem),
        };
        let address = self.client.get_connection_info().clone();
        self.client = redis::Client::build_with_tls(address, certificates)
            .map_err(|error| InvalidRoots(error.into()))?;
        Ok(self)
    }

    /// What tells these limits from others in one Redis, and puts all of them into one slot of a
    /// cluster. Braces are left out. Default: `tower-completions`.
    pub fn tag(mut self, tag: &str) -> Self {
        self.tag = tag.chars().filter(|c| !matches!(c, '{' | '}')).collect();
        if self.tag.is_empty() {
            self.tag.push('-');
        }
        self
    }

    /// How long a decision waits for Redis. Default: 20 ms.
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }

    /// What happens when Redis cannot be asked. Default: a local share.
    pub fn outage(mut self, outage: Outage) -> Self {
        self.outage = outage;
        self
    }

    /// How many nodes share the limits while Redis cannot be asked. Default: 1.
    pub fn nodes(mut self, nodes: u32) -> Self {
        self.nodes = nodes.max(1);
        self
    }

    /// How long after its node has died a slot for a concurrent request is free again. Nodes at work
    /// renew theirs three times as often. At least a second; default: 30 s.
    pub fn slot_ttl(mut self, ttl: Duration) -> Self {
        self.slot_ttl = ttl.max(Duration::from_secs(1));
        self
    }

    /// How many requests may be open, or ended and not yet told to Redis, at most. Further ones are
    /// treated as in an outage. Default: 65 536.
    pub fn open_holds(mut self, most: usize) -> Self {
        self.open_holds = most.clamp(1, 1 << 24);
        self
    }

    /// The store. Connects with the first request.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime: it starts the task that tells Redis of ended requests, which lives as
    /// long as the store and its holds.
    #[must_use]
    pub fn build(self) -> Redis {
        Redis::new(self)
    }

    pub(super) fn connection(&self) -> ConnectionManager {
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(20))
            .set_max_delay(Duration::from_millis(200))
            .set_connection_timeout(Some(Duration::from_secs(1)))
            // Longer than the budget: what comes late is given back.
            .set_response_timeout(Some(self.budget + super::store::LATE * 2))
            .set_pipeline_buffer_size(1024);
        ConnectionManager::new_lazy_with_config(self.client.clone(), config)
            .expect("nothing that a lazy connection refuses is set")
    }
}

impl fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client knows the password.
        f.debug_struct("RedisBuilder")
            .field("tag", &self.tag)
            .field("budget", &self.budget)
            .field("outage", &self.outage)
            .field("nodes", &self.nodes)
            .field("slot_ttl", &self.slot_ttl)
            .finish_non_exhaustive()
    }
}
