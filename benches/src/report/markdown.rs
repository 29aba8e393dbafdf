//! The report as Markdown, which is also what the terminal shows.

use std::fmt::Write;

use super::model::Report;
use super::table;

/// The whole report.
pub(crate) fn page(report: &Report) -> String {
    let mut page = format!("# {}\n\n", title(report));
    let machine = &report.machine;
    let _ = writeln!(page, "`{}`\n", report.command.join(" "));
    let _ = writeln!(
        page,
        "{} UTC, {:.0} s, Linux {}, {} x {}\n",
        report.started, report.seconds, machine.kernel, machine.cpus, machine.cpu
    );
    for runtime in &report.runtimes {
        let version =
            runtime.version.as_deref().unwrap_or(if runtime.error.is_some() { "not run" } else { "" });
        let flags = if runtime.flags.is_empty() {
            String::new()
        } else {
            format!(" (`{}`)", runtime.flags.join(" "))
        };
        let _ = writeln!(page, "- {}: {version}{flags}", runtime.name);
    }
    page.push('\n');
    page.push_str(&tables(report));
    page
}

/// One line that says what this is.
pub(crate) fn title(report: &Report) -> String {
    let names: Vec<&str> = report.runtimes.iter().map(|runtime| runtime.name.as_str()).collect();
    let part = if report.interrupted { "Interrupted measurement" } else { "Measurement" };
    format!("{part} of {} via {}", names.join(", "), report.settings.via)
}

/// The suites, in the order of their first figures.
pub(crate) fn suites(report: &Report) -> Vec<&str> {
    let mut suites: Vec<&str> = Vec::new();
    for figure in &report.figures {
        if !suites.contains(&figure.suite.as_str()) {
            suites.push(&figure.suite);
        }
    }
    suites
}

/// The tables, and what is to be said of them.
pub(crate) fn tables(report: &Report) -> String {
    let mut text = String::new();
    if report.interrupted {
        text.push_str("**Interrupted: these are the figures up to then.**\n\n");
    }
    for suite in suites(report) {
        let _ = writeln!(text, "{}", table::of_suite(report, suite));
    }
    for line in table::remarks(report).iter().chain(&report.notes) {
        let _ = writeln!(text, "- {line}");
    }
    text
}
