//! The types of values.

use crate::config::grammar::Kind;
use crate::config::grammar::misfit::misfits;
use crate::diagnostic::{Code, Problem, Problems};
use crate::syntax::{Value, ValueKind};

/// Whether a value is of the type and the form of a kind; `what` names it.
pub(super) fn check_value(value: &Value, kind: Kind, what: &str, problems: &mut Problems) {
    if let Some(annotation) = &value.annotation {
        let problem = Problem::new(Code::WrongType, format!("a type annotation on {what}"))
            .label(annotation.span, "the language has none")
            .help(format!("remove `({})`", annotation.value));
        problems.push(problem);
    }
    if kind.accepts(&value.kind) {
        problems.extend(misfits(value, kind, what));
    } else {
        let problem = Problem::new(Code::WrongType, format!("{what} must be {}", kind.expected()))
            .label(value.span, format!("this is {}", describe(&value.kind)))
            .help(correction(&value.kind, kind));
        problems.push(problem);
    }
}

fn describe(kind: &ValueKind) -> &'static str {
    match kind {
        ValueKind::String(_) => "a string",
        ValueKind::Integer(_) => "a number",
        ValueKind::Float(_) => "a number with a fraction",
        ValueKind::Bool(true) => "`#true`",
        ValueKind::Bool(false) => "`#false`",
        ValueKind::Null => "`#null`",
    }
}

/// What to type instead.
fn correction(value: &ValueKind, kind: Kind) -> String {
    match (value, kind) {
        (ValueKind::String(text), Kind::Bool) if matches!(text.as_str(), "true" | "yes" | "on") => {
            "write `#true`".to_owned()
        }
        (ValueKind::String(text), Kind::Bool) if matches!(text.as_str(), "false" | "no" | "off") => {
            "write `#false`".to_owned()
        }
        (ValueKind::String(text), Kind::Integer(..)) if text.parse::<i128>().is_ok() => {
            format!("write `{text}`, without quotes")
        }
        (ValueKind::Integer(number), Kind::Duration | Kind::Limit) => {
            format!("write `\"{number}s\"` for seconds")
        }
        (ValueKind::Integer(number), kind) if !kind.accepts(value) && kind != Kind::Bool => {
            format!("write `\"{number}\"`")
        }
        (ValueKind::Float(_), kind) if !matches!(kind, Kind::Bool | Kind::Integer(..)) => {
            "put it in quotes".to_owned()
        }
        _ => format!("write {}", kind.about()),
    }
}
