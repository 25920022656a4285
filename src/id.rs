//! Names for answers and requests that come without one.

use std::cell::RefCell;

/// Random bytes of an id.
const RAW: usize = 12;

/// How many ids' bytes are asked of the operating system at once.
const ROUND: usize = 32;

thread_local! {
    static POOL: RefCell<Pool> = const {
        RefCell::new(Pool { bytes: [0; RAW * ROUND], used: RAW * ROUND })
    };
}

/// Random bytes for the next ids: a system call for each would show in every request.
struct Pool {
    bytes: [u8; RAW * ROUND],
    used: usize,
}

impl Pool {
    fn next(&mut self) -> [u8; RAW] {
        if self.used == self.bytes.len() {
            getrandom::fill(&mut self.bytes).expect("the operating system gives random bytes");
            self.used = 0;
        }
        let mut raw = [0; RAW];
        raw.copy_from_slice(&self.bytes[self.used..self.used + RAW]);
        self.used += RAW;
        raw
    }
}

/// `prefix` and 24 random hexadecimal digits.
#[allow(dead_code)]
pub(crate) fn random(prefix: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let raw = POOL.with_borrow_mut(Pool::next);
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
    fn no_two_ids_are_the_same_over_rounds_and_threads() {
        let many = || (0..300).map(|_| super::random("")).collect::<Vec<_>>();
        let mut ids = many();
        ids.extend(std::thread::spawn(many).join().expect("no panic"));
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 600);
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
