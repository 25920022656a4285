//! A whole answer of the usual form, read in one pass.
//!
//! Nearly every answer has one choice and its members in the order that OpenAI has given them. What
//! is written so, indented or not, and needs no change but another model's name, is recognised
//! member by member. Anything else is for the full reading.

use std::ops::Range;

use super::{
    config::Config,
    pass::Seen,
    pattern::string_end,
    read::{Reader, is_time},
};
use crate::{
    dialect::IdFormat,
    wire::{Usage, json::Cursor},
};

/// Brackets that a usage may open: what nests deeper is not the usual form.
const BRACKETS: usize = 32;

/// What such an answer says.
#[derive(Debug)]
pub(super) struct Usual {
    /// With its quotes.
    model: Range<usize>,
    /// With its quotes.
    tier: Option<Range<usize>>,
    usage: Option<(Range<usize>, Option<Usage>)>,
    seen: Seen,
}

impl Usual {
    /// Reads an answer; `None` when it has another form, or may not keep its id. Nothing has been
    /// noted then.
    pub(super) fn read(text: &str, config: &Config) -> Option<Self> {
        if config.id != IdFormat::Upstream {
            return None;
        }
        let t = &mut Tokens {
            text: text.as_bytes(),
            at: 0,
        };
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
        let created = t.digits();
        if created.is_empty() || !is_time(&text[created]) {
            return None;
        }
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
                let at = t.value_at();
                let mut cursor = Cursor::within(text.as_bytes(), at, usize::MAX);
                let read = Usage::read(&mut cursor, config.counting).ok()?;
                t.at = cursor.at();
                let open = |byte: &&u8| matches!(**byte, b'{' | b'[');
                let brackets = t.text[at..t.at].iter().filter(open).count();
                if brackets > BRACKETS || usage.replace((at..t.at, read)).is_some() {
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
        t.value_at();
        (t.at == t.text.len()).then_some(Self {
            model,
            tier,
            usage,
            seen,
        })
    }

    /// Notes what it says, as the full reading does.
    pub(super) fn tell(self, reader: &mut Reader, text: &str) -> Seen {
        let Self {
            model,
            tier,
            usage,
            mut seen,
        } = self;
        reader.model_of_answer(&text[model.clone()], model);
        reader.choices.begin_first();
        if let Some((at, usage)) = usage {
            if let Some(usage) = usage {
                reader.note_usage(usage, &text[at.clone()], &mut seen);
            }
            seen.usage_at = Some(at);
        }
        if let Some(tier) = tier {
            if let Ok(tier) = Cursor::new(&text[tier]).string() {
                reader.tell_tier(&tier.cow());
            }
        }
        seen
    }
}

/// The one choice, from its message's role on.
fn choice(t: &mut Tokens<'_>, seen: &mut Seen) -> Option<()> {
    t.string()?;
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
    seen.changed = true;
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

/// A text that is read token by token, with blanks between them where there are any.
struct Tokens<'t> {
    text: &'t [u8],
    at: usize,
}

impl Tokens<'_> {
    /// Where the next token begins.
    #[inline(always)]
    fn value_at(&mut self) -> usize {
        while matches!(self.text.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        self.at
    }

    /// Passes this, if it comes next.
    #[inline(always)]
    fn pass(&mut self, token: &[u8]) -> Option<()> {
        let at = self.value_at();
        if !self.text.get(at..)?.starts_with(token) {
            return None;
        }
        self.at = at + token.len();
        Some(())
    }

    /// Passes all of these, mostly side by side as they stand in the first.
    #[inline(always)]
    fn pass_all<const SIZE: usize>(&mut self, joined: &[u8], tokens: [&[u8]; SIZE]) -> Option<()> {
        if self.text.get(self.at..)?.starts_with(joined) {
            self.at += joined.len();
            return Some(());
        }
        tokens.into_iter().try_for_each(|token| self.pass(token))
    }

    /// Passes a string; where, with its quotes.
    #[inline]
    fn string(&mut self) -> Option<Range<usize>> {
        self.pass(b"\"")?;
        let at = self.at;
        self.at = string_end(self.text, at)? + 1;
        Some(at - 1..self.at)
    }

    /// Passes a string that is not empty.
    #[inline]
    fn name(&mut self) -> Option<Range<usize>> {
        self.string().filter(|name| name.len() > 2)
    }

    /// Passes a string or `null`; where the string is, if it is one.
    #[inline]
    fn text_or_null(&mut self) -> Option<Option<Range<usize>>> {
        if self.pass(b"null").is_some() {
            return Some(None);
        }
        self.string().map(Some)
    }

    /// Passes digits; where.
    fn digits(&mut self) -> Range<usize> {
        let at = self.value_at();
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        at..self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dialect::Dialect, meter::Tally, reframe::pass::Form};

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
        let Some(usual) = Usual::read(text, &reader().config) else {
            return false;
        };
        let (mut quick, mut full) = (reader(), reader());
        let seen = usual.tell(&mut quick, text);
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
    fn what_is_read_is_what_the_full_reading_reads() {
        let pieces = [
            "",
            "\"",
            "\\",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "null",
            "0",
            "1",
            " ",
            "\n",
            "\t",
            "\u{1}",
            "a",
            "\\n",
            "\\ud800",
            "ü",
            "\"id\":\"x\",",
            "\"usage\":{},",
            "\"content\":\"b\",",
            "\"error\":1,",
            "\"index\":2,",
        ];
        let mut usual = 0;
        for text in [COMPACT.to_owned(), OTHER.to_owned(), indented(OTHER)] {
            for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
                for piece in pieces {
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
