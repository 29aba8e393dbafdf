//! Cases that are programs inside: what they print is taken as it is.

use super::{Place, Readings, with_container};
use crate::failure::Failure;
use crate::job;
use crate::layers::Layer;
use crate::runtimes::{Bundle, RootMode, Runtime};
use crate::suite::{Case, RootKind};

pub(super) fn once(place: &Place<'_>, case: &Case, runtime: &Runtime) -> Result<Readings, Failure> {
    let layer = match place.suite.root {
        RootKind::Debian => Some(Layer::on(place.root)?),
        RootKind::Busybox => None,
    };
    let root = layer.as_ref().map_or(place.root.to_owned(), Layer::root);
    let mode = if layer.is_some() { RootMode::Writable } else { RootMode::ReadOnly };
    let script = if case.run.is_empty() { case.script.clone() } else { timed(case) };
    let bundle = Bundle::new(&root, mode, &place.probe, &["/bin/sh", "-euc", &script])?;
    let ended = with_container(runtime, |id| {
        job::run(&mut place.pinned(runtime.run(&bundle, id)?), place.limit)?.success()
    })?;
    let figures: Vec<(String, f64)> = ended.stdout.lines().filter_map(figure).collect();
    let wanted = case.figures.iter().map(|figure| &figure.name);
    if !wanted.into_iter().any(|name| figures.iter().any(|(known, _)| known == name)) {
        let words = ended.stderr.lines().last().unwrap_or("it printed no figure");
        return Err(Failure::Failed(words.to_owned()));
    }
    Ok(Readings { figures, curve: Vec::new() })
}

/// A shell whose whole run is timed by the probe, after what prepares it.
fn timed(case: &Case) -> String {
    let quoted = case.run.replace('\'', r"'\''");
    format!("{}\nexec /probe/probe --time {} /bin/sh -euc '{quoted}'", case.prepare, case.name)
}

/// A line `figure NAME VALUE`.
fn figure(line: &str) -> Option<(String, f64)> {
    let mut words = line.split_whitespace();
    let (Some("figure"), Some(name), Some(value), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return None;
    };
    Some((name.to_owned(), value.parse().ok().filter(|value: &f64| value.is_finite())?))
}

#[cfg(test)]
mod tests {
    use super::figure;

    #[test]
    fn only_whole_lines_are_figures() {
        assert_eq!(figure("figure stat 12.5"), Some(("stat".to_owned(), 12.5)));
        for line in ["figure stat", "figure stat x", "figure stat NaN", "figure stat 1 2", "stat 1", ""] {
            assert_eq!(figure(line), None, "{line}");
        }
    }
}
