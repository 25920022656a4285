//! What a client gets when the code that serves it panics: a 500 in the API's shape.

use std::any::Any;

use http::Response;
use tower_completions::{Dialect, Error, body::Full, error::Kind};
use tower_http::catch_panic::CatchPanicLayer;

pub type Panicked = fn(Box<dyn Any + Send>) -> Response<Full>;

/// Goes around the gateway: what it held is given back as the panic unwinds.
pub fn layer() -> CatchPanicLayer<Panicked> {
    CatchPanicLayer::custom(failed)
}

/// The panic's own message went to the log, through the panic hook, and goes nowhere else.
fn failed(_: Box<dyn Any + Send>) -> Response<Full> {
    Error::new(Kind::Internal, "The gateway failed.").response(&Dialect::openai())
}
