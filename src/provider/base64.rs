/// The bytes of a text in base64 (RFC 4648 §4), line ends and padding passed over; `None` for what is
/// none.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut word, mut bits) = (0_u32, 0);
    for byte in text.bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' | b'\r' | b'\n' => continue,
            _ => return None,
        };
        word = word << 6 | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from(word >> bits & 0xFF).unwrap_or(0));
        }
    }
    (bits < 6).then_some(out)
}

/// The text of bytes in base64, padded.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = spelled(bytes, b'+', b'/');
    while text.len() % 4 != 0 {
        text.push('=');
    }
    text
}

/// The same in the alphabet of URLs, without padding (RFC 4648 §5).
#[cfg(all(feature = "vertex", any(feature = "tls-ring", feature = "tls-aws-lc")))]
pub(super) fn url(bytes: &[u8]) -> String {
    spelled(bytes, b'-', b'_')
}

/// Without padding, in an alphabet that ends so.
fn spelled(bytes: &[u8], last_but_one: u8, last: u8) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        for at in 0..=group.len() {
            let six = (word >> (18 - 6 * at) & 63) as usize;
            let special = if six == 62 { last_but_one } else { last };
            out.push(char::from(ALPHABET.get(six).copied().unwrap_or(special)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_rfcs_vectors() {
        for (coded, plain) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9v\r\nYmE", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(super::decode(coded).as_deref(), Some(plain.as_bytes()));
            if !coded.contains('\r') && coded.len() % 4 == 0 {
                assert_eq!(super::encode(plain.as_bytes()), coded);
            }
        }
        assert_eq!(super::encode(&[0xfb, 0xff]), "+/8=");
        assert_eq!(super::decode("+/8=").as_deref(), Some(&[0xfb, 0xff][..]));
        assert!(super::decode("Z").is_none() && super::decode("Zg*=").is_none());
    }

    #[cfg(all(feature = "vertex", any(feature = "tls-ring", feature = "tls-aws-lc")))]
    #[test]
    fn in_addresses_nothing_is_padded() {
        for (plain, coded) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(super::url(plain.as_bytes()), coded);
        }
        assert_eq!(super::url(&[0xfb, 0xff]), "-_8");
    }
}
