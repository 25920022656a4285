//! What is JSON and what is not, written from the grammar of RFC 8259: at the top level and in the
//! places of a request that nobody looks at, where a sloppy parser would let anything pass.

use bytes::Bytes;
use tower_completions::{parse::Chat, wire::json::Cursor};

/// The places of a request whose value means nothing to this crate.
const IGNORED: &[(&str, &str)] = &[
    (r#"{"model":"m","x":"#, "}"),
    (r#"{"x":[1,{"y":"#, r#"}],"model":"m"}"#),
    (
        r#"{"model":"m","messages":[{"role":"user","content":"hi","x":"#,
        "}]}",
    ),
    (
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi","x":"#,
        "}]}]}",
    ),
    (
        r#"{"tools":[{"type":"function","function":{"name":"f","parameters":{"x":"#,
        "}}}]}",
    ),
    // Of the wrong type, and passed over.
    (r#"{"model":"m","temperature":[0,"#, "]}"),
];

/// What must be taken.
const YES: &[(&str, &[u8])] = &[
    ("array_empty", b"[]"),
    ("array_spaced", b" [ ] "),
    ("array_of_one", b"[1]"),
    ("array_of_all_types", b"[null, 1, \"1\", {}, [], true, false]"),
    ("array_of_empty_string", b"[\"\"]"),
    ("array_all_white_space", b"\t[\n1\r,\t2 ]\n"),
    ("array_nested", b"[[[[[[[[]]]]]]]]"),
    ("object_empty", b"{}"),
    ("object_empty_key", b"{\"\":0}"),
    ("object_escaped_null_in_key", b"{\"foo\\u0000bar\":42}"),
    ("object_long_strings", b"{\"x\":[{\"id\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}],\"id\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}"),
    ("object_twice_the_same_key_at_the_models_business", b"{\"a\":1,\"a\":2}"),
    ("object_with_newlines", b"{\n\"a\": \"b\"\n}"),
    ("number_zero", b"0"),
    ("number_minus_zero", b"-0"),
    ("number_0e1", b"0e1"),
    ("number_0e_plus_1", b"0e+1"),
    ("number_after_space", b"[ 4]"),
    ("number_double_close_to_zero", b"-0.000000000000000000000000000000000000000000000000000000000000000000000000000001"),
    ("number_exponent", b"20e1"),
    ("number_capital_exponent", b"1E22"),
    ("number_capital_exponent_minus", b"1E-2"),
    ("number_capital_exponent_plus", b"1E+2"),
    ("number_fraction_exponent", b"123.456e78"),
    ("number_exponent_with_zeros", b"1e0005"),
    ("number_large_integer", b"123123123123123123123123123123"),
    ("number_underflow", b"123e-10000000"),
    ("number_the_largest", b"1.7976931348623157e308"),
    ("string_escapes", br#""\"\\\/\b\f\n\r\t""#),
    ("string_escape_of_ascii", br#""\u0061\u30af\u30EA\u30b9""#),
    ("string_surrogate_pair", br#""\ud801\udc37""#),
    ("string_two_surrogate_pairs", br#""\ud83d\ude39\ud83d\udc8d""#),
    ("string_escaped_noncharacter", br#""\udbff\udfff\uffff\ufdd0""#),
    ("string_escaped_control", br#""\u0012\u0000""#),
    ("string_backslash_and_u", br#""\\u0000\\uD800\\a""#),
    ("string_delete", b"\"\x7f\""),
    ("string_utf8_2", "\"é\"".as_bytes()),
    ("string_utf8_3", "\"\u{20ac}\u{2028}\u{2029}\u{feff}\"".as_bytes()),
    ("string_utf8_4", "\"\u{10ffff}\u{1f600}\"".as_bytes()),
    ("string_noncharacter", "\"\u{ffff}\u{fdd0}\"".as_bytes()),
    ("string_comment_like", br#""a/*b*/c/*d//e""#),
    ("literal_null", b"null"),
    ("literal_true", b"true"),
    ("literal_false", b"false"),
];

/// What must be refused.
const NO: &[(&str, &[u8])] = &[
    ("empty", b""),
    ("array_comma_and_number", b"[,1]"),
    ("array_double_comma", b"[1,,2]"),
    ("array_just_comma", b"[,]"),
    ("array_trailing_comma", b"[\"\",]"),
    ("array_missing_comma", b"[3[4]]"),
    ("array_space_for_comma", b"[1 2]"),
    ("array_colon", b"[\"\": 1]"),
    ("array_unclosed", b"[\"x\""),
    ("array_unclosed_in_newlines", b"[1,\n1\n,1"),
    ("array_closed_by_brace", b"[1}"),
    ("array_extra_close", b"[1]]"),
    ("array_star", b"[*]"),
    ("array_minus", b"[-]"),
    ("array_inner_text", b"[a]"),
    ("array_form_feed", b"[\x0c]"),
    ("array_vertical_tab", b"[\x0b1]"),
    ("array_no_break_space", b"[\xc2\xa01]"),
    ("object_bad_value", b"{\"x\":truth}"),
    ("object_bracket_key", b"{[: \"x\"}"),
    ("object_comma_for_colon", b"{\"x\", null}"),
    ("object_double_colon", b"{\"x\"::\"b\"}"),
    ("object_emoji_key", b"{\xf0\x9f\x87\xa8}"),
    ("object_garbage_at_end", b"{\"a\":\"a\" 123}"),
    ("object_key_without_colon", b"{\"a\" b}"),
    ("object_missing_value", b"{\"a\":"),
    ("object_missing_key", b"{:\"b\"}"),
    ("object_missing_colon", b"{\"a\"}"),
    ("object_not_quoted_key", b"{a: \"b\"}"),
    ("object_number_key", b"{1:1}"),
    ("object_null_key", b"{null:null}"),
    ("object_several_commas", b"{\"id\":0,,,,,}"),
    ("object_single_quotes", b"{'a':0}"),
    ("object_trailing_comma", b"{\"id\":0,}"),
    ("object_leading_comma", b"{,\"id\":0}"),
    ("object_closed_by_bracket", b"{\"a\":1]"),
    ("object_two_commas", b"{\"a\":\"b\",,\"c\":\"d\"}"),
    ("object_comment", b"{\"a\":\"b\"}/**/"),
    ("object_open_comment", b"{\"a\":\"b\"}/"),
    ("object_hash_comment", b"{\"a\":\"b\"}#"),
    ("object_unterminated_value", b"{\"a\":\"a"),
    ("number_plus", b"+1"),
    ("number_plus_plus", b"++1234"),
    ("number_leading_zero", b"012"),
    ("number_minus_leading_zero", b"-012"),
    ("number_double_zero", b"00"),
    ("number_minus_minus", b"--1"),
    ("number_minus_space", b"- 1"),
    ("number_minus_alone", b"-"),
    ("number_point_first", b".123"),
    ("number_minus_point", b"-.123"),
    ("number_point_last", b"1."),
    ("number_point_exponent", b"0.e1"),
    ("number_two_points", b"1.2.3"),
    ("number_exponent_alone", b"e1"),
    ("number_exponent_without_digits", b"1e"),
    ("number_exponent_plus_only", b"1e+"),
    ("number_exponent_minus_only", b"1E-"),
    ("number_exponent_twice", b"1e1e1"),
    ("number_exponent_fraction", b"1e1.5"),
    ("number_hex", b"0x42"),
    ("number_underscore", b"1_000"),
    ("number_infinity", b"Infinity"),
    ("number_minus_infinity", b"-Infinity"),
    ("number_nan", b"NaN"),
    ("number_minus_nan", b"-NaN"),
    ("number_with_letter", b"1.2a-3"),
    ("number_full_width", b"\xef\xbc\x91"),
    ("number_beyond_a_double", b"1e309"),
    ("number_beyond_a_double_negative", b"-1e9999999999999"),
    ("string_single_quote", b"'a'"),
    ("string_no_quotes", b"abc"),
    ("string_open", b"\"abc"),
    ("string_one_quote", b"\""),
    ("string_escaped_end", b"\"\\\""),
    ("string_escape_x", b"\"\\x00\""),
    ("string_escape_a", b"\"\\a\""),
    ("string_escape_quote", b"\"\\'\""),
    ("string_escape_capital_u", b"\"\\U0041\""),
    ("string_escape_emoji", b"\"\\\xf0\x9f\x8c\x80\""),
    ("string_escape_newline", b"\"\\\n\""),
    ("string_escape_null", b"\"\\\0\""),
    ("string_u_without_digits", b"\"\\u\""),
    ("string_u_short", b"\"\\u00a\""),
    ("string_u_bad_digit", b"\"\\u00ag\""),
    ("string_u_plus", b"\"\\u+041\""),
    ("string_high_surrogate_alone", b"\"\\ud800\""),
    ("string_high_surrogate_and_text", b"\"\\ud800abc\""),
    ("string_high_surrogate_and_escape", b"\"\\ud800\\n\""),
    ("string_high_surrogate_twice", b"\"\\ud800\\ud800\""),
    ("string_high_surrogate_cut", b"\"\\ud800\\ud\""),
    ("string_low_surrogate_alone", b"\"\\udc00\""),
    ("string_surrogates_reversed", b"\"\\udd1e\\ud834\""),
    ("string_newline", b"\"a\nb\""),
    ("string_tab", b"\"\t\""),
    ("string_null_byte", b"\"a\0b\""),
    ("string_unit_separator", b"\"\x1f\""),
    ("string_bad_utf8_continuation", b"\"\x81\""),
    ("string_bad_utf8_start", b"\"\xff\""),
    ("string_bad_utf8_cut", b"\"\xe2\x82\""),
    ("string_overlong_slash", b"\"\xc0\xaf\""),
    ("string_overlong_6_bytes", b"\"\xfc\x83\xbf\xbf\xbf\xbf\""),
    ("string_utf8_surrogate", b"\"\xed\xa0\x80\""),
    ("string_beyond_unicode", b"\"\xf4\xbf\xbf\xbf\""),
    ("string_latin_1", b"\"\xe9\""),
    ("literal_cut", b"nul"),
    ("literal_true_cut", b"tru"),
    ("literal_capital", b"True"),
    ("literal_longer", b"nulll"),
    ("structure_two_documents", b"[][]"),
    ("structure_two_numbers", b"1 1"),
    ("structure_text_after", b"1]"),
    ("structure_open_brace", b"{"),
    ("structure_open_bracket", b"["),
    ("structure_close_brace", b"}"),
    ("structure_angle", b"<.>"),
    ("structure_asterisk", b"{\"a\":*}"),
    ("structure_word_joiner", b"\xe2\x81\xa0"),
    ("structure_byte_order_mark", b"\xef\xbb\xbf{}"),
    ("structure_byte_order_mark_of_utf16", b"\xfe\xff\0[\0]"),
    ("structure_null_byte", b"\0"),
    ("structure_null_byte_after", b"[]\0"),
];

fn is_json(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| {
        let mut cursor = Cursor::new(text);
        cursor.skip().is_ok() && cursor.end().is_ok()
    })
}

#[test]
fn at_the_top_level() {
    for (name, text) in YES {
        assert!(is_json(text), "{name}");
    }
    for (name, text) in NO {
        assert!(!is_json(text), "{name}");
        let error = Chat::parse(Bytes::from_static(text)).expect_err(name);
        assert_eq!(error.code(), Some("invalid_json"), "{name}: {error}");
    }
}

#[test]
fn in_what_nobody_looks_at() {
    for (before, after) in IGNORED {
        let whole = |text: &[u8]| Bytes::from([before.as_bytes(), text, after.as_bytes()].concat());
        for (name, text) in YES {
            let chat = Chat::parse(whole(text)).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(chat.bytes(), whole(text), "{name}");
        }
        for (name, text) in NO {
            let error = Chat::parse(whole(text)).map(|_| ()).expect_err(name);
            assert_eq!(
                error.code(),
                Some("invalid_json"),
                "{name} in {before}: {error}"
            );
        }
    }
}

#[test]
fn every_cut_of_a_request_is_refused() {
    let text = r#"{"model":"m","messages":[{"role":"user","content":"é\ud834\udd1e"}],"n":-1.5e+3,"x":[true,null]}"#;
    for end in 0..text.len() {
        assert!(
            Chat::parse(Bytes::copy_from_slice(&text.as_bytes()[..end])).is_err(),
            "{end}"
        );
    }
    assert!(Chat::parse(text.into()).is_ok());
}
