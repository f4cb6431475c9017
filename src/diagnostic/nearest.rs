//! Which known word was meant by an unknown one.

/// The known word that is closest to `word`, if one is close enough to have been
/// meant: at most a third of its characters differ, or one begins with the other.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |candidate: &str| {
        let prefix = candidate.len().min(word.len()) >= 3
            && (candidate.starts_with(word) || word.starts_with(candidate));
        let changes = strsim::osa_distance(word, candidate);
        let longest = word.chars().count().max(candidate.chars().count());
        let bound = longest.div_ceil(3).min(longest.saturating_sub(1));
        if changes <= bound { Some(changes) } else { prefix.then_some(changes.saturating_add(bound)) }
    };
    let close = known.into_iter().filter_map(|candidate| distance(candidate).map(|at| (at, candidate)));
    close.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_another_word_is_not() {
        let known = ["lint", "build", "web:build@linux/amd64"];
        assert_eq!(nearest("lnit", known), Some("lint"));
        assert_eq!(nearest("biuld", known), Some("build"));
        assert_eq!(nearest("web:build", known), Some("web:build@linux/amd64"));
        assert_eq!(nearest("deploy", known), None);
        assert_eq!(nearest("x", known), None);
        assert_eq!(nearest("x", ["y"]), None);
    }
}
