//! Where the cost goes in JSON: pure functions over the bytes of an answer or of events.

use memchr::memmem;

use super::{Amount, Currency};
use crate::{
    dialect::CostMember,
    wire::json::{Cursor, Type},
};

/// Which event of a stream carries the cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// The chunk with the usage.
    Usage,
    /// The last chunk with a `finish_reason`.
    Finish,
}

/// A cost as it is written.
#[derive(Clone, Copy)]
pub(super) struct Sum {
    pub(super) amount: Amount,
    pub(super) currency: Currency,
}

/// What stands before the amount and behind it.
fn around(place: CostMember, currency: &Currency) -> (&'static str, [&str; 3]) {
    match place {
        CostMember::TopLevel => (
            r#""cost":{"amount":"#,
            [r#","currency":""#, currency.code(), r#""}"#],
        ),
        CostMember::InUsage => (r#""cost":"#, [""; 3]),
        CostMember::Absent => ("", [""; 3]),
    }
}

/// A whole answer with its cost; `None` when it has no place for it.
pub(super) fn whole(answer: &[u8], place: CostMember, cost: Sum) -> Option<Vec<u8>> {
    let end = match place {
        CostMember::Absent => return None,
        CostMember::TopLevel => memchr::memrchr(b'}', answer)?,
        CostMember::InUsage => usage_end(answer)?,
    };
    Some(insert(answer, end, place, cost))
}

/// The offset of the brace that ends the usage.
fn usage_end(answer: &[u8]) -> Option<usize> {
    let mut cursor = Cursor::new(std::str::from_utf8(answer).ok()?);
    cursor.object().ok()?;
    while let Some(key) = cursor.key().ok()? {
        let is_object = cursor.peek().ok()? == Type::Object;
        let value = cursor.skip().ok()?;
        if is_object && *key.cow() == *"usage" {
            return Some(value.end - 1);
        }
    }
    None
}

fn insert(text: &[u8], end: usize, place: CostMember, cost: Sum) -> Vec<u8> {
    let (before, [a, b, c]) = around(place, &cost.currency);
    let mut room = [0; 48];
    let digits = cost.amount.digits(&mut room);
    let parts = [
        before.as_bytes(),
        digits,
        a.as_bytes(),
        b.as_bytes(),
        c.as_bytes(),
    ];
    let length = text.len() + 1 + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut out = Vec::with_capacity(length);
    out.extend_from_slice(&text[..end]);
    let empty = text[..end].trim_ascii_end().ends_with(b"{");
    if !empty {
        out.push(b',');
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&text[end..]);
    out
}

/// Where the last event stands that carries the cost, in whole events; its data's end.
pub(super) fn carrier(events: &[u8], carrier: Carrier) -> Option<usize> {
    let (key, opens): (&[u8], u8) = match carrier {
        Carrier::Usage => (b"\"usage\"", b'{'),
        Carrier::Finish => (b"\"finish_reason\"", b'"'),
    };
    // Within a JSON string these quotes would be escaped, so only a key can match.
    let mut last = None;
    for at in memmem::find_iter(events, key) {
        let rest = events[at + key.len()..].trim_ascii_start();
        let value = rest.strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        if value.is_some_and(|value| value.first() == Some(&opens)) {
            last = Some(at);
        }
    }
    let at = last?;
    let end = memmem::find(&events[at..], b"\n\n").map_or(events.len(), |end| at + end);
    memchr::memrchr(b'}', &events[..end])
}

/// Whole events with the cost in the one that carries it.
pub(super) fn events(
    events: &[u8],
    which: Carrier,
    place: CostMember,
    cost: Sum,
) -> Option<Vec<u8>> {
    let mut end = carrier(events, which)?;
    if place == CostMember::InUsage {
        let start = memmem::rfind(&events[..end], b"data:")? + 5;
        end = start + usage_end(&events[start..=end])?;
    }
    Some(insert(events, end, place, cost))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Sum = Sum {
        amount: Amount::from_pico(61_000_000),
        currency: Currency::USD,
    };

    #[test]
    fn whole_answers() {
        let answer = br#"{"id":"a","usage":{"x":{}}} "#;
        let with =
            |place| whole(answer, place, COST).map(|out| String::from_utf8(out).expect("UTF-8"));
        assert_eq!(with(CostMember::Absent), None);
        assert_eq!(
            with(CostMember::TopLevel).as_deref(),
            Some(r#"{"id":"a","usage":{"x":{}},"cost":{"amount":0.000061,"currency":"USD"}} "#)
        );
        assert_eq!(
            with(CostMember::InUsage).as_deref(),
            Some(r#"{"id":"a","usage":{"x":{},"cost":0.000061}} "#)
        );
    }

    #[test]
    fn events_of_streams() {
        let text = b"data: {\"choices\":[{\"delta\":{\"content\":\"\\\"finish_reason\\\":\\\"x\\\"\"},\"finish_reason\":null}]}\n\n";
        assert_eq!(carrier(text, Carrier::Finish), None);
        let text = b"data: {\"a\":[{\"finish_reason\" : \"stop\"}]}\n\ndata: [DONE]\n\n";
        let out = events(text, Carrier::Finish, CostMember::TopLevel, COST).expect("found");
        assert_eq!(
            String::from_utf8(out).expect("UTF-8"),
            "data: {\"a\":[{\"finish_reason\" : \"stop\"}],\"cost\":{\"amount\":0.000061,\"currency\":\"USD\"}}\n\ndata: [DONE]\n\n"
        );
        let text = b"data: {\"usage\":null}\n\ndata: {\"usage\":{\"t\":1}}\n\n";
        let out = events(text, Carrier::Usage, CostMember::InUsage, COST).expect("found");
        assert!(out.ends_with(b"{\"usage\":{\"t\":1,\"cost\":0.000061}}\n\n"));
    }
}
