//! `palisade install` and `palisade uninstall`: an engine's configuration with this runtime in it, or without.
//!
//! The difference and what is to be done next go to standard error; standard output has nothing but the RuntimeClass
//! manifest, so that it can be piped to kubectl.

mod file;
mod json;
mod toml;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args as ClapArgs, ValueEnum};

use crate::commands::print;
use file::ConfigFile;

/// The name of the runtime in an engine's configuration.
const NAME: &str = "palisade";
/// containerd's program for it.
const SHIM: &str = "containerd-shim-palisade-v1";
const RUNTIME_CLASS: &str = include_str!("../../../../../deploy/runtimeclass.yaml");

#[derive(Debug, ClapArgs)]
pub(crate) struct InstallArgs {
    /// Whose configuration
    #[arg(value_enum)]
    engine: Engine,
    /// Its file; default: the engine's own
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Show the difference, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    Containerd,
    Docker,
    Podman,
}

/// What is wanted of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change<'a> {
    /// The runtime is in it, and this is its program.
    Add(&'a str),
    Remove,
}

pub(crate) fn install(args: &InstallArgs) -> Result<u8> {
    let program = program(args.engine)?;
    change(args, Change::Add(&program))?;
    if args.engine == Engine::Containerd {
        print(RUNTIME_CLASS)?;
    }
    Ok(0)
}

pub(crate) fn uninstall(args: &InstallArgs) -> Result<u8> {
    change(args, Change::Remove)?;
    Ok(0)
}

fn change(args: &InstallArgs, change: Change<'_>) -> Result<()> {
    let path = args.config.clone().map_or_else(|| args.engine.default_config(), Ok)?;
    let file = ConfigFile::read(&path)?;
    let new = args.engine.edit(file.text(), change).with_context(|| path.display().to_string())?;
    if new == file.text() {
        let state = if change == Change::Remove { "has no" } else { "has the" };
        return say(&format!("{} {state} runtime {NAME}; nothing to do\n", path.display()));
    }
    say(&file.difference(&new))?;
    if args.dry_run {
        return say("not written: --dry-run\n");
    }
    let backup = file.replace(&new)?;
    let kept = backup.map_or(String::new(), |backup| format!(", the old one is {}", backup.display()));
    say(&format!("written{kept}; {}\n", args.engine.next()))
}

impl Engine {
    fn default_config(self) -> Result<PathBuf> {
        let is_root = rustix::process::geteuid().is_root();
        Ok(match self {
            Self::Containerd => "/etc/containerd/config.toml".into(),
            Self::Docker => "/etc/docker/daemon.json".into(),
            Self::Podman if is_root => "/etc/containers/containers.conf".into(),
            Self::Podman => {
                let home =
                    std::env::var_os("HOME").context("HOME is not set; name the file with --config")?;
                Path::new(&home).join(".config/containers/containers.conf")
            }
        })
    }

    fn edit(self, text: &str, change: Change<'_>) -> Result<String> {
        match self {
            Self::Containerd => toml::containerd(text, change),
            Self::Docker => json::docker(text, change),
            Self::Podman => toml::podman(text, change),
        }
    }

    fn next(self) -> &'static str {
        match self {
            Self::Containerd => "next: systemctl restart containerd (running pods stay)",
            Self::Docker => "next: systemctl reload docker",
            Self::Podman => "podman reads it with its next command",
        }
    }
}

/// The program that an engine is to start: this one, or the shim beside it.
fn program(engine: Engine) -> Result<String> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let program = match engine {
        Engine::Containerd => own.with_file_name(SHIM),
        Engine::Docker | Engine::Podman => own,
    };
    if !program.is_file() {
        bail!("{} does not exist; install {SHIM} beside palisade", program.display());
    }
    let text = program.to_str().with_context(|| format!("{}: the path is not UTF-8", program.display()))?;
    Ok(text.to_owned())
}

fn say(text: &str) -> Result<()> {
    use std::io::Write;
    // Nobody has to listen.
    let _ = std::io::stderr().write_all(text.as_bytes());
    Ok(())
}
