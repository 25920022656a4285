use http::StatusCode;
use serde_json::Value;

use super::class::{classify, is_context_length, numbered};
use crate::error::Class;

/// What a provider says of its refusal, in whichever of the family's shapes.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) message: Option<String>,
    pub(crate) kind: Option<String>,
    pub(super) param: Option<String>,
    pub(crate) code: Option<String>,
    /// A number or a word, within the body.
    status: Option<String>,
    /// There is an `error` of a code and a message, and nothing else: so does Z.ai write them.
    is_bare: bool,
    /// OpenRouter lists what it found in the prompt.
    is_flagged: bool,
}

/// Whose the numbers are that stand for a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    Zai,
    /// Z.ai's, where the whole refusal looks like its own: nobody says who wrote it.
    Unsaid,
    /// Anyone's but Z.ai's. Mistral, too, counts in thousands, and means other things.
    Others,
}

impl Said {
    /// `{"error":{…}}`, `{"error":"…"}`, `{"detail":…}`, a flat object, or an array of one of them.
    pub(crate) fn read(body: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return Self::default();
        };
        let outer = value
            .as_array()
            .and_then(|items| items.first())
            .unwrap_or(&value);
        let error = told(outer, "error");
        let inner = error
            .or_else(|| told(outer, "detail"))
            .or_else(|| {
                // One choice of an answer has failed.
                let choices = outer.get("choices")?.as_array()?;
                choices.iter().find_map(|choice| told(choice, "error"))
            })
            .unwrap_or(outer);
        // Whoever checks requests by a schema lists what is wrong: FastAPI in `detail`, Mistral in
        // `message.detail`.
        let listed = inner.get("message").and_then(|said| said.get("detail"));
        let listed = listed.unwrap_or(inner).as_array();
        let wrong = listed.and_then(|all| all.first());
        // Beside an error that is a mere text or a list, what else there is stands outside.
        let (whole, members) = match (inner, wrong) {
            (Value::String(message), _) => (Some(message.clone()), outer),
            (_, Some(wrong)) => (wrong["msg"].as_str().map(str::to_owned), outer),
            _ => (None, inner),
        };
        let text = |name: &str| match members.get(name)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        Self {
            message: whole.or_else(|| text("message")).or_else(|| text("msg")),
            kind: text("type").or_else(|| text("error_type")),
            param: text("param").or_else(|| path(wrong?.get("loc")?.as_array()?)),
            code: text("code"),
            status: ["status_code", "raw_status_code", "status"]
                .into_iter()
                .find_map(text),
            is_bare: error.and_then(Value::as_object).is_some_and(|members| {
                let mut names = members.keys();
                names.all(|name| matches!(name.as_str(), "code" | "message"))
            }),
            is_flagged: inner.get("metadata").is_some_and(|about| {
                about.get("flagged_input").is_some() || about.get("reasons").is_some()
            }),
        }
    }

    /// What it means for the next attempt, told under this status.
    pub(crate) fn class(&self, status: StatusCode, numbers: Numbers) -> Class {
        let code = self.code.as_deref();
        let number = match numbers {
            Numbers::Zai => code.and_then(numbered),
            // A limit by its status is none of what only another number of the same digits means.
            Numbers::Unsaid if self.is_bare => code.and_then(numbered).filter(|class| {
                status != StatusCode::TOO_MANY_REQUESTS
                    || !matches!(
                        class,
                        Class::ContentPolicy | Class::Credential | Class::ModelGone
                    )
            }),
            Numbers::Unsaid | Numbers::Others => None,
        };
        if let Some(class) = number {
            return class;
        }
        if self.is_flagged && matches!(status.as_u16(), 400 | 403) {
            return Class::ContentPolicy;
        }
        classify(status, code, self.kind.as_deref(), self.message.as_deref())
    }

    /// The status that it would have been refused with.
    pub(super) fn status(&self) -> StatusCode {
        let number = |text: &String| match text.parse() {
            Ok(status @ 400..=599) => StatusCode::from_u16(status).ok(),
            _ => None,
        };
        if let Some(status) = [&self.status, &self.code]
            .into_iter()
            .flatten()
            .find_map(number)
        {
            return status;
        }
        let words = [&self.code, &self.kind, &self.status].into_iter().flatten();
        let words = words.fold(String::new(), |words, word| words + " " + word);
        let words = words.to_ascii_lowercase().replace('-', "_");
        for (word, status) in [
            ("context_length", StatusCode::BAD_REQUEST),
            ("context_size", StatusCode::BAD_REQUEST),
            ("content_filter", StatusCode::BAD_REQUEST),
            ("content_policy", StatusCode::BAD_REQUEST),
            ("rate_limit", StatusCode::TOO_MANY_REQUESTS),
            ("resource_exhausted", StatusCode::TOO_MANY_REQUESTS),
            ("overloaded", StatusCode::SERVICE_UNAVAILABLE),
            ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
            ("slow_down", StatusCode::SERVICE_UNAVAILABLE),
            ("timeout", StatusCode::GATEWAY_TIMEOUT),
            ("authentication", StatusCode::UNAUTHORIZED),
            ("permission", StatusCode::FORBIDDEN),
            ("invalid_request", StatusCode::BAD_REQUEST),
            ("invalid_argument", StatusCode::BAD_REQUEST),
            ("invalid_value", StatusCode::BAD_REQUEST),
            ("bad_request", StatusCode::BAD_REQUEST),
            ("badrequest", StatusCode::BAD_REQUEST),
            ("unsupported", StatusCode::BAD_REQUEST),
        ] {
            if words.contains(word) {
                return status;
            }
        }
        // Nothing says whose fault it is but what it says to people.
        match &self.message {
            Some(message) if is_context_length(message) => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// A member that is not null.
fn told<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).filter(|it| !it.is_null())
}

/// A place within the body as OpenAI writes it; `None` for the body itself.
fn path(place: &[Value]) -> Option<String> {
    let mut path = String::new();
    let within = place.strip_prefix(&[Value::from("body")]).unwrap_or(place);
    for step in within {
        match step {
            Value::String(name) if path.is_empty() => path.push_str(name),
            Value::String(name) => path.extend([".", name]),
            step => path.push_str(&format!("[{step}]")),
        }
    }
    Some(path).filter(|path| !path.is_empty())
}
