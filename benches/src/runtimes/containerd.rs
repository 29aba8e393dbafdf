//! Runtimes as containerd starts them: by ctr, with a handler's shim.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::bundle::{Bundle, ENVIRONMENT, RootMode};
use super::{Kind, Runtime, on_path};
use crate::job;
use crate::roots::PROBE_DIR;

/// A handler of a containerd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Containerd {
    address: String,
    /// `io.containerd.runc.v2`.
    handler: String,
    /// What ctr passes on to the handler.
    options: Vec<String>,
    /// Of this process alone.
    namespace: String,
}

/// The same runtime behind containerd.
pub(super) fn behind(runtime: Runtime, address: &str) -> Runtime {
    let base = runtime.name.split(':').next().unwrap_or_default();
    // name=io.containerd.x.v1 names a handler.
    let given = runtime.given.clone();
    let path = runtime.program.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let (handler, options) = match base {
        "runc" => ("io.containerd.runc.v2".to_owned(), vec![]),
        // runc's shim starts whatever speaks runc's language.
        "crun" | "youki" => ("io.containerd.runc.v2".to_owned(), vec!["--runc-binary".to_owned(), path]),
        "runsc" => ("io.containerd.runsc.v1".to_owned(), vec![]),
        "palisade" => ("io.containerd.palisade.v1".to_owned(), vec![]),
        _ => (given, vec![]),
    };
    let program = match runtime.creation.first().filter(|_| base == "palisade") {
        Some(flag) => {
            Err(format!("{flag}: behind containerd Palisade's options are in a file that the handler names"))
        }
        // Where a word names a handler there is no program to look for.
        None if handler.starts_with("io.containerd.") && !matches!(base, "crun" | "youki") => on_path("ctr"),
        None => on_path("ctr").and(runtime.program),
    };
    let namespace = format!("palisade-bench-{}", std::process::id());
    let containerd = Containerd { address: address.to_owned(), handler, options, namespace };
    Runtime { kind: Kind::Containerd(containerd), program, ..runtime }
}

impl Containerd {
    fn ctr(&self, words: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.args(["--address", &self.address, "--namespace", &self.namespace]).args(words);
        command
    }

    fn with_bundle(&self, head: &[&str], bundle: &Bundle, id: &str) -> Command {
        let mut command = self.ctr(head);
        command.args(["--runtime", &self.handler]).args(&self.options);
        command.args(ENVIRONMENT.iter().flat_map(|variable| ["--env", variable]));
        if bundle.mode == RootMode::ReadOnly {
            command.arg("--read-only");
        }
        let probe = format!("type=bind,src={},dst={PROBE_DIR},options=rbind:ro", bundle.probe.display());
        command.args(["--mount", &probe, "--mount", "type=tmpfs,src=tmpfs,dst=/tmp,options=nosuid:nodev"]);
        command.arg("--rootfs").arg(&bundle.root).arg(id).args(&bundle.argv);
        command
    }

    pub(super) fn run(&self, bundle: &Bundle, id: &str) -> Command {
        self.with_bundle(&["run", "--rm"], bundle, id)
    }

    /// With further options of ctr.
    pub(crate) fn run_detached(&self, bundle: &Bundle, id: &str, options: &[&str]) -> Command {
        self.with_bundle(&[&["run", "--detach", "--null-io"], options].concat(), bundle, id)
    }

    pub(crate) fn exec(&self, id: &str, argv: &[&str]) -> Command {
        let mut command = self.ctr(&["task", "exec", "--exec-id", "bench", id]);
        command.args(argv);
        command
    }

    pub(crate) fn remove(&self, id: &str) {
        for words in [["task", "rm", "--force", id].as_slice(), &["container", "rm", id]] {
            let _ = job::tidy(&mut self.ctr(words));
        }
    }

    /// What names this program's namespace (a shim's command line does), and all below it.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let own = std::process::id().cast_signed();
        let names = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            *pid != own
                && String::from_utf8_lossy(&line).split('\0').any(|word| word.contains(&self.namespace))
        };
        let mut found: Vec<i32> = job::pids().filter(names).collect();
        let below: Vec<i32> = found.iter().flat_map(|pid| job::descendants(pid.cast_unsigned())).collect();
        found.extend(below);
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Removes what a run left in the namespace, which is this program's alone.
    pub(crate) fn clear(&self) {
        let listed = job::tidy(&mut self.ctr(&["container", "ls", "--quiet"]));
        for id in listed.map(|ended| ended.stdout).unwrap_or_default().lines() {
            self.remove(id);
        }
        let _ = job::tidy(&mut self.ctr(&["namespace", "rm", &self.namespace]));
    }
}

/// The usual place.
pub(crate) const ADDRESS: &str = "/run/containerd/containerd.sock";

/// Whether a containerd listens there.
pub(crate) fn answers(address: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(address);
    match std::os::unix::net::UnixStream::connect(&path) {
        Ok(_) => Ok(path),
        Err(error) => {
            Err(format!("no containerd at {address}: {error} (--via containerd=ADDRESS names another)"))
        }
    }
}
