//! How likely the tokens of an answer were, in the API's form.
//!
//! The server leaves out what is empty there: bytes that are those of the token, and rivals.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::wire::chat::Text;

#[derive(Deserialize)]
pub(super) struct Token<'a> {
    #[serde(borrow)]
    token: Text<'a>,
    #[serde(borrow)]
    logprob: &'a RawValue,
    #[serde(borrow, default)]
    bytes: Option<&'a RawValue>,
    #[serde(borrow, default)]
    top_logprobs: Option<Vec<Self>>,
}

#[derive(Serialize)]
struct Logprobs<'a> {
    content: Vec<Told<'a>>,
    refusal: (),
}

#[derive(Serialize)]
struct Told<'a> {
    token: &'a Text<'a>,
    logprob: &'a RawValue,
    bytes: Bytes<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<Vec<Self>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Bytes<'a> {
    Given(&'a RawValue),
    OfToken(&'a [u8]),
}

impl Token<'_> {
    fn told(&self) -> Told<'_> {
        let own = || Bytes::OfToken(self.token.as_bytes());
        Told {
            token: &self.token,
            logprob: self.logprob,
            bytes: self.bytes.map_or_else(own, Bytes::Given),
            top_logprobs: None,
        }
    }
}

/// As JSON; `None` where nothing is said.
pub(super) fn json(tokens: Option<&[Token<'_>]>) -> Option<String> {
    let tokens = tokens.filter(|tokens| !tokens.is_empty())?;
    let each = tokens.iter().map(|token| {
        let rivals = token.top_logprobs.iter().flatten();
        Told {
            top_logprobs: Some(rivals.map(Token::told).collect()),
            ..token.told()
        }
    });
    let told = Logprobs {
        content: each.collect(),
        refusal: (),
    };
    serde_json::to_string(&told).ok()
}
