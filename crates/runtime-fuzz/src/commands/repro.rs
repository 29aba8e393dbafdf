//! `repro`: one program, and what each of its calls answers.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use runtime_fuzz::corpus;
use runtime_fuzz::differential::Differential;
use runtime_fuzz::link::Launcher;
use runtime_fuzz::wire::{CallOutcome, Outcome, Progress};

use super::EngineName;

#[derive(Debug, Args)]
pub(crate) struct ReproArgs {
    /// What runs it
    #[arg(long, value_enum, default_value = "differential")]
    engine: EngineName,
    /// The program
    file: PathBuf,
}

/// Status 1 where something is found.
pub(crate) fn run(args: &ReproArgs) -> anyhow::Result<ExitCode> {
    let program = corpus::read(&args.file)?;
    let mut engine = args.engine.start()?;
    let verdict = engine.run(&program)?;
    drop(engine);
    if args.engine == EngineName::Differential {
        let (host, sandbox) = Differential::new(Launcher::beside()?)?.both(&program)?;
        for (at, call) in program.calls.iter().enumerate() {
            println!("{call}");
            println!("    host {:<24} sandbox {}", told(host.calls.get(at)), told(sandbox.calls.get(at)));
        }
        only("host", &host, &sandbox);
        only("sandbox", &sandbox, &host);
    } else {
        for (call, answer) in program.calls.iter().zip(&verdict.answers) {
            let answer = answer.answer.map_or("waits".to_owned(), |answer| answer.to_string());
            println!("{call}\n    {answer}");
        }
    }
    match verdict.found {
        None => {
            println!("nothing found");
            Ok(ExitCode::SUCCESS)
        }
        Some(found) => {
            println!("\n{}\n{}", found.key, found.text);
            Ok(ExitCode::FAILURE)
        }
    }
}

fn told(call: Option<&CallOutcome>) -> String {
    match call {
        Some(call) if call.progress == Progress::Done => call.answer.to_string(),
        Some(call) => format!("{:?}", call.progress).to_lowercase(),
        None => String::new(),
    }
}

fn only(name: &str, one: &Outcome, other: &Outcome) {
    for line in one.state.iter().filter(|line| !other.state.contains(line)) {
        println!("only {name}: {line}");
    }
}
