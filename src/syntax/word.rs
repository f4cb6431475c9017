//! Words without quotes: strings, numbers, and keywords.

use std::ops::Range;

use crate::syntax::ValueKind;
use crate::syntax::wrong::Wrong;

/// What a word says; it stands at `range`.
pub(super) fn word(word: &str, range: Range<usize>) -> Result<ValueKind, Wrong> {
    match word {
        "true" | "false" | "null" => return Err(Wrong::kdl1(range, word, &format!("#{word}"))),
        "inf" | "-inf" | "nan" => {
            let wrong = Wrong::new(range, format!("`{word}` is not a string"), "a keyword without its `#`");
            return Err(wrong.help(format!("write `#{word}` for the number, `\"{word}\"` for the string")));
        }
        _ => {}
    }
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    let digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    if digit(unsigned) {
        return number(word, unsigned).ok_or_else(|| {
            let wrong = Wrong::new(range, format!("`{word}` is not a number"), "it starts like one");
            wrong.help(format!("write `\"{word}\"` for the string"))
        });
    }
    if unsigned.strip_prefix('.').is_some_and(digit) {
        let wrong = Wrong::new(range, format!("`{word}` is not a number"), "no digit before the period");
        return Err(
            wrong.help(format!("write `{}`, or `\"{word}\"` for the string", word.replacen('.', "0.", 1)))
        );
    }
    Ok(ValueKind::String(word.to_owned()))
}

/// What `#true` and its kind say.
pub(super) fn keyword(text: &str, range: Range<usize>) -> Result<ValueKind, Wrong> {
    Ok(match text {
        "#true" => ValueKind::Bool(true),
        "#false" => ValueKind::Bool(false),
        "#null" => ValueKind::Null,
        "#inf" => ValueKind::Float(f64::INFINITY),
        "#-inf" => ValueKind::Float(f64::NEG_INFINITY),
        "#nan" => ValueKind::Float(f64::NAN),
        _ => {
            let wrong = Wrong::new(range, format!("`{text}` is not a keyword"), "here");
            let keywords = "the keywords are `#true`, `#false`, `#null`, `#inf`, `#-inf`, and `#nan`";
            // As many other files have it.
            let is_comment = text.trim_start_matches('#').is_empty() || text.starts_with("#!");
            let comments = "a comment begins with `//`";
            let help = if is_comment { comments.to_owned() } else { format!("{keywords}; {comments}") };
            return Err(wrong.help(help));
        }
    })
}

/// The number that a word is; `None` if it is none, or too large a whole one.
fn number(word: &str, unsigned: &str) -> Option<ValueKind> {
    let sign = if word.starts_with('-') { "-" } else { "" };
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = unsigned.strip_prefix(prefix) {
            let digits = plain(digits, radix)?;
            return i128::from_str_radix(&format!("{sign}{digits}"), radix).ok().map(ValueKind::Integer);
        }
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (plain(whole, 10)?, Some(plain(fraction, 10)?)),
        None => (plain(mantissa, 10)?, None),
    };
    if fraction.is_none() && exponent.is_none() {
        return format!("{sign}{whole}").parse().ok().map(ValueKind::Integer);
    }
    let power = exponent.unwrap_or("0");
    let magnitude = plain(power.strip_prefix(['+', '-']).unwrap_or(power), 10)?;
    let power = if power.starts_with('-') { format!("-{magnitude}") } else { magnitude };
    let fraction = fraction.unwrap_or_else(|| "0".to_owned());
    format!("{sign}{whole}.{fraction}e{power}").parse().ok().map(ValueKind::Float)
}

/// The digits without underscores, the first of which is a digit.
fn plain(digits: &str, radix: u32) -> Option<String> {
    let right = digits.starts_with(|c: char| c.is_digit(radix))
        && digits.chars().all(|c| c == '_' || c.is_digit(radix));
    right.then(|| digits.replace('_', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_whole_in_four_bases_or_floating() {
        let read = |text: &str| word(text, 0..0).ok();
        let whole = [("0", 0), ("-1_000", -1000), ("+7", 7), ("0xfF_", 255), ("-0b101", -5), ("0o17", 15)];
        for (text, number) in whole {
            assert_eq!(read(text), Some(ValueKind::Integer(number)), "{text}");
        }
        for (text, number) in [("1.5", 1.5), ("-1e3", -1000.0), ("1_0.2_5E-1", 1.025)] {
            assert_eq!(read(text), Some(ValueKind::Float(number)), "{text}");
        }
        for text in
            ["1x", "0x", "0x_1", "1.", "1._5", "1e", "1.5.2", "3.11.1", "9".repeat(40).as_str(), ".5", "-.5"]
        {
            assert_eq!(read(text), None, "{text}");
        }
        for text in ["-", "+x", "--1", "a.b", ".x", "-.x"] {
            assert_eq!(read(text), Some(ValueKind::String(text.to_owned())), "{text}");
        }
    }
}
