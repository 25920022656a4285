//! A short list. Mostly it holds one, and then it is that one and no list.

use std::ops::{Deref, DerefMut};

use smallvec::SmallVec;

/// None, one or several. Up to three, which a caller, its team and everybody make, lie in place.
#[derive(Clone, Debug, Default)]
pub(super) enum Few<T> {
    #[default]
    None,
    One(T),
    Several(SmallVec<[T; 3]>),
}

impl<T> Few<T> {
    /// Adds one at the end.
    #[inline]
    pub(super) fn push(&mut self, it: T) {
        match self {
            // What was there needs no drop, which an assignment does not know.
            Self::None => std::mem::forget(std::mem::replace(self, Self::One(it))),
            _ => self.push_further(it),
        }
    }

    #[inline(never)]
    fn push_further(&mut self, it: T) {
        let mut list = match std::mem::take(self) {
            Self::None => SmallVec::new(),
            Self::One(first) => SmallVec::from_iter([first]),
            Self::Several(list) => list,
        };
        list.push(it);
        *self = Self::Several(list);
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(it) => std::slice::from_ref(it),
            Self::Several(list) => list,
        }
    }
}

impl<T> DerefMut for Few<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::None => &mut [],
            Self::One(it) => std::slice::from_mut(it),
            Self::Several(list) => list,
        }
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = std::iter::Chain<std::option::IntoIter<T>, smallvec::IntoIter<[T; 3]>>;

    fn into_iter(self) -> Self::IntoIter {
        let (one, several) = match self {
            Self::None => (None, SmallVec::new()),
            Self::One(it) => (Some(it), SmallVec::new()),
            Self::Several(list) => (None, list),
        };
        one.into_iter().chain(several)
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut few = Self::None;
        for it in items {
            few.push(it);
        }
        few
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_in_order() {
        for count in 0..6 {
            let mut few: Few<usize> = (0..count).collect();
            let expected: Vec<usize> = (0..count).collect();
            assert_eq!(&few[..], expected);
            few.iter_mut().for_each(|it| *it += 1);
            assert_eq!(few.iter().sum::<usize>(), count * (count + 1) / 2);
        }
    }
}
