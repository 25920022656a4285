use std::{borrow::Cow, fmt, ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    changes::{Changes, Json, key},
    fault, typed,
};
use crate::{
    error::Error,
    wire::{
        json::Cursor,
        request::{Bounds, Member, Messages, Name, Request, UnknownMember},
    },
};

/// A chat-completions request: its bytes, the index over them, and pending changes. Cloning it is
/// cheap; the changes are made when the bytes are asked for, all in one copy.
///
/// The limits and `n` are those that will be sent, changes included; all else that it says of the
/// request is what the client asked for.
///
/// ```
/// use bytes::Bytes;
/// use tower_completions::parse::Chat;
///
/// let body = Bytes::from_static(br#"{"model": "gpt", "messages": [{"role":"user","content":"Hi"}], "x": 1.0}"#);
/// let mut chat = Chat::parse(body.clone())?;
/// assert_eq!(chat.bytes().as_ptr(), body.as_ptr());
///
/// chat.set("model", "\"other\"");
/// chat.remove("x");
/// assert_eq!(chat.model(), "gpt");
/// assert_eq!(chat.bytes(), r#"{"model": "other", "messages": [{"role":"user","content":"Hi"}]}"#);
/// # Ok::<_, tower_completions::Error>(())
/// ```
#[derive(Clone)]
pub struct Chat {
    parsed: Arc<Parsed>,
    changes: Option<Arc<Changes>>,
}

struct Parsed {
    bytes: Bytes,
    request: Request,
}

impl Chat {
    /// Parses the body of a request.
    ///
    /// # Errors
    /// [`Kind::Format`](crate::error::Kind::Format) when it is not a JSON object, nested deeper
    /// than 128 levels, has a key twice in an object that decides anything, spells more than
    /// [`MAX_ESCAPED`](crate::wire::request::MAX_ESCAPED) bytes of its keys and names by escapes, or more than
    /// [`MAX_HUGE`](crate::wire::request::MAX_HUGE) numbers that may be as large as the largest double. All else that may be
    /// wrong with it is in [`Request::faults`], for a validator to judge, unless that is more than
    /// [`MAX_COUNTED`](crate::wire::request::MAX_COUNTED) faults: then it is the error of the first of them.
    pub fn parse(bytes: Bytes) -> Result<Self, Error> {
        Self::read(bytes, Bounds::default())
    }

    /// Parses a body within other bounds.
    pub(super) fn read(bytes: Bytes, bounds: Bounds) -> Result<Self, Error> {
        match Request::read_within(&bytes, bounds) {
            Ok(request) => Ok(Self {
                parsed: Arc::new(Parsed { bytes, request }),
                changes: None,
            }),
            Err(why) => Err(fault::unreadable(&bytes, why, &bounds)),
        }
    }

    /// The body as it is to be sent: what came, or, when something was changed, that with the
    /// changes spliced in, all else left byte for byte.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        match &self.changes {
            None => self.parsed.bytes.clone(),
            Some(changes) => self.write(changes).clone(),
        }
    }

    /// How long [`bytes`](Self::bytes) is at most.
    pub(crate) fn length(&self) -> usize {
        let added = self.changes.as_ref().map_or(0, |changes| changes.added());
        self.parsed.bytes.len() + added
    }

    /// The request as types, changes included. They borrow from where each member stands; where
    /// something below the top level is changed, from [`bytes`](Self::bytes).
    pub(crate) fn typed(&self) -> serde_json::Result<crate::wire::chat::Request<'_>> {
        let Some(changes) = &self.changes else {
            return crate::wire::chat::Request::parse(&self.parsed.bytes);
        };
        let text = std::str::from_utf8(&self.parsed.bytes).unwrap_or_default();
        match changes.members(text, &self.parsed.request) {
            Some(members) => typed::read(&members),
            None => crate::wire::chat::Request::parse(self.write(changes)),
        }
    }

    /// The body as it came.
    #[must_use]
    pub fn original(&self) -> &Bytes {
        &self.parsed.bytes
    }

    /// The index over [`original`](Self::original).
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.parsed.request
    }

    /// The messages, as they came.
    #[must_use]
    pub fn messages(&self) -> Messages<'_> {
        self.parsed.request.messages(&self.parsed.bytes)
    }

    /// The raw JSON of a top-level member, changes included; `None` when it is absent. Where something
    /// below it was changed, all changes are made as for [`bytes`](Self::bytes), and are made again
    /// when more are added.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&str> {
        if let Some(change) = self.change(name) {
            return change.as_deref();
        }
        let place = self.found(name)?.value;
        let json = match &self.changes {
            Some(changes) if changes.touch(&place) => written(self.write(changes), name)?,
            _ => &self.parsed.bytes[place],
        };
        // The whole body was found to be UTF-8.
        std::str::from_utf8(json).ok()
    }

    /// Where the value of a top-level member stands in [`original`](Self::original); `None` when it is
    /// absent, or was set or removed whole.
    pub(crate) fn place(&self, name: &str) -> Option<Range<usize>> {
        match self.change(name) {
            Some(_) => None,
            None => self.found(name).map(|member| member.value),
        }
    }

    /// The bytes of a top-level member as it was set; else as it came, whatever was changed below it.
    pub(crate) fn raw(&self, name: Name) -> Option<&[u8]> {
        match self.change(name.as_str()) {
            Some(change) => change.as_deref().map(str::as_bytes),
            None => Some(&self.parsed.bytes[self.parsed.request.member(name)?.value]),
        }
    }

    /// Whether a top-level member is there and not null, changes included.
    #[must_use]
    pub fn has(&self, name: Name) -> bool {
        match self.change(name.as_str()) {
            Some(change) => change.as_deref().is_some_and(|json| json != "null"),
            None => self.parsed.request.has(name),
        }
    }

    /// The model as the client named it; empty when it named none.
    #[must_use]
    pub fn model(&self) -> &str {
        self.parsed.request.model().unwrap_or_default()
    }

    /// The models that the client would have in place of the one that it named, in `models`; at most 16.
    /// One of a wrong type is none.
    pub(crate) fn wished_models(&self) -> Vec<String> {
        let models = self.member("models").map(serde_json::from_str);
        let mut models: Vec<String> = models.and_then(Result::ok).unwrap_or_default();
        models.truncate(16);
        models
    }

    /// The model as the client spelled it, a JSON string; `None` when it named none.
    pub(crate) fn spelled_model(&self) -> Option<&str> {
        let Parsed { bytes, request } = &*self.parsed;
        request.model()?;
        let member = request.member(Name::Model)?;
        std::str::from_utf8(&bytes[member.value]).ok()
    }

    /// Whether a stream is asked for.
    #[must_use]
    pub fn stream(&self) -> bool {
        self.parsed.request.stream() == Some(true)
    }

    /// Whether the client asks for the usage on its stream, whatever is sent on.
    #[must_use]
    pub fn include_usage(&self) -> bool {
        self.parsed.request.include_usage()
    }

    /// How many tokens the answer may have: the larger of `max_tokens` and `max_completion_tokens`;
    /// `None` when neither is given.
    #[must_use]
    #[inline]
    pub fn max_output_tokens(&self) -> Option<u64> {
        let request = &self.parsed.request;
        let (plain, completion) = (request.max_tokens(), request.max_completion_tokens());
        if self.changes.is_none() {
            return plain.max(completion);
        }
        let plain = self.integer(Name::MaxTokens, plain);
        plain.max(self.integer(Name::MaxCompletionTokens, completion))
    }

    /// How many answers are asked for; at least 1.
    #[must_use]
    pub fn n(&self) -> u32 {
        let n = self.integer(Name::N, self.parsed.request.n()).unwrap_or(1);
        u32::try_from(n).unwrap_or(u32::MAX).max(1)
    }

    /// A guess at the prompt's tokens; see
    /// [`Counts::input_estimate`](crate::wire::request::Counts::input_estimate).
    #[must_use]
    pub fn input_estimate(&self) -> u64 {
        self.parsed.request.counts().input_estimate()
    }

    /// Replaces a top-level member, or adds it behind the others. `json` is the raw value and must be
    /// valid JSON: it is put in as it is.
    pub fn set(&mut self, member: &str, json: impl Into<Box<str>>) {
        let json = json.into();
        debug_assert!(
            serde_json::from_str::<serde::de::IgnoredAny>(&json).is_ok(),
            "not JSON"
        );
        self.put(member, Some(String::from(json).into()), false);
    }

    /// As [`set`](Self::set), of a member that the API knows and maybe of a value that is known beforehand.
    pub(crate) fn set_known(&mut self, member: Name, json: impl Into<Cow<'static, str>>) {
        self.put(member.as_str(), Some(json.into()), false);
    }

    /// As [`set`](Self::set), of what nobody asked for: a provider that has no place for it leaves it
    /// out without a word. It is asked for as any other once it is set again.
    pub(crate) fn set_default(&mut self, member: &str, json: impl Into<Cow<'static, str>>) {
        self.put(member, Some(json.into()), true);
    }

    /// The members that were set as defaults.
    pub(crate) fn defaults(&self) -> impl Iterator<Item = &str> {
        let changes = self.changes.iter();
        changes.flat_map(|changes| changes.defaults())
    }

    /// Removes a top-level member.
    pub fn remove(&mut self, member: &str) {
        self.put(member, None, false);
    }

    /// Removes a member that the API does not know, at whatever level it stands.
    pub fn remove_unknown(&mut self, member: UnknownMember) {
        if member.object != self.parsed.request.range().start {
            self.cut(member.object, member.key);
        } else {
            let name = self.key_at(member.key).into_owned();
            self.remove(&name);
        }
    }

    /// Leaves out what stands below the top level: a member, by its key's quote, of the object that
    /// begins at `within`, or an element, by its beginning, of the array. Both are offsets of
    /// [`original`](Self::original). It stays out of what is replaced or left out around it, and goes
    /// without a trace where the top-level member is set.
    pub(crate) fn cut(&mut self, within: usize, at: usize) {
        self.changed().cut(within, at);
    }

    /// Replaces what stands in a range of [`original`](Self::original), below the top level: a value,
    /// a part of one, or a key, so that what comes of it is JSON again. An edit within what is left
    /// out or replaced whole is lost with it; of two of the same range the later one counts.
    pub(crate) fn edit(&mut self, range: Range<usize>, text: impl Into<Cow<'static, str>>) {
        debug_assert!(!range.is_empty(), "nothing stands there");
        self.changed().edit(range, text.into());
    }

    /// Changes what stands below a top-level member. One that was set whole is changed in a request of
    /// its own and set again, which copies it twice more; what cannot be read there stays as it was set.
    ///
    /// # Errors
    /// Those of `change`.
    pub(crate) fn below<E>(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(set) = self.change(name) else {
            return change(self);
        };
        let key = serde_json::Value::from(name);
        let alone = set.as_deref().map(|json| format!("{{{key}:{json}}}"));
        let Some(Ok(mut alone)) = alone.map(|text| Self::parse(text.into())) else {
            return Ok(());
        };
        change(&mut alone)?;
        match alone.member(name) {
            Some(json) if alone.changes.is_some() => self.set(name, json),
            _ => {}
        }
        Ok(())
    }

    /// Where what is edited or left out below the top level begins, in ascending order.
    pub(crate) fn touched(&self) -> Vec<usize> {
        let changes = self.changes.iter();
        let mut places: Vec<usize> = changes.flat_map(|changes| changes.places()).collect();
        places.sort_unstable();
        places
    }

    fn put(&mut self, member: &str, json: Json, is_default: bool) {
        self.changed().put(member, json, is_default);
    }

    fn changed(&mut self) -> &mut Changes {
        Arc::make_mut(self.changes.get_or_insert_default())
    }

    #[inline]
    fn change(&self, member: &str) -> Option<&Json> {
        self.changes.as_ref()?.member(member)
    }

    fn found(&self, name: &str) -> Option<Member> {
        let request = &self.parsed.request;
        match Name::find(name) {
            Some(known) => request.member(known),
            None => request.members().find(|member| {
                let key = || key(&self.parsed.bytes, member.range.start);
                member.name.is_none() && key().is_some_and(|key| key == *name)
            }),
        }
    }

    fn write<'a>(&'a self, changes: &'a Changes) -> &'a Bytes {
        changes.write(&self.parsed.bytes, &self.parsed.request)
    }

    #[inline]
    fn integer(&self, name: Name, original: Option<u64>) -> Option<u64> {
        match self.change(name.as_str()) {
            Some(change) => Cursor::new(change.as_deref()?).number().ok()?.as_u64(),
            None => original,
        }
    }

    /// The key whose quote stands at an offset of [`original`](Self::original).
    pub(crate) fn key_at(&self, at: usize) -> Cow<'_, str> {
        key(&self.parsed.bytes, at).map_or(Cow::Borrowed(""), |key| key.cow())
    }

    /// Whether these bytes are the very ones that were parsed, or written from them.
    pub(super) fn is_of(&self, bytes: &Bytes) -> bool {
        let same = |mine: &Bytes| mine.as_ptr() == bytes.as_ptr() && mine.len() == bytes.len();
        match &self.changes {
            None => same(&self.parsed.bytes),
            Some(changes) => changes.written().is_some_and(same),
        }
    }

    /// Whether both share one parse, whatever their changes.
    #[must_use]
    pub fn is_same_parse(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.parsed, &other.parsed)
    }

    /// Whether both share one parse and the same changes, told without looking into them.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let changes = |chat: &Self| chat.changes.as_ref().map(Arc::as_ptr);
        self.is_same_parse(other) && changes(self) == changes(other)
    }
}

impl fmt::Debug for Chat {
    /// No prompts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chat")
            .field("model", &self.model())
            .field("stream", &self.stream())
            .field("bytes", &self.parsed.bytes.len())
            .finish_non_exhaustive()
    }
}

/// The value of a member in a text of our own.
fn written<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut cursor = Cursor::within(text, 0, usize::MAX);
    cursor.object().ok()?;
    while let Some(key) = cursor.key().ok()? {
        let value = cursor.skip().ok()?;
        if key == *name {
            return text.get(value);
        }
    }
    None
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
        assert_eq!(chat.bytes(), r#" { "model" : "b", "n":1.0,"top_p":1 } "#);
        chat.set("top_p", "0.5");
        chat.remove("n");
        chat.remove("model");
        assert_eq!(chat.bytes(), r#" { "top_p":0.5 } "#);
        assert_eq!(before.bytes(), *before.original(), "clones change apart");
    }

    #[test]
    fn changed_bytes_are_written_once_and_known_again() {
        let mut changed = chat(r#"{"model":"m","max_tokens":5}"#);
        changed.set("max_tokens", "7");
        let shared = changed.clone();
        assert!(!changed.is_of(changed.original()));
        assert!(shared.is_of(&changed.bytes()));
        assert_eq!(shared.max_output_tokens(), Some(7));
        changed.remove("max_tokens");
        assert_eq!(changed.max_output_tokens(), None);
        assert!(!changed.is_of(&shared.bytes()));
    }

    #[test]
    fn members_below_the_top_can_be_removed() {
        let text = r#"{"model":"m","messages":[{"a":1,"role":"user","b":2},{"c":{"d":1}}]}"#;
        let mut chat = chat(text);
        let unknown: Vec<_> = chat.request().unknown().collect();
        for member in unknown {
            chat.remove_unknown(member);
        }
        chat.set("n", "2");
        assert_eq!(
            chat.bytes(),
            r#"{"model":"m","messages":[{"role":"user"},{}],"n":2}"#
        );
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
