//! Compares Palisade with the host and with other runtimes, in one run, on one machine.
//!
//! `palisade-bench micro [--json FILE] [--rounds N]` measures single operations with the program `probe`;
//! `palisade-bench life` measures starts and idle memory (`micro` does so as well); `palisade-bench macro` measures whole
//! workloads, `palisade-bench net` servers and their clients,
//! `palisade-bench pods` containers and pods behind containerd. It reports and judges nothing: a
//! machine's figures mean something only beside each other, so the runtimes take turns (A B A B), and each
//! ratio stands beside the goal that the project has set itself.

mod goals;
mod host;
mod macros;
mod micro;
mod net;
mod pods;
mod runtimes;
mod startup;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

/// The command line.
struct Options {
    json: Option<PathBuf>,
    rounds: usize,
}

const USAGE: &str = "usage: palisade-bench micro|life|macro|net|pods [--rounds N] [--json FILE]";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next();
    let mut options = Options { json: None, rounds: 3 };
    while let Some(option) = arguments.next() {
        match (option.as_str(), arguments.next()) {
            ("--json", Some(file)) => options.json = Some(file.into()),
            ("--rounds", Some(count)) if count.parse().is_ok_and(|count: usize| count > 0) => {
                options.rounds = count.parse().unwrap_or(1);
            }
            _ => return usage(),
        }
    }
    let run: fn(&Options) -> serde_json::Value = match mode.as_deref() {
        Some("micro") => micro::run,
        Some("life") => |options| startup::run(options.rounds).into(),
        Some("pods") => |options| pods::run(options.rounds).into(),
        Some("macro") => macros::run,
        Some("net") => net::run,
        _ => return usage(),
    };
    if let Some(status) = host::reenter_without_unified_cgroups() {
        return status;
    }
    let host = host::describe();
    println!(
        "{}\n",
        host.as_object()
            .into_iter()
            .flatten()
            .map(|(k, v)| format!("{k}: {v}"))
            .collect::<Vec<_>>()
            .join("\n")
    );
    let result = json!({ "host": host, "figures": run(&options) });
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&result).unwrap_or_default();
        if let Err(error) = std::fs::write(file, text) {
            eprintln!("palisade-bench: {}: {error}", file.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::FAILURE
}
