use super::*;

const KEY: &str = "sk-a+b/c==";

fn cutting() -> Cutting {
    Cutting::new(Spellings::of(&Secret::new(KEY)))
}

fn pieces(cutting: &mut Cutting, pieces: &[&[u8]]) -> String {
    let mut all = Vec::new();
    for piece in pieces {
        if cutting.passes(piece) {
            all.extend_from_slice(piece);
        } else {
            all.extend_from_slice(&cutting.push(Bytes::copy_from_slice(piece)));
        }
    }
    all.extend(cutting.rest().into_iter().flatten());
    String::from_utf8(all).expect("UTF-8")
}

#[test]
fn the_key_is_cut_wherever_the_pieces_end() {
    for spelled in [
        KEY,
        "sk-a+b\\/c==",
        "sk-a\\u002Bb/c==",
        "sk-a+b/c\\u003d\\u003d",
    ] {
        let text = format!("data: {{\"error\":\"{spelled} and {spelled}, sk-sk-a+b\"}}\n\n");
        let wanted = "data: {\"error\":\"[…] and […], sk-sk-a+b\"}\n\n";
        let bytes = text.as_bytes();
        assert_eq!(pieces(&mut cutting(), &[bytes]), wanted);
        let each: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(pieces(&mut cutting(), &each), wanted);
        for at in 0..bytes.len() {
            let split = [&bytes[..at], &bytes[at..]];
            assert_eq!(pieces(&mut cutting(), &split), wanted, "{at}");
        }
    }
}

/// One credential may be a part of the other, as it is or as it is escaped.
#[test]
fn of_two_keys_nothing_is_left_wherever_the_pieces_end() {
    for (one, other) in [
        ("sk-abcd-1234-wxyz", "1234"),
        ("sk-abcd-1234-wxyz", "sk-abcd"),
        ("sk-abcd-1234-wxyz", "wxyz"),
        ("sk-abcd==1234-wxyz5678", "cd=="),
        ("--------", "----"),
    ] {
        let both = |first, second| {
            Spellings::of(&Secret::new(first)).and(Spellings::of(&Secret::new(second)))
        };
        for key in [both(one, other), both(other, one)] {
            for (text, wanted) in [
                (format!("<{one}> <{other}>"), "<[…]> <[…]>"),
                (format!("<{one}>\n"), "<[…]>\n"),
                (format!("<{other}"), "<[…]"),
            ] {
                let bytes = text.as_bytes();
                let all = |split: &[&[u8]]| pieces(&mut Cutting::new(key.clone()), split);
                assert_eq!(all(&[bytes]), wanted, "{one} {other}");
                let each: Vec<&[u8]> = bytes.chunks(1).collect();
                assert_eq!(all(&each), wanted, "{one} {other}");
                for at in 0..bytes.len() {
                    let split = [&bytes[..at], &bytes[at..]];
                    assert_eq!(all(&split), wanted, "{one} {other} {at}");
                }
            }
        }
    }
}

/// A text in three pieces, wherever they are cut, is told as the whole text is; so is one whose keys
/// stand within others, next to them, one after another.
#[test]
fn what_is_cut_out_does_not_depend_on_where_the_pieces_end() {
    for (one, other) in [
        ("abcd1234wxyz", "1234"),
        ("abcd1234wxyz", "abcd"),
        ("abcd1234wxyz", "wxyz"),
        ("abcdabcdabcd", "abcd"),
        ("abababab", "abab"),
        ("aaaaaaaa", "aaaa"),
        ("ab+/c==wxyz", "+/c=="),
    ] {
        let both = Spellings::of(&Secret::new(one)).and(Spellings::of(&Secret::new(other)));
        for text in [
            format!("<{one}>"),
            format!("<{other}{one}"),
            format!("{one}{other}>"),
            format!("<{one}{one}\n{other}"),
            format!("{} {one}", &one[..one.len() - 1]),
            format!("{}{one}", &one[..3]),
        ] {
            let text = text.as_bytes();
            let all = |split: &[&[u8]]| pieces(&mut Cutting::new(both.clone()), split);
            let whole = all(&[text]);
            assert!(!whole.contains(one), "{whole}");
            for first in 0..=text.len() {
                for second in first..=text.len() {
                    let split = [&text[..first], &text[first..second], &text[second..]];
                    assert_eq!(all(&split), whole, "{one} {other} {first} {second}");
                }
            }
        }
    }
}

#[test]
fn the_key_is_cut_whatever_was_looked_for_before() {
    let event = |text: &str| format!("data: {{\"content\":\"{text}\"}}\n\n");
    for key in ["sk-Qabc/Z", "----", "+/=+/=", "9a", "sk-aaaa"] {
        let mut cutting = Cutting::new(Spellings::of(&Secret::new(key)));
        // Before each of them some of its bytes have been seen.
        for seen in 0..=key.len() {
            let before = event(&key[..seen.min(key.len() - 1)]);
            assert_eq!(pieces(&mut cutting, &[before.as_bytes()]), before);
            let passed = pieces(&mut cutting, &[event(key).as_bytes()]);
            let long = key.len() >= SHORTEST;
            assert_eq!(passed, event(if long { CUT } else { key }), "{key} {seen}");
        }
    }
}

#[test]
fn the_key_is_found_in_a_long_text_whatever_else_stands_in_it() {
    const LETTERS: [&[u8]; 4] = [b"Q", b"Zx9", b"sk-aQZ", b" the quick brown fox, "];
    for key in [
        "sk-QaZx+b/c9==",
        "----",
        "9a9a",
        "sk-aaaa",
        "+QZ=x",
        "QQQQ",
        "a",
    ] {
        let spellings = Spellings::of(&Secret::new(key));
        let mut random = 7_u32;
        let mut next = |below: usize| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) as usize % below
        };
        for round in 0..200 {
            // Seldom or often, here and there, something that the key has too.
            let often = 1 + next(900);
            let mut text = Vec::new();
            while text.len() < 9 * TRY {
                let some = LETTERS[if next(often) == 0 { next(4) } else { 3 }];
                text.extend_from_slice(some);
            }
            text.truncate(TRY - 2 + next(8 * TRY));
            for finder in &spellings.0.finders[..] {
                let (at, cut) = (next(text.len()), next(finder.needle().len() + 1));
                let (before, behind) = text.split_at(at);
                let whole = [before, finder.needle(), behind].concat();
                assert!(spellings.is_in(&whole), "{key} {round} {at}");
                let torn = [
                    before,
                    &finder.needle()[..cut],
                    b"\0",
                    &finder.needle()[cut..],
                ];
                let torn = [&torn.concat(), behind].concat();
                assert_eq!(
                    spellings.is_in(&torn),
                    spellings.is_found(&torn),
                    "{key} {round}"
                );
            }
            assert_eq!(
                spellings.is_in(&text),
                spellings.is_found(&text),
                "{key} {round}"
            );
        }
    }
}

#[test]
fn two_keys_are_cut_wherever_the_pieces_end() {
    let of = |key: &str| Spellings::of(&Secret::new(key));
    for other in ["Zx9/another", "----", "a+b/c", "sk-a+b/c==and+more"] {
        for both in [of(KEY).and(of(other)), of(other).and(of(KEY))] {
            let text = format!("data: {KEY} and {other}, {other} and {KEY}\n\n");
            let wanted = "data: […] and […], […] and […]\n\n";
            for at in 0..text.len() {
                let split = [&text.as_bytes()[..at], &text.as_bytes()[at..]];
                // One that is a part of the other is cut out of it where the rest is still to come.
                let nested = other.contains(KEY) || KEY.contains(other);
                if !nested || at == 0 {
                    let mut cutting = Cutting::new(both.clone());
                    assert_eq!(pieces(&mut cutting, &split), wanted, "{other} {at}");
                }
            }
            let filler = " the quick brown fox, ".repeat(TRY);
            for key in [KEY, other] {
                assert!(
                    both.is_in(format!("{filler}{key}{filler}").as_bytes()),
                    "{key}"
                );
            }
            assert!(!both.is_in(filler.as_bytes()));
        }
    }
    for alone in [of(KEY).and(of("")), Spellings::default().and(of(KEY))] {
        assert_eq!(pieces(&mut Cutting::new(alone), &[KEY.as_bytes()]), CUT);
    }
}

#[test]
fn what_is_none_of_it_is_the_same_allocation() {
    let text = Bytes::from_static(b"data: {\"a\":\"sk-a\"}\n\n");
    let passed = cutting().push(text.clone());
    assert_eq!(passed.as_ptr(), text.as_ptr());
    let short = Cutting::new(Spellings::of(&Secret::new("a"))).push(text.clone());
    assert_eq!(short, text);
}

#[test]
fn an_end_in_the_beginning_of_it_is_not_lost() {
    let mut cutting = cutting();
    assert_eq!(cutting.push("x sk-a".into()), "x ");
    assert!(!cutting.is_empty());
    assert_eq!(cutting.rest().as_deref(), Some(&b"sk-a"[..]));
    assert_eq!(cutting.rest(), None);
}
