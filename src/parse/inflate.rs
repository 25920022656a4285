//! Undoing gzip piece by piece.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::GzDecoder;

use super::collect::{Collector, TooLarge};

/// Why a body could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undecodable {
    /// More came, compressed or not, than is taken.
    TooLarge,
    /// It is not gzip, is cut, has a wrong checksum, or something follows it.
    Broken,
}

/// A gzip stream of one member, decoded as it comes, so that no more is ever decoded than is taken.
#[derive(Debug)]
pub(super) struct Inflate {
    decoder: GzDecoder<Sink>,
    /// How many compressed bytes may still come: a header may be as long as it likes.
    left: usize,
}

#[derive(Debug)]
struct Sink {
    collector: Collector,
    full: bool,
}

impl Inflate {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            decoder: GzDecoder::new(Sink {
                collector: Collector::new(limit, None),
                full: false,
            }),
            left: limit,
        }
    }

    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), Undecodable> {
        self.left = self
            .left
            .checked_sub(piece.len())
            .ok_or(Undecodable::TooLarge)?;
        self.decoder.write_all(piece).map_err(|_| self.why())
    }

    pub(super) fn take(&mut self) -> Result<Bytes, Undecodable> {
        self.decoder.try_finish().map_err(|_| self.why())?;
        Ok(self.decoder.get_mut().collector.take())
    }

    fn why(&self) -> Undecodable {
        if self.decoder.get_ref().full {
            Undecodable::TooLarge
        } else {
            Undecodable::Broken
        }
    }
}

impl Write for Sink {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        match self.collector.extend(piece) {
            Ok(()) => Ok(piece.len()),
            Err(TooLarge) => {
                self.full = true;
                Err(io::ErrorKind::FileTooLarge.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).expect("into memory");
        encoder.finish().expect("into memory")
    }

    fn inflate(limit: usize, pieces: &[&[u8]]) -> Result<Bytes, Undecodable> {
        let mut inflate = Inflate::new(limit);
        for piece in pieces {
            inflate.push(piece)?;
        }
        inflate.take()
    }

    #[test]
    fn whole_split_at_each_byte_and_cut_at_each_byte() {
        let text = b"{\"model\":\"m\",\"messages\":[]} and some more of the same, and some more";
        let packed = gzip(text);
        for at in 0..=packed.len() {
            let (head, tail) = packed.split_at(at);
            assert_eq!(inflate(100, &[head, tail]).expect("whole"), &text[..]);
            if at < packed.len() {
                assert_eq!(inflate(100, &[head]), Err(Undecodable::Broken), "{at}");
            }
        }
        let bytes: Vec<_> = packed.chunks(1).collect();
        assert_eq!(inflate(100, &bytes).expect("whole"), &text[..]);
    }

    #[test]
    fn what_is_not_gzip_or_more_than_that_is_refused() {
        let mut packed = gzip(b"{}");
        assert_eq!(inflate(100, &[&packed, b"{}"]), Err(Undecodable::Broken));
        assert_eq!(inflate(100, &[&packed, &packed]), Err(Undecodable::Broken));
        assert_eq!(
            inflate(100, &[b"{\"model\":\"m\"}"]),
            Err(Undecodable::Broken)
        );
        let checksum = packed.len() - 8;
        packed[checksum] ^= 1;
        assert_eq!(inflate(100, &[&packed]), Err(Undecodable::Broken));
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let bomb = gzip(&vec![b' '; 10_000_000]);
        assert!(bomb.len() < 10_000);
        assert_eq!(inflate(100_000, &[&bomb]), Err(Undecodable::TooLarge));
        assert_eq!(
            inflate(10_000_000, &[&bomb]).expect("it fits").len(),
            10_000_000
        );
        // A header that never ends: a file name.
        let head = [0x1F, 0x8B, 8, 8, 0, 0, 0, 0, 0, 3];
        let name = [b'x'; 1000];
        let mut pieces: Vec<&[u8]> = vec![&head];
        pieces.resize(200, &name);
        assert!(inflate(100_000, &pieces).is_err());
        assert_eq!(inflate(10_000, &pieces), Err(Undecodable::TooLarge));
    }
}
