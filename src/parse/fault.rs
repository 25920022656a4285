use crate::{
    error::{Error, Kind},
    wire::{
        json::FaultKind,
        request::{self, Bounds, Fault, Unreadable, path_at, shown},
    },
};

/// The refusal of a text that cannot be read as a request within some bounds.
pub(super) fn unreadable(text: &[u8], why: Unreadable, bounds: &Bounds) -> Error {
    let error = |message: String, code| Error::new(Kind::Format, message).with_code(code);
    match why {
        Unreadable::Json(fault) if fault.kind == FaultKind::TooDeep => error(
            format!(
                "The request is nested deeper than 128 levels, at byte {}.",
                fault.at
            ),
            "json_too_deep",
        ),
        Unreadable::Json(fault) if fault.kind == FaultKind::TooMany => error(
            format!(
                "The request holds too many values, from byte {} on.",
                fault.at
            ),
            "invalid_value",
        ),
        Unreadable::Json(fault) if fault.kind == FaultKind::TooManyEscapes => error(
            format!(
                "The request spells too much of its keys, ids and names by escapes, from byte {} on.",
                fault.at
            ),
            "invalid_value",
        ),
        Unreadable::Json(fault) if fault.kind == FaultKind::TooManyHuge => error(
            format!(
                "The request must hold at most {} numbers with an exponent of three digits or more or with 309 digits, got {} as another at byte {}.",
                bounds.huge,
                shown(text, fault.at),
                fault.at
            ),
            "invalid_value",
        ),
        Unreadable::Json(_) if text.starts_with(b"\xEF\xBB\xBF") => error(
            "The request is not valid JSON: it begins with a byte order mark.".to_owned(),
            "invalid_json",
        ),
        Unreadable::Json(fault) => error(
            format!("The request is not valid JSON: {fault}."),
            "invalid_json",
        ),
        Unreadable::Encoding(at) => error(
            format!("The request is not valid UTF-8 at byte {at}."),
            "invalid_json",
        ),
        Unreadable::NotAnObject => error(
            "The request must be a JSON object.".to_owned(),
            "invalid_type",
        ),
        Unreadable::Duplicate(at) => {
            let path = path_at(text, at);
            error(
                format!("`{path}` stands twice in its object."),
                "duplicate_key",
            )
            .with_param(path)
        }
        Unreadable::TooManyFaults(first) => refused(&first, text),
        other => error(
            format!("The request cannot be read: {other}."),
            "invalid_value",
        ),
    }
}

/// The refusal of one fault.
pub(crate) fn refused(fault: &Fault, text: &[u8]) -> Error {
    let (kind, code) = match fault.kind {
        request::FaultKind::Missing(_) => (Kind::Format, "missing_required_parameter"),
        request::FaultKind::Type(_) => (Kind::Format, "invalid_type"),
        _ => (Kind::Value, "invalid_value"),
    };
    let path = fault.path(text);
    let error = Error::new(kind, fault.message_at(&path, text)).with_code(code);
    if path.is_empty() {
        error
    } else {
        error.with_param(path)
    }
}
