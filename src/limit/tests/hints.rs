//! What an operator is told, once, of limits that do nothing.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex},
};

use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use tower::{ServiceExt as _, service_fn};
use tower_layer::Layer as _;

use super::{limiter, ok, request};
use crate::{
    body::Full,
    limit::{Limits, Rate, RateLimitLayer, Rule, TokenLimitLayer},
    parse::ChatBody,
};

/// What was logged meanwhile.
fn logged(run: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, run);
    let bytes = lines.0.lock().expect("not poisoned").clone();
    String::from_utf8(bytes).expect("text")
}

#[test]
fn limits_that_concern_nobody_say_so_once() {
    let nobody = || Request::new(());
    let unlimited = || request(Limits::new());
    let global = Rule::global(Limits::new().requests_per_minute(60));
    for (rule, asks, said) in [
        (Rule::per_principal(), [nobody(), nobody()], 1),
        (Rule::per_principal(), [unlimited(), unlimited()], 0),
        (global, [nobody(), nobody()], 0),
    ] {
        let layer = RateLimitLayer::new(limiter().0.rules([rule]));
        let text = logged(|| {
            for ask in asks {
                // Each a service of its own, as servers make them.
                let app = layer.layer(service_fn(ok));
                app.oneshot(ask)
                    .now_or_never()
                    .expect("at once")
                    .expect("infallible");
            }
        });
        let lines = text.lines().filter(|line| line.contains("Principal"));
        assert_eq!(lines.count(), said, "{text}");
    }
}

#[test]
fn a_limit_on_money_without_a_price_says_so_once() {
    let limits = Limits::new().money(Rate::per_day(1));
    let layer = TokenLimitLayer::new(limiter().0);
    for (layer, passed, said) in [(layer.clone(), 2, 1), (layer.price(|_, _| 1), 1, 0)] {
        let mut admitted = 0;
        let text = logged(|| {
            for _ in 0..2 {
                let answer = async |_: Request<ChatBody>| {
                    Ok::<_, Infallible>(Response::new(Full::new("{}")))
                };
                let text = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
                let ask = request(limits.clone()).map(|()| Full::new(text));
                let response = layer.layer(service_fn(answer)).oneshot(ask).now_or_never();
                let response = response.expect("at once").expect("infallible");
                admitted += usize::from(response.status() == StatusCode::OK);
            }
        });
        assert_eq!(admitted, passed);
        assert_eq!(text.matches("does not bind").count(), said, "{text}");
    }
}
