use std::{borrow::Cow, fmt, ops::Range, sync::Arc};

use bytes::Bytes;

use super::fault;
use crate::{
    error::Error,
    wire::{
        request::{Name, Request},
        splice::{Edit, splice},
    },
};

/// A parsed request and the changes to be made to it. Clones share everything.
///
/// The text stays as it came; members set or removed at its top level are spliced in when the
/// bytes are asked for, and not before. `Debug` shows no content.
#[derive(Clone)]
pub struct Chat {
    parsed: Arc<Parsed>,
    edits: Arc<[Change]>,
}

struct Parsed {
    bytes: Bytes,
    request: Request,
}

#[derive(Clone)]
struct Change {
    member: Box<str>,
    /// The JSON to put there; nothing removes the member.
    with: Option<Box<str>>,
}

impl Chat {
    /// Parses the body of a request.
    ///
    /// # Errors
    /// [`Kind::Format`](crate::error::Kind::Format) when it is not a JSON object, nested deeper
    /// than 128 levels, or has a key twice in an object that decides anything. All else that may be
    /// wrong with it is in [`Request::faults`], for a validator to judge.
    pub fn parse(bytes: Bytes) -> Result<Self, Error> {
        let request = Request::read(&bytes).map_err(|error| fault::unreadable(&bytes, error))?;
        Ok(Self {
            parsed: Arc::new(Parsed { bytes, request }),
            edits: Arc::default(),
        })
    }

    /// The text as it came.
    #[must_use]
    pub fn original(&self) -> &Bytes {
        &self.parsed.bytes
    }

    /// The text with all changes made; the very bytes that came when there are none.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        if self.edits.is_empty() {
            return self.parsed.bytes.clone();
        }
        let text = &self.parsed.bytes;
        let mut edits: Vec<(Range<usize>, Vec<u8>)> = Vec::with_capacity(self.edits.len() + 1);
        let mut added = Vec::new();
        let end = self.parsed.request.range().end.saturating_sub(1);
        let removed = self.removed();
        let mut cuts = crate::wire::splice::Cuts::default();
        for member in self.parsed.request.members() {
            cuts.member(
                member.range.start,
                member.range.end,
                removed.contains(&member.range.start),
            );
        }
        let mut kept = cuts.kept_any();
        edits.extend(cuts.done().into_iter().map(|range| (range, Vec::new())));
        for change in self.edits.iter() {
            let Some(with) = &change.with else { continue };
            if let Some(at) = self.find(&change.member) {
                edits.push((at, with.as_bytes().to_vec()));
            } else {
                if kept {
                    added.push(b',');
                }
                kept = true;
                added.extend(serde_json::Value::from(&*change.member).to_string().bytes());
                added.push(b':');
                added.extend_from_slice(with.as_bytes());
            }
        }
        if !added.is_empty() {
            edits.push((end..end, added));
        }
        edits.sort_by_key(|(range, _)| (range.start, range.end));
        let edits: Vec<Edit<'_>> = edits
            .iter()
            .map(|(range, with)| Edit::new(range.clone(), with))
            .collect();
        // Members lie apart and in order, so their edits do.
        splice(text, &edits).map_or_else(|_| text.clone(), Bytes::from)
    }

    /// The value's range of a top-level member of the original.
    fn find(&self, name: &str) -> Option<Range<usize>> {
        let request = &self.parsed.request;
        if let Some(known) = Name::find(name) {
            return request.member(known).map(|member| member.value);
        }
        let mut members = request.members().filter(|member| member.name.is_none());
        members
            .find(|member| self.key(member) == name)
            .map(|member| member.value)
    }

    fn key(&self, member: &crate::wire::request::Member) -> Cow<'_, str> {
        let key = &self.parsed.bytes[member.range.start..member.value.start];
        let mut cursor = serde_json::Deserializer::from_slice(key).into_iter::<String>();
        cursor
            .next()
            .and_then(Result::ok)
            .map_or(Cow::Borrowed(""), Cow::Owned)
    }

    /// Where the members stand that are to be removed.
    fn removed(&self) -> Vec<usize> {
        if self.edits.iter().all(|change| change.with.is_some()) {
            return Vec::new();
        }
        let gone = |name: &str| {
            self.edits
                .iter()
                .any(|change| change.with.is_none() && &*change.member == name)
        };
        let members = self.parsed.request.members();
        members
            .filter(|member| match member.name {
                Some(name) => gone(name.as_str()),
                None => gone(&self.key(member)),
            })
            .map(|member| member.range.start)
            .collect()
    }

    /// Puts a member at the top level, in place of the one of its name or behind all others. `json`
    /// must be a JSON value; nothing checks it.
    pub fn set(&mut self, member: &str, json: impl Into<Box<str>>) {
        self.change(member, Some(json.into()));
    }

    /// Removes a member of the top level, if it is there.
    pub fn remove(&mut self, member: &str) {
        self.change(member, None);
    }

    fn change(&mut self, member: &str, with: Option<Box<str>>) {
        let mut edits: Vec<Change> = self
            .edits
            .iter()
            .filter(|change| &*change.member != member)
            .cloned()
            .collect();
        edits.push(Change {
            member: member.into(),
            with,
        });
        self.edits = edits.into();
    }

    /// The index of the original: what is in it, where, and what is wrong.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.parsed.request
    }

    /// The model as the client named it; empty when it named none.
    #[must_use]
    pub fn model(&self) -> &str {
        self.parsed.request.model().unwrap_or_default()
    }

    /// Whether a stream is asked for.
    #[must_use]
    pub fn stream(&self) -> bool {
        self.parsed.request.stream() == Some(true)
    }

    /// Whether the client asks for the usage on its stream.
    #[must_use]
    pub fn include_usage(&self) -> bool {
        self.parsed.request.include_usage()
    }

    /// The larger of `max_tokens` and `max_completion_tokens`.
    #[must_use]
    pub fn max_output_tokens(&self) -> Option<u64> {
        let request = &self.parsed.request;
        request.max_tokens().max(request.max_completion_tokens())
    }

    /// How many answers are asked for; 1 unless said otherwise.
    #[must_use]
    pub fn n(&self) -> u32 {
        let n = self.parsed.request.n().unwrap_or(1).max(1);
        u32::try_from(n).unwrap_or(u32::MAX)
    }

    /// A guess at the prompt's tokens; see
    /// [`Counts::input_estimate`](crate::wire::request::Counts::input_estimate).
    #[must_use]
    pub fn input_estimate(&self) -> u64 {
        self.parsed.request.counts().input_estimate()
    }

    /// Whether this is the parse of these very bytes, not only of equal ones.
    pub(super) fn is_of(&self, bytes: &Bytes) -> bool {
        let own = &self.parsed.bytes;
        own.as_ptr() == bytes.as_ptr() && own.len() == bytes.len()
    }

    /// Whether both share one parse, whatever their changes.
    #[must_use]
    pub fn is_same_parse(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.parsed, &other.parsed)
    }
}

impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chat")
            .field("model", &self.model())
            .field("stream", &self.stream())
            .field("bytes", &self.parsed.bytes.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(text: &'static str) -> Chat {
        Chat::parse(Bytes::from_static(text.as_bytes())).expect("readable")
    }

    #[test]
    fn nothing_changed_is_the_very_bytes() {
        let chat = chat(r#"{"model":"m"}"#);
        assert!(chat.is_of(&chat.bytes()));
    }

    #[test]
    fn members_are_set_in_place_added_and_removed() {
        let mut chat = chat(r#" { "model" : "a", "x\u0041": [1], "n":1.0 } "#);
        let before = chat.clone();
        chat.set("model", "\"b\"");
        assert_eq!(
            chat.bytes(),
            r#" { "model" : "b", "x\u0041": [1], "n":1.0 } "#
        );
        chat.set("top_p", "1");
        chat.remove("xA");
        assert_eq!(chat.bytes(), r#" { "model" : "b", "n":1.0 ,"top_p":1} "#);
        chat.set("top_p", "0.5");
        chat.remove("n");
        chat.remove("model");
        assert_eq!(chat.bytes(), r#" {  "top_p":0.5} "#);
        assert_eq!(before.bytes(), *before.original(), "clones change apart");
    }

    #[test]
    fn what_others_ask_of_it() {
        let text = r#"{"model":"m","stream":true,"n":2,"max_tokens":5,"max_completion_tokens":7}"#;
        let chat = chat(text);
        assert_eq!((chat.model(), chat.stream(), chat.n()), ("m", true, 2));
        assert_eq!(chat.max_output_tokens(), Some(7));
        assert!(!chat.include_usage());
        assert!(!format!("{chat:?}").contains("max"));
    }
}
