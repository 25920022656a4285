//! A choice among tools, and many of them.

use super::*;

fn request(tools: usize, choice: &str) -> String {
    let tool = |nth: usize| format!(r#"{{"type":"function","function":{{"name":"f{nth}"}}}}"#);
    let tools: Vec<_> = (0..tools).map(tool).collect();
    let tools = tools.join(",");
    format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"tool_choice":{choice},"tools":[{tools}]}}"#
    )
}

#[test]
fn the_last_of_many_is_known_and_of_too_many_none_is_judged() {
    let named = |name: &str| format!(r#"{{"type":"function","function":{{"name":"{name}"}}}}"#);
    for (tools, last) in [(1, "f0"), (17, "f16"), (1023, "f1022")] {
        assert!(faults(&request(tools, &named(last))).is_empty(), "{last}");
        assert_eq!(faults(&request(tools, &named("g"))).len(), 1, "{tools}");
    }
    assert!(faults(&request(1024, &named("g"))).is_empty());
}

#[test]
fn allowed_tools_are_judged_up_to_as_many_as_there_may_be() {
    let allowed = |before: usize| {
        let known = r#"{"type":"function","function":{"name":"f0"}},"#.repeat(before);
        let tools = format!(r#"[{{}},{known}{{}},{{"name":"g"}}]"#);
        let allowed = format!(r#"{{"mode":"auto","tools":{tools}}}"#);
        format!(r#"{{"type":"allowed_tools","allowed_tools":{allowed}}}"#)
    };
    for (before, mistakes) in [(0, 1), (127, 1), (128, 0)] {
        let found = faults(&request(1, &allowed(before)));
        assert_eq!(found.len(), mistakes, "{before}: {found:?}");
    }
}
