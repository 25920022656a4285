//! What the objects and arrays are that a place stands in.

use super::{
    bits::{turned, until},
    steps::{PLACES, STEPS},
};

/// So many objects and arrays within one another, the innermost of at most 128.
#[derive(Clone, Copy)]
pub(super) struct Levels {
    /// A bit for each, set for an object, the lowest for the innermost of all, and one more that is set above them.
    kinds: u64,
    /// What they must stay below for one more to be entered.
    limit: u64,
}

/// Those outside of them, where there are more than one word holds. Apart, so that the word is kept in a register
/// wherever levels are entered and left.
pub(super) struct Outside {
    words: [u64; 3],
    count: usize,
    /// How many there may be in all.
    room: usize,
}

/// So many brackets of a window are passed one by one.
const SPARSE: u32 = 8;
/// So many brackets that stand side by side are passed together.
pub(super) const RUN: usize = 8;
/// So many levels are told by one word.
const MOST: usize = 62;
/// So many of them are put away when it is full, so that as many may be left or entered before another is.
const HALF: usize = 31;

impl Outside {
    pub(super) fn new(room: usize) -> Self {
        Self {
            words: [0; 3],
            count: 0,
            room,
        }
    }

    /// Levels that are full with room for another, if there may be one.
    #[cold]
    #[inline(never)]
    pub(super) fn put_away(&mut self, levels: Levels) -> Option<Levels> {
        if self.below() <= MOST {
            return None;
        }
        *self.words.get_mut(self.count)? = levels.kinds >> HALF;
        self.count += 1;
        let kinds = levels.kinds & ((1 << HALF) - 1) | 1 << HALF;
        Some(self.with_limit(kinds))
    }

    /// The levels outside of those that have been left, if there are some.
    #[inline(never)]
    pub(super) fn take_back(&mut self) -> Option<Levels> {
        self.count = self.count.checked_sub(1)?;
        let kinds = *self.words.get(self.count)?;
        Some(self.with_limit(kinds))
    }

    fn with_limit(&self, kinds: u64) -> Levels {
        let limit = 1 << self.below().min(MOST);
        Levels { kinds, limit }
    }

    /// How many may be told by the word.
    fn below(&self) -> usize {
        // What is put away is what is not kept of a full one.
        self.room - (MOST - HALF) * self.count
    }
}

impl Levels {
    #[inline(always)]
    pub(super) fn new(is_object: bool, room: usize) -> Self {
        Self {
            kinds: 2 | u64::from(is_object),
            limit: 1 << room.min(MOST),
        }
    }

    /// What the innermost ends with.
    #[inline(always)]
    pub(super) fn close(self) -> u8 {
        // In ASCII the brackets of objects are those of arrays with one more bit.
        b']' | (self.kinds as u8 & 1) << 5
    }

    /// Whether no other can be entered before some are put away.
    #[inline(always)]
    pub(super) fn is_full(self) -> bool {
        self.kinds >= self.limit
    }

    #[inline(always)]
    pub(super) fn enter(&mut self, is_object: bool) {
        self.kinds = self.kinds << 1 | u64::from(is_object);
    }

    /// Whether they are more than a run leaves: honest values have never so many.
    #[inline(always)]
    pub(super) fn are_many(self) -> bool {
        self.kinds >> RUN > 1
    }

    /// Enters as many arrays as a run has, if there is room for them.
    #[inline(always)]
    pub(super) fn enter_run(&mut self) -> bool {
        let kinds = self.kinds << RUN;
        let has_room = self.kinds.leading_zeros() as usize >= RUN && kinds < self.limit;
        if has_room {
            self.kinds = kinds;
        }
        has_room
    }

    /// Leaves as many as a run has, if they are of the innermost's kind and there is one left then.
    #[inline(always)]
    pub(super) fn leave_run(&mut self) -> bool {
        let innermost = (self.kinds & 1).wrapping_neg() & ((1 << RUN) - 1);
        let alike = self.kinds & ((1 << RUN) - 1) == innermost && self.are_many();
        if alike {
            self.kinds >>= RUN;
        }
        alike
    }

    /// Whether none is left of those that are told by the word.
    #[inline(always)]
    pub(super) fn leave(&mut self) -> bool {
        self.kinds >>= 1;
        self.kinds == 1
    }

    #[inline(always)]
    pub(super) fn is_object(self) -> bool {
        self.kinds & 1 == 1
    }

    /// Passes brackets: the levels then. Where a bracket is wrong, or the outermost level ends, bits before it. Of
    /// the commas all are known to have a bracket, a colon or a comma behind them.
    #[inline(always)]
    pub(super) fn pass(self, marks: Marks) -> Result<Passed, u64> {
        if marks.opens | marks.closes == 0 {
            return Ok(Passed {
                levels: self,
                in_objects: (self.kinds & 1).wrapping_neg(),
            });
        }
        let brackets = marks.opens | marks.closes;
        if brackets.count_ones() <= SPARSE && self.has_room(SPARSE as usize) {
            return self.pass_one_by_one(marks);
        }
        // Mostly they are at two depths by turns. What is closed ends behind its bracket.
        let is_left = brackets & brackets.wrapping_neg() & marks.closes != 0;
        let ended = marks.closes << 1;
        let (up, down) = (marks.opens & !ended, ended & !marks.opens);
        let inner = turned(up | down) ^ if is_left { u64::MAX } else { 0 };
        let others = up & !inner | down & inner | marks.closes & !inner;
        match others == 0 && self.has_room(1) {
            true => self.pass_two_depths(marks, is_left, inner),
            false => self.pass_many(marks),
        }
    }

    /// The same where all stand at the inner one of two depths, and it is known which places do.
    #[inline(always)]
    fn pass_two_depths(self, marks: Marks, is_left: bool, inner: u64) -> Result<Passed, u64> {
        let brackets = marks.opens | marks.closes;
        // The innermost that there is stands at the outer depth, unless it is left first.
        let outside = self.kinds >> u32::from(is_left);
        let first = self.kinds & u64::from(is_left);
        if outside < 2 {
            return Err(until(marks.closes));
        }
        // Begin and end come in turns, so that an object ends where the next bracket is.
        let begin = (marks.opens & marks.objects) << 1 | first;
        let end = marks.closes & marks.objects;
        let wrong = begin.wrapping_add(!brackets) & brackets ^ end;
        if wrong != 0 {
            return Err(until(wrong));
        }
        let (inside, is_open) = end.overflowing_sub(begin);
        // What the last place opens has nothing in it yet.
        let innermost = u64::from(is_open) | (marks.opens & marks.objects) >> 63;
        let kinds = match (inner & !marks.closes) >> 63 {
            0 => outside,
            _ => outside << 1 | innermost,
        };
        Ok(Passed {
            levels: Self { kinds, ..self },
            in_objects: inside & inner | (outside & 1).wrapping_neg() & !inner,
        })
    }

    #[inline(always)]
    fn pass_one_by_one(self, marks: Marks) -> Result<Passed, u64> {
        let brackets = marks.opens | marks.closes;
        let (mut kinds, mut left) = (self.kinds, brackets);
        // The brackets behind which an object is the innermost, and behind which nothing is left.
        let (mut objects, mut ended) = (0, 0);
        while left != 0 {
            let bracket = left & left.wrapping_neg();
            left ^= bracket;
            let opened = kinds << 1 | u64::from(marks.objects & bracket != 0);
            kinds = match marks.opens & bracket {
                0 => kinds >> 1,
                _ => opened,
            };
            objects |= bracket & (kinds & 1).wrapping_neg();
            ended |= if kinds < 2 { bracket } else { 0 };
        }
        // From each bracket on it is so up to the next.
        let first = self.kinds & 1;
        let gaps = !brackets;
        let begins = (objects << 1 | first) & gaps;
        let in_objects = objects | gaps & !begins.wrapping_add(gaps);
        let wrong = marks.closes & ((in_objects << 1 | first) ^ marks.objects) | ended;
        match wrong {
            0 => Ok(Passed {
                levels: Self { kinds, ..self },
                in_objects,
            }),
            _ => Err(until(wrong)),
        }
    }

    /// The same where there are many, by steps over a few places each.
    #[inline(never)]
    fn pass_many(self, mut marks: Marks) -> Result<Passed, u64> {
        // Commas ask for what must be around them, so that all of it is told by the same steps.
        let in_objects = match marks.colons {
            0 => 0,
            _ => before_colons(marks.colons, marks.commas, marks.opens | marks.closes),
        };
        marks.objects = marks.objects & !marks.commas | in_objects;
        let levels = match self.has_room(marks.opens.count_ones() as usize) {
            true => self.pass_steps::<false>(marks),
            false => self.pass_steps::<true>(marks),
        }?;
        Ok(Passed { levels, in_objects })
    }

    #[inline(always)]
    fn pass_steps<const EXACTLY: bool>(self, marks: Marks) -> Result<Self, u64> {
        let mut kinds = self.kinds;
        let mut peaks = 0;
        let steps = marks.steps();
        for (at, step) in steps.iter().enumerate() {
            let step = &STEPS[usize::from(*step) % STEPS.len()];
            let left = kinds >> (step.left & 63);
            if (kinds ^ u64::from(step.kinds)) as u8 & step.asked != 0 || left < 2 {
                return Err((1 << (PLACES * at)) - 1);
            }
            if EXACTLY {
                let peak = u32::from(step.peak);
                if kinds.leading_zeros() <= peak {
                    return Err(0);
                }
                peaks |= kinds << peak;
            }
            kinds = left << (step.entered & 63) | u64::from(step.new);
        }
        if EXACTLY && peaks >= self.limit << 1 {
            return Err(0);
        }
        Ok(Self { kinds, ..self })
    }

    /// Whether so many more may be entered.
    #[inline(always)]
    fn has_room(self, levels: usize) -> bool {
        self.kinds.leading_zeros() as usize >= self.limit.leading_zeros() as usize + levels
    }
}

/// The commas that have a colon before the next comma or bracket.
#[inline(always)]
fn before_colons(colons: u64, commas: u64, brackets: u64) -> u64 {
    let mut between = !(commas | colons | brackets);
    let mut inside = colons >> 1 & between;
    for shift in [1, 2, 4, 8, 16, 32] {
        inside |= inside >> shift & between;
        between &= between >> shift;
    }
    (inside | colons) >> 1 & commas
}

/// The levels behind brackets that have been passed, and which commas stand in objects.
pub(super) struct Passed {
    pub(super) levels: Levels,
    pub(super) in_objects: u64,
}

/// The brackets, commas and colons of a window, and which brackets are those of objects.
#[derive(Clone, Copy)]
pub(super) struct Marks {
    pub(super) opens: u64,
    pub(super) closes: u64,
    pub(super) commas: u64,
    pub(super) colons: u64,
    pub(super) objects: u64,
}

impl Marks {
    /// The places that stand in no other array or object than the first one does. None, if some stand more than seven
    /// levels deeper.
    #[inline(always)]
    pub(super) fn outermost(&self) -> u64 {
        // How deep each place stands is counted for all of them together, in binary digits. What is closed ends
        // behind its bracket.
        let ended = self.closes << 1;
        let (up, down) = (self.opens & !ended, ended & !self.opens);
        let ones = turned(up | down);
        let turns = up & !ones | down & ones;
        let twos = turned(turns);
        let turns = turns & (up & !twos | down & twos);
        let fours = turned(turns);
        let turns = turns & (up & !fours | down & fours);
        match turns {
            0 => !(ones | twos | fours),
            _ => 0,
        }
    }

    /// Which of [`STEPS`] come one after the other.
    #[inline(always)]
    fn steps(&self) -> [u16; 64 / PLACES] {
        const LOW: u64 = 0x000F_000F_000F_000F;
        let first = self.opens | self.commas;
        let second = self.closes | self.commas;
        let mut steps = [0; 64 / PLACES];
        for at in 0..PLACES {
            let places = |bits: u64| bits >> (PLACES * at) & LOW;
            let four = places(first) | places(second) << 4 | places(self.objects) << 8;
            for next in 0..4 {
                steps[at + 4 * next] = (four >> (16 * next)) as u16;
            }
        }
        steps
    }
}
