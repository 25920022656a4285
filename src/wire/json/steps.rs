//! What brackets do to levels, a few places at a time.

/// So many places are passed by one step.
pub(super) const PLACES: usize = 4;

/// What the brackets and commas of a few places do.
#[derive(Clone, Copy)]
#[repr(align(8))]
pub(super) struct Step {
    /// The kinds that levels must have, the innermost lowest, and which of them.
    pub(super) kinds: u8,
    pub(super) asked: u8,
    /// How many are left, and how many entered then, and their kinds.
    pub(super) left: u8,
    pub(super) entered: u8,
    pub(super) new: u8,
    /// How many more there are at most at any time.
    pub(super) peak: u8,
}

/// By a bit for each place that opens or is a comma, one for each that closes or is a comma, and one for each
/// that is of an object.
pub(super) static STEPS: [Step; 1 << (3 * PLACES)] = {
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
