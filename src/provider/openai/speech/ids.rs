//! Ids of calls, brought into a form that is read.

use sha2::{Digest, Sha256};

use super::reader::Reader;
use crate::wire::json::{Fault, Type};

impl Reader<'_> {
    /// The ids of a list of calls.
    pub(super) fn calls(&mut self) -> Result<(), Fault> {
        self.cursor.array()?;
        while self.cursor.element()? {
            self.cursor.object()?;
            while let Some(key) = self.cursor.key()? {
                match self.cursor.peek()? {
                    Type::String if key == *"id" => self.id()?,
                    _ => self.cursor.skip().map(drop)?,
                }
            }
        }
        Ok(())
    }

    /// The id of one call, or of its result.
    pub(super) fn id(&mut self) -> Result<(), Fault> {
        let id = self.cursor.string()?;
        let bytes = id.bytes();
        if bytes.len() != 9 || !bytes.iter().all(u8::is_ascii_alphanumeric) {
            self.edits.replace(id.range(), short(&id.cow()));
        }
        Ok(())
    }
}

/// Nine letters and digits for an id; the same one always becomes the same.
pub(super) fn short(id: &str) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let sum = Sha256::digest(id);
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]);
    sum[..9].iter().map(letter).collect()
}
