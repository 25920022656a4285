use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{KnownModels, Policy, Validate};
use crate::{
    dialect::Dialect,
    parse::{Parse, ParseLayer, ReadLimits},
};

/// Puts [`Validate`] around a service.
#[derive(Clone)]
#[must_use]
pub struct ValidateLayer {
    pub(super) config: Arc<Config>,
}

#[derive(Clone)]
pub(super) struct Config {
    pub(super) dialect: Dialect,
    pub(super) policy: Policy,
    /// Who knows of them; without any nothing is known.
    pub(super) models: Option<Arc<dyn KnownModels>>,
}

impl ValidateLayer {
    /// Validates as a dialect asks.
    pub fn new(dialect: Dialect) -> Self {
        let config = Config {
            dialect,
            policy: Policy::default(),
            models: None,
        };
        Self {
            config: Arc::new(config),
        }
    }

    /// What the operator allows.
    pub fn policy(mut self, policy: Policy) -> Self {
        Arc::make_mut(&mut self.config).policy = policy;
        self
    }

    /// What is known of the models. Default: nothing; every parameter is taken.
    pub fn models(mut self, models: impl KnownModels + 'static) -> Self {
        Arc::make_mut(&mut self.config).models = Some(Arc::new(models));
        self
    }
}

impl fmt::Debug for ValidateLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidateLayer")
            .field("dialect", &self.config.dialect)
            .field("policy", &self.config.policy)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for ValidateLayer {
    type Service = Parse<Validate<S>>;

    fn layer(&self, inner: S) -> Self::Service {
        let limits = ReadLimits::default().value_status(self.config.dialect.value_status);
        let parse = ParseLayer::new().limits(limits);
        parse.layer(Validate::new(inner, Arc::clone(&self.config)))
    }
}
