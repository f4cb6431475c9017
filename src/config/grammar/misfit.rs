//! A value of the right type and the wrong form.

use jiff::civil::Date;
use regex::Regex;

use crate::config::decode::name_fits;
use crate::config::grammar::Kind;
use crate::config::value;
use crate::diagnostic::{Code, Problem, Span, nearest};
use crate::oci::Platform;
use crate::syntax::{Value, ValueKind};

/// What is wrong with the form of a value whose type is right. What needs more
/// than the value itself (paths, templates, names) is found by decoding.
pub(super) fn misfits(value: &Value, kind: Kind, what: &str) -> Vec<Problem> {
    match (&value.kind, kind) {
        (ValueKind::Integer(number), Kind::Integer(least, most)) if !(least..=most).contains(number) => {
            let range = if most == i128::MAX {
                format!("at least {least}")
            } else {
                format!("from {least} to {most}")
            };
            let problem = invalid(format!("{what} is out of range"), value.span, format!("must be {range}"));
            vec![problem.help(format!("write a number {range}"))]
        }
        (ValueKind::Integer(number), Kind::Port) => single(value, kind, &number.to_string()),
        (ValueKind::String(text), Kind::Words(_) | Kind::Platforms | Kind::Globs) => value::list(text)
            .into_iter()
            .filter_map(|(range, word)| misfit(value.part(range), one_of_list(kind), word))
            .collect(),
        (ValueKind::String(text), _) => single(value, kind, text),
        _ => Vec::new(),
    }
}

fn single(value: &Value, kind: Kind, text: &str) -> Vec<Problem> {
    misfit(value.span, kind, text).into_iter().collect()
}

const fn one_of_list(kind: Kind) -> Kind {
    match kind {
        Kind::Words(words) => Kind::Word(words),
        Kind::Platforms => Kind::Platform,
        _ => Kind::Glob,
    }
}

fn misfit(span: Span, kind: Kind, text: &str) -> Option<Problem> {
    let not_a = |what: &str| format!("`{text}` is not {what}");
    let (title, why) = match kind {
        Kind::Name => (format!("`{text}` cannot be a name"), name_fits(text).err()?),
        Kind::Limit if value::duration(text).is_ok() => {
            (format!("`{text}` cannot be a limit"), value::limit(text).err()?)
        }
        Kind::Duration | Kind::Limit => (not_a("a duration"), value::duration(text).err()?),
        Kind::Size => (not_a("a size"), value::size(text).err()?),
        Kind::Waste => (not_a("a size or a percentage"), value::waste(text).err()?),
        Kind::Mode => (not_a("permission bits"), value::mode(text).err()?),
        Kind::Owner => (not_a("a numeric owner"), value::owner(text).err()?),
        Kind::Port => (not_a("a port"), value::port(text).err()?),
        Kind::Variable => (not_a("the name of a variable"), value::variable(text).err()?),
        Kind::DateFormat => (not_a("a format of dates"), value::date_format(text).err()?),
        Kind::Requirement => (not_a("a version requirement"), value::requirement(text).err()?),
        Kind::Date => {
            text.parse::<Date>().err()?;
            (not_a("a date"), "a date is year, month, and day: `2027-01-31`".to_owned())
        }
        Kind::Glob => (not_a("a glob"), value::glob_fits(text).err()?),
        Kind::Regex => {
            let error = Regex::new(text).err()?.to_string();
            let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            (not_a("a regular expression"), why)
        }
        Kind::Platform => return bad_platform(span, text),
        Kind::Word(words) if words.contains(&text) => return None,
        Kind::Word(words) => {
            let all = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
            let problem = invalid(not_a("one of the words allowed here"), span, "unknown word".to_owned());
            let near = nearest(text, words.iter().copied());
            return Some(
                problem.help(near.map_or(format!("one of {all}"), |near| format!("did you mean `{near}`?"))),
            );
        }
        _ => return None,
    };
    let help = match kind {
        Kind::Name => "letters, digits, `-`, `_`, and `.`, joined by `/`".to_owned(),
        _ => format!("write {}", kind.about()),
    };
    Some(invalid(title, span, why).help(help))
}

fn invalid(title: String, span: Span, why: String) -> Problem {
    Problem::new(Code::InvalidValue, title).label(span, why)
}

/// Architectures that images are built for, as Go names them.
const ARCHITECTURES: &[&str] = &[
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le",
    "riscv64", "s390x", "wasm",
];

/// A text that is no platform, or one of an architecture that nobody knows.
fn bad_platform(span: Span, text: &str) -> Option<Problem> {
    let why = match text.parse::<Platform>() {
        Ok(platform) if ARCHITECTURES.contains(&platform.architecture.as_str()) => return None,
        Ok(platform) => format!("there is no architecture `{}`", platform.architecture),
        Err(why) => why.to_string(),
    };
    let known = ["linux/amd64", "linux/arm64", "linux/arm/v7", "windows/amd64"];
    let help = match nearest(text, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "such as `linux/amd64` or `linux/arm64`".to_owned(),
    };
    Some(
        Problem::new(Code::InvalidPlatform, format!("`{text}` is not a platform"))
            .label(span, why)
            .help(help),
    )
}
