//! A chunk of a stream.

use std::ops::Range;

use super::super::{pass::Seen, read::Reader};
use crate::{
    dialect::IdFormat,
    wire::{Usage, json::Cursor, tokens::Tokens},
};

/// What such a chunk says.
#[derive(Debug)]
pub(in crate::reframe) struct Chunk {
    /// Its id, time and model, with their quotes.
    names: [Range<usize>; 3],
    /// With its quotes.
    tier: Option<Range<usize>>,
    usage: Option<Counted>,
    seen: Seen,
}

/// A `usage`.
#[derive(Debug)]
struct Counted {
    /// With the comma before it.
    member: Range<usize>,
    value: Range<usize>,
    usage: Option<Usage>,
}

impl Chunk {
    /// Reads a chunk; `None` when it has another form, or needs more changes than this knows.
    /// Nothing has been noted then.
    pub(in crate::reframe) fn read(text: &str, reader: &Reader) -> Option<Self> {
        let (config, pinned) = (&reader.config, &reader.pinned);
        let own_id = config.id != IdFormat::Upstream && pinned.id.is_none();
        if own_id || config.include_usage {
            return None;
        }
        let t = &mut Tokens::new(text);
        let mut seen = Seen::default();
        let names = t.head_of_chunk()?;
        let [id, _, model] = &names;
        if id.len() <= 2 || model.len() <= 2 {
            return None;
        }
        let (mut tier, mut usage) = (None, None);
        loop {
            let last = t.at;
            if t.pass(b"}").is_some() {
                break;
            }
            t.pass(b",")?;
            if t.pass(br#""choices":"#).is_some() {
                if seen.choices.is_some() {
                    return None;
                }
                choices(t, reader, &mut seen)?;
            } else if t.pass(br#""system_fingerprint":"#).is_some() {
                t.text_or_null()?;
            } else if t.pass(br#""usage":"#).is_some() {
                let (value, read) = t.usage(config.counting)?;
                let counted = Counted {
                    member: last..t.at,
                    value,
                    usage: read,
                };
                if usage.replace(counted).is_some() {
                    return None;
                }
            } else if t.pass(br#""service_tier":"#).is_some() {
                if t.pass(b"null").is_none() && tier.replace(t.string()?).is_some() {
                    return None;
                }
            } else {
                t.pass(br#""obfuscation":"#)?;
                let filler = t.string()?;
                seen.filler = Some(filler.start + 1..filler.end - 1);
            }
        }
        (t.is_end() && seen.choices.is_some()).then_some(Self {
            names,
            tier,
            usage,
            seen,
        })
    }

    /// Notes what it says and what is to change in it, as the full reading does.
    pub(in crate::reframe) fn tell(self, reader: &mut Reader, text: &str) -> Seen {
        let Self {
            names,
            tier,
            usage,
            mut seen,
        } = self;
        reader.names_of_chunk(text, names);
        if seen.choices == Some(1) {
            seen.changed |= reader.choices.first(seen.finish, seen.content > 0);
        }
        if let Some(Counted {
            member,
            value,
            usage,
        }) = usage
        {
            if let Some(usage) = usage {
                reader.note_usage(usage, &text.as_bytes()[value.clone()], &mut seen);
            }
            seen.usage_at = Some(value);
            reader.edits.replace(member, "");
        }
        if let Some(tier) = tier {
            if let Ok(tier) = Cursor::new(&text[tier]).string() {
                reader.tell_tier(&tier.cow());
            }
        }
        seen
    }
}

/// One choice, the first, or none.
fn choices(t: &mut Tokens<'_, true>, reader: &Reader, seen: &mut Seen) -> Option<()> {
    t.pass(b"[")?;
    if t.pass(b"]").is_some() {
        seen.choices = Some(0);
        return Some(());
    }
    seen.choices = Some(1);
    t.pass_all(
        br#"{"index":0,"delta":{"#,
        [b"{", br#""index":"#, b"0", b",", br#""delta":"#, b"{"],
    )?;
    let mut role = false;
    if t.pass(b"}").is_none() {
        loop {
            if t.pass(br#""content":"#).is_some()
                || t.pass(br#""refusal":"#).is_some()
                || t.pass(br#""reasoning_content":"#).is_some()
            {
                if let Some(at) = t.text_or_null()? {
                    seen.text(at.start + 1..at.end - 1);
                }
            } else {
                t.pass(br#""role":"#)?;
                t.pass(br#""assistant""#)?;
                role = true;
            }
            if t.pass(b"}").is_some() {
                break;
            }
            t.pass(b",")?;
        }
    }
    if reader.choices.is_new(0) && !(role && reader.choices.has_room()) {
        return None;
    }
    let mut finish = false;
    while t.pass(b"}").is_none() {
        t.pass(b",")?;
        if t.pass(br#""logprobs":"#).is_some() {
            t.pass(b"null")?;
        } else if t.pass(br#""finish_reason":"#).is_some() {
            if std::mem::replace(&mut finish, true) {
                return None;
            }
            if t.pass(b"null").is_none() {
                t.pass(br#""stop""#)
                    .or_else(|| t.pass(br#""length""#))
                    .or_else(|| t.pass(br#""tool_calls""#))?;
                seen.finish = true;
            }
        } else {
            t.pass(br#""stop_reason":"#)?;
            t.text_or_null()?;
        }
    }
    t.pass(b"]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dialect::Dialect,
        meter::Tally,
        reframe::{config::Config, pass::Form},
        wire::tokens::PIECES,
    };

    fn chunk(rest: &str) -> String {
        format!(
            r#"{{"id":"c","object":"chat.completion.chunk","created":5,"model":"served",{rest}}}"#
        )
    }

    /// A stream as many send it.
    fn stream() -> Vec<String> {
        let delta = |delta: &str, finish: &str| {
            format!(r#""choices":[{{"index":0,"delta":{{{delta}}},"finish_reason":{finish}}}]"#)
        };
        let first = delta(r#""role":"assistant","content":"","refusal":null"#, "null");
        let word = delta(r#""content":"Pa\\nris ü""#, "null");
        let thought = delta(r#""reasoning_content":"so","content":null"#, "null");
        let last = delta("", "\"stop\"");
        let usage = r#""usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}"#;
        vec![
            chunk(&format!(r#""service_tier":"default",{first},"usage":null"#)),
            chunk(&format!(
                r#""system_fingerprint":"f",{word},"obfuscation":"xx""#
            )),
            chunk(&format!("{thought} "))
                .replace(",", ", ")
                .replace(":", ": "),
            chunk(&last.replace("}]", r#","logprobs":null,"stop_reason":null}]"#)),
            chunk(&format!(r#""choices":[],{usage}"#)),
        ]
    }

    /// Reads texts of one stream in both ways; how many had the usual form.
    fn usual(config: &Config, texts: &[String]) -> usize {
        let reader = || Reader::new(config.clone(), Tally::new());
        let (mut quick, mut full) = (reader(), reader());
        let mut usual = 0;
        for text in texts {
            let wanted = full.read(text, Form::Chunk);
            let seen = match Chunk::read(text, &quick) {
                Some(chunk) => {
                    usual += 1;
                    quick.edits.clear();
                    Ok(chunk.tell(&mut quick, text))
                }
                None => quick.read(text, Form::Chunk),
            };
            let (seen, wanted) = (format!("{seen:?}"), format!("{wanted:?}"));
            assert_eq!(seen, wanted, "{text}");
            // A name of our own differs from one to the next.
            let hide = |reader: &Reader| format!("{reader:?}").replace(own(reader), "OWN");
            assert_eq!(hide(&quick), hide(&full), "{text}");
        }
        usual
    }

    fn own(reader: &Reader) -> &str {
        let id = reader.pinned.id.as_deref().unwrap_or_default();
        let id = id.trim_matches('"');
        if id.contains('-') { id } else { "OWN" }
    }

    fn configs() -> [Config; 3] {
        let config = Config {
            model: Some("\"asked\"".into()),
            now: Some(1_700_000_000),
            ..Config::new(&Dialect::openai(), "\"asked\"".into())
        };
        let served = Config {
            model: None,
            ..config.clone()
        };
        let with_usage = Config {
            include_usage: true,
            ..config.clone()
        };
        [config, served, with_usage]
    }

    #[test]
    fn a_stream_of_the_usual_form_is_recognised() {
        let [config, served, with_usage] = configs();
        let stream = stream();
        assert_eq!(usual(&config, &stream), stream.len());
        assert_eq!(usual(&served, &stream), stream.len());
        assert_eq!(usual(&with_usage, &stream), 0, "there is more to change");
    }

    #[test]
    fn what_is_read_is_what_the_full_reading_reads() {
        let stream = stream();
        let [config, served, _] = configs();
        let mut found = 0;
        for (one, text) in stream.iter().enumerate() {
            for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
                for (number, piece) in PIECES.iter().enumerate() {
                    let to = at + (at + number) % 4;
                    if text.is_char_boundary(to) {
                        let mut texts = stream.clone();
                        texts[one] = format!("{}{piece}{}", &text[..at], &text[to..]);
                        let config = if number % 2 == 0 { &config } else { &served };
                        found += usual(config, &texts);
                    }
                }
            }
        }
        assert!(found > 10_000, "{found} of the usual form");
    }
}
