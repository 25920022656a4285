use std::{
    env, fmt,
    future::{Future, Ready, ready},
    time::SystemTime,
};

use crate::{
    body::BoxError,
    provider::{Secret, cut::Spellings},
};

/// An access key with its secret, of a user or, with a session token, of a role for some time.
#[derive(Clone)]
pub struct AccessKey {
    id: String,
    secret: Secret,
    session_token: Option<(Secret, Spellings)>,
    expires: Option<SystemTime>,
}

impl AccessKey {
    /// A key that does not expire.
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            secret: Secret::new(secret.into()),
            session_token: None,
            expires: None,
        }
    }

    /// The session's token, for temporary credentials.
    #[must_use]
    pub fn with_session_token(mut self, token: impl Into<String>) -> Self {
        let token = Secret::new(token.into());
        let sent = Spellings::of(&token);
        self.session_token = Some((token, sent));
        self
    }

    /// When it expires. Default: never; a key that does is asked for anew some minutes before, by
    /// [`Cached`](super::Cached).
    #[must_use]
    pub fn with_expiry(mut self, at: SystemTime) -> Self {
        self.expires = Some(at);
        self
    }

    /// Reads `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, where it is set,
    /// `AWS_SESSION_TOKEN`, as Amazon's own tools do.
    ///
    /// # Errors
    /// The name of the variable that is missing or empty.
    pub fn from_env() -> Result<Self, MissingVariable> {
        Self::from_variables(|name| env::var(name).ok())
    }

    fn from_variables(
        variable: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Self, MissingVariable> {
        let read = |name| variable(name).filter(|value| !value.is_empty());
        let need = |name| read(name).ok_or(MissingVariable(name));
        let key = Self::new(need("AWS_ACCESS_KEY_ID")?, need("AWS_SECRET_ACCESS_KEY")?);
        Ok(match read("AWS_SESSION_TOKEN") {
            Some(token) => key.with_session_token(token),
            None => key,
        })
    }

    /// Its id, which is no secret.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn secret(&self) -> &str {
        self.secret.expose()
    }

    pub(super) fn session_token(&self) -> Option<&str> {
        let (token, _) = self.session_token.as_ref()?;
        Some(token.expose())
    }

    /// What of it goes out as it is, for the answer's extensions.
    pub(super) fn sent(&self) -> Option<Spellings> {
        let (_, sent) = self.session_token.as_ref()?;
        Some(sent.clone())
    }

    /// When it expires.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey")
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// An environment variable that is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingVariable(&'static str);

impl fmt::Display for MissingVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the environment variable {} is not set", self.0)
    }
}

impl std::error::Error for MissingVariable {}

/// Where access keys come from. It is asked for every request: an [`AccessKey`] is itself, whatever
/// must be fetched goes behind [`Cached`](super::Cached). A closure that gives a future will do.
pub trait Credentials: Send + Sync + 'static {
    /// The key, as soon as it is there. Dropping it gives the fetch up.
    type Future: Future<Output = Result<AccessKey, BoxError>> + Send;

    /// The key to sign with.
    fn access_key(&self) -> Self::Future;
}

impl Credentials for AccessKey {
    type Future = Ready<Result<Self, BoxError>>;

    fn access_key(&self) -> Self::Future {
        ready(Ok(self.clone()))
    }
}

/// The environment, read for every request: see [`AccessKey::from_env`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Environment;

impl Credentials for Environment {
    type Future = Ready<Result<AccessKey, BoxError>>;

    fn access_key(&self) -> Self::Future {
        ready(AccessKey::from_env().map_err(Into::into))
    }
}

impl<F, U> Credentials for F
where
    F: Fn() -> U + Send + Sync + 'static,
    U: Future<Output = Result<AccessKey, BoxError>> + Send,
{
    type Future = U;

    fn access_key(&self) -> U {
        self()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment() {
        let all = |name: &'static str| Some(format!("{name}!"));
        let key = AccessKey::from_variables(all).expect("all there");
        assert_eq!(
            (key.id(), key.secret(), key.session_token()),
            (
                "AWS_ACCESS_KEY_ID!",
                "AWS_SECRET_ACCESS_KEY!",
                Some("AWS_SESSION_TOKEN!")
            )
        );
        let some = |name: &'static str| (name == "AWS_ACCESS_KEY_ID").then(|| "a".to_owned());
        let missing = AccessKey::from_variables(some).expect_err("no secret");
        assert!(missing.to_string().contains("AWS_SECRET_ACCESS_KEY"));
        let empty = AccessKey::from_variables(|_| Some(String::new()));
        assert!(empty.is_err());
    }

    #[test]
    fn nothing_is_shown() {
        let key = AccessKey::new("AKID", "hush").with_session_token("hush");
        assert!(!format!("{key:?}").contains("hush"));
    }
}
