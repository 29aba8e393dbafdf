//! The runtimes that are compared, and how each runs a bundle.

mod bundle;
mod containerd;
mod native;
mod oci;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

pub(crate) use bundle::{Bundle, RootMode};
pub(crate) use containerd::Containerd;
pub(crate) use containerd::{ADDRESS, answers};
pub(crate) use native::{NativeArgs, become_native, make_mount_points};

use crate::failure::Failure;
use crate::job;

/// Known by name, in the order of the report.
const KNOWN: &[&str] = &["native", "runc", "crun", "youki", "runsc", "palisade"];

/// A column of the report.
#[derive(Clone, Debug)]
pub(crate) struct Runtime {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Where it was found; otherwise why it cannot be run.
    pub(crate) program: Result<PathBuf, String>,
    /// The path of `name=path`, as it was given.
    given: String,
    /// What stands before the verb.
    pub(crate) global: Vec<String>,
    /// What stands after `run` and `create`.
    pub(crate) creation: Vec<String>,
}

/// How it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No runtime: a chroot in namespaces of its own.
    Native,
    /// The command line of runc.
    Oci,
    /// A handler of a containerd.
    Containerd(Containerd),
}

/// Which runtimes, and by what way.
#[derive(Clone, Debug)]
pub(crate) enum Via {
    Oci,
    Containerd(String),
}

impl Runtime {
    /// Of a word of `--runtimes`: `runc`, `palisade:strict`, `name=path[,flag…]`.
    pub(crate) fn parse(word: &str, via: &Via) -> Result<Self> {
        let runtime = match word.split_once('=').filter(|(name, _)| !name.contains(':')) {
            Some((name, value)) => Self::given(name, value)?,
            None => Self::known(word)?,
        };
        Ok(match via {
            Via::Containerd(address) if runtime.kind != Kind::Native => containerd::behind(runtime, address),
            _ => runtime,
        })
    }

    fn given(name: &str, value: &str) -> Result<Self> {
        let mut parts = value.split(',').map(str::to_owned);
        let path = parts.next().unwrap_or_default();
        ensure!(
            !name.is_empty() && !path.is_empty(),
            "a runtime is given as name=path[,flag...], not {name}={value}"
        );
        let program = if path.contains('/') { existing(Path::new(&path)) } else { on_path(&path) };
        Ok(Self {
            name: name.to_owned(),
            kind: Kind::Oci,
            program,
            given: path,
            global: parts.collect(),
            creation: Vec::new(),
        })
    }

    fn known(word: &str) -> Result<Self> {
        let (base, flags) = word.split_once(':').unwrap_or((word, ""));
        if !KNOWN.contains(&base) {
            bail!("no runtime {base}; known are {}, and name=path[,flag...] gives another", KNOWN.join(", "));
        }
        let flags: Vec<String> =
            flags.split('+').filter(|flag| !flag.is_empty()).map(|flag| format!("--{flag}")).collect();
        ensure!(base != "native" || flags.is_empty(), "native has no options: {word}");
        let (program, kind) = match base {
            "native" => (Ok(PathBuf::new()), Kind::Native),
            "palisade" => (palisade(), Kind::Oci),
            other => (on_path(other), Kind::Oci),
        };
        // Palisade takes its options after the verb, the others before it. runsc refuses groups that it cannot make (of
        // version 1 beside 2), and a network namespace without interfaces.
        let (global, creation) = match base {
            "palisade" => (Vec::new(), flags),
            "runsc" => {
                ([vec!["--ignore-cgroups".into(), "--network=none".into()], flags].concat(), Vec::new())
            }
            _ => (flags, Vec::new()),
        };
        Ok(Self { name: word.to_owned(), kind, program, given: String::new(), global, creation })
    }

    /// Those that are here, when none are named.
    pub(crate) fn found(via: &Via) -> Result<Vec<Self>> {
        let all: Vec<Self> = KNOWN.iter().map(|name| Self::parse(name, via)).collect::<Result<_>>()?;
        Ok(all.into_iter().filter(|runtime| runtime.program.is_ok()).collect())
    }

    pub(crate) fn is_native(&self) -> bool {
        self.kind == Kind::Native
    }

    /// The first line of `--version`.
    pub(crate) fn version(&self) -> Option<String> {
        let program = self.program.as_ref().ok().filter(|_| !self.is_native())?;
        let said = job::tidy(Command::new(program).arg("--version")).ok()?;
        Some(said.stdout.lines().next()?.trim().to_owned())
    }

    /// The command that runs a bundle to its end.
    pub(crate) fn run(&self, bundle: &Bundle, id: &str) -> Result<Command, Failure> {
        match &self.kind {
            Kind::Native => native::run(bundle),
            Kind::Oci => self.oci().map(|oci| oci.run(bundle, id)),
            Kind::Containerd(containerd) => Ok(containerd.run(bundle, id)),
        }
    }

    /// A container that exists and waits for `start`.
    pub(crate) fn create(&self, bundle: &Bundle, id: &str) -> Result<Command, Failure> {
        Ok(self.oci()?.create(bundle, id))
    }

    pub(crate) fn start(&self, id: &str) -> Result<Command, Failure> {
        Ok(self.oci()?.with_id("start", id))
    }

    pub(crate) fn delete(&self, id: &str) -> Result<Command, Failure> {
        Ok(self.oci()?.with_id("delete", id))
    }

    /// Another process in a running container.
    pub(crate) fn exec(&self, id: &str, argv: &[&str]) -> Result<Command, Failure> {
        match &self.kind {
            Kind::Containerd(containerd) => Ok(containerd.exec(id, argv)),
            _ => Ok(self.oci()?.exec(id, argv)),
        }
    }

    /// Starts a bundle in the background; returns when it has been started.
    pub(crate) fn start_in_background(
        &self,
        bundle: &Bundle,
        id: &str,
        limit: Duration,
    ) -> Result<(), Failure> {
        match &self.kind {
            Kind::Native => native::spawn(bundle),
            Kind::Oci => {
                job::run_with_stdout(&mut self.create(bundle, id)?, std::process::Stdio::null(), limit)?;
                job::run(&mut self.start(id)?, limit)?.success().map(drop)
            }
            Kind::Containerd(containerd) => {
                job::run(&mut containerd.run_detached(bundle, id, &[]), limit)?.success().map(drop)
            }
        }
    }

    /// Removes a container, whatever its state. That there is none is no error.
    pub(crate) fn remove(&self, id: &str) {
        match &self.kind {
            Kind::Native => {}
            Kind::Oci => {
                if let Ok(oci) = self.oci() {
                    let _ = job::tidy(&mut oci.delete_by_force(id));
                }
            }
            Kind::Containerd(containerd) => containerd.remove(id),
        }
    }

    /// The host's processes that belong to the sandboxes of this runtime that this program has started.
    pub(crate) fn processes(&self) -> Vec<i32> {
        match &self.kind {
            Kind::Containerd(containerd) => containerd.processes(),
            _ => job::started(),
        }
    }

    fn oci(&self) -> Result<oci::Oci<'_>, Failure> {
        match (&self.kind, &self.program) {
            (Kind::Native, _) => Err(Failure::NotApplicable("there is no runtime")),
            (Kind::Containerd(_), _) => Err(Failure::NotApplicable("ctr does it in one command")),
            (Kind::Oci, Ok(program)) => Ok(oci::Oci { program, runtime: self }),
            (Kind::Oci, Err(reason)) => Err(Failure::Failed(reason.clone())),
        }
    }
}

/// Beside this program, where a build puts it; else on the PATH. PALISADE names another.
fn palisade() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("PALISADE") {
        return existing(Path::new(&named));
    }
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join("palisade")));
    beside.filter(|path| path.is_file()).map_or_else(|| on_path("palisade"), Ok)
}

fn existing(path: &Path) -> Result<PathBuf, String> {
    if path.is_file() { Ok(path.to_owned()) } else { Err(format!("{} does not exist", path.display())) }
}

/// A program of the PATH.
pub(crate) fn on_path(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|dir| dir.join(name));
    candidates.find(|path| path.is_file()).ok_or_else(|| format!("{name} is not on the PATH"))
}

#[cfg(test)]
mod tests {
    use super::{Kind, Runtime, Via};

    #[test]
    fn words_of_the_command_line() {
        let strict = Runtime::parse("palisade:strict+network=none", &Via::Oci).unwrap();
        assert_eq!(
            (strict.creation, strict.global),
            (vec!["--strict".into(), "--network=none".into()], vec![])
        );
        let kvm = Runtime::parse("runsc:platform=kvm", &Via::Oci).unwrap();
        assert_eq!(kvm.global.last().unwrap(), "--platform=kvm");
        let own = Runtime::parse("mine=/bin/sh,--a,--b=c", &Via::Oci).unwrap();
        assert_eq!(
            (own.name.as_str(), own.global, own.program.is_ok()),
            ("mine", vec!["--a".into(), "--b=c".into()], true)
        );
        assert_eq!(Runtime::parse("native", &Via::Containerd("/x".into())).unwrap().kind, Kind::Native);
        assert!(Runtime::parse("mine=/does/not/exist", &Via::Oci).unwrap().program.is_err());
        for bad in ["runk", "=x", "name=", "native:strict", ""] {
            assert!(Runtime::parse(bad, &Via::Oci).is_err(), "{bad}");
        }
    }
}
