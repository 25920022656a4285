//! Names for answers and requests that come without one.

use std::cell::RefCell;

use bytes::Bytes;
use http::HeaderValue;

/// Random bytes of an id.
const RAW: usize = 12;

/// How many ids are made at once.
const ROUND: usize = 32;

thread_local! {
    static DIGITS: RefCell<Digits> = const {
        RefCell::new(Digits { text: [[0; 2 * RAW]; ROUND], used: ROUND })
    };
    static REQUESTS: RefCell<Bytes> = const { RefCell::new(Bytes::new()) };
}

/// Random digits for the next ids: a system call for each would show in every request.
struct Digits {
    text: [[u8; 2 * RAW]; ROUND],
    used: usize,
}

impl Digits {
    fn next(&mut self) -> [u8; 2 * RAW] {
        if self.used == ROUND {
            self.text = digits();
            self.used = 0;
        }
        self.used += 1;
        self.text[self.used - 1]
    }
}

/// The two digits of each byte.
const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut all = [[0; 2]; 256];
    let mut byte = 0;
    while byte < all.len() {
        all[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    all
};

/// Random hexadecimal digits.
fn digits() -> [[u8; 2 * RAW]; ROUND] {
    let mut raw = [0; RAW * ROUND];
    getrandom::fill(&mut raw).expect("the operating system gives random bytes");
    let mut text = [[0; 2 * RAW]; ROUND];
    for (pair, byte) in text.as_flattened_mut().chunks_exact_mut(2).zip(raw) {
        pair.copy_from_slice(&HEX[usize::from(byte)]);
    }
    text
}

/// `prefix` and 24 random hexadecimal digits.
pub(crate) fn random(prefix: &str) -> String {
    let digits = DIGITS.with_borrow_mut(Digits::next);
    let mut id = String::with_capacity(prefix.len() + digits.len());
    id.push_str(prefix);
    id.push_str(std::str::from_utf8(&digits).expect("hexadecimal digits"));
    id
}

/// An id in OpenAI's form, for an upstream that gives none.
pub(crate) fn completion() -> String {
    random("chatcmpl-")
}

/// How long a request's id is.
const REQUEST: usize = "req_".len() + 2 * RAW;

/// An id in the form `req_` and 24 hexadecimal digits.
pub(crate) fn request() -> String {
    random("req_")
}

/// The same as a header value. The next ones are in one piece of text with it, so that a request
/// allocates nothing for its own.
pub(crate) fn request_value() -> HeaderValue {
    let id = REQUESTS.with_borrow_mut(|next| {
        if next.is_empty() {
            let mut text = Vec::with_capacity(REQUEST * ROUND);
            for digits in digits() {
                text.extend_from_slice(b"req_");
                text.extend_from_slice(&digits);
            }
            *next = text.into();
        }
        next.split_to(REQUEST)
    });
    HeaderValue::from_maybe_shared(id).expect("letters, digits and an underscore")
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_ids_are_the_same_over_rounds_and_threads() {
        let many = || (0..300).map(|_| super::random("")).collect::<Vec<_>>();
        let mut ids = many();
        ids.extend(std::thread::spawn(many).join().expect("no panic"));
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 600);
    }

    #[test]
    fn header_values_are_ids_of_requests_and_differ_over_rounds() {
        let mut ids: Vec<_> = (0..100).map(|_| super::request_value()).collect();
        for id in &ids {
            let digits = id.to_str().expect("text").strip_prefix("req_");
            let digits = digits.expect("prefix").as_bytes();
            assert!(digits.len() == 24 && digits.iter().all(u8::is_ascii_hexdigit));
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 100);
    }

    #[test]
    fn ids_are_24_digits_and_differ() {
        let (a, b) = (super::request(), super::request());
        assert_ne!(a, b);
        let digits = a.strip_prefix("req_").expect("prefix");
        assert_eq!(digits.len(), 24);
        assert!(digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    }
}
