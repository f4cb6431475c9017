//! How far down everything in a column stands.

use crate::plan::drawing::layer::{Columns, count};

/// Times that columns are aligned with their neighbours, back and forth.
const SWEEPS: usize = 16;

/// The middle of every box and bend: close to the middle of its neighbours,
/// and never less than half of both `heights` and a gap away from what stands
/// above and below. The least is above zero by half a height.
pub(super) fn middles(columns: &Columns, heights: &[f64], gap: f64) -> Vec<f64> {
    let mut middles = vec![0.0; heights.len()];
    for column in &columns.stacks {
        let mut below = 0.0;
        for node in column {
            middles[*node] = below + heights[*node] / 2.0;
            below += heights[*node] + gap;
        }
        // Columns start centred on one line.
        for node in column {
            middles[*node] -= (below - gap) / 2.0;
        }
    }
    for sweep in 0..SWEEPS {
        let last = columns.stacks.len().saturating_sub(1);
        let order: Vec<usize> =
            if sweep % 2 == 0 { (0..=last).collect() } else { (0..=last).rev().collect() };
        // The last time everything is drawn to both sides.
        let both = sweep + 2 >= SWEEPS;
        for at in order {
            align(columns, at, (sweep % 2 == 0 || both, sweep % 2 == 1 || both), heights, gap, &mut middles);
        }
    }
    let tops = middles.iter().zip(heights).map(|(middle, height)| middle - height / 2.0);
    let top = tops.fold(f64::INFINITY, f64::min);
    for middle in &mut middles {
        *middle -= top;
    }
    middles
}

/// Moves a column as close to its neighbours as the distances in it allow: the
/// least squares, found by joining those that would come too close (isotonic
/// regression, "pool adjacent violators").
fn align(
    columns: &Columns,
    at: usize,
    (left, right): (bool, bool),
    heights: &[f64],
    gap: f64,
    middles: &mut [f64],
) {
    let mut offset = 0.0;
    let mut before: Option<f64> = None;
    // Groups that move as one: the sum of what they want, and how many they are.
    let mut groups: Vec<(f64, f64)> = Vec::new();
    let mut offsets = Vec::with_capacity(columns.stacks[at].len());
    for node in &columns.stacks[at] {
        let half = heights[*node] / 2.0;
        offset += before.map_or(0.0, |before| before + gap + half);
        before = Some(half);
        offsets.push(offset);
        let mut group = (wanted(columns, *node, left, right, middles) - offset, 1.0);
        while let Some((sum, members)) = groups.pop_if(|(sum, members)| *sum / *members >= group.0 / group.1)
        {
            group = (sum + group.0, members + group.1);
        }
        groups.push(group);
    }
    let places = groups.iter().flat_map(|(sum, members)| {
        let mut left = *members;
        std::iter::from_fn(move || {
            left -= 1.0;
            (left >= 0.0).then_some(sum / members)
        })
    });
    for ((node, offset), place) in columns.stacks[at].iter().zip(offsets).zip(places) {
        middles[*node] = place + offset;
    }
}

/// Where something would stand if it were alone in its column.
fn wanted(columns: &Columns, node: usize, left: bool, right: bool, middles: &[f64]) -> f64 {
    let lefts = columns.left[node].iter().filter(|_| left);
    let rights = columns.right[node].iter().filter(|_| right);
    let near: Vec<f64> = lefts.chain(rights).map(|other| middles[*other]).collect();
    if near.is_empty() { middles[node] } else { near.iter().sum::<f64>() / count(near.len()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_in_a_column_overlaps(
            pairs in prop::collection::btree_set((0usize..12, 1usize..6), 0..20),
        ) {
            let edges: Vec<(usize, usize)> = pairs.into_iter().map(|(from, by)| (from, from + by)).collect();
            let columns = Columns::new(18, &edges);
            let heights: Vec<f64> = (0..columns.left.len()).map(|node| if node < 18 { 40.0 } else { 2.0 }).collect();
            let middles = middles(&columns, &heights, 10.0);
            for column in &columns.stacks {
                for pair in column.windows(2) {
                    let distance = f64::midpoint(heights[pair[0]], heights[pair[1]]) + 10.0;
                    prop_assert!(middles[pair[1]] - middles[pair[0]] >= distance - 0.001);
                }
            }
        }
    }

    #[test]
    fn a_chain_stands_on_one_line() {
        let columns = Columns::new(3, &[(0, 1), (1, 2)]);
        assert_eq!(middles(&columns, &[40.0; 3], 10.0), vec![20.0; 3]);
    }
}
