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
