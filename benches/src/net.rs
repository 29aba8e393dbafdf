//! Sockets under load: servers and their clients in one sandbox, over its loopback.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use integration::roots;
use serde_json::{Value, json};

use crate::Options;
use crate::macros::Layers;
use crate::micro::ratio;
use crate::runtimes::Runtime;
use crate::table::Table;

const SCRIPT: &str = concat!("exec python3 -c '", include_str!("../workloads/net.py"), "'");

/// A column of the report.
struct Column {
    name: &'static str,
    runtime: Runtime,
    /// The value of `org.palisade.network`, for those who read it.
    network: &'static str,
}

const COLUMNS: &[Column] = &[
    Column { name: "native", runtime: Runtime::Native, network: "" },
    Column { name: "runc", runtime: Runtime::Runc, network: "" },
    Column { name: NONE, runtime: Runtime::Palisade, network: "none" },
    Column { name: "palisade host", runtime: Runtime::Palisade, network: "host" },
    Column { name: "runsc", runtime: Runtime::Runsc, network: "" },
];
const NONE: &str = "palisade none";

/// What a run said of one figure: its value, p50 and p99, as text.
type Figure = (String, String, String);

/// The figures of one run by name, and in the order of the report.
#[derive(Default)]
struct Figures {
    order: Vec<String>,
    by_name: BTreeMap<String, Figure>,
}

/// A process's resident memory in bytes.
fn resident(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// Runs the script and answers its questions; `None` when it failed.
fn measure(mut command: Command, column: &Column) -> Option<Figures> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().ok()?;
    let (mut answers, lines) = (child.stdin.take()?, BufReader::new(child.stdout.take()?).lines());
    let mut figures = Figures::default();
    let mut before = None;
    for line in lines.map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["memory", when, count] => {
                // The command is exec'd by its wrappers, so a foreground Palisade is this very process.
                let now = resident(child.id()).filter(|_| column.runtime == Runtime::Palisade);
                if when == "before" {
                    before = now;
                } else if let (Some(before), Some(now), Ok(count)) = (before, now, count.parse::<f64>()) {
                    let each = format!("{:.2}", (now - before) / count / 1024.0);
                    figures.add("supervisor KB per connection", (each, "-".to_owned(), "-".to_owned()));
                }
                answers.write_all(b"\n").ok()?;
            }
            [name, value, p50, p99] => figures.add(name, (value.into(), p50.into(), p99.into())),
            _ => eprintln!("{}: {line}", column.name),
        }
    }
    let status = child.wait().ok()?;
    if !status.success() {
        eprintln!("{}: {status}", column.name);
    }
    Some(figures)
}

impl Figures {
    fn add(&mut self, name: &str, figure: Figure) {
        self.order.push(name.to_owned());
        self.by_name.insert(name.to_owned(), figure);
    }
}

pub(crate) fn run(options: &Options) -> Value {
    let debian = roots::everyday();
    let layers = match Layers::new() {
        Ok(layers) => layers,
        Err(error) => {
            eprintln!("bench net: no directory in /var/tmp: {error}");
            return Value::Null;
        }
    };
    let columns: Vec<_> = COLUMNS.iter().filter(|column| column.runtime.program().is_some()).collect();
    let mut result = Vec::new();
    for round in 1..=options.rounds {
        let measured: Vec<Figures> = columns
            .iter()
            .map(|column| {
                let annotations = json!({ "org.palisade.network": column.network });
                let (command, _bundle) = layers.command(&debian, column.runtime, SCRIPT, &annotations)?;
                measure(command, column)
            })
            .map(Option::unwrap_or_default)
            .collect();
        println!("## round {round}: value p50/p99\n");
        result.extend(report(round, &columns, &measured));
    }
    Value::from(result)
}

/// Prints the table of a round.
fn report(round: usize, columns: &[&Column], measured: &[Figures]) -> Vec<Value> {
    let mut heads = vec!["figure"];
    heads.extend(columns.iter().map(|column| column.name));
    heads.extend(["none : native", "host : runc"]);
    let mut table = Table::new(&heads);
    let of =
        |name: &str| columns.iter().position(|column| column.name == name).and_then(|at| measured.get(at));
    let order = of(NONE).map(|figures| figures.order.clone()).unwrap_or_default();
    let mut result = Vec::new();
    for name in order {
        let cell = |figures: &Figures| match figures.by_name.get(&name) {
            Some((value, p50, p99)) if p50 != "-" => format!("{value} {p50}/{p99}"),
            Some((value, ..)) => value.clone(),
            None => "-".to_owned(),
        };
        let value = |column: &str| -> f64 {
            let found = of(column).and_then(|figures| figures.by_name.get(&name));
            found.and_then(|(value, ..)| value.parse().ok()).unwrap_or(f64::NAN)
        };
        let mut row = vec![name.clone()];
        row.extend(measured.iter().map(cell));
        row.push(ratio(value(NONE) / value("native")));
        row.push(ratio(value("palisade host") / value("runc")));
        table.row(row);
        let all: BTreeMap<&str, _> = columns
            .iter()
            .zip(measured)
            .map(|(column, figures)| (column.name, figures.by_name.get(&name)))
            .collect();
        result.push(json!({ "figure": name, "round": round, "value, p50, p99": all }));
    }
    println!("{table}");
    result
}
