//! The first chunks of a stream in the form that nearly all have, read in one pass.

use crate::wire::tokens::Tokens;

/// Whether such a chunk has something to read; `None` when it has another form.
pub(super) fn usual(data: &[u8]) -> Option<bool> {
    let t = &mut Tokens::unchecked(data);
    t.head_of_chunk()?;
    let mut begun = None;
    while t.pass(b"}").is_none() {
        t.pass(b",")?;
        if t.pass(br#""choices":"#).is_some() {
            if begun.is_some() {
                return None;
            }
            begun = Some(choices(t)?);
        } else if t.pass(br#""usage":"#).is_some() {
            t.pass(b"null")?;
        } else {
            t.pass(br#""system_fingerprint":"#)
                .or_else(|| t.pass(br#""service_tier":"#))
                .or_else(|| t.pass(br#""obfuscation":"#))?;
            t.text_or_null()?;
        }
    }
    t.is_end().then_some(begun?)
}

/// The same of one choice, the first, or none.
fn choices(t: &mut Tokens<'_, false>) -> Option<bool> {
    t.pass(b"[")?;
    if t.pass(b"]").is_some() {
        return Some(false);
    }
    t.pass_all(
        br#"{"index":0,"delta":{"#,
        [b"{", br#""index":"#, b"0", b",", br#""delta":"#, b"{"],
    )?;
    let mut begun = delta(t)?;
    let mut finish = false;
    while t.pass(b"}").is_none() {
        t.pass(b",")?;
        if t.pass(br#""logprobs":"#).is_some() {
            t.pass(b"null")?;
            continue;
        }
        t.pass(br#""finish_reason":"#)?;
        if std::mem::replace(&mut finish, true) {
            return None;
        }
        if t.pass(b"null").is_none() {
            t.pass(br#""stop""#)
                .or_else(|| t.pass(br#""length""#))
                .or_else(|| t.pass(br#""tool_calls""#))?;
            begun = true;
        }
    }
    t.pass(b"]")?;
    Some(begun)
}

/// The same of a delta, from behind its bracket.
fn delta(t: &mut Tokens<'_, false>) -> Option<bool> {
    const NAMES: [&[u8]; 4] = [
        br#""content":"#,
        br#""role":"#,
        br#""refusal":"#,
        br#""reasoning_content":"#,
    ];
    if t.pass(b"}").is_some() {
        return Some(false);
    }
    let mut begun = false;
    let mut had = [false; NAMES.len()];
    loop {
        let name = NAMES.iter().position(|name| t.pass(name).is_some())?;
        if std::mem::replace(&mut had[name], true) {
            return None;
        }
        let text = t.text_or_null()?;
        // A role alone is nothing to read; what is empty has its two quotes.
        begun |= name != 1 && text.is_some_and(|text| text.len() > 2);
        if t.pass(b"}").is_some() {
            return Some(begun);
        }
        t.pass(b",")?;
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::look::{Look, look_closely},
        *,
    };
    use crate::{
        sse::{Decoder, Event},
        wire::tokens::PIECES,
    };

    fn event(data: &str) -> Event {
        let mut decoder = Decoder::new();
        let lines = data.replace('\n', "\ndata: ");
        decoder.push(format!("data: {lines}\n\n").into());
        decoder.next().expect("whole").expect("sound")
    }

    #[test]
    fn it_is_seen_as_a_close_look_sees_it() {
        let chunk = |choices: &str, rest: &str| {
            format!(
                r#"{{"id":"c","object":"chat.completion.chunk","created":5,"model":"m","choices":[{choices}]{rest}}}"#
            )
        };
        let choice = |delta: &str, rest: &str| {
            format!(r#"{{"index":0,"delta":{{{delta}}},"logprobs":null,{rest}}}"#)
        };
        let chunks = [
            chunk(
                &choice(
                    r#""role":"assistant","content":"","refusal":null"#,
                    r#""finish_reason":null"#,
                ),
                r#","usage":null,"obfuscation":"x""#,
            ),
            chunk(
                &choice(r#""content":"a\nü""#, r#""finish_reason":null"#),
                "",
            ),
            chunk(
                &choice("", r#""finish_reason":"stop""#),
                r#","service_tier":"default""#,
            ),
            chunk(
                &choice(
                    r#""reasoning_content":"so","content":null"#,
                    r#""finish_reason":null"#,
                ),
                r#","system_fingerprint":"f" "#,
            )
            .replace(':', ": "),
            chunk("", ""),
        ];
        let mut told = [0; 2];
        for chunk in &chunks {
            assert!(usual(chunk.as_bytes()).is_some(), "{chunk}");
            for at in (0..chunk.len()).filter(|at| chunk.is_char_boundary(*at)) {
                for (piece, taken) in PIECES
                    .iter()
                    .flat_map(|piece| (0..4).map(move |taken| (piece, taken)))
                {
                    let to = at + taken;
                    if !chunk.is_char_boundary(to) {
                        continue;
                    }
                    let text = format!("{}{piece}{}", &chunk[..at], &chunk[to..]);
                    let Some(begun) = usual(text.as_bytes()) else {
                        continue;
                    };
                    told[usize::from(begun)] += 1;
                    match look_closely(&event(&text)) {
                        Look::Content => assert!(begun, "{text}"),
                        Look::Lifecycle => assert!(!begun, "{text}"),
                        Look::Broken(error) => panic!("{text}: {error}"),
                    }
                }
            }
        }
        assert!(told.iter().all(|told| *told > 500), "{told:?}");
        let late = chunks[1].replace(":5,", &format!(":{},", "5".repeat(400)));
        assert!(matches!(look_closely(&event(&late)), Look::Broken(_)));
        assert_eq!(usual(late.as_bytes()), None);
        let no_text = [chunks[1].as_bytes(), b"\xFF"].concat();
        let within = chunks[1].replace('ü', "\u{0}").into_bytes();
        let within: Vec<u8> = within
            .into_iter()
            .map(|byte| if byte == 0 { 0xFF } else { byte })
            .collect();
        assert_eq!((usual(&no_text), usual(&within)), (None, None));
    }
}
