//! What the objects and arrays are that a place stands in.

use super::window::until;

/// So many objects and arrays within one another, at most 128.
#[derive(Clone, Copy)]
pub(super) struct Levels {
    /// A bit for each of the innermost, set for an object, the lowest for the innermost of all, and one more that
    /// is set above them.
    kinds: u64,
    /// What they must stay below for one more to be entered.
    limit: u64,
    /// The same of those outside, where there are more than one word holds.
    outer: [u64; 3],
    words: usize,
    room: usize,
}

/// So many levels are told by one word.
const MOST: usize = 62;
/// So many of them are put away when it is full, so that as many may be left or entered before another is.
const HALF: usize = 31;

impl Levels {
    #[inline(always)]
    pub(super) fn new(is_object: bool, room: usize) -> Self {
        Self {
            kinds: 2 | u64::from(is_object),
            limit: 1 << room.min(MOST),
            outer: [0; 3],
            words: 0,
            room,
        }
    }

    #[inline(always)]
    pub(super) fn is_object(self) -> bool {
        self.kinds & 1 == 1
    }

    /// What the innermost ends with.
    #[inline(always)]
    pub(super) fn close(self) -> u8 {
        // In ASCII the brackets of objects are those of arrays with one more bit.
        b']' | (self.kinds as u8 & 1) << 5
    }

    /// Whether no other can be entered before [`with_room`](Self::with_room).
    #[inline(always)]
    pub(super) fn is_full(self) -> bool {
        self.kinds >= self.limit
    }

    #[inline(always)]
    pub(super) fn enter(&mut self, is_object: bool) {
        self.kinds = self.kinds << 1 | u64::from(is_object);
    }

    /// Whether none is left before [`outside`](Self::outside).
    #[inline(always)]
    pub(super) fn leave(&mut self) -> bool {
        self.kinds >>= 1;
        self.kinds == 1
    }

    /// The same levels with room for another, if there may be one.
    #[cold]
    #[inline(never)]
    pub(super) fn with_room(mut self) -> Option<Self> {
        if self.below() <= MOST {
            return None;
        }
        *self.outer.get_mut(self.words)? = self.kinds >> HALF;
        self.words += 1;
        self.kinds = self.kinds & ((1 << HALF) - 1) | 1 << HALF;
        self.limit = self.limit();
        Some(self)
    }

    /// The levels outside of those that have been left, if there are some.
    #[inline(never)]
    pub(super) fn outside(mut self) -> Option<Self> {
        self.words = self.words.checked_sub(1)?;
        self.kinds = *self.outer.get(self.words)?;
        self.limit = self.limit();
        Some(self)
    }

    fn limit(&self) -> u64 {
        1 << self.below().min(MOST)
    }

    /// How many may be told by the word.
    fn below(&self) -> usize {
        // What is put away is what is not kept of a full one.
        self.room - (MOST - HALF) * self.words
    }

    /// Passes brackets and commas, of which those of objects are known: the levels then. Where one is wrong, or
    /// the outermost level ends, bits before it.
    #[inline(always)]
    pub(super) fn pass(self, marks: Marks) -> Result<Self, u64> {
        let Marks {
            mut opens,
            mut closes,
            mut commas,
            objects,
        } = marks;
        if opens | closes == 0 {
            let others = if self.is_object() { !objects } else { objects };
            return if commas & others == 0 {
                Ok(self)
            } else {
                Err(0)
            };
        }
        // The innermost pairs are taken away together.
        let brackets = opens | closes;
        let next = |opens: u64| (opens << 1).wrapping_add(!brackets) & brackets;
        let ends = next(opens) & closes;
        let mut between = !brackets;
        let mut inside = ends >> 1 & between;
        for shift in [1, 2, 4, 8, 16, 32] {
            inside |= inside >> shift & between;
            between &= between >> shift;
        }
        let begins = (inside | ends) >> 1 & opens;
        let pairs = ends.wrapping_sub(begins);
        let of_objects = (ends & objects).wrapping_sub(begins & objects);
        let mismatch =
            (next(opens & objects) ^ objects) & ends | (objects ^ of_objects) & commas & pairs;
        if mismatch != 0 {
            return Err(until(mismatch));
        }
        opens ^= begins;
        closes ^= ends;
        commas &= !pairs;
        let height = usize::from(ends != 0);
        if opens | closes == 0 {
            let kind = if self.is_object() { objects } else { !objects };
            return match commas & !kind {
                0 if self.has_room(height) => Ok(self),
                _ => Err(0),
            };
        }
        self.pass_steps(
            Marks {
                opens,
                closes,
                commas,
                objects,
            },
            height,
        )
    }

    /// The same by steps over a few places each, where what has been taken away has a height.
    #[inline(always)]
    fn pass_steps(self, marks: Marks, height: usize) -> Result<Self, u64> {
        let most = marks.opens.count_ones() as usize + height;
        match self.has_room(most) {
            true => self.pass_all::<false>(marks, height),
            false => self.pass_exactly(marks, height),
        }
    }

    /// The same where there may be no room for all of them.
    #[inline(never)]
    fn pass_exactly(self, marks: Marks, height: usize) -> Result<Self, u64> {
        self.pass_all::<true>(marks, height)
    }

    #[inline(always)]
    fn pass_all<const EXACTLY: bool>(self, marks: Marks, height: usize) -> Result<Self, u64> {
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
                let peak = usize::from(step.peak) + height;
                if kinds.leading_zeros() as usize <= peak {
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

/// The brackets and commas of a window, and which of them are those of objects.
#[derive(Clone, Copy)]
pub(super) struct Marks {
    pub(super) opens: u64,
    pub(super) closes: u64,
    pub(super) commas: u64,
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
