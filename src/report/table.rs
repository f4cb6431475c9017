//! Columns of text.

use crate::report::{Look, Paint};
use console::measure_text_width;

/// Rows of cells that are printed in columns; the last column is cut at the
/// width of the look.
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
                let shown = if last { look.cut(text, room) } else { look.pad(text, widths[column]) };
                line.push_str(&paint.map_or(shown.clone(), |paint| look.paint(paint, &shown)));
                if !last {
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
}
