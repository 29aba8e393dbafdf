//! `palisade-fuzz`, which `palisade fuzz …` executes.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod commands;

use commands::{cov, exchange, executor, min, repro, run};

/// Look for faults of the userspace kernel, and for differences from Linux, with programs of system calls.
#[derive(Debug, Parser)]
#[command(name = "palisade fuzz", bin_name = "palisade fuzz", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make programs, run them, and keep those that find something
    Run(run::RunArgs),
    /// Run a program and show what each call answers
    Repro(repro::ReproArgs),
    /// Make a program smaller that still finds the same
    Min(min::MinArgs),
    /// Say which calls a corpus reaches, as HTML
    Cov(cov::CovArgs),
    /// Put a corpus into one file
    Export(exchange::ExportArgs),
    /// Take programs from such a file, or from syzkaller's
    Import(exchange::ImportArgs),
    /// Run programs from standard input
    #[command(hide = true)]
    Executor(executor::ExecutorArgs),
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Repro(args) => repro::run(&args),
        Command::Min(args) => min::run(&args),
        Command::Cov(args) => cov::run(&args),
        Command::Export(args) => exchange::export(&args),
        Command::Import(args) => exchange::import(&args),
        Command::Executor(args) => executor::run(&args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("palisade fuzz: {error:#}");
            ExitCode::from(2)
        }
    }
}
