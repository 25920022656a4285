//! The sibling decoders: the same events wherever the input is cut.

use bytes::Bytes;

use super::{Decode, Error, MaxSizes, json_array, ndjson};

type Read = Vec<Result<(Option<String>, Vec<u8>), Error>>;

fn decode(mut decoder: impl Decode, pieces: &[&[u8]]) -> Read {
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next() {
            events.push(event);
        }
    }
    while let Some(event) = decoder.finish() {
        events.push(event);
    }
    assert!(decoder.next().is_none() && decoder.finish().is_none());
    events
        .into_iter()
        .map(|event| event.map(|event| (event.name().map(str::to_owned), event.data().to_vec())))
        .collect()
}

fn check<D: Decode>(new: impl Fn() -> D, input: &[u8], expected: &[Result<&str, Error>]) {
    let data = |read: Read| -> Vec<Result<String, Error>> {
        let text = |data: Vec<u8>| String::from_utf8_lossy(&data).into_owned();
        read.into_iter()
            .map(|event| event.map(|(_, data)| text(data)))
            .collect()
    };
    let expected: Vec<_> = expected
        .iter()
        .map(|event| event.map(str::to_owned))
        .collect();
    for i in 0..=input.len() {
        for j in i..=input.len() {
            let pieces = [&input[..i], &input[i..j], &input[j..]];
            assert_eq!(data(decode(new(), &pieces)), expected, "cut at {i}, {j}");
        }
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(data(decode(new(), &bytes)), expected);
}

/// Events of one chunk lie in it.
fn within(mut decoder: impl Decode, chunk: &Bytes) -> usize {
    let lies = chunk.as_ptr_range();
    decoder.push(chunk.clone());
    let mut events = 0;
    while let Some(event) = decoder.next() {
        let event = event.expect("intact");
        assert!(lies.contains(&event.data().as_ptr()));
        events += 1;
    }
    events
}

#[test]
fn an_event_within_a_chunk_is_a_slice_of_it() {
    let lines = Bytes::from(b"{}\r\n[1]\n".to_vec());
    assert_eq!(within(ndjson::Decoder::new(), &lines), 2);
    let array = Bytes::from(b"[{\"a\":1}, 2, \"x\"]".to_vec());
    assert_eq!(within(json_array::Decoder::new(), &array), 3);
}

#[test]
fn lines_of_json() {
    let limits = MaxSizes::new().line(9).stream(40);
    let new = || ndjson::Decoder::with_limits(limits);
    check(new, b"", &[]);
    check(new, b"{}\n\n \r\n[1]\r\n2", &[Ok("{}"), Ok("[1]"), Ok("2")]);
    check(
        new,
        b"1\n1234567890\n2\n",
        &[Ok("1"), Err(Error::LineTooLong(9))],
    );
    check(new, b"123456789\r\n2", &[Ok("123456789"), Ok("2")]);
    let long = b"12345678\n".repeat(5);
    let mut expected = vec![Ok("12345678"); 4];
    expected.push(Err(Error::StreamTooLong(40)));
    check(new, &long, &expected);
}

#[test]
fn elements_of_an_array() {
    let limits = MaxSizes::new().event(12).stream(40);
    let new = || json_array::Decoder::with_limits(limits);
    check(new, b" [ ] ", &[]);
    check(new, b"", &[]);
    check(
        new,
        b"[{\"a\":[1,{}]},\r\n\"],\\\"\" , -1 ,true]\n",
        &[Ok("{\"a\":[1,{}]}"), Ok("\"],\\\"\""), Ok("-1"), Ok("true")],
    );
    check(new, b"{\"e\": {}} ", &[Ok("{\"e\": {}}")]);
    let wrong = Err(Error::Format("a JSON array"));
    check(new, b"data: x", &[wrong]);
    check(new, b"[1 2]", &[Ok("1"), wrong]);
    check(new, b"[1,]", &[Ok("1"), wrong]);
    check(new, b"[1]x", &[Ok("1"), wrong]);
    check(new, b"[{},{\"a", &[Ok("{}"), Err(Error::Cut("an array"))]);
    check(new, b"[{\"a\":12345678}]", &[Err(Error::EventTooLarge(12))]);
    let long = [b"[".to_vec(), b"1234,".repeat(10)].concat();
    let mut expected = vec![Ok("1234"); 7];
    expected.push(Err(Error::StreamTooLong(40)));
    check(new, &long, &expected);
}

#[cfg(feature = "bedrock")]
mod aws {
    use super::super::aws::{Decoder, Kind, write_message};
    use super::{Bytes, Error, MaxSizes, check, decode};

    fn frame(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
        // A header of each other type stands in the way.
        let mut head =
            b"\x01n\x00\x01b\x02\x05\x01i\x04\0\0\0\x01\x01t\x08\0\0\0\0\0\0\0\0".to_vec();
        head.extend(b"\x01u\x09");
        head.extend([0; 16]);
        head.extend(b"\x01x\x06\0\x01z");
        for (name, value) in headers {
            head.push(u8::try_from(name.len()).expect("short"));
            head.extend(name.as_bytes());
            head.push(7);
            head.extend(u16::try_from(value.len()).expect("short").to_be_bytes());
            head.extend(value.as_bytes());
        }
        let total = u32::try_from(head.len() + payload.len() + 16).expect("short");
        let mut frame = total.to_be_bytes().to_vec();
        frame.extend(u32::try_from(head.len()).expect("short").to_be_bytes());
        frame.extend(crc32fast::hash(&frame).to_be_bytes());
        frame.extend(head);
        frame.extend(payload.as_bytes());
        frame.extend(crc32fast::hash(&frame).to_be_bytes());
        frame
    }

    #[test]
    fn messages_of_all_kinds() {
        let event = frame(
            &[(":event-type", "messageStart"), (":message-type", "event")],
            "{}",
        );
        let exception = frame(
            &[
                (":message-type", "exception"),
                (":exception-type", "throttlingException"),
            ],
            "{\"message\":\"slow\"}",
        );
        let error = frame(
            &[
                (":message-type", "error"),
                (":error-code", "500"),
                (":error-message", "sorry"),
            ],
            "",
        );
        let input = [event.clone(), exception, error].concat();
        let pieces: Vec<&[u8]> = input.chunks(5).collect();
        let named = |name: &str, data: &str| Ok((Some(name.to_owned()), data.as_bytes().to_vec()));
        let expected = [
            named("messageStart", "{}"),
            named("throttlingException", "{\"message\":\"slow\"}"),
            named("500", "sorry"),
        ];
        assert_eq!(decode(Decoder::new(), &pieces), expected);
        assert_eq!(decode(Decoder::new(), &[&input]), expected);
        let whole = Bytes::from(input.clone());
        assert_eq!(super::within(Decoder::new(), &whole), 3);
        for i in 0..=input.len() {
            let (a, rest) = input.split_at(i);
            for j in [0, 1, rest.len() / 3, rest.len() / 2] {
                let (b, c) = rest.split_at(j.min(rest.len()));
                let read = decode(Decoder::new(), &[a, b, c]);
                assert_eq!(read, expected, "cut at {i}, {j}");
            }
        }
        let mut decoder = Decoder::new();
        decoder.push(Bytes::from(input));
        let mut kinds = Vec::new();
        while let Some(message) = decoder.next_message() {
            kinds.push(message.expect("intact").kind());
        }
        assert_eq!(kinds, [Kind::Event, Kind::Exception, Kind::Error]);
        check(
            Decoder::new,
            &[event.clone(), event].concat(),
            &[Ok("{}"), Ok("{}")],
        );
    }

    /// Messages that AWS has published for its decoders: the headers, the payload, and the checksums that both
    /// must come to.
    #[test]
    fn the_published_messages() {
        const TEXT: &[u8] = b"{'foo':'bar'}";
        const ALL: &[u8] = b"\x010\0\x011\x01\x012\x02\x02\x013\x03\0\x03\x014\x04\0\0\0\x04\
            \x015\x05\0\0\0\0\0\0\0\x05\x016\x06\0\x05bytes\x017\x07\0\x04utf8\
            \x018\x08\0\0\0\0\0\0\0\x08\x019\x090123456789abcdef";
        const ERROR: &[u8] = b"\x0d:message-type\x07\0\x05error\x0b:error-code\x07\0\x04code\
            \x0e:error-message\x07\0\x07message";
        const TYPE: &[u8] = b"\x0ccontent-type\x07\0\x10application/json";
        let messages: [(&[u8], &[u8], u32, u32); 9] = [
            (b"", b"", 0x05c2_48eb, 0x7d98_c8ff),
            (b"\x04byte\x02\xff", b"", 0x2986_0158, 0xc2f8_69dc),
            (b"\x05short\x03\xff\xff", b"", 0x710e_923e, 0xb27c_b6cc),
            (
                b"\x07integer\x04\xff\xff\xff\xff",
                b"",
                0x83e3_f0e7,
                0x8b8e_12eb,
            ),
            (
                b"\x04long\x05\xff\xff\xff\xff\xff\xff\xff\xff",
                b"",
                0x5d4a_db8d,
                0x4bc2_32da,
            ),
            (b"", TEXT, 0xfd52_8c5a, 0xc365_3936),
            (TYPE, TEXT, 0x07fd_8396, 0x8d9c_08b1),
            (ALL, b"", 0x03b5_cb9c, 0x6335_3671),
            (ERROR, b"", 0xbf23_637e, 0x6b6c_ea3d),
        ];
        let write = |headers: &[u8], payload: &[u8], prelude: u32, message: u32| {
            let total = u32::try_from(headers.len() + payload.len() + 16).expect("short");
            let length = u32::try_from(headers.len()).expect("short");
            let words = [total, length, prelude].map(u32::to_be_bytes).concat();
            [&words, headers, payload, &message.to_be_bytes()].concat()
        };
        let mut all = Vec::new();
        for (nth, (headers, payload, prelude, message)) in messages.into_iter().enumerate() {
            let frame = write(headers, payload, prelude, message);
            let read = decode(Decoder::new(), &[&frame]);
            let (name, data) = match nth {
                8 => (Some("code".to_owned()), b"message".to_vec()),
                _ => (None, payload.to_vec()),
            };
            assert_eq!(read, [Ok((name, data))], "{nth}");
            all.extend_from_slice(&frame);
            for (prelude, message) in [(prelude ^ 1, message), (prelude, message ^ 1)] {
                let read = decode(
                    Decoder::new(),
                    &[&write(headers, payload, prelude, message)],
                );
                assert!(
                    matches!(read[..], [Err(Error::Format(_))]),
                    "{nth} {read:?}"
                );
            }
        }
        assert_eq!(decode(Decoder::new(), &[&all]).len(), messages.len());
    }

    #[test]
    fn a_header_given_twice_is_refused() {
        let twice = frame(&[(":event-type", "a"), (":event-type", "b")], "{}");
        let read = decode(Decoder::new(), &[&twice]);
        assert!(matches!(read[..], [Err(Error::Format(_))]), "{read:?}");
    }

    #[test]
    fn what_is_written_is_read() {
        for (kind, name, payload) in [
            (Kind::Event, "metadata", "{\"a\":1}"),
            (Kind::Exception, "throttlingException", "{}"),
            (Kind::Error, "500", "sorry"),
        ] {
            let mut out = bytes::BytesMut::new();
            write_message(&mut out, kind, name, payload.as_bytes());
            let mut decoder = Decoder::new();
            decoder.push(out.freeze());
            let message = decoder.next_message().expect("whole").expect("intact");
            assert_eq!(message.kind(), kind);
            assert_eq!(message.name(), Some(name));
            assert_eq!(message.payload(), payload.as_bytes());
        }
    }

    #[test]
    fn damage_is_found() {
        let intact = frame(&[(":event-type", "x")], "{}");
        for at in 0..intact.len() {
            let mut damaged = intact.clone();
            damaged[at] ^= 1;
            let read = decode(Decoder::new(), &[&damaged]);
            assert!(matches!(read[..], [Err(Error::Format(_))]), "{at} {read:?}");
        }
        let cut = Err(Error::Cut("a message"));
        check(Decoder::new, &intact[..intact.len() - 1], &[cut]);
        let small = || Decoder::with_limits(MaxSizes::new().event(64));
        check(small, &intact, &[Err(Error::EventTooLarge(64))]);
        let short = || Decoder::with_limits(MaxSizes::new().stream(64));
        check(short, &intact, &[Err(Error::StreamTooLong(64))]);
    }
}
