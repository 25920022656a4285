/// The alphabet of URLs, without padding (RFC 4648 §5).
pub(super) fn url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        for at in 0..=group.len() {
            let six = word >> (18 - 6 * at) & 63;
            out.push(char::from(ALPHABET[usize::try_from(six).unwrap_or(0)]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_rfcs_vectors() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("fooba", "Zm9vYmE"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(super::url(plain.as_bytes()), coded);
        }
        assert_eq!(super::url(&[0xfb, 0xff]), "-_8");
    }
}
