//! `palisade`: runs Linux programs under a userspace kernel.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod log;
mod sibling;

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
    if let Err(error) = log::init(&args.global) {
        let _ = writeln!(std::io::stderr(), "palisade: {error:#}");
        return ExitCode::from(commands::FAILED);
    }
    let failed = commands::status_of_failure(&args.command);
    match commands::run(args.command, &args.global) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log::failure(&args.global, &format!("{error:#}"));
            let cause = error.downcast_ref::<runtime_supervisor::Error>();
            let cause = cause.filter(|_| failed == commands::FAILED);
            ExitCode::from(cause.map_or(failed, runtime_supervisor::Error::exit_status))
        }
    }
}
