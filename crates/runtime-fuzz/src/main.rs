//! `palisade-fuzz`, which `palisade fuzz …` executes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use runtime_fuzz::differential::{Deadline, Differential, Shown};
use runtime_fuzz::grammar::{Engine, Generator, Selection};
use runtime_fuzz::guest::{Bare, bare_container, serve};
use runtime_fuzz::link::Launcher;
use runtime_fuzz::minimise::minimise;
use runtime_fuzz::program::parse::parse;
use runtime_fuzz::random::Random;

#[derive(Debug, Parser)]
#[command(name = "palisade fuzz", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make programs, run them in a sandbox and on the host, and keep those in which the two differ
    Run {
        /// Seconds
        #[arg(long, default_value_t = 60)]
        time: u64,
        /// Where the random numbers begin
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Families of calls, or single calls; default: all that do no harm
        #[arg(long, value_delimiter = ',')]
        calls: Vec<String>,
        /// Directory for what is found
        #[arg(long, default_value = "fuzz-out")]
        out: PathBuf,
    },
    /// Run a program in a sandbox and on the host, and show both
    Repro {
        /// A program
        file: PathBuf,
    },
    #[command(hide = true)]
    Executor { place: String },
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Executor { place } => {
            let bare = if place == "host" { Bare::Host } else { Bare::Sandbox };
            bare_container(bare)?;
            Ok(serve(Path::new("/w"))?)
        }
        Command::Run { time, seed, calls, out } => run(time, seed, &calls, &out),
        Command::Repro { file } => repro(&file),
    }
}

fn repro(file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file)?;
    let program = parse(&text).with_context(|| file.display().to_string())?;
    let mut engine = Differential::new(Launcher::beside()?)?;
    match engine.show(&program)? {
        Shown::Difference(difference) => println!("{difference}"),
        Shown::Broken(what) => println!("BROKEN {what}"),
        Shown::Nothing => println!("no difference"),
    }
    let (host, sandbox) = engine.both(&program)?;
    for (at, call) in program.calls.iter().enumerate() {
        let show = |outcome: &runtime_fuzz::wire::Outcome| {
            outcome
                .calls
                .get(at)
                .map(|call| format!("{:?} {}", call.progress, call.answer))
                .unwrap_or_default()
        };
        println!("{call}\n    host {} | sandbox {}", show(&host), show(&sandbox));
    }
    for line in host.state.iter().filter(|line| !sandbox.state.contains(line)) {
        println!("host only: {line}");
    }
    for line in sandbox.state.iter().filter(|line| !host.state.contains(line)) {
        println!("sandbox only: {line}");
    }
    Ok(())
}

fn run(time: u64, seed: u64, calls: &[String], out: &Path) -> anyhow::Result<()> {
    let selection = Selection::new(calls, Engine::Differential)?;
    std::fs::create_dir_all(out)?;
    let mut engine = Differential::new(Launcher::beside()?)?;
    let mut random = Random::new(seed);
    let deadline = Deadline::after(Duration::from_secs(time));
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let mut programs = 0u64;
    while !deadline.is_over() {
        let len = 4 + random.below(8);
        let program = Generator::new(&selection, &mut random).program(len);
        programs += 1;
        match engine.show(&program)? {
            Shown::Nothing => {}
            Shown::Broken(what) => {
                let path = out.join(format!("broken-{programs}.prog"));
                std::fs::write(&path, format!("{program}"))?;
                println!("BROKEN {what} {}", path.display());
            }
            Shown::Difference(difference) => {
                let count = found.entry(difference.key.clone()).or_default();
                *count += 1;
                if *count > 1 {
                    continue;
                }
                let small = minimise(
                    &program,
                    60,
                    |candidate| matches!(engine.show(candidate), Ok(Shown::Difference(again)) if again.key == difference.key),
                );
                let Shown::Difference(last) = engine.show(&small)? else { continue };
                let name = difference.key.replace([' ', '/'], "-");
                std::fs::write(out.join(format!("{name}.prog")), small.to_string())?;
                println!("== {}\n{}{}\n", difference.key, small, last.text);
            }
        }
    }
    println!("{programs} programs, {} runs", engine.runs);
    for (key, count) in found {
        println!("{count:6} {key}");
    }
    if programs == 0 {
        bail!("nothing ran");
    }
    Ok(())
}
