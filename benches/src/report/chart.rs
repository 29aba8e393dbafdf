//! Charts as SVG that stands in the page: bars with intervals and all samples, and memory over the number of sandboxes.

use std::fmt::Write;

use super::model::{Curve, Figure, Outcome};
use super::text;
use crate::suite::{Better, Unit};

/// Colours that are told apart on white and on black, also by the colour-blind (Okabe and Ito).
const COLOURS: &[&str] = &["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#999999"];
const WIDTH: f64 = 760.0;
/// Room for names on the left, and for values on the right.
const LEFT: f64 = 170.0;
const RIGHT: f64 = 150.0;
const ROW: f64 = 34.0;

/// What is no markup.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The colour of the runtime that stands at a place of the report.
pub(crate) fn colour(place: usize) -> &'static str {
    COLOURS.get(place % COLOURS.len()).copied().unwrap_or("#000000")
}

/// A bar for each runtime that has the figure: its median, the interval as a whisker, each sample as a dot.
pub(crate) fn bars(figure: &Figure, names: &[&str]) -> String {
    let shown: Vec<(usize, &Outcome)> = figure
        .results
        .iter()
        .filter(|outcome| outcome.summary.is_some() || outcome.error.is_some())
        .filter_map(|outcome| Some((names.iter().position(|name| *name == outcome.runtime)?, outcome)))
        .collect();
    // Far outliers are cut off, so that the rest can be seen: a sample beyond the scale shows at its end.
    let most = shown.iter().filter_map(|(_, outcome)| outcome.summary.as_ref());
    let most = most.map(|summary| summary.p95.max(summary.ci95[1])).fold(0.0, f64::max) * 1.05;
    let scale =
        |value: f64| LEFT + (value / most.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT);
    let height = ROW * shown.len() as f64 + 8.0;
    let arrow = if figure.better == Better::Lower { "less is better" } else { "more is better" };
    let mut svg = format!(
        "<svg class=\"bars\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}: {arrow}\">",
        escape(&figure.title)
    );
    for (row, (place, outcome)) in shown.iter().enumerate() {
        let top = 4.0 + ROW * row as f64;
        let name = escape(&outcome.runtime);
        let middle = top + ROW / 2.0;
        let _ = write!(svg, "<text class=\"name\" x=\"{}\" y=\"{}\">{name}</text>", LEFT - 8.0, middle + 4.0);
        let Some(summary) = &outcome.summary else {
            let _ = write!(
                svg,
                "<text class=\"failed\" x=\"{}\" y=\"{}\">failed</text>",
                LEFT + 4.0,
                middle + 4.0
            );
            continue;
        };
        let (colour, end) = (colour(*place), scale(summary.p50));
        let _ = write!(
            svg,
            "<rect x=\"{LEFT}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill=\"{colour}\" fill-opacity=\"0.35\"/>",
            top + 3.0,
            (end - LEFT).max(1.0),
            ROW - 6.0
        );
        svg.push_str(&dots(outcome, &scale, middle, colour));
        let [low, high] = summary.ci95.map(&scale);
        let _ = write!(
            svg,
            "<path class=\"whisker\" d=\"M{low:.1} {middle}H{high:.1}M{low:.1} {0}V{1}M{high:.1} {0}V{1}\"/>",
            middle - 6.0,
            middle + 6.0
        );
        let ratio =
            outcome.of_native.map_or(String::new(), |ratio| format!(" ({})", text::times(ratio.value)));
        let _ = write!(
            svg,
            "<text class=\"value\" x=\"{:.1}\" y=\"{}\">{}{ratio}</text>",
            WIDTH - RIGHT + 8.0,
            middle + 4.0,
            text::value(summary.p50, figure.unit)
        );
    }
    svg.push_str("</svg>");
    svg
}

/// Each sample, one above the other where they would hide each other.
fn dots(outcome: &Outcome, scale: &impl Fn(f64) -> f64, middle: f64, colour: &str) -> String {
    let mut svg = String::new();
    for (number, sample) in outcome.samples.iter().enumerate() {
        // A fixed pattern that spreads neighbours.
        let offset = ((number * 7) % 11) as f64 - 5.0;
        let _ = write!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.2\" fill=\"{colour}\"/>",
            scale(*sample),
            middle + offset * 1.8
        );
    }
    svg
}

/// Lines of PSS over the number of sandboxes.
pub(crate) fn curves(curves: &[&Curve], names: &[&str]) -> String {
    const HEIGHT: f64 = 320.0;
    const BOTTOM: f64 = 40.0;
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let most_x = points().map(|point| point.sandboxes as f64).fold(1.0, f64::max);
    let most_y = points().map(|point| point.pss_bytes).fold(1.0, f64::max) * 1.05;
    let x = |value: f64| 80.0 + value / most_x * (WIDTH - 80.0 - RIGHT);
    let y = |value: f64| 10.0 + (1.0 - value / most_y) * (HEIGHT - BOTTOM - 10.0);
    let mut svg = format!(
        "<svg class=\"curves\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"memory over sandboxes\">"
    );
    for step in 0..=4 {
        let share = f64::from(step) / 4.0;
        let (across, up) = (x(most_x * share), y(most_y * share));
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M80 {up:.1}H{:.1}\"/><text class=\"name\" x=\"74\" y=\"{:.1}\">{}</text>\
             <text class=\"tick\" x=\"{across:.1}\" y=\"{}\">{:.0}</text>",
            WIDTH - RIGHT,
            up + 4.0,
            text::value(most_y * share, Unit::Bytes),
            HEIGHT - BOTTOM + 18.0,
            most_x * share
        );
    }
    let _ = write!(
        svg,
        "<text class=\"tick\" x=\"{:.1}\" y=\"{}\">idle sandboxes</text>",
        x(most_x / 2.0),
        HEIGHT - 4.0
    );
    let mut labels: Vec<(f64, String)> = Vec::new();
    for curve in curves {
        let place = names.iter().position(|name| *name == curve.runtime).unwrap_or(0);
        let colour = colour(place);
        let line: Vec<String> = curve
            .points
            .iter()
            .map(|point| format!("{:.1},{:.1}", x(point.sandboxes as f64), y(point.pss_bytes)))
            .collect();
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            line.join(" ")
        );
        for point in &line {
            let (cx, cy) = point.split_once(',').unwrap_or_default();
            let _ = write!(svg, "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"3\" fill=\"{colour}\"/>");
        }
        if let Some(last) = curve.points.last() {
            let text = format!("<tspan fill=\"{colour}\">&#9679;</tspan> {}", escape(&curve.runtime));
            labels.push((y(last.pss_bytes), text));
        }
    }
    svg.push_str(&apart(labels));
    svg.push_str("</svg>");
    svg
}

/// Names at the ends of lines, moved so that none hides another.
fn apart(mut labels: Vec<(f64, String)>) -> String {
    const LINE: f64 = 16.0;
    labels.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut svg, mut below) = (String::new(), f64::MAX);
    for (at, text) in labels {
        let at = at.min(below - LINE);
        below = at;
        let _ = write!(
            svg,
            "<text class=\"value\" x=\"{}\" y=\"{:.1}\">{text}</text>",
            WIDTH - RIGHT + 8.0,
            at + 4.0
        );
    }
    svg
}
