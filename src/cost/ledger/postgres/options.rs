//! How the ledger connects.

use std::{fmt, sync::Arc, time::Duration};

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, RecyclingMethod, Runtime};
use tokio::time::timeout;
use tokio_postgres::Config;

use super::{
    PostgresLedger,
    database::{self, Database},
    ledger::Handle,
    pool::Pool,
    queue::Queue,
    sql, task, write,
};
use crate::cost::{Amount, Currency, Recovered, StoreError};

/// How a [`PostgresLedger`] connects.
#[derive(Clone)]
#[must_use]
pub struct PostgresOptions {
    url: String,
    roots: Option<Vec<u8>>,
    connections: usize,
    timeout: Duration,
    settle_timeout: Duration,
    max_open: usize,
    currency: Currency,
}

impl fmt::Debug for PostgresOptions {
    /// All but the address, which may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("connections", &self.connections)
            .field("timeout", &self.timeout)
            .field("settle_timeout", &self.settle_timeout)
            .field("max_open", &self.max_open)
            .field("currency", &self.currency)
            .finish_non_exhaustive()
    }
}

impl PostgresOptions {
    /// The database at this `postgres://` URL, or libpq's `key=value` text.
    ///
    /// With `sslmode=require` it is reached by TLS, which needs the feature `tls-ring` or `tls-aws-lc`, and must prove its
    /// name by a root that browsers trust, or by one of [`root_certificates`](Self::root_certificates): what libpq calls
    /// `verify-full`, which is no value here. Without, as with `disable` and `prefer`, nothing is
    /// encrypted: for a database on this machine, in a private network or behind a tunnel.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            roots: None,
            connections: 16,
            timeout: Duration::from_secs(3),
            settle_timeout: Duration::from_secs(10),
            max_open: 100_000,
            currency: Currency::USD,
        }
    }

    /// The certificates, in PEM, of which one must prove the database's name, as of a database in a cloud whose own
    /// authority is no browser's. TLS is used then, whatever the URL leaves open. Default: the roots that browsers trust.
    ///
    /// # Errors
    /// There is no certificate, one cannot be read, or there is no TLS: neither `tls-ring` nor `tls-aws-lc`.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Result<Self, StoreError> {
        let pem = pem.into();
        database::check(&pem)?;
        self.roots = Some(pem);
        Ok(self)
    }

    /// How many connections there are at most, beside one that proves this node alive. Default: 16.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// How long a hold may wait for the database before it is denied. Default: 3 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long one attempt to write charges may take before its connection is given up and they are
    /// tried again: the hold's id keeps what was written all the same from counting twice. The session
    /// that proves this node alive is replaced by another when it is silent for so long. Default: 10
    /// seconds.
    pub fn settle_timeout(mut self, timeout: Duration) -> Self {
        self.settle_timeout = timeout;
        self
    }

    /// How many holds of this node may be open at once; whoever comes beyond them is denied as
    /// [`Unavailable`](crate::cost::Denied::Unavailable). Default: 100 000.
    pub fn max_open(mut self, holds: usize) -> Self {
        self.max_open = holds;
        self
    }

    /// What its amounts are of. Tables that were made for another currency are refused. Default: US
    /// dollars.
    pub fn currency(mut self, currency: Currency) -> Self {
        self.currency = currency;
        self
    }

    /// Connects, makes or updates the tables, and releases what nodes that are gone have left open.
    /// Call it on a tokio runtime that lives as long as the ledger.
    ///
    /// # Errors
    /// The URL is none, it turns off a TLS that certificates demand, the database cannot be reached or does not prove its
    /// name, or its tables are of a later version or of another
    /// currency.
    pub async fn connect(self) -> Result<PostgresLedger, StoreError> {
        let mut config: Config = self
            .url
            .parse()
            .map_err(|error| StoreError::new("reading the ledger's URL", error))?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(self.timeout);
        }
        let mut random = [0; 4];
        getrandom::fill(&mut random)
            .map_err(|_| StoreError::plain("finding a number at random"))?;
        let node = i32::from_le_bytes(random);
        let database = Database::new(config, self.roots.as_deref())?;
        let mut client = task::attend(&database, node).await?;
        sql::migrate(&mut client, self.currency).await?;
        let voided = task::sweep_all(&client, node).await?;
        let recovered = voided.into_iter().map(|(hold, account, held)| Recovered {
            hold,
            account,
            held,
            charged: Amount::ZERO,
        });
        let pool = self.pool(database.clone())?;
        let queue = Arc::new(Queue::new(self.max_open));
        tokio::spawn(write::write(
            pool.clone(),
            Arc::clone(&queue),
            self.settle_timeout,
        ));
        let (longest, alive) = (self.settle_timeout, Arc::downgrade(&queue));
        tokio::spawn(task::watch(database, node, client, longest, alive));
        Ok(PostgresLedger(Arc::new(Handle {
            pool,
            queue,
            node,
            timeout: self.timeout,
            settle_timeout: self.settle_timeout,
            currency: self.currency,
            recovered: recovered.collect(),
        })))
    }

    fn pool(&self, database: Database) -> Result<Pool, StoreError> {
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let Database { config, tls } = database.clone();
        let connections =
            deadpool_postgres::Pool::builder(Manager::from_config(config, tls, recycling))
                .max_size(self.connections.max(1))
                .runtime(Runtime::Tokio1)
                .wait_timeout(Some(self.timeout))
                .create_timeout(Some(self.timeout))
                .post_create(self.patience())
                .build()
                .map_err(|error| StoreError::new("reaching the ledger", error))?;
        Ok(Pool {
            connections,
            database,
        })
    }

    /// A session that nobody listens to any more, and that cannot be told to stop, waits for no lock longer
    /// than those who do would. It is told so when it begins, for which the pool itself has no time-out.
    fn patience(&self) -> Hook {
        let longest = self.timeout.max(self.settle_timeout).as_millis();
        let set = format!("SET lock_timeout = {}", longest.clamp(1, i32::MAX as u128));
        let within = self.timeout;
        Hook::async_fn(move |client, _| {
            let set = set.clone();
            Box::pin(async move {
                match timeout(within, client.batch_execute(&set)).await {
                    Ok(set) => set.map_err(HookError::Backend),
                    Err(_) => Err(HookError::message("the database does not answer")),
                }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// All charges of a node wait behind one connection: it must not be waited for without an end.
    #[tokio::test]
    async fn a_database_that_falls_silent_once_connected_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let database = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.expect("one");
            socket.read_u8().await.expect("its name");
            // Whoever it is may come in, and then nothing more.
            let welcome = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
            socket.write_all(welcome).await.expect("open");
            let mut asked = Vec::new();
            let _ = socket.read_to_end(&mut asked).await;
            asked
        });
        let options = PostgresOptions::new("").timeout(Duration::from_millis(100));
        let config = format!("postgres://a@127.0.0.1:{port}/a");
        let config = config.parse().expect("a URL");
        let reached = Database::new(config, None).expect("no TLS");
        let pool = options
            .settle_timeout(Duration::from_millis(100))
            .pool(reached)
            .expect("sound");
        let given_up = tokio::time::timeout(Duration::from_secs(5), pool.client()).await;
        assert!(given_up.expect("in time").is_err());
        let asked = database.await.expect("no panic");
        assert!(asked.windows(12).any(|text| text == b"lock_timeout"));
    }
}
