//! Fixtures as patches of one another.

use serde_json::{Map, Value};

/// RFC 7396.
pub(crate) fn patch(target: &mut Value, by: &Value) {
    let Value::Object(members) = by else {
        target.clone_from(by);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (name, value) in members {
        if value.is_null() {
            target.as_object_mut().expect("it is one").remove(name);
        } else {
            patch(&mut target[name], value);
        }
    }
}
