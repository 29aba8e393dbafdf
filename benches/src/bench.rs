//! One benchmark from its arguments to its report.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::cli::{BenchArgs, words};
use crate::plan::{self, Effort, Pace, Taken};
use crate::progress::Progress;
use crate::report::model::{FORMAT, Report, RuntimeRecord, Settings};
use crate::report::{files, markdown, ratios};
use crate::roots::Roots;
use crate::runtimes::{Kind, Runtime, Via, answers};
use crate::suite::{self, Suite};
use crate::{INCOMPLETE, job, layers, lock, machine, print, stop};

/// Measures and reports; the exit status.
pub(crate) fn bench(args: &BenchArgs) -> Result<u8> {
    let suites = suite::select(&args.suites)?;
    if args.list {
        print(&list(&suites))?;
        return Ok(0);
    }
    let suites = fitting(args, suites)?;
    let runtimes = runtimes(args)?;
    let baseline = baseline(args, &runtimes)?;
    let effort = effort(args)?;
    ensure!(
        rustix::process::geteuid().is_root(),
        "it needs root: it mounts, and runtimes are compared as engines start them (sudo palisade bench ...)"
    );
    if let Via::Containerd(address) = &args.via {
        answers(address).map_err(anyhow::Error::msg)?;
    }
    if let Some(dir) = &args.out {
        files::prepare(dir)?;
    }
    let _lock = lock::take()?;
    stop::listen()?;
    let mut notes = Vec::new();
    // What containerd mounts, it mounts elsewhere.
    if matches!(args.via, Via::Oci) {
        notes.extend(layers::own_mount_namespace()?.map(str::to_owned));
    }
    let suites: Vec<Suite> =
        suites.iter().map(|suite| effort.trimmed(suite)).filter(|suite| !suite.cases.is_empty()).collect();
    let (started, began, mut machine) = (machine::timestamp(), Instant::now(), machine::describe());
    let taken = take_all(args, &suites, &runtimes, &effort)?;
    machine.after = machine::load();
    notes.extend(machine::noise(&machine));
    let mut figures = taken.figures;
    ratios::fill(&mut figures, baseline.as_deref());
    let report = Report {
        format: FORMAT.to_owned(),
        command: ["palisade", "bench"]
            .map(str::to_owned)
            .into_iter()
            .chain(std::env::args().skip(1))
            .collect(),
        started,
        seconds: began.elapsed().as_secs_f64(),
        interrupted: taken.interrupted,
        settings: Settings {
            via: match &args.via {
                Via::Oci => "oci".to_owned(),
                Via::Containerd(address) => format!("containerd at {address}"),
            },
            runs: effort.runs,
            quick: args.quick,
            pin: args.pin,
            baseline,
        },
        machine,
        runtimes: runtimes.iter().map(record).collect(),
        figures,
        curves: taken.curves,
        notes,
    };
    finish(args, &report)
}

/// Shows and writes the report. What was measured is shown even if it cannot be written.
fn finish(args: &BenchArgs, report: &Report) -> Result<u8> {
    print(&markdown::tables(report))?;
    if let Some(dir) = &args.out {
        for path in files::write(dir, report)? {
            print(&format!("{}\n", path.display()))?;
        }
    }
    let failed =
        report.figures.iter().any(|figure| figure.results.iter().any(|outcome| outcome.error.is_some()));
    Ok(if failed || report.interrupted { INCOMPLETE } else { 0 })
}

fn take_all(args: &BenchArgs, suites: &[Suite], runtimes: &[Runtime], effort: &Effort) -> Result<Taken> {
    let total: Duration = suites.iter().map(|suite| effort.estimate(suite, runtimes.len())).sum();
    let roots = Roots::new(&args.cache)?;
    let progress = Progress::new(total);
    let mut all = Taken::default();
    for suite in suites {
        let root = roots.get(suite.root, &|message| progress.say(message));
        let root = match root {
            Ok(root) => root,
            // With nothing measured yet there is nothing to keep.
            Err(error) if all.figures.is_empty() => {
                return Err(error).with_context(|| format!("suite {}", suite.name));
            }
            Err(error) => {
                progress.warn(&format!("suite {} is left out: {error:#}", suite.name));
                all.interrupted = true;
                break;
            }
        };
        let taken = plan::take(suite, runtimes, &root, &roots.probe(), effort, &progress);
        all.figures.extend(taken.figures);
        all.curves.extend(taken.curves);
        all.interrupted |= taken.interrupted;
        if all.interrupted {
            break;
        }
    }
    for runtime in runtimes {
        if let Kind::Containerd(containerd) = &runtime.kind {
            containerd.clear();
        }
    }
    job::kill_descendants();
    Ok(all)
}

/// Without those that need another way of making containers; who names one of them is told.
fn fitting(args: &BenchArgs, suites: Vec<Suite>) -> Result<Vec<Suite>> {
    let via = if matches!(args.via, Via::Oci) { "oci" } else { "containerd" };
    let (fits, others): (Vec<Suite>, Vec<Suite>) =
        suites.into_iter().partition(|suite| suite.only_via.as_ref().is_none_or(|only| only == via));
    match others.first().filter(|_| !args.suites.is_empty()) {
        Some(other) => bail!("suite {} needs --via {}", other.name, other.only_via.as_deref().unwrap_or("")),
        None => Ok(fits),
    }
}

fn runtimes(args: &BenchArgs) -> Result<Vec<Runtime>> {
    let Some(list) = &args.runtimes else { return Runtime::found(&args.via) };
    let runtimes: Vec<Runtime> =
        words(list).iter().map(|word| Runtime::parse(word, &args.via)).collect::<Result<_>>()?;
    for (at, runtime) in runtimes.iter().enumerate() {
        if runtimes.iter().take(at).any(|other| other.name == runtime.name) {
            bail!("two runtimes are called {}", runtime.name);
        }
    }
    Ok(runtimes)
}

fn baseline(args: &BenchArgs, runtimes: &[Runtime]) -> Result<Option<String>> {
    let is_there = |name: &str| runtimes.iter().any(|runtime| runtime.name == name);
    match &args.baseline {
        Some(name) if is_there(name) => Ok(Some(name.clone())),
        Some(name) => bail!("the baseline {name} is none of the runtimes"),
        None => Ok(Some("runc".to_owned()).filter(|name| is_there(name))),
    }
}

fn effort(args: &BenchArgs) -> Result<Effort> {
    if let Some(cpu) = args.pin {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        ensure!(cpu < cpus, "there is no CPU {cpu} for --pin: this machine has 0 to {}", cpus - 1);
        crate::runtimes::on_path("taskset")
            .map_err(|_| anyhow::anyhow!("--pin needs taskset: apt-get install util-linux"))?;
    }
    Ok(Effort {
        runs: args.runs.map(usize::from),
        pace: if args.quick { Pace::Quick } else { Pace::Full },
        pin: args.pin,
        limit: args.limit.map(|seconds| Duration::from_secs(seconds.into())),
    })
}

fn record(runtime: &Runtime) -> RuntimeRecord {
    let program = runtime.program.as_ref().ok().filter(|_| !runtime.is_native());
    RuntimeRecord {
        name: runtime.name.clone(),
        program: program.map(|path| path.display().to_string()),
        version: runtime.version(),
        flags: runtime.global.iter().chain(&runtime.creation).cloned().collect(),
        error: runtime.program.as_ref().err().cloned(),
    }
}

fn list(suites: &[Suite]) -> String {
    let mut text = String::new();
    for suite in suites {
        text.push_str(&format!("{}: {}\n", suite.name, suite.about));
        for figure in
            suite.cases.iter().flat_map(|case| case.figures.iter().map(move |figure| (case, figure)))
        {
            text.push_str(&format!("  {}/{}  {}\n", suite.name, figure.0.name, figure.1.title));
        }
    }
    text
}
