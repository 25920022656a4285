//! How many faults are borne, and where reading ends.

use super::*;

const MESSAGE: &str = r#"{"role":"user","content":"x"}"#;

/// The fault that ended reading, and what was found where none did.
fn ended(text: &str) -> Result<usize, Fault> {
    match Request::read(text.as_bytes()) {
        Ok(request) => Ok(request.fault_count()),
        Err(Unreadable::TooManyFaults(first)) => Err(first),
        Err(why) => panic!("{why}: {text}"),
    }
}

fn whole(text: &str) -> Request {
    Request::read_within(text.as_bytes(), Bounds::default().faults(usize::MAX)).expect(text)
}

/// Wrong members and elements wherever there may be many: what stands before, the one that is repeated,
/// and what stands behind; with how many faults each has.
const PLACES: &[(&str, &str, &str, usize)] = &[
    (r#"{"model":"m","messages":["#, "0", "]}", 1),
    (r#"{"model":"m","messages":["#, "{}", "]}", 1),
    (r#"{"model":"m","messages":["#, r#"{"":0}"#, "]}", 1),
    (
        r#"{"model":"m","messages":["#,
        r#"{"role":"x","content":0}"#,
        "]}",
        2,
    ),
    (
        r#"{"model":"m","messages":["#,
        r#"{"role":"tool","content":null}"#,
        "]}",
        2,
    ),
    (
        r#"{"model":"m","messages":["#,
        r#"{"role":"assistant","content":[{"type":"refusal","refusal":""},{"type":"file","file":{}}]}"#,
        "]}",
        2,
    ),
    (
        r#"{"model":"m","messages":[{"role":"user","content":["#,
        r#"{"file":0,"refusal":0}"#,
        "]}]}",
        1,
    ),
    (
        r#"{"model":"m","messages":[{"role":"user","content":["#,
        r#"{"file":{"file_id":0,"filename":0},"type":"file"}"#,
        "]}]}",
        2,
    ),
    (
        r#"{"model":"m","messages":[{"role":"assistant","tool_calls":["#,
        "{}",
        "]}]}",
        2,
    ),
    (
        r#"{"model":"m","messages":[{"role":"user","content":"x"}],"tools":["#,
        r#"{"type":"function","function":{"name":"","strict":0}}"#,
        "]}",
        2,
    ),
    (
        r#"{"model":"m","messages":[{"role":"user","content":"x"}],"modalities":["#,
        "\"smell\"",
        "]}",
        1,
    ),
];

#[test]
fn as_many_faults_as_are_borne_are_counted_and_one_more_ends_reading() {
    for (open, one, close, faults) in PLACES {
        let text = |count: usize, last: &str| {
            let mut all = vec![*one; count];
            all.extend((!last.is_empty()).then_some(last));
            format!("{open}{}{close}", all.join(","))
        };
        let at_most = MAX_COUNTED / faults;
        let full = text(at_most, "");
        assert_eq!(ended(&full), Ok(MAX_COUNTED), "{full}");
        assert_eq!(whole(&full).fault_count(), MAX_COUNTED);
        let more = text(at_most + 1, "");
        assert_eq!(whole(&more).fault_count(), MAX_COUNTED + faults);
        let first = *whole(&more)
            .faults()
            .iter()
            .find(|fault| fault.is_of_shape())
            .unwrap_or(&whole(&more).faults()[0]);
        assert_eq!(ended(&more), Err(first), "{more}");
        // What follows is not read, be it no JSON.
        let broken = text(at_most + 1, "@");
        assert_eq!(ended(&broken), Err(first), "{broken}");
        let broken = text(at_most, "@");
        let found = Request::read(broken.as_bytes());
        assert!(matches!(found, Err(Unreadable::Json(_))), "{broken}");
    }
}

#[test]
fn as_many_are_borne_as_the_caller_says() {
    let text = r#"{"model":"m","messages":[0,0,0]}"#.as_bytes();
    for most in 0..5 {
        let read = Request::read_within(text, Bounds::default().faults(most));
        assert_eq!(read.is_ok(), most >= 3, "{most}");
    }
    // What concerns the request as a whole comes last and counts too.
    for text in [
        r#"{"messages":[{"role":"user","content":"x"}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"x"}],"tool_choice":"auto"}"#,
    ] {
        let read = |most| Request::read_within(text.as_bytes(), Bounds::default().faults(most));
        assert!(read(1).is_ok() && read(0).is_err(), "{text}");
    }
}

#[test]
fn a_fault_of_shape_is_told_first_unless_it_stands_behind_the_place_where_reading_ends() {
    let value = r#"{"role":"x","content":"y"}"#;
    let text = |before: usize, behind: usize| {
        let all = [&vec![value; before][..], &["0"], &vec![value; behind]].concat();
        format!(r#"{{"model":"m","messages":[{}]}}"#, all.join(","))
    };
    for before in [0, 31, 32, 33, 200, 255, 256] {
        let text = text(before, 300);
        let first = ended(&text).expect_err("too many");
        assert!(first.is_of_shape(), "{before}");
        assert_eq!(first.path(text.as_bytes()), format!("messages[{before}]"));
    }
    let text = text(257, 0);
    let first = ended(&text).expect_err("too many");
    assert_eq!(first.path(text.as_bytes()), "messages[0].role");
}

/// A choice of a tool, and one that names very many wrong ones, in both orders.
fn choices(kind: &str, count: usize) -> [String; 2] {
    let wrong = vec!["0"; count].join(",");
    let (kind, allowed) = (
        format!(r#""type":"{kind}","function":{{"name":"f"}}"#),
        format!(r#""allowed_tools":{{"mode":"auto","tools":[{wrong}]}}"#),
    );
    [format!("{kind},{allowed}"), format!("{allowed},{kind}")].map(|choice| {
        format!(
            r#"{{"model":"m","messages":[{MESSAGE}],"tools":[{{"type":"function","function":{{"name":"f"}}}}],"tool_choice":{{{choice}}}}}"#
        )
    })
}

#[test]
fn what_does_not_count_ends_nothing_however_much_is_wrong_with_it() {
    for text in choices("function", 1000) {
        assert_eq!(ended(&text), Ok(0), "{text}");
        let broken = text.replace("0]", "0 0]");
        let found = Request::read(broken.as_bytes());
        assert!(matches!(found, Err(Unreadable::Json(_))), "{broken}");
    }
    for text in choices("allowed_tools", MAX_COUNTED) {
        assert_eq!(ended(&text), Ok(MAX_COUNTED), "{text}");
    }
    for text in choices("allowed_tools", MAX_COUNTED + 1) {
        let first = ended(&text).expect_err("too many");
        let path = first.path(text.as_bytes());
        assert_eq!(path, "tool_choice.allowed_tools.tools[0]");
    }
    // Without a type none is known to count.
    let untold = choices("", 1000).map(|text| text.replace(r#""type":"","#, ""));
    for text in untold {
        assert_eq!(ended(&text), Ok(1), "{text}");
    }
}

#[test]
fn what_came_before_its_type_ends_reading_once_it_is_known_to_count() {
    let part = r#"{"image_url":{"url":0,"detail":0},"type":"image_url"}"#;
    let text = |count: usize, last: &str| {
        let parts = [&vec![part; count][..], &[last]].concat().join(",");
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{parts}]}}]}}"#)
    };
    let good = r#"{"type":"text","text":""}"#;
    assert_eq!(ended(&text(MAX_COUNTED / 2, good)), Ok(MAX_COUNTED));
    // Nothing of the last is a fault where it is of another type.
    let other = r#"{"image_url":{"url":0,"detail":0},"type":"text","text":""}"#;
    assert_eq!(ended(&text(MAX_COUNTED / 2, other)), Ok(MAX_COUNTED));
    let more = text(MAX_COUNTED / 2, part);
    let first = ended(&more).expect_err("too many");
    assert_eq!(
        first.path(more.as_bytes()),
        "messages[0].content[0].image_url.url"
    );
}
