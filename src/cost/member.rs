//! Where the cost goes in JSON: pure functions over the bytes of an answer or of events.

use std::ops::Range;

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
    let within = match place {
        CostMember::Absent => return None,
        CostMember::TopLevel => object(answer)?,
        CostMember::InUsage => usage(answer)?,
    };
    Some(insert(answer, within, place, cost))
}

/// Where an answer's object stands, without the brace that ends it. What is no object has none.
fn object(answer: &[u8]) -> Option<Range<usize>> {
    let start = answer.len() - answer.trim_ascii_start().len();
    let end = answer.trim_ascii_end().len().checked_sub(1)?;
    (start < end && answer[start] == b'{' && answer[end] == b'}').then_some(start..end)
}

/// Where the usage stands, without the brace that ends it.
fn usage(answer: &[u8]) -> Option<Range<usize>> {
    let mut cursor = Cursor::new(std::str::from_utf8(answer).ok()?);
    cursor.object().ok()?;
    while let Some(key) = cursor.key().ok()? {
        let is_object = cursor.peek().ok()? == Type::Object;
        let value = cursor.skip().ok()?;
        if is_object && *key.cow() == *"usage" {
            return Some(value.start..value.end - 1);
        }
    }
    None
}

/// Where an upstream's own members of this name stand in an object, each with one of the commas around it.
fn older(object: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    if may_name_it(object) && find_older(object, &mut found).is_none() {
        found.clear();
    }
    found
}

/// Whether a text has what the name of the member takes, in whatever spelling.
fn may_name_it(text: &[u8]) -> bool {
    memmem::find(text, b"\"cost\"").is_some() || memmem::find(text, b"\\u00").is_some()
}

/// Those of a text that may name it; `None` for what is no object.
fn find_older(object: &[u8], found: &mut Vec<Range<usize>>) -> Option<()> {
    let mut cursor = Cursor::new(std::str::from_utf8(object).ok()?);
    cursor.object().ok()?;
    let (mut last, mut kept, mut cut) = (cursor.at(), false, None);
    while let Some(key) = cursor.key().ok()? {
        let at = key.start() - 1;
        // At the beginning the comma behind goes.
        found.extend(cut.take().map(|from| from..at));
        let end = cursor.skip().ok()?.end;
        match *key.cow() == *"cost" {
            true if kept => found.push(last..end),
            true if found.is_empty() => cut = Some(last),
            true => cut = Some(at),
            false => kept = true,
        }
        last = end;
    }
    found.extend(cut.map(|from| from..last));
    Some(())
}

/// Events without an upstream's own members of this name at their top level; `None` when none has one.
pub(super) fn without(events: &[u8]) -> Option<Vec<u8>> {
    if !may_name_it(events) {
        return None;
    }
    let (mut out, mut done, mut at) = (Vec::new(), 0, 0);
    for line in events.split_inclusive(|byte| *byte == b'\n') {
        for own in own(line) {
            out.extend_from_slice(&events[done..at + own.start]);
            done = at + own.end;
        }
        at += line.len();
    }
    (done > 0).then(|| {
        out.extend_from_slice(&events[done..]);
        out
    })
}

/// Where the members stand in the object of an event's line.
fn own(line: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let data = line.strip_prefix(b"data:").unwrap_or_default();
    let Range { start, end } = object(data).unwrap_or_default();
    let older = data.get(start..=end).map(older).unwrap_or_default();
    let behind = line.len() - data.len() + start;
    let older = older.into_iter();
    older.map(move |own| behind + own.start..behind + own.end)
}

/// Puts the cost at the end of an object, of which the closing brace is not part.
fn insert(text: &[u8], within: Range<usize>, place: CostMember, cost: Sum) -> Vec<u8> {
    let Range { start, end } = within;
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
    let mut done = 0;
    for own in older(&text[start..=end]) {
        out.extend_from_slice(&text[done..start + own.start]);
        done = start + own.end;
    }
    out.extend_from_slice(&text[done..end]);
    let empty = out.trim_ascii_end().ends_with(b"{");
    if !empty {
        out.push(b',');
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&text[end..]);
    out
}

/// Where the object of the last event stands that carries the cost, without the brace that ends it.
pub(super) fn carrier(events: &[u8], carrier: Carrier) -> Option<Range<usize>> {
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
    let end = memchr::memrchr(b'}', &events[..end])?;
    let start = memmem::rfind(&events[..at], b"data:")?;
    // What is no JSON may have its braces anywhere.
    let within = events.get(start..end)?;
    Some(start + memchr::memchr(b'{', within)?..end)
}

/// Whole events with the cost in the one that carries it.
pub(super) fn events(
    events: &[u8],
    which: Carrier,
    place: CostMember,
    cost: Sum,
) -> Option<Vec<u8>> {
    let mut within = carrier(events, which)?;
    if place == CostMember::InUsage {
        let found = usage(&events[within.start..=within.end])?;
        within = within.start + found.start..within.start + found.end;
    }
    Some(insert(events, within, place, cost))
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
        for nonsense in ["", " ", "{", "}", "} x {", "[{}]", "null", "x{}", "{}x"] {
            assert_eq!(whole(nonsense.as_bytes(), CostMember::TopLevel, COST), None);
        }
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
    fn an_upstreams_own_cost_is_replaced() {
        for (answer, top, in_usage) in [
            (
                r#"{"cost":{"amount":9},"usage":{"t":1}}"#,
                r#"{"usage":{"t":1},"cost":{"amount":0.000061,"currency":"USD"}}"#,
                r#"{"cost":{"amount":9},"usage":{"t":1,"cost":0.000061}}"#,
            ),
            (
                r#"{"a":"\"cost\"", "cost" : 1 , "usage":{ "cost" : 9 }}"#,
                r#"{"a":"\"cost\"" , "usage":{ "cost" : 9 },"cost":{"amount":0.000061,"currency":"USD"}}"#,
                r#"{"a":"\"cost\"", "cost" : 1 , "usage":{ "cost":0.000061}}"#,
            ),
            (
                r#"{"usage":{"t":1,"cost":9,"u":2},"cost":1}"#,
                r#"{"usage":{"t":1,"cost":9,"u":2},"cost":{"amount":0.000061,"currency":"USD"}}"#,
                r#"{"usage":{"t":1,"u":2,"cost":0.000061},"cost":1}"#,
            ),
        ] {
            for (place, expected) in [(CostMember::TopLevel, top), (CostMember::InUsage, in_usage)]
            {
                let out = whole(answer.as_bytes(), place, COST).expect("a place");
                assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
                let event = format!("data: {{}}\n\ndata: {answer}\n\ndata: [DONE]\n\n");
                let out = events(event.as_bytes(), Carrier::Usage, place, COST).expect("found");
                let event = event.replace(answer, expected);
                assert_eq!(String::from_utf8(out).expect("UTF-8"), event);
            }
        }
    }

    #[test]
    fn however_it_is_spelled() {
        let cost = r#""cost":{"amount":0.000061,"currency":"USD"}}"#;
        for (answer, kept) in [
            (r#"{"a":1 ,"cost":2,"b":3}"#, r#"{"a":1,"b":3"#),
            (r#"{"a":1 , "cost":2 }"#, r#"{"a":1 "#),
            (r#"{"cost":2 ,"b":3}"#, r#"{"b":3"#),
            (r#"{"cost":1,"cost":2 , "b":3,"cost":4}"#, r#"{"b":3"#),
            (r#"{"a":1,"cost":1,"cost":2,"b":3}"#, r#"{"a":1,"b":3"#),
            (r#"{"a":1,"c\u006fst":2}"#, r#"{"a":1"#),
            (r#"{"cost":1,"cost":2}"#, "{"),
            (
                r#"{"a":"\u00e9","b":{"cost":1}}"#,
                r#"{"a":"\u00e9","b":{"cost":1}"#,
            ),
        ] {
            let out = whole(answer.as_bytes(), CostMember::TopLevel, COST).expect("a place");
            let comma = if kept == "{" { "" } else { "," };
            let told = String::from_utf8(out).expect("UTF-8");
            assert_eq!(told, format!("{kept}{comma}{cost}"), "{answer}");
            let events = |answer: &str| format!("data: {{}}\n\ndata: {answer}\n\n: \"cost\"\n\n");
            let out = without(events(answer).as_bytes());
            let out = out.map(|out| String::from_utf8(out).expect("UTF-8"));
            let kept = format!("{kept}}}");
            let wanted = (kept != answer).then(|| events(&kept));
            assert_eq!(out, wanted, "{answer}");
        }
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
        let text = b"data: }\n\ndata: \"usage\":{\n\n";
        assert_eq!(carrier(text, Carrier::Usage), None, "no JSON");
        let text = b"data: {\"usage\":null}\n\ndata: {\"usage\":{\"t\":1}}\n\n";
        let out = events(text, Carrier::Usage, CostMember::InUsage, COST).expect("found");
        assert!(out.ends_with(b"{\"usage\":{\"t\":1,\"cost\":0.000061}}\n\n"));
    }
}
