//! Figures beside each other: ratios to native and to the baseline, and whether goals are met.

use super::model::{Figure, Outcome, Ratio};
use crate::stats::{bootstrap, median};

/// Whose goals the suites have.
const OURS: &str = "palisade";
/// The bare round trip of a notification, which only the native column has.
const FLOOR: &str = "floor";
const NATIVE: &str = "native";

/// Fills in the ratios of all figures.
pub(crate) fn fill(figures: &mut [Figure], baseline: Option<&str>) {
    for figure in figures {
        let samples_of = |name: &str| {
            figure.results.iter().find(|outcome| outcome.runtime == name).map(|o| o.samples.clone())
        };
        let native = samples_of(NATIVE);
        let base = baseline.and_then(samples_of);
        for outcome in &mut figure.results {
            let of =
                |other: &Option<Vec<f64>>| other.as_ref().and_then(|other| ratio(&outcome.samples, other));
            let (of_native, of_baseline) = (of(&native), of(&base));
            outcome.of_native = of_native.filter(|_| outcome.runtime != NATIVE);
            outcome.of_baseline = of_baseline.filter(|_| Some(outcome.runtime.as_str()) != baseline);
        }
    }
}

fn ratio(above: &[f64], below: &[f64]) -> Option<Ratio> {
    let value = median(above) / median(below);
    value.is_finite().then(|| Ratio { value, ci95: bootstrap::ratio(above, below, 0.95) })
}

/// What a goal allows at most, and how much of that a figure takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) bound: f64,
    pub(crate) share: f64,
}

/// How Palisade stands to a figure's goal, if it has one and all that it refers to was measured.
pub(crate) fn standing(figure: &Figure, all: &[Figure]) -> Option<Standing> {
    let goal = figure.goal.as_ref()?;
    let of = |name: &str| {
        let (figure, runtime) = match name {
            FLOOR => (all.iter().find(|other| other.suite == figure.suite && other.name == FLOOR)?, NATIVE),
            runtime => (figure, runtime),
        };
        p50(figure, runtime)
    };
    let mut bound = goal.at_most.unwrap_or(0.0);
    if let (Some(times), Some(name)) = (goal.times, &goal.of) {
        bound += times * of(name)?;
    }
    if let Some(name) = &goal.plus {
        bound += of(name)?;
    }
    Some(Standing { bound, share: p50(figure, OURS)? / bound })
}

fn p50(figure: &Figure, runtime: &str) -> Option<f64> {
    let outcome: &Outcome = figure.results.iter().find(|outcome| outcome.runtime == runtime)?;
    outcome.summary.as_ref().map(|summary| summary.p50)
}
