use std::{fmt, sync::Arc};

/// What keeps a router from being built: every mistake there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    mistakes: Vec<Mistake>,
}

/// A mistake in what a router is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mistake {
    /// A model has a target at a provider that the router was not given.
    UnknownProvider {
        /// The name that no provider has.
        provider: Arc<str>,
        /// The id of the model.
        model: Arc<str>,
    },
    /// Two providers have this name.
    TwoProviders(Arc<str>),
    /// A provider has more keys than a pool takes, which is 64.
    TooManyKeys {
        /// Its name.
        provider: Arc<str>,
        /// How many it has.
        keys: usize,
    },
    /// There is a limit for the keys of a provider of this name, and no such provider.
    LimitOfNobody(Arc<str>),
}

impl BuildError {
    pub(super) fn of(mistakes: Vec<Mistake>) -> Result<(), Self> {
        match mistakes.is_empty() {
            true => Ok(()),
            false => Err(Self { mistakes }),
        }
    }

    /// All of them; there is at least one.
    #[must_use]
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownProvider { provider, model } => {
                write!(
                    f,
                    "the model `{model}` has a target at `{provider}`, which is no provider"
                )
            }
            Self::TwoProviders(name) => write!(f, "two providers are called `{name}`"),
            Self::TooManyKeys { provider, keys } => {
                write!(
                    f,
                    "the provider `{provider}` has {keys} keys, which are more than 64"
                )
            }
            Self::LimitOfNobody(name) => {
                write!(
                    f,
                    "there is a limit for the keys of `{name}`, which is no provider"
                )
            }
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.mistakes.iter().enumerate() {
            let before = if at == 0 { "" } else { "; " };
            write!(f, "{before}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for BuildError {}
