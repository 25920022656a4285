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
    Ledger, Most, Period, ResponseBody, ResponseFuture, Scope, Unpriced, ask,
    candidates::Candidates,
    future::{denial, not_priced},
    guard::Guard,
    layer::{Config, Nobody},
    plan::Plan,
};
use crate::{
    body::Full,
    dialect::Dialect,
    error::{Error, Kind},
    ext::{Principal, Sending, is_dry_run},
    observe::Watch,
    parse::ChatBody,
};

/// Holds what a request may cost, and charges what it did cost.
///
/// A caller whose balance or budget is too low gets a 402, one with a balance and a model without a
/// price a 403. The client may set a ceiling with the header `x-max-cost` (a decimal, in the currency of
/// the accounts: a request that may cost more is a 402 `max_cost_exceeded`), and ask for the estimate alone with
/// `x-dry-run: 1`: nobody is asked then and nothing held. Without a principal nothing is held on an
/// account and no cost is told, or the request is refused
/// ([`CostLayer::require_principal`](super::CostLayer::require_principal)). A model without a price costs
/// what [`Unpriced`] says; where that is nothing, and one with a price may answer in its place, what that one
/// may cost is held, and charged when it does answer: a caller whose balance is used up gets a 402 there
/// too. Dropping the future or the body settles: with what was used, as far as it is known, and with
/// nothing where no upstream had got the request yet ([`Sending`](crate::Sending)).
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

    /// An answer without the service inside: what was made ready goes, with whatever it keeps free for
    /// a request.
    fn answered<R>(&mut self, response: Box<Response<Full>>) -> ResponseFuture<S, R, L>
    where
        S: Service<Request<ChatBody>>,
        L: Ledger,
    {
        self.inner = self.inner.clone();
        ResponseFuture::answered(response)
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

    fn call(&mut self, mut request: Request<ChatBody>) -> Self::Future {
        let caller = request.extensions().get::<Principal>();
        let (mut plan, most) = match self.config.admit(&request, caller) {
            Err(response) => return self.answered(response),
            Ok(Asked::Free) if caller.is_none() && self.config.nobody == Nobody::IsRefused => {
                return self.answered(self.config.unknown());
            }
            Ok(Asked::Free) => return ResponseFuture::calling(self.inner.call(request), None),
            Ok(Asked::Unpriced) => (None, Most::Unknown),
            Ok(Asked::Priced(plan, most)) => (Some(plan), most),
        };
        let Some(account) = caller.map(Principal::id) else {
            if self.config.nobody == Nobody::IsRefused {
                return self.answered(self.config.unknown());
            }
            if let Some(plan) = &mut plan {
                if plan.is_told() {
                    plan.sent_by(Sending::of(request.extensions_mut()));
                } else {
                    // Nobody pays, whether or not it has been sent.
                    self.config.unknown.give(
                        "cost: a priced request has no Principal, so nobody is charged; put \
                         authentication outside of CostLayer",
                    );
                }
            }
            return ResponseFuture::calling(self.inner.call(request), plan);
        };
        let ledger = &self.config.ledger;
        match ledger.hold_now(account, most) {
            Some(Ok(hold)) => {
                let plan = plan.map(|mut plan| {
                    plan.held(hold);
                    plan.sent_by(Sending::of(request.extensions_mut()));
                    plan
                });
                ResponseFuture::calling(self.inner.call(request), plan)
            }
            Some(Err(denied)) => {
                let response = denial(denied).response(&Dialect::openai());
                self.answered(Box::new(response))
            }
            None => {
                let hold = ledger.hold(account, most);
                if let Some(plan) = &mut plan {
                    plan.sent_by(Sending::of(request.extensions_mut()));
                }
                if let Some(sending) = request.extensions().get::<Sending>() {
                    sending.waits();
                }
                ResponseFuture::holding(self.ready(), request, hold, plan)
            }
        }
    }
}

/// How a request is to be accounted for.
enum Asked<L: Ledger> {
    /// It is priced, and may cost this at most.
    Priced(Plan<L>, Most),
    /// It has no price: free for an account without a limit.
    Unpriced,
    /// It has no price, and is free.
    Free,
}

impl<L: Ledger> Config<L> {
    /// The answer where somebody has to be known. What the budgets held is given back with the plan.
    #[cold]
    fn unknown(&self) -> Box<Response<Full>> {
        self.unknown.give(
            "cost: a request without a Principal was refused, as require_principal has it; is \
             authentication outside of CostLayer?",
        );
        let message = "Nobody is known whom this request could be charged to.";
        let error = Error::new(Kind::Authentication, message);
        Box::new(error.response(&Dialect::openai()))
    }

    /// Prices a request and takes what it may cost out of the budgets; or answers it.
    fn admit(
        self: &Arc<Self>,
        request: &Request<ChatBody>,
        caller: Option<&Principal>,
    ) -> Result<Asked<L>, Box<Response<Full>>> {
        let chat = request.body().chat();
        let book = self.book.snapshot();
        let book = book.unwrap_or_else(|| Arc::clone(&self.book));
        let asks = ask::any(request.headers());
        let dry = asks && is_dry_run(request.headers());
        let refuse = |error: Error| Box::new(error.response(&Dialect::openai()));
        let max = match asks {
            true => ask::max_cost(request.headers()).map_err(refuse)?,
            false => None,
        };
        let extent = self.extent(caller, chat);
        let found = self.candidates(&*book, chat, &extent);
        let Candidates {
            price,
            priced,
            otherwise,
            dearest,
            known,
        } = found.map_err(refuse)?;
        let Some(price) = price else {
            return match &self.unpriced {
                _ if dry => Err(Box::new(ask::estimate(chat.model(), None))),
                Unpriced::Free => Ok(Asked::Free),
                _ if self.budgets.apply(caller) => Err(refuse(not_priced())),
                _ => Ok(Asked::Unpriced),
            };
        };
        let quote = self.quote(extent, price, priced, otherwise, book);
        if dry {
            let quote = known.then_some((&quote, dearest));
            return Err(Box::new(ask::estimate(chat.model(), quote)));
        }
        if let Some(max) = max.filter(|max| dearest > *max) {
            return Err(refuse(ask::too_dear(dearest, max, self.currency)));
        }
        if !known && self.budgets.apply(caller) {
            return Err(refuse(not_priced()));
        }
        let now = i64::try_from(extent.unix).unwrap_or(i64::MAX);
        let budget = self.budgets.hold(caller, dearest, now);
        let budget = budget.map_err(|(scope, period)| refuse(budget_exceeded(&scope, period)))?;
        let most = if known {
            Most::Amount(dearest)
        } else {
            Most::Unknown
        };
        let guard = Box::new(Guard {
            config: Arc::clone(self),
            hold: None,
            budget,
            most: dearest,
            max,
            quote,
            asked: false,
            sending: None,
            bill: None,
            watch: request.extensions().get::<Watch>().cloned(),
        });
        Ok(Asked::Priced(Plan::new(guard, chat.include_usage()), most))
    }
}

pub(super) fn budget_exceeded(scope: &Scope, period: Period) -> Error {
    let whose = match scope {
        Scope::Key(_) => "the key's",
        Scope::Team(_) => "the team's",
        Scope::Global => "the",
    };
    let period = match period {
        Period::Day => "day",
        Period::Week => "week",
        Period::Month => "month",
    };
    let message = format!(
        "What is left of {whose} budget for this {period} does not cover what this request may cost."
    );
    Error::new(Kind::Balance, message).with_code("budget_exceeded")
}
