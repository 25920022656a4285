use proptest::prelude::*;

use super::*;

thread_local! {
    /// How many bytes the decoders of this thread have looked at for the end of a line.
    pub(super) static SCANNED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// An event as the standard's own prose makes it: whole input, one character at a time.
type Plain = (Option<String>, Vec<u8>, Option<String>);

fn naive(mut input: &[u8]) -> Vec<Plain> {
    input = input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input);
    let (mut events, mut name, mut data, mut id) = (Vec::new(), Vec::new(), Vec::new(), None);
    while let Some(end) = input.iter().position(|byte| b"\r\n".contains(byte)) {
        let line = &input[..end];
        let eol = if input[end..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        input = &input[end + eol..];
        if line.is_empty() {
            if let Some((_, data)) = data.split_last() {
                let name = String::from_utf8(name.clone()).ok();
                events.push((name.filter(|n| !n.is_empty()), data.to_vec(), id.clone()));
            }
            (name, data) = (Vec::new(), Vec::new());
            continue;
        }
        let colon = line.iter().position(|&byte| byte == b':');
        let (field, value) = match colon {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => data.extend([value, b"\n"].concat()),
            b"event" => name = value.to_vec(),
            b"id" if !value.contains(&0) => {
                id = Some(String::from_utf8_lossy(value).into_owned()).filter(|id| !id.is_empty());
            }
            _ => {}
        }
    }
    events
}

fn drain(decoder: &mut Decoder, events: &mut Vec<Result<Plain, Error>>) {
    while let Some(event) = decoder.next() {
        events.push(event.map(|event| {
            let name = event.name().map(str::to_owned);
            let id = event.id().map(str::to_owned);
            (name, event.into_data().to_vec(), id)
        }));
    }
}

fn decode_with(mut decoder: Decoder, pieces: &[&[u8]]) -> Vec<Result<Plain, Error>> {
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        drain(&mut decoder, &mut events);
    }
    while let Some(event) = decoder.finish() {
        events.push(event.map(|event| (None, event.data().to_vec(), None)));
    }
    assert!(decoder.next().is_none());
    events
}

fn decode(pieces: &[&[u8]]) -> Vec<Plain> {
    let events = decode_with(Decoder::new(), pieces);
    events
        .into_iter()
        .map(|event| event.expect("no limit"))
        .collect()
}

/// Whole, cut at every place, cut at every pair of places, and byte by byte.
fn check(input: &[u8]) {
    let expected = naive(input);
    let shown = String::from_utf8_lossy(input);
    assert_eq!(decode(&[input]), expected, "{shown:?}");
    for i in 0..=input.len() {
        for j in i..=input.len() {
            let pieces = [&input[..i], &input[i..j], &input[j..]];
            assert_eq!(decode(&pieces), expected, "{shown:?} cut at {i}, {j}");
        }
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(decode(&bytes), expected, "{shown:?} byte by byte");
}

#[test]
fn the_vectors_of_the_standard() {
    for input in [
        "",
        "\n",
        "data: a\n\n",
        "data: a\n\ndata: b\n\n",
        "data: a",
        "data: a\n",
        "data: a\r",
        "data: a\r\n\r\ndata: b\r\n\r\n",
        "data: a\r\rdata: b\r\r",
        "data: a\r\n\ndata: b\n\r\n",
        "data: a\n\r\r\ndata: b\r\n\r",
        "\u{feff}data: a\n\n\u{feff}data: b\n\n",
        "\u{feff}\u{feff}data: a\n\n",
        "\u{feff}\ndata: a\n\n",
        "\u{feff}",
        "data:\u{feff}a\n\n",
        ": comment\n\ndata: a\n: comment\ndata: b\n\n",
        ":\n:\r:\r\n\n",
        "data\n\ndata\ndata\n\ndata:",
        "data:\n\n",
        "data: \n\n",
        "data:  two\n\n",
        "data:a\n\n",
        "data : a\n\n",
        " data: a\n\n",
        "DATA: a\n\n",
        "datax: a\n\n",
        "event: x\n\ndata: a\n\n",
        "event: x\ndata: a\n\ndata: b\n\n",
        "event: x\nevent\ndata: a\n\n",
        "event: x\nevent: y\ndata: 1\ndata:2\ndata\n\n",
        "data: 1\ndata: 2\nevent: late\r\n\r\n",
        "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\nid: 2\n\ndata: d\n\n",
        "id: a\0b\ndata: a\n\nid:7\ndata: b\n\nid: x\0\ndata: c\n\n",
        "data: ü\u{2028}\u{85}€𝄞\n\nevent: ü\ndata: x\n\n",
        "data: YHOO\ndata: +2\ndata: 10\n\n",
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event",
        "retry: 10\ndata: a\n\nretry: x\nretry:\ndata: b\n\n",
        "data: {\"a\": 1}\n\ndata: [DONE]\n\n",
        "\n\n\n\r\n\r\rdata: a\n\n\n\n\r",
        "x: 1\ny\n\ndata: a\nz: 2\n\n",
    ] {
        check(input.as_bytes());
    }
    check(b"data: \xff\xfe\n\nid: \xff\ndata: a\n\n");
}

#[test]
fn retry_is_digits_and_lasts() {
    let mut decoder = Decoder::new();
    let text = b"data: a\n\nretry: 1500\ndata: b\n\nretry: 1x\nretry:-1\nretry\ndata: c\n\nretry: 99999999999\ndata: d\n\n";
    decoder.push(Bytes::from_static(text));
    let mut waits = Vec::new();
    while let Some(event) = decoder.next() {
        waits.push(
            event
                .expect("no limit")
                .retry()
                .map(|wait| wait.as_millis()),
        );
    }
    assert_eq!(waits, [None, Some(1500), Some(1500), Some(u32::MAX.into())]);
}

#[test]
fn an_event_within_a_chunk_is_a_slice_of_it() {
    let chunk = Bytes::from(b"event: x\ndata: one\n\ndata: two\n\n".to_vec());
    let within = chunk.as_ptr_range();
    let mut decoder = Decoder::new();
    decoder.push(chunk.clone());
    for _ in 0..2 {
        let event = decoder.next().expect("whole").expect("no limit");
        assert!(within.contains(&event.data().as_ptr()));
    }
    assert!(decoder.next().is_none());
}

#[test]
fn a_limit_says_which_wherever_it_is_cut() {
    let limits = MaxSizes::new().line(10).event(20).stream(60);
    for (input, before, expected) in [
        (
            &b"data: a\n\ndata: 34567\n\n"[..],
            1,
            Error::LineTooLong(10),
        ),
        (b"data: a\n\ndata: 3456", 1, Error::StreamTooLong(60)),
        (b"data: 1\n\n: 34567890123", 1, Error::LineTooLong(10)),
        (
            b"data: 1\ndata: 2\ndata: 3\n\n",
            0,
            Error::EventTooLarge(20),
        ),
        (&b"data: 123\n\n".repeat(9), 5, Error::StreamTooLong(60)),
    ] {
        for i in 0..=input.len() {
            for j in i..=input.len() {
                let pieces = [&input[..i], &input[i..j], &input[j..]];
                let events = decode_with(Decoder::with_limits(limits), &pieces);
                if input.len() < 20 {
                    assert_eq!(events.len(), 1);
                    continue;
                }
                assert_eq!(events.len(), before + 1, "{i} {j}");
                assert_eq!(events.last(), Some(&Err(expected)), "{i} {j}");
            }
        }
    }
}

#[test]
fn a_single_line_may_be_just_as_long_as_the_limits_say_wherever_it_is_cut() {
    let data = |events: Vec<Result<Plain, Error>>| -> Vec<Result<Vec<u8>, Error>> {
        let events = events.into_iter();
        events.map(|event| event.map(|(_, data, _)| data)).collect()
    };
    let input = b"data: a\n\ndata: 123456\n\ndata: b\n\n";
    let whole = [b"a".to_vec(), b"123456".to_vec(), b"b".to_vec()].map(Ok);
    // The line is of 12 bytes, the event as its lines are read of 13.
    for (limits, error) in [
        (MaxSizes::new().line(12).event(13), None),
        (MaxSizes::new().line(11), Some(Error::LineTooLong(11))),
        (MaxSizes::new().event(12), Some(Error::EventTooLarge(12))),
    ] {
        let expected = match error {
            None => whole.to_vec(),
            Some(error) => vec![Ok(b"a".to_vec()), Err(error)],
        };
        for i in 0..=input.len() {
            for j in i..=input.len() {
                let pieces = [&input[..i], &input[i..j], &input[j..]];
                let read = data(decode_with(Decoder::with_limits(limits), &pieces));
                assert_eq!(read, expected, "{i} {j}");
            }
        }
    }
}

#[test]
fn comments_without_end_are_not_kept() {
    let mut decoder = Decoder::with_limits(MaxSizes::new().event(100));
    for _ in 0..1000 {
        decoder.push(Bytes::from_static(b": keep-alive\n"));
        assert!(decoder.next().is_none());
        assert!(decoder.carry.capacity() <= KEPT);
    }
}

#[test]
fn an_unfinished_event_is_dropped_or_flushed() {
    for (input, flushed) in [
        ("data: a\n\ndata: [DONE]", Some("[DONE]")),
        ("data: a\n\ndata: [DONE]\n", Some("[DONE]")),
        ("data: a\n\ndata: [DONE]\r", Some("[DONE]")),
        ("data: a\n\n", None),
        ("data: a\n\nevent: x\n", None),
        ("data: a\n\n: comment", None),
    ] {
        let pieces: Vec<&[u8]> = input.as_bytes().chunks(3).collect();
        assert_eq!(decode(&pieces).len(), 1);
        let events = decode_with(Decoder::new().at_end(AtEnd::Flush), &pieces);
        let last = events
            .get(1)
            .map(|event| event.clone().expect("no limit").1);
        assert_eq!(last.as_deref(), flushed.map(str::as_bytes), "{input:?}");
    }
}

#[test]
fn a_long_line_in_small_pieces_is_scanned_once() {
    let line = [&b"data: "[..], &vec![b'x'; 1 << 20], b"\n\n"].concat();
    let mut decoder = Decoder::new();
    let mut found = 0;
    let before = SCANNED.get();
    for piece in line.chunks(64) {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next() {
            found += event.expect("no limit").data().len();
        }
    }
    assert_eq!(found, 1 << 20);
    let scanned = SCANNED.get() - before;
    assert!(scanned <= line.len(), "{scanned} of {}", line.len());
    assert!(decoder.next().is_none() && decoder.carry.capacity() <= KEPT);
}

#[test]
fn chunks_that_were_not_drained_are_joined() {
    let mut decoder = Decoder::new();
    for piece in [&b"data: a\n\nda"[..], b"ta: b\n", b"\ndata: c\n\n"] {
        decoder.push(Bytes::copy_from_slice(piece));
    }
    let mut events = Vec::new();
    drain(&mut decoder, &mut events);
    assert_eq!(events.len(), 3);
}

proptest! {
    #[test]
    fn as_the_naive_reading(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "data", "data: ", "data:", "event: ", "id: ", "retry: ", ":", ": x", " ", "a", "7",
                "{\"x\":1}", "\n", "\r", "\r\n", "\n\n", "\0", "\u{feff}", "ü", "\u{2028}",
            ]),
            0..40,
        ),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let text = parts.concat();
        let input = text.as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&input[from..cut]);
            from = cut;
        }
        pieces.push(&input[from..]);
        prop_assert_eq!(decode(&pieces), naive(input));
    }

    #[test]
    fn what_is_written_is_read(
        data in prop::collection::vec("[a-z\n]{0,6}", 1..5),
        name in prop::option::of("[a-z]{1,4}"),
    ) {
        let mut out = Vec::new();
        for data in &data {
            super::super::write_event(&mut out, name.as_deref(), data.as_bytes());
        }
        let events: Vec<Plain> = data
            .iter()
            .map(|data| (name.clone(), data.clone().into_bytes(), None))
            .collect();
        prop_assert_eq!(decode(&[&out]), events);
    }
}
