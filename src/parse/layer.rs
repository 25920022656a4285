use std::time::Duration;

use http::StatusCode;
use tower_layer::Layer;

use super::Parse;
use crate::{
    time::{DefaultTimer, Timer},
    wire::request::{Bounds, MAX_COUNTED, MAX_ESCAPED, MAX_HUGE},
};

/// How much of a body is read, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct ReadLimits {
    /// The largest body, in bytes; a larger one is a 413. Default: 8 MiB.
    pub max_bytes: usize,
    /// The longest silence between two reads; then a 408. Default: 10 s.
    pub idle_timeout: Duration,
    /// The longest for the whole body; then a 408. Default: 60 s.
    pub timeout: Duration,
    /// The most members and elements, at all levels together; more are a 400. Default: 250 000.
    pub max_values: usize,
    /// The most mistakes in shape and values, as [`Request::faults`] has them; a request with more is
    /// refused by the first, of shape before value, and read no further. What has fewer is a validator's
    /// to judge: raise this where there is none, and long requests of another shape are to go on.
    /// Default: 256.
    ///
    /// [`Request::faults`]: crate::wire::request::Request::faults
    pub max_faults: usize,
    /// The most bytes of keys, ids, words and the model's name, as they stand in the body, that are spelled by
    /// escapes where the API reads them; more are a 400. Contents do not count, nor what nobody reads, such as
    /// the schema of a tool. Default: 16 KiB, which the sixteen keys that `metadata` may have never reach.
    pub max_escaped: usize,
    /// The most numbers with an exponent of three digits or more and no minus before it, such as `1e300`, or with 309
    /// digits before their point, wherever they stand; more are a 400. Default: 256. A schema may have the largest
    /// double (`1.7976931348623157e308`) as a bound; nothing else that clients send is so large, neither embeddings
    /// nor ids nor times.
    pub max_huge: usize,
    /// The status of the refusal for too many mistakes when the one told is one of value: 400 or 422, as
    /// [`Dialect::value_status`] has it. `ValidateLayer` and `Gateway` set it by their dialect. Default: 400.
    ///
    /// [`Dialect::value_status`]: crate::Dialect::value_status
    pub value_status: StatusCode,
    /// Which content encoding is undone; any other is a 415. The limit in bytes holds for what comes
    /// and for what it becomes. Default: none.
    pub decode: Decode,
}

/// Which content encoding of a body is undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decode {
    /// None: a body that is compressed is a 415.
    #[default]
    Nothing,
    /// gzip (RFC 1952), one member. While it is read it takes some 80 KiB beside the body.
    #[cfg(feature = "gzip")]
    Gzip,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            max_bytes: 8 << 20,
            idle_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
            max_values: 250_000,
            max_faults: MAX_COUNTED,
            max_escaped: MAX_ESCAPED,
            max_huge: MAX_HUGE,
            value_status: StatusCode::BAD_REQUEST,
            decode: Decode::Nothing,
        }
    }
}

impl ReadLimits {
    /// The largest body, in bytes.
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The longest silence between two reads.
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// The most members and elements, at all levels together.
    pub const fn max_values(mut self, values: usize) -> Self {
        self.max_values = values;
        self
    }

    /// The most mistakes in shape and values.
    pub const fn max_faults(mut self, faults: usize) -> Self {
        self.max_faults = faults;
        self
    }

    /// The most bytes of keys and names that are spelled by escapes.
    pub const fn max_escaped(mut self, bytes: usize) -> Self {
        self.max_escaped = bytes;
        self
    }

    /// The most numbers with an exponent of three digits or more, or with hundreds of digits.
    pub const fn max_huge(mut self, numbers: usize) -> Self {
        self.max_huge = numbers;
        self
    }

    /// The status of the refusal for more mistakes than that, when it is one of value.
    pub const fn value_status(mut self, status: StatusCode) -> Self {
        self.value_status = status;
        self
    }

    /// How much of the text is read.
    pub(super) fn bounds(&self) -> Bounds {
        Bounds::default()
            .values(self.max_values)
            .faults(self.max_faults)
            .escaped(self.max_escaped)
            .huge(self.max_huge)
    }

    /// Which content encoding is undone.
    pub const fn decode(mut self, decode: Decode) -> Self {
        self.decode = decode;
        self
    }

    /// The longest for the whole body.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// Puts [`Parse`] around a service that asks for [`ChatBody`](super::ChatBody).
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct ParseLayer<T = DefaultTimer> {
    limits: ReadLimits,
    timer: T,
}

impl ParseLayer {
    /// With the default limits.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T> ParseLayer<T> {
    /// With other limits.
    pub const fn limits(mut self, limits: ReadLimits) -> Self {
        self.limits = limits;
        self
    }

    /// With another timer.
    pub fn timer<U: Timer>(self, timer: U) -> ParseLayer<U> {
        ParseLayer {
            limits: self.limits,
            timer,
        }
    }
}

impl<S, T: Clone> Layer<S> for ParseLayer<T> {
    type Service = Parse<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        Parse::with(inner, self.limits, self.timer.clone())
    }
}
