use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{Ledger, ResponseBody, ResponseFuture, layer::Config, quote::Quote};
use crate::{
    error::{Error, Kind},
    ext::Principal,
    parse::ChatBody,
};

/// Holds what a request may cost, and charges what it did cost.
///
/// A caller whose balance is too low gets a 402, one with a balance and a model without a price a
/// 403. Without a principal nothing is held; without a price nothing is charged. Dropping the
/// future or the body settles: with what was used, as far as it is known.
pub struct Cost<S, L> {
    inner: S,
    config: Arc<Config<L>>,
}

impl<S, L> Cost<S, L> {
    pub(super) const fn new(inner: S, config: Arc<Config<L>>) -> Self {
        Self { inner, config }
    }
}

impl<S: Clone, L> Clone for Cost<S, L> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            config: Arc::clone(&self.config),
        }
    }
}

impl<S: fmt::Debug, L> fmt::Debug for Cost<S, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cost")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, L, R> Service<Request<ChatBody>> for Cost<S, L>
where
    S: Service<Request<ChatBody>, Response = Response<R>> + Clone,
    L: Ledger,
    R: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<R, L>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, R, L>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ChatBody>) -> Self::Future {
        let chat = request.body().chat();
        let account = request
            .extensions()
            .get::<Principal>()
            .map(Principal::shared_id);
        let Some(price) = self.config.book.price(chat.model()) else {
            let limited = account.is_some_and(|account| self.config.ledger.is_limited(&account));
            if limited {
                return ResponseFuture::refused(not_priced());
            }
            return ResponseFuture::unpriced(self.inner.call(request));
        };
        let output = chat
            .max_output_tokens()
            .unwrap_or(self.config.expected_output);
        let output = output.saturating_mul(chat.n().into());
        let candidates = self.config.book.candidates(chat.model());
        let limited = account
            .as_ref()
            .is_some_and(|account| self.config.ledger.is_limited(account));
        if limited && candidates.iter().any(Option::is_none) {
            return ResponseFuture::refused(not_priced());
        }
        let quote = Quote {
            price,
            input_estimate: chat.input_estimate(),
            most_output: output,
            unseen_output: 0,
        };
        let most = candidates
            .iter()
            .flatten()
            .map(|price| price.ceiling(quote.input_estimate, output))
            .max();
        let hold =
            account.map(|account| self.config.ledger.hold(&account, most.unwrap_or_default()));
        let include_usage = chat.include_usage();
        // The service that was made ready goes into the future; the clone is made ready anew.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        let config = Arc::clone(&self.config);
        ResponseFuture::holding(inner, request, hold, quote, include_usage, config)
    }
}

fn not_priced() -> Error {
    let message =
        "The model, or one that may answer in its place, has no price; the key has a balance.";
    Error::new(Kind::Permission, message)
        .with_param("model")
        .with_code("model_not_priced")
}
