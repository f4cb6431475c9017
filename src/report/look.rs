//! How text is set off on the stream that it goes to.

use console::{AnsiCodeIterator, Style, measure_text_width, truncate_str};

/// What the stream that a text goes to can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether ANSI colours are used.
    pub color: bool,
    /// Whether characters beyond ASCII are used for lines and marks.
    pub unicode: bool,
    /// Columns that a line may have.
    pub width: usize,
    /// Whether that is the width of a terminal, which a longer line would not fit.
    pub bounded: bool,
}

/// What a text is, for its colour. Nothing is said by colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// A heading.
    Strong,
    /// Of less weight than what stands beside it.
    Faint,
    /// A name that can be typed.
    Name,
    /// Something went well.
    Good,
    /// Something to look at.
    Warn,
    /// Something failed.
    Bad,
}

impl Look {
    /// Neither colour nor anything but ASCII, 80 columns.
    pub const PLAIN: Self = Self { color: false, unicode: false, width: 80, bounded: false };

    /// The text in its colour.
    #[must_use]
    pub fn paint(self, paint: Paint, text: &str) -> String {
        let style = match paint {
            Paint::Strong => Style::new().bold(),
            Paint::Faint => Style::new().dim(),
            Paint::Name => Style::new().cyan(),
            Paint::Good => Style::new().green(),
            Paint::Warn => Style::new().yellow(),
            Paint::Bad => Style::new().red().bold(),
        };
        style.force_styling(self.color).apply_to(text).to_string()
    }

    /// The text, cut with an ellipsis where it is wider than `width` columns of a
    /// terminal. For a file, or another program, it is whole.
    #[must_use]
    pub fn cut(self, text: &str, width: usize) -> String {
        if !self.bounded {
            return text.to_owned();
        }
        truncate_str(text, width, if self.unicode { "…" } else { "..." }).into_owned()
    }

    /// The name, with an ellipsis amid it where it is wider than `width` columns:
    /// names that begin alike differ at their ends.
    #[must_use]
    pub fn cut_amid(self, name: &str, width: usize) -> String {
        let all = measure_text_width(name);
        if all <= width {
            return name.to_owned();
        }
        let mark = if self.unicode { "…" } else { ".." };
        let room = width.saturating_sub(mark.chars().count());
        let head = truncate_str(name, room / 3, "").into_owned();
        let rest = room - measure_text_width(&head);
        let mut start = name.len();
        for (at, _) in name.char_indices().rev() {
            if measure_text_width(&name[at..]) > rest {
                break;
            }
            start = at;
        }
        format!("{head}{mark}{}", &name[start..])
    }

    /// A line that others wrote, as it may stand on a terminal: with its colours,
    /// or without any where this look has none, and without all else that steers
    /// the terminal. Of a line that writes over itself, what it wrote last.
    #[must_use]
    pub fn tame(self, line: &str) -> String {
        let last = line.rsplit('\r').find(|part| !part.is_empty()).unwrap_or_default();
        let mut out = String::with_capacity(last.len());
        let mut coloured = false;
        for (piece, is_escape) in AnsiCodeIterator::new(last) {
            if !is_escape {
                out.extend(piece.chars().filter(|c| *c == '\t' || !c.is_control()));
            } else if self.color && piece.starts_with("\u{1b}[") && piece.ends_with('m') {
                out.push_str(piece);
                coloured = true;
            }
        }
        if coloured {
            out.push_str("\u{1b}[0m");
        }
        out
    }

    /// The text with spaces behind it up to `width` columns.
    #[must_use]
    pub fn pad(self, text: &str, width: usize) -> String {
        let missing = width.saturating_sub(measure_text_width(text));
        format!("{text}{}", " ".repeat(missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_without_colour_adds_nothing_to_a_text() {
        assert_eq!(Look::PLAIN.paint(Paint::Bad, "x"), "x");
        let colourful = Look { color: true, ..Look::PLAIN };
        assert_eq!(colourful.paint(Paint::Good, "x"), "\u{1b}[32mx\u{1b}[0m");
    }

    #[test]
    fn what_others_wrote_keeps_its_colours_and_steers_nothing() {
        let colourful = Look { color: true, ..Look::PLAIN };
        let line = "10%\r\u{1b}[2J\u{1b}[32mgreen\u{1b}[1A\u{7}\tend";
        assert_eq!(colourful.tame(line), "\u{1b}[32mgreen\tend\u{1b}[0m");
        assert_eq!(Look::PLAIN.tame(line), "green\tend");
        assert_eq!(Look::PLAIN.tame("50%\r100%\r"), "100%");
    }

    #[test]
    fn a_name_keeps_its_end() {
        let unicode = Look { unicode: true, ..Look::PLAIN };
        assert_eq!(unicode.cut_amid("service/component-12", 12), "ser…onent-12");
        assert_eq!(unicode.cut_amid("service/日本語-12", 12), "ser…本語-12");
        assert_eq!(Look::PLAIN.cut_amid("component-12", 12), "component-12");
        assert_eq!(Look::PLAIN.cut_amid("component-12", 3), "..2");
    }

    #[test]
    fn columns_are_counted_not_bytes() {
        assert_eq!(Look::PLAIN.pad("日本", 6), "日本  ");
        let terminal = Look { unicode: true, bounded: true, ..Look::PLAIN };
        assert_eq!(terminal.cut("日本語", 5), "日本…");
        assert_eq!(Look::PLAIN.cut("日本語", 5), "日本語");
    }
}
