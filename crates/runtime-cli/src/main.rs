//! `palisade`: runs Linux programs under a userspace kernel.
#![forbid(unsafe_code)]

mod args;
mod commands;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // --help and --version come here, too. A reader that is gone needs no text.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { commands::FAILED } else { 0 });
        }
    };
    init_log(args.debug);
    match commands::run(args.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // Not eprintln, which panics when standard error is full or gone.
            let _ = writeln!(std::io::stderr(), "palisade: {error:#}");
            let cause = error.downcast_ref::<runtime_supervisor::Error>();
            ExitCode::from(cause.map_or(commands::FAILED, runtime_supervisor::Error::exit_status))
        }
    }
}

/// Log lines go to stderr; PALISADE_LOG picks levels by target (tracing-subscriber's EnvFilter).
fn init_log(debug: bool) {
    let default = if debug { "debug" } else { "error" };
    let filter = tracing_subscriber::EnvFilter::try_from_env("PALISADE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
