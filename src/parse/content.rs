//! The content of a body, its encoding undone.

use bytes::Bytes;

use super::{
    collect::{Collector, TooLarge},
    head::too_large,
};
use crate::error::Error;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    #[cfg(feature = "gzip")]
    Gzip,
}

/// What has come of a body, within its limit.
pub(super) struct Content {
    limit: usize,
    kind: Kind,
}

enum Kind {
    Plain(Collector),
    #[cfg(feature = "gzip")]
    Gzip(Box<super::inflate::Inflate>),
}

impl Content {
    pub(super) fn new(encoding: Encoding, limit: usize, announced: Option<u64>) -> Self {
        let kind = match encoding {
            Encoding::Identity => Kind::Plain(Collector::new(limit, announced)),
            #[cfg(feature = "gzip")]
            Encoding::Gzip => Kind::Gzip(Box::new(super::inflate::Inflate::new(limit))),
        };
        Self { limit, kind }
    }

    pub(super) fn push(&mut self, piece: Bytes) -> Result<(), Error> {
        match &mut self.kind {
            Kind::Plain(collector) => {
                let pushed = collector.push(piece);
                pushed.map_err(|TooLarge| too_large(self.limit))
            }
            #[cfg(feature = "gzip")]
            Kind::Gzip(inflate) => inflate.push(&piece).map_err(|why| broken(why, self.limit)),
        }
    }

    pub(super) fn take(&mut self) -> Result<Bytes, Error> {
        match &mut self.kind {
            Kind::Plain(collector) => Ok(collector.take()),
            #[cfg(feature = "gzip")]
            Kind::Gzip(inflate) => inflate.take().map_err(|why| broken(why, self.limit)),
        }
    }
}

#[cfg(feature = "gzip")]
fn broken(why: super::inflate::Undecodable, limit: usize) -> Error {
    use super::inflate::Undecodable;
    use crate::error::Kind;

    match why {
        Undecodable::TooLarge => too_large(limit),
        Undecodable::Broken => Error::new(Kind::Format, "The body is not one whole gzip stream.")
            .with_code("invalid_json"),
    }
}
