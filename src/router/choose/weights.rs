use crate::router::plan::Candidate;

/// A draw by weight in one look, whatever the number of candidates: Walker's alias table, in
/// integers.
///
/// There is a column for each candidate, all equally likely. A column is its own candidate's up to
/// a cut, and another's above it.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    columns: Box<[Column]>,
    pub(super) total: u64,
    pub(super) uniform: bool,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    cut: u64,
    other: u32,
}

impl Weights {
    pub(super) fn of(run: &[Candidate]) -> Self {
        let n = run.len() as u64;
        let total: u64 = run.iter().map(|one| u64::from(one.weight)).sum();
        let uniform = run.iter().all(|one| one.weight == run[0].weight);
        let mut columns: Box<[Column]> = (0..run.len())
            .map(|at| Column {
                cut: u64::MAX,
                other: narrow(at),
            })
            .collect();
        if !uniform {
            // Each weight times their number, to be laid out in columns of the total's height.
            let mut left: Vec<u128> = run
                .iter()
                .map(|one| u128::from(one.weight) * u128::from(n))
                .collect();
            let height = u128::from(total);
            let all = 0..run.len();
            let (mut small, mut large): (Vec<_>, Vec<_>) = all.partition(|at| left[*at] < height);
            while let (Some(low), Some(high)) = (small.pop(), large.last().copied()) {
                // Below the height, so the quotient is below 2^64.
                let cut = u64::try_from((left[low] << 64) / height).unwrap_or(u64::MAX);
                columns[low] = Column {
                    cut,
                    other: narrow(high),
                };
                left[high] -= height - left[low];
                if left[high] < height {
                    large.pop();
                    small.push(high);
                }
            }
        }
        Self {
            columns,
            total,
            uniform,
        }
    }

    /// One of them, counted from the first. Of weights that are all 0, any.
    #[inline]
    pub(super) fn draw(&self, random: u64) -> usize {
        let product = u128::from(random) * self.columns.len() as u128;
        let (at, rest) = ((product >> 64) as usize, product as u64);
        let column = self.columns[at];
        if rest < column.cut {
            at
        } else {
            column.other as usize
        }
    }
}

fn narrow(at: usize) -> u32 {
    u32::try_from(at).expect("fewer than four thousand million targets")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_weight_has_exactly_its_share_of_all_numbers() {
        for weights in [
            &[1][..],
            &[1, 1, 1],
            &[1, 3, 0, 6],
            &[0, 0, 1],
            &[u32::MAX, 1, u32::MAX, 0],
            &[7, 11, 13, 17, 19, 23, 29],
        ] {
            let run: Vec<_> = weights
                .iter()
                .map(|weight| Candidate::new("p", "m").weight(*weight))
                .collect();
            let table = Weights::of(&run);
            let mut shares = vec![0_u128; run.len()];
            for (at, column) in table.columns.iter().enumerate() {
                let (own, all) = (u128::from(column.cut), 1 << 64);
                shares[at] += own;
                shares[column.other as usize] += all - own;
            }
            let columns = run.len() as u128;
            for (share, one) in shares.iter().zip(&run) {
                let want = (u128::from(one.weight) << 64) / u128::from(table.total) * columns;
                // A few in 2^64 are lost to rounding, or drawn for the column's own.
                assert!(share.abs_diff(want) <= 4 * columns * columns, "{weights:?}");
                assert!(one.weight > 0 || *share == 0, "{weights:?}");
            }
        }
    }

    #[test]
    fn the_ends_of_the_numbers_are_drawn_from_too() {
        let run = [1, 2].map(|weight| Candidate::new("p", "m").weight(weight));
        let table = Weights::of(&run);
        assert_eq!((table.draw(0), table.draw(u64::MAX)), (0, 1));
    }
}
