//! What it costs to route a request: the choice by itself, and whole calls over one target and over a
//! hundred, the upstream being free.

mod support;

use std::{convert::Infallible, future::ready, hint::black_box, num::NonZeroU32};

use futures_util::FutureExt as _;
use http::{Request, Response};
use tower::{Service as _, service_fn};
use tower_completions::{
    Principal,
    body::Full,
    parse::{Chat, ChatBody},
    router::{Balance, Candidate, Model, Route as _, Router, Sticky, Table},
};

fn table(targets: usize, balance: Balance) -> Table {
    let mut model = Model::new("m").balance(balance);
    for at in 0..targets {
        // Each cheaper in and dearer out than some, or beaten by others.
        let (input, output) = ((at as u64 * 7_919) % 1_000, (at as u64 * 5_557) % 1_000);
        let one = Candidate::new("provider", format!("m{at}")).price(input, output);
        model = model.target(one.max_concurrent(NonZeroU32::MIN));
    }
    Table::new([model]).expect("a table")
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let _entered = runtime.enter();
    let text = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    let chat = Chat::parse(text.into()).expect("a request");
    support::main(|bench| {
        let parts = Request::new(()).into_parts().0;
        let hundred = table(100, Balance::Weighted);
        bench.case("plan", || hundred.plan(black_box("m"), &parts).is_ok());
        let upstream = service_fn(|_: Request<ChatBody>| {
            ready(Ok::<_, Infallible>(Response::new(Full::new("{}"))))
        });
        for (name, balance) in [
            ("weighted", Balance::Weighted),
            ("least_load", Balance::LeastLoad),
            ("cheapest", Balance::Cheapest),
            ("fastest", Balance::Fastest),
            ("sticky", Balance::Sticky(Sticky::Key)),
        ] {
            for targets in [1, 100] {
                let mut router = Router::builder(table(targets, balance))
                    .service("provider", upstream, 1)
                    .without_commit()
                    .build()
                    .expect("sound");
                let body = ChatBody::new(chat.clone());
                let mut parts = Request::new(()).into_parts().0;
                parts.extensions.insert(Principal::new("demo"));
                // Plan, choice, place and target, and the place given back: all but the call.
                bench.case(&format!("choose/{name}/{targets}"), || {
                    router.would_ask(&parts, black_box(&body)).is_ok()
                });
                if targets > 1 && matches!(balance, Balance::Cheapest | Balance::Sticky(_)) {
                    // The first choice serves all it may: it is passed by.
                    let mut request = Request::new(ChatBody::new(chat.clone()));
                    *request.extensions_mut() = parts.extensions.clone();
                    let held = router.call(request).now_or_never().expect("ready");
                    bench.case(&format!("choose/{name}/{targets}/best_full"), || {
                        router.would_ask(&parts, black_box(&body)).is_ok()
                    });
                    drop(held);
                }
                bench.case(&format!("{name}/{targets}"), || {
                    let request = Request::new(ChatBody::new(chat.clone()));
                    let response = router.call(request).now_or_never();
                    response.expect("ready").is_ok()
                });
            }
        }
    });
}
