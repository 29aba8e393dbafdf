//! `cargo xtask …`: everything a developer and CI do to this repository, under one door.
#![forbid(unsafe_code)]

mod bench;
mod check;
mod fuzz;
mod generate;
mod layers;
mod ratchet;
mod repo;
mod rust_text;
mod soak;
mod tests_runner;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Development tasks of Palisade.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write what follows from syscall-table/syscalls.tbl.
    Gen {
        /// Write nothing; fail if something is stale or a row promises an unwritten handler.
        #[arg(long)]
        check: bool,
    },
    /// Check that dependencies go from higher rank to lower, and who may hold unsafe code.
    Layers,
    /// Compare counts of unsafe, unwrap and static mut with ratchet.txt.
    Ratchet {
        /// Write the counts down.
        #[arg(long)]
        write: bool,
    },
    /// Format, clippy, gen --check, layers, ratchet, deny.
    Check,
    /// Build, then run all tests; installs with apt what they need.
    Test {
        /// Passed on to `cargo test` of the integration tests.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run what shows more the longer it runs.
    #[command(subcommand)]
    Soak(soak::Soak),
    /// Run `palisade fuzz run`, built with counters of edges, which the engine `process` then follows.
    Fuzz {
        /// Passed on, such as `--time 10m`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Plant five faults and see that the fuzzer finds them.
    Planted,
    /// Run the benchmarks.
    Bench {
        /// Passed on, such as `micro`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Gen { check } => generate::run(check),
        Task::Layers => layers::run(),
        Task::Ratchet { write } => ratchet::run(write),
        Task::Check => check::run(),
        Task::Test { args } => tests_runner::run(&args),
        Task::Soak(soak) => soak::run(&soak),
        Task::Fuzz { args } => fuzz::run(&args),
        Task::Planted => fuzz::planted(),
        Task::Bench { args } => bench::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
