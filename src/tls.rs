//! TLS towards others, for each part that connects somewhere.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider};

/// Named, not taken from the process: with two in the tree the default would panic.
pub(crate) fn provider() -> CryptoProvider {
    #[cfg(feature = "tls-ring")]
    return rustls::crypto::ring::default_provider();
    #[cfg(not(feature = "tls-ring"))]
    return rustls::crypto::aws_lc_rs::default_provider();
}

/// For a client that takes the process's default: ours, where the application has named none.
#[cfg(feature = "redis")]
pub(crate) fn settle_default() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have been first.
        let _ = provider().install_default();
    }
}

/// The roots that browsers trust.
pub(crate) fn well_known() -> RootCertStore {
    RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    }
}

/// Those that stand in PEM: one at least.
#[cfg(any(feature = "ledger-postgres", feature = "redis"))]
pub(crate) fn roots(pem: &[u8]) -> Result<RootCertStore, Box<dyn std::error::Error + Send + Sync>> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate?)?;
    }
    match roots.is_empty() {
        true => Err("there is no certificate in PEM".into()),
        false => Ok(roots),
    }
}

/// Whoever is connected to must prove its name by one of these roots.
pub(crate) fn trusting(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
