//! The program that is measured: makes one kind of call over and over and prints how long it took.
//!
//! `probe NAME…` prints a line `figure NAME p50` for each, in nanoseconds for one operation; `probe --time NAME CMD…`
//! times a command, and `probe --hello` says that it runs. It is the same static binary natively and in every sandbox.

mod figures;
mod floor;
mod more;
mod sample;
mod sys;

use std::io::Write;
use std::process::{Command, ExitCode};
use std::time::Instant;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["--hello"] => {
            println!("hello");
            ExitCode::SUCCESS
        }
        ["--time", name, program, ..] => time(name, program, &words[3..]),
        [] => {
            figures::FIGURES.iter().for_each(|(name, _)| println!("{name}"));
            ExitCode::SUCCESS
        }
        _ => measure(&words),
    }
}

fn time(name: &str, program: &str, arguments: &[&str]) -> ExitCode {
    let began = Instant::now();
    let status = Command::new(program).args(arguments).status();
    let took = began.elapsed();
    match status {
        Ok(status) if status.success() => {
            println!("figure {name} {}", took.as_nanos());
            ExitCode::SUCCESS
        }
        Ok(status) => {
            eprintln!("probe: {program}: {status}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("probe: {program}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(names: &[&str]) -> ExitCode {
    for &name in names {
        let Some((_, figure)) = figures::FIGURES.iter().find(|(known, _)| *known == name) else {
            eprintln!("probe: no figure {name}");
            return ExitCode::FAILURE;
        };
        println!("figure {name} {:.2}", figure().p50_ns);
        // A sandbox may die in a later figure; what was measured is worth having.
        let _ = std::io::stdout().flush();
    }
    ExitCode::SUCCESS
}
