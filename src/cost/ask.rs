//! What a client may ask of the accounting, in headers.

use http::{HeaderMap, HeaderName, HeaderValue, Response, header};

use super::{Amount, Currency, quote::Quote};
use crate::{
    body::Full,
    error::{Error, Kind},
    ext::{DRY_RUN, Estimate},
    meter::{Outcome, Tally},
    wire::Usage,
};

const MAX_COST: HeaderName = HeaderName::from_static("x-max-cost");

/// Whether the client asks for anything at all here. Most do not, and comparing the names of few
/// headers is less than a hash of each that is looked for.
pub(super) fn any(headers: &HeaderMap) -> bool {
    let (max, dry) = (MAX_COST, DRY_RUN);
    headers.keys().any(|name| *name == max || *name == dry)
}

/// The most that the client will pay for the request, from `x-max-cost`.
pub(super) fn max_cost(headers: &HeaderMap) -> Result<Option<Amount>, Error> {
    let Some(value) = headers.get(MAX_COST) else {
        return Ok(None);
    };
    let amount = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok());
    amount.map(Some).ok_or_else(|| {
        let message = "The header `x-max-cost` must be a decimal such as 0.05, in the currency of the accounts.";
        Error::new(Kind::Value, message).with_param("x-max-cost")
    })
}

pub(super) fn too_dear(most: Amount, max: Amount, currency: Currency) -> Error {
    let message =
        format!("The request may cost {most} {currency}, more than the {max} of `x-max-cost`.");
    Error::new(Kind::Balance, message)
        .with_param("x-max-cost")
        .with_code("max_cost_exceeded")
}

/// The answer to a dry run: the most that the request may cost, for how many tokens.
pub(super) fn estimate(model: &str, quote: Option<(&Quote, Amount)>) -> Response<Full> {
    let model = serde_json::Value::from(model);
    let body = match quote {
        None => format!(
            r#"{{"object":"chat.completion.estimate","model":{model},"cost":null,"price_version":null}}"#
        ),
        Some((quote, most)) => {
            let version = quote.price.version().map(|version| &**version);
            format!(
                r#"{{"object":"chat.completion.estimate","model":{model},"cost":{{"amount":{most},"currency":"{}"}},"input_tokens":{},"output_tokens":{},"price_version":{}}}"#,
                quote.price.currency(),
                quote.extent.input_estimate,
                quote.extent.most_output,
                serde_json::Value::from(version),
            )
        }
    };
    let mut response = Response::new(Full::new(body));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    // Whoever counts outside is told that nothing was used.
    let tally = Tally::new();
    tally.record_usage(Usage::new(0, 0));
    tally.end(Outcome::Complete);
    response.extensions_mut().insert(tally);
    response.extensions_mut().insert(Estimate);
    response
}
