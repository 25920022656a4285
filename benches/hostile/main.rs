//! Looks for JSON that takes long to read for its size.
//!
//! `cargo bench --bench hostile -- SECONDS [SEED]` makes texts of small pieces, keeps those that took longest
//! and changes them. It prints the worst of each place as multiples of the time that honest JSON takes: plain tools, and
//! the dearest of what honest clients send in that place.

#![allow(missing_docs)]

#[allow(dead_code, reason = "the other benches' texts")]
#[path = "../support/texts.rs"]
mod texts;

use std::{
    cell::Cell,
    env,
    hint::black_box,
    time::{Duration, Instant},
};

use tower_completions::wire::request::{MAX_HUGE, Request};

/// What values are made of: each short, and dear in its own way.
const VALUES: &[&str] = &[
    "0",
    "-1.5E+10",
    "1e5",
    "null",
    "false",
    r#""""#,
    r#""a""#,
    r#""\n""#,
    r#""\\\"""#,
    r#""\ud834\udd1e""#,
    r#""aé\n""#,
    r#""\né\u12ab""#,
    r#""0123456789abcdef""#,
    "[]",
    "[[0]]",
    "[[],[]]",
    "[[[[[[[[[[]]]]]]]]]]",
    "{}",
    r#"{"":[]}"#,
    r#"{"a":0}"#,
    r#"{"\n":0}"#,
    r#"{"é":1e30}"#,
    r#"["\ud834\udd1e"]"#,
    "  1 ",
    "\n\t{\n\"\"\n:\n0\n}",
];
/// Such as there may be only so many of.
const HUGE: &[&str] = &[
    "17e307",
    "0.1e309",
    "179e306",
    "1e0308",
    "0e999",
    "17976931e301",
    "0.00017e312",
    "1.7976931348623157e308",
];
/// What strings are made of.
const LETTERS: &[&str] = &[
    "a",
    "é",
    "日",
    "𝄞",
    r"\n",
    r"\u0041",
    r"\u00e9",
    r"\ud834\udd1e",
    r"\\",
    r#"\""#,
    "abcdefgh",
];
/// The length of a text.
const BYTES: usize = 50_000;
/// How many are kept and changed.
const KEPT: usize = 12;

/// Where the pieces stand.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In an array that nobody reads.
    Elements,
    /// In an object that nobody reads, each behind a key.
    Members,
    /// Strings in an array that nobody reads.
    Strings,
    /// A few in each of many tools, strings among them.
    Tools,
    /// In each of many messages, behind keys that nobody knows, strings among them.
    Messages,
    /// In the text of each of many parts.
    Parts,
}

impl Place {
    /// What the names of honest texts begin with that are like it.
    fn kind(self) -> &'static str {
        match self {
            Self::Elements | Self::Members | Self::Strings => "unread",
            Self::Tools => "tools",
            Self::Messages => "messages",
            Self::Parts => "parts",
        }
    }
}

#[derive(Clone)]
struct Text {
    pieces: Vec<usize>,
    /// One after the other, or each by chance.
    in_turns: bool,
}

struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        const FACTOR: u64 = 6_364_136_223_846_793_005;
        self.0 = self.0.wrapping_mul(FACTOR).wrapping_add(1);
        (self.0 >> 33) as usize % most
    }
}

impl Text {
    fn random(random: &mut Random) -> Self {
        let count = 1 + random.below(9);
        Self {
            pieces: (0..count).map(|_| random.below(usize::MAX)).collect(),
            in_turns: random.below(2) == 0,
        }
    }

    fn changed(&self, random: &mut Random) -> Self {
        let mut text = self.clone();
        let (at, piece) = (random.below(text.pieces.len()), random.below(usize::MAX));
        match random.below(4) {
            0 => text.pieces.insert(at, piece),
            1 if text.pieces.len() > 1 => drop(text.pieces.remove(at)),
            2 => text.in_turns = !text.in_turns,
            _ => text.pieces[at] = piece,
        }
        text
    }

    fn spelled(&self, place: Place) -> String {
        let (mut random, mut turn) = (Random(7), 0);
        let mut next = || {
            turn += 1;
            let at = match self.in_turns {
                true => turn % self.pieces.len(),
                false => random.below(self.pieces.len()),
            };
            self.pieces[at]
        };
        let huge = Cell::new(MAX_HUGE);
        let value = |piece: usize| {
            let at = piece % (VALUES.len() + HUGE.len());
            let value = VALUES.get(at).copied();
            value.unwrap_or_else(|| {
                huge.set(huge.get().saturating_sub(1));
                if huge.get() == 0 {
                    "1e5"
                } else {
                    HUGE[at - VALUES.len()]
                }
            })
        };
        let string = |next: &mut dyn FnMut() -> usize| {
            let letters = 1 + next() % 6;
            let letters = (0..letters).map(|_| LETTERS[next() % LETTERS.len()]);
            format!("\"{}\"", letters.collect::<String>())
        };
        // One or the other, by the piece.
        let any = |next: &mut dyn FnMut() -> usize| match next() {
            piece if piece % 3 == 0 => string(next),
            piece => value(piece / 3).to_owned(),
        };
        let (before, behind) = match place {
            Place::Elements | Place::Strings => (r#""messages":[],"x":["#, "0]"),
            Place::Members => (r#""messages":[],"x":{"#, r#""":0}"#),
            Place::Tools => (r#""messages":[],"tools":["#, "{}]"),
            Place::Messages => (r#""messages":["#, r#"{"role":"user","content":""}]"#),
            Place::Parts => (
                r#""messages":[{"role":"user","content":["#,
                r#"{"type":"text","text":""}]}]"#,
            ),
        };
        let mut text = format!(r#"{{"model":"m",{before}"#);
        while text.len() < BYTES {
            text += &match place {
                Place::Elements => value(next()).to_owned(),
                Place::Strings => string(&mut next),
                Place::Members => format!("{}:{}", string(&mut next), value(next())),
                Place::Tools => {
                    let count = 1 + next() % 20;
                    let values: Vec<String> = (0..count).map(|_| any(&mut next)).collect();
                    let values = values.join(",");
                    format!(
                        r#"{{"type":"function","function":{{"name":"f","parameters":{{"x":[{values}]}}}}}}"#
                    )
                }
                Place::Messages => {
                    let [a, b, c] = [0; 3].map(|_| any(&mut next));
                    format!(r#"{{"role":"user","content":"x","a":{a},"b":{b},"c":{c}}}"#)
                }
                Place::Parts => format!(r#"{{"type":"text","text":{}}}"#, string(&mut next)),
            };
            text.push(',');
        }
        text + behind + "}"
    }
}

/// The shortest of so many readings, in nanoseconds a byte.
fn time(text: &str, readings: usize) -> f64 {
    let times = (0..readings).map(|_| {
        let begun = Instant::now();
        let request = black_box(Request::read(black_box(text.as_bytes())));
        let time = begun.elapsed();
        drop(request);
        time
    });
    times.min().unwrap_or_default().as_nanos() as f64 / text.len() as f64
}

fn main() {
    let numbers = env::args().filter_map(|arg| arg.parse().ok());
    let numbers: Vec<u64> = numbers.collect();
    let seconds = numbers.first().copied().unwrap_or(6);
    let mut random = Random(numbers.get(1).copied().unwrap_or(1));
    let dense = texts::dense();
    let dense = std::str::from_utf8(&dense).expect("JSON");
    let honest_texts = texts::honest();
    let places = [
        Place::Elements,
        Place::Members,
        Place::Strings,
        Place::Tools,
        Place::Messages,
        Place::Parts,
    ];
    for place in places {
        let end = Instant::now() + Duration::from_secs(seconds) / places.len() as u32;
        let mut honest = time(dense, 100);
        let mut worst: Vec<(f64, Text)> = Vec::new();
        let mut tried = 0;
        while Instant::now() < end {
            tried += 1;
            honest = honest.min(time(dense, 2));
            let text = match random.below(4) {
                1.. if worst.len() == KEPT => worst[random.below(KEPT)].1.changed(&mut random),
                _ => Text::random(&mut random),
            };
            let spelled = text.spelled(place);
            let known = worst
                .iter()
                .any(|(_, known)| known.spelled(place) == spelled);
            let least = worst.get(KEPT - 1).map_or(0.0, |(time, _)| *time);
            if known || time(&spelled, 5) < least {
                continue;
            }
            worst.push((time(&spelled, 25), text));
            worst.sort_by(|(a, _), (b, _)| b.total_cmp(a));
            worst.truncate(KEPT);
        }
        let alike = honest_texts.iter().filter(|(name, _)| {
            let kind = name.split('_').next().unwrap_or_default();
            kind == place.kind()
        });
        let alike = alike.map(|(name, text)| {
            let text = std::str::from_utf8(text).expect("JSON");
            (*name, time(text, 100))
        });
        let dearest = alike.max_by(|(_, a), (_, b)| a.total_cmp(b));
        let (name, dearest) = dearest.expect("some are honest");
        for (_, text) in worst.iter().take(2) {
            let text = text.spelled(place);
            let time = time(&text, 100);
            let (plain, alike) = (time / honest, time / dearest);
            let part: String = text.chars().skip(30).take(120).collect();
            println!(
                "{place:?}: {plain:.2}× of dense, {alike:.2}× of {name}, the worst of {tried}: {part}"
            );
        }
    }
}
