//! Short texts that are made for each request, many of them in one allocation.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};

/// How much is allocated at once, in bytes. Each text keeps all of it alive, so with much more of it whoever keeps
/// the head of one answer would keep a lot that belongs to others.
const ROOM: usize = 1024;

thread_local! {
    static LEFT: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(ROOM));
}

/// A copy of a text, in one allocation with those made before it. The room is used again once all of them are gone.
pub(crate) fn copied(text: &[u8]) -> Bytes {
    LEFT.with_borrow_mut(|left| {
        left.extend_from_slice(text);
        left.split().freeze()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_as_they_were_over_many_rounds() {
        let text = |n: usize| vec![b'a' + (n % 26) as u8; n % 300];
        let kept: Vec<_> = (0..1000).map(|n| copied(&text(n))).collect();
        for (n, kept) in kept.iter().enumerate() {
            assert_eq!(**kept, *text(n), "{n}");
        }
        let long = vec![b'x'; 5000];
        assert_eq!(*copied(&long), *long);
    }

    #[test]
    fn room_of_texts_that_are_gone_is_used_again() {
        let all: Vec<_> = (0..100)
            .map(|_| copied(&[b'a'; 100]).as_ptr() as usize)
            .collect();
        let (first, last) = (all.iter().min(), all.iter().max());
        assert!(last > first && last < first.map(|first| first + ROOM).as_ref());
    }
}
