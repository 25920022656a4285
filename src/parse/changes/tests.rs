//! Whatever is changed, what is sent says what the same changes make of the values.

use std::ops::Range;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::parse::Chat;

/// A value in a text, with its places there.
struct Node {
    /// Where what it stands in begins, and what can be cut: its key's quote, or itself.
    within: usize,
    at: usize,
    value: Range<usize>,
    inside: Inside,
}

enum Inside {
    Plain(Value),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// Writes values with some white space and notes where all of them stand.
struct Writer {
    text: String,
    spaces: Vec<u8>,
    next: usize,
}

impl Writer {
    fn space(&mut self) {
        self.next += 1;
        let many = self.spaces[self.next % self.spaces.len()];
        self.text.push_str(&" \n\t"[..usize::from(many)]);
    }

    fn put(&mut self, c: char) {
        self.space();
        self.text.push(c);
        self.space();
    }

    fn value(&mut self, within: usize, key: Option<&str>, value: &Value) -> Node {
        let mut at = self.text.len();
        if let Some(key) = key {
            self.text.push_str(&Value::from(key).to_string());
            self.put(':');
        }
        let start = self.text.len();
        if key.is_none() {
            at = start;
        }
        let inside = match value {
            Value::Array(list) => {
                self.text.push('[');
                self.space();
                let each = list.iter().enumerate().map(|(n, value)| {
                    if n > 0 {
                        self.put(',');
                    }
                    self.value(start, None, value)
                });
                let inside = Inside::List(each.collect());
                self.space();
                self.text.push(']');
                inside
            }
            Value::Object(members) => {
                self.text.push('{');
                self.space();
                let each = members.iter().enumerate().map(|(n, (key, value))| {
                    if n > 0 {
                        self.put(',');
                    }
                    (key.clone(), self.value(start, Some(key), value))
                });
                let inside = Inside::Object(each.collect());
                self.space();
                self.text.push('}');
                inside
            }
            plain => {
                self.text.push_str(&plain.to_string());
                Inside::Plain(plain.clone())
            }
        };
        let value = start..self.text.len();
        Node {
            within,
            at,
            value,
            inside,
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    Cut,
    Edit(Value),
}

impl Node {
    fn all<'a>(&'a self, found: &mut Vec<&'a Self>) {
        found.push(self);
        match &self.inside {
            Inside::Plain(_) => {}
            Inside::List(all) => all.iter().for_each(|one| one.all(found)),
            Inside::Object(all) => all.iter().for_each(|(_, one)| one.all(found)),
        }
    }

    /// What is left of it after some changes, each at its own place; `None` when it is left out.
    fn changed(&self, changes: &[(usize, Change)]) -> Option<Value> {
        let own = || {
            let own = changes.iter().filter(|(at, _)| *at == self.value.start);
            own.map(|(_, change)| change)
        };
        if own().any(|change| matches!(change, Change::Cut)) {
            return None;
        }
        if let Some(Change::Edit(value)) = own().next_back() {
            return Some(value.clone());
        }
        Some(match &self.inside {
            Inside::Plain(value) => value.clone(),
            Inside::List(all) => all.iter().filter_map(|one| one.changed(changes)).collect(),
            Inside::Object(all) => {
                let kept = all
                    .iter()
                    .filter_map(|(key, one)| Some((key.clone(), one.changed(changes)?)));
                Value::Object(kept.collect())
            }
        })
    }
}

fn values() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![
        Just(json!(null)),
        Just(json!(7)),
        Just(json!("")),
        Just(json!("a\"]},{\n\u{e9}")),
    ];
    plain.prop_recursive(3, 24, 4, |inner| {
        let key = prop::sample::select(vec!["role", "content", "x", "y\"\u{e9}", ""]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..4).prop_map(|all| {
                let members = all.into_iter().map(|(key, value)| (key.to_owned(), value));
                Value::Object(members.collect())
            }),
        ]
    })
}

const TOP: [&str; 5] = ["model", "messages", "tools", "x", "y\"\u{e9}"];

fn requests() -> impl Strategy<Value = Value> {
    prop::collection::vec((prop::sample::select(&TOP[..]), values()), 0..5).prop_map(|all| {
        let members = all.into_iter().map(|(key, value)| (key.to_owned(), value));
        Value::Object(members.collect())
    })
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, Change)>> {
    let change = prop_oneof![
        Just(Change::Cut),
        values().prop_map(Change::Edit),
        Just(Change::Edit(json!("b"))),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), change), 0..8)
}

proptest! {
    #[test]
    fn what_is_sent_is_what_the_values_say(
        request in requests(),
        spaces in prop::collection::vec(0..3u8, 1..7),
        below in changes(),
        top in prop::collection::vec((prop::sample::select(&TOP[..]), prop::option::of(values())), 0..3),
        asked_between in any::<bool>(),
    ) {
        let mut writer = Writer { text: String::new(), spaces, next: 0 };
        let tree = writer.value(0, None, &request);
        let text = Bytes::from(writer.text);
        let chat = Chat::parse(text.clone());
        let Ok(chat) = chat else {
            panic!("{:?} of {text:?}", chat.err());
        };
        let mut nodes = Vec::new();
        let Inside::Object(members) = &tree.inside else { panic!("an object") };
        for (_, member) in members {
            let mut found = Vec::new();
            member.all(&mut found);
            // The top level has its own way.
            nodes.extend(found.into_iter().skip(1));
        }
        let mut changed = chat.clone();
        let mut done = Vec::new();
        for (which, change) in below {
            if nodes.is_empty() {
                break;
            }
            let node = which.get(&nodes);
            match &change {
                Change::Cut => changed.cut(node.within, node.at),
                Change::Edit(value) => changed.edit(node.value.clone(), value.to_string()),
            }
            done.push((node.value.start, change));
            if asked_between {
                let _ = changed.bytes();
            }
        }
        let mut expected: Map<String, Value> = match tree.changed(&done) {
            Some(Value::Object(members)) => members,
            _ => panic!("an object"),
        };
        let other = changed.clone();
        let before = other.bytes();
        for (name, value) in top {
            match value {
                Some(value) => {
                    changed.set(name, value.to_string());
                    expected.insert(name.to_owned(), value);
                }
                None => {
                    changed.remove(name);
                    expected.remove(name);
                }
            }
        }
        let sent = changed.bytes();
        let sent: Value = serde_json::from_slice(&sent)
            .unwrap_or_else(|error| panic!("{error}: {sent:?} of {text:?} after {done:?}"));
        prop_assert_eq!(&sent, &Value::Object(expected.clone()), "{:?}", text);
        for name in TOP {
            let member = changed.member(name).map(|json| serde_json::from_str(json).expect("JSON"));
            let wanted: Option<Value> = expected.get(name).cloned();
            prop_assert_eq!(member, wanted);
        }
        // What others have is theirs.
        prop_assert_eq!(other.bytes(), before);
        prop_assert_eq!(chat.bytes(), text);
    }
}

fn chat(text: &'static str) -> Chat {
    Chat::parse(Bytes::from_static(text.as_bytes())).expect("readable")
}

#[test]
fn a_member_says_what_was_changed_below_it() {
    let mut chat = chat(r#"{"model":"m","messages":[{"a":1,"role":"user"}],"n":2}"#);
    let unknown = chat.request().unknown().next().expect("one");
    chat.remove_unknown(unknown);
    assert_eq!(chat.member("messages"), Some(r#"[{"role":"user"}]"#));
    assert_eq!(chat.member("n"), Some("2"));
    // What is read and set again brings nothing back.
    let messages = chat.member("messages").expect("there").to_owned();
    chat.set("messages", messages);
    chat.set("model", "\"o\"");
    let sent = r#"{"model":"o","messages":[{"role":"user"}],"n":2}"#;
    assert_eq!(chat.bytes(), sent);
}

#[test]
fn what_was_set_whole_is_changed_by_itself() {
    let mut chat = chat(r#"{"model":"m","messages":["a"]}"#);
    let edit = |chat: &mut Chat| {
        let Some(place) = chat.place("messages") else {
            return Err("no place");
        };
        chat.edit(place.start + 1..place.end - 1, "\"c\"");
        Ok(())
    };
    chat.below("messages", edit).expect("a place");
    assert_eq!(chat.bytes(), r#"{"model":"m","messages":["c"]}"#);
    chat.set("messages", r#"["b"]"#);
    chat.below("messages", edit).expect("a place");
    assert_eq!(chat.bytes(), r#"{"model":"m","messages":["c"]}"#);
    chat.remove("messages");
    chat.below("messages", edit).expect("nothing to change");
    assert_eq!(chat.bytes(), r#"{"model":"m"}"#);
    assert_eq!(chat.below("x", edit), Err("no place"));
}

#[test]
fn bytes_with_edits_are_known_again() {
    let mut changed = chat(r#"{"model":"m","messages":["a"]}"#);
    let place = changed.place("messages").expect("there");
    changed.edit(place.start + 1..place.end - 1, "\"b\"");
    let bytes = changed.bytes();
    assert!(changed.is_of(&bytes));
    assert_eq!(changed.bytes().as_ptr(), bytes.as_ptr());
    changed.edit(place, "[]");
    assert!(!changed.is_of(&bytes));
    assert_eq!(changed.bytes(), r#"{"model":"m","messages":[]}"#);
}
