//! `run`: a campaign, with several jobs if wanted.

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use runtime_fuzz::campaign::{self, Plan, Progress};
use runtime_fuzz::findings::Findings;
use runtime_fuzz::grammar::Selection;

use super::{EngineName, seconds};

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// What runs the programs
    #[arg(long, value_enum, default_value = "differential")]
    engine: EngineName,
    /// How long, such as 90s, 30m or 2h
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = seconds)]
    time: u64,
    /// End after so many programs
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    programs: u64,
    /// Where the random numbers begin
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Families of calls, or single calls; default: all that the engine can make
    #[arg(long, value_name = "CALLS", value_delimiter = ',')]
    calls: Vec<String>,
    /// How many at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: u32,
    /// Directory of programs to start from, and for those that reach something new
    #[arg(long, value_name = "DIR", default_value = "fuzz-corpus")]
    corpus: PathBuf,
    /// Directory for what is found; a campaign that was interrupted goes on here
    #[arg(long, value_name = "DIR", default_value = "fuzz-findings")]
    out: PathBuf,
}

/// Status 1 where something was found.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    if args.jobs > 1 {
        return jobs(args);
    }
    let plan = Plan {
        time: Duration::from_secs(args.time),
        programs: args.programs,
        seed: args.seed,
        selection: Selection::new(&args.calls, args.engine.grammar())?,
        corpus: args.corpus.clone(),
        out: args.out.clone(),
    };
    let mut engine = args.engine.start()?;
    let is_terminal = std::io::stderr().is_terminal();
    let mut show = |progress: &Progress, _: &Findings| {
        let line = line(progress);
        let _ = if is_terminal {
            write!(std::io::stderr(), "\r{line}\x1b[K")
        } else {
            writeln!(std::io::stderr(), "{line}")
        };
    };
    let progress = campaign::run(&plan, &mut *engine, &mut show)?;
    if is_terminal {
        eprintln!();
    }
    println!("{}", line(&progress));
    let findings = Findings::open(&args.out).with_context(|| args.out.display().to_string())?;
    for key in findings.all().keys() {
        println!("  {key}");
    }
    Ok(if findings.all().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(progress: &Progress) -> String {
    format!(
        "{:.0}s  {} programs, {:.0}/s  corpus {}  reached {}  findings {}",
        progress.seconds,
        progress.programs,
        progress.programs as f64 / progress.seconds.max(0.001),
        progress.corpus,
        progress.reached,
        progress.findings
    )
}

/// As many processes, each with a seed and directories of findings of its own, and one corpus.
fn jobs(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let mut children: Vec<Child> = Vec::new();
    for job in 0..args.jobs {
        let mut command = Command::new(&program);
        command.args(["run", "--engine", args.engine.word(), "--time", &format!("{}s", args.time)]);
        command.args(["--seed", &args.seed.wrapping_add(u64::from(job) << 32).to_string()]);
        command.args(["--programs", &args.programs.to_string()]);
        command.arg("--corpus").arg(&args.corpus).arg("--out").arg(args.out.join(format!("job{job}")));
        if !args.calls.is_empty() {
            command.args(["--calls", &args.calls.join(",")]);
        }
        children.push(command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().context("a job")?);
    }
    let mut worst = 0;
    for (job, mut child) in children.into_iter().enumerate() {
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                println!("job {job}: {line}");
            }
        }
        worst = worst.max(child.wait()?.code().unwrap_or(2));
    }
    match worst {
        0 => Ok(ExitCode::SUCCESS),
        1 => Ok(ExitCode::FAILURE),
        _ => bail!("a job failed"),
    }
}
