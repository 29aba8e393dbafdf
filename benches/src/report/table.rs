//! Plain tables: Markdown that also reads well on a terminal.

use std::fmt::{self, Write};

use super::model::{Figure, Outcome, Report};
use super::{ratios, text};

/// An interval of fewer samples says nothing.
const FEWEST: usize = 3;

/// Rows of cells; the first row is the head.
#[derive(Debug)]
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    pub(crate) fn new(heads: Vec<String>) -> Self {
        Self(vec![heads])
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.0.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.0.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
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
                let rule = |column| "-".repeat(width(column) + if column == 0 { 2 } else { 1 });
                (0..columns).try_for_each(|column| {
                    write!(f, "|{}{}", rule(column), if column == 0 { "" } else { ":" })
                })?;
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// The figures of a suite: a row each, a column for each runtime.
pub(crate) fn of_suite(report: &Report, suite: &str) -> Table {
    let figures: Vec<&Figure> = report.figures.iter().filter(|figure| figure.suite == suite).collect();
    let names: Vec<&str> = report.runtimes.iter().map(|runtime| runtime.name.as_str()).collect();
    let goals = figures.iter().any(|figure| ratios::standing(figure, &report.figures).is_some());
    let mut heads = vec![format!("{suite}: median ± half of its 95 % interval, x native")];
    heads.extend(names.iter().map(|&name| name.to_owned()));
    if goals {
        heads.extend(["goal".to_owned(), "of goal".to_owned()]);
    }
    let mut table = Table::new(heads);
    for figure in figures {
        let mut row = vec![figure.title.clone()];
        row.extend(names.iter().map(|name| {
            figure
                .results
                .iter()
                .find(|outcome| outcome.runtime == *name)
                .map_or("-".to_owned(), |o| cell(o, figure))
        }));
        if goals {
            let standing = ratios::standing(figure, &report.figures);
            row.push(figure.goal.as_ref().map_or(String::new(), |goal| text::goal(goal, figure.unit)));
            row.push(standing.map_or(String::new(), |standing| format!("{:.2}", standing.share)));
        }
        table.row(row);
    }
    table
}

fn cell(outcome: &Outcome, figure: &Figure) -> String {
    let Some(summary) = &outcome.summary else {
        return if outcome.error.is_some() { "FAILED" } else { "-" }.to_owned();
    };
    let [low, high] = summary.ci95;
    let mut cell = text::value(summary.p50, figure.unit);
    if outcome.samples.len() >= FEWEST {
        let half = (high - low) / 2.0 / summary.p50 * 100.0;
        let _ = write!(cell, " ±{half:.0}%");
    }
    if let Some(ratio) = outcome.of_native {
        cell.push(' ');
        cell.push_str(&text::times(ratio.value));
    }
    // Two modes, outliers and failures are told below the tables.
    if summary.modes.is_some() || outcome.error.is_some() {
        cell.push('*');
    }
    cell
}

/// What a table has no room for: failures, and samples that one number describes badly.
pub(crate) fn remarks(report: &Report) -> Vec<String> {
    let mut remarks: Vec<String> = Vec::new();
    for runtime in &report.runtimes {
        remarks.extend(runtime.error.as_ref().map(|error| format!("{}: {error}", runtime.name)));
    }
    for figure in &report.figures {
        for outcome in &figure.results {
            let place = format!("{}/{}: {}", figure.suite, figure.name, outcome.runtime);
            let unavailable = report
                .runtimes
                .iter()
                .any(|runtime| runtime.name == outcome.runtime && runtime.error.is_some());
            if let Some(error) = outcome.error.as_ref().filter(|_| !unavailable) {
                let line = format!("{}/{}: {}: {error}", figure.suite, figure.case, outcome.runtime);
                if !remarks.contains(&line) {
                    remarks.push(line);
                }
            }
            let Some(summary) = &outcome.summary else { continue };
            if let Some([low, high]) = summary.modes {
                let value = |number| text::value(number, figure.unit);
                remarks.push(format!("{place} is bimodal: around {} and {}", value(low), value(high)));
            }
            if summary.outliers * 5 > outcome.samples.len() {
                remarks.push(format!(
                    "{place}: {} of {} samples are outliers",
                    summary.outliers,
                    outcome.samples.len()
                ));
            }
        }
    }
    remarks
}
