//! Certificates that the file names, by which stores with TLS are to prove their names.

use std::{fmt::Display, fs};

use tower_completions::{cost::PostgresOptions, limit::redis::Redis};

use crate::config::Config;

/// What is trusted beside the roots that browsers trust, in PEM.
#[derive(Default)]
pub struct Trust {
    pub ledger: Option<Vec<u8>>,
    pub limits: Option<Vec<u8>>,
}

impl Trust {
    /// Reads the files, and tells of those that will not do.
    pub fn read(config: &Config, mistakes: &mut Vec<String>) -> Self {
        let mut read = |section: &str, path: &Option<String>, check: &dyn Fn(&[u8]) -> Checked| {
            let path = path.as_ref()?;
            let pem = fs::read(path).map_err(|error| error.to_string());
            match pem.and_then(|pem| check(&pem).map(|()| pem)) {
                Ok(pem) => Some(pem),
                Err(why) => {
                    mistakes.push(format!("{section}.root_certificates: {path:?}: {why}"));
                    None
                }
            }
        };
        Self {
            ledger: read("ledger", &config.ledger.roots, &|pem| {
                let options = PostgresOptions::new("").root_certificates(pem);
                options.map(drop).map_err(told)
            }),
            limits: read("limits", &config.limits.roots, &|pem| {
                // An address that is none is told of elsewhere.
                let Ok(redis) = Redis::open(&config.limits.store) else {
                    return Ok(());
                };
                redis.root_certificates(pem).map(drop).map_err(told)
            }),
        }
    }
}

type Checked = Result<(), String>;

fn told(error: impl Display) -> String {
    error.to_string()
}
