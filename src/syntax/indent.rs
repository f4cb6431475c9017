//! Lines of a string, and the space before them.

use crate::syntax::token::{is_newline, is_space};

/// Columns of a tab.
const TAB: usize = 4;

/// The string, its lines indented by as many spaces as `indent` makes of the
/// space before its closing quotes; `None` if it has no lines that can be moved.
pub(super) fn moved(string: &str, indent: impl Fn(&str) -> usize) -> Option<String> {
    let raw = string.starts_with('#');
    let long = string.trim_start_matches('#').starts_with("\"\"\"");
    let (body, closing) = string.rsplit_once('\n').filter(|_| long)?;
    let prefix = leading(closing);
    let mut lines = body.split('\n');
    let first = lines.next()?;
    let lines: Vec<&str> = lines.collect();
    // A backslash that takes away a line break makes one line of two.
    let joined = |line: &str| {
        let line = line.trim_end_matches(is_space);
        !raw && (line.len() - line.trim_end_matches('\\').len()) % 2 == 1
    };
    let empty = |line: &str| leading(line).len() == line.len();
    let movable = |line: &&str| {
        !line.contains(is_newline) && !joined(line) && (line.starts_with(prefix) || empty(line))
    };
    if !lines.iter().all(movable) || !closing[prefix.len()..].starts_with('"') {
        return None;
    }
    let indent = " ".repeat(indent(prefix));
    let mut out = first.to_owned();
    for line in lines {
        out.push('\n');
        if !empty(line) {
            out.push_str(&indent);
            out.push_str(line.get(prefix.len()..).unwrap_or_default());
        }
    }
    Some(format!("{out}\n{indent}{}", &closing[prefix.len()..]))
}

/// The spaces that a text begins with.
pub(super) fn leading(text: &str) -> &str {
    text.get(..text.len() - text.trim_start_matches(is_space).len()).unwrap_or_default()
}

/// Columns that spaces take.
pub(super) fn width(spaces: &str) -> usize {
    spaces.chars().map(|c| if c == '\t' { TAB } else { 1 }).sum()
}

/// The text with line breaks as Unix has them.
pub(super) fn unix(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}
