use super::*;

fn faults(text: &str) -> Vec<String> {
    let request = Request::read(text.as_bytes()).expect(text);
    let faults = request.faults().iter();
    faults.map(|fault| fault.message(text.as_bytes())).collect()
}

#[test]
fn a_good_request_has_no_faults() {
    let none: [&str; 0] = [];
    assert_eq!(
        faults(r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#),
        none
    );
}

#[test]
fn missing_members_are_named() {
    assert_eq!(
        faults("{}"),
        ["`model` is required", "`messages` is required"]
    );
    assert_eq!(
        faults(r#"{"model":"m","messages":[{"content":"hi"}]}"#),
        ["`messages[0].role` is required"]
    );
}

#[test]
fn a_tool_message_answers_a_call_of_the_last_message_that_made_any() {
    let calls = |ids: &[String]| {
        let one = |id: &String| {
            format!(r#"{{"id":"{id}","type":"function","function":{{"name":"f","arguments":""}}}}"#)
        };
        let all: Vec<String> = ids.iter().map(one).collect();
        let all = all.join(",");
        format!(r#"{{"role":"assistant","tool_calls":[{all}]}}"#)
    };
    let answer = |id: &str| format!(r#"{{"role":"tool","tool_call_id":"{id}","content":"x"}}"#);
    let request = |messages: &[String]| {
        let messages = messages.join(",");
        faults(&format!(r#"{{"model":"m","messages":[{messages}]}}"#)).len()
    };
    let ids: Vec<String> = (0..900).map(|id| format!("c{id}")).collect();
    let one = ["a".to_owned()];
    let many: Vec<String> = (0..3000).map(|id| format!("c{id}")).collect();
    assert_eq!(request(&[calls(&ids), answer("c899"), answer("c0")]), 0);
    assert_eq!(request(&[calls(&ids), answer("c900")]), 1);
    assert_eq!(request(&[answer("a")]), 1);
    assert_eq!(request(&[calls(&ids), calls(&one), answer("a")]), 0);
    assert_eq!(request(&[calls(&ids), calls(&one), answer("c1")]), 1);
    // Of very many calls none is refused, and those of the next message are known again.
    assert_eq!(request(&[calls(&many), answer("c2999")]), 0);
    assert_eq!(request(&[calls(&many), calls(&one), answer("a")]), 0);
    assert_eq!(request(&[calls(&many), calls(&one), answer("b")]), 1);
}
