//! How a text is spelled as a scalar.

use crate::deploy::yaml::Kind;
use crate::deploy::yaml::{Node, Style};

/// A text in place of a scalar, in its way of quoting. A plain one stays plain where that
/// reads as what it is: as a number where a number of the same kind stood, else as a text.
pub(in crate::deploy) fn spell(value: &str, old: Option<&Node>) -> String {
    let (before, style) = match old.map(|old| &old.kind) {
        Some(Kind::Scalar(before, style)) => (before.as_str(), *style),
        _ => ("text", Style::Plain),
    };
    match style {
        Style::Single if value.chars().all(is_printable) => format!("'{}'", value.replace('\'', "''")),
        Style::Plain if is_plain(value) && (resolves_to_text(value) || is_alike(before, value)) => {
            value.to_owned()
        }
        _ => double(value),
    }
}

/// Whether a number or a truth value stands where one of the same kind stood, and reads as
/// it is written: `1.10` would come out as `1.1`.
fn is_alike(before: &str, value: &str) -> bool {
    let is_whole = |text: &str| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        digits == "0"
            || (!digits.starts_with('0')
                && !digits.is_empty()
                && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let is_truth = |text: &str| matches!(text, "true" | "false");
    let is_decimal = |text: &str| {
        let exact = text.parse::<f64>().is_ok_and(|number| number.to_string() == text);
        exact && text.contains('.')
    };
    let alike = |is: &dyn Fn(&str) -> bool| is(before) && is(value);
    alike(&is_whole) || alike(&is_truth) || (is_decimal(value) && (is_decimal(before) || is_whole(before)))
}

/// Whether a text may stand without quotes, in braces too: letters, digits, and what names,
/// versions, and addresses are written with.
fn is_plain(value: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-' | '+' | '@' | ':');
    let first = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/');
    value.starts_with(first) && value.chars().all(fits) && !value.ends_with(':') && !value.starts_with("...")
}

/// Whether every reader takes a plain scalar for a text: YAML 1.1 has more numbers, dates,
/// and truth values than 1.2, and both are in use.
pub(super) fn resolves_to_text(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let words = ["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", "<<", "="];
    if words.contains(&lower.as_str()) {
        return false;
    }
    let bare = lower.strip_prefix(['-', '+']).unwrap_or(&lower);
    if [".inf", ".nan"].contains(&bare) {
        return false;
    }
    // Whatever begins like a number and holds nothing that no number or date has.
    let numeric = bare.starts_with(|c: char| c.is_ascii_digit())
        || (bare.starts_with('.') && bare[1..].starts_with(|c: char| c.is_ascii_digit()));
    if !numeric {
        return true;
    }
    let digits = |text: &str, radix: u32| text.chars().all(|c| c.is_digit(radix) || c == '_');
    let based = [("0x", 16), ("0o", 8), ("0b", 2)];
    if let Some((text, radix)) =
        based.iter().find_map(|(prefix, radix)| Some((bare.strip_prefix(prefix)?, *radix)))
    {
        return !digits(text, radix);
    }
    let (mantissa, exponent) = bare.split_once('e').unwrap_or((bare, "0"));
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let is_number = mantissa.matches('.').count() <= 1
        && mantissa.chars().all(|c| c.is_ascii_digit() || matches!(c, '_' | '.'))
        && digits(exponent, 10);
    // `1:30`, `2026-01-31`, `2026-01-31T10:00:00Z`.
    let is_sexagesimal =
        bare.contains(':') && bare.chars().all(|c| c.is_ascii_digit() || matches!(c, ':' | '_' | '.'));
    let is_date = {
        let head: Vec<&str> = bare.splitn(3, '-').collect();
        head.len() == 3
            && head[0].len() == 4
            && head[..2].iter().all(|part| part.chars().all(|c| c.is_ascii_digit()))
            && head[2].starts_with(|c: char| c.is_ascii_digit())
            && head[2]
                .chars()
                .all(|c| c.is_ascii_digit() || matches!(c, 't' | 'z' | ':' | '.' | '+' | '-' | ' '))
    };
    !is_number && !is_sexagesimal && !is_date
}

fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn double(value: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if is_printable(c) => text.push(c),
            c => {
                // Writing to a string succeeds.
                let _ = write!(text, "\\U{:08x}", u32::from(c));
            }
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_some_reader_takes_for_a_number_is_no_text() {
        let others = [
            "1.10",
            "1e3",
            "12e3456",
            "1234567",
            "0x10",
            "010",
            "true",
            "No",
            "~",
            "1_000",
            "1:30",
            "2026-01-31",
            ".5",
            "-1",
            ".inf",
            "2026-01-31T10:00:00Z",
        ];
        for value in others {
            assert!(!resolves_to_text(value), "{value}");
        }
        for value in [
            "v1.10",
            "1.2.3",
            "1.2.3-rc.1",
            "abc1234",
            "1234abc",
            "sha256:00",
            "main-1.2",
            "1.2-3",
            "latest",
            "2026-01-x",
        ] {
            assert!(resolves_to_text(value), "{value}");
        }
    }
}
