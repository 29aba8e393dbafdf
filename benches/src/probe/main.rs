//! The program that is measured: makes one kind of call over and over and prints how long it took.
//!
//! `probe NAME…` prints a line `NAME p50 p99` for each figure, in nanoseconds for one operation. It is the same
//! binary natively and in every sandbox, and uses nothing but libc and the clock in the vDSO.

mod figures;
mod floor;
mod sample;

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if names.is_empty() {
        figures::FIGURES.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    for name in names {
        let Some((_, figure)) = figures::FIGURES.iter().find(|(known, _)| *known == name) else {
            eprintln!("probe: no figure {name}");
            return ExitCode::FAILURE;
        };
        let summary = figure();
        println!("{name} {:.1} {:.1}", summary.p50_ns, summary.p99_ns);
        // A sandbox may die in a later figure; what was measured is worth having.
        let _ = std::io::stdout().flush();
    }
    ExitCode::SUCCESS
}
