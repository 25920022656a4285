//! What the objects and arrays are that a place stands in.

use super::window::until;

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

    /// Passes brackets: the levels then. Where a bracket is wrong, or the outermost level ends, bits before it.
    #[inline(always)]
    pub(super) fn pass(self, marks: Marks) -> Result<Passed, u64> {
        let Marks { opens, closes, .. } = marks;
        if opens | closes == 0 {
            return Ok(Passed {
                levels: self,
                in_objects: if self.is_object() { u64::MAX } else { 0 },
                outermost: u64::MAX,
            });
        }
        // How deep each place stands is counted for all of them together, in binary digits: from four on, or from
        // five where something is left at first, as mostly there are two depths. What is closed ends behind its
        // bracket.
        let brackets = opens | closes;
        let is_left = brackets & brackets.wrapping_neg() & closes != 0;
        let ended = closes << 1;
        let (up, down) = (opens & !ended, ended & !opens);
        let turns = up | down;
        let ones = turned(turns) ^ if is_left { u64::MAX } else { 0 };
        let turns = up & !ones | down & ones;
        let here = if is_left { 5 } else { 4 };
        if turns == 0 {
            return self.pass_depths(marks, here, 4, [!ones, ones], ones >> 63);
        }
        let twos = turned(turns);
        let turns = turns & (up & !twos | down & twos);
        let fours = !turned(turns);
        if turns & (up & !fours | down & fours) != 0 {
            return self.pass_far(marks);
        }
        let four = |high: u64| {
            let (low, high) = (high & !twos, high & twos);
            [low & !ones, low & ones, high & !ones, high & ones]
        };
        let ([a, b, c, d], [e, f, g, h]) = (four(!fours), four(fours));
        let last = ones >> 63 | twos >> 63 << 1 | fours >> 63 << 2;
        self.pass_depths(marks, here, 0, [a, b, c, d, e, f, g, h], last)
    }

    /// The same where it is known which places stand how deep, the least deep first, and how deep the last does;
    /// and so the window's beginning.
    #[inline(always)]
    fn pass_depths<const DEPTHS: usize>(
        self,
        marks: Marks,
        here: u32,
        first: u32,
        depths: [u64; DEPTHS],
        last: u64,
    ) -> Result<Passed, u64> {
        let brackets = marks.opens | marks.closes;
        let (opens, closes) = (marks.opens & marks.objects, marks.closes & marks.objects);
        // As many as if it were five.
        let before = self.kinds << (5 - here);
        let (mut in_objects, mut wrong, mut kinds) = (0, 0, 0);
        for (depth, places) in (first..).zip(depths) {
            let is_object = match depth {
                0..=5 => before >> (5 - depth) & 1,
                _ => 0,
            };
            // At one depth begin and end come in turns, so that an object ends where the next bracket is.
            let brackets = brackets & places;
            let (begin, end) = ((opens & places) << 1 | is_object, closes & places);
            wrong |= begin.wrapping_add(!brackets) & brackets ^ end;
            let (inside, is_open) = end.overflowing_sub(begin);
            in_objects |= inside & places;
            kinds = kinds << 1 | u64::from(is_open);
        }
        let outermost = before.leading_zeros().wrapping_sub(57 + first);
        let outermost = depths.get(outermost as usize).copied().unwrap_or(0);
        wrong |= marks.closes & outermost;
        if wrong != 0 {
            return Err(until(wrong));
        }
        let more = |depth: usize| (first as usize + depth).saturating_sub(here as usize);
        let deepest = || depths.iter().rposition(|places| *places != 0);
        if !self.has_room(more(DEPTHS - 1)) && !self.has_room(more(deepest().unwrap_or(0))) {
            return Err(0);
        }
        let outside = before >> (6 - first);
        let kinds = outside << (last + 1) | kinds >> (DEPTHS as u64 - 1 - last);
        Ok(Passed {
            levels: Self { kinds, ..self },
            in_objects,
            outermost,
        })
    }

    /// The same however deep they stand, by steps over a few places each.
    #[inline(never)]
    fn pass_far(self, mut marks: Marks) -> Result<Passed, u64> {
        let in_objects = match marks.colons {
            0 => 0,
            _ => before_colons(marks.colons, marks.commas, marks.opens | marks.closes),
        };
        marks.objects |= in_objects;
        let levels = match self.has_room(marks.opens.count_ones() as usize) {
            true => self.pass_steps::<false>(marks),
            false => self.pass_steps::<true>(marks),
        }?;
        Ok(Passed {
            levels,
            in_objects,
            outermost: 0,
        })
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

/// Whether an odd number of bits is set up to each place, it included.
#[inline(always)]
pub(super) fn turned(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
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

/// The levels behind brackets that have been passed. Of some commas, and maybe other places, it is known that they
/// stand in objects, or in the outermost level that is told by the same word.
pub(super) struct Passed {
    pub(super) levels: Levels,
    pub(super) in_objects: u64,
    pub(super) outermost: u64,
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
    /// Which of [`STEPS`] come one after the other.
    #[inline(always)]
    fn steps(&self) -> [u16; 64 / PLACES] {
        const LOW: u64 = 0x0F0F_0F0F_0F0F_0F0F;
        let first = self.opens | self.commas;
        let second = self.closes | self.commas;
        let even = (first & LOW | (second & LOW) << 4).to_le_bytes();
        let odd = (first >> 4 & LOW | second & !LOW).to_le_bytes();
        let objects = self.objects.to_le_bytes();
        let mut steps = [0; 64 / PLACES];
        for at in 0..8 {
            let objects = u16::from(objects[at]);
            steps[2 * at] = u16::from(even[at]) | (objects & 0xF) << 8;
            steps[2 * at + 1] = u16::from(odd[at]) | objects >> 4 << 8;
        }
        steps
    }
}

/// So many places are passed by one step.
const PLACES: usize = 4;

/// What the brackets and commas of a few places do.
#[derive(Clone, Copy)]
#[repr(align(8))]
struct Step {
    /// The kinds that levels must have, the innermost lowest, and which of them.
    kinds: u8,
    asked: u8,
    /// How many are left, and how many entered then, and their kinds.
    left: u8,
    entered: u8,
    new: u8,
    /// How many more there are at most at any time.
    peak: u8,
}

/// By a bit for each place that opens or is a comma, one for each that closes or is a comma, and one for each
/// that is of an object.
static STEPS: [Step; 1 << (3 * PLACES)] = {
    let mut steps = [NEVER; 1 << (3 * PLACES)];
    let mut index = 0;
    while index < steps.len() {
        steps[index] = step(index);
        index += 1;
    }
    steps
};

/// Leaves more levels than there can be.
const NEVER: Step = Step {
    kinds: 0,
    asked: 0,
    left: 63,
    entered: 0,
    new: 0,
    peak: 0,
};

const fn step(index: usize) -> Step {
    let mut step = Step { left: 0, ..NEVER };
    let mut place = 0;
    while place < PLACES {
        let is_first = index >> place & 1 == 1;
        let is_second = index >> (PLACES + place) & 1 == 1;
        let kind = (index >> (2 * PLACES + place) & 1) as u8;
        if is_second {
            // Of the innermost this kind is asked.
            if step.entered > 0 {
                if step.new & 1 != kind {
                    return NEVER;
                }
            } else {
                let bit = 1 << step.left;
                if step.asked & bit != 0 && step.kinds >> step.left & 1 != kind {
                    return NEVER;
                }
                step.asked |= bit;
                step.kinds |= kind << step.left;
            }
        }
        if is_first && !is_second {
            step.new = step.new << 1 | kind;
            step.entered += 1;
            let more = step.entered.saturating_sub(step.left);
            if more > step.peak {
                step.peak = more;
            }
        } else if is_second && !is_first {
            if step.entered > 0 {
                step.new >>= 1;
                step.entered -= 1;
            } else {
                step.left += 1;
            }
        }
        place += 1;
    }
    step
}
