//! `palisade bench compare OLD NEW`: which figures became worse, beyond chance.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::report::model::{FORMAT, Figure, Outcome, Report};
use crate::report::table::Table;
use crate::report::text;
use crate::stats::difference::{Difference, FEWEST};
use crate::suite::Better;

/// Two reports.
#[derive(Debug, clap::Args)]
pub(crate) struct CompareArgs {
    /// report.json of before
    old: PathBuf,
    /// report.json of after
    new: PathBuf,
    /// Smaller differences, in percent, do not count, however certain they are
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    threshold: f64,
    /// Also show what did not change
    #[arg(long)]
    all: bool,
}

/// What became of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Worse,
    Better,
    Same,
    TooFew,
    /// It has no samples any more.
    Gone,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Worse => "WORSE",
            Self::Better => "better",
            Self::Same => "same",
            Self::TooFew => "too few runs to tell",
            Self::Gone => "GONE",
        }
    }
}

/// Prints the differences; true when there is a regression.
pub(crate) fn compare(args: &CompareArgs) -> Result<bool> {
    ensure!(
        args.threshold.is_finite() && args.threshold >= 0.0,
        "--threshold is a percentage, not {}",
        args.threshold
    );
    let (old, new) = (read(&args.old)?, read(&args.new)?);
    let mut table = Table::new(
        ["figure", "runtime", "old", "new", "new / old", "95 % interval", ""].map(str::to_owned).to_vec(),
    );
    let mut verdicts = Vec::new();
    for before in &old.figures {
        let Some(after) =
            new.figures.iter().find(|figure| figure.suite == before.suite && figure.name == before.name)
        else {
            continue;
        };
        for outcome in before.results.iter().filter(|outcome| !outcome.samples.is_empty()) {
            let Some(other) = after.results.iter().find(|other| other.runtime == outcome.runtime) else {
                continue;
            };
            let difference = Difference::between(&outcome.samples, &other.samples);
            let verdict = judge(before, outcome, other, &difference, args.threshold / 100.0);
            verdicts.push(verdict);
            if args.all || verdict != Verdict::Same {
                table.row(row(before, outcome, other, &difference, verdict));
            }
        }
    }
    ensure!(!verdicts.is_empty(), "the reports have no figure of one runtime in common");
    let count = |wanted| verdicts.iter().filter(|verdict| **verdict == wanted).count();
    if args.all || count(Verdict::Same) < verdicts.len() {
        println!("{table}");
    }
    let regressions = count(Verdict::Worse) + count(Verdict::Gone);
    println!(
        "{} figures: {regressions} worse, {} better, {} the same, {} with too few runs to tell (threshold {} %)",
        verdicts.len(),
        count(Verdict::Better),
        count(Verdict::Same),
        count(Verdict::TooFew),
        args.threshold
    );
    Ok(regressions > 0)
}

fn judge(figure: &Figure, old: &Outcome, new: &Outcome, difference: &Difference, threshold: f64) -> Verdict {
    if new.samples.is_empty() {
        return Verdict::Gone;
    }
    if old.samples.len().min(new.samples.len()) < FEWEST {
        return Verdict::TooFew;
    }
    if !difference.is_real(threshold) {
        return Verdict::Same;
    }
    if (difference.ratio > 1.0) == (figure.better == Better::Lower) {
        Verdict::Worse
    } else {
        Verdict::Better
    }
}

fn row(
    figure: &Figure,
    old: &Outcome,
    new: &Outcome,
    difference: &Difference,
    verdict: Verdict,
) -> Vec<String> {
    let p50 = |outcome: &Outcome| {
        outcome.summary.as_ref().map_or("-".to_owned(), |summary| text::value(summary.p50, figure.unit))
    };
    let [low, high] = difference.interval;
    let interval = if low.is_finite() { format!("{low:.2} to {high:.2}") } else { "-".to_owned() };
    let ratio =
        if difference.ratio.is_finite() { format!("{:.2}", difference.ratio) } else { "-".to_owned() };
    let name = format!("{}/{}", figure.suite, figure.name);
    vec![name, old.runtime.clone(), p50(old), p50(new), ratio, interval, verdict.word().to_owned()]
}

/// A report from its file.
pub(crate) fn read(path: &Path) -> Result<Report> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let report: Report = serde_json::from_str(&text)
        .with_context(|| format!("{} is no report of palisade bench", path.display()))?;
    ensure!(report.format == FORMAT, "{}: format {:?}, not {FORMAT:?}", path.display(), report.format);
    Ok(report)
}
