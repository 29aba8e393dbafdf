//! `export` and `import`: many programs in one file, and programs of syzkaller.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::Args;
use runtime_fuzz::corpus::read_all;
use runtime_fuzz::findings::write_whole;
use runtime_fuzz::import::syzkaller;
use runtime_fuzz::program::Program;
use runtime_fuzz::program::parse::parse;

/// What stands between two programs.
const BETWEEN: &str = "\n--\n";

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Directory of programs
    #[arg(long, value_name = "DIR", default_value = "fuzz-corpus")]
    corpus: PathBuf,
    /// File to write
    file: PathBuf,
}

pub(crate) fn export(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let programs = read_all(&args.corpus)?;
    ensure!(!programs.is_empty(), "{} has no programs", args.corpus.display());
    let all: Vec<String> = programs.iter().map(|program| program.to_string().trim_end().to_owned()).collect();
    write_whole(&args.file, (all.join(BETWEEN) + "\n").as_bytes())
        .with_context(|| args.file.display().to_string())?;
    println!("{} programs", programs.len());
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The file has a program of syzkaller
    #[arg(long)]
    syzkaller: bool,
    /// Directory that the programs are put into
    #[arg(long, value_name = "DIR", default_value = "fuzz-corpus")]
    corpus: PathBuf,
    /// The files
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

pub(crate) fn import(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let mut all: Vec<Program> = Vec::new();
    for file in &args.files {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        if args.syzkaller {
            let imported = syzkaller(&text).with_context(|| file.display().to_string())?;
            if !imported.left_out.is_empty() {
                eprintln!("{}: left out {}", file.display(), imported.left_out.join(", "));
            }
            all.push(imported.program);
        } else {
            let mut line = 1;
            for part in text.split(BETWEEN) {
                let program = parse(part)
                    .with_context(|| format!("{}, program from line {line} on", file.display()))?;
                line += part.lines().count() + 1;
                all.push(program);
            }
        }
    }
    all.retain(|program| !program.calls.is_empty());
    if all.is_empty() {
        bail!("no calls to import");
    }
    fs::create_dir_all(&args.corpus).with_context(|| args.corpus.display().to_string())?;
    for (at, program) in all.iter().enumerate() {
        let path = args.corpus.join(format!("imported-{}-{at}.prog", std::process::id()));
        write_whole(&path, program.to_string().as_bytes()).with_context(|| path.display().to_string())?;
    }
    println!("{} programs", all.len());
    Ok(ExitCode::SUCCESS)
}
