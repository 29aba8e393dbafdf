//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand};

use crate::compare::CompareArgs;
use crate::runtimes::{ADDRESS, NativeArgs, Via};

const EXAMPLES: &str = "\
Suites and cases: --list. Runtimes: native (a chroot in namespaces of its own), runc, crun, youki, runsc, palisade; with
options after a colon, joined by `+`: palisade:strict, palisade:network=none, runsc:platform=kvm; name=path[,flag...] gives
any other OCI runtime, flags before the verb.

  palisade bench --quick start memory
  palisade bench syscall --pin 0 --runtimes native,runc,palisade,palisade:strict
  palisade bench --runtimes old=/usr/bin/palisade,new=target/release/palisade --baseline old --out results
  palisade bench compare results/report.json other/report.json";

/// Compare what isolation costs under several runtimes, on this machine
#[derive(Debug, Parser)]
#[command(name = "palisade bench", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) bench: BenchArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say which figures of two reports differ; status 1 if one became worse
    Compare(CompareArgs),
    /// Write a report's Markdown and HTML again from its JSON
    Render {
        /// A report.json
        report: PathBuf,
        /// Where to
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Print the JSON schema of reports
    Schema,
    /// Be the program of a native run
    #[command(hide = true)]
    Native(NativeArgs),
}

/// What is measured, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Suites, or single cases as SUITE/CASE; default: all
    #[arg(value_name = "SUITE")]
    pub(crate) suites: Vec<String>,
    /// Runtimes to compare; default: those that are found
    #[arg(long, value_name = "LIST")]
    pub(crate) runtimes: Option<String>,
    /// How containers are made: oci, or containerd[=ADDRESS]
    #[arg(long, default_value = "oci")]
    pub(crate) via: Via,
    /// Runs of each case under each runtime; default: each suite's own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) runs: Option<u16>,
    /// Fewer runs, and no long cases
    #[arg(long)]
    pub(crate) quick: bool,
    /// Run everything on one CPU
    #[arg(long, value_name = "CPU")]
    pub(crate) pin: Option<usize>,
    /// Runtime that ratios are of, beside native; default: runc if it is measured
    #[arg(long, value_name = "RUNTIME")]
    pub(crate) baseline: Option<String>,
    /// Directory for report.json, report.md and report.html
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Seconds after which a run is taken to hang, instead of each suite's own limit
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// Where root filesystems are kept
    #[arg(long, value_name = "DIR", default_value = "/var/cache/palisade-bench")]
    pub(crate) cache: PathBuf,
    /// List suites and cases
    #[arg(long)]
    pub(crate) list: bool,
}

impl FromStr for Via {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "oci" => Ok(Self::Oci),
            None if text == "containerd" => Ok(Self::Containerd(ADDRESS.to_owned())),
            Some(("containerd", address)) if !address.is_empty() => Ok(Self::Containerd(address.to_owned())),
            _ => Err("oci, containerd or containerd=ADDRESS".to_owned()),
        }
    }
}

/// The words of --runtimes. A comma after a `name=path` is followed by a flag of it, which begins with a dash.
pub(crate) fn words(list: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for part in list.split(',') {
        match words.last_mut() {
            Some(last) if part.starts_with('-') && last.contains('=') => {
                last.push(',');
                last.push_str(part);
            }
            _ => words.push(part.to_owned()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Cli, words};

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_belong_to_the_runtime_before_them() {
        assert_eq!(words("runc,a=/b,--c,-d,crun"), ["runc", "a=/b,--c,-d", "crun"]);
    }

    #[test]
    fn suites_and_options_mix() {
        let cli =
            Cli::try_parse_from(["x", "start/exec", "--quick", "--via", "containerd=/a", "memory"]).unwrap();
        assert_eq!(cli.bench.suites, ["start/exec", "memory"]);
        assert!(Cli::try_parse_from(["x", "--runs", "0"]).is_err());
        assert!(Cli::try_parse_from(["x", "--via", "docker"]).is_err());
    }
}
