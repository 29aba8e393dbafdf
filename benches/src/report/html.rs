//! The report as one page that needs nothing else: no script, no font, no network.

use std::fmt::Write;

use super::chart::{self, escape};
use super::model::{Figure, Report};
use super::{markdown, ratios, table, text};

const STYLE: &str = include_str!("page.css");

/// The whole page.
pub(crate) fn page(report: &Report) -> String {
    let title = escape(&markdown::title(report));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title>\n<style>\n{STYLE}</style></head>\n<body><main>\n<h1>{title}</h1>\n"
    );
    if report.interrupted {
        page.push_str("<p class=\"warning\">Interrupted: these are the figures up to then.</p>\n");
    }
    let _ = writeln!(page, "<pre>{}</pre>", escape(&report.command.join(" ")));
    let names: Vec<&str> = report.runtimes.iter().map(|runtime| runtime.name.as_str()).collect();
    for suite in markdown::suites(report) {
        let _ = writeln!(page, "<h2 id=\"{0}\">{0}</h2>", escape(suite));
        for figure in report.figures.iter().filter(|figure| figure.suite == suite) {
            page.push_str(&section(figure, report, &names));
        }
        let curves: Vec<_> = report.curves.iter().filter(|curve| curve.suite == suite).collect();
        if !curves.is_empty() {
            let _ = writeln!(
                page,
                "<h3>PSS of all processes, over the number of sandboxes</h3>\n{}",
                chart::curves(&curves, &names)
            );
        }
    }
    page.push_str(&remarks(report));
    page.push_str(&machine(report));
    page.push_str("</main></body></html>\n");
    page
}

/// A figure's chart, and its numbers folded away below.
fn section(figure: &Figure, report: &Report, names: &[&str]) -> String {
    let mut html = format!("<section><h3>{}", escape(&figure.title));
    if let (Some(goal), Some(standing)) = (&figure.goal, ratios::standing(figure, &report.figures)) {
        let class = if standing.share <= 1.0 { "met" } else { "missed" };
        let _ = write!(
            html,
            " <small class=\"{class}\">goal {} ({}): {:.2} of it</small>",
            escape(&text::goal(goal, figure.unit)),
            text::value(standing.bound, figure.unit),
            standing.share
        );
    }
    let _ =
        write!(html, "</h3>\n{}\n<details><summary>numbers</summary><table><tr>", chart::bars(figure, names));
    for head in [
        "runtime",
        "runs",
        "p50",
        "95 % interval",
        "p95",
        "p99",
        "min",
        "max",
        "x native",
        "x baseline",
        "notes",
    ] {
        let _ = write!(html, "<th>{head}</th>");
    }
    html.push_str("</tr>\n");
    for outcome in &figure.results {
        let value = |number: f64| text::value(number, figure.unit);
        let ratio = |ratio: Option<super::model::Ratio>| {
            ratio.map_or(String::new(), |r| format!("{:.2} ({:.2}–{:.2})", r.value, r.ci95[0], r.ci95[1]))
        };
        let mut cells = vec![outcome.runtime.clone(), outcome.samples.len().to_string()];
        let mut notes: Vec<String> = outcome.error.iter().chain(&outcome.not_applicable).cloned().collect();
        match &outcome.summary {
            Some(s) => {
                cells.push(value(s.p50));
                cells.push(format!("{} – {}", value(s.ci95[0]), value(s.ci95[1])));
                cells.extend([s.p95, s.p99, s.min, s.max].map(value));
                notes.extend(
                    s.modes.map(|[low, high]| format!("bimodal: {} and {}", value(low), value(high))),
                );
                notes.extend((s.outliers > 0).then(|| format!("{} outliers", s.outliers)));
            }
            None => cells.extend(["", "", "", "", "", ""].map(str::to_owned)),
        }
        cells.extend([ratio(outcome.of_native), ratio(outcome.of_baseline), notes.join("; ")]);
        let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
        let _ = writeln!(html, "<tr>{cells}</tr>");
    }
    html.push_str("</table></details></section>\n");
    html
}

fn remarks(report: &Report) -> String {
    let lines: String = table::remarks(report)
        .iter()
        .chain(&report.notes)
        .map(|line| format!("<li>{}</li>\n", escape(line)))
        .collect();
    if lines.is_empty() {
        String::new()
    } else {
        format!("<h2>Remarks</h2>\n<ul class=\"remarks\">\n{lines}</ul>\n")
    }
}

fn machine(report: &Report) -> String {
    let machine = &report.machine;
    let mut rows = vec![
        ("started".to_owned(), format!("{} UTC, for {:.0} s", report.started, report.seconds)),
        ("kernel".to_owned(), machine.kernel.clone()),
        ("processor".to_owned(), format!("{} x {}", machine.cpus, machine.cpu)),
        ("memory".to_owned(), text::value(machine.memory_bytes as f64, crate::suite::Unit::Bytes)),
        ("hypervisor".to_owned(), machine.hypervisor.clone().unwrap_or_else(|| "none seen".to_owned())),
        ("governor".to_owned(), machine.governor.clone().unwrap_or_else(|| "not known".to_owned())),
        ("cgroups".to_owned(), machine.cgroups.clone()),
        ("transparent huge pages".to_owned(), machine.transparent_huge_pages.clone().unwrap_or_default()),
        (
            "load before, after".to_owned(),
            format!("{}, {}", machine.before.load_1min, machine.after.load_1min),
        ),
    ];
    for runtime in &report.runtimes {
        let words = [&runtime.program, &runtime.version, &runtime.error].into_iter().flatten().cloned();
        let text: Vec<String> =
            words.chain([runtime.flags.join(" ")]).filter(|word| !word.is_empty()).collect();
        rows.push((format!("runtime {}", runtime.name), text.join(", ")));
    }
    rows.extend(machine.mitigations.iter().map(|fault| (fault.name.clone(), fault.state.clone())));
    let rows: String = rows
        .iter()
        .map(|(name, value)| format!("<tr><th>{}</th><td>{}</td></tr>\n", escape(name), escape(value)))
        .collect();
    format!("<h2>Machine</h2>\n<table class=\"machine\">\n{rows}</table>\n")
}
