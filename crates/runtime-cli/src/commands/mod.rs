//! One file for each subcommand.

mod doctor;
mod guest;
mod syscalls;

use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};

use crate::args::Command;

/// Exit status when Palisade itself could not do what was asked (as timeout(1), env(1) and runc do).
pub(crate) const FAILED: u8 = 125;

/// Runs a subcommand; `Ok` is the exit status.
pub(crate) fn run(command: Command) -> Result<u8> {
    match command {
        Command::Do(args) => guest::run_program(&args),
        Command::Run(args) => guest::run_bundle(&args),
        Command::Syscalls(args) => syscalls::list(&args),
        Command::Doctor => doctor::report(),
    }
}

/// Writes to standard output. A reader that stops early (head) is no error; a full disk is.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}
