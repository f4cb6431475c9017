//! Columns of text.

use crate::report::{Look, Paint};
use console::measure_text_width;

/// Columns between two cells.
const GAP: usize = 2;

/// Rows of cells that are printed in columns. On a terminal that is too narrow for them,
/// the widest columns are cut; the last one, too, or it goes on below itself.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<(Option<Paint>, String)>>,
}

impl Table {
    /// No rows yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row of cells, each with its colour.
    pub fn row<const N: usize>(&mut self, cells: [(Option<Paint>, String); N]) {
        self.rows.push(cells.into());
    }

    /// Adds a row of headings.
    pub fn head<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows.push(cells.iter().map(|cell| (Some(Paint::Faint), (*cell).to_owned())).collect());
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows as lines, each with `indent` spaces before it.
    #[must_use]
    pub fn render(&self, look: Look, indent: usize) -> String {
        self.lines(look, indent, &|text, room| vec![look.cut(text, room)])
    }

    /// The same, with all of the last column: what finds no room goes on below it.
    #[must_use]
    pub fn render_whole(&self, look: Look, indent: usize) -> String {
        self.lines(look, indent, &wrap)
    }

    fn lines(&self, look: Look, indent: usize, fit: &dyn Fn(&str, usize) -> Vec<String>) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells =
                self.rows.iter().filter(|row| column + 1 < row.len()).filter_map(|row| row.get(column));
            cells.map(|(_, text)| measure_text_width(text)).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..columns).map(width).collect();
        if look.bounded {
            let last = self.rows.iter().filter_map(|row| row.last());
            let last = last.map(|(_, text)| measure_text_width(text)).max().unwrap_or(0);
            let is_name = |column: usize| {
                let mut cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.any(|(paint, _)| *paint == Some(Paint::Name))
            };
            let names: Vec<bool> = (0..columns).map(is_name).collect();
            narrow(&mut widths, &names, look.width.saturating_sub(indent + last.min(LEAST_LAST)));
        }
        let mut out = String::new();
        for row in &self.rows {
            let mut line = " ".repeat(indent);
            let mut used = indent;
            for (column, (paint, text)) in row.iter().enumerate() {
                let last = column + 1 == row.len();
                let room = look.width.saturating_sub(used).max(LEAST_LAST);
                let painted = |shown: String| paint.map_or(shown.clone(), |paint| look.paint(paint, &shown));
                if last {
                    let lines: Vec<String> = fit(text, room).into_iter().map(painted).collect();
                    line.push_str(&lines.join(&format!("\n{}", " ".repeat(used))));
                } else {
                    line.push_str(&painted(look.pad(&look.cut(text, widths[column]), widths[column])));
                    line.push_str(&" ".repeat(GAP));
                    used += widths[column] + GAP;
                }
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// Least columns of the last cell of a row.
const LEAST_LAST: usize = 16;
/// Least columns of any other, where it holds more.
const LEAST: usize = 8;

/// Makes the widest of these columns, but for the last, narrower until all, each with the
/// gap behind it, have no more than `room`, or none can be. Names go last: they are typed.
fn narrow(widths: &mut [usize], names: &[bool], room: usize) {
    let columns = widths.len().saturating_sub(1);
    let Some(widths) = widths.get_mut(..columns) else { return };
    for of_names in [false, true] {
        while widths.iter().sum::<usize>() + GAP * columns > room {
            let these = widths.iter_mut().zip(names).filter(|(_, name)| **name == of_names);
            let widest = these.map(|(width, _)| width).max();
            let Some(widest) = widest.filter(|widest| **widest > LEAST) else { break };
            *widest -= 1;
        }
    }
}

/// The text in lines of at most `room` columns, broken between words. A word that is
/// wider has a line of its own.
#[must_use]
pub fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if measure_text_width(line) + 1 + measure_text_width(word) <= room => {
                line.extend([" ", word]);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_the_last_is_cut() {
        let mut table = Table::new();
        table.row([(None, "a".into()), (None, "short".into())]);
        table.row([(None, "longer".into()), (None, "x".repeat(100))]);
        table.row([(None, "c".into()), (None, String::new())]);
        let out = table.render(Look { width: 40, bounded: true, ..Look::PLAIN }, 2);
        let cut = format!("{}...", "x".repeat(27));
        assert_eq!(out, format!("  a       short\n  longer  {cut}\n  c\n"));
    }

    #[test]
    fn on_a_narrow_terminal_the_widest_columns_are_cut_and_elsewhere_none() {
        let mut table = Table::new();
        table.head(["ENTRY", "STAGE", "BY", "STATE"]);
        table.row([
            (None, "a0a0a0a".into()),
            (Some(Paint::Name), "production-of-the-south".into()),
            (None, "somebody@example.com".into()),
            (None, "as released".into()),
        ]);
        let terminal = Look { width: 50, bounded: true, unicode: true, ..Look::PLAIN };
        let cut = "ENTRY    STAGE               BY        STATE\n\
                   a0a0a0a  production-of-the…  somebod…  as released\n";
        assert_eq!(table.render(terminal, 0), cut);
        assert_eq!(table.render_whole(terminal, 0), cut);
        let whole = table.render(Look { width: 50, ..Look::PLAIN }, 0);
        assert!(whole.ends_with("production-of-the-south  somebody@example.com  as released\n"), "{whole}");
    }

    #[test]
    fn a_last_column_goes_on_below_itself() {
        let mut table = Table::new();
        table.row([(None, "a".into()), (None, "linux/amd64 linux/arm64 linux/s390x".into())]);
        let out = table.render_whole(Look { width: 30, ..Look::PLAIN }, 2);
        assert_eq!(out, "  a  linux/amd64 linux/arm64\n     linux/s390x\n");
        assert_eq!(wrap("wider-than-the-room b", 5), ["wider-than-the-room", "b"]);
    }
}
