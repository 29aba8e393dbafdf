//! What is shown while it runs: a bar with the time left on a terminal, a line for each figure elsewhere.

use std::cell::Cell;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::report::model::Figure;
use crate::report::text;
use crate::runtimes::Runtime;
use crate::suite::{Case, Suite};

/// The display, on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Seconds of work as they were estimated before, and as they turned out.
    estimated: Cell<f64>,
    measured: Cell<f64>,
    total: f64,
}

impl Progress {
    /// For work that is estimated to take so long.
    pub(crate) fn new(total: Duration) -> Self {
        let bar = ProgressBar::new(total.as_millis().try_into().unwrap_or(u64::MAX).max(1));
        let style = ProgressStyle::with_template("{bar:24} {prefix} left {elapsed} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(text::duration(total));
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { bar, estimated: Cell::new(0.0), measured: Cell::new(0.0), total: total.as_secs_f64() }
    }

    /// What is being measured now.
    pub(crate) fn at(&self, suite: &Suite, case: &Case, runtime: &Runtime, run: usize, of: usize) {
        self.bar.set_message(format!("{}/{} {} run {run} of {of}", suite.name, case.name, runtime.name));
    }

    /// A run has ended, or was left out.
    pub(crate) fn done(&self, case: &Case, took: Duration) {
        self.estimated.set(self.estimated.get() + case.about_s);
        self.measured.set(self.measured.get() + took.as_secs_f64());
        // This machine is as much slower than the estimate for the rest as for what is done.
        let pace = self.measured.get() / self.estimated.get().max(f64::MIN_POSITIVE);
        let left = (self.total - self.estimated.get()).max(0.0) * pace;
        self.bar.set_position((self.estimated.get() * 1e3) as u64);
        self.bar.set_prefix(text::duration(Duration::from_secs_f64(left)));
    }

    /// A figure is complete.
    pub(crate) fn tell(&self, figure: &Figure) {
        let cell = |outcome: &crate::report::model::Outcome| {
            let value = outcome
                .summary
                .as_ref()
                .map_or("-".to_owned(), |summary| text::value(summary.p50, figure.unit));
            format!("{} {value}", outcome.runtime)
        };
        let cells: Vec<String> = figure.results.iter().map(cell).collect();
        self.say(&format!("{}/{}: {}", figure.suite, figure.name, cells.join(", ")));
    }

    /// Something went wrong; the rest goes on.
    pub(crate) fn warn(&self, message: &str) {
        self.say(&format!("warning: {message}"));
    }

    /// A line above the bar.
    pub(crate) fn say(&self, message: &str) {
        if self.bar.is_hidden() {
            eprintln!("{message}");
        } else {
            self.bar.println(message);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
