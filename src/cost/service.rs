use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    Ledger, Most, ResponseBody, ResponseFuture, Terms, Unpriced, Usd, future::not_priced,
    layer::Config, quote::Quote,
};
use crate::{
    ext::Principal,
    parse::{Chat, ChatBody},
    wire::{ServiceTier, request::Name},
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

impl<S: Clone, L> Cost<S, L> {
    /// The service that was made ready, for the future; the clone is made ready anew.
    fn ready(&mut self) -> S {
        let clone = self.inner.clone();
        mem::replace(&mut self.inner, clone)
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
        let config = &self.config;
        let caller = request.extensions().get::<Principal>();
        let account = caller.map(Principal::shared_id);
        let book = config.book.snapshot();
        let book = book.unwrap_or_else(|| Arc::clone(&config.book));
        let price = match (book.price(chat.model()), &config.unpriced) {
            (Some(price), _) => price,
            (None, Unpriced::Ceiling(price)) => Arc::clone(price),
            (None, Unpriced::Refuse) => return ResponseFuture::refused(not_priced()),
            (None, unpriced) => {
                let limited = account.filter(|_| matches!(unpriced, Unpriced::RefuseLimited));
                let Some(account) = limited else {
                    return ResponseFuture::unpriced(self.inner.call(request));
                };
                let hold = config.ledger.hold(&account, Most::Unknown);
                return ResponseFuture::unpriced_for(self.ready(), request, hold);
            }
        };
        let output = chat.max_output_tokens().unwrap_or(config.expected_output);
        let quote = Quote {
            price,
            book,
            served: None,
            unix: config.unix(),
            tier: tier(chat),
            terms: caller
                .and_then(Principal::get::<Terms>)
                .copied()
                .unwrap_or_default(),
            rules: config.rules,
            input_estimate: chat.input_estimate(),
            most_output: output.saturating_mul(chat.n().into()),
            unseen_output: 0,
        };
        let (mut dearest, mut known) = (Usd::ZERO, true);
        for price in quote.book.candidates(chat.model()) {
            let one = match (&price, &config.unpriced) {
                (Some(price), _) | (None, Unpriced::Ceiling(price)) => quote.most(price),
                (None, Unpriced::Free) => Usd::ZERO,
                (None, Unpriced::Refuse) => return ResponseFuture::refused(not_priced()),
                (None, Unpriced::RefuseLimited) => {
                    known = false;
                    break;
                }
            };
            dearest = dearest.max(one);
        }
        let most = if known {
            Most::Amount(dearest)
        } else {
            Most::Unknown
        };
        let hold = account.map(|account| self.config.ledger.hold(&account, most));
        let include_usage = chat.include_usage();
        let config = Arc::clone(&self.config);
        ResponseFuture::holding(self.ready(), request, hold, quote, include_usage, config)
    }
}

/// The tier that a request asks for, if it is one with a price of its own.
fn tier(chat: &Chat) -> Option<ServiceTier> {
    if !chat.has(Name::ServiceTier) {
        return None;
    }
    let name = chat.member(Name::ServiceTier.as_str())?;
    ServiceTier::named(name.trim_matches('"'))
}
