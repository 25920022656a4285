use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Deserialize;

use crate::{
    parse::{Chat, ChatBody},
    wire::request::{Name, Role},
};

/// A request body that the router can send more than once, and what it may know of it.
pub trait Routable: Sized {
    /// The model that the client named.
    fn model(&self) -> &str;

    /// The same body again, not copied.
    #[must_use]
    fn again(&self) -> Self;

    /// Whether the answer is to come as a stream. Default: no.
    fn streams(&self) -> bool {
        false
    }

    /// What a target must be able to do. Default: nothing special.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// A number that is the same for requests that belong together, beside who is calling. `None`
    /// when this one belongs with no other. Default: `None`.
    fn affinity(&self, sticky: Sticky) -> Option<u64> {
        let _ = sticky;
        None
    }

    /// Takes what the client wishes of the router out of the body: only called where the operator
    /// allows it. Default: nothing.
    fn take_wishes(&mut self) -> Wishes {
        Wishes::default()
    }
}

/// What a request asks of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Needs {
    /// It offers tools.
    pub tools: bool,
    /// It shows images.
    pub images: bool,
    /// It has sound in it.
    pub audio: bool,
    /// A guess at its tokens.
    pub input_tokens: u64,
    /// The most tokens of the answer; 0 when it does not say.
    pub output_tokens: u64,
}

impl Needs {
    /// Tokens in and out, to compare prices by. One that does not say how much it wants is taken to
    /// want a quarter of what it brings.
    pub(crate) fn tokens(&self) -> (u64, u64) {
        let wanted = match self.output_tokens {
            0 => self.input_tokens / 4,
            tokens => tokens,
        };
        (self.input_tokens, wanted)
    }
}

/// What binds requests to one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sticky {
    /// Who is calling.
    Key,
    /// The conversation: the client's own `prompt_cache_key`, or all up to the first message of the
    /// user.
    Conversation,
    /// What many conversations begin with: the tools and the messages before the user's first.
    Prompt,
}

/// What a client wishes of the router, for operators that let it have a say.
///
/// ```
/// use tower_completions::{parse::{Chat, ChatBody}, router::Routable};
///
/// let body = r#"{"model":"a","models":["b","c"],"provider":{"order":["x"],"sort":"price"}}"#;
/// let mut body = ChatBody::new(Chat::parse(body.into())?);
/// let wishes = body.take_wishes();
/// assert_eq!(wishes.models, ["b", "c"]);
/// assert_eq!(body.chat().bytes(), r#"{"model":"a"}"#);
/// # Ok::<(), tower_completions::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wishes {
    /// Models to try after the one named, in this order; at most 16.
    pub models: Vec<String>,
    /// Which providers are to be asked, and in which order.
    pub provider: Preferences,
}

/// A client's `provider` member. What is not known of it is passed over; what is of a wrong type
/// makes all of it count as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Preferences {
    /// These before others, in this order.
    pub order: Vec<String>,
    /// No others than these, unless it is empty.
    pub only: Vec<String>,
    /// Not these.
    pub ignore: Vec<String>,
    /// Whether others than those of `order` may be asked. Absent: yes.
    pub allow_fallbacks: Option<bool>,
    /// How to choose where `order` does not say it.
    pub sort: Option<Sort>,
}

/// How a client wants its target chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Sort {
    /// The cheapest for this request.
    Price,
    /// The least time to the first event.
    Latency,
    /// The least loaded, as far as is known here.
    Throughput,
}

impl Preferences {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What of it concerns providers that there are, each named once: a client may name a hundred thousand,
    /// and they are looked through for each target. Who names none of them still wants no other.
    pub(crate) fn among(mut self, is_known: impl Fn(&str) -> bool) -> Self {
        for list in [&mut self.order, &mut self.only, &mut self.ignore] {
            let (mut kept, mut unknown) = (Vec::new(), None);
            for name in std::mem::take(list) {
                if !is_known(&name) {
                    unknown = Some(name);
                } else if !kept.contains(&name) {
                    kept.push(name);
                }
            }
            if kept.is_empty() {
                kept.extend(unknown);
            }
            *list = kept;
        }
        self
    }

    pub(crate) fn allows(&self, provider: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|name| name == provider);
        !named(&self.ignore)
            && (self.only.is_empty() || named(&self.only))
            && (self.allow_fallbacks != Some(false) || self.order.is_empty() || named(&self.order))
    }
}

impl Routable for ChatBody {
    fn model(&self) -> &str {
        self.chat().model()
    }

    fn again(&self) -> Self {
        Self::new(self.chat().clone())
    }

    fn streams(&self) -> bool {
        self.chat().stream()
    }

    #[inline]
    fn needs(&self) -> Needs {
        let chat = self.chat();
        let counts = chat.request().counts();
        Needs {
            tools: counts.tools > 0,
            images: counts.images + counts.low_images > 0,
            audio: counts.audio_bytes > 0,
            input_tokens: counts.input_estimate(),
            output_tokens: chat.max_output_tokens().unwrap_or(0),
        }
    }

    #[inline]
    fn affinity(&self, sticky: Sticky) -> Option<u64> {
        (sticky != Sticky::Key).then(|| affinity(self.chat(), sticky))
    }

    fn take_wishes(&mut self) -> Wishes {
        let chat = self.chat_mut();
        let mut wishes = Wishes::default();
        if chat.member("models").is_some() {
            wishes.models = chat.wished_models();
            chat.remove("models");
        }
        if let Some(text) = chat.member("provider") {
            wishes.provider = serde_json::from_str(text).unwrap_or_default();
            chat.remove("provider");
        }
        wishes
    }
}

/// What a request begins with, as a number.
fn affinity(chat: &Chat, sticky: Sticky) -> u64 {
    let mut hasher = DefaultHasher::new();
    if sticky == Sticky::Conversation {
        if let Some(key) = chat.member("prompt_cache_key").filter(|key| *key != "null") {
            key.hash(&mut hasher);
            return hasher.finish();
        }
    }
    let text = chat.original();
    let mut seen = 0;
    if let Some(tools) = chat.request().member(Name::Tools) {
        text[tools.value].hash(&mut hasher);
        seen += 1;
    }
    for message in chat.messages() {
        let users = message.role == Some(Role::User);
        if users && sticky == Sticky::Prompt && seen > 0 {
            break;
        }
        text[message.range].hash(&mut hasher);
        seen += 1;
        if users {
            break;
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> ChatBody {
        ChatBody::new(Chat::parse(text.to_owned().into()).expect("readable"))
    }

    #[test]
    fn of_any_number_of_wishes_those_are_kept_that_concern_somebody() {
        let names = |text: &str| -> Vec<String> { text.split(' ').map(Into::into).collect() };
        let of = |list: &str| {
            let list = names(list);
            let wishes = Preferences {
                order: list.clone(),
                only: list.clone(),
                ignore: list,
                ..Preferences::default()
            };
            let kept = wishes.among(|name| ["a", "b"].contains(&name));
            assert_eq!((&kept.order, &kept.order), (&kept.only, &kept.ignore));
            kept
        };
        let many = "x ".repeat(100_000);
        assert_eq!(
            of(&format!("{many}b a b{}", " a".repeat(9))).order,
            ["b", "a"]
        );
        // Nobody of them: that is not the same as no wish.
        let nobody = of("x y");
        assert_eq!(nobody.only.len(), 1);
        assert!(!nobody.allows("a") && !nobody.is_empty());
        let ordered = Preferences {
            order: names("x y"),
            allow_fallbacks: Some(false),
            ..Preferences::default()
        };
        assert!(!ordered.among(|name| name == "a").allows("a"));
        assert!(Preferences::default().among(|_| true).is_empty());
    }

    #[test]
    fn what_belongs_together() {
        let with = |more: &str, key: &str| {
            body(&format!(
                r#"{{"model":"m","messages":[{{"role":"system","content":"s"}},{{"role":"user","content":"a"}}{more}]{key}}}"#
            ))
        };
        let later = r#",{"role":"assistant","content":"b"},{"role":"user","content":"c"}"#;
        let other = body(
            r#"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"z"}]}"#,
        );
        let of = |body: &ChatBody, sticky| body.affinity(sticky);
        for sticky in [Sticky::Conversation, Sticky::Prompt] {
            assert_eq!(of(&with("", ""), sticky), of(&with(later, ""), sticky));
        }
        let begun = with("", "");
        assert_ne!(
            of(&begun, Sticky::Conversation),
            of(&other, Sticky::Conversation)
        );
        assert_eq!(of(&begun, Sticky::Prompt), of(&other, Sticky::Prompt));
        let keyed = |more| with(more, r#","prompt_cache_key":"k""#);
        assert_eq!(
            of(&keyed(""), Sticky::Conversation),
            of(&keyed(later), Sticky::Conversation)
        );
        assert_ne!(
            of(&keyed(""), Sticky::Conversation),
            of(&begun, Sticky::Conversation)
        );
        assert_eq!(of(&begun, Sticky::Key), None);
        // Without a beginning of its own the user's message is the prompt.
        let lone = |text: &str| {
            body(&format!(
                r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}"#
            ))
        };
        assert_ne!(
            of(&lone("a"), Sticky::Prompt),
            of(&lone("b"), Sticky::Prompt)
        );
    }

    #[test]
    fn needs_are_read_off_the_index() {
        let asked = body(
            r#"{"model":"m","max_tokens":7,"tools":[{"type":"function","function":{"name":"f"}}],
            "messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y"}}]}]}"#,
        )
        .needs();
        assert!(asked.tools && asked.images && !asked.audio);
        assert_eq!(asked.output_tokens, 7);
        assert!(asked.input_tokens > 700);
    }

    #[test]
    fn wishes_of_a_wrong_type_are_none_and_do_not_travel() {
        let mut asked = body(r#"{"model":"m","models":"x","provider":{"order":1}}"#);
        assert_eq!(asked.take_wishes(), Wishes::default());
        assert_eq!(asked.chat().bytes(), r#"{"model":"m"}"#);
        let mut asked = body(r#"{"model":"m"}"#);
        asked.take_wishes();
        assert!(asked.chat().bytes().as_ptr() == asked.chat().original().as_ptr());
    }

    #[test]
    fn preferences_say_who_may_be_asked() {
        let read = |text: &str| serde_json::from_str::<Preferences>(text).expect("valid");
        for (text, allowed) in [
            ("{}", "abc"),
            (r#"{"only":["a"]}"#, "a"),
            (r#"{"ignore":["a"]}"#, "bc"),
            (r#"{"order":["b"]}"#, "abc"),
            (r#"{"order":["b"],"allow_fallbacks":false}"#, "b"),
            (r#"{"only":["a","b"],"ignore":["b"],"x":1}"#, "a"),
        ] {
            let wants = read(text);
            let found: String = ["a", "b", "c"]
                .into_iter()
                .filter(|p| wants.allows(p))
                .collect();
            assert_eq!(found, allowed, "{text}");
        }
    }
}
