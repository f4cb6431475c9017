//! Which column a box stands in, and in which order a column stands
//! (K. Sugiyama, S. Tagawa, M. Toda, "Methods for visual understanding of
//! hierarchical system structures", 1981).

/// Boxes and bends of edges in columns, from left to right.
pub(super) struct Columns {
    /// What stands in each column, from top to bottom.
    pub(super) stacks: Vec<Vec<usize>>,
    /// Neighbours one column to the left, of every box and bend.
    pub(super) left: Vec<Vec<usize>>,
    /// Neighbours one column to the right.
    pub(super) right: Vec<Vec<usize>>,
    /// For each edge all that it passes, from its first box to its last one.
    pub(super) routes: Vec<Vec<usize>>,
}

/// Times that the columns are put in order, back and forth.
const SWEEPS: usize = 24;

/// Above this many bends, edges run straight behind what they pass: nobody
/// follows them in a picture of that size.
const MOST_BENDS: usize = 20_000;

/// Above this many boxes and bends the order is looked for less long.
const MANY: usize = 5000;

impl Columns {
    /// Puts `boxes` boxes, each behind those that lead to it, into columns;
    /// `edges` lead from left to right.
    pub(super) fn new(boxes: usize, edges: &[(usize, usize)]) -> Self {
        let column = columns_of(boxes, edges);
        let last = column.iter().copied().max().unwrap_or_default();
        let mut stacks = vec![Vec::new(); last + 1];
        for (node, at) in column.iter().enumerate() {
            stacks[*at].push(node);
        }
        let (mut left, mut right) = (vec![Vec::new(); boxes], vec![Vec::new(); boxes]);
        let mut routes = Vec::with_capacity(edges.len());
        let spans = edges.iter().map(|(from, to)| column[*to] - column[*from]);
        let bent = spans.sum::<usize>() <= MOST_BENDS;
        for (from, to) in edges {
            let mut route = vec![*from];
            let passed = if bent { column[*from] + 1..column[*to] } else { 0..0 };
            for passed in &mut stacks[passed] {
                route.push(left.len());
                passed.push(left.len());
                left.push(Vec::new());
                right.push(Vec::new());
            }
            route.push(*to);
            let near = |pair: &&[usize]| bent || column[pair[0]] + 1 == column[pair[1]];
            for pair in route.windows(2).filter(near) {
                right[pair[0]].push(pair[1]);
                left[pair[1]].push(pair[0]);
            }
            routes.push(route);
        }
        let mut all = Self { stacks, left, right, routes };
        all.reduce_crossings();
        all
    }

    /// Orders each column by the middle of the neighbours, left and right in
    /// turn, and keeps the order with the fewest crossings.
    fn reduce_crossings(&mut self) {
        let sweeps = if self.left.len() > MANY { 4 } else { SWEEPS };
        let mut best = (self.crossings(), self.stacks.clone());
        for sweep in 0..sweeps {
            if best.0 == 0 {
                break;
            }
            let count = self.stacks.len();
            if sweep % 2 == 0 {
                (1..count).for_each(|at| self.sort(at, at - 1, true));
            } else {
                (0..count.saturating_sub(1)).rev().for_each(|at| self.sort(at, at + 1, false));
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.stacks.clone());
            }
        }
        self.stacks = best.1;
    }

    /// Sorts a column by where its neighbours stand in another one; what has no
    /// neighbours there stays where it is.
    fn sort(&mut self, at: usize, by: usize, left: bool) {
        let places = self.places(by);
        let neighbours = if left { &self.left } else { &self.right };
        let mut keyed: Vec<(f64, usize)> = Vec::with_capacity(self.stacks[at].len());
        for (place, node) in self.stacks[at].iter().enumerate() {
            let near = &neighbours[*node];
            let sum: f64 = near.iter().map(|other| places[*other]).sum();
            let own = scale(place, self.stacks[at].len());
            keyed.push((if near.is_empty() { own } else { sum / count(near.len()) }, *node));
        }
        keyed.sort_by(|one, other| one.0.total_cmp(&other.0));
        self.stacks[at] = keyed.into_iter().map(|(_, node)| node).collect();
    }

    /// Where everything in a column stands, from 0 to 1; else 0.
    fn places(&self, at: usize) -> Vec<f64> {
        let mut places = vec![0.0; self.left.len()];
        for (place, node) in self.stacks[at].iter().enumerate() {
            places[*node] = scale(place, self.stacks[at].len());
        }
        places
    }

    /// Pairs of edges that cross.
    fn crossings(&self) -> usize {
        self.stacks.windows(2).map(|pair| self.crossings_between(&pair[0], &pair[1])).sum()
    }

    fn crossings_between(&self, one: &[usize], other: &[usize]) -> usize {
        let mut place = vec![0usize; self.left.len()];
        for (at, node) in other.iter().enumerate() {
            place[*node] = at;
        }
        // Ends of the edges in the order of their starts: an edge crosses those
        // before it that end below it. Counted in a Fenwick tree.
        let mut tree = vec![0usize; other.len() + 1];
        let (mut crossings, mut seen) = (0, 0);
        for node in one {
            let mut ends: Vec<usize> = self.right[*node].iter().map(|end| place[*end]).collect();
            ends.sort_unstable();
            for end in &ends {
                let (mut at, mut above) = (end + 1, 0);
                while at > 0 {
                    above += tree[at];
                    at &= at - 1;
                }
                crossings += seen - above;
            }
            for end in &ends {
                let mut at = end + 1;
                while at < tree.len() {
                    tree[at] += 1;
                    at += at & at.wrapping_neg();
                }
                seen += 1;
            }
        }
        crossings
    }
}

/// A position in a column of some length, from 0 to 1.
fn scale(place: usize, length: usize) -> f64 {
    (count(place) + 0.5) / count(length.max(1))
}

/// A number of things in a picture, which is far below what a float holds.
pub(super) fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// The column of each box: behind all that lead to it, and where nothing leads
/// to it, right before what it leads to.
fn columns_of(boxes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut column = vec![0usize; boxes];
    let mut led_to = vec![false; boxes];
    // Edges are sorted by where they start, and lead forward.
    for (from, to) in edges {
        column[*to] = column[*to].max(column[*from] + 1);
        led_to[*to] = true;
    }
    let mut next = vec![usize::MAX; boxes];
    for (from, to) in edges {
        next[*from] = next[*from].min(column[*to]);
    }
    for at in 0..boxes {
        if !led_to[at] && next[at] != usize::MAX {
            column[at] = next[at] - 1;
        }
    }
    column
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edges() -> impl Strategy<Value = Vec<(usize, usize)>> {
        let pairs = prop::collection::btree_set((0usize..12, 1usize..6), 0..20);
        pairs.prop_map(|pairs| pairs.into_iter().map(|(from, by)| (from, from + by)).collect())
    }

    proptest! {
        #[test]
        fn every_edge_leads_one_column_to_the_right_at_each_step(edges in edges()) {
            let columns = Columns::new(18, &edges);
            let column = |node: usize| columns.stacks.iter().position(|column| column.contains(&node));
            prop_assert_eq!(columns.stacks.iter().map(Vec::len).sum::<usize>(), columns.left.len());
            for ((from, to), route) in edges.iter().zip(&columns.routes) {
                prop_assert_eq!((route.first(), route.last()), (Some(from), Some(to)));
                for pair in route.windows(2) {
                    prop_assert_eq!(column(pair[0]).map(|at| at + 1), column(pair[1]));
                }
            }
        }

        #[test]
        fn crossings_are_counted_as_by_comparing_all_pairs(edges in edges()) {
            let columns = Columns::new(18, &edges);
            let mut expected = 0;
            for pair in columns.stacks.windows(2) {
                let place = |column: &[usize], node: usize| column.iter().position(|other| *other == node).unwrap();
                let lines: Vec<(usize, usize)> = pair[0].iter().flat_map(|from| {
                    let start = place(&pair[0], *from);
                    columns.right[*from].iter().map(move |to| (start, *to))
                }).map(|(start, to)| (start, place(&pair[1], to))).collect();
                for (at, one) in lines.iter().enumerate() {
                    expected += lines[at + 1..].iter().filter(|other| {
                        (one.0 < other.0 && one.1 > other.1) || (one.0 > other.0 && one.1 < other.1)
                    }).count();
                }
            }
            prop_assert_eq!(columns.crossings(), expected);
        }
    }

    #[test]
    fn edges_that_need_not_cross_do_not() {
        let columns = Columns::new(6, &[(0, 5), (1, 4), (2, 3)]);
        assert_eq!(columns.crossings(), 0);
    }
}
