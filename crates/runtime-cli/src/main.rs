//! `palisade`: runs Linux programs under a userspace kernel.
#![forbid(unsafe_code)]

mod args;
mod commands;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // --help and --version come here, too. A reader that is gone needs no text.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { commands::FAILED } else { 0 });
        }
    };
    match init_log(args.debug).and_then(|()| commands::run(args.command)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // Not eprintln, which panics when standard error is full or gone.
            let _ = writeln!(std::io::stderr(), "palisade: {error:#}");
            let cause = error.downcast_ref::<runtime_supervisor::Error>();
            ExitCode::from(cause.map_or(commands::FAILED, runtime_supervisor::Error::exit_status))
        }
    }
}

/// Log lines go to stderr; PALISADE_LOG picks levels by target: `info`, or `error,kernel_task=debug`.
fn init_log(debug: bool) -> anyhow::Result<()> {
    let default = if debug { "debug" } else { "error" }.to_owned();
    let wanted = std::env::var("PALISADE_LOG").unwrap_or(default);
    // Not EnvFilter: the regular expressions that it brings are a tenth of the supervisor's memory.
    let targets: Targets = wanted.parse().with_context(|| {
        format!("PALISADE_LOG={wanted}: write a level, or TARGET=LEVEL, with commas between")
    })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(targets);
    tracing_subscriber::registry().with(lines).init();
    Ok(())
}
