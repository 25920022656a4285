use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    Known, Purpose, Quote, TokenGuard,
    layer::{Options, Requests},
};
use crate::{
    body::Reply,
    ext::Sending,
    limit::{Ask, Limiter, Memory, ResponseFuture, Settings, Store, Unit, Weights, asks::Asks},
    meter::Metered,
    parse::{Chat, ChatBody},
    wire::Usage,
};

/// Holds requests to limits on tokens and money. See
/// [`TokenLimitLayer`](crate::limit::TokenLimitLayer).
#[derive(Clone, Debug)]
pub struct TokenLimit<S, St = Memory> {
    inner: S,
    limiter: Limiter<St>,
    settings: Settings,
    options: Options,
}

impl<S, St> TokenLimit<S, St> {
    pub(super) const fn new(
        inner: S,
        limiter: Limiter<St>,
        settings: Settings,
        options: Options,
    ) -> Self {
        Self {
            inner,
            limiter,
            settings,
            options,
        }
    }
}

impl Options {
    fn weights(&self, chat: &Chat, output: u64, quote: Option<&Quote>) -> Weights {
        let input = chat.input_estimate();
        let mut weights = Weights::new()
            .with(Unit::Tokens, input.saturating_add(output))
            .with(Unit::InputTokens, input)
            .with(Unit::OutputTokens, output);
        if let Some(quote) = quote {
            let known = Known {
                purpose: Purpose::Reserve,
                ..Known::default()
            };
            let most = quote(&Usage::new(input, output), known);
            weights = weights.with(Unit::Money, most);
        }
        if self.requests == Requests::Here {
            weights = weights.with(Unit::Requests, 1).with_slot();
        }
        weights
    }

    /// What a request reserves: its own maximum as it stands, our expectation cut to what every
    /// limit can hold beside the prompt.
    fn reserve(&self, chat: &Chat, ask: &mut Ask, quote: Option<&Quote>) {
        let answers = u64::from(chat.n());
        if let Some(most) = chat.max_output_tokens() {
            ask.weights = self.weights(chat, most.saturating_mul(answers), quote);
            return;
        }
        let least = self.weights(chat, 0, quote);
        let mut wanted = self.weights(chat, self.expected.saturating_mul(answers), quote);
        for limit in ask.demands.iter().flat_map(|demand| demand.limits.list()) {
            if let (Some(least), Some(amount)) = (least.get(limit.unit), wanted.get(limit.unit)) {
                let most = limit.window.capacity().max(least);
                wanted = wanted.with(limit.unit, amount.min(most));
            }
        }
        ask.weights = wanted;
    }
}

impl<S, St, R> Service<Request<ChatBody>> for TokenLimit<S, St>
where
    S: Service<Request<ChatBody>, Response = Response<R>> + Clone,
    St: Store,
    R: Body<Data = Bytes>,
{
    type Response = Response<Reply<Metered<R, TokenGuard<St::Hold>>>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, St, ChatBody, TokenGuard<St::Hold>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ChatBody>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let chat = body.chat();
        // For rules that count by model. Mostly it is there.
        let known = parts.extensions.get::<Chat>();
        if known.is_none_or(|known| !known.is(chat)) {
            parts.extensions.insert(chat.clone());
        }
        let mut ask = self.limiter.ask(&parts, Weights::new());
        let limits = || ask.demands.iter().flat_map(|it| it.limits.list());
        // Without such a limit nobody asks what it costs.
        let priced = limits().any(|limit| limit.unit == Unit::Money);
        let quote = match &self.options.quotes {
            Some(quotes) if priced => Some(quotes(&parts, chat)),
            None if priced => {
                self.limiter.hints().unpriced.give(
                    "limits: money is limited, but TokenLimitLayer has no price or quote, so that \
                     limit does not bind; CostLayer::quoter gives one",
                );
                None
            }
            _ => None,
        };
        self.options.reserve(chat, &mut ask, quote.as_ref());
        let held = !ask.demands.is_empty();
        let sending = held.then(|| Sending::of(&mut parts.extensions));
        let (input, answers) = (chat.input_estimate(), chat.n());
        let guard = TokenGuard::new(input, answers, self.options.cached, quote, sending);
        let request = Request::from_parts(parts, body);
        let Self {
            inner,
            limiter,
            settings,
            ..
        } = self;
        let asks = Asks { ask, instead: None };
        ResponseFuture::new(inner, request, asks, guard, limiter, settings)
    }
}
