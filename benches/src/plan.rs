//! Takes the samples: runtimes take turns (A B C, B C A, …), so that what changes on the machine meanwhile falls on all
//! of them.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::measure::{self, Place, Readings};
use crate::progress::Progress;
use crate::report::model::{Curve, CurvePoint, Figure, Outcome};
use crate::runtimes::Runtime;
use crate::stats;
use crate::suite::{Case, Long, Suite};

/// A runtime that fails so often in a row is not tried again in this case.
const PATIENCE: usize = 2;
/// Runs of each case with `--quick`.
const QUICK_RUNS: usize = 5;
/// Sandboxes of a curve with `--quick`.
const QUICK_SANDBOXES: usize = 10;

/// What the command line wants of all suites.
#[derive(Clone, Debug)]
pub(crate) struct Effort {
    pub(crate) runs: Option<usize>,
    pub(crate) pace: Pace,
    pub(crate) pin: Option<usize>,
    pub(crate) limit: Option<Duration>,
}

/// How thorough it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Quick,
    Full,
}

impl Effort {
    fn runs(&self, suite: &Suite) -> usize {
        let own = if self.pace == Pace::Quick { suite.runs.min(QUICK_RUNS) } else { suite.runs };
        self.runs.unwrap_or(own)
    }

    fn warm_up(&self, suite: &Suite) -> usize {
        if self.pace == Pace::Quick { suite.warm_up.min(1) } else { suite.warm_up }
    }

    /// The suite without what `--quick` leaves out.
    pub(crate) fn trimmed(&self, suite: &Suite) -> Suite {
        let mut suite = suite.clone();
        if self.pace == Pace::Quick {
            suite.cases.retain(|case| case.long == Long::No);
            for case in suite.cases.iter_mut().filter(|case| case.counts.len() > 1) {
                case.about_s /= 3.0;
                let few: Vec<usize> =
                    case.counts.iter().copied().filter(|count| *count <= QUICK_SANDBOXES).collect();
                // Density needs two points.
                if few.len() > 1 {
                    case.counts = few;
                }
            }
        }
        suite
    }

    /// About how long a suite takes, before anything was measured.
    pub(crate) fn estimate(&self, suite: &Suite, runtimes: usize) -> Duration {
        let turns = (self.runs(suite) + self.warm_up(suite)) * runtimes;
        Duration::from_secs_f64(suite.cases.iter().map(|case| case.about_s * turns as f64).sum())
    }
}

/// What became of a suite.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) figures: Vec<Figure>,
    pub(crate) curves: Vec<Curve>,
    /// The user stopped it.
    pub(crate) interrupted: bool,
}

/// One runtime in one case.
#[derive(Debug, Default)]
struct Column {
    readings: Vec<Readings>,
    failed: usize,
    in_a_row: usize,
    failure: Option<Failure>,
}

impl Column {
    fn is_over(&self) -> bool {
        self.in_a_row >= PATIENCE
            || matches!(self.failure, Some(Failure::NotApplicable(_) | Failure::Hung(_)))
    }

    fn take(&mut self, result: Result<Readings, Failure>, counts: Counts) {
        match result {
            Ok(readings) => {
                self.in_a_row = 0;
                if counts == Counts::Yes {
                    self.readings.push(readings);
                }
            }
            Err(failure) => {
                self.failed += 1;
                self.in_a_row += 1;
                self.failure = Some(failure);
            }
        }
    }

    fn outcome(&self, runtime: &Runtime, figure: &str) -> Outcome {
        let of_run = |readings: &Readings| {
            readings.figures.iter().find(|(name, _)| name == figure).map(|(_, value)| *value)
        };
        let samples: Vec<f64> = self.readings.iter().filter_map(of_run).collect();
        let (error, not_applicable) = match &self.failure {
            Some(Failure::NotApplicable(reason)) => (None, Some((*reason).to_owned())),
            Some(Failure::Interrupted) | None => (None, None),
            Some(failure) => (
                Some(format!("{failure} ({} of {} runs)", self.failed, self.failed + self.readings.len())),
                None,
            ),
        };
        let summary = stats::Summary::of(&samples);
        Outcome {
            runtime: runtime.name.clone(),
            samples,
            summary,
            of_native: None,
            of_baseline: None,
            error,
            not_applicable,
        }
    }
}

/// Whether a run is a sample, or warms up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    Yes,
    No,
}

/// Runs a suite's cases on its root.
pub(crate) fn take(
    suite: &Suite,
    runtimes: &[Runtime],
    root: &Path,
    probe: &Path,
    effort: &Effort,
    progress: &Progress,
) -> Taken {
    let limit = effort.limit.unwrap_or(Duration::from_secs(suite.limit_s));
    let place = Place { suite, root, probe: probe.to_owned(), pin: effort.pin, limit };
    let mut taken = Taken::default();
    for case in &suite.cases {
        let (columns, interrupted) = take_case(&place, case, runtimes, effort, progress);
        taken.interrupted |= interrupted;
        for kind in &case.figures {
            let results =
                columns.iter().zip(runtimes).map(|(column, runtime)| column.outcome(runtime, &kind.name));
            taken.figures.push(Figure {
                suite: suite.name.clone(),
                case: case.name.clone(),
                name: kind.name.clone(),
                title: kind.title.clone(),
                unit: kind.unit,
                better: kind.better,
                goal: kind.goal.clone(),
                results: results.collect(),
            });
            if let Some(figure) = taken.figures.last() {
                progress.tell(figure);
            }
        }
        taken.curves.extend(
            columns.iter().zip(runtimes).filter_map(|(column, runtime)| curve(suite, column, runtime)),
        );
        if taken.interrupted {
            break;
        }
    }
    taken
}

fn take_case(
    place: &Place<'_>,
    case: &Case,
    runtimes: &[Runtime],
    effort: &Effort,
    progress: &Progress,
) -> (Vec<Column>, bool) {
    let mut columns: Vec<Column> = runtimes.iter().map(|_| Column::default()).collect();
    let warm_up = effort.warm_up(place.suite);
    for round in 0..warm_up + effort.runs(place.suite) {
        let counts = if round < warm_up { Counts::No } else { Counts::Yes };
        for turn in 0..runtimes.len() {
            // Who comes first changes, too.
            let at = (turn + round) % runtimes.len();
            let (Some(column), Some(runtime)) = (columns.get_mut(at), runtimes.get(at)) else { continue };
            let began = Instant::now();
            if !column.is_over() {
                progress.at(place.suite, case, runtime, round + 1, warm_up + effort.runs(place.suite));
                let result = measure::once(place, case, runtime);
                if matches!(result, Err(Failure::Interrupted)) {
                    return (columns, true);
                }
                if let Err(failure @ (Failure::Failed(_) | Failure::Hung(_))) = &result {
                    progress
                        .warn(&format!("{}/{}: {}: {failure}", place.suite.name, case.name, runtime.name));
                }
                column.take(result, counts);
            }
            progress.done(case, began.elapsed());
        }
    }
    (columns, false)
}

/// The median of each point.
fn curve(suite: &Suite, column: &Column, runtime: &Runtime) -> Option<Curve> {
    let first = column.readings.first().filter(|readings| !readings.curve.is_empty())?;
    let median = |at: usize, of: fn(&CurvePoint) -> f64| {
        let all: Vec<f64> =
            column.readings.iter().filter_map(|readings| readings.curve.get(at).map(of)).collect();
        stats::median(&all)
    };
    let points = first.curve.iter().enumerate().map(|(at, point)| CurvePoint {
        sandboxes: point.sandboxes,
        pss_bytes: median(at, |point| point.pss_bytes),
        available_bytes: median(at, |point| point.available_bytes),
    });
    Some(Curve { suite: suite.name.clone(), runtime: runtime.name.clone(), points: points.collect() })
}
