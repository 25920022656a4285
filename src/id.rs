//! Names for answers and requests that come without one.

/// `prefix` and 24 random hexadecimal digits.
#[allow(dead_code)]
pub(crate) fn random(prefix: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut raw = [0_u8; 12];
    getrandom::fill(&mut raw).expect("the operating system gives random bytes");
    let mut id = String::with_capacity(prefix.len() + 24);
    id.push_str(prefix);
    for byte in raw {
        id.push(char::from(HEX[usize::from(byte >> 4)]));
        id.push(char::from(HEX[usize::from(byte & 15)]));
    }
    id
}

/// An id in OpenAI's form, for an upstream that gives none.
#[allow(dead_code)]
pub(crate) fn completion() -> String {
    random("chatcmpl-")
}

/// An id in the form `req_` and 24 hexadecimal digits.
#[allow(dead_code)]
pub(crate) fn request() -> String {
    random("req_")
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_are_24_digits_and_differ() {
        let (a, b) = (super::request(), super::request());
        assert_ne!(a, b);
        let digits = a.strip_prefix("req_").expect("prefix");
        assert_eq!(digits.len(), 24);
        assert!(digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    }
}
