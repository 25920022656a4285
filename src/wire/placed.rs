//! Where an entry of `reasoning_details` stands among what its answer says.
//!
//! Some models think, say something, and think again. A message of Chat Completions has one text and one
//! list of calls, so that an entry from between them carries its place as a member of its own: behind how
//! many characters of the text and how many of the calls. One without it stands before all else.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::Members;

/// The member, an array of two numbers.
const MEMBER: &str = "x_after";

/// The member of an entry that came in a stream: its ordinal.
const INDEX: &str = "index";

/// What stands before an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) characters: u64,
    pub(crate) calls: u64,
}

impl Place {
    fn is_first(self) -> bool {
        self == Self::default()
    }

    /// The member, to be written behind others; nothing for what stands before all else.
    pub(crate) fn member(self) -> Option<(&'static str, String)> {
        (!self.is_first()).then(|| (MEMBER, format!("[{},{}]", self.characters, self.calls)))
    }

    /// An entry, the text of a JSON object with some member, with its place in it.
    pub(crate) fn put(self, entry: &str) -> Cow<'_, str> {
        let open = entry.trim_ascii_end().strip_suffix('}');
        match (self.member(), open) {
            (Some((name, place)), Some(open)) => format!("{open},\"{name}\":{place}}}").into(),
            _ => entry.into(),
        }
    }

    /// Takes it out of an entry again, and the ordinal that it had in a stream; what is left is as it was.
    pub(crate) fn take(entry: &RawValue) -> (Self, Cow<'_, RawValue>) {
        let taken = || {
            let members: Members<'_> = serde_json::from_str(entry.get()).ok()?;
            let place = members.get(MEMBER);
            if place.is_none() && members.get(INDEX).is_none() {
                return None;
            }
            let place = place.and_then(|place| serde_json::from_str(place.get()).ok());
            let [characters, calls] = place.unwrap_or_default();
            let mut left = Vec::with_capacity(entry.get().len());
            members.without(&[MEMBER, INDEX]).write(&[], &mut left);
            let left = RawValue::from_string(String::from_utf8(left).ok()?).ok()?;
            Some((Self { characters, calls }, Cow::Owned(left)))
        };
        let has = |name: &str| memchr::memmem::find(entry.get().as_bytes(), name.as_bytes());
        let named = has(MEMBER).or_else(|| has(INDEX)).is_some();
        named
            .then(taken)
            .flatten()
            .unwrap_or_else(|| (Self::default(), Cow::Borrowed(entry)))
    }
}

/// A block of a message, as far as a place in it is found.
pub(crate) trait Block: Sized {
    /// Its text, where it is one.
    fn text(&self) -> Option<&str>;

    /// Leaves the text before this byte, and gives a block of what stands behind it.
    fn split_off(&mut self, at: usize) -> Self;
}

/// Puts entries between the blocks of what was said and the calls. A text is cut where one stands within
/// it; one whose place is no more, as the text was changed, does not end the message.
pub(crate) fn between<B: Block>(placed: Vec<(Place, B)>, said: Vec<B>, calls: Vec<B>) -> Vec<B> {
    if placed.iter().all(|(place, _)| place.is_first()) {
        let placed = placed.into_iter().map(|(_, block)| block);
        return placed.chain(said).chain(calls).collect();
    }
    let mut all = Vec::with_capacity(placed.len() + said.len() + calls.len() + 1);
    let mut placed = placed.into_iter().peekable();
    let mut before = Place::default();
    for mut block in said {
        let mut length = characters(&block);
        while let Some((place, entry)) = placed.next_if(|(place, _)| {
            place.calls == 0 && (place.is_first() || place.characters < before.characters + length)
        }) {
            let within = place.characters.saturating_sub(before.characters);
            if within > 0 {
                let at = byte_at(block.text().unwrap_or_default(), within);
                let rest = block.split_off(at);
                all.push(std::mem::replace(&mut block, rest));
                before.characters += within;
                length -= within;
            }
            all.push(entry);
        }
        all.push(block);
        before.characters += length;
    }
    let mut last = all.len().saturating_sub(1);
    for call in calls {
        while let Some((_, entry)) = placed.next_if(|(place, _)| place.calls <= before.calls) {
            all.push(entry);
        }
        last = all.len();
        all.push(call);
        before.calls += 1;
    }
    let left = placed.map(|(_, block)| block);
    all.splice(last..last, left);
    all
}

fn characters<B: Block>(block: &B) -> u64 {
    block.text().map_or(0, |text| text.chars().count() as u64)
}

fn byte_at(text: &str, character: u64) -> usize {
    let nth = usize::try_from(character).unwrap_or(usize::MAX);
    text.char_indices()
        .nth(nth)
        .map_or(text.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Block for String {
        fn text(&self) -> Option<&str> {
            (!self.starts_with('<')).then_some(self)
        }

        fn split_off(&mut self, at: usize) -> Self {
            Self::split_off(self, at)
        }
    }

    #[test]
    fn a_place_goes_into_an_entry_and_out_of_it() {
        let place = |characters, calls| Place { characters, calls };
        for entry in [
            r#"{"type":"thinking","signature":"a\/b"}"#,
            r#"{ "a" : 1 }"#,
        ] {
            for put in [place(0, 0), place(7, 0), place(0, 2)] {
                let with = put.put(entry).into_owned();
                assert_eq!(with.contains("x_after"), put != place(0, 0), "{with}");
                let with = RawValue::from_string(with).expect("JSON");
                let (taken, left) = Place::take(&with);
                assert_eq!(taken, put);
                let [left, was] = [left.get(), entry].map(|it| it.replace(' ', ""));
                assert_eq!(left, was);
            }
        }
        let odd = RawValue::from_string(r#"{"x_after":"far","b":"x_after"}"#.into()).expect("JSON");
        let (taken, left) = Place::take(&odd);
        assert_eq!((taken, left.get()), (place(0, 0), r#"{"b":"x_after"}"#));
        let streamed = r#"{"index":3,"thinking":"index","x_after":[1,2]}"#;
        let streamed = RawValue::from_string(streamed.into()).expect("JSON");
        let (taken, left) = Place::take(&streamed);
        assert_eq!(
            (taken, left.get()),
            (place(1, 2), r#"{"thinking":"index"}"#)
        );
    }

    #[test]
    fn entries_stand_where_they_stood() {
        let run = |placed: &[(u64, u64)], said: &[&str], calls: usize| {
            let entry = |(at, (characters, calls)): (usize, &(u64, u64))| {
                let place = Place {
                    characters: *characters,
                    calls: *calls,
                };
                (place, format!("<{at}"))
            };
            let placed = placed.iter().enumerate().map(entry).collect();
            let said = said.iter().map(|it| (*it).to_owned()).collect();
            let calls = (0..calls).map(|at| format!("<call{at}")).collect();
            between(placed, said, calls).join(" ")
        };
        assert_eq!(run(&[(0, 0), (0, 0)], &["ab"], 1), "<0 <1 ab <call0");
        assert_eq!(run(&[(0, 0), (2, 0)], &["äbcd"], 1), "<0 äb <1 cd <call0");
        assert_eq!(
            run(&[(2, 0), (2, 0), (3, 0)], &["abcd"], 0),
            "ab <0 <1 c <2 d"
        );
        assert_eq!(
            run(&[(2, 0), (4, 0)], &["ab", "cd", "ef"], 0),
            "ab <0 cd <1 ef"
        );
        assert_eq!(run(&[(4, 0)], &["abcd"], 2), "abcd <0 <call0 <call1");
        assert_eq!(run(&[(4, 1)], &["abcd"], 2), "abcd <call0 <0 <call1");
        assert_eq!(run(&[(0, 1)], &[], 2), "<call0 <0 <call1");
        // What was said is shorter now, or gone, or a call is.
        assert_eq!(run(&[(0, 0), (9, 0)], &["ab"], 0), "<0 <1 ab");
        assert_eq!(run(&[(9, 0)], &["ab"], 1), "ab <0 <call0");
        assert_eq!(run(&[(0, 3)], &["ab"], 1), "ab <0 <call0");
        assert_eq!(run(&[(3, 0)], &[], 0), "<0");
    }
}
