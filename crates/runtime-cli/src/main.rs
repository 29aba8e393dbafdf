//! `palisade`: runs Linux programs under a userspace kernel.
#![forbid(unsafe_code)]

mod args;
mod commands;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    init_log(args.debug);
    match commands::run(args.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("palisade: {error:#}");
            ExitCode::from(commands::FAILED)
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
