//! `GET /v1/models` and `GET /v1/models/{id}`: what the calling key may use.
//!
//! [`Models`] is a service over any request body, to be put under any path that has a segment
//! `models`. What follows that segment is the id, slashes and percent-encoded characters included.
//!
//! ```
//! use http::Request;
//! use tower_completions::{Principal, models::{Card, Models}};
//! use tower_service::Service;
//!
//! let mut models = Models::new([
//!     Card::new("openai/gpt-4o-mini").alias("gpt-4o-mini"),
//!     Card::new("anthropic/claude-sonnet-4"),
//! ]);
//! let mut ask = Request::get("/v1/models").body(()).unwrap();
//! ask.extensions_mut().insert(Principal::new("demo").with_models(["openai/*"]));
//! let response = models.answer(&ask.into_parts().0);
//! assert_eq!(
//!     response.body().remaining(),
//!     br#"{"object":"list","data":[{"id":"openai/gpt-4o-mini","object":"model","created":0,"owned_by":"openai"}]}"#,
//! );
//! # async fn served(mut models: Models, ask: Request<()>) {
//! let response = models.call(ask).await.unwrap();
//! # }
//! ```

use std::{
    borrow::Cow,
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use http::{HeaderValue, Method, Request, Response, header, request::Parts};
use serde::Serialize;
use tower_service::Service;

use crate::{
    body::Full,
    dialect::Dialect,
    error::{Error, Kind},
    ext::{Principal, matches},
};

/// A model as clients are told of it.
#[derive(Clone)]
#[must_use]
pub struct Card {
    id: Box<str>,
    aliases: Vec<Box<str>>,
    owned_by: Box<str>,
    created: u64,
    refuse: Option<Refuse>,
}

type Refuse = Arc<dyn Fn(&Principal, &str) -> Option<Error> + Send + Sync>;

impl Card {
    /// A model of this id. Its owner is what precedes the first slash, or `system`.
    ///
    /// An id with a `*` stands for every id that fits it: it is found, and not listed.
    pub fn new(id: impl Into<Box<str>>) -> Self {
        let id = id.into();
        let owned_by = id.split_once('/').map_or("system", |(owner, _)| owner);
        Self {
            owned_by: owned_by.into(),
            id,
            aliases: Vec::new(),
            created: 0,
            refuse: None,
        }
    }

    /// Another name that is understood, and not listed.
    pub fn alias(mut self, alias: impl Into<Box<str>>) -> Self {
        self.aliases.push(alias.into());
        self
    }

    /// Who is shown as its owner.
    pub fn owned_by(mut self, owner: impl Into<Box<str>>) -> Self {
        self.owned_by = owner.into();
        self
    }

    /// When it is said to have been made, in Unix seconds. Default: 0.
    pub fn created(mut self, seconds: u64) -> Self {
        self.created = seconds;
        self
    }

    /// Who may not use it for another reason than its name, such as a model without a price: it is not listed
    /// for them, and asked for it is this error. It is told by which name, as an id with a `*` has many. By
    /// default nobody.
    pub fn refused_to(
        mut self,
        refuse: impl Fn(&Principal, &str) -> Option<Error> + Send + Sync + 'static,
    ) -> Self {
        self.refuse = Some(Arc::new(refuse));
        self
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.id)
            .chain(&self.aliases)
            .map(|name| &**name)
    }

    fn object<'a>(&'a self, id: &'a str) -> Object<'a> {
        Object {
            id,
            object: "model",
            created: self.created,
            owned_by: &self.owned_by,
        }
    }
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Card")
            .field("id", &self.id)
            .field("aliases", &self.aliases)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Object<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'a str,
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Object<'a>>,
}

/// The service that answers for a list of models, which may be replaced while it runs.
#[derive(Clone, Debug)]
pub struct Models {
    cards: Arc<ArcSwap<Vec<Card>>>,
}

impl Models {
    /// A service for these models, listed in this order.
    pub fn new(cards: impl IntoIterator<Item = Card>) -> Self {
        Self {
            cards: Arc::new(ArcSwap::from_pointee(cards.into_iter().collect())),
        }
    }

    /// Replaces the list, in every clone of this service at once.
    pub fn replace(&self, cards: impl IntoIterator<Item = Card>) {
        self.cards.store(Arc::new(cards.into_iter().collect()));
    }

    /// The answer to a request, whose body does not matter.
    ///
    /// Without a [`Principal`] in its extensions every model may be seen.
    #[must_use]
    pub fn answer(&self, parts: &Parts) -> Response<Full> {
        if parts.method != Method::GET && parts.method != Method::HEAD {
            let mut response = not_read().response(&Dialect::openai());
            let allow = HeaderValue::from_static(METHODS);
            response.headers_mut().insert(header::ALLOW, allow);
            return response;
        }
        let caller = parts.extensions.get::<Principal>();
        let cards = self.cards.load();
        let id = asked(parts.uri.path());
        if id.is_empty() {
            return json(&list(&cards, caller));
        }
        match find(&cards, &id, caller) {
            Ok(object) => json(&object),
            Err(error) => error.response(&Dialect::openai()),
        }
    }
}

impl<B> Service<Request<B>> for Models {
    type Response = Response<Full>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Full>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Request<B>) -> Self::Future {
        ready(Ok(self.answer(&req.into_parts().0)))
    }
}

/// How models are read.
pub(crate) const METHODS: &str = "GET, HEAD";

/// The refusal of another method.
pub(crate) fn not_read() -> Error {
    Error::new(Kind::Method, "models are read with GET")
}

/// Whether a caller may use a model, asked for by this name.
fn admit(caller: Option<&Principal>, card: &Card, asked: &str) -> Result<(), Error> {
    let Some(caller) = caller else {
        return Ok(());
    };
    if !caller.may_use(asked) && !card.names().any(|name| caller.may_use(name)) {
        let message = format!("This key may not use the model `{asked}`");
        return Err(Error::new(Kind::Permission, message)
            .with_param("model")
            .with_code("model_not_allowed"));
    }
    let refused = card.refuse.as_ref();
    let refused = refused.and_then(|refuse| refuse(caller, asked));
    refused.map_or(Ok(()), Err)
}

fn list<'a>(cards: &'a [Card], caller: Option<&Principal>) -> List<'a> {
    let shown = |card: &&Card| !card.id.contains('*') && admit(caller, card, &card.id).is_ok();
    List {
        object: "list",
        data: cards
            .iter()
            .filter(shown)
            .map(|card| card.object(&card.id))
            .collect(),
    }
}

/// The model of this name: by id or alias first, then by the first pattern that fits.
fn find<'a>(
    cards: &'a [Card],
    id: &'a str,
    caller: Option<&Principal>,
) -> Result<Object<'a>, Error> {
    let exact = cards
        .iter()
        .find(|card| card.names().any(|name| name == id));
    let (card, shown) = match exact {
        Some(card) => (card, &*card.id),
        None => match cards.iter().find(|card| matches(&card.id, id)) {
            Some(card) => (card, id),
            None => {
                let message = format!("The model `{id}` does not exist");
                return Err(Error::new(Kind::NotFound, message)
                    .with_param("model")
                    .with_code("model_not_found"));
            }
        },
    };
    admit(caller, card, id)?;
    Ok(card.object(shown))
}

fn json(value: &impl Serialize) -> Response<Full> {
    let body = serde_json::to_vec(value).expect("strings and integers serialise into memory");
    let mut response = Response::new(Full::new(body));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// The id in a path: what follows the first segment `models`, or all of it where a router has
/// taken that segment away. Empty for the list.
fn asked(path: &str) -> Cow<'_, str> {
    let mut rest = path;
    for (at, _) in path.match_indices("/models") {
        let after = &path[at + "/models".len()..];
        if after.is_empty() || after.starts_with('/') {
            rest = after;
            break;
        }
    }
    decode(rest.trim_matches('/'))
}

/// Percent-decoding (RFC 3986 §2.1). What is not a valid encoding of text stays as it is.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let raw = text.as_bytes();
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        let pair = (byte == b'%').then(|| digit(raw.get(at + 1)).zip(digit(raw.get(at + 2))));
        if let Some(Some((high, low))) = pair {
            // Two hexadecimal digits are below 256.
            out.push((high * 16 + low) as u8);
            at += 3;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    String::from_utf8(out).map_or(Cow::Borrowed(text), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models() -> Models {
        Models::new([
            Card::new("openai/gpt-4o-mini")
                .alias("gpt-4o-mini")
                .created(7),
            Card::new("models/odd"),
            Card::new("local/*"),
        ])
    }

    fn ask(method: Method, path: &str, caller: Option<Principal>) -> Response<Full> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(())
            .expect("valid");
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        models().answer(&request.into_parts().0)
    }

    #[test]
    fn finds_by_id_alias_and_pattern() {
        for (path, id) in [
            ("/v1/models/openai/gpt-4o-mini", "openai/gpt-4o-mini"),
            ("/v1/models/openai%2Fgpt-4o-mini", "openai/gpt-4o-mini"),
            ("/v1/models/openai%2fgpt-4o-mini/", "openai/gpt-4o-mini"),
            ("/v1/models/gpt-4o-mini", "openai/gpt-4o-mini"),
            ("/openai/gpt-4o-mini", "openai/gpt-4o-mini"),
            ("/v1/models/models/odd", "models/odd"),
            ("/v1/models/local/any", "local/any"),
        ] {
            let response = ask(Method::GET, path, None);
            assert_eq!(response.status(), 200, "{path}");
            let object: serde_json::Value =
                serde_json::from_slice(response.body().remaining()).expect("JSON");
            assert_eq!(object["id"], id, "{path}");
            assert_eq!(object["object"], "model");
        }
    }

    #[test]
    fn what_is_refused_to_a_caller_is_not_listed_for_it() {
        let dear = Card::new("dear").alias("d").refused_to(|caller, asked| {
            assert!(["dear", "d"].contains(&asked));
            let poor = caller.id() == "poor";
            poor.then(|| Error::new(Kind::Permission, "no").with_code("model_not_priced"))
        });
        let models = Models::new([dear, Card::new("free")]);
        for (caller, data, status) in [
            (Some("poor"), 1, 403),
            (Some("rich"), 2, 200),
            (None, 2, 200),
        ] {
            let ask = |path: &str| {
                let mut request = Request::get(path).body(()).expect("valid");
                if let Some(id) = caller {
                    request.extensions_mut().insert(Principal::new(id));
                }
                models.answer(&request.into_parts().0)
            };
            let list = ask("/v1/models");
            let list: serde_json::Value =
                serde_json::from_slice(list.body().remaining()).expect("JSON");
            assert_eq!(
                list["data"].as_array().map(Vec::len),
                Some(data),
                "{caller:?}"
            );
            for path in ["/v1/models/dear", "/v1/models/d"] {
                let one = ask(path);
                assert_eq!(one.status(), status, "{caller:?} {path}");
                let error = one.extensions().get::<Error>();
                let code = (status == 403).then_some("model_not_priced");
                assert_eq!(error.and_then(Error::code), code);
            }
        }
    }

    #[test]
    fn tells_unknown_from_forbidden() {
        let caller = || Some(Principal::new("a").with_models(["models/*"]));
        for (path, status, code) in [
            ("/v1/models/nobody", 404, "model_not_found"),
            ("/v1/models/%ff", 404, "model_not_found"),
            ("/v1/models/gpt-4o-mini", 403, "model_not_allowed"),
            ("/v1/models/local/x", 403, "model_not_allowed"),
        ] {
            let response = ask(Method::GET, path, caller());
            assert_eq!(response.status(), status, "{path}");
            let error = response.extensions().get::<Error>().expect("kept");
            assert_eq!(error.code(), Some(code), "{path}");
        }
        let response = ask(Method::POST, "/v1/models", None);
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], "GET, HEAD");
    }

    #[test]
    fn lists_what_the_key_may_use() {
        let ids = |caller| -> Vec<String> {
            let response = ask(Method::GET, "/v1/models", caller);
            let list: serde_json::Value =
                serde_json::from_slice(response.body().remaining()).expect("JSON");
            assert_eq!(list["object"], "list");
            list["data"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|model| model["id"].as_str().expect("an id").to_owned())
                .collect()
        };
        assert_eq!(ids(None), ["openai/gpt-4o-mini", "models/odd"]);
        let by_alias = Principal::new("a").with_models(["gpt-*"]);
        assert_eq!(ids(Some(by_alias)), ["openai/gpt-4o-mini"]);
        assert!(ids(Some(Principal::new("a").with_models(["none"]))).is_empty());
    }

    #[test]
    fn a_replaced_list_is_seen_by_every_clone() {
        let models = models();
        let clone = models.clone();
        models.replace([Card::new("new")]);
        let parts = Request::get("/v1/models/new")
            .body(())
            .expect("valid")
            .into_parts()
            .0;
        assert_eq!(clone.answer(&parts).status(), 200);
    }
}
