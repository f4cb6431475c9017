//! What a target really reads, as a declaration that can be pasted.

use std::fmt::Write as _;

use crate::report::{Look, Paint};
use crate::run::Learned;

/// Most paths of a list that are shown; the events have all.
const SHOWN: usize = 12;

/// The `inputs` that a target could declare, and how they differ from what it
/// declares.
#[must_use]
pub(super) fn learned_text(learned: &Learned, look: Look) -> String {
    let mut out = String::new();
    if learned.inputs.is_empty() {
        let _ = writeln!(out, "`{}` reads no file of the project.", learned.step);
    } else {
        let _ = writeln!(out, "What `{}` reads:\n", learned.step);
        let line = format!("inputs {}", quoted(&learned.inputs));
        let _ = writeln!(out, "    {}\n", look.paint(Paint::Name, &line));
    }
    let lists = [
        ("read and not declared", &learned.undeclared),
        ("declared and not read", &learned.unread),
        ("made or changed, and no output", &learned.unkept),
        ("looked for and not there", &learned.missing),
    ];
    for (title, paths) in lists.into_iter().filter(|(_, paths)| !paths.is_empty()) {
        let shown = paths.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
        let more = paths.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let _ = writeln!(out, "{} {shown}{more}", look.paint(Paint::Faint, &format!("{title}:")));
    }
    out
}

fn quoted(patterns: &[String]) -> String {
    let quote = |text: &String| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    patterns.iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_comes_first_and_then_how_it_differs() {
        let learned = Learned {
            step: "compile".to_owned(),
            inputs: vec!["src/*.c".to_owned(), "app/\\[id\\].h".to_owned()],
            undeclared: vec!["app/[id].h".to_owned()],
            unread: vec!["docs/**".to_owned()],
            ..Learned::default()
        };
        let text = "What `compile` reads:\n\n    inputs \"src/*.c\" \"app/\\\\[id\\\\].h\"\n\n\
                    read and not declared: app/[id].h\ndeclared and not read: docs/**\n";
        assert_eq!(learned_text(&learned, Look::PLAIN), text);
        let nothing = Learned { step: "x".to_owned(), ..Learned::default() };
        assert_eq!(learned_text(&nothing, Look::PLAIN), "`x` reads no file of the project.\n");
    }
}
