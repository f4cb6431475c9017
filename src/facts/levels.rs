//! Walking a tree of any depth, all of a level at the same time.

use std::iter::Peekable;
use std::vec::IntoIter;

use rayon::prelude::*;

/// What one visit found.
pub struct Visited<V, N, S> {
    /// Its items, in their order.
    pub items: Vec<N>,
    /// What is to be visited below, each with the number of items that its own come behind.
    pub deeper: Vec<(usize, V)>,
    /// What else there is to say.
    pub beside: S,
}

/// Visits what `first` is, all below that, and so on; returns all items, those of what is
/// deeper in their place, and what else there was to say, level by level. No stack grows with
/// the depth.
pub fn levels<V, N, S>(first: V, visit: impl Fn(V) -> Visited<V, N, S> + Sync) -> (Vec<N>, Vec<S>)
where
    V: Send,
    N: Send,
    S: Send,
{
    let (mut nodes, mut beside) = (Vec::new(), Vec::new());
    let (mut level, mut count) = (vec![first], 1);
    while !level.is_empty() {
        let visited: Vec<Visited<V, N, S>> = level.into_par_iter().map(&visit).collect();
        level = Vec::new();
        for Visited { items, deeper, beside: said } in visited {
            let mut below = Vec::with_capacity(deeper.len());
            for (behind, next) in deeper {
                below.push((behind, count));
                level.push(next);
                count += 1;
            }
            nodes.push(Some((items, below)));
            beside.push(said);
        }
    }
    (in_order(nodes), beside)
}

/// What remains of a visit whose items are put in order.
type Open<N> = (IntoIter<N>, usize, Peekable<IntoIter<(usize, usize)>>);

/// The items of a visit, and the number of each visit below, with how many items come before;
/// none once they were taken.
type Node<N> = Option<(Vec<N>, Vec<(usize, usize)>)>;

/// The items of all visits, of which the first is the top.
fn in_order<N>(mut nodes: Vec<Node<N>>) -> Vec<N> {
    let mut begin = |at: usize| -> Option<Open<N>> {
        let (items, below) = nodes.get_mut(at)?.take()?;
        Some((items.into_iter(), 0, below.into_iter().peekable()))
    };
    let mut all = Vec::new();
    let mut open: Vec<Open<N>> = begin(0).into_iter().collect();
    while let Some((items, taken, below)) = open.last_mut() {
        if let Some((_, node)) = below.next_if(|(behind, _)| behind <= taken) {
            open.extend(begin(node));
            continue;
        }
        match items.next() {
            Some(item) => {
                all.push(item);
                *taken += 1;
            }
            None => drop(open.pop()),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deeper_comes_in_its_place_at_any_depth() {
        let visit = |(name, depth): (String, usize)| {
            let items = vec![format!("{name}1"), format!("{name}2")];
            let deeper = if depth == 0 { Vec::new() } else { vec![(1, (format!("{name}a"), depth - 1))] };
            Visited { items, deeper, beside: depth }
        };
        let (items, depths) = levels((String::new(), 2), visit);
        assert_eq!(items, ["1", "a1", "aa1", "aa2", "a2", "2"]);
        assert_eq!(depths, [2, 1, 0]);
        let deep = |depth: usize| Visited {
            items: vec![depth],
            deeper: (depth < 100_000).then_some((1, depth + 1)).into_iter().collect(),
            beside: (),
        };
        assert_eq!(levels(0, deep).0.len(), 100_001);
        // Before all items, behind all, and several at one place.
        let wide = |name: &'static str| {
            let deeper = if name == "x" { vec![(0, "a"), (0, "b"), (1, "c")] } else { Vec::new() };
            Visited { items: vec![name], deeper, beside: () }
        };
        assert_eq!(levels("x", wide).0, ["a", "b", "x", "c"]);
    }
}
