//! Where the database is, and how its connections are encrypted.

use tokio_postgres::{CancelToken, Client, Config, config::SslMode};

use crate::cost::StoreError;

#[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
pub(super) type Tls = tokio_postgres_rustls::MakeRustlsConnect;
#[cfg(not(any(feature = "tls-ring", feature = "tls-aws-lc")))]
pub(super) type Tls = tokio_postgres::NoTls;

#[derive(Clone)]
pub(super) struct Database {
    pub(super) config: Config,
    pub(super) tls: Tls,
}

impl Database {
    /// The database that is configured so, reached by TLS where that is demanded: by `sslmode=require`, or by roots of the
    /// caller's own. What is only preferred, as it is where nothing is said, whoever stands in between could turn
    /// down: it is left out.
    pub(super) fn new(mut config: Config, roots: Option<&[u8]>) -> Result<Self, StoreError> {
        match (config.get_ssl_mode(), roots) {
            (SslMode::Disable, Some(_)) => {
                let doing = "trusting certificates where `sslmode=disable` turns TLS off";
                return Err(StoreError::plain(doing));
            }
            (_, Some(_)) => config.ssl_mode(SslMode::Require),
            (SslMode::Prefer, None) => config.ssl_mode(SslMode::Disable),
            (_, None) => &mut config,
        };
        let tls = tls(&config, roots)?;
        Ok(Self { config, tls })
    }

    pub(super) async fn connect(&self) -> Result<Client, StoreError> {
        let connected = self.config.connect(self.tls.clone()).await;
        let (client, connection) =
            connected.map_err(|error| StoreError::new("reaching the ledger", error))?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Tells the database to stop what a session has asked.
    pub(super) async fn cancel(&self, session: &CancelToken) {
        // What is late is given up all the same.
        let _ = session.cancel_query(self.tls.clone()).await;
    }
}

/// Whether these are certificates, and of use.
#[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
pub(super) fn check(pem: &[u8]) -> Result<(), StoreError> {
    roots(pem).map(drop)
}

#[cfg(not(any(feature = "tls-ring", feature = "tls-aws-lc")))]
pub(super) fn check(_: &[u8]) -> Result<(), StoreError> {
    Err(no_tls())
}

#[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
fn roots(pem: &[u8]) -> Result<rustls::RootCertStore, StoreError> {
    crate::tls::roots(pem)
        .map_err(|error| StoreError::new("reading the certificates to trust", error))
}

#[cfg(any(feature = "tls-ring", feature = "tls-aws-lc"))]
fn tls(_: &Config, pem: Option<&[u8]>) -> Result<Tls, StoreError> {
    let trusted = pem.map_or_else(|| Ok(crate::tls::well_known()), roots)?;
    let mut config = crate::tls::trusting(trusted);
    // Asked for where TLS begins at once (`sslnegotiation=direct`); elsewhere nobody looks at it.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(Tls::new(config))
}

#[cfg(not(any(feature = "tls-ring", feature = "tls-aws-lc")))]
fn tls(config: &Config, _: Option<&[u8]>) -> Result<Tls, StoreError> {
    match config.get_ssl_mode() {
        SslMode::Disable => Ok(tokio_postgres::NoTls),
        _ => Err(no_tls()),
    }
}

#[cfg(not(any(feature = "tls-ring", feature = "tls-aws-lc")))]
fn no_tls() -> StoreError {
    let needed = "it needs the feature `tls-ring` or `tls-aws-lc`";
    StoreError::new("reaching the ledger by TLS", needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str, roots: Option<&[u8]>) -> Result<SslMode, String> {
        let config = url.parse().expect("a URL");
        let database = Database::new(config, roots).map_err(|error| error.to_string())?;
        Ok(database.config.get_ssl_mode())
    }

    #[test]
    fn nothing_is_encrypted_by_chance() {
        assert_eq!(mode("postgres://a@b/c", None), Ok(SslMode::Disable));
        let preferred = mode("postgres://a@b/c?sslmode=prefer", None);
        assert_eq!(preferred, Ok(SslMode::Disable));
        let demanded = mode("postgres://a@b/c?sslmode=require", None);
        assert_eq!(demanded, Ok(SslMode::Require));
    }

    #[test]
    fn certificates_where_tls_is_turned_off_are_a_mistake() {
        let disabled = mode("postgres://a@b/c?sslmode=disable", Some(b"x"));
        assert!(disabled.expect_err("both").contains("sslmode=disable"));
    }

    #[test]
    fn what_is_no_certificate_is_told_at_once() {
        for none in [
            "",
            "x",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert!(check(none.as_bytes()).is_err(), "{none}");
        }
    }
}
