//! What speaks to each of `[[providers]]`, and the router over all of them.

use std::{fmt::Display, fs, num::NonZeroU32};

use tower::Layer;
use tower_completions::{
    cost::Prices,
    mock,
    provider::{
        BoxProvider, Contract, ParallelLayer, Provider,
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
    router::{BuildError, Mistake, Router, Table},
};

use crate::{
    config::{self, Config},
    routing,
};

/// One for each of the file's providers, in its order; what cannot be made is one more mistake.
pub fn all(config: &Config, mistakes: &mut Vec<String>) -> Vec<BoxProvider> {
    let parts = Parts::new();
    let mut made = Vec::new();
    for (at, provider) in config.providers.iter().enumerate() {
        match parts.upstream(provider) {
            Ok(upstream) => made.push(upstream),
            Err(Unfit(key, why)) => {
                let of = format!("providers[{at}].");
                // What is made of one that is wrong already may be wrong for no other reason.
                let known = mistakes.iter().any(|it| it.starts_with(&of));
                if !known || key == "credentials" {
                    mistakes.push(format!("{of}{key}: {why}"));
                }
            }
        }
    }
    made
}

/// Over all of them.
pub fn router(
    config: &Config,
    prices: &Prices,
    upstreams: Vec<BoxProvider>,
) -> Result<Router<BoxProvider, Table>, Vec<String>> {
    let router =
        routing::builder(config, prices).map_err(|error| vec![format!("models: {error}")])?;
    let named = config.providers.iter().zip(upstreams);
    let router = named.fold(router, |router, (provider, upstream)| {
        router.provider(provider.name.as_str(), upstream)
    });
    let mistake = |mistake: &Mistake| format!("providers: {mistake}");
    let lines = |error: BuildError| error.mistakes().iter().map(mistake).collect();
    router.build().map_err(lines)
}

/// A key of a provider, and why what it says will not do.
struct Unfit(&'static str, String);

impl Unfit {
    fn new(key: &'static str) -> impl Fn(http::uri::InvalidUri) -> Self {
        move |error| Self(key, error.to_string())
    }
}

/// What all upstreams are made of.
struct Parts {
    client: Client,
    /// Several answers of those that give one at a time, and of those that give eight.
    one_by_one: ParallelLayer,
    by_eights: ParallelLayer,
}

impl Parts {
    fn new() -> Self {
        let mut settings = ClientConfig::default();
        // Each thread has a runtime of its own.
        settings.pool_per_thread = true;
        let one_by_one = ParallelLayer::new();
        Self {
            client: Client::new(settings),
            by_eights: one_by_one.per_call(NonZeroU32::new(8).unwrap_or(NonZeroU32::MIN)),
            one_by_one,
        }
    }

    fn upstream(&self, of: &config::Provider) -> Result<BoxProvider, Unfit> {
        let base_url = |default| of.base_url.as_deref().unwrap_or(default);
        let unfit = || Unfit::new("base_url");
        Ok(match of.kind.as_str() {
            "mock" => {
                let translate = OpenAi::new("http://mock/v1").map_err(unfit())?;
                let keys = of.api_keys.iter().map(String::as_str);
                BoxProvider::new(provider(of, mock::Upstream::new(), translate).with_keys(keys))
            }
            "azure" => {
                let version = of.api_version.as_deref();
                let api = azure_api(of.api.as_deref(), version);
                let translate = Azure::new(base_url(""), api, version).map_err(unfit())?;
                BoxProvider::new(self.keyed(of, translate))
            }
            "anthropic" => {
                let translate = Anthropic::new(base_url("https://api.anthropic.com"));
                BoxProvider::new(
                    self.one_by_one
                        .layer(self.keyed(of, translate.map_err(unfit())?)),
                )
            }
            "cohere" => {
                let translate = Cohere::new(base_url("https://api.cohere.com"));
                BoxProvider::new(
                    self.one_by_one
                        .layer(self.keyed(of, translate.map_err(unfit())?)),
                )
            }
            "ollama" => {
                let translate = Ollama::new(base_url("http://localhost:11434"));
                BoxProvider::new(
                    self.one_by_one
                        .layer(self.keyed(of, translate.map_err(unfit())?)),
                )
            }
            "gemini" => {
                let default = "https://generativelanguage.googleapis.com";
                let translate = Gemini::new(base_url(default)).map_err(unfit())?;
                BoxProvider::new(self.by_eights.layer(self.keyed(of, translate)))
            }
            "bedrock" => self.bedrock(of)?,
            "vertex" => self.vertex(of)?,
            _ => {
                let vendor = of.vendor.as_deref().and_then(Vendor::named);
                let own = vendor.and_then(Vendor::base_url);
                let default = own.unwrap_or("https://api.openai.com/v1");
                let mut translate = OpenAi::new(base_url(default)).map_err(unfit())?;
                if let Some(vendor) = vendor {
                    translate = translate.with_vendor(vendor);
                }
                if translate.vendor().knows_n() {
                    BoxProvider::new(self.keyed(of, translate))
                } else {
                    BoxProvider::new(self.one_by_one.layer(self.keyed(of, translate)))
                }
            }
        })
    }

    /// With bearer keys, else the file's access key, else the environment's.
    fn bedrock(&self, of: &config::Provider) -> Result<BoxProvider, Unfit> {
        let region = of.region.as_deref().unwrap_or("us-east-1");
        let translate = match of.base_url.as_deref() {
            Some(url) => Bedrock::new(url).map_err(Unfit::new("base_url"))?,
            None => Bedrock::region(region).map_err(Unfit::new("region"))?,
        };
        if !of.api_keys.is_empty() {
            return Ok(BoxProvider::new(
                self.one_by_one.layer(self.keyed(of, translate)),
            ));
        }
        Ok(if let Some((id, secret)) = &of.access_key {
            let mut key = AccessKey::new(id, secret);
            if let Some(token) = &of.session_token {
                key = key.with_session_token(token);
            }
            let signed = SignLayer::bedrock(key, region).layer(self.client.clone());
            BoxProvider::new(self.one_by_one.layer(provider(of, signed, translate)))
        } else {
            let signed = SignLayer::bedrock(Environment, region).layer(self.client.clone());
            BoxProvider::new(self.one_by_one.layer(provider(of, signed, translate)))
        })
    }

    /// With tokens of a service account, else ready ones.
    fn vertex(&self, of: &config::Provider) -> Result<BoxProvider, Unfit> {
        let project = of.project.as_deref().unwrap_or_default();
        let location = of.location.as_deref().unwrap_or_default();
        let translate = match &of.base_url {
            Some(base) => Vertex::at(base, project, location).map_err(Unfit::new("base_url"))?,
            None => Vertex::new(project, location).map_err(Unfit::new("location"))?,
        };
        // Gemini knows a small `n`; the models of others there do not.
        let claudes = self.one_by_one.of_models(|model| model.contains("claude"));
        let geminis = self.by_eights.of_models(|model| !model.contains("claude"));
        Ok(match &of.credentials {
            Some(path) => {
                let unfit =
                    |error: &dyn Display| Unfit("credentials", format!("{path:?}: {error}"));
                let file = fs::read(path).map_err(|error| unfit(&error))?;
                let account = ServiceAccount::from_json(&file).map_err(|error| unfit(&error))?;
                let client = TokenLayer::new(account).layer(self.client.clone());
                let provider = provider(of, client, translate);
                BoxProvider::new(claudes.layer(geminis.layer(provider)))
            }
            None => BoxProvider::new(claudes.layer(geminis.layer(self.keyed(of, translate)))),
        })
    }

    fn keyed<T: Clone>(&self, of: &config::Provider, translate: T) -> Provider<Client, T> {
        let keys = of.api_keys.iter().map(String::as_str);
        provider(of, self.client.clone(), translate).with_keys(keys)
    }
}

fn provider<C, T: Clone>(of: &config::Provider, client: C, translate: T) -> Provider<C, T> {
    let contract = Contract::new(of.unsupported);
    Provider::new(of.name.as_str(), client, translate).with_contract(contract)
}

/// Which of Azure's URLs is used: where it is not said, that which takes the version. Only deployments
/// have versions by their date; `v1` has none, or one by its name.
fn azure_api(named: Option<&str>, version: Option<&str>) -> Api {
    let dated = |version: &str| version.starts_with(|c: char| c.is_ascii_digit());
    match named {
        Some("deployments") => Api::Deployments,
        None if version.is_some_and(dated) => Api::Deployments,
        _ => Api::V1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dated_version_chooses_the_deployments() {
        for (named, version, api) in [
            (None, None, Api::V1),
            (None, Some("preview"), Api::V1),
            (None, Some("2024-10-21"), Api::Deployments),
            (None, Some("2025-04-01-preview"), Api::Deployments),
            (Some("v1"), Some("2024-10-21"), Api::V1),
            (Some("deployments"), None, Api::Deployments),
            (Some("deployments"), Some("preview"), Api::Deployments),
        ] {
            assert_eq!(azure_api(named, version), api, "{named:?} {version:?}");
        }
    }
}
