//! One file for each table that is checked.

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::{
    error::Error,
    provider::{Contract, Unsupported},
};

mod conversations;
mod members;
mod rows;

fn sent(vendor: &str, model: &str, body: &Value) -> (Result<Value, Error>, Notes) {
    let chat = Chat::parse(Bytes::from(body.to_string())).expect("a request");
    sent_of(&chat, vendor, model)
}

fn sent_of(chat: &Chat, vendor: &str, model: &str) -> (Result<Value, Error>, Notes) {
    let translate = OpenAi::new("http://host/v1").expect("a URL");
    let translate = translate.with_vendor(Vendor::named(vendor).expect("known"));
    let mut notes = Notes::default();
    let request = translate.request(chat, &Target::new("p", model), &mut notes);
    let body = request.map(|request| {
        let mut body = request.into_body();
        let waker = std::task::Waker::noop();
        let mut cx = std::task::Context::from_waker(waker);
        let frame = http_body::Body::poll_frame(std::pin::Pin::new(&mut body), &mut cx);
        let std::task::Poll::Ready(Some(Ok(frame))) = frame else {
            panic!("a body")
        };
        serde_json::from_slice(&frame.into_data().expect("data")).expect("JSON")
    });
    (body, notes)
}

fn with(member: &str, value: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    body[member] = value;
    body
}
