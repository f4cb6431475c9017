//! Durations and sizes.

use std::time::Duration;

use crate::config::Waste;

/// A span of time: numbers with units, the larger first: `1h30m`, `90s`, `7d`.
///
/// # Errors
/// Why the text is none. The longest is ten years: longer ones are slips.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const LONGEST: u64 = 10 * 366 * 24 * 3600 * 1000;
    let mut total = 0u64;
    let mut rest = text;
    if rest.is_empty() {
        return Err("it is empty".to_owned());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, after) = after.split_at(letters);
        if number.is_empty() {
            return Err(format!("a number is missing before `{rest}`"));
        }
        let factor = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" => return Err(format!("`{number}` has no unit: `ms`, `s`, `m`, `h`, or `d`")),
            other => return Err(format!("`{other}` is not one of `ms`, `s`, `m`, `h`, `d`")),
        };
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        total = part
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= LONGEST)
            .ok_or("it is longer than ten years")?;
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

/// A span of time in which something can be done.
///
/// # Errors
/// It is none, or of no length.
pub(crate) fn limit(text: &str) -> Result<Duration, String> {
    let limit = duration(text)?;
    if limit.is_zero() { Err("nothing can be done in no time".to_owned()) } else { Ok(limit) }
}

/// A number of bytes: `4096`, `500MB` (of 1000), `20GiB` (of 1024), `1.5GB`.
///
/// # Errors
/// Why the text is none.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(end);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1000 * 1000,
        "g" | "gb" => 1000 * 1000 * 1000,
        "t" | "tb" => 1000 * 1000 * 1000 * 1000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        other => {
            return Err(format!(
                "`{other}` is not one of `B`, `KB`, `MB`, `GB`, `TB`, `KiB`, `MiB`, `GiB`, `TiB`"
            ));
        }
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let too_large = || "it is larger than any file".to_owned();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return Err("it has no number before the unit".to_owned());
    }
    let whole =
        whole.parse::<u64>().ok().and_then(|whole| whole.checked_mul(factor)).ok_or_else(too_large)?;
    let scale = 10u64.pow(u32::try_from(fraction.len()).unwrap_or(6));
    let part = fraction.parse::<u64>().unwrap_or(0);
    let part =
        u64::try_from(u128::from(part) * u128::from(factor) / u128::from(scale)).map_err(|_| too_large())?;
    whole.checked_add(part).ok_or_else(too_large)
}

/// A number of bytes, or a percentage of an image: `20MB`, `5%`.
///
/// # Errors
/// Why the text is none.
pub(crate) fn waste(text: &str) -> Result<Waste, String> {
    let Some(number) = text.strip_suffix('%') else { return size(text).map(Waste::Bytes) };
    match number.trim().parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Waste::Percent(percent)),
        _ => Err("a percentage is a number from 0 to 100".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("7d"), Ok(Duration::from_hours(7 * 24)));
        assert_eq!(duration("10"), Err("`10` has no unit: `ms`, `s`, `m`, `h`, or `d`".to_owned()));
        assert_eq!(duration("m"), Err("a number is missing before `m`".to_owned()));
        assert_eq!(duration("3w"), Err("`w` is not one of `ms`, `s`, `m`, `h`, `d`".to_owned()));
        assert_eq!(duration("99999999999999999999d"), Err("it is longer than ten years".to_owned()));
        assert_eq!(duration(""), Err("it is empty".to_owned()));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(limit("0s"), Err("nothing can be done in no time".to_owned()));
        assert_eq!(limit("1ms"), Ok(Duration::from_millis(1)));
    }

    #[test]
    fn sizes_are_bytes_by_thousands_or_by_1024() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("500MB"), Ok(500_000_000));
        assert_eq!(size("20GiB"), Ok(20 << 30));
        assert_eq!(size("1.5 GB"), Ok(1_500_000_000));
        assert_eq!(size("MB"), Err("it has no number before the unit".to_owned()));
        assert_eq!(size("99999999999TB"), Err("it is larger than any file".to_owned()));
        assert!(size("5 apples").is_err());
    }

    #[test]
    fn waste_is_a_size_or_a_percentage() {
        assert_eq!(waste("5%"), Ok(Waste::Percent(5.0)));
        assert_eq!(waste("20MB"), Ok(Waste::Bytes(20_000_000)));
        assert!(waste("101%").is_err());
        assert!(waste("NaN%").is_err());
    }
}
