//! Entries and statements as bytes, and the chain of hashes that binds each entry to the one before.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sha2::{Digest, Sha256};

use crate::cost::{Amount, Entry, HoldId, Statement, What};

/// What an entry hands on to the next: SHA-256 of the hash before and the entry's bytes.
pub(super) type Hash = [u8; 32];

/// The hash before the first entry.
pub(super) const FIRST: Hash = [0; 32];

/// The longest account name or reference that is kept, in bytes.
pub(super) const MOST_TEXT: usize = 1024;

const GRANTED: u8 = 1;
const HELD: u8 = 2;
const EXTENDED: u8 = 3;
const SETTLED: u8 = 4;
const RELEASED: u8 = 5;
const VOIDED: u8 = 6;

/// Appends an entry, with its hash at the end, and returns the hash.
///
/// The layout: kind, milliseconds since 1970 (8 bytes), account, then what the kind has: amounts in
/// picodollars and ids of 16 bytes, texts with their length in 2 bytes before them; all numbers
/// little-endian.
pub(super) fn write(
    out: &mut Vec<u8>,
    before: &Hash,
    account: &str,
    at: SystemTime,
    what: &What,
) -> Hash {
    let start = out.len();
    let (kind, hold, amounts): (u8, Option<HoldId>, &[Amount]) = match what {
        What::Granted { amount, used, .. } => (GRANTED, None, &[*amount, *used]),
        What::Held { hold, amount } => (HELD, Some(*hold), &[*amount]),
        What::Extended { hold, amount } => (EXTENDED, Some(*hold), &[*amount]),
        What::Settled {
            hold,
            held,
            charged,
            overrun,
        } => (SETTLED, Some(*hold), &[*held, *charged, *overrun]),
        What::Released { hold, held } => (RELEASED, Some(*hold), &[*held]),
        What::Voided { hold, held } => (VOIDED, Some(*hold), &[*held]),
    };
    out.push(kind);
    out.extend_from_slice(&millis(at).to_le_bytes());
    text(out, account);
    if let Some(hold) = hold {
        out.extend_from_slice(&hold.number().to_le_bytes());
    }
    for amount in amounts {
        out.extend_from_slice(&amount.pico().to_le_bytes());
    }
    if let What::Granted { reference, .. } = what {
        text(out, reference);
    }
    let hash = follow(before, &out[start..]);
    out.extend_from_slice(&hash);
    hash
}

/// An entry's content, and whether it follows from the hash before; `None` when it is no entry.
pub(super) fn read(number: u64, bytes: &[u8]) -> Option<(Entry, &[u8], Hash)> {
    let (content, hash) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    let mut rest = content;
    let kind = take::<1>(&mut rest)?[0];
    let at = UNIX_EPOCH + Duration::from_millis(u64::from_le_bytes(take(&mut rest)?));
    let account: Arc<str> = take_text(&mut rest)?.into();
    let mut hold = || Some(HoldId::new(u128::from_le_bytes(take(&mut rest)?)));
    let what = match kind {
        GRANTED => What::Granted {
            amount: take_usd(&mut rest)?,
            used: take_usd(&mut rest)?,
            reference: take_text(&mut rest)?.into(),
        },
        HELD => What::Held {
            hold: hold()?,
            amount: take_usd(&mut rest)?,
        },
        EXTENDED => What::Extended {
            hold: hold()?,
            amount: take_usd(&mut rest)?,
        },
        SETTLED => What::Settled {
            hold: hold()?,
            held: take_usd(&mut rest)?,
            charged: take_usd(&mut rest)?,
            overrun: take_usd(&mut rest)?,
        },
        RELEASED => What::Released {
            hold: hold()?,
            held: take_usd(&mut rest)?,
        },
        VOIDED => What::Voided {
            hold: hold()?,
            held: take_usd(&mut rest)?,
        },
        _ => return None,
    };
    let entry = Entry::new(number, account, at, what);
    (rest.is_empty()).then_some((entry, content, hash.try_into().ok()?))
}

/// The hash of an entry with these bytes.
pub(super) fn follow(before: &Hash, content: &[u8]) -> Hash {
    Sha256::new()
        .chain_update(before)
        .chain_update(content)
        .finalize()
        .into()
}

/// A statement in 65 bytes: whether it is limited, granted, held, spent, overrun.
pub(super) fn write_statement(statement: &Statement) -> [u8; 65] {
    let mut out = [0; 65];
    out[0] = statement.granted.is_some().into();
    let amounts = [
        statement.granted.unwrap_or_default(),
        statement.held,
        statement.spent,
        statement.overrun,
    ];
    for (place, amount) in out[1..].chunks_exact_mut(16).zip(amounts) {
        place.copy_from_slice(&amount.pico().to_le_bytes());
    }
    out
}

/// A statement out of its bytes.
pub(super) fn read_statement(mut bytes: &[u8]) -> Option<Statement> {
    let limited = take::<1>(&mut bytes)?[0] != 0;
    let granted = take_usd(&mut bytes)?;
    Some(Statement {
        granted: limited.then_some(granted),
        held: take_usd(&mut bytes)?,
        spent: take_usd(&mut bytes)?,
        overrun: take_usd(&mut bytes)?,
    })
}

/// An open hold: its amount and whose it is.
pub(super) fn write_hold(account: &str, amount: Amount) -> Vec<u8> {
    let mut out = amount.pico().to_le_bytes().to_vec();
    out.extend_from_slice(account.as_bytes());
    out
}

/// An open hold out of its bytes.
pub(super) fn read_hold(mut bytes: &[u8]) -> Option<(&str, Amount)> {
    let amount = take_usd(&mut bytes)?;
    Some((std::str::from_utf8(bytes).ok()?, amount))
}

/// A number and a hash: where the chain stands.
pub(super) fn write_mark(number: u64, hash: &Hash) -> [u8; 40] {
    let mut out = [0; 40];
    out[..8].copy_from_slice(&number.to_le_bytes());
    out[8..].copy_from_slice(hash);
    out
}

/// Where the chain stands, out of its bytes.
pub(super) fn read_mark(mut bytes: &[u8]) -> Option<(u64, Hash)> {
    Some((u64::from_le_bytes(take(&mut bytes)?), take(&mut bytes)?))
}

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn text(out: &mut Vec<u8>, text: &str) {
    // Longer texts are refused before they come here.
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&text.as_bytes()[..length.into()]);
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

fn take_usd(bytes: &mut &[u8]) -> Option<Amount> {
    Some(Amount::from_pico(i128::from_le_bytes(take(bytes)?)))
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = u16::from_le_bytes(take(bytes)?);
    let (text, rest) = bytes.split_at_checked(length.into())?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<What> {
        let (hold, amount) = (HoldId::new(1 << 70), Amount::from_pico(-7));
        vec![
            What::Granted {
                amount,
                used: Amount::from_pico(5),
                reference: "invoice 7".into(),
            },
            What::Held { hold, amount },
            What::Extended { hold, amount },
            What::Settled {
                hold,
                held: amount,
                charged: Amount::from_pico(i128::MAX),
                overrun: Amount::from_pico(i128::MIN),
            },
            What::Released { hold, held: amount },
            What::Voided { hold, held: amount },
        ]
    }

    #[test]
    fn entries_come_back_and_follow_one_another() {
        let at = UNIX_EPOCH + Duration::from_millis(1_800_000_000_123);
        let mut before = FIRST;
        for (number, what) in (1..).zip(all()) {
            let mut bytes = Vec::new();
            let hash = write(&mut bytes, &before, "müşteri", at, &what);
            let (entry, content, kept) = read(number, &bytes).expect("an entry");
            assert_eq!(
                (&*entry.account, entry.at, &entry.what),
                ("müşteri", at, &what)
            );
            assert_eq!((kept, follow(&before, content)), (hash, hash));
            for cut in 0..bytes.len() {
                assert!(
                    read(number, &bytes[..cut])
                        .is_none_or(|(_, content, kept)| follow(&before, content) != kept),
                    "cut to {cut}"
                );
                let mut other = bytes.clone();
                other[cut] ^= 1;
                assert!(
                    read(number, &other)
                        .is_none_or(|(_, content, kept)| follow(&before, content) != kept),
                    "changed at {cut}"
                );
            }
            before = hash;
        }
    }

    #[test]
    fn statements_holds_and_marks_come_back() {
        let statement = Statement {
            granted: Some(Amount::from_pico(10)),
            held: Amount::from_pico(1),
            spent: Amount::from_pico(2),
            overrun: Amount::from_pico(3),
        };
        for statement in [statement, Statement::default()] {
            assert_eq!(
                read_statement(&write_statement(&statement)),
                Some(statement)
            );
        }
        let hold = write_hold("a", Amount::from_pico(9));
        assert_eq!(read_hold(&hold), Some(("a", Amount::from_pico(9))));
        assert_eq!(read_mark(&write_mark(5, &[7; 32])), Some((5, [7; 32])));
        assert_eq!(read_statement(&[1, 2]), None);
        assert_eq!(read_hold(&[1]), None);
    }
}
