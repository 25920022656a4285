//! A whole answer.

use std::ops::Range;

use super::super::{config::Config, pass::Seen, read::Reader};
use crate::{
    dialect::IdFormat,
    wire::{Usage, json::Cursor, tokens::Tokens},
};

/// What such an answer says.
#[derive(Debug)]
pub(in crate::reframe) struct Answer {
    /// With its quotes.
    model: Range<usize>,
    /// With its quotes.
    tier: Option<Range<usize>>,
    usage: Option<(Range<usize>, Option<Usage>)>,
    seen: Seen,
}

impl Answer {
    /// Reads an answer; `None` when it has another form, is not UTF-8 or may not keep its id. Nothing
    /// has been noted then.
    pub(in crate::reframe) fn read(text: &[u8], config: &Config) -> Option<Self> {
        if config.id != IdFormat::Upstream {
            return None;
        }
        let t = &mut Tokens::unchecked(text);
        let mut seen = Seen::default();
        t.pass_all(br#"{"id":"#, [b"{", br#""id":"#])?;
        t.name()?;
        t.pass_all(
            br#","object":"chat.completion","created":"#,
            [
                b",",
                br#""object":"#,
                br#""chat.completion""#,
                b",",
                br#""created":"#,
            ],
        )?;
        t.time()?;
        t.pass_all(br#","model":"#, [b",", br#""model":"#])?;
        let model = t.name()?;
        t.pass_all(
            br#","choices":[{"index":0,"message":{"role":"#,
            [
                b",",
                br#""choices":"#,
                b"[",
                b"{",
                br#""index":"#,
                b"0",
                b",",
                br#""message":"#,
                b"{",
                br#""role":"#,
            ],
        )?;
        choice(t, &mut seen)?;
        t.pass(b"]")?;
        let (mut tier, mut usage) = (None, None);
        while t.pass(b"}").is_none() {
            t.pass(b",")?;
            if t.pass(br#""usage":"#).is_some() {
                if usage.replace(t.usage(config.counting)?).is_some() {
                    return None;
                }
            } else if t.pass(br#""service_tier":"#).is_some() {
                if t.pass(b"null").is_none() && tier.replace(t.string()?).is_some() {
                    return None;
                }
            } else {
                t.pass(br#""system_fingerprint":"#)
                    .or_else(|| t.pass(br#""prompt_logprobs":"#))?;
                t.text_or_null()?;
            }
        }
        t.is_end().then_some(Self {
            model,
            tier,
            usage,
            seen,
        })
    }

    /// Notes what it says, as the full reading does.
    pub(in crate::reframe) fn tell(self, reader: &mut Reader, text: &[u8]) -> Seen {
        let Self {
            model,
            tier,
            usage,
            mut seen,
        } = self;
        let spelled =
            |at: &Range<usize>| std::str::from_utf8(&text[at.clone()]).unwrap_or_default();
        reader.model_of_answer(spelled(&model), model);
        seen.changed |= reader.choices.first(seen.finish, seen.content > 0);
        if let Some((at, usage)) = usage {
            if let Some(usage) = usage {
                reader.note_usage(usage, &text[at.clone()], &mut seen);
            }
            seen.usage_at = Some(at);
        }
        if let Some(tier) = tier {
            if let Ok(tier) = Cursor::new(spelled(&tier)).string() {
                reader.tell_tier(&tier.cow());
            }
        }
        seen
    }
}

/// The one choice, from its message's role on.
fn choice(t: &mut Tokens<'_, false>, seen: &mut Seen) -> Option<()> {
    t.pass(br#""assistant""#)?;
    while t.pass(b"}").is_none() {
        t.pass(b",")?;
        if t.pass(br#""content":"#).is_some()
            || t.pass(br#""refusal":"#).is_some()
            || t.pass(br#""reasoning_content":"#).is_some()
        {
            if let Some(at) = t.text_or_null()? {
                seen.text(at.start + 1..at.end - 1);
            }
        } else if t.pass(br#""annotations":"#).is_some() || t.pass(br#""tool_calls":"#).is_some() {
            if t.pass(b"null").is_none() {
                t.pass_all(b"[]", [b"[", b"]"])?;
            }
        } else {
            t.pass(br#""function_call":"#)
                .or_else(|| t.pass(br#""audio":"#))?;
            t.pass(b"null")?;
        }
    }
    seen.choices = Some(1);
    while t.pass(b"}").is_none() {
        t.pass(b",")?;
        if t.pass(br#""logprobs":"#).is_some() {
            t.pass(b"null")?;
        } else if t.pass(br#""finish_reason":"#).is_some() {
            if seen.finish {
                return None;
            }
            t.pass(br#""stop""#).or_else(|| t.pass(br#""length""#))?;
            seen.finish = true;
        } else {
            t.pass(br#""stop_reason":"#)?;
            t.text_or_null()?;
        }
    }
    seen.finish.then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dialect::Dialect, meter::Tally, reframe::pass::Form, wire::tokens::PIECES};

    fn reader() -> Reader {
        let config = Config {
            model: Some("\"asked\"".into()),
            ..Config::new(&Dialect::openai(), "\"asked\"".into())
        };
        Reader::new(config, Tally::new())
    }

    const COMPACT: &str = r#"{"id":"c-1","object":"chat.completion","created":1755000000,"model":"asked","choices":[{"index":0,"message":{"role":"assistant","content":"Pa\nris ü","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":29,"completion_tokens":3,"total_tokens":32,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0}},"service_tier":"default","system_fingerprint":"fp_1"}"#;
    const OTHER: &str = r#"{"id":"c","object":"chat.completion","created":5,"model":"served","choices":[{"index":0,"message":{"role":"assistant","reasoning_content":"so","content":null,"tool_calls":[]},"logprobs":null,"finish_reason":"length","stop_reason":null}],"usage":null,"prompt_logprobs":null}"#;

    /// The same, indented as OpenAI does.
    fn indented(text: &str) -> String {
        let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let mut out = String::new();
        let (mut depth, mut within) = (0_usize, false);
        let mut last = ' ';
        for char in text.chars() {
            within ^= char == '"' && last != '\\';
            last = char;
            match char {
                _ if within => out.push(char),
                '{' | '[' => {
                    depth += 1;
                    out += &format!("{char}\n{}", "  ".repeat(depth));
                }
                '}' | ']' => {
                    depth -= 1;
                    out += &format!("\n{}{char}", "  ".repeat(depth));
                }
                ',' => out += &format!(",\n{}", "  ".repeat(depth)),
                ':' => out += ": ",
                _ => out.push(char),
            }
        }
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&out).ok(),
            Some(value)
        );
        out
    }

    /// Whether it has the usual form; then what is read is what the full reading reads.
    fn is_usual(text: &str) -> bool {
        let Some(usual) = Answer::read(text.as_bytes(), &reader().config) else {
            return false;
        };
        let (mut quick, mut full) = (reader(), reader());
        let seen = usual.tell(&mut quick, text.as_bytes());
        let wanted = full.read(text, Form::Whole).expect("it is an answer");
        assert_eq!(format!("{seen:?}"), format!("{wanted:?}"), "{text}");
        assert_eq!(format!("{quick:?}"), format!("{full:?}"), "{text}");
        true
    }

    #[test]
    fn the_usual_form_is_recognised_indented_or_not() {
        for text in [COMPACT, OTHER] {
            assert!(is_usual(text), "{text}");
            assert!(is_usual(&indented(text)), "{text}");
        }
        let renamed = COMPACT.replace("asked", "served");
        assert!(is_usual(&renamed));
        assert!(!is_usual(&COMPACT.replace("\"stop\"", "\"eos\"")));
        assert!(!is_usual(&COMPACT.replace(":0,", ":1,")));
    }

    #[test]
    fn what_is_no_utf_8_is_not_the_usual_form_wherever_it_stands() {
        let spelled = COMPACT.replace("\"cached_tokens\"", "\"a\":\"ü\",\"cached_tokens\"");
        assert!(is_usual(&spelled));
        for text in [spelled, indented(OTHER)] {
            let mut usual = 0;
            for at in 0..=text.len() {
                for piece in [&b"\x80"[..], b"\xFF", b"\xE2\x82", b"\xC3", "ü".as_bytes()] {
                    let (before, behind) = text.as_bytes().split_at(at);
                    let text = [before, piece, behind].concat();
                    let read = Answer::read(&text, &reader().config).is_some();
                    usual += usize::from(read);
                    assert!(
                        !read || std::str::from_utf8(&text).is_ok(),
                        "{at} {piece:?}"
                    );
                }
            }
            assert!(usual > 10, "{usual} of the usual form");
        }
    }

    #[test]
    fn what_is_read_is_what_the_full_reading_reads() {
        let mut usual = 0;
        for text in [COMPACT.to_owned(), OTHER.to_owned(), indented(OTHER)] {
            for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
                for piece in PIECES {
                    for taken in 0..4 {
                        let to = at + taken;
                        if text.is_char_boundary(to) {
                            let text = format!("{}{piece}{}", &text[..at], &text[to..]);
                            usual += usize::from(is_usual(&text));
                        }
                    }
                }
            }
        }
        assert!(usual > 1000, "{usual} of the usual form");
        let deep = "[".repeat(200) + &"]".repeat(200);
        let deep = COMPACT.replace("\"cached_tokens\":4", &format!("\"x\":{deep}"));
        assert!(!is_usual(&deep));
    }
}
