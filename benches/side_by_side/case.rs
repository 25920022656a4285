//! What is sent and what comes back.

use std::time::{Duration, SystemTime};

/// A kind of request; its name is the model that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A request and an answer of about 300 bytes.
    Small,
    /// A request of about 100 KB and an answer of 300 bytes.
    LargeRequest,
    /// A request of 300 bytes and an answer of about 100 KB.
    LargeAnswer,
    /// A stream of 100 events, written at once.
    Burst,
    /// A stream of 100 events, 5 ms apart.
    Dribble,
    /// A stream that stays open after its first event.
    Idle,
    /// The same after a request of about 100 KB.
    Conversation,
    /// A stream that begins [`THINKING`] after the request was read, and whose first content is the
    /// moment at which it was written.
    Timed,
}

/// Events with content in a stream.
pub(crate) const EVENTS: usize = 100;
/// Between two events of a dribbled stream.
pub(crate) const PAUSE: Duration = Duration::from_millis(5);
/// Before a timed stream begins: long enough that whoever forwards it has nothing else left to do.
pub(crate) const THINKING: Duration = Duration::from_millis(3);
/// What stands before the moment in a timed stream's content: microseconds since 1970 follow.
pub(crate) const WRITTEN: &str = "written at ";

impl Kind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Small,
        Self::LargeRequest,
        Self::LargeAnswer,
        Self::Burst,
        Self::Dribble,
        Self::Idle,
        Self::Conversation,
        Self::Timed,
    ];

    pub(crate) const fn model(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::LargeRequest => "large-request",
            Self::LargeAnswer => "large-answer",
            Self::Burst => "burst",
            Self::Dribble => "dribble",
            Self::Idle => "idle",
            Self::Conversation => "conversation",
            Self::Timed => "timed",
        }
    }

    pub(crate) const fn streams(self) -> bool {
        matches!(self, Self::Burst | Self::Dribble | Self::Timed) || self.stays_open()
    }

    pub(crate) const fn stays_open(self) -> bool {
        matches!(self, Self::Idle | Self::Conversation)
    }

    /// The bytes of the whole HTTP/1.1 request.
    pub(crate) fn request(self) -> Vec<u8> {
        let filler = match self {
            Self::LargeRequest | Self::Conversation => {
                "The quick brown fox said \\\"hello\\\" and went on.\\n".repeat(2100)
            }
            _ => "Write a haiku about the sea, please, and keep it short.".to_owned(),
        };
        let stream = if self.streams() {
            ",\"stream\":true"
        } else {
            ""
        };
        let body = format!(
            r#"{{"model":"{}","messages":[{{"role":"system","content":"You are a helpful assistant."}},{{"role":"user","content":"{filler}"}}],"temperature":0.7,"top_p":0.9,"max_tokens":256,"presence_penalty":0.1,"frequency_penalty":0.1,"user":"user-1234"{stream}}}"#,
            self.model()
        );
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer sk-bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// The answer in one piece.
    pub(crate) fn answer(self) -> String {
        let content = match self {
            Self::LargeAnswer => {
                "Waves fold into foam, and the night keeps its counsel. ".repeat(1800)
            }
            _ => "Waves fold into foam".to_owned(),
        };
        format!(
            r#"{{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"{}","choices":[{{"index":0,"message":{{"role":"assistant","content":"{content}"}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":25,"completion_tokens":7,"total_tokens":32}}}}"#,
            self.model()
        )
    }

    /// The events of the stream.
    pub(crate) fn events(self) -> Vec<String> {
        let chunk = |delta: &str, finish: &str| {
            format!(
                "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"{}\",\"system_fingerprint\":\"fp_1\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}]}}\n\n",
                self.model()
            )
        };
        let mut events = vec![chunk(r#"{"role":"assistant","content":""}"#, "null")];
        if self.stays_open() {
            // With content: until it comes, a gateway may hold the answer back.
            events.push(chunk(r#"{"content":" token"}"#, "null"));
            return events;
        }
        if self == Self::Timed {
            let written = since_1970().as_micros();
            events.push(chunk(
                &format!("{{\"content\":\"{WRITTEN}{written}.\"}}"),
                "null",
            ));
        }
        let rest = if self == Self::Timed { 0 } else { EVENTS };
        for number in 0..rest {
            events.push(chunk(
                &format!("{{\"content\":\" token{number}\"}}"),
                "null",
            ));
        }
        events.push(chunk("{}", "\"stop\""));
        events.push(format!(
            "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"{}\",\"choices\":[],\"usage\":{{\"prompt_tokens\":25,\"completion_tokens\":100,\"total_tokens\":125}}}}\n\n",
            self.model()
        ));
        events.push("data: [DONE]\n\n".to_owned());
        events
    }
}

/// The time of day, the same in every process of the machine.
pub(crate) fn since_1970() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("after 1970")
}
