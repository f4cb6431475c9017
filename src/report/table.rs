//! Columns of text.

use crate::report::{Look, Paint};
use console::measure_text_width;

/// Rows of cells that are printed in columns; the last column is cut at the
/// width of the look, or goes on below itself.
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
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = " ".repeat(indent);
            let mut used = indent;
            for (column, (paint, text)) in row.iter().enumerate() {
                let last = column + 1 == row.len();
                let room = look.width.saturating_sub(used).max(16);
                let painted = |shown: String| paint.map_or(shown.clone(), |paint| look.paint(paint, &shown));
                if last {
                    let lines: Vec<String> = fit(text, room).into_iter().map(painted).collect();
                    line.push_str(&lines.join(&format!("\n{}", " ".repeat(used))));
                } else {
                    line.push_str(&painted(look.pad(text, widths[column])));
                    line.push_str("  ");
                    used += widths[column] + 2;
                }
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
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
        let out = table.render(Look { width: 40, ..Look::PLAIN }, 2);
        let cut = format!("{}...", "x".repeat(27));
        assert_eq!(out, format!("  a       short\n  longer  {cut}\n  c\n"));
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
