//! `min`: a smaller program that finds the same.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use runtime_fuzz::corpus;
use runtime_fuzz::minimise::minimise;

use super::EngineName;

#[derive(Debug, Args)]
pub(crate) struct MinArgs {
    /// What runs it
    #[arg(long, value_enum, default_value = "differential")]
    engine: EngineName,
    /// How often it may be run
    #[arg(long, default_value_t = 500)]
    attempts: usize,
    /// The program
    file: PathBuf,
}

pub(crate) fn run(args: &MinArgs) -> anyhow::Result<ExitCode> {
    let program = corpus::read(&args.file)?;
    let mut engine = args.engine.start()?;
    let Some(found) = engine.run(&program)?.found else {
        bail!("{} finds nothing with the engine {}", args.file.display(), args.engine.word());
    };
    let small = minimise(&program, args.attempts, |candidate| {
        engine.run(candidate).is_ok_and(|verdict| verdict.found.is_some_and(|again| again.key == found.key))
    });
    print!("{small}");
    eprintln!("{}: {} calls of {}", found.key, small.calls.len(), program.calls.len());
    Ok(ExitCode::SUCCESS)
}
