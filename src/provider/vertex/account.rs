use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use rustls::{
    SignatureScheme,
    pki_types::{PrivateKeyDer, pem::PemObject},
    sign::SigningKey,
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    body::{BoxError, Full},
    provider::{Secret, base64, cut::Spellings},
};

/// What a token may be used for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// How long a token is asked for: the most that is given.
const LIFETIME: u64 = 3600;

/// A service account: who asks for tokens, and the key that proves it.
#[derive(Clone)]
pub struct ServiceAccount {
    email: String,
    key_id: Option<String>,
    uri: Uri,
    /// The address as the account's file spells it: the assertion names it.
    audience: String,
    project: Option<String>,
    key: std::sync::Arc<dyn SigningKey>,
}

#[derive(Deserialize)]
struct File {
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: Option<String>,
    #[serde(default)]
    project_id: Option<String>,
    #[serde(default)]
    token_uri: Option<String>,
}

/// A token and when it ends.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) secret: Secret,
    /// For the extensions of what is answered to it.
    pub(super) sent: Spellings,
    pub(super) ends: SystemTime,
}

/// Why a file is not a service account's.
#[derive(Debug)]
pub struct NotAnAccount(&'static str, Option<BoxError>);

impl fmt::Display for NotAnAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a service account's file: {}", self.0)
    }
}

impl std::error::Error for NotAnAccount {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.1.as_deref().map(|source| source as _)
    }
}

impl ServiceAccount {
    /// Reads the JSON that the provider's console gives out.
    ///
    /// # Errors
    /// A file without the members that are needed, or with a key that is not RSA in PEM.
    pub fn from_json(json: &[u8]) -> Result<Self, NotAnAccount> {
        let bad = |why, source: BoxError| NotAnAccount(why, Some(source));
        let file: File =
            serde_json::from_slice(json).map_err(|error| bad("it lacks a member", error.into()))?;
        let audience = file
            .token_uri
            .unwrap_or_else(|| "https://oauth2.googleapis.com/token".to_owned());
        let uri = audience
            .parse()
            .map_err(|error: http::uri::InvalidUri| bad("`token_uri` is no URL", error.into()))?;
        let der = PrivateKeyDer::from_pem_slice(file.private_key.as_bytes())
            // What the reader says may quote the key.
            .map_err(|_| NotAnAccount("`private_key` is not a key in PEM", None))?;
        let key = crate::tls::provider()
            .key_provider
            .load_private_key(der)
            .map_err(|_| NotAnAccount("`private_key` cannot be used", None))?;
        if key
            .choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])
            .is_none()
        {
            return Err(NotAnAccount("`private_key` is not an RSA key", None));
        }
        Ok(Self {
            email: file.client_email,
            key_id: file.private_key_id,
            uri,
            audience,
            project: file.project_id,
            key,
        })
    }

    /// The project that it belongs to, where the file says it.
    #[must_use]
    pub fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }

    /// The signed statement that a token is asked for with (RFC 7523, RS256).
    fn assertion(&self, now: SystemTime) -> Result<String, BoxError> {
        let now = now
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
            .as_secs();
        let mut head = json!({ "alg": "RS256", "typ": "JWT" });
        if let Some(id) = &self.key_id {
            head["kid"] = id.as_str().into();
        }
        let claims = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.audience,
            "iat": now,
            "exp": now + LIFETIME,
        });
        let mut text = base64::url(head.to_string().as_bytes());
        text.push('.');
        text.push_str(&base64::url(claims.to_string().as_bytes()));
        let signer = self
            .key
            .choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])
            .ok_or("the key does not sign with RS256")?;
        let signature = signer.sign(text.as_bytes())?;
        text.push('.');
        text.push_str(&base64::url(&signature));
        Ok(text)
    }

    /// The request for a token.
    pub(super) fn ask(&self, now: SystemTime) -> Result<Request<Full>, BoxError> {
        let body = format!(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={}",
            self.assertion(now)?
        );
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        Ok(request)
    }

    /// What was answered to it.
    pub(super) fn read(body: &[u8], now: SystemTime) -> Result<Token, BoxError> {
        #[derive(Deserialize)]
        struct Given {
            access_token: String,
            #[serde(default)]
            expires_in: Option<u64>,
        }
        // A parser's message could quote the token.
        let given: Given = serde_json::from_slice(body).map_err(|_| "it is not a token")?;
        let lasts = given.expires_in.unwrap_or(LIFETIME).min(LIFETIME * 24);
        let secret = Secret::new(given.access_token);
        Ok(Token {
            sent: Spellings::of(&secret),
            secret,
            ends: now + Duration::from_secs(lasts),
        })
    }
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount").finish_non_exhaustive()
    }
}
