//! More than an account may send in a minute.

use super::*;
use crate::error::{Error, Kind, upstream::classify};

/// The first target of a model that has two refuses it as Groq and OpenAI do.
#[tokio::test(start_paused = true)]
async fn what_is_too_large_for_one_account_is_asked_elsewhere() {
    let answers = |name: &'static str| {
        BoxCloneSyncService::new(service_fn(move |_: Request<Body>| {
            let mut answer = Response::new(Full::new("{}"));
            if name == "a" {
                let says = "Request too large for m in organization org-x on tokens per min (TPM): \
                            Limit 30000, Requested 40000.";
                let status = http::StatusCode::TOO_MANY_REQUESTS;
                let class = classify(status, Some("rate_limit_exceeded"), None, Some(says));
                let error = Error::new(Kind::Format, says).with_class(class);
                *answer.status_mut() = status;
                answer.extensions_mut().insert(error);
            }
            std::future::ready(Ok(answer))
        }))
    };
    let model = Model::new("m")
        .target(Candidate::new("a", "x"))
        .target(Candidate::new("b", "x").priority(1));
    let router: Router<Upstream, Live> =
        Router::builder(Live::new(Table::new([model]).expect("sound")))
            .service("a", answers("a"), 2)
            .service("b", answers("b"), 0)
            .build()
            .expect("sound");
    for _ in 0..4 {
        assert_eq!(ask(&router, "m").await, is(200, "", 2));
    }
    assert_eq!(router.health()[0].dead_keys, 0);
}
