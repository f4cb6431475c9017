//! Sizes as people read them.

/// A number of bytes for people, in powers of 1000 as registries count them.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut tenths = count / 100;
    for unit in UNITS {
        if tenths < 10_000 || unit == "TB" {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
        tenths /= 1000;
    }
    format!("{count} B")
}

/// So many things: `1 step`, `3 steps`.
#[must_use]
pub fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::{bytes, counted};

    #[test]
    fn one_is_one() {
        let counts = [0, 1, 2].map(|count| counted(count, "step"));
        assert_eq!(counts, ["0 steps", "1 step", "2 steps"]);
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!([bytes(0), bytes(999), bytes(1000)], ["0 B", "999 B", "1.0 kB"]);
        assert_eq!(
            [bytes(999_949), bytes(1_500_000), bytes(u64::MAX)],
            ["999.9 kB", "1.5 MB", "18446744.0 TB"]
        );
    }
}
