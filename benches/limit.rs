//! What a decision costs, beside governor's own check.

mod support;

use std::{convert::Infallible, mem, num::NonZeroU32};

use futures_util::FutureExt as _;
use governor::{Quota, RateLimiter, clock::FakeRelativeClock};
use http::{Request, Response};
use tower::{Layer as _, Service as _, service_fn};
use tower_completions::{
    Principal,
    body::Full,
    limit::{Decision, Hold as _, Limiter, Limits, Rate, RateLimitLayer, Unit, Weights},
};

fn main() {
    support::main(|bench| {
        // On a clock that is read for next to nothing: governor's own is set up by millions of
        // instructions, and never by the same number twice.
        let governor = RateLimiter::hashmap_with_clock(
            Quota::per_second(NonZeroU32::MAX),
            FakeRelativeClock::default(),
        );
        let key = String::from("acme");
        bench.case("governor", || governor.check_key(&key).is_ok());

        let head = |limits: Limits| {
            let mut request = Request::new(());
            request
                .extensions_mut()
                .insert(Principal::new("acme").attach(limits));
            request.into_parts().0
        };
        let limiter = Limiter::new();

        let plenty = Limits::new()
            .requests(Rate::per_second(u64::from(u32::MAX)))
            .max_concurrent(u32::MAX);
        let parts = head(plenty);
        let one = Weights::new().with(Unit::Requests, 1).with_slot();
        // The decision alone: what is taken is never settled, and there are slots enough.
        bench.case("request", || {
            let ask = limiter.ask(&parts, one);
            match limiter.store().decide(&ask) {
                Decision::Admitted(hold, _) => mem::forget(hold),
                Decision::Refused(_) => unreachable!("there is plenty"),
            }
        });
        bench.case("request_settled", || {
            let ask = limiter.ask(&parts, one);
            match limiter.store().decide(&ask) {
                Decision::Admitted(hold, _) => hold.settle(&one),
                Decision::Refused(_) => unreachable!("there is plenty"),
            }
        });

        let limiter = Limiter::new();
        let none = head(Limits::new().requests(Rate::per_day(1).burst(0)));
        bench.case("refusal", || {
            let ask = limiter.ask(&none, one);
            matches!(limiter.store().decide(&ask), Decision::Refused(_))
        });

        // The whole answer: the layer, its error, its headers.
        let spent = head(Limits::new().requests(Rate::per_day(1)));
        let mut app = RateLimitLayer::new(Limiter::new()).layer(service_fn(|_: Request<()>| {
            std::future::ready(Ok::<_, Infallible>(Response::new(Full::new(""))))
        }));
        bench.case("refusal_answered", || {
            let answer = app.call(Request::from_parts(spent.clone(), ()));
            answer.now_or_never().map(|it| it.map(|it| it.status()))
        });

        let limiter = Limiter::new();
        let tokens = head(Limits::new().tokens(Rate::per_second(1 << 50)));
        let reserve = Weights::new().with(Unit::Tokens, 2000);
        let actual = Weights::new().with(Unit::Tokens, 700);
        bench.case("tokens", || {
            let ask = limiter.ask(&tokens, reserve);
            match limiter.store().decide(&ask) {
                Decision::Admitted(hold, _) => hold.settle(&actual),
                Decision::Refused(_) => unreachable!("there is plenty"),
            }
        });
    });
}
