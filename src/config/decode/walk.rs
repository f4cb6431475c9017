//! Following names that name others.

use std::collections::HashMap;

/// What following names from one to the next shows.
pub(super) struct Walk<'a> {
    /// Names that lead back to themselves; the first is there again at the end.
    pub(super) circles: Vec<Vec<&'a str>>,
    /// How many names follow each other from here, at most.
    pub(super) depths: HashMap<&'a str, usize>,
}

impl<'a> Walk<'a> {
    /// Visits each name once, without recursion: the names of a file may follow
    /// each other as long as the file is.
    pub(super) fn over(names: impl Iterator<Item = &'a str>, next: impl Fn(&'a str) -> Vec<&'a str>) -> Self {
        let mut walk = Self { circles: Vec::new(), depths: HashMap::new() };
        for first in names {
            if walk.depths.contains_key(first) {
                continue;
            }
            let mut path = vec![(first, next(first).into_iter())];
            let mut open = HashMap::from([(first, 0)]);
            while let Some((name, rest)) = path.last_mut() {
                let name = *name;
                let Some(below) = rest.next() else {
                    let depths = next(name).into_iter().filter_map(|below| walk.depths.get(below));
                    walk.depths.insert(name, depths.max().map_or(0, |depth| depth + 1));
                    open.remove(name);
                    path.pop();
                    continue;
                };
                if walk.depths.contains_key(below) {
                    continue;
                }
                if let Some(at) = open.get(below) {
                    let circle = path.iter().skip(*at).map(|(name, _)| *name).chain([below]);
                    walk.circles.push(circle.collect());
                } else {
                    open.insert(below, path.len());
                    path.push((below, next(below).into_iter()));
                }
            }
        }
        walk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(edges: &[(&'static str, &[&'static str])]) -> Walk<'static> {
        let next = |name: &str| {
            edges.iter().find(|(from, _)| *from == name).map_or(Vec::new(), |(_, to)| to.to_vec())
        };
        Walk::over(edges.iter().map(|(from, _)| *from), next)
    }

    #[test]
    fn a_circle_is_told_once_from_where_it_is_entered() {
        let found = walk(&[("x", &["a"]), ("a", &["b", "d"]), ("b", &["c"]), ("c", &["a"]), ("d", &["d"])]);
        assert_eq!(found.circles, [vec!["a", "b", "c", "a"], vec!["d", "d"]]);
    }

    #[test]
    fn the_depth_is_that_of_the_longest_way() {
        let found = walk(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])]);
        assert_eq!(found.depths, HashMap::from([("a", 2), ("b", 1), ("c", 0)]));
        assert_eq!(found.circles, Vec::<Vec<&str>>::new());
    }
}
