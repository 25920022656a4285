//! Limits in a Redis that is reached by TLS, and one that does not prove its name.

#![cfg(all(feature = "redis", any(feature = "tls-ring", feature = "tls-aws-lc")))]

#[path = "support/asks.rs"]
mod asks;
#[path = "support/redis.rs"]
mod server;

use asks::{decide, one, patient, request};
use server::Server;
use tower_completions::limit::{
    Hold as _, Limits, Rate,
    redis::{Outage, Redis},
};

fn limits() -> Limits {
    Limits::new().requests(Rate::per_day(2))
}

#[tokio::test]
async fn limits_are_counted_over_tls() {
    if server::missing() {
        return;
    }
    let server = Server::start_with_tls();
    let (address, root) = server.tls();
    let store = patient(&address).root_certificates(root);
    let store = store.expect("a certificate").build();
    for _ in 0..2 {
        let (hold, _) = decide(&store, one("acme", &limits(), request()))
            .await
            .expect("room");
        hold.settle(&request());
    }
    let third = decide(&store, one("acme", &limits(), request())).await;
    assert!(third.is_err());
    assert_eq!((store.stats().decided, store.stats().gone), (3, 0));
}

#[tokio::test]
async fn a_redis_that_does_not_prove_its_name_is_not_asked() {
    if server::missing() {
        return;
    }
    let (server, stranger) = (Server::start_with_tls(), Server::start_with_tls());
    let (address, root) = server.tls();
    let by_browsers = patient(&address);
    let by_a_stranger = patient(&address).root_certificates(stranger.tls().1);
    let otherwise_named = patient(&address.replace("127.0.0.1", "localhost"));
    let otherwise_named = otherwise_named.root_certificates(root);
    for store in [
        by_browsers,
        by_a_stranger.expect("a certificate"),
        otherwise_named.expect("a certificate"),
    ] {
        let store = store.outage(Outage::Open).build();
        let asked = decide(&store, one("acme", &limits(), request())).await;
        assert!(asked.is_ok(), "uncounted");
        assert_eq!((store.stats().decided, store.stats().gone), (0, 1));
    }
}

#[test]
fn certificates_are_looked_at_at_once() {
    let open = |address: &str| Redis::open(address).expect("an address");
    for pem in ["", "no certificate"] {
        assert!(open("rediss://127.0.0.1").root_certificates(pem).is_err());
    }
    // Without TLS nothing is trusted.
    let openssl = std::process::Command::new("openssl")
        .arg("version")
        .output();
    if openssl.is_err() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    server::certificates::make(directory.path());
    let root = std::fs::read(directory.path().join("root.pem")).expect("it was made");
    let plain = open("redis://127.0.0.1").root_certificates(root.clone());
    assert!(plain.is_err());
    assert!(open("rediss://127.0.0.1").root_certificates(root).is_ok());
}
