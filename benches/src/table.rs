//! Plain tables: Markdown that also reads well on a terminal.

use std::fmt;

/// Rows of cells; the first row is the head.
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    pub(crate) fn new(heads: &[&str]) -> Self {
        Self(vec![heads.iter().map(|head| (*head).to_owned()).collect()])
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.0.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.0
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        for (number, row) in self.0.iter().enumerate() {
            for (column, cell) in row.iter().enumerate() {
                // Names to the left, figures to the right.
                if column == 0 {
                    write!(f, "| {cell:<width$} ", width = width(column))?;
                } else {
                    write!(f, "| {cell:>width$} ", width = width(column))?;
                }
            }
            writeln!(f, "|")?;
            if number == 0 {
                (0..columns).try_for_each(|column| write!(f, "|{}", "-".repeat(width(column) + 2)))?;
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// Nanoseconds with a unit that fits.
pub(crate) fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        ns if ns.is_nan() => "-".to_owned(),
        ns if ns < 1e3 => format!("{ns:.0}ns"),
        ns if ns < 1e6 => format!("{:.2}us", ns / 1e3),
        ns => format!("{:.2}ms", ns / 1e6),
    }
}
