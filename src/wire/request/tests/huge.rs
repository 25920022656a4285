//! How many numbers may have an exponent of three digits.

use super::*;
use crate::wire::json;

/// Such as count, and such as do not, though some of them are as large.
const HUGE: &[&str] = &[
    "1e100",
    "1E300",
    "-1e+308",
    "17e307",
    "0.1e309",
    "0e999",
    "0.00e0400",
    "-0E+123",
    "1e005",
    "1.7976931348623157e308",
    "17976931e301",
];
const OTHERS: &[&str] = &[
    "0",
    "-0.0",
    "1e6",
    "1E+30",
    "3.4028234663852886e+38",
    "1e99",
    "-2.5e-05",
    "1e-300",
    "0e-999",
    "1.7976931348623157",
    "1732695840123",
    "9223372036854775807",
    "100000000000000000000000000000000000000000000000000000000",
    "[]",
    "{\"e300\":\"1e300\"}",
    "\"\\n1e300\"",
    "null",
];

/// Where values stand, `@` for each: read, passed one by one, and passed together.
const PLACES: &[&str] = &[
    r#"{"model":"m","messages":[USER],"x":@}"#,
    r#"{"model":"m","messages":[USER],"x":[@,@,@,@],"y":{"a":@,"b":{"c":@}}}"#,
    r#"{"model":"m","messages":[USER],"x":[@@30]}"#,
    r#"{"model":"m","messages":[USER],"x":{"a":[@@10],"b":[@@20],"c":[@@30]}}"#,
    r#"{"model":"m","messages":[USER],"temperature":@,"top_p": @,"n":@,"seed":@,"max_tokens":@,"top_logprobs": @}"#,
    r#"{"model":@,"messages":[{"role":@,"content":@,"x":@,"y":[@@20]}]}"#,
    r#"{"model":"m","messages":[{"role":"user","content":[{"text":@,"image_url":@,"x":@,"type":"text"}]}]}"#,
    r#"{"model":"m","messages":[USER],"logit_bias":{"1":@,"2":@, "3" : @ ,"4":@},"metadata":{"a":@,"b":@}}"#,
    r#"{"model":"m","messages":[USER],"tools":[{"type":"function","function":{"name":"f","parameters":{"maximum":@,"x":[@@20]}}},@,@,{"x":@}]}"#,
    r#"{"model":"m","messages":[USER,{"role":"user","content":"x","a":@,"b":@,"c":@,"d":@,"e":@,"f":@,"g":@,"h":@,"i":@,"j":@,"k":@,"l":@}]}"#,
    r#"{"model":"m","messages":[USER],"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"a":@},{"a":@},{"a":@,"b":@},{"a":@},{"a":@},{"a":@},{"a":@},{"a":@},{"a":@},{"a":@},{"a":@},{"a":@},{"a":@},{"name":@}]}}}"#,
];

/// The same with hundreds of digits.
fn long() -> (Vec<String>, Vec<String>) {
    let zeros = |many| "0".repeat(many);
    let huge = vec![
        format!("17976931348623157{}", zeros(292)),
        format!("1{}.5", zeros(308)),
        format!("-1{}e99", zeros(209)),
        format!("1{}e-50", zeros(358)),
    ];
    let others = vec![
        format!("9{}", zeros(307)),
        format!("0.{}1", zeros(400)),
        format!("1{}e99", zeros(208)),
    ];
    let with =
        |short: &[&str], long| [short.iter().map(|&text| text.to_owned()).collect(), long].concat();
    (with(HUGE, huge), with(OTHERS, others))
}

/// A text, and where the numbers stand in it that count.
fn text(place: &str, shift: usize, mut next: impl FnMut(usize) -> usize) -> (String, Vec<usize>) {
    let mut place = place.replace("USER", r#"{"role":"user","content":"x"}"#);
    for many in [10, 20, 30] {
        let list = vec!["@"; many].join(",");
        place = place.replace(&format!("@@{many}"), &list);
    }
    let mut pieces = place.split('@');
    // What windows begin with depends on what stands before.
    let mut text = format!("{{\"pad\":\"{}\",", "x".repeat(shift));
    text += pieces
        .next()
        .and_then(|first| first.strip_prefix('{'))
        .unwrap_or_default();
    let mut places = Vec::new();
    let some = 1 + next(3);
    let (huge, others) = long();
    for piece in pieces {
        text += ["", "", "", " ", "\n  "][next(5)];
        if next(some) == 0 {
            places.push(text.len());
            text += &huge[next(huge.len())];
        } else {
            text += &others[next(others.len())];
        }
        text += piece;
    }
    (text, places)
}

#[test]
fn they_are_counted_wherever_they_stand_and_nothing_else_is() {
    let mut random = 1_u64;
    let mut next = |below: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) as usize % below
    };
    for place in PLACES {
        for shift in (0..70).chain(0..70) {
            let (text, places) = text(place, shift, &mut next);
            let read = |most| {
                let bounds = Bounds::default().faults(usize::MAX).huge(most);
                Request::read_within(text.as_bytes(), bounds).map(|request| request.fault_count())
            };
            let free = read(usize::MAX);
            assert!(free.is_ok(), "{text}");
            assert_eq!(read(places.len()), free, "{text}");
            for most in [0, next(places.len() + 1), places.len().saturating_sub(1)] {
                let Some(at) = places.get(most) else { continue };
                let fault = json::Fault {
                    at: *at,
                    kind: json::FaultKind::TooManyHuge,
                };
                assert_eq!(read(most), Err(Unreadable::Json(fault)), "{text}");
            }
        }
    }
}

#[test]
fn what_no_double_holds_is_told_as_such_whatever_came_before() {
    for spelled in ["1e309", "1.7976931348623159e308", "1e0000999", "-2e308"] {
        let text = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"x":[1e300,{spelled}]}}"#
        );
        let at = text.find(spelled).expect("the number");
        for most in [1, 2] {
            let read = Request::read_within(text.as_bytes(), Bounds::default().huge(most));
            let kind = json::FaultKind::Range;
            let fault = json::Fault { at, kind };
            assert_eq!(read.err(), Some(Unreadable::Json(fault)), "{text}");
        }
    }
}
