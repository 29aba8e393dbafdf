//! `palisade-bench`, which `palisade bench` becomes: compares what isolation costs under several runtimes.
//!
//! A [`suite`] is data: cases, each on a root that [`roots`] makes, with the figures that it gives. [`plan`] has the
//! [`runtimes`] take turns and [`measure`]s; [`stats`] says what the samples say; [`report`] writes it down. Figures of a
//! machine mean something beside each other only, so nothing here knows what is fast.

mod bench;
mod cli;
mod compare;
mod failure;
mod job;
mod layers;
mod lock;
mod machine;
mod measure;
mod plan;
mod progress;
mod reaper;
mod report;
mod roots;
mod runtimes;
mod stats;
mod stop;
mod suite;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

/// Something was measured, but not all that was asked for; or a figure became worse.
const INCOMPLETE: u8 = 1;
/// Nothing was done: bad arguments, or something is missing.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Some(Command::Compare(args)) => {
            compare::compare(args).map(|worse| if worse { INCOMPLETE } else { 0 })
        }
        Some(Command::Render { report, out }) => compare::read(report).and_then(|report| {
            report::files::prepare(out)?;
            report::files::write(out, &report).map(|_| 0)
        }),
        Some(Command::Schema) => print(&report::model::schema()).map(|()| 0),
        Some(Command::Native(args)) => runtimes::become_native(args).map(|never| match never {}),
        None if cli.bench.list || reaper::is_below() => bench::bench(&cli.bench),
        None => reaper::reap_above(),
    };
    match done {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "palisade bench: {error:#}");
            ExitCode::from(UNUSABLE)
        }
    }
}

/// Writes to standard output. A reader that stops early (head) is no error; a full disk is.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write to standard output"))
        }
        _ => Ok(()),
    }
}
