//! Single operations, measured by `probe` in every runtime: on one core, and free.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use integration::{paths, process};
use serde_json::{Value, json};

use crate::Options;
use crate::goals::FIGURES;
use crate::runtimes::{HostRoot, Runtime};
use crate::startup;
use crate::table::{Table, time};

/// p50 and p99 of each round, by runtime and figure.
type Samples = BTreeMap<(&'static str, String), Vec<(f64, f64)>>;

/// The floor's column.
const FLOOR: &str = "notify-floor";

pub(crate) fn run(options: &Options) -> Value {
    let root = HostRoot::new(&paths::profile_dir()).expect("the temporary directory is writable");
    let mut result = Vec::new();
    for (title, pinned) in [("pinned to one core", true), ("free", false)] {
        let samples = measure(&root, options.rounds, pinned);
        println!("## {title}: p50/p99\n");
        result.extend(report(&samples, pinned));
    }
    result.extend(startup::run(options.rounds));
    Value::from(result)
}

/// All runtimes take turns in each round.
fn measure(root: &HostRoot, rounds: usize, pinned: bool) -> Samples {
    let mut samples = Samples::new();
    let names: Vec<&str> = FIGURES.iter().map(|(name, _)| *name).collect();
    for _ in 0..rounds {
        if let Some((command, _bundle)) = root.command(Runtime::Native, "probe", &["floor"]) {
            collect(&mut samples, FLOOR, command, pinned);
        }
        for runtime in Runtime::ALL {
            if let Some((command, _bundle)) = root.command(runtime, "probe", &names) {
                collect(&mut samples, runtime.name(), command, pinned);
            }
        }
    }
    samples
}

fn collect(samples: &mut Samples, runtime: &'static str, command: Command, pinned: bool) {
    let done = process::run_within(&mut pin(command, pinned), b"", Duration::from_secs(60));
    if done.status != 0 || done.hung {
        let reason = done.stderr.lines().last().unwrap_or("no message");
        eprintln!("{runtime}: status {}{}: {reason}", done.status, if done.hung { ", hung" } else { "" });
    }
    for line in done.stdout.lines() {
        let mut words = line.split(' ');
        let (Some(name), Some(Ok(p50)), Some(Ok(p99))) =
            (words.next(), words.next().map(str::parse), words.next().map(str::parse))
        else {
            continue;
        };
        samples.entry((runtime, name.to_owned())).or_default().push((p50, p99));
    }
}

/// The same command on core 0 only; a sandbox's supervisor inherits that.
fn pin(command: Command, pinned: bool) -> Command {
    if !pinned {
        return command;
    }
    let mut outer = Command::new("taskset");
    outer.args(["-c", "0"]).arg(command.get_program()).args(command.get_args());
    outer
}

/// The median of the rounds.
fn median(samples: &Samples, runtime: &'static str, figure: &str) -> Option<(f64, f64)> {
    let rounds = samples.get(&(runtime, figure.to_owned()))?;
    let middle = |pick: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    Some((middle(|round| round.0)?, middle(|round| round.1)?))
}

fn report(samples: &Samples, pinned: bool) -> Vec<Value> {
    let floor = median(samples, FLOOR, "floor");
    let shown: Vec<Runtime> = Runtime::ALL
        .into_iter()
        .filter(|runtime| FIGURES.iter().any(|(figure, _)| median(samples, runtime.name(), figure).is_some()))
        .collect();
    let mut heads = vec!["figure", FLOOR];
    heads.extend(shown.iter().map(|runtime| runtime.name()));
    heads.extend(["x native", "x floor", "goal", "of goal"]);
    let mut table = Table::new(&heads);
    let mut result = Vec::new();
    for (figure, goal) in FIGURES {
        let cell = |value: Option<(f64, f64)>| {
            value.map_or("-".to_owned(), |(p50, p99)| format!("{}/{}", time(p50), time(p99)))
        };
        let mut row = vec![(*figure).to_owned(), if *figure == "null" { cell(floor) } else { String::new() }];
        row.extend(shown.iter().map(|runtime| cell(median(samples, runtime.name(), figure))));
        let native = median(samples, Runtime::Native.name(), figure).map_or(f64::NAN, |native| native.0);
        let floor = floor.map_or(f64::NAN, |floor| floor.0);
        let palisade =
            median(samples, Runtime::Palisade.name(), figure).map_or(f64::NAN, |palisade| palisade.0);
        let bound = goal.bound(native, floor);
        row.extend([ratio(palisade / native), ratio(palisade / floor), goal.text()]);
        row.push(bound.map_or(String::new(), |bound| ratio(palisade / bound)));
        table.row(row);
        let all: BTreeMap<&str, _> =
            shown.iter().map(|runtime| (runtime.name(), median(samples, runtime.name(), figure))).collect();
        result.push(json!({
            "figure": figure, "pinned": pinned, "unit": "ns", "p50_p99": all, "floor": floor,
            "goal": goal.text(), "bound": bound,
        }));
    }
    println!("{table}");
    result
}

/// A ratio, or a dash where one side is missing.
pub(crate) fn ratio(value: f64) -> String {
    if value.is_finite() { format!("{value:.2}") } else { "-".to_owned() }
}
