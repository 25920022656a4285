//! One of `[[providers]]`.

use std::{fmt, num::NonZeroU32};

use tower_completions::provider::{Unsupported, openai};

use crate::read::{Mistakes, Section, small};

pub struct Provider {
    pub name: String,
    pub kind: String,
    pub base_url: Option<String>,
    pub api_keys: Vec<String>,
    pub api: Option<String>,
    pub api_version: Option<String>,
    pub vendor: Option<String>,
    pub region: Option<String>,
    /// Id and secret.
    pub access_key: Option<(String, String)>,
    pub session_token: Option<String>,
    pub project: Option<String>,
    pub location: Option<String>,
    pub credentials: Option<String>,
    /// What becomes of parameters that it has no counterpart of.
    pub unsupported: Unsupported,
    /// How many requests each of its keys serves at once.
    pub max_concurrent_per_key: Option<NonZeroU32>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

const KINDS: &[&str] = &[
    "openai",
    "azure",
    "anthropic",
    "gemini",
    "vertex",
    "bedrock",
    "cohere",
    "ollama",
    "mock",
];

impl Provider {
    pub(super) fn read(section: &mut Section, mistakes: &mut Mistakes) -> Self {
        let name = section.required("name", mistakes);
        let kind = section.required("kind", mistakes);
        if !kind.is_empty() && !KINDS.contains(&kind.as_str()) {
            mistakes.add(
                &section.key("kind"),
                format!("expected one of {}, got {kind:?}", KINDS.join(", ")),
            );
        }
        let base_url = section.string("base_url", mistakes);
        if let Some(url) = base_url.as_deref().filter(|url| !is_base(url)) {
            let expected = "expected an http or https URL without user and query";
            let message = shown(url).map(|url| format!("{expected}, got {url:?}"));
            mistakes.add(
                &section.key("base_url"),
                message.unwrap_or_else(|| expected.into()),
            );
        }
        let mut only = |name: &'static str, kinds: &[&str]| {
            let value = section.string(name, mistakes);
            if value.is_some() && KINDS.contains(&kind.as_str()) && !kinds.contains(&kind.as_str())
            {
                mistakes.add(
                    &section.key(name),
                    format!("belongs to kind {}, not to {kind}", kinds.join(" or ")),
                );
            }
            value
        };
        let vendor = only("vendor", &["openai"]);
        let api_version = only("api_version", &["azure"]);
        let api = only("api", &["azure"]);
        let region = only("region", &["bedrock"]);
        let access_key_id = only("access_key_id", &["bedrock"]);
        let secret_access_key = only("secret_access_key", &["bedrock"]);
        let session_token = only("session_token", &["bedrock"]);
        let project = only("project", &["vertex"]);
        let location = only("location", &["vertex"]);
        let credentials = only("credentials", &["vertex"]);
        let unsupported = match section.string("unsupported", mistakes).as_deref() {
            None | Some("by_meaning") => Unsupported::ByMeaning,
            Some("refuse") => Unsupported::Refuse,
            Some("drop") => Unsupported::Drop,
            Some(other) => {
                mistakes.add(
                    &section.key("unsupported"),
                    format!("expected \"by_meaning\", \"refuse\" or \"drop\", got {other:?}"),
                );
                Unsupported::ByMeaning
            }
        };
        let known = |name: &str| openai::Vendor::named(name).is_some();
        if let Some(name) = vendor.as_deref().filter(|name| !known(name)) {
            let names: Vec<&str> = openai::Vendor::all().map(openai::Vendor::name).collect();
            mistakes.add(
                &section.key("vendor"),
                format!("expected one of {}, got {name:?}", names.join(", ")),
            );
        }
        if api
            .as_deref()
            .is_some_and(|api| !["v1", "deployments"].contains(&api))
        {
            mistakes.add(&section.key("api"), "expected \"v1\" or \"deployments\"");
        }
        // One of a wrong type is there, and told of by itself.
        if section.has("access_key_id") != section.has("secret_access_key") {
            mistakes.add(
                &section.key("access_key_id"),
                "and secret_access_key belong together, expected both",
            );
        }
        let api_keys = section.strings("api_keys", mistakes).unwrap_or_default();
        for (at, key) in api_keys.iter().enumerate() {
            if key.is_empty() || !key.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
                mistakes.add(
                    &format!("{}[{at}]", section.key("api_keys")),
                    "expected a key of printable ASCII characters",
                );
            }
        }
        for (name, needed) in [
            ("base_url", base_url.is_none() && kind == "azure"),
            (
                "region",
                region.is_none() && base_url.is_none() && kind == "bedrock",
            ),
            ("project", project.is_none() && kind == "vertex"),
            ("location", location.is_none() && kind == "vertex"),
        ] {
            if needed {
                mistakes.add(
                    &section.key(name),
                    format!("is missing, kind {kind} needs it"),
                );
            }
        }
        let per_key = small(section.integer("max_concurrent_per_key", 1..=1 << 20, mistakes));
        if per_key.is_some() && api_keys.is_empty() {
            mistakes.add(&section.key("max_concurrent_per_key"), "needs api_keys");
        }
        Self {
            name,
            kind,
            base_url,
            api_keys,
            api,
            api_version,
            vendor,
            region,
            access_key: access_key_id.zip(secret_access_key),
            session_token,
            project,
            location,
            credentials,
            unsupported,
            max_concurrent_per_key: per_key.and_then(NonZeroU32::new),
        }
    }
}

/// What of a URL may be told: a user's password or a key may stand in it. Nothing where it cannot be
/// seen how far they go.
fn shown(url: &str) -> Option<&str> {
    let (url, query) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
    let told = url.rsplit_once('@').map_or(url, |(_, host)| host);
    (!query.contains('@')).then_some(told)
}

/// Whether paths can be put behind a URL.
fn is_base(url: &str) -> bool {
    url.parse::<http::Uri>().is_ok_and(|uri| {
        let authority = uri.authority();
        let is_plain = |it: &http::uri::Authority| it.as_str() == it.host() || it.port().is_some();
        matches!(uri.scheme_str(), Some("http" | "https"))
            && authority.is_some_and(|it| !it.as_str().contains('@') && is_plain(it))
            && uri.query().is_none()
    })
}
