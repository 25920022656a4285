use super::*;

#[test]
fn integers_by_value_not_by_spelling() {
    for (text, int, unsigned) in [
        ("0", Some(0), Some(0)),
        ("-0", Some(0), Some(0)),
        ("-0.0e5", Some(0), Some(0)),
        ("1.0", Some(1), Some(1)),
        ("1e2", Some(100), Some(100)),
        ("1.50e1", Some(15), Some(15)),
        ("100e-2", Some(1), Some(1)),
        ("10e-2", None, None),
        ("1.5", None, None),
        ("-7", Some(-7), None),
        ("9223372036854775807", Some(i64::MAX), Some(i64::MAX as u64)),
        ("9223372036854775808", None, Some(1 << 63)),
        ("-9223372036854775808", Some(i64::MIN), None),
        ("-9223372036854775809", None, None),
        ("18446744073709551615", None, Some(u64::MAX)),
        ("18446744073709551616", None, None),
        ("1.00000000000000000000000000000000001", None, None),
        ("0.0000000000000000000000000000001e31", Some(1), Some(1)),
        ("0e999999999999999999999999", Some(0), Some(0)),
        ("1e-99999999999999999999999", None, None),
        ("1e300", None, None),
        ("10e-1", Some(1), Some(1)),
        ("0.10e1", Some(1), Some(1)),
        ("-0e5", Some(0), Some(0)),
        ("12.30e+1", Some(123), Some(123)),
        (
            "1e18",
            Some(1_000_000_000_000_000_000),
            Some(1_000_000_000_000_000_000),
        ),
        ("1e19", None, Some(10_000_000_000_000_000_000)),
        ("1844674407370955161.5e1", None, Some(u64::MAX)),
        ("1844674407370955161.6e1", None, None),
        ("123.4e00000000000000000000000001", Some(1234), Some(1234)),
    ] {
        let number = Cursor::new(text).number().expect(text);
        assert_eq!(number.as_i64(), int, "{text}");
        assert_eq!(number.as_u64(), unsigned, "{text}");
        assert_eq!(
            number.is_integer(),
            int.or(unsigned.map(|_| 0)).is_some()
                || text.starts_with("-922")
                || text.len() == 20
                || text.ends_with(".6e1")
                || text == "1e300",
            "{text}"
        );
        assert_eq!(number.as_f64(), text.parse::<f64>().expect(text), "{text}");
    }
}

#[test]
fn the_range_of_a_double_is_told_from_the_digits() {
    let taken = |text: &str| {
        let double: f64 = text.parse().expect(text);
        let found = check(text);
        assert_eq!(found.is_ok(), double.is_finite(), "{text}: {found:?}");
        assert_eq!(check(&format!("-{text}")).is_ok(), found.is_ok(), "-{text}");
        found.is_ok()
    };
    // From here on a number is rounded to infinity: 2^1024 - 2^970.
    let limit = "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880177904174497792";
    assert!(!taken(limit));
    assert!(!taken(&format!("{limit}.0")) && !taken(&format!("{limit}000e-3")));
    let below = format!("{}1.999999999999999999999999999999", &limit[..308]);
    assert!(taken(&below));
    assert!(!taken(&format!("{}3", &limit[..308])));
    for zeros in [0, 1, 308, 400] {
        let digits = format!("0.{}{limit}", "0".repeat(zeros));
        assert!(!taken(&format!("{digits}e{}", zeros + 309)), "{zeros}");
        assert!(taken(&format!("{digits}e{}", zeros + 308)), "{zeros}");
    }
    for text in [
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "1.7976931348623159e308",
        "17.976931348623158e307",
        "0.17976931348623157e309",
        "1e308",
        "9e307",
        "2e308",
        "1e309",
        "10e308",
        "0.1e309",
        "0.01e311",
        "0e999",
        "0.000e99999999999999999999999",
        "1e-99999999999999999999999",
        "1e99999999999999999999999",
        "123456789e300",
        "0.00000000000000000000000000000000000000001e348",
        "0.00000000000000000000000000000000000000001e349",
        "1.0e0308",
        "11e307",
        "17e307",
        "18e307",
        "1.7e308",
        "1.79e308",
        "1.798e308",
        "179769313486231570000000e285",
        "179769313486231590000000e285",
        "0.1797e309",
        "0.18e309",
        "0.0e999",
        "123e306",
        "123e307",
        "1e+308",
        "1E308",
        "1.8E+308",
    ] {
        taken(text);
    }
    assert!(
        taken(&"9".repeat(308))
            && !taken(&"9".repeat(309))
            && taken(&format!("1{}", "0".repeat(308)))
    );
    assert!(
        taken(&format!("{}e-1000", "9".repeat(1300)))
            && !taken(&format!("{}e-1000", "9".repeat(1309)))
    );
}

#[test]
fn plain_integers_are_what_numbers_say_and_pass_nothing_else() {
    for (text, value, rest) in [
        ("0,", Some(0), ","),
        (" 7}", Some(7), "}"),
        ("1755000000 ]", Some(1_755_000_000), " ]"),
        ("999999999999999999,", Some(999_999_999_999_999_999), ","),
        ("1000000000000000000,", None, "1000000000000000000,"),
        ("00,", None, "00,"),
        ("01,", None, "01,"),
        ("-1,", None, "-1,"),
        ("1.0,", None, "1.0,"),
        ("1e2,", None, "1e2,"),
        ("1x", None, "1x"),
        ("1", None, "1"),
        (",", None, ","),
        ("null,", None, "null,"),
        ("", None, ""),
    ] {
        let mut cursor = Cursor::new(text);
        assert_eq!(cursor.plain_integer(), value, "{text}");
        assert_eq!(&text[cursor.at()..], rest, "{text}");
    }
}

#[test]
fn short_numbers_are_read_as_long_ones_are() {
    for number in [
        "0",
        "1",
        "9",
        "10",
        "0.7",
        "0.70",
        "1.0",
        "2.5",
        "9.999999999999999",
        "0.000000000000001",
        "1.",
        "01",
        "1e2",
        "1.5e2",
        "1E2",
        "-1",
        "-0.5",
        "123456789012345",
        "1234567890123456",
        "12.5",
        "0.12345678901234567",
        "1.2.3",
        ".5",
        "x",
    ] {
        for end in [",", "}", "]", " ", "\n", ""] {
            let text = format!("{number}{end}");
            let read = |short: bool| {
                let mut cursor = Cursor::new(&text);
                let value = match cursor.decimal_here() {
                    Some(value) if short => Some(value),
                    _ => {
                        cursor = Cursor::new(&text);
                        cursor.number().ok().map(|number| number.as_f64())
                    }
                };
                value.map(|value| (value, cursor.at()))
            };
            let whole = |short: bool| {
                let mut cursor = Cursor::new(&text);
                let value = match cursor.integer_here() {
                    Some(value) if short => Some(value),
                    _ => {
                        cursor = Cursor::new(&text);
                        cursor.number().ok().and_then(|number| number.as_i64())
                    }
                };
                value.map(|value| (value, cursor.at()))
            };
            assert_eq!(read(true), read(false), "{text}");
            assert_eq!(whole(true), whole(false), "{text}");
        }
    }
}
