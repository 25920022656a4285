//! Base64 in pieces.

/// Puts base64 behind base64. Padding may only stand at the very end, so pieces that had some are
/// put together as bytes.
pub(super) fn join(all: &str, more: &str) -> String {
    if !all.ends_with('=') {
        return [all, more].concat();
    }
    let mut bytes = decode(all);
    bytes.extend(decode(more));
    encode(&bytes)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn decode(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .bytes()
        .filter_map(|byte| ALPHABET.iter().position(|&digit| digit == byte))
        .map(|digit| digit as u32)
        .collect();
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let word = (0..4).fold(0, |word, at| word << 6 | group.get(at).unwrap_or(&0));
        let kept = group.len() * 6 / 8;
        bytes.extend_from_slice(&word.to_be_bytes()[1..=kept]);
    }
    bytes
}

fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = (0..3).fold(0, |word, at| {
            word << 8 | u32::from(*group.get(at).unwrap_or(&0))
        });
        for at in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= group.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for bytes in [&b""[..], b"a", b"ab", b"abc", b"\xff\xfe\xfd\x00"] {
            assert_eq!(decode(&encode(bytes)), bytes);
        }
        assert_eq!(join("YQ==", "YmM="), "YWJj");
        assert_eq!(join("YWJj", "ZA=="), "YWJjZA==");
    }
}
