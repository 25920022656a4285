//! What passes unread is what reading would have let pass.

use super::*;

#[test]
fn what_looks_like_the_last_event_is_treated_alike() {
    let with = |head: &str, word: &str, filler: &str| {
        let delta = format!(r#"{{"index":0,"delta":{{"content":"{word}"}},"finish_reason":null}}"#);
        format!(r#"{{{head},"choices":[{delta}],"obfuscation":"{filler}"}}"#)
    };
    let other = HEAD.replace("c1", "c2").replace("asked", "real");
    let words = ["a", "", "b\\n", "ü", "c\\\"", "d", "\\u00e9", "e", "f"];
    for head in [HEAD, &other] {
        for config in [config(), with_usage()] {
            let mut sent = vec![chunk(FIRST)];
            let mut expected = vec![chunk(FIRST)];
            for (at, word) in words.iter().enumerate() {
                sent.push(with(head, word, &"x".repeat(at)));
                expected.push(with(HEAD, word, &"x".repeat(at)));
            }
            sent.push(chunk(LAST));
            let sent: Vec<&str> = sent.iter().map(String::as_str).collect();
            let (out, tally) = reframe(&config, &events(&sent));
            let out: Vec<_> = data(&out)
                .into_iter()
                .map(|text| text.replacen(r#""usage":null,"#, "", 1))
                .collect();
            assert_eq!(out[..expected.len()], expected);
            assert_eq!(tally.events(), 11);
            assert_eq!(tally.content_bytes(), words.concat().len() as u64);
        }
    }
    // A control character is no JSON, whatever it stands between.
    let bad = events(&[&chunk(FIRST), &with(HEAD, "a", ""), &with(HEAD, "b\tc", "")]);
    let (out, _) = reframe(&config(), &bad);
    assert!(out.contains("not valid JSON"));
}

/// What goes out for these pieces and what is known of it then, with every event read in full or
/// with those passed that look like the last.
fn outcome(config: &Config, limits: MaxSizes, pieces: &[&[u8]], in_full: bool) -> (String, String) {
    let tally = Tally::new();
    let mut machine = Machine::new(config.clone(), limits, tally.clone());
    if in_full {
        // So many in a row did not fit that nothing is kept to look like.
        machine.sink.misses = u32::MAX;
    }
    let mut out = Vec::new();
    let mut all = |machine: &mut Machine, mut frame: Option<Bytes>| {
        while let Some(bytes) = frame {
            assert!(bytes.starts_with(b"data: ") && bytes.ends_with(b"\n\n"));
            out.extend_from_slice(&bytes);
            frame = machine.more();
        }
    };
    for piece in pieces {
        let frame = machine.push(Bytes::copy_from_slice(piece));
        all(&mut machine, frame);
    }
    if !machine.is_over() {
        let frame = machine.end();
        all(&mut machine, frame);
    }
    assert!(machine.is_over());
    assert!(!in_full || machine.sink.pattern.is_none());
    let said = format!(
        "{:?} {:?} {} {} {:?}",
        tally.usage(),
        tally.model(),
        tally.content_bytes(),
        tally.events(),
        tally.outcome().map(|outcome| match outcome {
            Outcome::Complete => "complete".to_owned(),
            Outcome::Failed(error) => error.message().to_owned(),
        }),
    );
    (hide(&String::from_utf8(out).expect("UTF-8")), said)
}

/// Numbers that look random, the same in every run.
fn draw(state: &mut u64, below: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state % below as u64) as usize
}

#[test]
fn what_passes_unread_is_what_reading_would_have_let_pass() {
    let head = r#""id":"c1","object":"chat.completion.chunk","created":5,"model":"m""#;
    let event = |word: &str| {
        format!(r#"data: {{{head},"choices":[{{"index":0,"delta":{{"content":"{word}"}}}}]}}"#)
    };
    let filled = |word: &str| {
        format!(
            r#"data: {{{head},"choices":[{{"index":0,"delta":{{"content":"{word}"}}}}],"obfuscation":"x{word}"}}"#
        )
    };
    let words = [
        "a",
        "",
        " b\\n",
        "ü→",
        "\\u00e9\\\"",
        "c",
        "d d d d d d d d d d d d d",
    ];
    let end = format!(
        r#"data: {{{head},"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}]}}"#
    );
    let mut seed = 0x9E37_79B9_7F4A_7C15;
    let pieces: [&[u8]; 16] = [
        b"\"", b"\\", b"\n", b"\r", b"\n\n", b"\r\n", b"\x00", b"\x1f", b"\x80", b"\xc3", b"{",
        b"}", b",", b"\\u12", b"data: ", b"\\ud800",
    ];
    let served = Config {
        model: None,
        ..config()
    };
    let limits = MaxSizes::new();
    let tight = MaxSizes::new().line(160);
    // `ROUNDS=4000` for the long form.
    let rounds = std::env::var("ROUNDS").ok();
    for round in 0..rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(96) {
        let made: Vec<String> = words
            .iter()
            .map(|word| {
                if round % 2 == 0 {
                    event(word)
                } else {
                    filled(word)
                }
            })
            .collect();
        let eol = ["\n\n", "\n\n", "\n\n", "\r\n\r\n"][round % 4];
        let mut text = made.join(eol).into_bytes();
        for part in [eol, &end, eol, "data: [DONE]\n\n"] {
            text.extend_from_slice(part.as_bytes());
        }
        // Half of them with a mistake or two, anywhere.
        for _ in 0..(round / 4) % 3 {
            let at = draw(&mut seed, text.len());
            let piece = pieces[draw(&mut seed, pieces.len())];
            let taken = draw(&mut seed, 3);
            let to = (at + taken).min(text.len());
            text.splice(at..to, piece.iter().copied());
        }
        let limits = if round % 8 == 7 { tight } else { limits };
        for config in [&served, &config(), &with_usage()] {
            let whole = outcome(config, limits, &[&text], true);
            assert_eq!(outcome(config, limits, &[&text], false), whole, "{round}");
            for cut in (0..text.len()).skip(round % 11).step_by(11) {
                let (a, b) = text.split_at(cut);
                let cut = outcome(config, limits, &[a, b], false);
                assert_eq!(cut, whole, "{round}");
            }
            let bytes: Vec<&[u8]> = text.chunks(1).collect();
            let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
            let each = text
                .windows(2)
                .enumerate()
                .filter(|(_, end)| end == b"\n\n");
            let mut from = 0;
            let mut events: Vec<&[u8]> = each
                .map(|(at, _)| &text[std::mem::replace(&mut from, at + 2).min(at)..at + 2])
                .collect();
            events.push(&text[from..]);
            for pieces in [bytes, lines, events] {
                assert_eq!(outcome(config, limits, &pieces, false), whole, "{round}");
            }
        }
    }
}

#[test]
fn much_that_passes_is_never_copied() {
    let middle: Vec<String> = (0..100).map(|at| word(&format!("w{at}"))).collect();
    let first = events(&[&chunk(FIRST)]);
    let middle = events(&middle.iter().map(String::as_str).collect::<Vec<_>>());
    let usage = format!(r#"{{{HEAD},"choices":[],"usage":{{"prompt_tokens":3}}}}"#);
    let last = events(&[&chunk(LAST), &usage, "[DONE]"]);
    let all = Bytes::from(format!("{first}{middle}{last}"));
    let passing = first.len() + middle.len() + events(&[&chunk(LAST)]).len();
    let tally = Tally::new();
    let mut machine = Machine::new(config(), MaxSizes::new(), tally.clone());
    let frame = machine.push(all.clone()).expect("what passes");
    assert_eq!((frame.as_ptr(), frame.len()), (all.as_ptr(), passing));
    assert!(machine.has_ended() && !machine.is_over());
    assert_eq!(machine.more().expect("the end"), DONE);
    assert!(machine.is_over() && machine.more().is_none() && complete(&tally));

    // An event that spans two reads goes before what passes.
    let (begun, rest) = first.split_at(first.len() - 7);
    let rest = Bytes::from(format!("{rest}{middle}"));
    let mut machine = Machine::new(config(), MaxSizes::new(), Tally::new());
    assert!(machine.push(begun.to_owned().into()).is_none());
    assert_eq!(machine.push(rest.clone()).expect("the first"), first);
    let frame = machine.more().expect("what passes");
    assert_eq!(
        (&frame, frame.as_ptr()),
        (&rest.slice(7..), rest[7..].as_ptr())
    );
    assert!(machine.more().is_none());
}
